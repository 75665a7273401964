//! The store in memory against a model that keeps the list of commits: what a crash leaves is a prefix.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::{Batch, ByteReader, ByteStore, MemStore, Op, StoreError, TableId};

#[derive(Clone, Debug)]
enum Step {
    Commit { batches: Vec<Batch>, durable: bool },
    Crash(u64),
    FailAt(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let key = prop::collection::vec(0..4_u8, 1..3);
    let value = prop::collection::vec(any::<u8>(), 0..4);
    (0..2_u8, key, prop::option::of(value)).prop_map(|(table, key, value)| {
        let table = TableId(table);
        match value {
            Some(value) => Op::Put { table, key, value },
            None => Op::Delete { table, key },
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let batch = prop::collection::vec(op(), 0..6).prop_map(|ops| Batch { ops });
    prop_oneof![
        8 => (prop::collection::vec(batch, 0..3), prop::bool::weighted(0.3))
            .prop_map(|(batches, durable)| Step::Commit { batches, durable }),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => (1..5_u64).prop_map(Step::FailAt),
    ]
}

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn replay(commits: &[Vec<Batch>]) -> Model {
    let mut model = Model::new();
    for op in commits.iter().flatten().flat_map(|b| &b.ops) {
        match op.clone() {
            Op::Put { table, key, value } => drop(model.insert((table.0, key), value)),
            Op::Delete { table, key } => drop(model.remove(&(table.0, key))),
        }
    }
    model
}

fn content(reader: &dyn ByteReader) -> Model {
    let mut content = Model::new();
    for table in 0..2 {
        let pairs = reader.scan(TableId(table), &[], None, usize::MAX).unwrap();
        assert_eq!(reader.last(TableId(table)).unwrap(), pairs.last().cloned());
        content.extend(pairs.into_iter().map(|(key, value)| ((table, key), value)));
    }
    content
}

proptest! {
    #[test]
    fn a_crash_leaves_a_prefix_with_every_durable_commit(steps in prop::collection::vec(step(), 1..60)) {
        let mut store = MemStore::new(2);
        let reader = store.reader();
        let (mut commits, mut flushed) = (Vec::new(), 0);
        let mut limbo = None;
        let mut fails_in = None;
        for step in steps {
            match step {
                Step::FailAt(k) => {
                    store.fail_at(k);
                    fails_in = Some(k);
                }
                Step::Commit { batches, durable } => {
                    let result = store.commit(&batches, durable);
                    if limbo.is_some() {
                        prop_assert!(matches!(result, Err(StoreError::Poisoned)));
                        continue;
                    }
                    fails_in = fails_in.map(|k: u64| k - 1);
                    if fails_in == Some(0) {
                        prop_assert!(matches!(result, Err(StoreError::Write { .. })), "the commit asked for fails");
                        limbo = Some(batches);
                        fails_in = None;
                    } else {
                        prop_assert!(result.is_ok());
                        commits.push(batches);
                        if durable {
                            flushed = commits.len();
                        }
                    }
                }
                Step::Crash(choice) => {
                    commits.extend(limbo.take());
                    fails_in = None;
                    let (kept, most) = store.crash(choice);
                    prop_assert_eq!(most as usize, commits.len() - flushed);
                    prop_assert_eq!(kept, choice % (most + 1));
                    commits.truncate(flushed + kept as usize);
                    flushed = commits.len();
                }
            }
            prop_assert_eq!(content(&*reader), replay(&commits));
        }
    }
}

#[test]
fn commits_and_flushes_are_counted_and_clones_share_the_disk() {
    let mut store = MemStore::new(1);
    let other = store.clone();
    let mut batch = Batch::new();
    batch.put(TableId(0), *b"k", *b"v");
    store.commit(std::slice::from_ref(&batch), false).unwrap();
    store.commit(&[batch], true).unwrap();
    store.commit(&[], false).unwrap();
    assert_eq!((other.commits(), other.flushes(), other.unflushed()), (3, 1, 1));
    assert_eq!(other.get(TableId(0), b"k").unwrap().unwrap(), b"v");
    assert!(other.scan(TableId(0), b"z", Some(b"a"), 9).unwrap().is_empty());
}
