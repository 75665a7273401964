//! Verifies an audit log: every hash, every link to the entry before, every number.

use std::path::Path;

use crypto::Digest;

use super::entry::{self, AuditEntry, AuditError};
use super::file::files;

/// What a sound audit log holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditReport {
    /// Number of the first entry that is kept; above 1 when older files have been removed.
    pub first: u64,
    /// Number of the last entry; 0 if there is none.
    pub last: u64,
    /// The last entry's hash, hex. Keep it elsewhere: only against it can a log that was cut off at its end be told from a whole one.
    pub head: String,
    /// Files.
    pub files: usize,
    /// Whether the last line is cut off, as a crash in the middle of a write leaves it. The node removes it at its next start.
    pub torn: bool,
}

/// Verifies the log in `dir` and shows each entry to `each`, in order.
///
/// # Errors
/// [`AuditError::Broken`] names the first line that does not fit.
pub fn verify(dir: &Path, mut each: impl FnMut(&AuditEntry)) -> Result<AuditReport, AuditError> {
    let found = files(dir)?;
    let mut report = AuditReport { first: 1, last: 0, head: String::new(), files: found.len(), torn: false };
    let mut before: Option<(u64, Digest)> = None;
    let mut expected_number: Option<u64> = None;
    for (at, (number, path)) in found.iter().enumerate() {
        let broken = |line: usize, why: String| AuditError::Broken { path: path.clone(), line, why };
        if expected_number.is_some_and(|expected| expected != *number) {
            return Err(broken(1, "a file before this one is missing".to_owned()));
        }
        expected_number = Some(number + 1);
        let text = std::fs::read(path).map_err(|source| AuditError::Io { path: path.clone(), source })?;
        let text = String::from_utf8_lossy(&text);
        for (line, content) in text.split_inclusive('\n').enumerate() {
            let Some(content) = content.strip_suffix('\n') else {
                if at + 1 < found.len() {
                    return Err(broken(line + 1, "the line is cut off, and a later file follows".to_owned()));
                }
                report.torn = true;
                break;
            };
            let (entry, hash) = entry::read(content).map_err(|why| broken(line + 1, why))?;
            match before {
                // What the first kept entry follows cannot be checked once older files are gone, unless it is the very first.
                None if *number == 1 && (entry.seq != 1 || entry.prev != entry::origin().to_string()) => {
                    return Err(broken(line + 1, "the log does not begin with its first entry".to_owned()));
                }
                None => report.first = entry.seq,
                Some((seq, _)) if entry.seq != seq + 1 => {
                    return Err(broken(line + 1, format!("entry {} follows entry {seq}: some are missing", entry.seq)));
                }
                Some((_, hash)) if entry.prev != hash.to_string() => {
                    return Err(broken(line + 1, "the entry does not follow the one before it".to_owned()));
                }
                Some(_) => {}
            }
            each(&entry);
            before = Some((entry.seq, hash));
        }
    }
    if let Some((seq, hash)) = before {
        report.last = seq;
        report.head = hash.to_string();
    }
    Ok(report)
}
