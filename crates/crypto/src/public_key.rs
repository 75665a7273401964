//! Public keys that verify signatures.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::CryptoError;
use crate::signature::{SignatureAlgorithm, domain_separated};

/// A public key with its algorithm. Cloning is cheap; the key is parsed once, not at each verification.
///
/// Text and serde form: `ml-dsa-65:<base64>`. Ordered by algorithm, then bytes.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: SignatureAlgorithm,
    /// Keeps the bytes it was parsed from as well.
    parsed: Arc<ParsedPublicKey>,
}

impl PublicKey {
    /// A public key from its standard encoding (FIPS 204 `pk`, RFC 8032 point).
    ///
    /// # Errors
    /// [`CryptoError::PublicKeyLength`] or [`CryptoError::PublicKeyInvalid`].
    pub fn from_bytes(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<Self, CryptoError> {
        let expected = algorithm.public_key_len();
        // Checked here because the library would take a DER encoding too, and one key must have one encoding.
        if bytes.len() != expected {
            return Err(CryptoError::PublicKeyLength { algorithm, expected, actual: bytes.len() });
        }
        let parsed = ParsedPublicKey::new(algorithm.verification(), bytes)
            .map_err(|_| CryptoError::PublicKeyInvalid(algorithm))?;
        Ok(Self { algorithm, parsed: Arc::new(parsed) })
    }

    /// The algorithm the key is for.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The standard encoding, [`SignatureAlgorithm::public_key_len`] bytes.
    pub fn as_bytes(&self) -> &[u8] {
        (*self.parsed).as_ref()
    }

    /// Checks that `signature` was made by this key over `message` under `domain`.
    ///
    /// # Errors
    /// [`CryptoError::SignatureInvalid`]; [`CryptoError::DomainTooLong`] for a domain of more than 255 bytes.
    pub fn verify(&self, domain: &str, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if signature.len() != self.algorithm.signature_len() {
            return Err(CryptoError::SignatureInvalid);
        }
        domain_separated(domain, message, |bytes| {
            self.parsed.verify_sig(bytes, signature).map_err(|_| CryptoError::SignatureInvalid)
        })
    }

    /// The X.509 `SubjectPublicKeyInfo` in DER, as TLS raw public keys (RFC 7250) carry it.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the library cannot encode the key.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, CryptoError> {
        let der: PublicKeyX509Der<'static> =
            self.parsed.as_der().map_err(|_| CryptoError::Library("encode a public key"))?;
        Ok(der.as_ref().to_vec())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.algorithm, self.as_bytes()).cmp(&(other.algorithm, other.as_bytes()))
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.algorithm.hash(state);
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.as_bytes().get(..4).unwrap_or_default();
        write!(f, "PublicKey({}:{}…)", self.algorithm, hex::encode(head))
    }
}

impl FromStr for PublicKey {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let (name, encoded) = text.split_once(':').ok_or(CryptoError::PublicKeyText)?;
        let algorithm: SignatureAlgorithm = name.parse()?;
        let bytes = STANDARD.decode(encoded).map_err(|_| CryptoError::PublicKeyText)?;
        Self::from_bytes(algorithm, &bytes)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
