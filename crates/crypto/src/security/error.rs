//! Why an operation by name was refused.

use std::path::PathBuf;

use crate::container::ContainerError;
use crate::digest::Digest;
use crate::error::CryptoError;
use crate::identity::IdentityError;
use crate::keyfile::KeyFileError;
use crate::signature::SignatureAlgorithm;

/// Why an operation of [`super::Security`] failed. Messages say what to do and hold no key material.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A name that is no name.
    #[error("{0:?} is no name for a key: use 1 to 64 letters, digits, - and _")]
    Name(String),
    /// The name is taken.
    #[error("there is a key {0:?} already: choose another name, or rotate it")]
    Exists(String),
    /// Nothing is known under the name.
    #[error("there is no key {0:?} here: import the public file of its owner, or see the list for the names")]
    Unknown(String),
    /// Only the public half is here.
    #[error("only the public half of {0:?} is here: its owner must do this")]
    NoSecret(String),
    /// An import under the name of an own key.
    #[error("{0:?} is a key of your own: import the other one under another name")]
    Own(String),
    /// An older generation than the known one.
    #[error("generation {given} of {name:?} is not newer than the known generation {known}: it is an old public file")]
    Stale {
        /// The name.
        name: String,
        /// Generation that is known.
        known: u32,
        /// Generation that was given.
        given: u32,
    },
    /// Other keys under a known name, without the known keys' consent.
    #[error(
        "these are other keys for {0:?}, and the known ones have not signed for them: compare fingerprints with the owner over another \
         channel, then import with --replace. If the owner rotated more than once, import the generations in between first"
    )]
    NoSuccession(String),
    /// The recipient's keys only sign.
    #[error("the keys of {0:?} only sign: nothing can be encrypted to them")]
    NoEncryption(String),
    /// No secret here opens it.
    #[error("the container is encrypted to key {0}, whose secret half is not here")]
    NotForMe(Digest),
    /// A one-time pair has signed.
    #[error("the one-time key {0:?} has signed its message and is erased: make a new one")]
    Used(String),
    /// A one-time pair cannot be rotated.
    #[error("{0:?} is a one-time key: make a new one instead of rotating it")]
    OneTimeRotation(String),
    /// Not a signature file.
    #[error("this is not an agent-mesh signature ({0}): it was cut off, has something behind it, or is something else")]
    SignatureFormat(&'static str),
    /// The signature names another key.
    #[error("the signature is of another key ({found}, {algorithm}) than that of {signer:?} ({known})")]
    OtherSigner {
        /// Key id in the signature.
        found: Digest,
        /// Algorithm in the signature.
        algorithm: SignatureAlgorithm,
        /// Key id of the signer.
        known: Digest,
        /// The signer's name.
        signer: String,
    },
    /// The signature does not fit.
    #[error("the signature does not verify: the data was changed after {0:?} signed it")]
    SignatureInvalid(String),
    /// A file that is not what it should be.
    #[error("{what} cannot be understood: {why}")]
    Malformed {
        /// Which file.
        what: String,
        /// What is wrong; never a secret.
        why: String,
    },
    /// The classical level.
    #[error(
        "there is no quantum-resistant key at the classical level: set lattice_dimension to 512, 768, 1024 or 2048"
    )]
    Level,
    /// More files than looked at.
    #[error("the key directory holds more than {0} files: move some away")]
    TooMany(usize),
    /// The directory.
    #[error("cannot read the key directory {path}: {source}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Reading the message.
    #[error("cannot read the message: {0}")]
    Message(std::io::Error),
    /// Restoring over something else.
    #[error("{0} is there already and differs from the backup: move it away first. Nothing was restored")]
    RestoreConflict(PathBuf),
    /// A key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A one-time key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The library.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}
