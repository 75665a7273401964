//! What one commit changes: puts and deletes, and the bounds on them.

use crate::StoreError;
use std::collections::BTreeMap;

/// Longest key, bytes (the library stores the length in 16 bits). Keys are never empty.
pub const MAX_KEY_BYTES: usize = 65_535;
/// Longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 256 << 20;
/// Most tables in one store.
pub const MAX_TABLES: usize = 64;

/// The position of a table in the list of names given at open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u8);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets the value of a key, replacing what was there.
    Put {
        /// The table.
        table: TableId,
        /// The key, 1 to [`MAX_KEY_BYTES`] bytes.
        key: Vec<u8>,
        /// The value, up to [`MAX_VALUE_BYTES`].
        value: Vec<u8>,
    },
    /// Removes a key; removing an absent key is no error.
    Delete {
        /// The table.
        table: TableId,
        /// The key, 1 to [`MAX_KEY_BYTES`] bytes.
        key: Vec<u8>,
    },
}

/// Changes in the order in which they apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes, first to last.
    pub ops: Vec<Op>,
}

impl Batch {
    /// A batch that changes nothing.
    pub const fn new() -> Self {
        Self { ops: Vec::new() }
    }

    /// Appends a put.
    pub fn put(&mut self, table: TableId, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.ops.push(Op::Put { table, key: key.into(), value: value.into() });
        self
    }

    /// Appends a delete.
    pub fn delete(&mut self, table: TableId, key: impl Into<Vec<u8>>) -> &mut Self {
        self.ops.push(Op::Delete { table, key: key.into() });
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }
}

/// The net effect of one commit: the last change of each key. A key appears once, because inside one commit the
/// library gives all changes the same sequence number and so could not tell which came last.
pub(crate) type Changes<'a> = BTreeMap<(TableId, &'a [u8]), Option<&'a [u8]>>;

/// Checks the bounds of all changes and folds them into their net effect.
pub(crate) fn net_changes(batches: &[Batch], tables: usize) -> Result<Changes<'_>, StoreError> {
    let mut changes = Changes::new();
    for op in batches.iter().flat_map(|b| &b.ops) {
        let (table, key, value) = match op {
            Op::Put { table, key, value } => (*table, key, Some(value.as_slice())),
            Op::Delete { table, key } => (*table, key, None),
        };
        if usize::from(table.0) >= tables {
            return Err(StoreError::NoSuchTable { table: table.0, tables });
        }
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(StoreError::OutOfBounds { what: "key", bytes: key.len(), max: MAX_KEY_BYTES });
        }
        if let Some(value) = value.filter(|v| v.len() > MAX_VALUE_BYTES) {
            return Err(StoreError::OutOfBounds { what: "value", bytes: value.len(), max: MAX_VALUE_BYTES });
        }
        changes.insert((table, key.as_slice()), value);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_key_counts() {
        let mut a = Batch::new();
        a.put(TableId(0), *b"k", *b"1").put(TableId(1), *b"k", *b"2").delete(TableId(0), *b"k");
        let mut b = Batch::new();
        b.put(TableId(1), *b"k", *b"3");
        let batches = [a, b];
        let net = net_changes(&batches, 2).unwrap();
        assert_eq!(net.get(&(TableId(0), b"k".as_slice())), Some(&None));
        assert_eq!(net.get(&(TableId(1), b"k".as_slice())), Some(&Some(b"3".as_slice())));
    }

    #[test]
    fn bounds_are_refused_by_name() {
        let put = |table, key: Vec<u8>| {
            let mut b = Batch::new();
            b.put(TableId(table), key, *b"v");
            net_changes(&[b], 2).unwrap_err().to_string()
        };
        assert!(put(2, vec![1]).contains("table 2"));
        assert!(put(0, vec![]).contains("key of 0 bytes"));
        assert!(put(0, vec![0; MAX_KEY_BYTES + 1]).contains("65535"));
    }
}
