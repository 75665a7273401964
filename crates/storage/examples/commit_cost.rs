//! What a commit costs: `cargo run --release -p storage --example commit_cost [directory]`.
#![allow(clippy::unwrap_used, reason = "a measurement that fails has no result")]

use std::path::Path;
use std::time::{Duration, Instant};
use storage::{Batch, ByteStore, FjallStore, StoreOptions, TableId};

const VOTES: TableId = TableId(0);
const RESULTS: TableId = TableId(1);
const BODIES: TableId = TableId(2);

fn main() {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = base.join(format!("commit_cost.{}", std::process::id()));
    let mut store = open(&dir);
    bare(&dir);
    durable("durable 3 KB, new store", &mut store, 1, 4000);
    durable("durable 16 x 3 KB in one commit", &mut store, 16, 2000);
    puts(&mut store);
    bodies(&mut store);
    drop(store);
    let start = Instant::now();
    let mut store = open(&dir);
    println!("reopening: {} ms{}", start.elapsed().as_millis(), peak());
    durable("durable 3 KB, store reopened", &mut store, 1, 4000);
    drop(store);
    std::fs::remove_dir_all(dir).unwrap();
}

fn open(dir: &Path) -> FjallStore {
    FjallStore::open(dir, &["votes", "results", "bodies"], StoreOptions::default()).unwrap()
}

/// What the disk itself takes: 3 KB written over preallocated space, and synced.
fn bare(dir: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(dir.join("bare")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.sync_all().unwrap();
    let write = |n: u64| {
        let start = Instant::now();
        file.write_all_at(&[7; 3072], n * 3200).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    };
    report("bare write of 3 KB and fdatasync", (0..4000).map(write).collect());
}

/// Commits `batches` batches of one 3 KB value each, durably, `rounds` times.
fn durable(what: &str, store: &mut FjallStore, batches: u64, rounds: u64) {
    let mut times = Vec::new();
    for round in 0..rounds {
        let commit: Vec<Batch> = (0..batches)
            .map(|n| {
                let mut batch = Batch::new();
                batch.put(VOTES, (round * batches + n).to_be_bytes(), vec![n as u8; 3072]);
                batch
            })
            .collect();
        let start = Instant::now();
        store.commit(&commit, true).unwrap();
        times.push(start.elapsed());
    }
    report(what, times);
}

fn puts(store: &mut FjallStore) {
    let (commits, each) = (1000_u64, 1000_u64);
    let start = Instant::now();
    for commit in 0..commits {
        let mut batch = Batch::new();
        for n in 0..each {
            // Ids are hashes: spread over the table.
            let id = (commit * each + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            batch.put(RESULTS, [id.to_be_bytes(); 4].concat(), vec![n as u8; 40]);
        }
        store.commit(&[batch], commit % 10 == 9).unwrap();
    }
    let per_second = u128::from(commits * each) * 1_000_000 / start.elapsed().as_micros();
    println!("puts of 40 bytes, 1000 a commit, each tenth durable: {per_second}/s{}", peak());
}

fn bodies(store: &mut FjallStore) {
    let mut times = Vec::new();
    for n in 0..60_u8 {
        let mut batch = Batch::new();
        batch.put(BODIES, [n], vec![n; 4 << 20]);
        let start = Instant::now();
        store.commit(&[batch], true).unwrap();
        times.push(start.elapsed());
    }
    report("durable 4 MiB", times);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0, Duration::as_micros);
    let worst = times.last().map_or(0, Duration::as_micros);
    println!("{what}: median {} us, p99 {} us, worst {worst} us{}", at(50), at(99), peak());
}

/// The highest resident memory since the last call.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_owned();
    let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    format!(" (peak memory {}{line})", if reset { "" } else { "so far " })
}
