//! Key encapsulation: round trips, implicit rejection, lengths.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crypto::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, KemAlgorithm};
use crypto::{CryptoError, constant_time_equal};

#[test]
fn both_sides_agree() {
    for algorithm in KemAlgorithm::ALL {
        let (secret_key, public_key) = DecapsulationKey::generate(algorithm).unwrap();
        assert_eq!(public_key.as_bytes().len(), algorithm.encapsulation_key_len());
        let copy = EncapsulationKey::from_bytes(algorithm, public_key.as_bytes()).unwrap();
        let (ciphertext, theirs) = copy.encapsulate().unwrap();
        assert_eq!(ciphertext.as_bytes().len(), algorithm.ciphertext_len());
        assert_eq!(secret_key.decapsulate(&ciphertext).unwrap(), theirs);
    }
}

#[test]
fn a_tampered_ciphertext_is_rejected_implicitly() {
    for algorithm in KemAlgorithm::ALL {
        let (secret_key, public_key) = DecapsulationKey::generate(algorithm).unwrap();
        let (ciphertext, theirs) = public_key.encapsulate().unwrap();
        let mut bytes = ciphertext.as_bytes().to_vec();
        bytes[17] ^= 4;
        let tampered = Ciphertext::from_bytes(algorithm, &bytes).unwrap();
        let rejected = secret_key.decapsulate(&tampered).unwrap();
        assert_ne!(rejected, theirs);
        // Deterministic, so that an attacker learns nothing from asking twice.
        assert_eq!(secret_key.decapsulate(&tampered).unwrap(), rejected);
        assert!(!format!("{rejected:?}{secret_key:?}").contains(&hex::encode(rejected.as_bytes())));
    }
}

#[test]
fn lengths_and_parameter_sets_are_checked() {
    let (secret_key, _) = DecapsulationKey::generate(KemAlgorithm::MlKem512).unwrap();
    let (_, public_key) = DecapsulationKey::generate(KemAlgorithm::MlKem768).unwrap();
    let (ciphertext, _) = public_key.encapsulate().unwrap();
    assert_eq!(secret_key.decapsulate(&ciphertext).unwrap_err(), CryptoError::KemMismatch);
    assert!(Ciphertext::from_bytes(KemAlgorithm::MlKem1024, ciphertext.as_bytes()).is_err());
    assert!(EncapsulationKey::from_bytes(KemAlgorithm::MlKem1024, public_key.as_bytes()).is_err());
    // Coefficients out of range: refused when the key is read or used (FIPS 203, 7.2).
    let wild = vec![0xff; KemAlgorithm::MlKem768.encapsulation_key_len()];
    let used = EncapsulationKey::from_bytes(KemAlgorithm::MlKem768, &wild).and_then(|key| key.encapsulate());
    assert!(used.is_err());
}

#[test]
fn constant_time_comparison_compares() {
    assert!(constant_time_equal(b"same", b"same"));
    assert!(!constant_time_equal(b"same", b"sama"));
    assert!(!constant_time_equal(b"same", b"sam"));
}
