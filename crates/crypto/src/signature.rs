//! Signature algorithms, with the form in which every message is signed.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{
    ED25519, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
    PqdsaSigningAlgorithm, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};

use crate::error::CryptoError;

/// Bytes of the longest signature domain: its length travels in one byte.
pub const MAX_DOMAIN_LEN: usize = 255;

/// Messages up to this many bytes are put behind their domain on the stack, longer ones on the heap.
const STACK_LEN: usize = 1024;

/// A signature algorithm. The wire ids from 5 on are reserved for hash-based schemes (SLH-DSA, LMS/HSS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[repr(u8)]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8032): for comparison only, breaks before a quantum computer.
    Ed25519 = 1,
    /// ML-DSA-44 (FIPS 204), NIST category 2.
    MlDsa44 = 2,
    /// ML-DSA-65 (FIPS 204), NIST category 3.
    MlDsa65 = 3,
    /// ML-DSA-87 (FIPS 204), NIST category 5.
    MlDsa87 = 4,
}

impl SignatureAlgorithm {
    /// Every algorithm, by wire id.
    pub const ALL: [Self; 4] = [Self::Ed25519, Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// The byte that stands for the algorithm in signed data: 1 to 4.
    pub const fn wire_id(self) -> u8 {
        self as u8
    }

    /// The algorithm a wire byte stands for.
    ///
    /// # Errors
    /// [`CryptoError::UnknownSignatureAlgorithm`] for 0 and for the reserved ids 5 and above.
    pub fn from_wire_id(id: u8) -> Result<Self, CryptoError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.wire_id() == id)
            .ok_or(CryptoError::UnknownSignatureAlgorithm(id))
    }

    /// The name in text forms: `ed25519`, `ml-dsa-44`, `ml-dsa-65` or `ml-dsa-87`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Bytes of a signature (constant for each algorithm).
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
            Self::MlDsa87 => 4627,
        }
    }

    /// Bytes of a public key.
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Whether the algorithm resists a quantum computer.
    pub const fn is_post_quantum(self) -> bool {
        !matches!(self, Self::Ed25519)
    }

    pub(crate) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &ED25519,
            Self::MlDsa44 => &ML_DSA_44,
            Self::MlDsa65 => &ML_DSA_65,
            Self::MlDsa87 => &ML_DSA_87,
        }
    }

    /// The library's ML-DSA parameters, or none for Ed25519, which has a type of its own there.
    pub(crate) fn ml_dsa(self) -> Option<&'static PqdsaSigningAlgorithm> {
        match self {
            Self::Ed25519 => None,
            Self::MlDsa44 => Some(&ML_DSA_44_SIGNING),
            Self::MlDsa65 => Some(&ML_DSA_65_SIGNING),
            Self::MlDsa87 => Some(&ML_DSA_87_SIGNING),
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = CryptoError;

    fn from_str(name: &str) -> Result<Self, CryptoError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(CryptoError::UnknownSignatureAlgorithmName)
    }
}

impl TryFrom<String> for SignatureAlgorithm {
    type Error = CryptoError;

    fn try_from(name: String) -> Result<Self, CryptoError> {
        name.parse()
    }
}

impl From<SignatureAlgorithm> for &'static str {
    fn from(algorithm: SignatureAlgorithm) -> Self {
        algorithm.name()
    }
}

/// Hands `u8 len(domain) ‖ domain ‖ message` to `act`: the bytes that are signed and verified.
///
/// A signature made under one domain therefore never verifies under another (the libraries' ML-DSA takes no context
/// string). Short messages are assembled on the stack.
///
/// # Errors
/// [`CryptoError::DomainTooLong`], or what `act` returns.
pub(crate) fn domain_separated<T>(
    domain: &str,
    message: &[u8],
    act: impl FnOnce(&[u8]) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    let domain = domain.as_bytes();
    let domain_len = u8::try_from(domain.len()).map_err(|_| CryptoError::DomainTooLong(domain.len()))?;
    let prefix_len = 1 + domain.len();
    let total_len = prefix_len + message.len();
    if total_len <= STACK_LEN {
        let mut buffer = [0; STACK_LEN];
        buffer[0] = domain_len;
        buffer[1..prefix_len].copy_from_slice(domain);
        buffer[prefix_len..total_len].copy_from_slice(message);
        act(&buffer[..total_len])
    } else {
        act(&[&[domain_len], domain, message].concat())
    }
}
