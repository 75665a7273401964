//! The store's twin in memory: deterministic, and torn on demand.

use crate::batch::net_changes;
use crate::store::Pair;
use crate::{Batch, ByteReader, ByteStore, StoreError, TableId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Value = Arc<[u8]>;
type Table = BTreeMap<Vec<u8>, Value>;
/// Table, key, and the value to set (`None` deletes).
type Change = (usize, Vec<u8>, Option<Value>);

/// A handle to a shared "disk" in memory; clones see the same disk. [`MemStore::crash`] does what a crash of the
/// machine does: of the commits since the last flush only some prefix survives.
#[derive(Clone, Debug)]
pub struct MemStore {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    /// What readers see.
    tables: Vec<Table>,
    /// For each commit since the last flush, oldest first, what takes it back.
    undo: VecDeque<Vec<Change>>,
    /// A commit whose write failed: its bytes may have reached the disk all the same.
    limbo: Option<Vec<Change>>,
    poisoned: bool,
    fail_at: Option<u64>,
    commits: u64,
    flushes: u64,
}

impl Disk {
    /// Applies changes; returns what takes them back.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let mut undo = Vec::with_capacity(changes.len());
        for (table, key, value) in changes {
            let Some(map) = self.tables.get_mut(table) else {
                continue;
            };
            let before = match value {
                Some(value) => map.insert(key.clone(), value),
                None => map.remove(&key),
            };
            undo.push((table, key, before));
        }
        undo
    }
}

impl MemStore {
    /// An empty disk with this many tables.
    pub fn new(tables: usize) -> Self {
        let disk = Disk { tables: vec![Table::new(); tables], ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// The machine dies and starts again. Of the `n` commits since the last flush the first `choice mod (n + 1)`
    /// survive; a commit whose write failed counts as one more that may. Returns how many survived, and how many could
    /// have. A failed write is forgotten: the store accepts commits again.
    pub fn crash(&self, choice: u64) -> (u64, u64) {
        let mut disk = self.disk();
        let done = disk.undo.len() as u64;
        let limbo = disk.limbo.take();
        let most = done + u64::from(limbo.is_some());
        let kept = choice % (most + 1);
        for _ in kept..done {
            let undo = disk.undo.pop_back().unwrap_or_default();
            disk.apply(undo);
        }
        if let Some(changes) = limbo.filter(|_| kept > done) {
            disk.apply(changes);
        }
        disk.undo.clear();
        disk.poisoned = false;
        disk.fail_at = None;
        (kept, most)
    }

    /// The `k`-th commit from now on (1 is the next) fails, once; [`MemStore::crash`] takes this back.
    pub fn fail_at(&self, k: u64) {
        let mut disk = self.disk();
        disk.fail_at = Some(disk.commits.saturating_add(k.max(1)));
    }

    /// Commits attempted so far, the failed one included.
    pub fn commits(&self) -> u64 {
        self.disk().commits
    }

    /// Flushes so far.
    pub fn flushes(&self) -> u64 {
        self.disk().flushes
    }

    /// Commits that a crash now could lose.
    pub fn unflushed(&self) -> u64 {
        self.disk().undo.len() as u64
    }

    /// A flush that began when `k` commits were unflushed is done: those can no longer be lost, later ones still can.
    pub fn flush_first(&self, k: u64) {
        let mut disk = self.disk();
        disk.flushes += 1;
        let covered = disk.undo.len().min(usize::try_from(k).unwrap_or(usize::MAX));
        disk.undo.drain(..covered);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A panic elsewhere is that test's failure; the disk is whole between calls.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteStore for MemStore {
    fn commit(&mut self, batches: &[Batch], durable: bool) -> Result<(), StoreError> {
        let mut disk = self.disk();
        if disk.poisoned {
            return Err(StoreError::Poisoned);
        }
        let net = net_changes(batches, disk.tables.len())?;
        let changes: Vec<Change> =
            net.into_iter().map(|((t, k), v)| (usize::from(t.0), k.to_vec(), v.map(Value::from))).collect();
        disk.commits += 1;
        if disk.fail_at == Some(disk.commits) {
            disk.poisoned = true;
            disk.limbo = Some(changes);
            return Err(StoreError::Write { what: "as the test has asked".to_owned() });
        }
        let undo = disk.apply(changes);
        if durable {
            disk.flushes += 1;
            disk.undo.clear();
        } else {
            disk.undo.push_back(undo);
        }
        Ok(())
    }

    fn reader(&self) -> Box<dyn ByteReader> {
        Box::new(self.clone())
    }
}

impl MemStore {
    fn read<T>(&self, table: TableId, read: impl FnOnce(&Table) -> T) -> Result<T, StoreError> {
        let disk = self.disk();
        let missing = StoreError::NoSuchTable { table: table.0, tables: disk.tables.len() };
        disk.tables.get(usize::from(table.0)).map(read).ok_or(missing)
    }
}

impl ByteReader for MemStore {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(table, |map| map.get(key).map(|v| v.to_vec()))
    }

    fn scan(
        &self,
        table: TableId,
        from: &[u8],
        to_exclusive: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        use std::ops::Bound::{Included, Unbounded};
        self.read(table, |map| {
            map.range::<[u8], _>((Included(from), Unbounded))
                .take_while(|(key, _)| to_exclusive.is_none_or(|to| key.as_slice() < to))
                .take(limit)
                .map(|(key, value)| (key.clone(), value.to_vec()))
                .collect()
        })
    }

    fn last(&self, table: TableId) -> Result<Option<Pair>, StoreError> {
        self.read(table, |map| map.last_key_value().map(|(key, value)| (key.clone(), value.to_vec())))
    }
}
