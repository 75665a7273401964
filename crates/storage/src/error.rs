//! Why the store refuses, and what the operator does next.

use std::path::{Path, PathBuf};

/// Everything that can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What is on disk is not what was committed.
    #[error(
        "the store at {} is damaged: {what}. Do not start this validator from it and do not delete or restore it: \
         the votes that it may have forgotten were already sent, and voting again could contradict them. Keep the \
         directory for examination and bring the validator back as a new one: make fresh keys (agent-mesh init), \
         let the others admit it, and let it fetch the blocks from them.",
        dir.display()
    )]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Another process has the store open.
    #[error(
        "the store at {} is in use by {holder}: stop that process first, or start this one with another --home",
        dir.display()
    )]
    Locked {
        /// The store's directory.
        dir: PathBuf,
        /// What the lock file says about its holder.
        holder: String,
    },
    /// The store belongs to another network.
    #[error(
        "the store at {} belongs to network {found}, but this validator's genesis is of network {expected}: start \
         with the genesis that the store was made for, or with an empty --home",
        dir.display()
    )]
    OtherNetwork {
        /// The store's directory.
        dir: PathBuf,
        /// The caller's network, hexadecimal.
        expected: String,
        /// The store's network, hexadecimal.
        found: String,
    },
    /// The store has a format that this program does not read.
    #[error(
        "the store at {} has format {found}, this program reads format {supported}: use the version of agent-mesh \
         that wrote it",
        dir.display()
    )]
    OtherFormat {
        /// The store's directory.
        dir: PathBuf,
        /// The format found.
        found: String,
        /// The format that this program reads.
        supported: u32,
    },
    /// The directory could not be opened or made; nothing is known to be wrong with what it holds.
    #[error("cannot open the store at {}: {source}. Check the path, its owner and the free space", dir.display())]
    Open {
        /// The store's directory.
        dir: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A commit failed. The store refuses all further commits; whether this one survives is known after a restart.
    #[error(
        "writing to the store failed: {what}. The validator must stop; free space on the disk or replace it, then start again"
    )]
    Write {
        /// What failed.
        what: String,
    },
    /// A commit after a failed one.
    #[error("the store refuses to write because an earlier write failed; the validator must stop and be started again")]
    Poisoned,
    /// A table outside the list given at open.
    #[error("there is no table {table}: the store was opened with {tables} tables")]
    NoSuchTable {
        /// The table asked for.
        table: u8,
        /// How many there are.
        tables: usize,
    },
    /// A key or value outside its bounds, or unusable options; nothing was written.
    #[error("{what} of {bytes} bytes is out of bounds (at least 1 for a key, at most {max})")]
    OutOfBounds {
        /// "key" or "value".
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Table names or options that cannot make a store.
    #[error("cannot open a store with these options: {what}")]
    BadOptions {
        /// What is wrong.
        what: String,
    },
}

impl StoreError {
    /// Damage, with what was found.
    pub(crate) fn damaged(dir: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { dir: dir.to_owned(), what: what.into() }
    }

    /// An answer of the system while opening: the kinds that mean unreadable content are damage, the others
    /// (permission, space, a missing parent) are the environment's.
    pub(crate) fn opening(dir: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match source.kind() {
            InvalidData | UnexpectedEof => Self::damaged(dir, source.to_string()),
            _ => Self::Open { dir: dir.to_owned(), source },
        }
    }
}
