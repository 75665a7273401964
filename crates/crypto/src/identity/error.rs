//! Why an identity key did not sign or open.

use std::path::PathBuf;

use crate::error::CryptoError;
use crate::keyfile::KeyFileError;

/// Why an identity key was not made, opened or used. Messages say what to do and hold no key material.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The library.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// Every leaf is used.
    #[error(
        "identity key {name:?} has made all of its {capacity} signatures and makes no more: have the members replace this \
         validator's identity, and let the next key sign its successor when it starts to warn"
    )]
    Exhausted {
        /// The key's name.
        name: String,
        /// Signatures it could make.
        capacity: u64,
    },
    /// The reservation did not reach the disk. Nothing was signed, and the leaf is given up.
    #[error(
        "the leaf counter {path} cannot be written ({source}), so nothing was signed: make room on the disk or repair it, then try \
         again"
    )]
    Counter {
        /// The counter.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The counter is not there.
    #[error(
        "the leaf counter {0} is missing: without it a leaf could sign twice, which gives the key away. Restore it from where \
         the key last ran (never from a backup older than its last signature), or replace this identity"
    )]
    CounterMissing(PathBuf),
    /// A counter where a new key wants to start.
    #[error("the leaf counter {0} of another key is in the way: move it to where its key is")]
    CounterExists(PathBuf),
    /// The counter is of another key or damaged.
    #[error(
        "the leaf counter {path} is refused: {reason}. Restore the one that belongs to the key, or replace this identity"
    )]
    CounterMalformed {
        /// The counter.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// Another process signs with this key.
    #[error("identity key {0} is in use by another process: two at once could use a leaf twice, stop the other one")]
    InUse(PathBuf),
    /// The counter is behind what the network has seen.
    #[error(
        "identity key {name:?} comes from an old copy: its next leaf is {next}, but the network has seen leaf {highest_seen} used. \
         It does not sign, because a leaf used twice gives the key away. Bring back the newest key directory (with its .leaf file); if \
         that is lost, have the members replace this validator's identity"
    )]
    Rollback {
        /// The key's name.
        name: String,
        /// The leaf it would use next.
        next: u64,
        /// The highest leaf seen in a verified signature.
        highest_seen: u64,
    },
    /// Leaves are never taken back.
    #[error("the next leaf is {next} already: leaves below it may be used and are never taken back")]
    Backwards {
        /// The leaf it would use next.
        next: u64,
    },
}
