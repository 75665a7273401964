//! The mark that binds a session key to the store it votes from, so that a validator whose store was lost does not vote twice (D5).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Name of the mark in the directory of the keys.
const FILE: &str = "session.store";

/// Whether the session key in `keys` has only ever voted from the store named `store_id`. The first store is written down before any vote.
pub(crate) fn belongs(keys: &Path, store_id: &str) -> io::Result<bool> {
    let path = keys.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim() == store_id),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let new = keys.join("session.store.new");
            // Like all files of this directory for its owner alone.
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            writeln!(file, "{store_id}")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(keys)?.sync_all()?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_store_counts_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        assert!(belongs(dir.path(), "first").unwrap());
        assert!(belongs(dir.path(), "first").unwrap());
        assert!(!belongs(dir.path(), "second").unwrap());
        assert!(!belongs(dir.path(), "second").unwrap(), "and it stays so");
    }
}
