//! Keys, signatures, key encapsulation and key files: every primitive comes from a library.
//!
//! One noun a module:
//!
//! - [`SecurityLevel`] chooses the parameter sets of a network,
//! - [`Digest`], [`HashAlgorithm`] and [`Hasher`] give tagged hashes,
//! - [`SigningKey`], [`PublicKey`] and [`SignatureAlgorithm`] sign and verify, each message under a domain,
//! - [`kem`] encapsulates shared secrets (ML-KEM, FIPS 203; with HQC at level 2048),
//! - [`container`] encrypts streams of any length to a key,
//! - [`security`] is all of it by name: a directory of key pairs and of others' public keys,
//! - [`IdentityKey`] is a validator's long-term key: HSS/LMS with a durable leaf counter, or a stateless scheme,
//! - [`KeyFile`] keeps a signing key on disk,
//! - [`pool`] and [`cache`] save work, [`memory`] keeps secrets from swap, [`report`] tells the operator,
//! - [`random`] draws from the operating system's generator.
//!
//! Secrets are zeroized when dropped and print as `[secret]`. Nothing here implements a primitive: ML-DSA (FIPS 204),
//! ML-KEM (FIPS 203), Ed25519 and HKDF come from aws-lc-rs, SLH-DSA (FIPS 205) from fips205, HSS/LMS (RFC 8554) from hbs-lms,
//! HQC (FIPS 207 draft) from hqc-kem, Argon2id from argon2.

pub mod cache;
mod constant_time;
pub mod container;
mod derive;
mod digest;
mod error;
mod hss;
mod identity;
pub mod kem;
mod keyfile;
mod keyfile_disk;
#[cfg(test)]
mod known_answers;
mod level;
pub mod memory;
pub mod pool;
mod public_key;
pub mod random;
pub mod report;
mod sealed;
pub mod security;
mod signature;
mod signing_key;
mod slh_dsa;

pub use constant_time::equal as constant_time_equal;
pub use digest::{Digest, HashAlgorithm, Hasher};
pub use error::CryptoError;
pub use hss::{HssHeights, TreeHeight};
pub use identity::{FileCounter, IdentityError, IdentityKey, IdentityScheme, LeafCounter, MemoryCounter};
pub use kem::KemAlgorithm;
pub use keyfile::{KeyFile, KeyFileError, KeyKind, LoadedKey, set_key_passphrase};
pub use level::SecurityLevel;
pub use public_key::PublicKey;
pub use sealed::{Argon2Cost, Passphrase};
pub use signature::{MAX_DOMAIN_LEN, SignatureAlgorithm};
pub use signing_key::SigningKey;
