//! The reasons a cryptographic operation is refused.

use crate::signature::SignatureAlgorithm;

/// Why an operation of this crate failed. No variant carries key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A security level that does not exist.
    #[error(
        "there is no security level {0}: lattice_dimension is one of 512, 768, 1024, 2048 \
         (0 stands for classical cryptography)"
    )]
    UnknownLevel(u32),
    /// A security level that exists on paper only.
    #[error(
        "security level {0} (two independent families of signatures and encryption) is not built yet: \
         set lattice_dimension to 512, 768 or 1024"
    )]
    LevelUnavailable(u32),
    /// A signature algorithm id that means nothing (5 and above are reserved for hash-based schemes).
    #[error("unknown signature algorithm id {0}: known are 1 (Ed25519) and 2, 3, 4 (ML-DSA-44, -65, -87)")]
    UnknownSignatureAlgorithm(u8),
    /// A signature algorithm name that means nothing.
    #[error("unknown signature algorithm name: known are ed25519, ml-dsa-44, ml-dsa-65, ml-dsa-87")]
    UnknownSignatureAlgorithmName,
    /// A digest of a length no hash algorithm here produces.
    #[error("a digest has 32 or 48 bytes, not {0}")]
    DigestLength(usize),
    /// A digest text that is not lower-case hexadecimal of 64 or 96 characters.
    #[error("a digest is written as 64 or 96 lower-case hexadecimal characters")]
    DigestText,
    /// A public key of the wrong length.
    #[error("a public key of {algorithm} has {expected} bytes, not {actual}")]
    PublicKeyLength {
        /// The algorithm the key was said to be for.
        algorithm: SignatureAlgorithm,
        /// Bytes such a key has.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// Bytes that the library does not accept as a public key.
    #[error("these bytes are no valid public key of {0}")]
    PublicKeyInvalid(SignatureAlgorithm),
    /// A public key text that is not `algorithm:base64`.
    #[error("a public key is written as <algorithm>:<base64>, for example ml-dsa-65:AbC…")]
    PublicKeyText,
    /// The signature does not belong to this key, domain and message.
    #[error("the signature does not verify")]
    SignatureInvalid,
    /// A signature domain or hash tag longer than its length byte can say.
    #[error("a signature domain has at most 255 bytes, not {0}")]
    DomainTooLong(usize),
    /// A key or ciphertext of the wrong length for its key-encapsulation algorithm.
    #[error("{what} of {algorithm} has {expected} bytes, not {actual}")]
    KemLength {
        /// What was measured.
        what: &'static str,
        /// The name of the algorithm.
        algorithm: &'static str,
        /// Bytes it should have.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// Bytes that are no valid key-encapsulation key.
    #[error("these bytes are no valid key of {0}")]
    KemKeyInvalid(&'static str),
    /// A ciphertext of one parameter set was given to a key of another.
    #[error("the ciphertext belongs to another key-encapsulation algorithm than the key")]
    KemMismatch,
    /// The library failed where only exhaustion of memory or entropy can make it fail.
    #[error("the cryptographic library failed to {0}: is the machine out of memory or entropy?")]
    Library(&'static str),
}
