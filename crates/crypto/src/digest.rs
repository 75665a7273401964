//! Tagged hashes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

use crate::error::CryptoError;

/// Bytes of the longest digest.
const MAX_LEN: usize = 48;

/// A hash value of 32 (SHA-256) or 48 (SHA-384) bytes.
///
/// Text and serde form: lower-case hexadecimal. Ordered by length, then bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    len: u8,
    /// Zero beyond `len`, so that the derived comparisons are right.
    bytes: [u8; MAX_LEN],
}

impl std::hash::Hash for Digest {
    /// The first sixteen bytes are as good as all of them: a digest is evenly spread already.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        if let Some(head) = self.bytes.first_chunk::<16>() {
            state.write_u128(u128::from_ne_bytes(*head));
        }
    }
}

impl Digest {
    /// A digest from its 32 or 48 bytes.
    ///
    /// # Errors
    /// [`CryptoError::DigestLength`] for any other length.
    pub fn from_slice(slice: &[u8]) -> Result<Self, CryptoError> {
        match slice.len() {
            32 | 48 => Ok(Self::padded(slice)),
            other => Err(CryptoError::DigestLength(other)),
        }
    }

    /// Only called with the output of a hash function or a checked slice.
    fn padded(slice: &[u8]) -> Self {
        let mut bytes = [0; MAX_LEN];
        bytes[..slice.len()].copy_from_slice(slice);
        Self { len: slice.len() as u8, bytes }
    }

    /// The bytes of the digest, 32 or 48 of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// How many bytes the digest has: 32 or 48.
    #[allow(clippy::len_without_is_empty, reason = "a digest is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.bytes[..4]))
    }
}

impl FromStr for Digest {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let strict = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        let bytes = if strict { hex::decode(text).ok() } else { None };
        bytes.and_then(|bytes| Self::from_slice(&bytes).ok()).ok_or(CryptoError::DigestText)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A hash function of FIPS 180-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-256: 128 bits against collisions.
    Sha256,
    /// SHA-384: 192 bits against collisions.
    Sha384,
}

impl HashAlgorithm {
    /// Bytes of a digest: 32 or 48.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// `H(u8 len(tag) ‖ tag ‖ parts concatenated)`.
    ///
    /// The parts are not separated: where their lengths vary, the caller writes the lengths too.
    ///
    /// # Panics
    /// When `tag`, a constant of the caller, is longer than 255 bytes.
    pub fn hash(self, tag: &str, parts: &[&[u8]]) -> Digest {
        let mut hasher = self.hasher(tag);
        for part in parts {
            hasher.update(part);
        }
        hasher.finish()
    }

    /// A hasher that has taken in `u8 len(tag) ‖ tag`.
    ///
    /// # Panics
    /// When `tag`, a constant of the caller, is longer than 255 bytes.
    pub fn hasher(self, tag: &str) -> Hasher {
        let len = u8::try_from(tag.len());
        assert!(len.is_ok(), "a hash tag is a constant of at most 255 bytes");
        let mut hasher = match self {
            Self::Sha256 => Hasher(State::Sha256(sha2::Sha256::new())),
            Self::Sha384 => Hasher(State::Sha384(sha2::Sha384::new())),
        };
        hasher.update(&[len.unwrap_or(u8::MAX)]);
        hasher.update(tag.as_bytes());
        hasher
    }
}

/// A hash under way, made by [`HashAlgorithm::hasher`].
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
}

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::padded(&state.finalize()),
            State::Sha384(state) => Digest::padded(&state.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}
