//! Proofs of values: what they show, and that every changed byte is noticed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Network, certificate};
use consensus::certificate::{CertificateError, FinalityPath};
use consensus::proof::{ProofError, ValueProof};
use consensus::verify::Rejection;
use consensus::{Decode, Encode};
use crypto::SecurityLevel;
use proptest::prelude::*;

#[test]
fn a_proof_shows_where_the_value_is() {
    for level in [SecurityLevel::Classical, SecurityLevel::Level512, SecurityLevel::Level768, SecurityLevel::Level1024]
    {
        for path in [FinalityPath::Fast, FinalityPath::Slow] {
            let network = Network::new(6, level);
            let proof = ValueProof::from_bytes(&network.proof(path).to_bytes()).unwrap();
            let shown = proof.verify(&network.genesis).unwrap();
            assert_eq!((shown.height.get(), shown.index, shown.view.get(), shown.threshold), (1, 1, 1, 4));
            assert_eq!((shown.finalized_by_height.get(), shown.path), (2, path));
            assert_eq!(&shown.proposal.value[..], b"second");
            // n = 6, f = 1, q_min = 4, q_fast = 5 (PROTOCOL section 4).
            let expected = if path == FinalityPath::Fast { (5, 1) } else { (4, 1) };
            assert_eq!((shown.weight, shown.strength), expected);
        }
    }
}

#[test]
fn every_changed_byte_of_a_proof_is_noticed() {
    let network = Network::new(6, SecurityLevel::Classical);
    for path in [FinalityPath::Fast, FinalityPath::Slow] {
        let proof = network.proof(path);
        let shown = proof.verify(&network.genesis).unwrap();
        let bytes = proof.to_bytes();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let verdict = ValueProof::from_bytes(&changed).map_err(ProofError::from);
                let verdict = verdict.and_then(|proof| proof.verify(&network.genesis));
                // Nothing but a refusal: no byte of the proof is without meaning.
                assert!(verdict.is_err(), "byte {at} ^ {flip:#x} is not noticed: {verdict:?} instead of {shown:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_never_a_proof(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(ValueProof::from_bytes(&bytes).is_err());
    }
}

#[test]
fn a_proof_of_another_network_or_with_too_few_votes_is_refused() {
    let network = Network::new(6, SecurityLevel::Classical);
    let other = Network::new(7, SecurityLevel::Classical);
    let proof = network.proof(FinalityPath::Slow);
    assert!(matches!(proof.verify(&other.genesis), Err(ProofError::Rejected(Rejection::ForeignChain(_)))));

    let mut short = proof.clone();
    certificate(&mut short).votes.pop();
    let too_few = CertificateError::TooFew { found: 3, needed: 4, path: FinalityPath::Slow };
    assert_eq!(short.verify(&network.genesis), Err(ProofError::Rejected(Rejection::Certificate(too_few))));

    let mut twice = proof.clone();
    certificate(&mut twice).votes[3] = certificate(&mut twice).votes[2].clone();
    assert_eq!(
        twice.verify(&network.genesis),
        Err(ProofError::Rejected(Rejection::Certificate(CertificateError::Idle(3))))
    );

    let mut wrong_path = proof;
    certificate(&mut wrong_path).path = FinalityPath::Fast;
    assert!(wrong_path.verify(&network.genesis).is_err(), "four Notarize are not five");
}

#[test]
fn a_value_at_another_place_is_refused() {
    let network = Network::new(4, SecurityLevel::Classical);
    for (index, count) in [(0, 3), (2, 3), (1, 2), (1, 4), (1, 1), (3, 3)] {
        let mut proof = network.proof(FinalityPath::Fast);
        (proof.index, proof.count) = (index, count);
        assert_eq!(proof.verify(&network.genesis), Err(ProofError::Inclusion), "{index} of {count}");
    }
}
