//! What aws-lc-rs makes, an independent implementation (fips203, fips204: pure Rust) accepts, and the other way round.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crypto::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, KemAlgorithm};
use crypto::{PublicKey, SignatureAlgorithm, SigningKey};
use fips203::traits::{Decaps as _, Encaps as _, KeyGen as _, SerDes as _};
use fips204::traits::{KeyGen as _, SerDes as _, Signer as _, Verifier as _};

const ROUNDS: u8 = 8;

/// What a signature is over: `u8 len(domain) ‖ domain ‖ message`.
fn separated(message: &[u8]) -> Vec<u8> {
    [&[4], b"test".as_slice(), message].concat()
}

macro_rules! ml_dsa {
    ($name:ident, $algorithm:expr, $other:ident) => {
        #[test]
        fn $name() {
            for round in 0..ROUNDS {
                let seed = [round; 32];
                let message = vec![round; usize::from(round) * 700];
                let ours = SigningKey::from_seed($algorithm, &seed).unwrap();
                let (public, secret) = fips204::$other::KG::keygen_from_seed(&seed);
                assert_eq!(public.clone().into_bytes().as_slice(), ours.public_key().as_bytes());
                let theirs = secret.try_sign_with_seed(&[round; 32], &separated(&message), &[]).unwrap();
                assert_eq!(ours.public_key().verify("test", &message, &theirs), Ok(()));
                let signature = ours.sign("test", &message).unwrap();
                let mut signature: [u8; fips204::$other::SIG_LEN] = signature.try_into().unwrap();
                assert!(public.verify(&separated(&message), &signature, &[]));
                // Both refuse the same changed signature, wherever the change is.
                for at in (0..signature.len()).step_by(signature.len() / 16) {
                    signature[at] ^= 1 << (round % 8);
                    let ours_says = ours.public_key().verify("test", &message, &signature).is_ok();
                    assert_eq!((ours_says, public.verify(&separated(&message), &signature, &[])), (false, false));
                    signature[at] ^= 1 << (round % 8);
                }
                assert!(PublicKey::from_bytes($algorithm, ours.public_key().as_bytes()).is_ok());
            }
        }
    };
}

ml_dsa!(ml_dsa_44, SignatureAlgorithm::MlDsa44, ml_dsa_44);
ml_dsa!(ml_dsa_65, SignatureAlgorithm::MlDsa65, ml_dsa_65);
ml_dsa!(ml_dsa_87, SignatureAlgorithm::MlDsa87, ml_dsa_87);

macro_rules! ml_kem {
    ($name:ident, $algorithm:expr, $other:ident) => {
        #[test]
        fn $name() {
            for round in 0..ROUNDS {
                // Their key, our encapsulation.
                let (public, secret) = fips203::$other::KG::keygen_from_seed([round; 32], [!round; 32]);
                let key = EncapsulationKey::from_bytes($algorithm, &public.clone().into_bytes()).unwrap();
                let (ciphertext, ours) = key.encapsulate().unwrap();
                let theirs = fips203::$other::CipherText::try_from_bytes(ciphertext.as_bytes().try_into().unwrap());
                let theirs = secret.try_decaps(&theirs.unwrap()).unwrap();
                assert_eq!(theirs.into_bytes(), *ours.as_bytes());
                // Our key, their encapsulation.
                let (secret, key) = DecapsulationKey::generate($algorithm).unwrap();
                let public = fips203::$other::EncapsKey::try_from_bytes(key.as_bytes().try_into().unwrap()).unwrap();
                let (theirs, ciphertext) = public.encaps_from_seed(&[round; 32]);
                let mut ciphertext = ciphertext.into_bytes().to_vec();
                let ours = secret.decapsulate(&Ciphertext::from_bytes($algorithm, &ciphertext).unwrap()).unwrap();
                assert_eq!(*ours.as_bytes(), theirs.into_bytes());
                ciphertext[usize::from(round) * 50] ^= 0x10;
                let changed = secret.decapsulate(&Ciphertext::from_bytes($algorithm, &ciphertext).unwrap()).unwrap();
                assert_ne!(changed, ours);
            }
        }
    };
}

ml_kem!(ml_kem_512, KemAlgorithm::MlKem512, ml_kem_512);
ml_kem!(ml_kem_768, KemAlgorithm::MlKem768, ml_kem_768);
ml_kem!(ml_kem_1024, KemAlgorithm::MlKem1024, ml_kem_1024);
