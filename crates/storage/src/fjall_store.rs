//! The durable store: commits and reads over fjall.

use crate::batch::net_changes;
use crate::lock::Lock;
use crate::marker::{Marker, Markers};
use crate::opening::{self, Opened};
use crate::store::Pair;
use crate::watermark::Watermark;
use crate::{Batch, ByteReader, ByteStore, StoreError, TableId};
use fjall::{Database, Keyspace, PersistMode, Readable};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to open a [`FjallStore`]. Sizes other than `cache_bytes` and `journal_bytes` are fixed when a table is made.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The chain id. It is stored at creation; a store of another network is refused.
    pub network: Vec<u8>,
    /// Cache of blocks read from disk, bytes.
    pub cache_bytes: u64,
    /// Recent writes held in memory per table until they are flushed, bytes. Up to four times as much waits when the
    /// disk is slower than the writer; then commits wait too.
    pub memtable_bytes: u64,
    /// Journals on disk, bytes, at least 64 MiB; about one more memtable of each table can come on top.
    pub journal_bytes: u64,
    /// Values from this size on stand in files of their own and are not rewritten when tables are merged, bytes.
    pub large_value_bytes: u32,
}

impl Default for StoreOptions {
    /// For a validator of at most 64 MiB that shares its machine: 4 MiB of cache, 4 MiB for each table.
    fn default() -> Self {
        Self {
            network: Vec::new(),
            cache_bytes: 4 << 20,
            memtable_bytes: 4 << 20,
            journal_bytes: 128 << 20,
            large_value_bytes: 16 << 10,
        }
    }
}

/// A durable [`ByteStore`] over one directory. Readers keep the store (and its lock) alive until they are dropped.
pub struct FjallStore {
    id: String,
    shared: Arc<Shared>,
    marker_table: Keyspace,
    markers: Markers,
    watermark: Watermark,
    /// The latest commit.
    counter: u64,
    /// The latest commit that a flush has covered.
    flushed: u64,
    poisoned: bool,
}

struct Shared {
    // Fields are dropped in order: the library first, then the lock.
    tables: Vec<Keyspace>,
    db: Database,
    dir: PathBuf,
    _lock: Lock,
}

impl FjallStore {
    /// Opens the store in `dir`, making it if there is none. `TableId(i)` is `table_names[i]`; a later opening may
    /// name more tables or fewer, in any order. What is found counts as durable from then on.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Locked`], [`StoreError::OtherNetwork`], [`StoreError::OtherFormat`],
    /// [`StoreError::Open`] and [`StoreError::BadOptions`], each with what to do.
    pub fn open(dir: &Path, table_names: &[&str], options: StoreOptions) -> Result<Self, StoreError> {
        let Opened { id, lock, db, marker_table, tables, markers, watermark, counter } =
            opening::open(dir, table_names, &options)?;
        let shared = Arc::new(Shared { tables, db, dir: dir.to_owned(), _lock: lock });
        Ok(Self { id, shared, marker_table, markers, watermark, counter, flushed: counter, poisoned: false })
    }

    /// The store's random name: another store in the same place has another.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// Commits in the store, since it was made.
    pub fn commits(&self) -> u64 {
        self.counter
    }

    fn write(&mut self, batches: &[Batch], durable: bool) -> Result<(), StoreError> {
        let changes = net_changes(batches, self.shared.tables.len())?;
        let failed = |what: String| StoreError::Write { what };
        let marker = Marker { counter: self.counter + 1, flushed: self.flushed };
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.shared.db.batch().durability(Some(mode));
        for ((table, key), value) in changes {
            // `net_changes` has checked the table.
            let Some(table) = self.shared.tables.get(usize::from(table.0)) else {
                continue;
            };
            match value {
                Some(value) => batch.insert(table, key, value),
                None => batch.remove(table, key),
            }
        }
        batch.insert(&self.marker_table, self.markers.key().as_slice(), self.markers.encode(marker).as_slice());
        self.poisoned = true;
        batch.commit().map_err(|e| failed(e.to_string()))?;
        if durable {
            self.watermark.set(marker.counter).map_err(|e| failed(e.to_string()))?;
            self.flushed = marker.counter;
        }
        self.poisoned = false;
        self.counter = marker.counter;
        Ok(())
    }
}

impl ByteStore for FjallStore {
    fn commit(&mut self, batches: &[Batch], durable: bool) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        self.write(batches, durable)
    }

    fn reader(&self) -> Box<dyn ByteReader> {
        Box::new(FjallReader { shared: Arc::clone(&self.shared) })
    }
}

impl Drop for FjallStore {
    /// Flushes everything and brings the watermark up to date. After a failed write it leaves the files alone.
    fn drop(&mut self) {
        if self.poisoned {
            return;
        }
        // Failing here loses nothing: the durable commits are flushed, the watermark may lag.
        let flushed = self.shared.db.persist(PersistMode::SyncAll).is_ok();
        if flushed && self.watermark.set(self.counter).is_ok() {
            let _lagging_is_fine = self.watermark.sync();
        }
    }
}

struct FjallReader {
    shared: Arc<Shared>,
}

impl FjallReader {
    fn table(&self, table: TableId) -> Result<&Keyspace, StoreError> {
        let tables = &self.shared.tables;
        let missing = StoreError::NoSuchTable { table: table.0, tables: tables.len() };
        tables.get(usize::from(table.0)).ok_or(missing)
    }

    fn damaged(&self, error: &fjall::Error) -> StoreError {
        StoreError::damaged(&self.shared.dir, format!("reading failed: {error}"))
    }
}

impl ByteReader for FjallReader {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.table(table)?.get(key).map_err(|e| self.damaged(&e))?;
        Ok(value.map(|v| v.to_vec()))
    }

    fn scan(
        &self,
        table: TableId,
        from: &[u8],
        to_exclusive: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let table = self.table(table)?;
        if limit == 0 || to_exclusive.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let to = to_exclusive.map_or(Unbounded, Excluded);
        let pairs = self.shared.db.snapshot().range::<&[u8], _>(table, (Included(from), to)).take(limit);
        pairs.map(|guard| pair(guard).map_err(|e| self.damaged(&e))).collect()
    }

    fn last(&self, table: TableId) -> Result<Option<Pair>, StoreError> {
        let table = self.table(table)?;
        let last = self.shared.db.snapshot().last_key_value(table);
        last.map(pair).transpose().map_err(|e| self.damaged(&e))
    }
}

fn pair(guard: fjall::Guard) -> Result<Pair, fjall::Error> {
    let (key, value) = guard.into_inner()?;
    Ok((key.to_vec(), value.to_vec()))
}
