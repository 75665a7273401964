//! Signature algorithms, with the form in which every message is signed.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{
    ED25519, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
    PqdsaSigningAlgorithm, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};

use crate::error::CryptoError;
use crate::{hss, slh_dsa};

/// Bytes of the longest signature domain: its length travels in one byte.
pub const MAX_DOMAIN_LEN: usize = 255;

/// Messages up to this many bytes are put behind their domain on the stack, longer ones on the heap.
const STACK_LEN: usize = 1024;

/// What both halves of a two-family signature sign in front of the domain, with its length.
///
/// No domain of ours has this text, so a half that is cut out of such a signature is never a signature of its own.
const TWO_FAMILIES_LABEL: &str = "agent-mesh/ml-dsa-87+slh-dsa-sha2-128f";

/// Bytes of the ML-DSA-87 half of a two-family public key and signature, which comes first.
pub(crate) const FIRST_HALF_KEY_LEN: usize = 2592;
pub(crate) const FIRST_HALF_LEN: usize = 4627;

/// A signature algorithm.
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
    /// SLH-DSA-SHA2-128s (FIPS 205), NIST category 1: stateless, hash-based, slow to sign.
    SlhDsaSha2_128s = 5,
    /// SLH-DSA-SHA2-128f (FIPS 205), NIST category 1: stateless, hash-based, long signatures.
    SlhDsaSha2_128f = 6,
    /// HSS/LMS with SHA-256 (RFC 8554, SP 800-208): stateful, hash-based. Each one-time key signs once, so only an
    /// [`crate::IdentityKey`] makes such signatures.
    HssLms = 7,
    /// ML-DSA-87 followed by SLH-DSA-SHA2-128f over the same bytes; both must verify.
    MlDsa87SlhDsa128f = 8,
}

impl SignatureAlgorithm {
    /// Every algorithm, by wire id.
    pub const ALL: [Self; 8] = [
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
        Self::SlhDsaSha2_128s,
        Self::SlhDsaSha2_128f,
        Self::HssLms,
        Self::MlDsa87SlhDsa128f,
    ];

    /// The byte that stands for the algorithm in signed data: 1 to 8.
    pub const fn wire_id(self) -> u8 {
        self as u8
    }

    /// The algorithm a wire byte stands for.
    ///
    /// # Errors
    /// [`CryptoError::UnknownSignatureAlgorithm`] for 0 and for 9 and above.
    pub fn from_wire_id(id: u8) -> Result<Self, CryptoError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.wire_id() == id)
            .ok_or(CryptoError::UnknownSignatureAlgorithm(id))
    }

    /// The name in text forms, for instance `ml-dsa-65`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
            Self::SlhDsaSha2_128s => "slh-dsa-sha2-128s",
            Self::SlhDsaSha2_128f => "slh-dsa-sha2-128f",
            Self::HssLms => "hss-lms-sha256",
            Self::MlDsa87SlhDsa128f => "ml-dsa-87+slh-dsa-sha2-128f",
        }
    }

    /// Bytes of a signature: of each signature, but for HSS/LMS, where the tree heights decide, of the longest.
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
            Self::MlDsa87 => FIRST_HALF_LEN,
            Self::SlhDsaSha2_128s => slh_dsa::SMALL_LEN,
            Self::SlhDsaSha2_128f => slh_dsa::FAST_LEN,
            Self::HssLms => hss::MAX_SIGNATURE_LEN,
            Self::MlDsa87SlhDsa128f => FIRST_HALF_LEN + slh_dsa::FAST_LEN,
        }
    }

    /// Bytes of a public key.
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => FIRST_HALF_KEY_LEN,
            Self::SlhDsaSha2_128s | Self::SlhDsaSha2_128f => slh_dsa::PUBLIC_KEY_LEN,
            Self::HssLms => hss::PUBLIC_KEY_LEN,
            Self::MlDsa87SlhDsa128f => FIRST_HALF_KEY_LEN + slh_dsa::PUBLIC_KEY_LEN,
        }
    }

    /// Whether the algorithm resists a quantum computer.
    pub const fn is_post_quantum(self) -> bool {
        !matches!(self, Self::Ed25519)
    }

    /// Whether each signature uses up a part of the key, so that a counter must be kept.
    pub const fn is_stateful(self) -> bool {
        matches!(self, Self::HssLms)
    }

    /// The aws-lc-rs verifier: of the whole algorithm, or of the first half of two families; none where all is hash-based.
    pub(crate) fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::Ed25519 => Some(&ED25519),
            Self::MlDsa44 => Some(&ML_DSA_44),
            Self::MlDsa65 => Some(&ML_DSA_65),
            Self::MlDsa87 | Self::MlDsa87SlhDsa128f => Some(&ML_DSA_87),
            Self::SlhDsaSha2_128s | Self::SlhDsaSha2_128f | Self::HssLms => None,
        }
    }

    /// The aws-lc-rs ML-DSA parameters, where ML-DSA is the algorithm or its first half.
    pub(crate) fn ml_dsa(self) -> Option<&'static PqdsaSigningAlgorithm> {
        match self {
            Self::MlDsa44 => Some(&ML_DSA_44_SIGNING),
            Self::MlDsa65 => Some(&ML_DSA_65_SIGNING),
            Self::MlDsa87 | Self::MlDsa87SlhDsa128f => Some(&ML_DSA_87_SIGNING),
            Self::Ed25519 | Self::SlhDsaSha2_128s | Self::SlhDsaSha2_128f | Self::HssLms => None,
        }
    }

    /// The SLH-DSA parameter set of the algorithm or of its second half.
    pub(crate) const fn slh_dsa(self) -> Option<slh_dsa::Set> {
        match self {
            Self::SlhDsaSha2_128s => Some(slh_dsa::Set::Small),
            Self::SlhDsaSha2_128f | Self::MlDsa87SlhDsa128f => Some(slh_dsa::Set::Fast),
            _ => None,
        }
    }

    /// What stands in front of the domain in the signed bytes, with its length; nothing but for two families.
    const fn label(self) -> Option<&'static str> {
        match self {
            Self::MlDsa87SlhDsa128f => Some(TWO_FAMILIES_LABEL),
            _ => None,
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

/// Hands `[u8 len(label) ‖ label] ‖ u8 len(domain) ‖ domain ‖ message` to `act`: the bytes that are signed and verified.
///
/// A signature made under one domain therefore never verifies under another (the libraries' ML-DSA takes no context
/// string). Short messages are assembled on the stack.
///
/// # Errors
/// [`CryptoError::DomainTooLong`], or what `act` returns.
pub(crate) fn domain_separated<T>(
    algorithm: SignatureAlgorithm,
    domain: &str,
    message: &[u8],
    act: impl FnOnce(&[u8]) -> Result<T, CryptoError>,
) -> Result<T, CryptoError> {
    let domain_len = [u8::try_from(domain.len()).map_err(|_| CryptoError::DomainTooLong(domain.len()))?];
    let domain = domain.as_bytes();
    if let Some(label) = algorithm.label() {
        let label_len = [label.len() as u8];
        return act(&[&label_len, label.as_bytes(), &domain_len, domain, message].concat());
    }
    let prefix_len = 1 + domain.len();
    let total_len = prefix_len + message.len();
    if total_len <= STACK_LEN {
        let mut buffer = [0; STACK_LEN];
        buffer[..1].copy_from_slice(&domain_len);
        buffer[1..prefix_len].copy_from_slice(domain);
        buffer[prefix_len..total_len].copy_from_slice(message);
        act(&buffer[..total_len])
    } else {
        act(&[&domain_len, domain, message].concat())
    }
}
