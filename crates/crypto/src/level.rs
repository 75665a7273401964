//! Security levels: the one number that picks every parameter set of a network.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::HashAlgorithm;
use crate::error::CryptoError;
use crate::kem::KemAlgorithm;
use crate::signature::SignatureAlgorithm;

/// The security level of a network, named after `lattice_dimension` in the configuration.
///
/// Levels are ordered: a running network may be raised, never lowered. Serialized as the dimension (0 for classical).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum SecurityLevel {
    /// Ed25519 and X25519: for comparison only, breaks before a quantum computer.
    Classical,
    /// ML-KEM-512, ML-DSA-44, SHA-256: NIST category 1–2.
    Level512,
    /// ML-KEM-768, ML-DSA-65, SHA-256: NIST category 3, the default.
    Level768,
    /// ML-KEM-1024, ML-DSA-87, SHA-384: NIST category 5, the CNSA 2.0 set.
    Level1024,
    /// Two families at once: ML-KEM-1024 with HQC-256, ML-DSA-87 with SLH-DSA-SHA2-128f, SHA-384. Links are of one family.
    Level2048,
}

impl SecurityLevel {
    /// Every level, weakest first.
    pub const ALL: [Self; 5] = [Self::Classical, Self::Level512, Self::Level768, Self::Level1024, Self::Level2048];

    /// The level of a `lattice_dimension` (0, 512, 768, 1024 or 2048).
    ///
    /// # Errors
    /// [`CryptoError::UnknownLevel`] names the legal ones.
    pub fn from_dimension(dimension: u32) -> Result<Self, CryptoError> {
        Self::ALL.into_iter().find(|level| level.dimension() == dimension).ok_or(CryptoError::UnknownLevel(dimension))
    }

    /// The `lattice_dimension` of this level; 0 for classical.
    pub const fn dimension(self) -> u32 {
        match self {
            Self::Classical => 0,
            Self::Level512 => 512,
            Self::Level768 => 768,
            Self::Level1024 => 1024,
            Self::Level2048 => 2048,
        }
    }

    /// The byte that stands for this level in signed data.
    pub const fn wire_id(self) -> u8 {
        match self {
            Self::Classical => 0,
            Self::Level512 => 1,
            Self::Level768 => 2,
            Self::Level1024 => 3,
            Self::Level2048 => 4,
        }
    }

    /// The level a wire byte stands for.
    ///
    /// # Errors
    /// [`CryptoError::UnknownLevel`] for a byte above 4.
    pub fn from_wire_id(id: u8) -> Result<Self, CryptoError> {
        Self::ALL.get(usize::from(id)).copied().ok_or(CryptoError::UnknownLevel(u32::from(id)))
    }

    /// The algorithm of votes and block headers.
    pub const fn signature_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Classical => SignatureAlgorithm::Ed25519,
            Self::Level512 => SignatureAlgorithm::MlDsa44,
            Self::Level768 => SignatureAlgorithm::MlDsa65,
            Self::Level1024 => SignatureAlgorithm::MlDsa87,
            Self::Level2048 => SignatureAlgorithm::MlDsa87SlhDsa128f,
        }
    }

    /// The algorithm with which a validator authenticates its links: one family at every level, because TLS has no more.
    pub const fn link_signature_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Level2048 => SignatureAlgorithm::MlDsa87,
            level => level.signature_algorithm(),
        }
    }

    /// The algorithm that encrypts application data, or none at the classical level, which offers no such encryption.
    pub const fn kem_algorithm(self) -> Option<KemAlgorithm> {
        match self {
            Self::Classical => None,
            Self::Level512 => Some(KemAlgorithm::MlKem512),
            Self::Level768 => Some(KemAlgorithm::MlKem768),
            Self::Level1024 => Some(KemAlgorithm::MlKem1024),
            Self::Level2048 => Some(KemAlgorithm::MlKem1024Hqc256),
        }
    }

    /// The hash of blocks, states and identifiers.
    pub const fn hash_algorithm(self) -> HashAlgorithm {
        match self {
            Self::Classical | Self::Level512 | Self::Level768 => HashAlgorithm::Sha256,
            Self::Level1024 | Self::Level2048 => HashAlgorithm::Sha384,
        }
    }

    /// Whether the level resists a quantum computer.
    pub const fn is_post_quantum(self) -> bool {
        !matches!(self, Self::Classical)
    }
}

impl fmt::Display for SecurityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classical => f.write_str("classical"),
            level => write!(f, "{}", level.dimension()),
        }
    }
}

impl TryFrom<u32> for SecurityLevel {
    type Error = CryptoError;

    fn try_from(dimension: u32) -> Result<Self, CryptoError> {
        Self::from_dimension(dimension)
    }
}

impl From<SecurityLevel> for u32 {
    fn from(level: SecurityLevel) -> Self {
        level.dimension()
    }
}
