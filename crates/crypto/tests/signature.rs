//! Signatures of every algorithm: round trips, tampering, stable derivation from seeds, text forms.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crypto::{CryptoError, HashAlgorithm, PublicKey, SecurityLevel, SignatureAlgorithm, SigningKey};
use proptest::prelude::*;

const SEED: [u8; 32] = [7; 32];

/// Algorithms that a [`SigningKey`] signs with fast enough for many cases; SLH-DSA's small set and HSS/LMS have their own tests.
const FAST: [SignatureAlgorithm; 6] = [
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::MlDsa44,
    SignatureAlgorithm::MlDsa65,
    SignatureAlgorithm::MlDsa87,
    SignatureAlgorithm::SlhDsaSha2_128f,
    SignatureAlgorithm::MlDsa87SlhDsa128f,
];

fn any_algorithm() -> impl Strategy<Value = SignatureAlgorithm> {
    prop::sample::select(FAST.as_slice())
}

#[test]
fn what_is_signed_verifies() {
    for algorithm in FAST {
        let key = SigningKey::generate(algorithm).unwrap();
        for len in [0, 1, 100, 1020, 1024, 5000] {
            let message = vec![0xa5; len];
            let signature = key.sign("test/domain", &message).unwrap();
            assert_eq!(signature.len(), algorithm.signature_len());
            assert_eq!(key.public_key().verify("test/domain", &message, &signature), Ok(()));
        }
        let stranger = SigningKey::generate(algorithm).unwrap().public_key();
        let signature = key.sign("test/domain", b"message").unwrap();
        assert_eq!(stranger.verify("test/domain", b"message", &signature), Err(CryptoError::SignatureInvalid));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_is_noticed(
        algorithm in any_algorithm(),
        domain in "[a-z/]{1,20}",
        message in prop::collection::vec(any::<u8>(), 1..1500),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let key = SigningKey::from_seed(algorithm, &SEED).unwrap();
        let public_key = key.public_key();
        let signature = key.sign(&domain, &message).unwrap();
        prop_assert_eq!(public_key.verify(&domain, &message, &signature), Ok(()));

        let mut flipped = signature.clone();
        flipped[place.index(signature.len())] ^= 1 << bit;
        prop_assert!(public_key.verify(&domain, &message, &flipped).is_err());

        let mut flipped = message.clone();
        flipped[place.index(message.len())] ^= 1 << bit;
        prop_assert!(public_key.verify(&domain, &flipped, &signature).is_err());

        let mut flipped = domain.clone().into_bytes();
        flipped[place.index(domain.len())] ^= 1;
        let flipped = String::from_utf8(flipped).unwrap();
        prop_assert!(public_key.verify(&flipped, &message, &signature).is_err());
    }

    #[test]
    fn foreign_bytes_never_panic(
        algorithm in any_algorithm(),
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        text in ".{0,80}",
    ) {
        let public_key = SigningKey::from_seed(algorithm, &SEED).unwrap().public_key();
        prop_assert!(public_key.verify("domain", b"message", &bytes).is_err());
        let _ = PublicKey::from_bytes(algorithm, &bytes);
        for algorithm in SignatureAlgorithm::ALL {
            let mut exact = bytes.clone();
            exact.resize(algorithm.public_key_len(), 0xff);
            if let Ok(key) = PublicKey::from_bytes(algorithm, &exact) {
                prop_assert!(key.verify("domain", b"message", &vec![0; algorithm.signature_len()]).is_err());
            }
        }
        prop_assert!(text.parse::<PublicKey>().is_err());
    }
}

#[test]
fn the_domain_is_not_part_of_the_message() {
    let key = SigningKey::from_seed(SignatureAlgorithm::MlDsa44, &SEED).unwrap();
    let signature = key.sign("ab", b"c").unwrap();
    assert!(key.public_key().verify("a", b"bc", &signature).is_err());
    let long = "x".repeat(256);
    assert_eq!(key.sign(&long, b""), Err(CryptoError::DomainTooLong(256)));
    assert_eq!(key.public_key().verify(&long, b"", &signature), Err(CryptoError::DomainTooLong(256)));
}

#[test]
fn ed25519_derives_as_rfc_8032_test_1() {
    let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let key = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &seed.try_into().unwrap()).unwrap();
    assert_eq!(
        hex::encode(key.public_key().as_bytes()),
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
}

#[test]
fn derivation_from_a_seed_is_stable() {
    // The values are those of OpenSSL (through Python's cryptography package), an independent implementation.
    for (algorithm, golden) in [
        (SignatureAlgorithm::Ed25519, "1ea20aabf2f2c2a142d2b7721ede943c90992d1098d8288a406693924f1139ee"),
        (SignatureAlgorithm::MlDsa44, "ee0cafb11bdc07d03953bd6b28193962a343ba260d1f142ece5f5a63641e79fa"),
        (SignatureAlgorithm::MlDsa65, "3c50ece52c6a405e4e7922bef7e03d05f29003b80b5d61937c7fd2f31c7a016c"),
        (SignatureAlgorithm::MlDsa87, "7be7cf4b88cf3fa2c57edb2b2be9e867cc7a67463b96215a5bd303d3b1c00238"),
    ] {
        let public_key = SigningKey::from_seed(algorithm, &SEED).unwrap().public_key();
        let digest = HashAlgorithm::Sha256.hash("golden", &[public_key.as_bytes()]);
        assert_eq!(digest.to_string(), golden, "{algorithm}");
    }
}

#[test]
fn text_forms_round_trip() {
    for algorithm in FAST {
        assert_eq!(SignatureAlgorithm::from_wire_id(algorithm.wire_id()), Ok(algorithm));
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
        let public_key = SigningKey::from_seed(algorithm, &SEED).unwrap().public_key();
        let text = public_key.to_string();
        assert!(text.starts_with(&format!("{algorithm}:")));
        assert_eq!(text.parse(), Ok(public_key.clone()));
        let json = serde_json::to_string(&public_key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), public_key);
        assert_eq!(PublicKey::from_bytes(algorithm, public_key.as_bytes()), Ok(public_key.clone()));
        match public_key.to_spki_der() {
            Ok(spki) => {
                assert!(spki.ends_with(public_key.as_bytes()));
                assert!(PublicKey::from_bytes(algorithm, &spki).is_err());
            }
            Err(error) => assert_eq!(error, CryptoError::NotForLinks(algorithm)),
        }
        assert!(format!("{text} ").parse::<PublicKey>().is_err());
    }
    assert_eq!(SignatureAlgorithm::from_wire_id(9), Err(CryptoError::UnknownSignatureAlgorithm(9)));
    for (place, algorithm) in SignatureAlgorithm::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(algorithm.wire_id()), place + 1, "the wire ids are for ever");
    }
    assert!(SignatureAlgorithm::from_wire_id(0).is_err());
}

#[test]
fn debug_shows_no_secret() {
    for algorithm in FAST {
        let key = SigningKey::from_seed(algorithm, &SEED).unwrap();
        let text = format!("{key:?} {key:#?}");
        assert!(text.contains("[secret]"));
        for form in ["07070707", "7, 7", "BwcHBw"] {
            assert!(!text.contains(form), "{text}");
        }
    }
}

#[test]
fn pkcs8_comes_in_a_form_the_library_reads_back() {
    use aws_lc_rs::signature::{KeyPair as _, ML_DSA_65_SIGNING, PqdsaKeyPair};
    let key = SigningKey::from_seed(SignatureAlgorithm::MlDsa65, &SEED).unwrap();
    let der = key.to_pkcs8_der().unwrap();
    let pair = PqdsaKeyPair::from_pkcs8(&ML_DSA_65_SIGNING, &der).unwrap();
    assert_eq!(pair.public_key().as_ref(), key.public_key().as_bytes());
}

#[test]
fn levels_pick_the_documented_algorithms() {
    for level in SecurityLevel::ALL {
        assert_eq!(SecurityLevel::from_dimension(level.dimension()), Ok(level));
        assert_eq!(SecurityLevel::from_wire_id(level.wire_id()), Ok(level));
        let json = serde_json::to_string(&level).unwrap();
        assert_eq!(json, level.dimension().to_string());
        assert_eq!(serde_json::from_str::<SecurityLevel>(&json).unwrap(), level);
        assert_eq!(level.signature_algorithm().is_post_quantum(), level.is_post_quantum());
    }
    assert!(SecurityLevel::Level512 < SecurityLevel::Level768);
    assert!(SecurityLevel::from_wire_id(5).is_err());
    let refusal = SecurityLevel::from_dimension(640).unwrap_err().to_string();
    for legal in ["512", "768", "1024", "2048"] {
        assert!(refusal.contains(legal), "{refusal}");
    }
    assert!(serde_json::from_str::<SecurityLevel>("640").is_err());
}

#[test]
fn slh_dsa_small_signs_too() {
    let key = SigningKey::from_seed(SignatureAlgorithm::SlhDsaSha2_128s, &SEED).unwrap();
    let signature = key.sign("d", b"m").unwrap();
    assert_eq!(signature.len(), 7_856);
    assert_eq!(key.public_key().verify("d", b"m", &signature), Ok(()));
    assert!(key.public_key().verify("d", b"n", &signature).is_err());
    // The same bytes as a key of the other parameter set are another key.
    let other = PublicKey::from_bytes(SignatureAlgorithm::SlhDsaSha2_128f, key.public_key().as_bytes()).unwrap();
    assert!(other.verify("d", b"m", &signature).is_err());
    assert_ne!(other, key.public_key());
}

#[test]
fn a_stateful_key_is_no_signing_key() {
    let error = SigningKey::generate(SignatureAlgorithm::HssLms).unwrap_err();
    assert_eq!(error, CryptoError::Stateful(SignatureAlgorithm::HssLms));
}

/// Level 2048: neither half is worth anything without the other, and no half serves as a signature of its own.
#[test]
fn half_of_two_families_is_refused() {
    const FIRST_KEY: usize = 2592;
    const FIRST: usize = 4627;
    let algorithm = SignatureAlgorithm::MlDsa87SlhDsa128f;
    let key = SigningKey::from_seed(algorithm, &SEED).unwrap();
    let public_key = key.public_key();
    let signature = key.sign("d", b"m").unwrap();
    let other = SigningKey::generate(algorithm).unwrap().sign("d", b"m").unwrap();
    assert_eq!(public_key.verify("d", b"m", &signature), Ok(()));

    let refused = |bytes: &[u8]| assert_eq!(public_key.verify("d", b"m", bytes), Err(CryptoError::SignatureInvalid));
    refused(&signature[..FIRST]);
    refused(&signature[FIRST..]);
    refused(&[&signature[..FIRST], &other[FIRST..]].concat());
    refused(&[&other[..FIRST], &signature[FIRST..]].concat());
    refused(&[&signature[..FIRST], vec![0; signature.len() - FIRST].as_slice()].concat());
    refused(&[vec![0; FIRST].as_slice(), &signature[FIRST..]].concat());
    refused(&[&signature[FIRST..], &signature[..FIRST]].concat());

    let halves = [
        (SignatureAlgorithm::MlDsa87, &public_key.as_bytes()[..FIRST_KEY], &signature[..FIRST]),
        (SignatureAlgorithm::SlhDsaSha2_128f, &public_key.as_bytes()[FIRST_KEY..], &signature[FIRST..]),
    ];
    for (half, half_key, half_signature) in halves {
        let half_key = PublicKey::from_bytes(half, half_key).unwrap();
        assert!(half_key.verify("d", b"m", half_signature).is_err(), "{half} half alone");
        assert!(PublicKey::from_bytes(algorithm, half_key.as_bytes()).is_err());
        // A half that signs on its own does not fit into the pair either.
        let alone = SigningKey::from_seed(half, &SEED).unwrap().sign("d", b"m").unwrap();
        let mut mixed = signature.clone();
        let place = if half == SignatureAlgorithm::MlDsa87 { 0..FIRST } else { FIRST..signature.len() };
        mixed[place].copy_from_slice(&alone);
        refused(&mixed);
    }
}
