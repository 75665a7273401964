//! The marker that every commit carries: its number, and how many commits were flushed when it began.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Length of a store's secret name.
pub(crate) const STORE_ID_BYTES: usize = 16;
/// Length of a marker's key.
pub(crate) const MARKER_KEY_BYTES: usize = TAG.len() + STORE_ID_BYTES;
/// Length of a marker's value: counter, flushed, checksum.
pub(crate) const MARKER_VALUE_BYTES: usize = 8 + 8 + 8;

const TAG: &[u8; 8] = b"\xffcommit\xff";

/// The number of a commit (1 for the first) and how far the store was flushed before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Commits so far, this one included.
    pub counter: u64,
    /// The latest commit that a flush had covered when this one began (0 for none).
    pub flushed: u64,
}

/// Makes and recognizes the markers of one store. The key holds the store's random name, so that no value that a
/// stranger proposed can look like a marker when [`crate::journal`] searches raw bytes for lost ones.
#[derive(Clone, Debug)]
pub(crate) struct Markers {
    key: [u8; MARKER_KEY_BYTES],
    seed: u64,
}

impl Markers {
    /// For the store with this name.
    pub(crate) fn new(store_id: &[u8; STORE_ID_BYTES]) -> Self {
        let mut key = [0; MARKER_KEY_BYTES];
        let (tag, name) = key.split_at_mut(TAG.len());
        tag.copy_from_slice(TAG);
        name.copy_from_slice(store_id);
        Self { key, seed: xxh3_64(store_id) }
    }

    /// The key under which the latest marker stands.
    pub(crate) fn key(&self) -> &[u8; MARKER_KEY_BYTES] {
        &self.key
    }

    /// The value of a marker.
    pub(crate) fn encode(&self, marker: Marker) -> [u8; MARKER_VALUE_BYTES] {
        let mut value = [0; MARKER_VALUE_BYTES];
        value[..8].copy_from_slice(&marker.counter.to_le_bytes());
        value[8..16].copy_from_slice(&marker.flushed.to_le_bytes());
        let sum = xxh3_64_with_seed(&value[..16], self.seed);
        value[16..].copy_from_slice(&sum.to_le_bytes());
        value
    }

    /// The marker in a value, if it is one of this store.
    pub(crate) fn decode(&self, value: &[u8]) -> Option<Marker> {
        let (body, sum) = value.split_at_checked(16)?;
        let (counter, flushed) = body.split_at_checked(8)?;
        let counter = u64::from_le_bytes(counter.try_into().ok()?);
        let flushed = u64::from_le_bytes(flushed.try_into().ok()?);
        let sum = u64::from_le_bytes(sum.try_into().ok()?);
        (sum == xxh3_64_with_seed(body, self.seed)).then_some(Marker { counter, flushed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_decodes_only_unharmed_and_at_home() {
        let home = Markers::new(&[7; 16]);
        let marker = Marker { counter: 41, flushed: 39 };
        let value = home.encode(marker);
        assert_eq!(home.decode(&value), Some(marker));
        assert_eq!(Markers::new(&[8; 16]).decode(&value), None);
        for i in 0..value.len() {
            let mut bad = value;
            bad[i] ^= 1;
            assert_eq!(home.decode(&bad), None);
        }
        assert_eq!(home.decode(&value[1..]), None);
    }
}
