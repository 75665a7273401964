//! Leaf counters: which one-time key comes next, remembered before it signs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::IdentityError;
use crate::digest::{Digest, HashAlgorithm};
use crate::keyfile::KeyFileError;
use crate::keyfile_disk as disk;
use crate::public_key::PublicKey;

const FORMAT: &str = "agent-mesh-leaf-counter";
const VERSION: u32 = 1;
/// Bytes of the longest counter file.
const MAX_LEN: usize = 1024;
const KEY_TAG: &str = "agent-mesh/leaf-counter/1";

/// Hands out leaves, each once. The implementation promises that a leaf it gave out, or tried to, is never given again, not
/// even after a crash.
pub trait LeafCounter: Send {
    /// The leaf that would be given next.
    fn next(&self) -> u64;

    /// Gives out a leaf after having remembered, durably, that it is used. After an error the leaf is given up.
    ///
    /// # Errors
    /// When it could not be remembered; then nothing may be signed.
    fn reserve(&mut self) -> Result<u64, IdentityError> {
        let leaf = self.next();
        self.skip_to(leaf.saturating_add(1))?;
        Ok(leaf)
    }

    /// Gives up all leaves below `leaf`, durably.
    ///
    /// # Errors
    /// [`IdentityError::Backwards`] for a leaf below the next one; or when it could not be remembered.
    fn skip_to(&mut self, leaf: u64) -> Result<(), IdentityError>;
}

/// A counter that forgets: for tests, simulation, and keys that live as long as the process.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MemoryCounter(u64);

impl MemoryCounter {
    /// A counter whose next leaf is this.
    pub const fn new(next: u64) -> Self {
        Self(next)
    }
}

impl LeafCounter for MemoryCounter {
    fn next(&self) -> u64 {
        self.0
    }

    fn skip_to(&mut self, leaf: u64) -> Result<(), IdentityError> {
        if leaf < self.0 {
            return Err(IdentityError::Backwards { next: self.0 });
        }
        self.0 = leaf;
        Ok(())
    }
}

/// A counter in a file of its own, replaced and synced for each leaf; locked against other processes while open.
#[derive(Debug)]
pub struct FileCounter {
    path: PathBuf,
    key: Digest,
    next: u64,
    /// Holds the lock until the counter is dropped.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: String,
    version: u32,
    /// Hash of the public key that the counter belongs to.
    key: Digest,
    next_leaf: u64,
}

impl FileCounter {
    /// A new counter at leaf 0 for this key.
    ///
    /// # Errors
    /// [`IdentityError::CounterExists`], [`IdentityError::InUse`], [`IdentityError::Counter`].
    pub fn create(path: &Path, public_key: &PublicKey) -> Result<Self, IdentityError> {
        if path.symlink_metadata().is_ok() {
            return Err(IdentityError::CounterExists(path.to_path_buf()));
        }
        let counter = Self { path: path.to_path_buf(), key: key_of(public_key), next: 0, _lock: lock(path)? };
        counter.store(0, disk::IfExists::Refuse)?;
        Ok(counter)
    }

    /// The counter that belongs to this key.
    ///
    /// # Errors
    /// [`IdentityError::CounterMissing`], [`IdentityError::CounterMalformed`], [`IdentityError::InUse`].
    pub fn open(path: &Path, public_key: &PublicKey) -> Result<Self, IdentityError> {
        let refuse = |reason| IdentityError::CounterMalformed { path: path.to_path_buf(), reason };
        if let Err(error) = path.symlink_metadata()
            && error.kind() == ErrorKind::NotFound
        {
            return Err(IdentityError::CounterMissing(path.to_path_buf()));
        }
        let lock = lock(path)?;
        let bytes = disk::read_up_to(path, MAX_LEN)?;
        let contents: Contents = serde_json::from_slice(&bytes).map_err(|_| refuse("it is damaged"))?;
        if contents.format != FORMAT || contents.version != VERSION {
            return Err(refuse("it is of another version of this program"));
        }
        let key = key_of(public_key);
        if contents.key != key {
            return Err(refuse("it belongs to another key"));
        }
        Ok(Self { path: path.to_path_buf(), key, next: contents.next_leaf, _lock: lock })
    }

    fn store(&self, next_leaf: u64, if_exists: disk::IfExists) -> Result<(), IdentityError> {
        let contents = Contents { format: FORMAT.to_owned(), version: VERSION, key: self.key, next_leaf };
        let failed = |source| IdentityError::Counter { path: self.path.clone(), source };
        let bytes = serde_json::to_vec(&contents).map_err(|error| failed(error.into()))?;
        disk::write(&self.path, &bytes, if_exists).map_err(|error| match error {
            KeyFileError::Io { source, .. } => failed(source),
            other => other.into(),
        })
    }
}

impl LeafCounter for FileCounter {
    fn next(&self) -> u64 {
        self.next
    }

    fn skip_to(&mut self, leaf: u64) -> Result<(), IdentityError> {
        if leaf < self.next {
            return Err(IdentityError::Backwards { next: self.next });
        }
        // Moved before the write, whose outcome is unknown when it fails: what may be on disk is not used either way.
        self.next = leaf;
        self.store(leaf, disk::IfExists::Replace)
    }
}

fn key_of(public_key: &PublicKey) -> Digest {
    HashAlgorithm::Sha256.hash(KEY_TAG, &[&[public_key.algorithm().wire_id()], public_key.as_bytes()])
}

/// The lock is on a file beside the counter, because the counter itself is replaced.
fn lock(path: &Path) -> Result<File, IdentityError> {
    let lock_path = path.with_extension("lock");
    let failed = |source| IdentityError::Counter { path: lock_path.clone(), source };
    disk::make_directory(path)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IdentityError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
