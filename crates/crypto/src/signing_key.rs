//! Signing keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, PqdsaKeyPair};
use zeroize::Zeroizing;

use crate::derive::hkdf;
use crate::digest::HashAlgorithm;
use crate::error::CryptoError;
use crate::public_key::PublicKey;
use crate::signature::{SignatureAlgorithm, domain_separated};
use crate::{random, slh_dsa};

/// A secret key that signs. Cloning shares the secret, which is erased when the last clone is dropped.
///
/// Every algorithm here is derived from a 32-byte seed: it is FIPS 204 `ξ` and the RFC 8032 secret key; for SLH-DSA and two
/// families HKDF makes the seeds out of it (docs/formats.md). Stateful schemes have [`crate::IdentityKey`] instead.
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
    SlhDsa(slh_dsa::Pair),
    TwoFamilies(PqdsaKeyPair, slh_dsa::Pair),
}

/// What separates the lattice half's seed from all else that is derived from a seed.
const FIRST_HALF_INFO: &[u8] = b"agent-mesh/two-families/ml-dsa-87";

impl Pair {
    /// The pair of a seed with the encoding of its public key.
    fn from_seed(algorithm: SignatureAlgorithm, seed: &[u8; 32]) -> Result<(Self, Vec<u8>), CryptoError> {
        let failed = |_| CryptoError::Library("derive a key from its seed");
        match (algorithm.ml_dsa(), algorithm.slh_dsa()) {
            (Some(parameters), None) => {
                let pair = PqdsaKeyPair::from_seed(parameters, seed).map_err(failed)?;
                let public = pair.public_key().as_ref().to_vec();
                Ok((Self::MlDsa(pair), public))
            }
            (None, Some(set)) => {
                let (pair, public) = slh_dsa::Pair::from_seed(set, seed)?;
                Ok((Self::SlhDsa(pair), public.to_vec()))
            }
            (Some(parameters), Some(set)) => {
                let mut first_seed = Zeroizing::new([0; 32]);
                hkdf(HashAlgorithm::Sha256, &[], seed, &[FIRST_HALF_INFO], first_seed.as_mut_slice())?;
                let first = PqdsaKeyPair::from_seed(parameters, first_seed.as_slice()).map_err(failed)?;
                let (second, second_public) = slh_dsa::Pair::from_seed(set, seed)?;
                let public = [first.public_key().as_ref(), &second_public].concat();
                Ok((Self::TwoFamilies(first, second), public))
            }
            (None, None) if algorithm.is_stateful() => Err(CryptoError::Stateful(algorithm)),
            (None, None) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(failed)?;
                let public = pair.public_key().as_ref().to_vec();
                Ok((Self::Ed25519(pair), public))
            }
        }
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self {
            Self::Ed25519(pair) => match pair.try_sign(bytes) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(CryptoError::Library("sign")),
            },
            Self::MlDsa(pair) => sign_ml_dsa(pair, bytes),
            Self::SlhDsa(pair) => pair.sign(bytes),
            Self::TwoFamilies(first, second) => {
                let mut signature = sign_ml_dsa(first, bytes)?;
                signature.extend(second.sign(bytes)?);
                Ok(signature)
            }
        }
    }
}

fn sign_ml_dsa(pair: &PqdsaKeyPair, bytes: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut signature = vec![0; pair.algorithm().signature_len()];
    match pair.sign(bytes, &mut signature) {
        Ok(len) if len == signature.len() => Ok(signature),
        _ => Err(CryptoError::Library("sign")),
    }
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
    /// [`CryptoError::Stateful`] for HSS/LMS; [`CryptoError::Library`] when the system has no memory.
    pub fn from_seed(algorithm: SignatureAlgorithm, seed: &[u8; 32]) -> Result<Self, CryptoError> {
        let (pair, public) = Pair::from_seed(algorithm, seed)?;
        let public_key = PublicKey::from_bytes(algorithm, &public)?;
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
    /// ML-DSA and SLH-DSA signing is hedged: two signatures over the same message differ, and both verify.
    ///
    /// # Errors
    /// [`CryptoError::DomainTooLong`] for a domain of more than 255 bytes; [`CryptoError::Library`] when the system has
    /// no entropy or memory.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        domain_separated(self.algorithm(), domain, message, |bytes| self.secret.pair.sign(bytes))
    }

    /// The seed, for the key file and nothing else.
    pub(crate) fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret.seed
    }

    /// The secret key as PKCS #8 in DER, for the TLS library of the validator links and nothing else.
    ///
    /// # Errors
    /// [`CryptoError::NotForLinks`]; [`CryptoError::Library`] when the library cannot encode the key.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let document = match &self.secret.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::MlDsa(pair) => pair.to_pkcs8v1(),
            Pair::SlhDsa(_) | Pair::TwoFamilies(..) => return Err(CryptoError::NotForLinks(self.algorithm())),
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
