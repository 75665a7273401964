//! The two doors of a store: one that writes, one that reads.

use crate::{Batch, StoreError, TableId};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The writing side. There is one per store.
pub trait ByteStore: Send {
    /// Applies the batches in order and atomically together. With `durable` one flush to disk happens before it
    /// returns; that flush covers all earlier commits too, because what survives a crash is a prefix of the commits.
    ///
    /// # Errors
    /// After [`StoreError::Write`] the store refuses every further commit: a failed write stops the replica.
    fn commit(&mut self, batches: &[Batch], durable: bool) -> Result<(), StoreError>;

    /// A reader that sees each commit as soon as it returned; it may be used from any thread.
    fn reader(&self) -> Box<dyn ByteReader>;
}

/// The reading side. A call that begins after a commit returned sees all of it; one that overlaps a commit in another
/// thread may see a part.
pub trait ByteReader: Send + Sync {
    /// The value of a key.
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` pairs with `from <= key < to_exclusive`, ascending; without `to_exclusive` up to the table's end.
    fn scan(
        &self,
        table: TableId,
        from: &[u8],
        to_exclusive: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// The pair with the greatest key.
    fn last(&self, table: TableId) -> Result<Option<Pair>, StoreError>;
}
