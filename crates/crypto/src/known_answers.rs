//! Known answers from the standards: NIST's ACVP vectors, RFC 8554 appendix F, HQC's official answers.
//!
//! `tests/vectors/known-answers.json` names the source of each. aws-lc-rs takes no randomness from outside, so ML-KEM is
//! tested by decapsulation and ML-DSA by key generation; signatures of both are compared with an independent
//! implementation in `tests/differential.rs`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use fips205::traits::{KeyGen as _, SerDes as _};
use serde_json::Value;
use sha2::Digest as _;

use crate::hss;
use crate::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, KemAlgorithm};
use crate::{PublicKey, SignatureAlgorithm, SigningKey};

fn vectors(what: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../tests/vectors/known-answers.json")).unwrap();
    all[what].as_array().unwrap().clone()
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(value[field].as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value, field: &str) -> [u8; N] {
    bytes(value, field).try_into().unwrap()
}

fn tests(group: &Value) -> &Vec<Value> {
    group["tests"].as_array().unwrap()
}

#[test]
fn ml_kem_decapsulates_as_nist_says() {
    let groups = vectors("ml_kem_decapsulation");
    assert_eq!(groups.len(), 3);
    for group in &groups {
        let algorithm = KemAlgorithm::from_name(group["set"].as_str().unwrap()).unwrap();
        let public = EncapsulationKey::from_bytes(algorithm, &bytes(group, "ek")).unwrap();
        let key = DecapsulationKey::from_secret_bytes(&bytes(group, "dk"), &public).unwrap();
        for test in tests(group) {
            let ciphertext = Ciphertext::from_bytes(algorithm, &bytes(test, "c")).unwrap();
            let secret = key.decapsulate(&ciphertext).unwrap();
            assert_eq!(secret.as_bytes().as_slice(), bytes(test, "k"), "{algorithm}, {test}");
        }
        assert!(
            tests(group).iter().any(|test| test["reason"] != "no modification"),
            "implicit rejection is among them"
        );
    }
}

#[test]
fn ml_dsa_derives_keys_as_nist_says() {
    for group in &vectors("ml_dsa_keygen") {
        let algorithm: SignatureAlgorithm = group["set"].as_str().unwrap().parse().unwrap();
        for test in tests(group) {
            let key = SigningKey::from_seed(algorithm, &array(test, "seed")).unwrap();
            let digest = sha2::Sha256::digest(key.public_key().as_bytes());
            assert_eq!(digest.as_slice(), bytes(test, "pk_sha256"), "{algorithm}, test {}", test["tcId"]);
        }
    }
}

#[test]
fn slh_dsa_derives_keys_as_nist_says() {
    for group in &vectors("slh_dsa_keygen") {
        // The small set costs 2^9 one-time keys each: two tests are enough here.
        let fast = group["set"] == "slh-dsa-sha2-128f";
        for test in tests(group).iter().take(if fast { 10 } else { 2 }) {
            let (sk_seed, sk_prf, pk_seed) = (array(test, "sk_seed"), array(test, "sk_prf"), array(test, "pk_seed"));
            let public = if fast {
                fips205::slh_dsa_sha2_128f::KG::keygen_from_seed::<16>(&sk_seed, &sk_prf, &pk_seed).0.into_bytes()
            } else {
                fips205::slh_dsa_sha2_128s::KG::keygen_from_seed::<16>(&sk_seed, &sk_prf, &pk_seed).0.into_bytes()
            };
            assert_eq!(public.as_slice(), bytes(test, "pk"), "{}", test["tcId"]);
        }
    }
}

#[test]
fn hqc_answers_as_its_authors_say() {
    for vector in &vectors("hqc_256") {
        let key = hqc_kem::hqc256::DecapsulationKey::try_from(bytes(vector, "sk").as_slice()).unwrap();
        let digest = sha2::Sha256::digest(key.encapsulation_key());
        assert_eq!(digest.as_slice(), bytes(vector, "pk_sha256"));
        let ciphertext = hqc_kem::hqc256::Ciphertext::try_from(bytes(vector, "ct").as_slice()).unwrap();
        assert_eq!(key.decapsulate(&ciphertext).as_ref(), bytes(vector, "ss"));
        // Key files keep the seed at the end of the secret key: it gives the same pair.
        let seed: [u8; 32] = bytes(vector, "sk").last_chunk().copied().unwrap();
        let (public, secret) = hqc_kem::hqc256::generate_key_deterministic(&seed);
        assert_eq!((&public, secret.as_ref()), (key.encapsulation_key(), key.as_ref()));
    }
}

#[test]
fn hss_verifies_the_test_cases_of_rfc_8554() {
    for (vector, index) in vectors("hss_rfc8554").iter().zip([5, (3 << 5) | 4]) {
        let key = bytes(vector, "public_key").try_into().unwrap();
        let (message, signature) = (bytes(vector, "message"), bytes(vector, "signature"));
        let shape = hss::Shape::of(&key).unwrap();
        assert!(hss::verify(shape, &key, &message, &signature), "test case {}", vector["case"]);
        assert!(PublicKey::from_bytes(SignatureAlgorithm::HssLms, &key).is_ok());
        for at in [0, 40, message.len() - 1] {
            let mut other = message.clone();
            other[at] ^= 1;
            assert!(!hss::verify(shape, &key, &other, &signature));
        }
        let leaf = shape.leaf_index(&signature);
        assert!(leaf.is_some());
        if vector["case"] == 2 {
            assert_eq!(leaf, Some(index), "q of the top tree is 3, of the lower tree 4");
        }
    }
}
