//! The canonical byte form: big-endian, length-prefixed, strict and bounded (docs/formats.md).
//!
//! One value has exactly one encoding. A decoder refuses trailing bytes, unknown tags, numbers out of range and lengths
//! above the bound that the caller names; it allocates no more than the input can fill.

use crypto::Digest;

use crate::bounds::{MAX_NUMBER, MAX_SIGNATURE_BYTES};
use crate::types::{Epoch, Height, Timestamp, ValidatorIndex, View};

/// Why bytes are not the canonical form of a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a field.
    #[error("input ends inside {0}")]
    Truncated(&'static str),
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A field has a value that no encoder writes.
    #[error("{0} is out of range")]
    Invalid(&'static str),
    /// A length or count is above its bound.
    #[error("{what} has {found}, the bound is {bound}")]
    TooLong {
        /// The field.
        what: &'static str,
        /// The length found.
        found: usize,
        /// The bound.
        bound: usize,
    },
}

/// A value with a canonical byte form.
pub trait Encode {
    /// Appends the canonical bytes to `out`.
    fn encode(&self, out: &mut Writer);

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.into_bytes()
    }
}

/// A value that can be read back from its canonical byte form.
pub trait Decode: Sized {
    /// Reads one value, leaving the rest of the input.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads exactly one value; trailing bytes are an error.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

/// Appends canonical fields to a byte vector.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes are written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A count of at most `u32::MAX`; every list in the protocol is bounded far below.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Bytes without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A four-byte length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A digest: its length in one byte (32 or 48), then its bytes.
    pub fn digest(&mut self, digest: &Digest) {
        self.u8(digest.len() as u8);
        self.raw(digest.as_bytes());
    }

    /// A boolean as 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }
}

/// Reads canonical fields from a slice.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails if bytes are left.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }

    /// The next `len` bytes.
    pub fn raw(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated(what));
        };
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated(what));
        };
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// Eight bytes, big-endian, any value.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// Eight bytes, big-endian, at most [`MAX_NUMBER`].
    pub fn number(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let value = self.u64(what)?;
        if value > MAX_NUMBER { Err(DecodeError::Invalid(what)) } else { Ok(value) }
    }

    /// A view.
    pub fn view(&mut self) -> Result<View, DecodeError> {
        Ok(View::new(self.number("view")?))
    }

    /// A height.
    pub fn height(&mut self) -> Result<Height, DecodeError> {
        Ok(Height::new(self.number("height")?))
    }

    /// An epoch.
    pub fn epoch(&mut self) -> Result<Epoch, DecodeError> {
        Ok(Epoch::new(self.number("epoch")?))
    }

    /// A time.
    pub fn time(&mut self, what: &'static str) -> Result<Timestamp, DecodeError> {
        Ok(Timestamp::new(self.number(what)?))
    }

    /// A validator's index.
    pub fn validator(&mut self) -> Result<ValidatorIndex, DecodeError> {
        Ok(ValidatorIndex::new(self.u16("validator index")?))
    }

    /// A count of at most `bound`.
    pub fn count(&mut self, bound: usize, what: &'static str) -> Result<usize, DecodeError> {
        let found = self.u32(what)? as usize;
        if found > bound { Err(DecodeError::TooLong { what, found, bound }) } else { Ok(found) }
    }

    /// A four-byte length of at most `bound` and as many bytes.
    pub fn bytes(&mut self, bound: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.count(bound, what)?;
        self.raw(len, what)
    }

    /// A signature.
    pub fn signature(&mut self) -> Result<Vec<u8>, DecodeError> {
        Ok(self.bytes(MAX_SIGNATURE_BYTES, "signature")?.to_vec())
    }

    /// UTF-8 text of at most `bound` bytes.
    pub fn text(&mut self, bound: usize, what: &'static str) -> Result<String, DecodeError> {
        let bytes = self.bytes(bound, what)?;
        core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Invalid(what))
    }

    /// A digest.
    pub fn digest(&mut self, what: &'static str) -> Result<Digest, DecodeError> {
        let len = usize::from(self.u8(what)?);
        let bytes = self.raw(len, what)?;
        Digest::from_slice(bytes).map_err(|_| DecodeError::Invalid(what))
    }

    /// A boolean; only 0 and 1 are canonical.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(what)),
        }
    }

    /// A list of at most `bound` items. Room is made as items arrive, never from the count alone.
    pub fn list<T>(
        &mut self,
        bound: usize,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(bound, what)?;
        let mut items = Vec::with_capacity(count.min(self.remaining()).min(1_024));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_never_trusted_for_an_allocation() {
        let mut out = Writer::new();
        out.count(4_000_000);
        let bytes = out.into_bytes();
        let mut input = Reader::new(&bytes);
        let items = input.list(5_000_000, "items", |r| r.u64("item"));
        assert_eq!(items, Err(DecodeError::Truncated("item")));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let bytes = u64::MAX.to_be_bytes();
        assert_eq!(Reader::new(&bytes).view(), Err(DecodeError::Invalid("view")));
        assert_eq!(Reader::new(&[2]).bool("flag"), Err(DecodeError::Invalid("flag")));
        assert_eq!(Reader::new(&[31; 32]).digest("hash"), Err(DecodeError::Invalid("hash")));
    }
}
