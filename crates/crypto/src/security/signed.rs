//! Detached signatures over data of any length.

use std::io::{ErrorKind, Read};

use super::SecurityError;
use crate::digest::{Digest, HashAlgorithm};
use crate::public_key::PublicKey;
use crate::signature::SignatureAlgorithm;

const MAGIC: &[u8; 4] = b"AMqs";
const VERSION: u16 = 1;
/// The domain under which the digest of data is signed.
pub(crate) const DOMAIN: &str = "agent-mesh/file-signature/v1";
const DATA_TAG: &str = "agent-mesh/file/v1";
const KEY_ID_TAG: &str = "agent-mesh/signature-key-id/1";

/// A signature with the algorithm and the id of the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachedSignature {
    algorithm: SignatureAlgorithm,
    key_id: Digest,
    signature: Vec<u8>,
}

impl DetachedSignature {
    pub(crate) fn new(key: &PublicKey, signature: Vec<u8>) -> Self {
        Self { algorithm: key.algorithm(), key_id: key_id(key), signature }
    }

    /// `"AMqs" ‖ u16 1 ‖ u8 algorithm ‖ key id (32) ‖ signature`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let version = VERSION.to_be_bytes();
        [&MAGIC[..], &version, &[self.algorithm.wire_id()], self.key_id.as_bytes(), &self.signature].concat()
    }

    /// Reads [`DetachedSignature::to_bytes`].
    ///
    /// # Errors
    /// [`SecurityError::SignatureFormat`], [`SecurityError::Crypto`] for an unknown algorithm.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecurityError> {
        let malformed = SecurityError::SignatureFormat;
        let rest = bytes.strip_prefix(MAGIC).ok_or(malformed("it begins otherwise"))?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(malformed("it ends early"))?;
        if u16::from_be_bytes(*version) != VERSION {
            return Err(malformed("its version is not 1"));
        }
        let (algorithm, rest) = rest.split_first().ok_or(malformed("it ends early"))?;
        let algorithm = SignatureAlgorithm::from_wire_id(*algorithm)?;
        let (key_id, signature) = rest.split_first_chunk::<32>().ok_or(malformed("it ends early"))?;
        let (len, longest) = (signature.len(), algorithm.signature_len());
        if len > longest || len < longest && !algorithm.is_stateful() {
            return Err(malformed("its length does not fit its algorithm"));
        }
        Ok(Self { algorithm, key_id: Digest::from_slice(key_id)?, signature: signature.to_vec() })
    }

    /// The algorithm it says it is of.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    pub(crate) fn verify(&self, key: &PublicKey, message: &mut impl Read, signer: &str) -> Result<(), SecurityError> {
        let known = key_id(key);
        if self.algorithm != key.algorithm() || self.key_id != known {
            let (found, algorithm) = (self.key_id, self.algorithm);
            return Err(SecurityError::OtherSigner { found, algorithm, known, signer: signer.to_owned() });
        }
        let digest = digest(message)?;
        let genuine = key.verify(DOMAIN, digest.as_bytes(), &self.signature);
        genuine.map_err(|_| SecurityError::SignatureInvalid(signer.to_owned()))
    }
}

/// What names a signature key.
fn key_id(key: &PublicKey) -> Digest {
    HashAlgorithm::Sha256.hash(KEY_ID_TAG, &[&[key.algorithm().wire_id()], key.as_bytes()])
}

/// SHA-384 of the data, in constant memory.
pub(crate) fn digest(message: &mut impl Read) -> Result<Digest, SecurityError> {
    let mut hasher = HashAlgorithm::Sha384.hasher(DATA_TAG);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match message.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(len) => hasher.update(buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(SecurityError::Message(error)),
        }
    }
}
