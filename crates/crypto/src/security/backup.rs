//! Backups of a key directory: one file, always sealed with a passphrase.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{MAX_FILE_LEN, Security, SecurityError, name};
use crate::keyfile_disk::{self as disk, IfExists};
use crate::sealed::{Argon2Cost, Passphrase, Sealed};

const FORMAT: &str = "agent-mesh-key-backup";
const VERSION: u32 = 1;
/// Bytes of the longest backup.
const MAX_BACKUP_LEN: usize = 64 * 1024 * 1024;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// Names of the files in it.
    pub files: Vec<String>,
    /// One-time keys, which are never backed up: a restored copy could sign twice.
    pub left_out: Vec<String>,
}

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Files that were written.
    pub restored: Vec<String>,
    /// Files that were there already, with the same content.
    pub present: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: String,
    version: u32,
    created_unix_s: u64,
    sealed: Sealed,
}

impl Security {
    /// All pairs and public keys as the text of a backup file, sealed with `passphrase`.
    ///
    /// # Errors
    /// [`SecurityError::File`], [`SecurityError::Directory`].
    pub fn backup(&self, passphrase: &Passphrase, cost: Argon2Cost) -> Result<(String, BackupReport), SecurityError> {
        let mut files = BTreeMap::new();
        for suffix in [".pair.json", ".pub.json"] {
            for path in self.files(suffix)? {
                let bytes = disk::read_up_to(&path, MAX_FILE_LEN)?;
                let text = String::from_utf8(bytes.to_vec()).map_err(|_| malformed("it is not UTF-8"))?;
                let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                files.insert(file_name.to_owned(), Zeroizing::new(text));
            }
        }
        let plain: BTreeMap<&str, &str> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(|error| malformed(&error.to_string()))?);
        let sealed = Sealed::seal(passphrase, cost, FORMAT.as_bytes(), &plain)?;
        let created_unix_s = disk::unix_time_s();
        let contents = Contents { format: FORMAT.to_owned(), version: VERSION, created_unix_s, sealed };
        let text = serde_json::to_string(&contents).map_err(|error| malformed(&error.to_string()))?;
        let once = self.files(".once.json")?;
        let left_out = once.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        Ok((text + "\n", BackupReport { files: files.keys().cloned().collect(), left_out }))
    }

    /// Writes back what a backup holds; nothing at all when one of its files is here with another content.
    ///
    /// # Errors
    /// [`SecurityError::RestoreConflict`], [`SecurityError::Malformed`], [`SecurityError::Crypto`] for a wrong passphrase.
    pub fn restore(&self, text: &str, passphrase: &Passphrase) -> Result<RestoreReport, SecurityError> {
        if text.len() > MAX_BACKUP_LEN {
            return Err(malformed("it is too long for a backup"));
        }
        let contents: Contents = serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))?;
        if contents.format != FORMAT || contents.version != VERSION {
            return Err(malformed("it is not a key backup of version 1"));
        }
        let plain = contents.sealed.open(passphrase, FORMAT.as_bytes())?;
        let files: BTreeMap<String, Zeroizing<String>> = serde_json::from_slice::<BTreeMap<String, String>>(&plain)
            .map_err(|_| malformed("its content is no list of files"))?
            .into_iter()
            .map(|(name, text)| (name, Zeroizing::new(text)))
            .collect();
        let mut report = RestoreReport { restored: Vec::new(), present: Vec::new() };
        for (file_name, content) in &files {
            check_file_name(file_name)?;
            let path = self.root().join(file_name);
            if path.symlink_metadata().is_err() {
                report.restored.push(file_name.clone());
            } else if disk::read_up_to(&path, MAX_FILE_LEN)?.as_slice() == content.as_bytes() {
                report.present.push(file_name.clone());
            } else {
                return Err(SecurityError::RestoreConflict(path));
            }
        }
        for file_name in &report.restored {
            let content = files.get(file_name).map(|text| text.as_bytes()).unwrap_or_default();
            disk::write(&self.root().join(file_name), content, IfExists::Refuse)?;
        }
        Ok(report)
    }
}

/// `NAME.pair.json`, `NAME.gN.pair.json` or `NAME.pub.json` and nothing else: a backup must not write elsewhere.
fn check_file_name(file_name: &str) -> Result<(), SecurityError> {
    let stem = file_name.strip_suffix(".pair.json").or_else(|| file_name.strip_suffix(".pub.json"));
    let stem = stem.ok_or_else(|| malformed("it names a file that is no key"))?;
    let stem = match stem.rsplit_once(".g") {
        Some((stem, generation)) if generation.parse::<u32>().is_ok() => stem,
        _ => stem,
    };
    name::check(stem)
}

fn malformed(why: &str) -> SecurityError {
    SecurityError::Malformed { what: "the backup".to_owned(), why: why.to_owned() }
}
