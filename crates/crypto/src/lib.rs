//! Keys, signatures, key encapsulation and key files: every primitive comes from a library.
//!
//! One noun a module:
//!
//! - [`SecurityLevel`] chooses the parameter sets of a network,
//! - [`Digest`], [`HashAlgorithm`] and [`Hasher`] give tagged hashes,
//! - [`SigningKey`], [`PublicKey`] and [`SignatureAlgorithm`] sign and verify, each message under a domain,
//! - [`kem`] encapsulates shared secrets (ML-KEM, FIPS 203),
//! - [`KeyFile`] keeps a signing key on disk,
//! - [`random`] draws from the operating system's generator.
//!
//! Secrets are zeroized when dropped and print as `[secret]`. Signatures are checked by aws-lc-rs (ML-DSA is FIPS 204,
//! Ed25519 is RFC 8032); nothing here implements a primitive.

mod constant_time;
mod digest;
mod error;
pub mod kem;
mod keyfile;
mod keyfile_disk;
mod level;
mod public_key;
pub mod random;
mod signature;
mod signing_key;

pub use constant_time::equal as constant_time_equal;
pub use digest::{Digest, HashAlgorithm, Hasher};
pub use error::CryptoError;
pub use kem::KemAlgorithm;
pub use keyfile::{KeyFile, KeyFileError, KeyKind, LoadedKey};
pub use level::SecurityLevel;
pub use public_key::PublicKey;
pub use signature::{MAX_DOMAIN_LEN, SignatureAlgorithm};
pub use signing_key::SigningKey;
