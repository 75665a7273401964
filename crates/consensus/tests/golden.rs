//! Golden byte vectors of every wire type: a change of one byte is a change of the protocol.
//!
//! `UPDATE_GOLDEN=1 cargo test -p consensus --test golden` writes them anew; do that only with a new format version.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use common::Network;
use consensus::body::Body;
use consensus::certificate::FinalityPath;
use consensus::config::EpochConfig;
use consensus::evidence::Evidence;
use consensus::genesis::Genesis;
use consensus::header::SignedHeader;
use consensus::message::{Answer, Fetch, FinalChain, Held, Message, Status};
use consensus::proof::ValueProof;
use consensus::records::{FinalRecord, ProofPlace};
use consensus::types::{Epoch, Height, View};
use consensus::vote::{Bundle, Statement};
use consensus::votes::Vote;
use consensus::{Decode, Encode};
use crypto::SecurityLevel;

fn check<T: Encode + Decode + PartialEq + Debug>(name: &str, value: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    let bytes = value.to_bytes();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines: Vec<String> = bytes.chunks(48).map(hex::encode).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let golden = hex::decode(text.split_whitespace().collect::<String>()).unwrap();
    assert_eq!(hex::encode(&bytes), hex::encode(&golden), "{name} has changed");
    assert_eq!(&T::from_bytes(&golden).unwrap(), value, "{name} does not read back");
    for len in 0..golden.len() {
        assert!(T::from_bytes(&golden[..len]).is_err(), "{name} cut to {len} bytes is accepted");
    }
    let mut longer = golden;
    longer.push(0);
    assert!(T::from_bytes(&longer).is_err(), "{name} with a byte more is accepted");
}

#[test]
fn every_wire_type() {
    let network = Network::new(4, SecurityLevel::Classical);
    let body = network.body(&["first", "second"]);
    let header = network.header(1, None, &body, 3);
    let hash = header.hash();
    let view = View::new(1);
    check::<Genesis>("genesis", &network.genesis);
    check::<EpochConfig>("config", &network.genesis.config);
    check::<SignedHeader>("header", &header);
    let bundle = network.bundle(
        2,
        vec![
            Statement::Notarize(View::new(2), hash),
            Statement::Finalize(view, hash),
            Statement::Nullify(View::new(3)),
        ],
    );
    check::<Bundle>("bundle", &bundle);
    check::<Vote>("vote_header", &Vote::Header(Arc::new(header.clone())));
    check::<Vote>("vote_bundle", &Vote::Bundle(Arc::new(bundle.clone())));
    let other = network.header(1, None, &network.body(&["another"]), 3);
    let evidence = Evidence::find(&Vote::Header(Arc::new(header.clone())), &Vote::Header(Arc::new(other))).unwrap();
    check::<Evidence>("evidence", &evidence);
    check::<ValueProof>("proof_fast", &network.proof(FinalityPath::Fast));
    check::<ValueProof>("proof_slow", &network.proof(FinalityPath::Slow));

    let certificate = common::certificate(&mut network.proof(FinalityPath::Slow)).clone();
    let here = ProofPlace::Here(vec![header.header().clone()], certificate.clone());
    let record = |proof| FinalRecord { height: Height::new(1), epoch: Epoch::ZERO, view, hash, proof };
    check("final_record_here", &record(here));
    check("final_record_at", &record(ProofPlace::At(Height::new(9))));

    let encoded: Bytes = body.encoded().clone();
    check("message_proposal", &Message::Proposal(header.clone(), Some(encoded.clone())));
    check("message_proposal_without_body", &Message::Proposal(header.clone(), None));
    check("message_vote", &Message::Vote(bundle.clone()));
    let status = Status {
        epoch: Epoch::ZERO,
        view: View::new(7),
        final_view: View::new(3),
        committed_height: Height::new(2),
        nullifications: vec![View::new(5), View::new(6)],
        notarizations: vec![(View::new(4), hash)],
        headers: vec![hash],
        bodies: vec![hash],
    };
    check("message_status", &Message::Status(status));
    let votes = vec![Vote::Bundle(Arc::new(bundle))];
    check(
        "message_answer",
        &Message::Answer(Answer { votes, headers: vec![header.clone()], bodies: vec![encoded.clone()] }),
    );
    let descendants = vec![header.header().clone()];
    check(
        "message_final_chain",
        &Message::FinalChain(FinalChain { blocks: vec![(header, encoded.clone())], descendants, certificate }),
    );
    check("message_hint", &Message::Hint(Epoch::ZERO, View::new(11)));
    let proposals = body.proposals().iter().map(|proposal| proposal.as_ref().clone()).collect();
    check("message_forward", &Message::Forward(proposals));
    check("message_fetch", &Message::Fetch(Fetch { above: Height::new(256), upto: Height::new(512) }));
    check("message_held", &Message::Held(Held { first: Height::new(1), last: Height::new(1_000) }));
    let read = Body::decode(encoded, &network.chain_id()).unwrap();
    assert_eq!(read.root(), body.root());
}

#[test]
fn the_chain_id_and_hashes_stay() {
    let digest = |level| {
        let network = Network::new(4, level);
        let body = network.body(&["first", "second"]);
        let header = network.header(1, None, &body, 3);
        [network.chain_id(), network.genesis.config.hash(), body.ids()[0], body.root(), header.hash()]
            .map(|digest| digest.to_string())
            .join("\n")
    };
    let text = [SecurityLevel::Classical, SecurityLevel::Level1024].map(digest).join("\n\n") + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hashes.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_json_form_of_a_genesis_is_the_same_genesis() {
    for level in [SecurityLevel::Classical, SecurityLevel::Level768] {
        let genesis = Network::new(6, level).genesis;
        let read = Genesis::from_json(&genesis.to_json()).unwrap();
        assert_eq!(read.chain_id(), genesis.chain_id());
    }
}
