//! Signing keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, PqdsaKeyPair};
use zeroize::Zeroizing;

use crate::error::CryptoError;
use crate::public_key::PublicKey;
use crate::random;
use crate::signature::{SignatureAlgorithm, domain_separated};

/// A secret key that signs. Cloning shares the secret, which is erased when the last clone is dropped.
///
/// Every algorithm here is derived from a 32-byte seed (FIPS 204 `ξ`, RFC 8032 secret key).
#[derive(Clone)]
pub struct SigningKey {
    secret: Arc<Secret>,
    public_key: PublicKey,
}

struct Secret {
    seed: Zeroizing<[u8; 32]>,
    pair: Pair,
}

/// The library erases its copies of a key when it frees them.
enum Pair {
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

impl SigningKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the system has no entropy or memory.
    pub fn generate(algorithm: SignatureAlgorithm) -> Result<Self, CryptoError> {
        let mut seed = Zeroizing::new([0; 32]);
        random::fill(seed.as_mut_slice())?;
        Self::from_seed(algorithm, &seed)
    }

    /// The key that belongs to a seed: the same seed always gives the same key. For key files, tests and simulation.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the system has no memory.
    pub fn from_seed(algorithm: SignatureAlgorithm, seed: &[u8; 32]) -> Result<Self, CryptoError> {
        let failed = CryptoError::Library("derive a key from its seed");
        let (pair, public_key) = match algorithm.ml_dsa() {
            None => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| failed)?;
                let public_key = PublicKey::from_bytes(algorithm, pair.public_key().as_ref())?;
                (Pair::Ed25519(pair), public_key)
            }
            Some(parameters) => {
                let pair = PqdsaKeyPair::from_seed(parameters, seed).map_err(|_| failed)?;
                let public_key = PublicKey::from_bytes(algorithm, pair.public_key().as_ref())?;
                (Pair::MlDsa(pair), public_key)
            }
        };
        let secret = Secret { seed: Zeroizing::new(*seed), pair };
        Ok(Self { secret: Arc::new(secret), public_key })
    }

    /// The algorithm the key signs with.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.public_key.algorithm()
    }

    /// The public half. The clone is cheap.
    pub fn public_key(&self) -> PublicKey {
        self.public_key.clone()
    }

    /// Signs `message` under `domain`; the signature has [`SignatureAlgorithm::signature_len`] bytes.
    ///
    /// ML-DSA signing is hedged: two signatures over the same message differ, and both verify.
    ///
    /// # Errors
    /// [`CryptoError::DomainTooLong`] for a domain of more than 255 bytes; [`CryptoError::Library`] when the system has
    /// no entropy or memory.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = CryptoError::Library("sign");
        domain_separated(domain, message, |bytes| match &self.secret.pair {
            Pair::Ed25519(pair) => match pair.try_sign(bytes) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(failed),
            },
            Pair::MlDsa(pair) => {
                let mut signature = vec![0; self.algorithm().signature_len()];
                match pair.sign(bytes, &mut signature) {
                    Ok(len) if len == signature.len() => Ok(signature),
                    _ => Err(failed),
                }
            }
        })
    }

    /// The seed, for the key file and nothing else.
    pub(crate) fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret.seed
    }

    /// The secret key as PKCS #8 in DER, for the TLS library of the validator links and nothing else.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library cannot encode the key.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let document = match &self.secret.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::MlDsa(pair) => pair.to_pkcs8v1(),
        };
        let document = document.map_err(|_| CryptoError::Library("encode a key"))?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public_key", &self.public_key)
            .field("secret", &format_args!("[secret]"))
            .finish()
    }
}
