//! Reads the library's journals before the library does, since it would cut them at a damage without a word.
//!
//! Format of fjall 3 (journal/entry.rs, marker "FJL" 3), integers little-endian:
//!
//! ```text
//!   batch = start item* end
//!   start = 1, count u32, sequence u64
//!   item  = 2, kind u8, compression u8 (0), table u64, key length u16, value length u32, stored length u32, key, value
//!   end   = 3, xxh3 of the items u64, "FJL" 3
//! ```
//!
//! New files are filled with zeros to 64 MiB. Each batch is one commit of ours and has one [`Marker`].

use crate::StoreError;
use crate::marker::{MARKER_KEY_BYTES, MARKER_VALUE_BYTES, Marker, Markers};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const CHUNK_BYTES: usize = 64 << 10;
const TRAILER: [u8; 4] = *b"FJL\x03";
/// Sequence numbers stay far below; the checksums of the library do not cover them.
const MAX_SEQUENCE: u64 = 1 << 48;

/// What the journals say.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// The last marker, if there is any.
    pub last: Option<Marker>,
    /// So many commits were certainly flushed.
    pub flushed: u64,
    torn: Option<(PathBuf, u64)>,
}

impl Audit {
    /// Cuts off a torn tail, in which no flushed commit stood.
    pub(crate) fn cut_torn_tail(&self) -> io::Result<()> {
        let Some((path, at)) = &self.torn else { return Ok(()) };
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(*at)?;
        file.sync_all()
    }
}

/// Reads all journals in `data`, in order, given that `flushed` commits are known to have been flushed. It changes
/// nothing. What it cannot see is the absence of the oldest files as a whole: they go when their content is in tables.
pub(crate) fn audit(dir: &Path, data: &Path, markers: &Markers, flushed: u64) -> Result<Audit, StoreError> {
    let opening = |e| StoreError::opening(dir, e);
    let files = list(data).map_err(opening)?;
    let mut audit = Audit { flushed, ..Audit::default() };
    let mut sequence_before = None;
    for (i, path) in files.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let damaged = |what: &str| StoreError::damaged(dir, format!("journal {name}: {what}"));
        let mut reader = Journal::open(path, markers).map_err(opening)?;
        let mut empty = true;
        let torn_at = loop {
            match reader.batch().map_err(opening)? {
                Step::Batch { marker, sequence } => {
                    let gap = audit.last.is_some_and(|before| marker.counter != before.counter + 1);
                    if gap || audit.torn.is_some() {
                        return Err(damaged("commits are missing before it or in it"));
                    }
                    if sequence >= MAX_SEQUENCE || Some(sequence) <= sequence_before {
                        return Err(damaged("its sequence numbers do not ascend"));
                    }
                    (audit.last, sequence_before, empty) = (Some(marker), Some(sequence), false);
                    audit.flushed = audit.flushed.max(marker.flushed);
                }
                Step::End => break None,
                Step::Foreign(what) => return Err(damaged(what)),
                Step::Torn { at } => break Some(at),
            }
        };
        if empty && i + 1 < files.len() {
            return Err(damaged("it is empty, although a later one was begun"));
        }
        let Some(at) = torn_at else { continue };
        let Lost::Bytes { flushed } = reader.lost_from(at).map_err(opening)? else { continue };
        audit.flushed = audit.flushed.max(flushed);
        if audit.torn.is_some() || audit.last.is_some_and(|left| left.counter < audit.flushed) {
            return Err(damaged(&format!("undecodable from byte {at}, where flushed commits were")));
        }
        audit.torn = Some((path.clone(), at));
    }
    Ok(audit)
}

/// The journals, oldest first.
fn list(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jnl")) {
            let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            let strange = || io::Error::new(io::ErrorKind::InvalidData, "a journal has a strange name");
            files.push((number.ok_or_else(strange)?, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

enum Step {
    /// A whole commit.
    Batch { marker: Marker, sequence: u64 },
    /// The end of the file.
    End,
    /// A whole batch that this program did not write.
    Foreign(&'static str),
    /// What begins at this byte does not decode; it may be the zeros behind the end.
    Torn { at: u64 },
}

/// What stands behind a torn place.
enum Lost {
    /// The zeros of a file that is not full.
    Nothing,
    /// Bytes; markers among them say that so many commits were flushed (0 for none).
    Bytes { flushed: u64 },
}

struct Journal<'a> {
    reader: BufReader<File>,
    length: u64,
    /// Bytes read so far.
    at: u64,
    markers: &'a Markers,
}

impl<'a> Journal<'a> {
    fn open(path: &Path, markers: &'a Markers) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { reader: BufReader::with_capacity(CHUNK_BYTES, file), length, at: 0, markers })
    }

    /// Reads one batch.
    fn batch(&mut self) -> io::Result<Step> {
        let begin = self.at;
        if begin == self.length {
            return Ok(Step::End);
        }
        match self.try_batch() {
            Ok(Some(step)) => Ok(step),
            Ok(None) => Ok(Step::Torn { at: begin }),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Step::Torn { at: begin }),
            Err(e) => Err(e),
        }
    }

    fn try_batch(&mut self) -> io::Result<Option<Step>> {
        let [1] = self.take()? else { return Ok(None) };
        let count = u32::from_le_bytes(self.take()?);
        let sequence = u64::from_le_bytes(self.take()?);
        let mut hash = Xxh3::new();
        let mut found = Vec::new();
        for _ in 0..count {
            if !self.item(&mut hash, &mut found)? {
                return Ok(None);
            }
        }
        let [3] = self.take()? else { return Ok(None) };
        let sum = u64::from_le_bytes(self.take()?);
        if self.take()? != TRAILER || sum != hash.digest() {
            return Ok(None);
        }
        Ok(Some(match found.as_slice() {
            [marker] => Step::Batch { marker: *marker, sequence },
            [] => Step::Foreign("a commit without a marker"),
            _ => Step::Foreign("a commit with several markers"),
        }))
    }

    /// Reads one item; false if it does not decode.
    fn item(&mut self, hash: &mut Xxh3, found: &mut Vec<Marker>) -> io::Result<bool> {
        let header: [u8; 21] = self.take()?;
        let [2, kind, 0, _, _, _, _, _, _, _, _, k0, k1, v0, v1, v2, v3, s0, s1, s2, s3] = header else {
            return Ok(false);
        };
        let key_length = usize::from(u16::from_le_bytes([k0, k1]));
        let value_length = u32::from_le_bytes([v0, v1, v2, v3]);
        let stored_length = u32::from_le_bytes([s0, s1, s2, s3]);
        let rest = self.length - self.at;
        if kind > 2 || value_length != stored_length || key_length as u64 + u64::from(value_length) > rest {
            return Ok(false);
        }
        hash.update(&header);
        let mut key = vec![0; key_length];
        self.fill(&mut key)?;
        hash.update(&key);
        let mut value = vec![0; CHUNK_BYTES.min(value_length as usize)];
        let mut left = value_length as usize;
        while left > 0 {
            let chunk = left.min(CHUNK_BYTES);
            let chunk = value.get_mut(..chunk).unwrap_or_default();
            self.fill(chunk)?;
            hash.update(chunk);
            left -= chunk.len();
        }
        if key == self.markers.key() && kind == 0 {
            found.extend(self.markers.decode(&value));
        }
        Ok(true)
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Searches the raw bytes from `at` on for markers. The flush of a commit returned before the next one began, so
    /// what a marker says about earlier commits is certain, while the last commit may have been under way.
    fn lost_from(&mut self, at: u64) -> io::Result<Lost> {
        const PATTERN: usize = MARKER_KEY_BYTES + MARKER_VALUE_BYTES;
        let key = *self.markers.key();
        self.reader.seek(SeekFrom::Start(at))?;
        let (mut flushed, mut zeros) = (0, true);
        let mut window: Vec<u8> = Vec::with_capacity(PATTERN + CHUNK_BYTES);
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(if zeros { Lost::Nothing } else { Lost::Bytes { flushed } });
            }
            let used = chunk.len();
            let quiet = chunk.iter().all(|b| *b == 0) && window.iter().all(|b| *b == 0);
            zeros &= quiet;
            window.extend_from_slice(chunk);
            self.reader.consume(used);
            // Nearly all there is behind the end of a new file is zeros.
            let places = if quiet { &[] } else { window.as_slice() };
            for place in places.windows(PATTERN).filter(|w| w.first() == key.first()) {
                let marker = place.strip_prefix(&key).and_then(|value| self.markers.decode(value));
                flushed = marker.map_or(flushed, |m| m.flushed.max(flushed));
            }
            window.drain(..window.len().saturating_sub(PATTERN - 1));
        }
    }
}
