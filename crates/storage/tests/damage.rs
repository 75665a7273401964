//! Damaged files: a durable commit is there, or the store says that it is damaged. Never less.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::*;
use std::fs::{self, File};
use std::path::Path;
use storage::{Batch, ByteStore, StoreError};

/// Opens a harmed copy; panics when it opens with fewer votes than were durable. Says whether it opened.
fn opens_whole(dir: &Path, durable: u64, what: &str) -> bool {
    match open(dir) {
        Err(StoreError::Damaged { .. }) => false,
        Err(other) => panic!("{what}: {other}"),
        Ok(mut store) => {
            let Some(count) = votes(&*store.reader()) else {
                return false;
            };
            assert!(count >= durable, "{what}: {count} of {durable} durable commits are left");
            commit(&mut store, count + 1, true);
            drop(store);
            assert_eq!(votes(&*open(dir).unwrap().reader()), Some(count + 1), "{what}: and it goes on");
            true
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_journal_shows() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    for n in 1..=6 {
        commit(&mut store, n, n % 2 == 0);
    }
    let (mut opened, mut refused) = (0, 0);
    let (path, used) = journals(dir.path()).remove(0);
    let name = path.strip_prefix(dir.path()).unwrap().to_owned();
    // Every byte of the last commit and every eleventh before.
    let harmed = (0..used).filter(|at| at % 11 == 0 || used - at < 260);
    for at in harmed {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        flip(&copied.path().join(&name), at, (at % 8) as u8);
        if opens_whole(copied.path(), 6, &format!("byte {at} of {used}")) {
            opened += 1;
        } else {
            refused += 1;
        }
    }
    assert!(refused > 10 * opened, "{opened} opened, {refused} refused");
}

#[test]
fn a_truncated_journal_shows_unless_only_the_tail_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    for n in 1..=4 {
        commit(&mut store, n, true);
    }
    let (_, flushed) = journals(dir.path()).remove(0);
    for n in 5..=6 {
        commit(&mut store, n, false);
    }
    let (path, used) = journals(dir.path()).remove(0);
    let name = path.strip_prefix(dir.path()).unwrap().to_owned();
    for cut in (0..=used).step_by(11).chain([flushed - 1, flushed, used]) {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        File::options().write(true).open(copied.path().join(&name)).unwrap().set_len(cut as u64).unwrap();
        let opened = opens_whole(copied.path(), 4, &format!("cut at {cut}"));
        assert_eq!(opened, cut >= flushed, "cut at {cut}, flushed until {flushed}");
    }
}

#[test]
fn a_lagging_watermark_does_not_hide_damage_between_durable_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let early = fs::read(dir.path().join("watermark")).unwrap();
    let mut ends = vec![0];
    for n in 1..=5 {
        commit(&mut store, n, n != 4);
        ends.push(journals(dir.path()).remove(0).1);
    }
    let name = journals(dir.path()).remove(0).0.strip_prefix(dir.path()).unwrap().to_owned();
    for (harmed, end) in ends.into_iter().enumerate().skip(1) {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        fs::write(copied.path().join("watermark"), &early).unwrap();
        flip(&copied.path().join(&name), end - 30, 2);
        // The last durable commit may have been in flight when the machine died; so may number 4, not durable, and 5.
        let opened = opens_whole(copied.path(), harmed.min(3) as u64, &format!("commit {harmed}"));
        assert_eq!(opened, harmed >= 4, "commit {harmed}");
    }
}

#[test]
fn a_torn_tail_is_cut_whatever_a_stranger_proposed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    commit(&mut store, 1, true);
    let flushed = journals(dir.path()).remove(0).1;
    let mut batch = Batch::new();
    // What a marker looks like to someone who does not know the store's name.
    batch.put(BLOCKS, *b"body", [b"\xffcommit\xff".as_slice(), &[0; 64]].concat());
    store.commit(&[batch], false).unwrap();
    commit(&mut store, 2, false);
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    flip(&journals(copied.path()).remove(0).0, flushed + 40, 0);
    assert!(opens_whole(copied.path(), 1, "torn behind the last flush"));
}

#[test]
fn sealed_journals_are_watched_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let mut n = 0;
    while journals(dir.path()).len() < 2 || n % 4 != 0 {
        n += 1;
        let mut body = Batch::new();
        body.put(BLOCKS, [n as u8], vec![7; 4 << 20]);
        store.commit(&[vote(n), body], true).unwrap();
    }
    for _ in 0..3 {
        n += 1;
        commit(&mut store, n, true);
    }
    settle();
    let all = journals(dir.path());
    assert!(all.len() >= 2);
    for (path, used) in all {
        let name = path.strip_prefix(dir.path()).unwrap();
        for at in [0, 9, used / 3, used / 2, used - 45, used - 1] {
            let copied = tempfile::tempdir().unwrap();
            copy(dir.path(), copied.path());
            flip(&copied.path().join(name), at, 6);
            opens_whole(copied.path(), n, &format!("{} byte {at}", name.display()));
        }
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        File::create(copied.path().join(name)).unwrap();
        assert!(!opens_whole(copied.path(), n, "a journal is emptied"));
    }
}

#[test]
fn the_watermark_must_be_there_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    commit(&mut store, 1, true);
    drop(store);
    let path = dir.path().join("watermark");
    let good = fs::read(&path).unwrap();
    let damaged = || matches!(open(dir.path()), Err(StoreError::Damaged { .. }));
    for at in 0..good.len() {
        flip(&path, at, 3);
        assert!(damaged(), "byte {at}");
        fs::write(&path, &good).unwrap();
    }
    fs::write(&path, &good[..20]).unwrap();
    assert!(damaged());
    fs::remove_file(&path).unwrap();
    assert!(damaged());
    fs::write(&path, &good).unwrap();
    assert!(open(dir.path()).is_ok());
}

#[test]
fn old_data_under_a_new_watermark_shows() {
    let dir = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    commit(&mut store, 1, true);
    copy(&dir.path().join("data"), old.path());
    commit(&mut store, 2, true);
    drop(store);
    fs::remove_dir_all(dir.path().join("data")).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Damaged { .. })), "no data");
    copy(old.path(), &dir.path().join("data"));
    let error = open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("2 commits were flushed to disk, only 1 are left"), "{error}");
    assert!(error.contains("fresh keys"), "{error}");
}

/// Not only journals: a bit in any file of the library, found at open or at reading.
#[test]
fn a_flipped_bit_in_any_file_shows() {
    let dir = tempfile::tempdir().unwrap();
    let small = storage::StoreOptions { memtable_bytes: 64 << 10, ..options() };
    let mut store = storage::FjallStore::open(dir.path(), &TABLES, small).unwrap();
    for n in 1..=1500 {
        let mut body = Batch::new();
        body.put(BLOCKS, n.to_string(), vec![n as u8; if n % 10 == 0 { 20_000 } else { 200 }]);
        store.commit(&[vote(n), body], n % 100 == 0).unwrap();
    }
    drop(store);
    let mut files = Vec::new();
    list(dir.path(), &mut files);
    for path in files {
        let length = fs::metadata(&path).unwrap().len() as usize;
        let name = path.strip_prefix(dir.path()).unwrap();
        if length == 0 || path.extension().is_some_and(|e| e == "jnl") || name.ends_with("LOCK") {
            continue;
        }
        for at in [0, length / 3, length / 2, length * 3 / 4, length - 1] {
            let copied = tempfile::tempdir().unwrap();
            copy(dir.path(), copied.path());
            flip(&copied.path().join(name), at, 1);
            let what = format!("{} byte {at}", name.display());
            let opened = std::panic::catch_unwind(|| match open(copied.path()) {
                Err(StoreError::Damaged { .. } | StoreError::OtherFormat { .. }) => false,
                Err(other) => panic!("{what}: {other}"),
                Ok(store) => votes(&*store.reader()).is_none_or(|count| count == 1500),
            });
            assert!(opened.is_ok(), "{what}: {opened:?}");
        }
    }
}

fn list(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}
