//! The durable store over restarts, kills, other networks and second processes.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use common::*;
use std::fs;
use storage::{Batch, ByteStore, FjallStore, StoreError, StoreOptions, TableId};

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4_u64 {
        let mut store = open(dir.path()).unwrap();
        assert_eq!(votes(&*store.reader()), Some(round * 10));
        assert_eq!(store.commits(), round * 10);
        for n in 1..=10 {
            commit(&mut store, round * 10 + n, n % 3 == 0);
        }
    }
}

#[test]
fn get_scan_last_and_delete() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let mut batch = Batch::new();
    for key in [b"a", b"c", b"e"] {
        batch.put(BLOCKS, *key, [key[0]; 3]);
    }
    batch.put(VOTES, *b"other", *b"table");
    let mut second = Batch::new();
    second.put(BLOCKS, *b"c", *b"new").delete(BLOCKS, *b"a").delete(BLOCKS, *b"absent").put(BLOCKS, *b"a", *b"again");
    store.commit(&[batch, second], true).unwrap();
    let reader = store.reader();
    let keys = |from: &[u8], to: Option<&[u8]>, limit| {
        reader.scan(BLOCKS, from, to, limit).unwrap().into_iter().map(|(k, _)| k[0] as char).collect::<String>()
    };
    assert_eq!(keys(b"", None, 10), "ace");
    assert_eq!(keys(b"", None, 2), "ac");
    assert_eq!(keys(b"b", None, 10), "ce");
    assert_eq!(keys(b"a", Some(b"e"), 10), "ac");
    assert_eq!(keys(b"e", Some(b"a"), 10), "");
    assert_eq!(keys(b"a", Some(b"a"), 10), "");
    assert_eq!(reader.get(BLOCKS, b"a").unwrap().unwrap(), b"again");
    assert_eq!(reader.get(BLOCKS, b"b").unwrap(), None);
    assert_eq!(reader.last(BLOCKS).unwrap().unwrap().0, b"e");
    assert_eq!(reader.last(VOTES).unwrap().unwrap().1, b"table");
    let mut gone = Batch::new();
    gone.delete(VOTES, *b"other");
    store.commit(&[gone], false).unwrap();
    assert_eq!(reader.last(VOTES).unwrap(), None);
    assert!(matches!(reader.get(TableId(2), b"a"), Err(StoreError::NoSuchTable { .. })));
    let mut nowhere = Batch::new();
    nowhere.put(VOTES, *b"x", *b"").put(TableId(2), *b"x", *b"");
    assert!(matches!(store.commit(&[nowhere], true), Err(StoreError::NoSuchTable { .. })));
    assert_eq!(reader.get(VOTES, b"x").unwrap(), None, "a refused commit changes nothing");
    store.commit(&[], true).unwrap();
}

#[test]
fn a_killed_process_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    for n in 1..=30 {
        commit(&mut store, n, n % 5 == 0);
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        let twin = open(copied.path()).unwrap();
        assert_eq!(votes(&*twin.reader()), Some(n), "the system keeps what a killed process wrote");
    }
}

#[test]
fn a_killed_process_may_continue_many_times() {
    let mut dir = tempfile::tempdir().unwrap();
    for n in 1..=12 {
        let copied = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).unwrap();
        assert_eq!(votes(&*store.reader()), Some(n - 1));
        commit(&mut store, n, n % 2 == 0);
        copy(dir.path(), copied.path());
        drop(store);
        dir = copied;
    }
}

#[test]
fn large_values_and_flushed_tables_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let body = |n: u8| vec![n + 1; 4 << 20];
    let mut store = open(dir.path()).unwrap();
    for n in 0..20 {
        let mut batch = Batch::new();
        batch.put(BLOCKS, [n], body(n));
        store.commit(&[batch, vote(u64::from(n) + 1)], n % 2 == 0).unwrap();
    }
    settle();
    assert!(journals(dir.path()).len() > 1, "the test means to cover sealed journals");
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    drop(store);
    for path in [dir.path(), copied.path()] {
        let reader = open(path).unwrap().reader();
        assert_eq!(votes(&*reader), Some(20));
        for n in 0..20 {
            assert_eq!(reader.get(BLOCKS, &[n]).unwrap().unwrap(), body(n));
        }
    }
}

#[test]
fn another_network_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let other = StoreOptions { network: vec![0xab, 0xcd], ..options() };
    let error = FjallStore::open(dir.path(), &TABLES, other).err().unwrap();
    assert!(matches!(&error, StoreError::OtherNetwork { expected, .. } if expected == "abcd"));
    assert!(error.to_string().contains("746573742d6e6574"), "{error}");
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_second_opener_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let reader = store.reader();
    drop(store);
    assert!(matches!(open(dir.path()), Err(StoreError::Locked { .. })), "a reader still uses it");
    drop(reader);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let path = dir.path().join("FORMAT");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("format 1", "format 2")).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::OtherFormat { .. })));
}

#[test]
fn tables_may_be_added_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    commit(&mut store, 1, true);
    drop(store);
    let mut store = FjallStore::open(dir.path(), &["extra", "votes"], options()).unwrap();
    let mut batch = Batch::new();
    batch.put(TableId(0), *b"k", *b"v");
    store.commit(&[batch], true).unwrap();
    assert!(store.reader().get(TableId(1), b"latest").unwrap().is_some());
    drop(store);
    assert_eq!(votes(&*open(dir.path()).unwrap().reader()), Some(1));
}

#[test]
fn a_crash_while_the_store_is_made_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::Damaged { .. })), "without the file CREATING it is");
    fs::write(dir.path().join("CREATING"), "").unwrap();
    drop(open(dir.path()).unwrap());
    assert!(!dir.path().join("CREATING").exists());
    fs::write(dir.path().join("CREATING"), "").unwrap();
    assert!(open(dir.path()).is_ok(), "a crash after the last step but one");
}

#[test]
fn unusable_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |tables: &[&str], options| {
        matches!(FjallStore::open(dir.path(), tables, options), Err(StoreError::BadOptions { .. }))
    };
    assert!(refused(&[], options()));
    assert!(refused(&["_marker"], options()));
    assert!(refused(&["a"], StoreOptions { journal_bytes: 1, ..options() }));
}
