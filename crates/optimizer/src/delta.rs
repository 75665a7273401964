//! The message delay Δ as measured, which view timers and the hedge's cap follow.
//!
//! From my vote to the one-round quorum (to the Notarization where that never comes) pass about one or two message delays and the others'
//! work; that time does not depend on whether the network is idle. Δ = max(its 95th percentile, the 75th percentile of the same when I lead, where it is a whole round trip with the
//! body's transfer), plus a margin; so the view timer of 6 Δ covers it several times. A view that was given up although its block had votes
//! was given up too early: Δ grows by half, and the growth fades with every view that settles.

use crate::window::Window;

/// Rounds without which nothing is said.
const LEAST_ROUNDS: usize = 8;
/// Added to what was measured, in microseconds: scheduling and flushes vary.
const MARGIN_US: u64 = 2_000;
/// What a view that was given up too early multiplies Δ by.
const TOO_EARLY: f64 = 1.5;
/// Most of that.
const MOST: f64 = 8.0;
/// What is left of it after a view that settled.
const FADE: f64 = 0.98;

/// Measures Δ.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    quorum_us: Window,
    leading_us: Window,
    caution: f64,
    told_us: Option<u64>,
}

impl Delta {
    pub(crate) fn new() -> Self {
        Self { quorum_us: Window::new(128), leading_us: Window::new(32), caution: 1.0, told_us: None }
    }

    pub(crate) fn quorum(&mut self, after_us: u64, leading: bool) {
        self.quorum_us.push(after_us);
        if leading {
            self.leading_us.push(after_us);
        }
    }

    pub(crate) fn settled(&mut self) {
        self.caution = (self.caution * FADE).max(1.0);
    }

    /// A view was given up although votes for its block were there.
    pub(crate) fn too_early(&mut self) {
        self.caution = (self.caution * TOO_EARLY).min(MOST);
    }

    pub(crate) fn measured_us(&self) -> Option<u64> {
        if self.quorum_us.len() < LEAST_ROUNDS {
            return None;
        }
        let all = self.quorum_us.quantile(950)?;
        let leading = self.leading_us.quantile(750).unwrap_or(0);
        Some(((all.max(leading) + MARGIN_US) as f64 * self.caution) as u64)
    }

    /// What is told: upwards at once, downwards only when `decide` allows it, and only by more than `least_change`.
    pub(crate) fn tell(&mut self, decide: bool, least_change: f64) -> Option<u64> {
        let measured = self.measured_us()?;
        let far = self
            .told_us
            .is_none_or(|told| (measured as f64 - told as f64).abs() > least_change.max(0.05) * told.max(1) as f64);
        if far && (decide || self.told_us.is_some_and(|told| measured > told)) {
            self.told_us = Some(measured);
        }
        self.told_us
    }

    pub(crate) const fn told_us(&self) -> Option<u64> {
        self.told_us
    }

    pub(crate) fn restore(&mut self, told_us: Option<u64>) {
        self.told_us = told_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_follows_upwards_at_once_and_downwards_when_allowed() {
        let mut delta = Delta::new();
        assert_eq!(delta.tell(true, 0.1), None, "nothing measured");
        (0..20).for_each(|_| delta.quorum(10_000, false));
        assert_eq!(delta.tell(false, 0.1), None, "not before a decision");
        assert_eq!(delta.tell(true, 0.1), Some(12_000));
        (0..20).for_each(|_| delta.quorum(60_000, false));
        assert_eq!(delta.tell(false, 0.1), Some(62_000), "upwards at once");
        (0..200).for_each(|_| delta.quorum(10_000, false));
        assert_eq!(delta.tell(false, 0.1), Some(62_000));
        assert_eq!(delta.tell(true, 0.1), Some(12_000));
    }

    #[test]
    fn a_view_given_up_too_early_makes_it_cautious_for_a_while() {
        let mut delta = Delta::new();
        (0..20).for_each(|_| delta.quorum(10_000, true));
        delta.too_early();
        assert_eq!(delta.measured_us(), Some(18_000));
        (0..10).for_each(|_| delta.too_early());
        assert_eq!(delta.measured_us(), Some(96_000), "bounded");
        (0..300).for_each(|_| delta.settled());
        assert_eq!(delta.measured_us(), Some(12_000));
    }
}
