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
    /// A signature algorithm id that means nothing.
    #[error(
        "unknown signature algorithm id {0}: known are 1 (Ed25519), 2, 3, 4 (ML-DSA-44, -65, -87), 5, 6 (SLH-DSA-SHA2-128s, \
         -128f), 7 (HSS/LMS) and 8 (ML-DSA-87 with SLH-DSA-SHA2-128f)"
    )]
    UnknownSignatureAlgorithm(u8),
    /// A signature algorithm name that means nothing.
    #[error(
        "unknown signature algorithm name: known are ed25519, ml-dsa-44, ml-dsa-65, ml-dsa-87, slh-dsa-sha2-128s, \
         slh-dsa-sha2-128f, hss-lms-sha256 and ml-dsa-87+slh-dsa-sha2-128f"
    )]
    UnknownSignatureAlgorithmName,
    /// A tree height that RFC 8554 does not have, or more levels than two.
    #[error("tree heights are one or two of 5, 10, 15, 20, 25, written as 10 or 10/10")]
    TreeHeight,
    /// A stateful scheme was used where no leaf counter is kept.
    #[error("{0} keeps a counter of used one-time keys: make and use such a key as an identity key")]
    Stateful(SignatureAlgorithm),
    /// A key of an algorithm that the validator links do not know.
    #[error("{0} cannot authenticate links: TLS knows no such signatures")]
    NotForLinks(SignatureAlgorithm),
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
    /// A passphrase without a character.
    #[error("the passphrase is empty: put it on the first line of its file")]
    PassphraseEmpty,
    /// What is sealed does not open.
    #[error("the passphrase is wrong, or the sealed secret was changed")]
    Sealed,
    /// What is sealed asks for too much.
    #[error(
        "the sealed secret asks for {memory_kib} KiB and {passes} passes of Argon2id; allowed are 1048576 KiB and 32 passes: \
         it was not written by this program"
    )]
    SealedCost {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
    },
    /// The library failed where only exhaustion of memory or entropy can make it fail.
    #[error("the cryptographic library failed to {0}: is the machine out of memory or entropy?")]
    Library(&'static str),
}
