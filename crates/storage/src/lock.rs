//! One process per store: a lock file that says who holds it.

use crate::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// Name of the lock file.
pub(crate) const FILE: &str = "LOCK";

/// The lock, held until dropped (the system releases it when the process dies).
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the store in `dir`, which must exist.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let open = |e| StoreError::opening(dir, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(FILE))
            .map_err(open)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let holder = match (read, holder.trim()) {
                    (Ok(_), text) if !text.is_empty() => text.to_owned(),
                    _ => "another process".to_owned(),
                };
                return Err(StoreError::Locked { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(open(e)),
        }
        file.set_len(0).map_err(open)?;
        let home = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        writeln!(file, "process {} (store {})", std::process::id(), home.display()).map_err(open)?;
        Ok(Self { _file: file })
    }
}
