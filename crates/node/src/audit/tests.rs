//! The log is written, goes on, rotates, and shows every change of it.

use std::path::PathBuf;

use prometheus::IntCounter;
use serde_json::json;

use super::file::files;
use super::*;

fn counter() -> IntCounter {
    IntCounter::new("a", "b").unwrap()
}

fn write(dir: &Path, events: usize) {
    let (audit, thread) = Audit::open(dir, counter(), counter()).unwrap();
    for at in 0..events {
        // The queue is bounded, and this test is faster than a disk.
        audit.jobs.send(Job::Entry { time_us: at as u64, event: "test", details: json!({"at": at}) }).unwrap();
    }
    audit.stop(thread);
}

fn change(path: &PathBuf, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn entries_follow_one_another_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    write(&dir, 3);
    write(&dir, 2);
    let mut seen = Vec::new();
    let report = verify(&dir, |entry| seen.push((entry.seq, entry.details["at"].as_u64().unwrap()))).unwrap();
    assert_eq!(seen, [(1, 0), (2, 1), (3, 2), (4, 0), (5, 1)]);
    assert_eq!((report.first, report.last, report.files, report.torn), (1, 5, 1, false));
    assert_eq!(report.head.len(), 96);
}

#[test]
fn every_change_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, 5);
    let path = files(dir).unwrap()[0].1.clone();
    let sound = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = sound.lines().collect();
    let without_third = [lines[0], lines[1], lines[3], lines[4], ""].join("\n");
    let swapped = [lines[0], lines[2], lines[1], lines[3], lines[4], ""].join("\n");
    let without_first = [lines[1], lines[2], ""].join("\n");
    for (wrong, line, why) in [
        (sound.replacen("\"at\":2", "\"at\":7", 1), 3, "was changed"),
        (sound.replacen("\"time_us\":1", "\"time_us\":9", 1), 2, "was changed"),
        (without_third, 3, "missing"),
        (swapped, 2, "missing"),
        (without_first, 1, "does not begin"),
        (sound.replacen("{\"hash\"", "{\"HASH\"", 1), 1, "not an entry"),
    ] {
        std::fs::write(&path, wrong).unwrap();
        match verify(dir, |_| {}).unwrap_err() {
            AuditError::Broken { line: found, why: said, .. } => {
                assert_eq!(found, line, "{said}");
                assert!(said.contains(why), "{said}");
            }
            other @ AuditError::Io { .. } => panic!("{other}"),
        }
    }
}

#[test]
fn an_entry_with_a_new_hash_does_not_fit_the_next() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 3);
    let path = files(dir.path()).unwrap()[0].1.clone();
    let text = std::fs::read_to_string(&path).unwrap();
    let second = text.lines().nth(1).unwrap();
    let (mut entry, _) = entry::read(second).unwrap();
    entry.event = "nothing".to_owned();
    let (forged, _) = entry::write(&entry).unwrap();
    change(&path, &format!("{second}\n"), &forged);
    let error = verify(dir.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("line 3: the entry does not follow the one before it"), "{error}");
}

#[test]
fn a_torn_entry_is_removed_and_said() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2);
    let path = files(dir.path()).unwrap()[0].1.clone();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 10]).unwrap();
    assert!(verify(dir.path(), |_| {}).unwrap().torn);
    write(dir.path(), 1);
    let mut events = Vec::new();
    let report = verify(dir.path(), |entry| events.push(entry.event.clone())).unwrap();
    assert_eq!((events, report.last, report.torn), (vec!["test".into(), "repaired".into(), "test".into()], 3, false));
}

#[test]
fn old_files_go_and_the_rest_stays_sound() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 200);
    write(dir.path(), 1);
    let found = files(dir.path()).unwrap();
    assert_eq!(found.len(), 3);
    let report = verify(dir.path(), |_| {}).unwrap();
    assert!(report.first > 1 && report.last == 201, "{report:?}");
    std::fs::remove_file(&found[1].1).unwrap();
    assert!(verify(dir.path(), |_| {}).unwrap_err().to_string().contains("a file before this one is missing"));
}

#[test]
fn strangers_cannot_fill_it() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, thread) = Audit::open(dir.path(), counter(), counter()).unwrap();
    (0..1_000).for_each(|at| audit.record_stranger("refused", || json!({ "at": at })));
    audit.stop(thread);
    assert_eq!(verify(dir.path(), |_| {}).unwrap().last, u64::from(STRANGERS_PER_MINUTE));
}
