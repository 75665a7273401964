//! How large my next block may be, and how long it may wait to fill: both follow what my blocks cost (PROTOCOL section 4).

use crypto::Digest;

use super::{Payloads, Replica};
use crate::body::BODY_OVERHEAD_BYTES;
use crate::types::{Timestamp, View};

/// My first block has at most this many bytes.
const START_BYTES: usize = 256 * 1024;
/// A block may always have this many bytes.
const LEAST_BYTES: usize = 64 * 1024;
/// The time of an unloaded block rises by this part of the difference when blocks take longer, so that a slower network is believed.
const BASE_DRIFT: u64 = 64;
/// The same where the block was as small as blocks are made.
const LEAST_DRIFT: u64 = 2;

/// A block of mine on its way to finality.
#[derive(Clone, Copy, Debug)]
struct Flight {
    view: View,
    hash: Digest,
    sent_at: Timestamp,
    len: usize,
}

/// Keeps the size of my blocks where they delay finality by about Δ (docs/decisions/0050): the time from a block's leaving to its
/// finality, beyond what a small block takes, is what its bytes cost the slowest of the quorum.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    limit: usize,
    flight: Option<Flight>,
    /// What a block takes that costs nothing, in microseconds; none before the first.
    base_us: Option<u64>,
    /// Since when there is a wish for a block of mine in this view.
    wanted_since: Option<(View, Timestamp)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { limit: START_BYTES, flight: None, base_us: None, wanted_since: None }
    }
}

impl Batch {
    /// My block leaves.
    pub(super) fn sent(&mut self, view: View, hash: Digest, len: usize, now: Timestamp) {
        self.flight = Some(Flight { view, hash, sent_at: now, len });
        self.wanted_since = None;
    }

    /// My block became final.
    fn settled(&mut self, flight: Flight, now: Timestamp, delta_us: u64, bounds: (usize, usize)) {
        let took = now.since_us(flight.sent_at);
        // What even the least block takes is not the bytes' fault: that is believed soon, everything else slowly.
        let drift = if flight.len <= bounds.0 { LEAST_DRIFT } else { BASE_DRIFT };
        let base = self.base_us.map_or(took, |base| took.min(base + took.saturating_sub(base) / drift));
        self.base_us = Some(base);
        let cost = took - base;
        let limited = flight.len >= self.limit / 2;
        self.limit = if cost > 2 * delta_us {
            self.limit.min(flight.len) / 2
        } else if cost < delta_us / 2 && limited {
            self.limit * 2
        } else if cost < delta_us && limited {
            self.limit + self.limit / 4
        } else {
            self.limit
        }
        .clamp(bounds.0, bounds.1);
    }
}

impl Replica {
    /// Least and greatest size of a block: one value always fits.
    fn batch_bounds(&self) -> (usize, usize) {
        let limits = &self.config.limits;
        let most = limits.max_block_bytes as usize;
        let least = LEAST_BYTES.max(limits.max_value_bytes as usize + BODY_OVERHEAD_BYTES);
        (least.min(most), most)
    }

    /// Bytes that the body of my next block may have.
    pub fn batch_bytes(&self) -> usize {
        let (least, most) = self.batch_bounds();
        self.batch.limit.clamp(least, most)
    }

    /// Looks what became of my last block: final, or its view given up.
    pub(super) fn measure_batch(&mut self, now: Timestamp) {
        let Some(flight) = self.batch.flight else { return };
        let bounds = self.batch_bounds();
        let given_up = self.views.get(&flight.view).is_some_and(|state| state.nullified);
        if self.last_final.view >= flight.view {
            self.batch.flight = None;
            let in_time = self.last_final.view > flight.view || self.last_final.hash == flight.hash;
            if in_time {
                self.batch.settled(flight, now, self.pull_delta_us(), bounds);
            }
        } else if given_up && !self.is_notarized(flight.view, &flight.hash) {
            self.batch.flight = None;
            self.batch.limit = (self.batch.limit.min(flight.len) / 4).clamp(bounds.0, bounds.1);
        }
    }

    /// Until when my block waits to fill. Advice, never beyond the operator's bound or a quarter of the view timer; zero by default.
    pub(super) fn batch_ready_at(&mut self, now: Timestamp, payloads: &dyn Payloads) -> Timestamp {
        let view = self.view;
        let since = match self.batch.wanted_since {
            Some((at, since)) if at == view => since,
            _ => now,
        };
        self.batch.wanted_since = Some((view, since));
        let delay = self.batch_delay_us();
        if delay == 0 || payloads.fills_block(self.batch_bytes()) { since } else { since.after_us(delay) }
    }

    fn batch_delay_us(&self) -> u64 {
        self.advice.batch_delay_us.min(self.settings.batch_timeout_us).min(self.pace.timer_us / 4)
    }

    /// When a block of mine that waits to fill leaves, if one does.
    pub(super) fn batch_deadline(&self) -> Option<Timestamp> {
        let (view, since) = self.batch.wanted_since?;
        let free = self.views.get(&view).is_none_or(|state| state.lock.is_none() && !state.nulled);
        (view == self.view && free && self.batch_delay_us() > 0).then(|| since.after_us(self.batch_delay_us()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA_US: u64 = 50_000;
    const BOUNDS: (usize, usize) = (64 * 1024, 4 * 1024 * 1024);

    fn flight(batch: &mut Batch, len: usize, took_us: u64) {
        let hash = crypto::HashAlgorithm::Sha256.hash("test", &[]);
        batch.sent(View::new(1), hash, len, Timestamp::new(1_000));
        let flight = batch.flight.take().unwrap();
        batch.settled(flight, Timestamp::new(1_000 + took_us), DELTA_US, BOUNDS);
    }

    #[test]
    fn it_grows_while_full_blocks_cost_little_and_shrinks_when_they_cost_much() {
        let mut batch = Batch::default();
        flight(&mut batch, 100, 5_000);
        assert_eq!(batch.limit, START_BYTES, "a small block says nothing of large ones");
        flight(&mut batch, START_BYTES, 20_000);
        assert_eq!(batch.limit, 2 * START_BYTES);
        flight(&mut batch, 2 * START_BYTES, 45_000);
        assert_eq!(batch.limit, 2 * START_BYTES + START_BYTES / 2);
        let len = batch.limit;
        flight(&mut batch, len, 200_000);
        assert_eq!(batch.limit, len / 2);
        while batch.limit > BOUNDS.0 {
            let len = batch.limit;
            flight(&mut batch, len, 900_000);
            assert!(batch.limit < len);
        }
    }

    #[test]
    fn what_small_blocks_take_too_does_not_hold_it_down() {
        let mut batch = Batch::default();
        flight(&mut batch, 100, 5_000);
        for _ in 0..8 {
            let len = batch.limit;
            flight(&mut batch, len, 400_000); // a busy machine, whatever the length
        }
        assert!(batch.limit > BOUNDS.0, "{batch:?}");
    }

    #[test]
    fn a_slow_network_is_not_taken_for_a_slow_machine() {
        let mut batch = Batch::default();
        flight(&mut batch, 100, 300_000);
        for _ in 0..3 {
            let len = batch.limit;
            flight(&mut batch, len, 310_000);
        }
        assert_eq!(batch.limit, 8 * START_BYTES);
    }
}
