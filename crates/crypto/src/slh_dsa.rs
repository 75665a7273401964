//! SLH-DSA (FIPS 205) through the `fips205` library: keys from a 32-byte seed, hedged signatures, an empty context.

use fips205::traits::{KeyGen as _, SerDes as _, Signer as _, Verifier as _};
use fips205::{CryptoRng, RngCore, RngError, slh_dsa_sha2_128f, slh_dsa_sha2_128s};
use zeroize::Zeroizing;

use crate::derive::hkdf;
use crate::digest::HashAlgorithm;
use crate::error::CryptoError;
use crate::random;

/// Bytes of a public key of both parameter sets.
pub(crate) const PUBLIC_KEY_LEN: usize = slh_dsa_sha2_128f::PK_LEN;
/// Bytes of a signature of the small parameter set.
pub(crate) const SMALL_LEN: usize = slh_dsa_sha2_128s::SIG_LEN;
/// Bytes of a signature of the fast parameter set.
pub(crate) const FAST_LEN: usize = slh_dsa_sha2_128f::SIG_LEN;

/// The two parameter sets in use; both rest on SHA-256 alone and reach NIST category 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// SLH-DSA-SHA2-128s: short signatures, slow signing.
    Small,
    /// SLH-DSA-SHA2-128f: long signatures, faster signing.
    Fast,
}

/// A secret key; the library erases it when it is dropped.
pub(crate) enum Pair {
    Small(Box<slh_dsa_sha2_128s::PrivateKey>),
    Fast(Box<slh_dsa_sha2_128f::PrivateKey>),
}

impl Pair {
    /// The key pair of a seed: `HKDF-SHA256(seed, info = "agent-mesh/" ‖ name)` gives SK.seed, SK.prf and PK.seed.
    pub(crate) fn from_seed(set: Set, seed: &[u8; 32]) -> Result<(Self, [u8; PUBLIC_KEY_LEN]), CryptoError> {
        let name: &[u8] = match set {
            Set::Small => b"agent-mesh/slh-dsa-sha2-128s",
            Set::Fast => b"agent-mesh/slh-dsa-sha2-128f",
        };
        let mut parts = Zeroizing::new([[0_u8; 16]; 3]);
        hkdf(HashAlgorithm::Sha256, &[], seed, &[name], parts.as_flattened_mut())?;
        let [sk_seed, sk_prf, pk_seed] = &*parts;
        Ok(match set {
            Set::Small => {
                let (public, secret) = slh_dsa_sha2_128s::KG::keygen_from_seed(sk_seed, sk_prf, pk_seed);
                (Self::Small(Box::new(secret)), public.into_bytes())
            }
            Set::Fast => {
                let (public, secret) = slh_dsa_sha2_128f::KG::keygen_from_seed(sk_seed, sk_prf, pk_seed);
                (Self::Fast(Box::new(secret)), public.into_bytes())
            }
        })
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = |_| CryptoError::Library("sign");
        match self {
            Self::Small(key) => {
                key.try_sign_with_rng(&mut Generator, bytes, &[], true).map(|s| s.to_vec()).map_err(failed)
            }
            Self::Fast(key) => {
                key.try_sign_with_rng(&mut Generator, bytes, &[], true).map(|s| s.to_vec()).map_err(failed)
            }
        }
    }
}

/// Whether `signature` is of this key over `bytes`.
pub(crate) fn verify(set: Set, public_key: &[u8; PUBLIC_KEY_LEN], bytes: &[u8], signature: &[u8]) -> bool {
    match set {
        Set::Small => <&[u8; SMALL_LEN]>::try_from(signature).is_ok_and(|signature| {
            slh_dsa_sha2_128s::PublicKey::try_from_bytes(*public_key).is_ok_and(|key| key.verify(bytes, signature, &[]))
        }),
        Set::Fast => <&[u8; FAST_LEN]>::try_from(signature).is_ok_and(|signature| {
            slh_dsa_sha2_128f::PublicKey::try_from_bytes(*public_key).is_ok_and(|key| key.verify(bytes, signature, &[]))
        }),
    }
}

/// The library's generator in the form that `fips205` asks for.
struct Generator;

impl RngCore for Generator {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// Not used by `fips205`, which calls the fallible form; without entropy there is nothing better to do than to stop.
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        assert!(random::fill(bytes).is_ok(), "the system has no entropy to give");
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), RngError> {
        let refused = const { core::num::NonZeroU32::MIN.saturating_add(RngError::CUSTOM_START) };
        random::fill(bytes).map_err(|_| RngError::from(refused))
    }
}

impl CryptoRng for Generator {}
