//! What the tests of the durable store share: tables, commits, copying a directory as a crash leaves it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use storage::{Batch, ByteReader, ByteStore, FjallStore, StoreError, StoreOptions, TableId};

pub const TABLES: [&str; 2] = ["votes", "blocks"];
pub const VOTES: TableId = TableId(0);
pub const BLOCKS: TableId = TableId(1);

pub fn options() -> StoreOptions {
    StoreOptions { network: b"test-net".to_vec(), ..StoreOptions::default() }
}

pub fn open(dir: &Path) -> Result<FjallStore, StoreError> {
    FjallStore::open(dir, &TABLES, options())
}

/// Commit `n`: a vote under its number, and the latest vote.
pub fn vote(n: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(VOTES, n.to_be_bytes(), vec![n as u8; 40]).put(VOTES, *b"latest", n.to_be_bytes());
    batch
}

pub fn commit(store: &mut FjallStore, n: u64, durable: bool) {
    store.commit(&[vote(n)], durable).unwrap();
}

/// How many votes are there, checked to be 1..=count without gaps, each whole. `None` when reading says Damaged.
pub fn votes(reader: &dyn ByteReader) -> Option<u64> {
    let pairs = match reader.scan(VOTES, &[0], Some(b"l"), usize::MAX) {
        Ok(pairs) => pairs,
        Err(StoreError::Damaged { .. }) => return None,
        Err(other) => panic!("{other}"),
    };
    let count = pairs.len() as u64;
    for (n, (key, value)) in (1..).zip(pairs) {
        assert_eq!(key, u64::to_be_bytes(n), "a gap");
        assert_eq!(value, vec![n as u8; 40]);
    }
    let latest = match reader.get(VOTES, b"latest") {
        Ok(latest) => latest,
        Err(StoreError::Damaged { .. }) => return None,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(latest, (count > 0).then(|| count.to_be_bytes().to_vec()), "the latest vote is not the last");
    Some(count)
}

/// Copies a store while it is open, as a killed process leaves it. The zeros at the end of a journal become a hole.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            let length = fs::metadata(&path).unwrap().len();
            let mut file = File::create(&target).unwrap();
            file.write_all(&used_bytes(&path)).unwrap();
            file.set_len(length).unwrap();
        }
    }
}

/// The bytes of a file; of a journal those before the first 64 KiB of zeros, and without zeros at their end.
fn used_bytes(path: &Path) -> Vec<u8> {
    if path.extension().is_none_or(|e| e != "jnl") {
        return fs::read(path).unwrap();
    }
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    let mut file = File::open(path).unwrap();
    loop {
        let read = file.read(&mut chunk).unwrap();
        if chunk[..read].iter().all(|b| *b == 0) {
            break;
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
    bytes.truncate(bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1));
    bytes
}

/// All journals of a store: path and length without the zeros at the end.
pub fn journals(dir: &Path) -> Vec<(std::path::PathBuf, usize)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "jnl") {
            let used = used_bytes(&path).len();
            found.push((path, used));
        }
    }
    found.sort();
    found
}

/// Waits until the library has done its work in the background, as a copy would be no moment of it otherwise.
pub fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}

/// Flips one bit of a file.
pub fn flip(path: &Path, at: usize, bit: u8) {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at as u64).unwrap();
}
