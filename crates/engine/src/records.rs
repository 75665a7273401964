//! Lets the protocol read and write its records in a byte store: names for tables, nothing else.

use consensus::records::{KeyValue, KeyValues, Record, RecordError, RecordReader, Table};
use storage::{Batch, ByteReader, StoreError, TableId};

/// A byte store's reader as the protocol sees it.
pub struct StoreRecords(pub Box<dyn ByteReader>);

fn id(table: Table) -> TableId {
    TableId(Table::ALL.iter().position(|at| *at == table).unwrap_or(0) as u8)
}

fn failed(error: StoreError) -> RecordError {
    RecordError::Store(error.to_string())
}

impl RecordReader for StoreRecords {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RecordError> {
        self.0.get(id(table), key).map_err(failed)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<KeyValues, RecordError> {
        self.0.scan(id(table), from, to, limit).map_err(failed)
    }

    fn last(&self, table: Table) -> Result<Option<KeyValue>, RecordError> {
        self.0.last(id(table)).map_err(failed)
    }
}

/// The batch that writes these records.
pub fn batch_of(records: Vec<Record>) -> Batch {
    let mut batch = Batch::new();
    for Record { table, key, value } in records {
        match value {
            Some(value) => batch.put(id(table), key, value),
            None => batch.delete(id(table), key),
        };
    }
    batch
}
