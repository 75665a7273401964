//! Key files: one signing key as versioned JSON on disk.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::CryptoError;
use crate::hss::HssHeights;
use crate::keyfile_disk as disk;
use crate::public_key::PublicKey;
use crate::sealed::{Argon2Cost, PROTECTION, Passphrase, Sealed};
use crate::signature::SignatureAlgorithm;
use crate::signing_key::SigningKey;

const FORMAT: &str = "agent-mesh-key";
const VERSION: u32 = 1;
const UNPROTECTED: &str = "none";
/// Room for the longest key file; a larger file is refused unread.
pub(crate) const MAX_FILE_LEN: usize = 64 * 1024;

/// The passphrase of all key files of this process, when there is one.
static PASSPHRASE: RwLock<Option<(Passphrase, Argon2Cost)>> = RwLock::new(None);

/// From now on this process seals every key file that it writes, and opens sealed ones, with this passphrase.
///
/// It is for the process as a whole so that no path that writes a key (a rotation, say) can forget it.
pub fn set_key_passphrase(passphrase: Passphrase, cost: Argon2Cost) {
    *PASSPHRASE.write().unwrap_or_else(PoisonError::into_inner) = Some((passphrase, cost));
}

pub(crate) fn key_passphrase() -> Option<(Passphrase, Argon2Cost)> {
    PASSPHRASE.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What a key is used for. A key of one kind is never accepted in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Signs votes and block headers; rotates.
    Session,
    /// Authenticates the validator's links.
    Link,
    /// The validator's long-term identity.
    Identity,
}

impl KeyKind {
    /// The name in key files: `session`, `link` or `identity`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Link => "link",
            Self::Identity => "identity",
        }
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A key read from a key file.
#[derive(Debug, Clone)]
pub struct LoadedKey {
    /// The name it was given when it was made.
    pub name: String,
    /// The key.
    pub key: SigningKey,
}

/// Why a key file was not written or read. Messages say what to do and hold no key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("cannot {action} key file {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of that name exists, and a key is never overwritten by accident.
    #[error("key file {0} exists already: move it away first, or choose another name")]
    Exists(PathBuf),
    /// Others could read the key.
    #[error("key file {path} is open to other users (mode {mode:04o}): run chmod 600 '{path}'")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others could replace the key.
    #[error("other users can write to {path} (mode {mode:04o}), the directory of a key file: run chmod go-w '{path}'")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file, or a symbolic link out of its directory.
    #[error("key file {path} is refused: {reason}")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not the JSON of a key file. Only the place is told, because the text may hold a secret.
    #[error(
        "key file {path} cannot be understood (line {line}, column {column}): restore it from a backup or make a new key"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 when the place is unknown.
        line: usize,
        /// Column.
        column: usize,
    },
    /// Written by a later release.
    #[error("key file {path} has version {version}, this program reads version 1: use the release that wrote it")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Protected in a way this release does not know.
    #[error(
        "key file {path} is protected in a way this program does not know (it knows \"none\" and \"argon2id+aes-256-gcm\"): \
         use the release that wrote it, or remove the protection there"
    )]
    Protection {
        /// The file.
        path: PathBuf,
    },
    /// Sealed, and no passphrase is at hand.
    #[error(
        "key file {path} is sealed with a passphrase: put the passphrase into a file of mode 0600 and name that file in \
         AGENT_MESH_PASSPHRASE_FILE (or --passphrase-file)"
    )]
    PassphraseNeeded {
        /// The file.
        path: PathBuf,
    },
    /// Sealed, and it does not open.
    #[error("key file {path}: {source}")]
    Unsealing {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CryptoError,
    },
    /// A key for something else.
    #[error("key file {path} holds a key of kind {found}, needed is {expected}: check which file is configured where")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: KeyKind,
        /// What was asked for.
        expected: KeyKind,
    },
    /// The two places that name the algorithm differ.
    #[error(
        "key file {path} says {field} but its public key is for {public_key}: it was edited, restore it from a backup"
    )]
    Algorithm {
        /// The file.
        path: PathBuf,
        /// What the field says.
        field: SignatureAlgorithm,
        /// What the public key says.
        public_key: SignatureAlgorithm,
    },
    /// The public key is not the seed's.
    #[error("the public key in {path} does not belong to its secret key: it was edited, restore it from a backup")]
    KeyMismatch {
        /// The file.
        path: PathBuf,
    },
    /// The library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Read first and leniently, so that a file of a later version is named as such.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
    protection: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: String,
    version: u32,
    kind: KeyKind,
    name: String,
    algorithm: SignatureAlgorithm,
    public_key: PublicKey,
    protection: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
    /// Tree heights of a stateful key, absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree_heights: Option<HssHeights>,
    created_unix_s: u64,
}

/// What a key file holds, before it is known whether the secret fits the public key.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) public_key: PublicKey,
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) tree_heights: Option<HssHeights>,
}

impl Stored {
    fn of(name: &str, key: &SigningKey) -> Self {
        Self { name: name.to_owned(), public_key: key.public_key(), seed: key.seed().clone(), tree_heights: None }
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl Contents {
    /// What is authenticated with a sealed seed: all that says which key it is.
    fn context(&self) -> String {
        let heights = self.tree_heights.map(|heights| heights.to_string()).unwrap_or_default();
        let Self { format, version, kind, name, public_key, .. } = self;
        format!("{format}\n{version}\n{kind}\n{name}\n{public_key}\n{heights}")
    }
}

/// Reads and writes key files.
#[derive(Debug)]
pub struct KeyFile;

impl KeyFile {
    /// Writes a key file with mode 0600, durably and all or nothing; never over an existing file.
    ///
    /// A missing directory is made with mode 0700.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], [`KeyFileError::Directory`], [`KeyFileError::Io`].
    pub fn write(path: &Path, kind: KeyKind, name: &str, key: &SigningKey) -> Result<(), KeyFileError> {
        write_stored(path, kind, &Stored::of(name, key), disk::IfExists::Refuse)
    }

    /// As [`KeyFile::write`], but takes the place of an existing key file (rotation).
    ///
    /// # Errors
    /// [`KeyFileError::Directory`], [`KeyFileError::Io`].
    pub fn replace(path: &Path, kind: KeyKind, name: &str, key: &SigningKey) -> Result<(), KeyFileError> {
        write_stored(path, kind, &Stored::of(name, key), disk::IfExists::Replace)
    }

    /// Reads a key file that only its owner can read, of the expected kind, whose parts agree with each other.
    ///
    /// # Errors
    /// See [`KeyFileError`]; each message says what to do.
    pub fn read(path: &Path, expected_kind: KeyKind) -> Result<LoadedKey, KeyFileError> {
        let stored = read_stored(path, expected_kind)?;
        let key = SigningKey::from_seed(stored.public_key.algorithm(), &stored.seed)?;
        if key.public_key() != stored.public_key {
            return Err(KeyFileError::KeyMismatch { path: path.to_path_buf() });
        }
        Ok(LoadedKey { name: stored.name, key })
    }
}

pub(crate) fn write_stored(
    path: &Path,
    kind: KeyKind,
    stored: &Stored,
    if_exists: disk::IfExists,
) -> Result<(), KeyFileError> {
    disk::write(path, &encode(kind, stored, path)?, if_exists)
}

/// Reads a key file whose parts agree, as far as they can be compared without deriving the key.
pub(crate) fn read_stored(path: &Path, expected_kind: KeyKind) -> Result<Stored, KeyFileError> {
    let bytes = disk::read(path)?;
    let contents = decode(&bytes, path)?;
    let path = || path.to_path_buf();
    if contents.kind != expected_kind {
        return Err(KeyFileError::Kind { path: path(), found: contents.kind, expected: expected_kind });
    }
    let named = contents.public_key.algorithm();
    if contents.algorithm != named {
        return Err(KeyFileError::Algorithm { path: path(), field: contents.algorithm, public_key: named });
    }
    if contents.tree_heights.is_some() != named.is_stateful() {
        return Err(KeyFileError::NotAKeyFile {
            path: path(),
            reason: "tree_heights belong to HSS/LMS keys, and only there",
        });
    }
    let malformed = || KeyFileError::Malformed { path: path(), line: 0, column: 0 };
    let mut seed = Zeroizing::new([0; 32]);
    match (&contents.seed, &contents.sealed) {
        (Some(text), None) => {
            if STANDARD.decode_slice(text, seed.as_mut_slice()) != Ok(seed.len()) {
                return Err(malformed());
            }
        }
        (None, Some(sealed)) => {
            let (passphrase, _) = key_passphrase().ok_or_else(|| KeyFileError::PassphraseNeeded { path: path() })?;
            let opened = sealed.open(&passphrase, contents.context().as_bytes());
            let opened = opened.map_err(|source| KeyFileError::Unsealing { path: path(), source })?;
            seed.copy_from_slice(opened.get(..32).filter(|_| opened.len() == 32).ok_or_else(malformed)?);
        }
        _ => return Err(malformed()),
    }
    let (name, public_key) = (contents.name.clone(), contents.public_key.clone());
    Ok(Stored { name, public_key, seed, tree_heights: contents.tree_heights })
}

fn encode(kind: KeyKind, stored: &Stored, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mut contents = Contents {
        format: FORMAT.to_owned(),
        version: VERSION,
        kind,
        name: stored.name.clone(),
        algorithm: stored.public_key.algorithm(),
        public_key: stored.public_key.clone(),
        protection: UNPROTECTED.to_owned(),
        seed: None,
        sealed: None,
        tree_heights: stored.tree_heights,
        created_unix_s: disk::unix_time_s(),
    };
    if let Some((passphrase, cost)) = key_passphrase() {
        let sealed = Sealed::seal(&passphrase, cost, contents.context().as_bytes(), stored.seed.as_slice())?;
        contents.sealed = Some(sealed);
        PROTECTION.clone_into(&mut contents.protection);
    } else {
        contents.seed = Some(STANDARD.encode(stored.seed.as_slice()));
    }
    // Reserved at once, so that growing leaves no copy of the seed behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN));
    serde_json::to_writer_pretty(&mut *bytes, &contents).map_err(|error| KeyFileError::Io {
        action: "encode",
        path: path.to_path_buf(),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    if bytes.len() > MAX_FILE_LEN {
        return Err(KeyFileError::NotAKeyFile { path: path.to_path_buf(), reason: "the key's name is too long" });
    }
    Ok(bytes)
}

fn decode(bytes: &[u8], path: &Path) -> Result<Contents, KeyFileError> {
    let malformed = |error: serde_json::Error| KeyFileError::Malformed {
        path: path.to_path_buf(),
        line: error.line(),
        column: error.column(),
    };
    let header: Header = serde_json::from_slice(bytes).map_err(malformed)?;
    if header.format != FORMAT {
        return Err(KeyFileError::NotAKeyFile {
            path: path.to_path_buf(),
            reason: "it is JSON, but not of an agent-mesh key",
        });
    }
    if header.version != VERSION {
        return Err(KeyFileError::Version { path: path.to_path_buf(), version: header.version });
    }
    if header.protection != UNPROTECTED && header.protection != PROTECTION {
        return Err(KeyFileError::Protection { path: path.to_path_buf() });
    }
    let contents: Contents = serde_json::from_slice(bytes).map_err(malformed)?;
    // What the field says is what is there, so that nobody takes a bare key for a sealed one.
    if (contents.protection == PROTECTION) != contents.sealed.is_some() {
        return Err(KeyFileError::Protection { path: path.to_path_buf() });
    }
    Ok(contents)
}
