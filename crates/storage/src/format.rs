//! The file that binds a directory to a format version, a network, a random name, its tables.

use crate::marker::STORE_ID_BYTES;
use crate::{MAX_TABLES, StoreError};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Name of the file.
pub(crate) const FILE: &str = "FORMAT";
/// The format that this program reads and writes.
pub(crate) const VERSION: u32 = 1;

const TITLE: &str = "agent-mesh store";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// The chain id.
    pub network: Vec<u8>,
    /// A random name, unknown to strangers.
    pub store_id: [u8; STORE_ID_BYTES],
    /// All tables that the store was ever opened with.
    pub tables: Vec<String>,
}

impl Format {
    /// For a new store.
    pub(crate) fn new(network: &[u8], tables: &[&str]) -> Self {
        let mut store_id = [0; STORE_ID_BYTES];
        for half in store_id.chunks_exact_mut(8) {
            // A fresh RandomState has keys from the system's random source: enough to be unguessable, and no crate.
            half.copy_from_slice(&RandomState::new().hash_one(TITLE).to_le_bytes());
        }
        Self { network: network.to_vec(), store_id, tables: tables.iter().map(|&t| t.to_owned()).collect() }
    }

    /// Reads the file; `None` when there is none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let bytes = match fs::read(dir.join(FILE)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::opening(dir, e)),
        };
        let broken = || StoreError::damaged(dir, format!("its file `{FILE}` does not decode"));
        let text = String::from_utf8(bytes).map_err(|_| broken())?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(broken());
        }
        let version: u32 =
            lines.next().and_then(|l| l.strip_prefix("format ")).and_then(|v| v.parse().ok()).ok_or_else(broken)?;
        if version != VERSION {
            return Err(StoreError::OtherFormat {
                dir: dir.to_owned(),
                found: version.to_string(),
                supported: VERSION,
            });
        }
        let mut field = |name: &str| lines.next().and_then(|l| l.strip_prefix(name)).and_then(|l| l.strip_prefix(' '));
        let parsed = (|| {
            let network = unhex(field("network")?)?;
            let store_id = unhex(field("id")?)?.try_into().ok()?;
            let tables = field("tables")?.split(' ').map(str::to_owned).collect();
            Some(Self { network, store_id, tables })
        })()
        .ok_or_else(broken)?;
        if parsed.encode() == text { Ok(Some(parsed)) } else { Err(broken()) }
    }

    /// Writes the file so that a crash leaves the old one or the new one.
    pub(crate) fn write(&self, dir: &Path) -> std::io::Result<()> {
        let new = dir.join("FORMAT.new");
        let mut file = File::create(&new)?;
        file.write_all(self.encode().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, dir.join(FILE))?;
        sync_dir(dir)
    }

    fn encode(&self) -> String {
        let (network, id, tables) = (hex(&self.network), hex(&self.store_id), self.tables.join(" "));
        let body = format!("{TITLE}\nformat {VERSION}\nnetwork {network}\nid {id}\ntables {tables}\n");
        let sum = xxh3_64(body.as_bytes());
        format!("{body}checksum {sum:016x}\n")
    }
}

/// Checks the names of tables: 1 to [`MAX_TABLES`] of them, different, of a-z, 0-9 and inner underscores.
pub(crate) fn check_tables(tables: &[&str]) -> Result<(), StoreError> {
    let bad = |what: String| Err(StoreError::BadOptions { what });
    if tables.is_empty() || tables.len() > MAX_TABLES {
        return bad(format!("{} tables, 1 to {MAX_TABLES} are possible", tables.len()));
    }
    for (i, name) in tables.iter().enumerate() {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if name.is_empty() || name.len() > 64 || name.starts_with('_') || !name.bytes().all(fits) {
            return bad(format!("the table name {name:?} is not of a-z, 0-9 and inner underscores"));
        }
        if tables.iter().take(i).any(|other| other == name) {
            return bad(format!("the table {name:?} is named twice"));
        }
    }
    Ok(())
}

/// Makes the directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Lower-case hexadecimal, `-` for nothing.
pub(crate) fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(d.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    let digits =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<Vec<u8>>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|p| p.iter().fold(0, |byte, d| byte << 4 | d)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_and_no_flipped_bit_passes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Format::read(dir.path()).unwrap(), None);
        let format = Format::new(b"net", &["votes", "blocks"]);
        format.write(dir.path()).unwrap();
        assert_eq!(Format::read(dir.path()).unwrap(), Some(format));

        let path = dir.path().join(FILE);
        let good = fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(Format::read(dir.path()).is_err(), "byte {i}");
        }
    }

    #[test]
    fn names_of_stores_differ() {
        assert_ne!(Format::new(b"", &["a"]).store_id, Format::new(b"", &["a"]).store_id);
    }

    #[test]
    fn table_names_are_checked() {
        for bad in [&["_a"][..], &["a", "a"], &[], &["A"], &["a b"]] {
            assert!(check_tables(bad).is_err(), "{bad:?}");
        }
        assert!(check_tables(&["a", "b_2"]).is_ok());
    }
}
