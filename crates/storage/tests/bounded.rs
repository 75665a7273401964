//! A store that is pruned as it grows stays bounded on disk: small values, and large ones in files of their own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use storage::{Batch, ByteStore, FjallStore, StoreOptions, TableId};

/// Blocks kept, blocks written, blocks of one commit.
const KEPT: u64 = 1_000;
const WRITTEN: u64 = 32_000;
const STEP: u64 = 50;
/// Bytes of a header and of a body.
const SMALL: usize = 3_500;
const LARGE: usize = 20_000;

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries.map(|e| if e.path().is_dir() { disk_bytes(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

#[test]
fn removing_what_is_old_gives_the_disk_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { memtable_bytes: 1 << 20, journal_bytes: 64 << 20, ..StoreOptions::default() };
    let mut store = FjallStore::open(dir.path(), &["headers", "bodies"], options.clone()).unwrap();
    let mut noise = 1_u64;
    let mut bytes = |len: usize| -> Vec<u8> {
        let step = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 33) as u8
        };
        std::iter::repeat_with(step).take(len).collect()
    };
    let mut most = 0;
    for begin in (0..WRITTEN).step_by(STEP as usize) {
        let mut batch = Batch::new();
        for height in begin..begin + STEP {
            batch.put(TableId(0), height.to_be_bytes(), bytes(SMALL));
            batch.put(TableId(1), height.to_be_bytes(), bytes(LARGE));
            if let Some(old) = height.checked_sub(KEPT) {
                batch.delete(TableId(0), old.to_be_bytes());
                batch.delete(TableId(1), old.to_be_bytes());
            }
        }
        store.commit(&[batch], false).unwrap();
        most = most.max(disk_bytes(dir.path()));
    }
    let written = WRITTEN * (SMALL + LARGE) as u64;
    let live = KEPT * (SMALL + LARGE) as u64;
    // Two generations of journals, and large values that wait for the merge that gives them back.
    let bound = options.journal_bytes * 2 + 14 * live;
    println!("written {} MiB, live {} MiB, most on disk {} MiB", written >> 20, live >> 20, most >> 20);
    assert!(written > bound * 3 / 2, "the bound means something: {written} and {bound}");
    assert!(most < bound, "{most} bytes on disk, the bound is {bound}");
    drop(store);
    // What is left reads back.
    let store = FjallStore::open(dir.path(), &["headers", "bodies"], options).unwrap();
    let reader = store.reader();
    assert_eq!(reader.scan(TableId(1), &[0], None, 2_000).unwrap().len() as u64, KEPT);
}
