//! The sidecar file that remembers how many commits were flushed.

use crate::StoreError;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Name of the file.
pub(crate) const FILE: &str = "watermark";

const MAGIC: [u8; 8] = *b"AMwater1";
const RECORD_BYTES: usize = 24;

/// The counter of the latest flushed commit, overwritten in place after each flush. It is not synced each time: after
/// a power failure it may lag behind the store, but it never leads, so "store behind watermark" always means loss.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
}

impl Watermark {
    /// Makes the file of a new store, synced, at zero.
    pub(crate) fn create(dir: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(dir.join(FILE))?;
        let mark = Self { file };
        mark.set(0)?;
        mark.sync()?;
        Ok(mark)
    }

    /// Opens the file of an existing store, and says how many commits were flushed.
    pub(crate) fn open(dir: &Path) -> Result<(Self, u64), StoreError> {
        let file = match OpenOptions::new().read(true).write(true).open(dir.join(FILE)) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::damaged(dir, format!("its file `{FILE}` is missing")));
            }
            Err(e) => return Err(StoreError::opening(dir, e)),
        };
        let length = file.metadata().map_err(|e| StoreError::opening(dir, e))?.len();
        let mut record = [0; RECORD_BYTES];
        file.read_exact_at(&mut record, 0).map_err(|e| StoreError::opening(dir, e))?;
        match decode(&record).filter(|_| length == RECORD_BYTES as u64) {
            Some(counter) => Ok((Self { file }, counter)),
            None => Err(StoreError::damaged(dir, format!("its file `{FILE}` does not decode"))),
        }
    }

    /// Records that all commits up to `counter` are flushed.
    pub(crate) fn set(&self, counter: u64) -> std::io::Result<()> {
        self.file.write_all_at(&encode(counter), 0)
    }

    /// Forces the record to disk.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_all()
    }
}

fn encode(counter: u64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&MAGIC);
    record[8..16].copy_from_slice(&counter.to_le_bytes());
    let sum = xxh3_64(&record[..16]);
    record[16..].copy_from_slice(&sum.to_le_bytes());
    record
}

fn decode(record: &[u8; RECORD_BYTES]) -> Option<u64> {
    let counter = u64::from_le_bytes(record.get(8..16)?.try_into().ok()?);
    (encode(counter) == *record).then_some(counter)
}
