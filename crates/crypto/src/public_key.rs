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
use crate::signature::{FIRST_HALF_KEY_LEN, FIRST_HALF_LEN, SignatureAlgorithm, domain_separated};
use crate::{hss, slh_dsa};

/// A public key with its algorithm. Cloning is cheap; the key is parsed once, not at each verification.
///
/// Text and serde form: `ml-dsa-65:<base64>`. Ordered by algorithm, then bytes.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: SignatureAlgorithm,
    parsed: Arc<Parsed>,
}

enum Parsed {
    /// Keeps the bytes it was parsed from as well.
    Library(ParsedPublicKey),
    SlhDsa(slh_dsa::Set, [u8; slh_dsa::PUBLIC_KEY_LEN]),
    Hss(hss::Shape, [u8; hss::PUBLIC_KEY_LEN]),
    TwoFamilies {
        first: ParsedPublicKey,
        second: [u8; slh_dsa::PUBLIC_KEY_LEN],
        bytes: Vec<u8>,
    },
}

impl PublicKey {
    /// A public key from its standard encoding (FIPS 204 and 205 `pk`, RFC 8032 point, RFC 8554 HSS public key; for two
    /// families the two in that order).
    ///
    /// # Errors
    /// [`CryptoError::PublicKeyLength`] or [`CryptoError::PublicKeyInvalid`].
    pub fn from_bytes(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<Self, CryptoError> {
        let expected = algorithm.public_key_len();
        // Checked here because the library would take a DER encoding too, and one key must have one encoding.
        if bytes.len() != expected {
            return Err(CryptoError::PublicKeyLength { algorithm, expected, actual: bytes.len() });
        }
        let parsed = Parsed::new(algorithm, bytes).ok_or(CryptoError::PublicKeyInvalid(algorithm))?;
        Ok(Self { algorithm, parsed: Arc::new(parsed) })
    }

    /// The algorithm the key is for.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The standard encoding, [`SignatureAlgorithm::public_key_len`] bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &*self.parsed {
            Parsed::Library(key) => key.as_ref(),
            Parsed::SlhDsa(_, bytes) => bytes,
            Parsed::Hss(_, bytes) => bytes,
            Parsed::TwoFamilies { bytes, .. } => bytes,
        }
    }

    /// Checks that `signature` was made by this key over `message` under `domain`.
    ///
    /// # Errors
    /// [`CryptoError::SignatureInvalid`]; [`CryptoError::DomainTooLong`] for a domain of more than 255 bytes.
    pub fn verify(&self, domain: &str, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        domain_separated(self.algorithm, domain, message, |bytes| {
            if self.parsed.verifies(self.algorithm, bytes, signature) {
                Ok(())
            } else {
                Err(CryptoError::SignatureInvalid)
            }
        })
    }

    /// Which one-time key of this HSS/LMS key made `signature`, counted from 0 over the whole key; none for stateless
    /// algorithms and malformed signatures. The highest index that peers or the ledger have seen is the watermark for
    /// [`crate::IdentityKey::check_watermark`]; the signature must have been verified first.
    pub fn leaf_index(&self, signature: &[u8]) -> Option<u64> {
        match &*self.parsed {
            Parsed::Hss(shape, _) => shape.leaf_index(signature),
            _ => None,
        }
    }

    /// The X.509 `SubjectPublicKeyInfo` in DER, as TLS raw public keys (RFC 7250) carry it.
    ///
    /// # Errors
    /// [`CryptoError::NotForLinks`] for algorithms that TLS does not know; [`CryptoError::Library`] when the library cannot
    /// encode the key.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, CryptoError> {
        let Parsed::Library(key) = &*self.parsed else {
            return Err(CryptoError::NotForLinks(self.algorithm));
        };
        let der: PublicKeyX509Der<'static> = key.as_der().map_err(|_| CryptoError::Library("encode a public key"))?;
        Ok(der.as_ref().to_vec())
    }
}

impl Parsed {
    /// `bytes` have the algorithm's length.
    fn new(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Option<Self> {
        match (algorithm.verification(), algorithm.slh_dsa()) {
            (Some(verification), None) => ParsedPublicKey::new(verification, bytes).ok().map(Self::Library),
            (None, Some(set)) => Some(Self::SlhDsa(set, bytes.try_into().ok()?)),
            (Some(verification), Some(_)) => {
                let (first, second) = bytes.split_at_checked(FIRST_HALF_KEY_LEN)?;
                let first = ParsedPublicKey::new(verification, first).ok()?;
                Some(Self::TwoFamilies { first, second: second.try_into().ok()?, bytes: bytes.to_vec() })
            }
            (None, None) => {
                let bytes = bytes.try_into().ok()?;
                Some(Self::Hss(hss::Shape::of(&bytes)?, bytes))
            }
        }
    }

    fn verifies(&self, algorithm: SignatureAlgorithm, bytes: &[u8], signature: &[u8]) -> bool {
        let wrong_len = signature.len() != algorithm.signature_len();
        match self {
            Self::Hss(shape, key) => hss::verify(*shape, key, bytes, signature),
            _ if wrong_len => false,
            Self::Library(key) => key.verify_sig(bytes, signature).is_ok(),
            Self::SlhDsa(set, key) => slh_dsa::verify(*set, key, bytes, signature),
            Self::TwoFamilies { first, second, .. } => {
                signature.split_at_checked(FIRST_HALF_LEN).is_some_and(|(first_half, second_half)| {
                    first.verify_sig(bytes, first_half).is_ok()
                        && slh_dsa::verify(slh_dsa::Set::Fast, second, bytes, second_half)
                })
            }
        }
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
