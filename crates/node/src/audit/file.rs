//! The files of the audit log: appended, flushed, rotated.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crypto::Digest;
use serde_json::Value;

use super::entry::{self, AuditEntry, AuditError};

/// A file that has grown to this is followed by a new one.
#[cfg(not(test))]
const FILE_BYTES: u64 = 4 << 20;
#[cfg(test)]
const FILE_BYTES: u64 = 4 << 10;
/// Files kept; with them the log takes 256 MiB at most. The oldest goes first: copy it away before, if it is to be kept longer.
#[cfg(not(test))]
const FILES: usize = 64;
#[cfg(test)]
const FILES: usize = 3;

/// The log, open for appending.
pub(super) struct AuditFile {
    dir: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
    next: u64,
    last: Digest,
    torn_bytes: u64,
}

/// The files of a log in order: number and path.
pub(super) fn files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let failed = |source| AuditError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("audit-").and_then(|name| name.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn name(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("audit-{number:08}.jsonl"))
}

fn open(path: &Path) -> Result<File, AuditError> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| AuditError::Io { path: path.to_owned(), source })
}

/// Makes the names in a directory durable.
fn flush_dir(dir: &Path) -> Result<(), AuditError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| AuditError::Io { path: dir.to_owned(), source })
}

impl AuditFile {
    /// Opens the log, goes behind its last whole entry, and removes what a crash left of one that was not finished.
    pub(super) fn open(dir: &Path) -> Result<Self, AuditError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir).map_err(|source| AuditError::Io { path: dir.to_owned(), source })?;
        let mut found = files(dir)?;
        let (number, path) = found.pop().unwrap_or_else(|| (1, name(dir, 1)));
        let failed = |source| AuditError::Io { path: path.clone(), source };
        let mut file = open(&path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn_bytes = (text.len() - whole) as u64;
        if torn_bytes > 0 {
            file.set_len(whole as u64).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        let lines = String::from_utf8_lossy(&text[..whole]).into_owned();
        // A file may be empty after a crash between its making and its first entry: then the one before has the last entry.
        let (last_line, last_path) = match (lines.lines().last(), found.last()) {
            (None, Some((_, before))) => {
                let text = std::fs::read_to_string(before)
                    .map_err(|source| AuditError::Io { path: before.clone(), source })?;
                (text.lines().last().map(str::to_owned), before.clone())
            }
            (line, _) => (line.map(str::to_owned), path.clone()),
        };
        let (next, last) = match last_line {
            None => (1, entry::origin()),
            Some(line) => {
                let broken = |why| AuditError::Broken { path: last_path, line: lines.lines().count(), why };
                let (entry, hash) = entry::read(&line).map_err(broken)?;
                (entry.seq + 1, hash)
            }
        };
        flush_dir(dir)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), number, file, bytes: whole as u64, next, last, torn_bytes })
    }

    /// Bytes of an unfinished entry that were removed.
    pub(super) const fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Writes one entry; it is on disk when this returns.
    pub(super) fn append(&mut self, time_us: u64, event: &str, details: &Value) -> Result<(), AuditError> {
        if self.bytes >= FILE_BYTES {
            self.turn()?;
        }
        let entry = AuditEntry {
            seq: self.next,
            time_us,
            event: event.to_owned(),
            details: details.clone(),
            prev: self.last.to_string(),
        };
        let path = name(&self.dir, self.number);
        let failed = |source| AuditError::Io { path: path.clone(), source };
        let (line, hash) = entry::write(&entry).map_err(|error| failed(error.into()))?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // What stands half written would join the next entry: cut it off, as far as the disk lets us.
            let _ = self.file.set_len(self.bytes);
            return Err(failed(source));
        }
        self.bytes += line.len() as u64;
        self.next += 1;
        self.last = hash;
        Ok(())
    }

    fn turn(&mut self) -> Result<(), AuditError> {
        let number = self.number + 1;
        self.file = open(&name(&self.dir, number))?;
        flush_dir(&self.dir)?;
        (self.number, self.bytes) = (number, 0);
        let old = files(&self.dir)?;
        for (_, path) in &old[..old.len().saturating_sub(FILES)] {
            std::fs::remove_file(path).map_err(|source| AuditError::Io { path: path.clone(), source })?;
        }
        Ok(())
    }
}
