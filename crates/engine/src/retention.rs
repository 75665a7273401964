//! Retention: which final blocks are no longer kept, and when their removal is written (D4).
//!
//! ```text
//!  committed ─▶ plan ─▶ ReadPrunable ─▶ the surroundings read what is too old (serve::prunable) ─▶ Prunable ─▶ ready
//!                                           with the records of the next final block, in one write ◀───────────┘
//! ```
//!
//! A block goes once it is older than the retention *and* deeper than the number of blocks kept. The node keeps `max_timeout_ms` at
//! least, so that the bodies in the store always hold every id that a later block could repeat: what a node keeps is also all that a new
//! one needs (docs/decisions/0031).

use consensus::records::Record;
use consensus::replica::Tip;
use consensus::types::{Height, Timestamp};

/// How much of the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Blocks dated within this time before the last one are kept, in microseconds.
    pub time_us: u64,
    /// The last so many blocks are kept, whatever their date.
    pub blocks: u64,
}

/// What is to be read: blocks from `from` on, as long as they are dated before `before` and below `keep_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneOrder {
    /// Blocks dated before this may go.
    pub before: Timestamp,
    /// This block and those above it stay.
    pub keep_from: Height,
}

/// A look for old blocks after so many new ones.
const EVERY_BLOCKS: u64 = 64;

/// Follows the chain and has old blocks removed behind it.
pub(crate) struct Pruner {
    retention: Option<Retention>,
    /// The lowest block in the store.
    held_from: Height,
    asked: bool,
    /// The height at which it looked last.
    looked_at: Height,
    ready: Option<(Height, Vec<Record>)>,
}

impl Pruner {
    pub(crate) const fn new(retention: Option<Retention>, held_from: Height) -> Self {
        Self { retention, held_from, asked: false, looked_at: Height::ZERO, ready: None }
    }

    pub(crate) const fn held_from(&self) -> Height {
        self.held_from
    }

    /// The store begins here from now on: what was below is garbage.
    pub(crate) const fn begin_at(&mut self, height: Height) {
        self.held_from = height;
    }

    /// What is to be read, if it is time to look.
    pub(crate) fn plan(&mut self, tip: Tip) -> Option<PruneOrder> {
        let retention = self.retention?;
        if self.asked || self.ready.is_some() || tip.height.get() < self.looked_at.get() + EVERY_BLOCKS {
            return None;
        }
        let keep_from = Height::new((tip.height.get() + 1).saturating_sub(retention.blocks));
        if keep_from <= self.held_from {
            return None;
        }
        (self.asked, self.looked_at) = (true, tip.height);
        Some(PruneOrder { before: Timestamp::new(tip.time.get().saturating_sub(retention.time_us)), keep_from })
    }

    /// What was read: removals, and the lowest block that stays.
    pub(crate) fn take(&mut self, first: Height, records: Vec<Record>) {
        self.asked = false;
        if !records.is_empty() {
            self.looked_at = Height::ZERO; // there may be more
            self.ready = Some((first, records));
        }
    }

    /// The removals that go with the final block that is being written (D4).
    pub(crate) fn attach(&mut self) -> Vec<Record> {
        let Some((first, records)) = self.ready.take() else { return Vec::new() };
        self.held_from = first.max(self.held_from);
        records
    }
}
