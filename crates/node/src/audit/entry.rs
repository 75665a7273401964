//! One entry of the audit log: a line of JSON whose hash covers its text and the hash before it.

use std::path::PathBuf;

use crypto::{Digest, HashAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Domain of the hashes: nothing else of ours is hashed under it.
const TAG: &str = "agent-mesh/audit/1";

/// Why the audit log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file cannot be read or written.
    #[error("the audit log cannot be used: {path}: {source}; check owner, mode and free space")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// An entry is not what was written.
    #[error("{path}, line {line}: {why}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Counts from 1, without gaps.
    pub seq: u64,
    /// When, by the node's clock, microseconds since the Unix epoch.
    pub time_us: u64,
    /// A fixed word: `start`, `stop`, `evidence` … (docs/audit.md).
    pub event: String,
    /// What else is known; depends on the event.
    pub details: Value,
    /// The hash of the entry before, hex; of nothing for the first.
    pub prev: String,
}

/// A line: the entry's text as it stands, and its hash.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    hash: Digest,
    entry: Box<RawValue>,
}

/// What stands in `prev` of the first entry.
pub(super) fn origin() -> Digest {
    HashAlgorithm::Sha384.hash(TAG, &[])
}

fn hash(text: &str) -> Digest {
    HashAlgorithm::Sha384.hash(TAG, &[text.as_bytes()])
}

/// The line of an entry, with its end, and its hash.
pub(super) fn write(entry: &AuditEntry) -> Result<(String, Digest), serde_json::Error> {
    let entry = serde_json::value::to_raw_value(entry)?;
    let hash = hash(entry.get());
    let mut line = serde_json::to_string(&Line { hash, entry })?;
    line.push('\n');
    Ok((line, hash))
}

/// The entry of a line and its hash, which is recomputed; the reason if they do not fit.
pub(super) fn read(line: &str) -> Result<(AuditEntry, Digest), String> {
    let Line { hash: said, entry } = serde_json::from_str(line).map_err(|error| format!("not an entry: {error}"))?;
    let computed = hash(entry.get());
    if computed != said {
        return Err("the entry was changed: its hash does not fit its text".to_owned());
    }
    let entry = serde_json::from_str(entry.get()).map_err(|error| format!("not an entry: {error}"))?;
    Ok((entry, computed))
}
