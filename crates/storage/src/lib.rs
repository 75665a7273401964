//! A durable byte store, and its tearing twin for tests.
//!
//! ```text
//!   Batch ──▶ ByteStore::commit(batches, durable) ──▶ disk
//!             ByteStore::reader() ──▶ ByteReader { get, scan, last }
//! ```
//!
//! One promise carries the consensus above: **commits form a prefix**. After a crash the store holds the first
//! `n` commits for some `n`, whole, and `n` covers every commit that was durable. If it cannot hold that promise it
//! says [`StoreError::Damaged`] instead of handing out what is left: a validator that forgot one vote may vote twice.
//!
//! How [`FjallStore`] keeps it (the library below truncates its journal at the first entry that it cannot decode,
//! silently, and each table is flushed on its own):
//!
//! - every commit carries a *marker*: its number, and how many were flushed before it ([`marker`](mod@marker));
//! - before the library opens, [`journal`] reads all its journals: every record whole, numbers without a gap; only a
//!   torn tail behind which nothing durable can have stood is cut off;
//! - after it opened, the marker found must be the one that the journals end with, and not behind the sidecar file
//!   [`watermark`], which is written after each flush and thus can lag but never lead;
//! - [`format`](mod@format) binds the directory to a format version, one network and its list of tables;
//!   [`lock`] to one process.
//!
//! [`MemStore`] makes the same promise over memory and breaks it on purpose at a chosen crash.

mod batch;
mod error;
mod fjall_store;
mod format;
mod journal;
mod lock;
mod marker;
mod mem;
mod opening;
mod store;
mod watermark;

pub use batch::{Batch, MAX_KEY_BYTES, MAX_TABLES, MAX_VALUE_BYTES, Op, TableId};
pub use error::StoreError;
pub use fjall_store::{FjallStore, StoreOptions};
pub use mem::MemStore;
pub use store::{ByteReader, ByteStore, Pair};
