//! A disk that dies, fails or fills up at the k-th durable operation, and one that cannot be read.

use storage::{Batch, ByteReader, ByteStore, MemStore, Pair, StoreError, TableId};

use consensus::records::Table;

/// How a process ends at a durable operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doom {
    /// The machine dies; of the writes that were not flushed a prefix chosen by `choice` survives.
    Dies {
        /// Picks the prefix.
        choice: u64,
    },
    /// The write fails, and the node stops with this message.
    Fails {
        /// What the operator reads.
        message: String,
    },
}

/// What goes wrong at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The process dies before the operation.
    DiesBefore,
    /// The process dies in the middle of it: part of what is not flushed survives.
    Torn(u64),
    /// The process dies right after it.
    DiesAfter,
    /// The operation fails once.
    Fails,
    /// The disk is full: this operation and the next ones fail.
    Full {
        /// Operations that fail.
        attempts: u64,
    },
}

/// A disk in memory with an appointment.
pub struct Disk {
    store: MemStore,
    operations: u64,
    trouble: Option<(u64, Trouble)>,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// An empty, sound disk.
    pub fn new() -> Self {
        Self { store: MemStore::new(Table::ALL.len()), operations: 0, trouble: None }
    }

    /// From the `k`-th operation on (the first ever is 1), `trouble`.
    pub fn plan(&mut self, k: u64, trouble: Trouble) {
        self.trouble = Some((k, trouble));
    }

    /// Durable operations attempted so far.
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// A reader of everything that was written.
    pub fn reader(&self) -> Box<dyn ByteReader> {
        self.store.reader()
    }

    pub(super) fn crash(&mut self, choice: u64) {
        if choice == u64::MAX {
            // Only the process ended: everything that was written is there.
            let most = self.store.unflushed();
            self.store.crash(most);
        } else {
            self.store.crash(choice);
        }
    }

    pub(super) fn commit(&mut self, batches: &[Batch], flush: bool) -> Result<(), Doom> {
        self.operations += 1;
        let now = self.trouble.filter(|(k, trouble)| match trouble {
            Trouble::Full { attempts } => (*k..k + attempts).contains(&self.operations),
            _ => *k == self.operations,
        });
        match now.map(|(_, trouble)| trouble) {
            Some(Trouble::DiesBefore) => return Err(Doom::Dies { choice: 0 }),
            Some(Trouble::Torn(choice)) => {
                // The write has reached the disk in part, and its flush has not ended.
                self.put(batches, false)?;
                return Err(Doom::Dies { choice });
            }
            Some(Trouble::Fails | Trouble::Full { .. }) => self.store.fail_at(1),
            Some(Trouble::DiesAfter) | None => {}
        }
        self.put(batches, flush)?;
        match now {
            Some((_, Trouble::DiesAfter)) => Err(Doom::Dies { choice: 0 }),
            _ => Ok(()),
        }
    }

    fn put(&mut self, batches: &[Batch], flush: bool) -> Result<(), Doom> {
        self.store.commit(batches, flush).map_err(|error| Doom::Fails { message: error.to_string() })
    }
}

/// A reader whose `fail_at`-th read fails.
pub struct Unreadable {
    inner: Box<dyn ByteReader>,
    reads: std::sync::atomic::AtomicU64,
    fail_at: u64,
}

impl Unreadable {
    /// Fails at the `fail_at`-th read, counted from 1.
    pub fn new(inner: Box<dyn ByteReader>, fail_at: u64) -> Self {
        Self { inner, reads: std::sync::atomic::AtomicU64::new(0), fail_at }
    }

    /// Reads so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn read(&self) -> Result<(), StoreError> {
        let at = self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        if at == self.fail_at {
            let source = std::io::Error::other("input/output error (os error 5)");
            return Err(StoreError::Open { dir: "the test's disk".into(), source });
        }
        Ok(())
    }
}

impl ByteReader for &Unreadable {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read()?;
        self.inner.get(table, key)
    }

    fn scan(&self, table: TableId, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.read()?;
        self.inner.scan(table, from, to, limit)
    }

    fn last(&self, table: TableId) -> Result<Option<Pair>, StoreError> {
        self.read()?;
        self.inner.last(table)
    }
}
