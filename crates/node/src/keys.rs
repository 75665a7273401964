//! The session keys of this validator: the one in use, the one that waits for the next epoch, and the identity that renews them.
//!
//! ```text
//! keys/session.key.json            the key of the genesis, until the first rotation
//! keys/session-<epoch>.key.json    a key for the epochs from that one on
//! keys/rotation-<epoch>.bin        the signed rotation that announces it, so that a restart need not use up another signature
//! keys/identity.key.json           signs rotations
//! ```
//!
//! A new key is on disk before its rotation leaves this process. An old key is erased only when an epoch that does not name it has begun,
//! durably. A crash in between leaves a key too many, never one too few.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus::config::IdentityKey as NamedIdentity;
use consensus::epoch::EpochContext;
use consensus::records::{RecordError, RecordReader, load_epoch};
use consensus::system::{ROTATION_TAG, Rotation, Slot, SystemTx};
use consensus::types::{Epoch, ValidatorIndex};
use consensus::{Decode, Encode};
use crypto::{CryptoError, IdentityError, IdentityKey, KeyFile, KeyFileError, KeyKind, PublicKey, SigningKey};
use engine::Keyring;

/// How many closed epochs are searched for this validator's last rotation, to compare its leaf with the counter here.
const WATERMARK_EPOCHS: u64 = 1_000;

/// Why keys cannot be used or renewed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A key.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store.
    #[error(transparent)]
    Store(#[from] RecordError),
    /// The directory.
    #[error("cannot {action} {path}: {source}; check the path, its owner and the free space")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The session keys at hand, with the identity that renews them.
pub struct NodeKeys {
    dir: PathBuf,
    name: String,
    sessions: Mutex<BTreeMap<PublicKey, (PathBuf, SigningKey)>>,
    identity: Option<IdentityKey>,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeysError {
    let path = path.to_path_buf();
    move |source| KeysError::Io { action, path, source }
}

impl NodeKeys {
    /// Reads every session key in the directory, and the identity if there is one. `name` is the validator's.
    pub fn open(dir: &Path, name: &str) -> Result<Self, KeysError> {
        let mut sessions = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(failed("read", dir))? {
            let path = entry.map_err(failed("read", dir))?.path();
            let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            if file.starts_with("session") && file.ends_with(".key.json") {
                let loaded = KeyFile::read(&path, KeyKind::Session)?;
                sessions.insert(loaded.key.public_key(), (path, loaded.key));
            }
        }
        let identity = identity_path(dir);
        let identity = if identity.exists() { Some(IdentityKey::open(&identity)?) } else { None };
        Ok(Self { dir: dir.to_path_buf(), name: name.to_owned(), sessions: Mutex::new(sessions), identity })
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<PublicKey, (PathBuf, SigningKey)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret half of a session key, if it is here.
    pub fn session(&self, key: &PublicKey) -> Option<SigningKey> {
        self.sessions().get(key).map(|(_, key)| key.clone())
    }

    /// The identity, if this home has one.
    pub const fn identity(&self) -> Option<&IdentityKey> {
        self.identity.as_ref()
    }

    /// My place in an epoch.
    fn place(&self, context: &EpochContext) -> Option<ValidatorIndex> {
        context.config.index_of(&self.name)
    }

    /// Whether the epoch names a session key for me that is not here: then this node observes until its identity has renewed the key.
    pub fn lacks_key(&self, context: &EpochContext) -> bool {
        let member = self.place(context).and_then(|me| context.config.member(me));
        member.is_some_and(|member| !self.holds(&member.session_key))
    }

    /// D5: compares the leaf in this validator's last finalized rotation with the counter here. A counter that is not beyond it has been
    /// restored from an old backup, and must not sign.
    pub fn check_watermark(&self, reader: &dyn RecordReader, present: &EpochContext) -> Result<(), KeysError> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let public_key = identity.public_key();
        let named = NamedIdentity::from(&public_key);
        let last = present.epoch().get();
        for epoch in (last.saturating_sub(WATERMARK_EPOCHS)..last).rev() {
            let Some(record) = load_epoch(reader, Epoch::new(epoch))? else { break };
            let mine = record.link.system.iter().find_map(|tx| match tx.as_ref() {
                SystemTx::Rotation(rotation) => Some(rotation).filter(|_| self.is_mine(&record.next, tx, &named)),
                SystemTx::Change(_) => None,
            });
            if let Some(leaf) = mine.and_then(|rotation| public_key.leaf_index(&rotation.by_identity)) {
                return Ok(identity.check_watermark(leaf)?);
            }
        }
        Ok(())
    }

    /// Whether a rotation is this validator's; places in the list may have moved with the epoch, so the new key's owner is looked up.
    fn is_mine(&self, next: &EpochContext, tx: &SystemTx, identity: &NamedIdentity) -> bool {
        let (SystemTx::Rotation(rotation), Slot::Rotation(_)) = (tx, tx.slot()) else { return false };
        let member = self.place(next).and_then(|me| next.config.member(me));
        member.is_some_and(|m| m.session_key == rotation.new_key && m.identity_key.as_ref() == Some(identity))
    }

    /// An epoch has begun, durably. Keys that neither it names nor the next one waits for are erased.
    pub fn entered(&self, context: &EpochContext) -> Result<(), KeysError> {
        let Some(me) = self.place(context) else { return Ok(()) };
        let Some(member) = context.config.member(me) else { return Ok(()) };
        let waits = self.key_path(context.epoch().next());
        let mut sessions = self.sessions();
        if !sessions.contains_key(&member.session_key) {
            return Ok(()); // nothing is known to be superseded by a key that is here
        }
        let gone: Vec<PublicKey> = sessions
            .iter()
            .filter(|(key, (path, _))| **key != member.session_key && *path != waits)
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some((path, _)) = sessions.remove(&key) {
                erase(&path)?;
            }
        }
        drop(sessions);
        for entry in std::fs::read_dir(&self.dir).map_err(failed("read", &self.dir))? {
            let path = entry.map_err(failed("read", &self.dir))?.path();
            let target = path.file_name().and_then(|file| file.to_str()).and_then(target_of);
            if target.is_some_and(|target| target <= context.epoch().get()) {
                std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    fn key_path(&self, target: Epoch) -> PathBuf {
        self.dir.join(format!("session-{target}.key.json"))
    }

    fn rotation_path(&self, target: Epoch) -> PathBuf {
        self.dir.join(format!("rotation-{target}.bin"))
    }

    /// The rotation to the next epoch: the one made before if there is one, else with a fresh key. `None` if this home has no identity, or
    /// is not the member that the epoch names. Signing takes some tenths of a second.
    pub fn rotation(&self, context: &EpochContext) -> Result<Option<SystemTx>, KeysError> {
        let (Some(identity), Some(me)) = (&self.identity, self.place(context)) else { return Ok(None) };
        let Some(member) = context.config.member(me) else { return Ok(None) };
        if member.identity_key.as_ref() != Some(&NamedIdentity::from(&identity.public_key())) {
            return Ok(None);
        }
        let target = context.epoch().next();
        let (key_path, rotation_path) = (self.key_path(target), self.rotation_path(target));
        let fresh = self.waiting_key(&key_path, context)?;
        if let Some(made) = read_rotation(&rotation_path)
            && made.new_key == fresh.public_key()
            && made.previous == context.start.hash
        {
            return Ok(Some(SystemTx::Rotation(Box::new(made))));
        }
        let mut rotation = Rotation {
            chain_id: context.chain_id,
            validator: me,
            target,
            previous: context.start.hash,
            old_key: member.session_key.clone(),
            new_key: fresh.public_key(),
            link_key: member.link_key.clone(),
            by_identity: Vec::new(),
            by_new_key: Vec::new(),
        };
        let content = rotation.content();
        rotation.by_new_key = fresh.sign(ROTATION_TAG, &content)?;
        rotation.by_identity = identity.sign(ROTATION_TAG, &content)?;
        write_file(&rotation_path, &rotation.to_bytes())?;
        Ok(Some(SystemTx::Rotation(Box::new(rotation))))
    }

    /// The key that waits for the next epoch, made and written if it is not there.
    fn waiting_key(&self, path: &Path, context: &EpochContext) -> Result<SigningKey, KeysError> {
        let held = self.sessions().values().find(|(held, _)| held == path).map(|(_, key)| key.clone());
        if let Some(key) = held {
            return Ok(key);
        }
        let key = SigningKey::generate(context.config.level.signature_algorithm())?;
        KeyFile::write(path, KeyKind::Session, &self.name, &key)?;
        self.sessions().insert(key.public_key(), (path.to_path_buf(), key.clone()));
        Ok(key)
    }
}

impl Keyring for NodeKeys {
    fn holds(&self, key: &PublicKey) -> bool {
        self.sessions().contains_key(key)
    }
}

/// Where a home's identity is.
pub fn identity_path(dir: &Path) -> PathBuf {
    dir.join("identity.key.json")
}

fn target_of(file: &str) -> Option<u64> {
    file.strip_prefix("rotation-")?.strip_suffix(".bin")?.parse().ok()
}

fn read_rotation(path: &Path) -> Option<Rotation> {
    // Anything unreadable is made anew; it costs one signature of the identity.
    std::fs::read(path).ok().and_then(|bytes| Rotation::from_bytes(&bytes).ok())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary).map_err(failed("write", &temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(failed("write", path))
}

/// Overwrites a key file and removes it. What the disk itself keeps elsewhere is beyond our reach.
fn erase(path: &Path) -> Result<(), KeysError> {
    let len = std::fs::metadata(path).map_err(failed("erase", path))?.len();
    let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed("erase", path))?;
    file.write_all(&vec![0; usize::try_from(len).unwrap_or(0)])
        .and_then(|()| file.sync_all())
        .map_err(failed("erase", path))?;
    std::fs::remove_file(path).map_err(failed("erase", path))?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("erase", path))?;
    }
    Ok(())
}

/// Shared keys.
pub type SharedKeys = Arc<NodeKeys>;
