//! What was seen of the latest views: one round each, in a ring.

use crate::policies::Decision;

/// Views followed at once.
pub(crate) const ROUNDS: usize = 64;

/// One view. Times are in microseconds; 0 stands for "not yet".
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(crate) view: u64,
    pub(crate) locked_at: u64,
    pub(crate) leading: bool,
    pub(crate) notarized_at: u64,
    pub(crate) fast_at: u64,
    pub(crate) settled_at: u64,
    pub(crate) finalizing_at: u64,
    pub(crate) alone: bool,
    pub(crate) piggyback_at: u64,
    pub(crate) skipped: bool,
    /// Validators whose vote for a block was seen, me included.
    pub(crate) votes: u32,
    /// The caps and scales of the moment of decision.
    pub(crate) cap_us: u64,
    pub(crate) slow_us: u64,
    pub(crate) scale_us: u64,
    /// What the acting policy, the learner and the rule decided.
    pub(crate) acting: Decision,
    pub(crate) learned: Decision,
    pub(crate) rule: Decision,
    pub(crate) predicted_final_us: u64,
    /// The outcome was learned from; the peers' arrivals were.
    pub(crate) learned_from: bool,
    pub(crate) peers_done: bool,
}

/// The ring, with the arrival of every validator's vote in each round.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    ring: Vec<Round>,
    arrivals: Vec<u64>,
    n: usize,
    newest: u64,
}

impl Rounds {
    pub(crate) fn new(n: usize) -> Self {
        Self { ring: vec![Round::default(); ROUNDS], arrivals: vec![0; ROUNDS * n], n, newest: 0 }
    }

    fn slot(view: u64) -> usize {
        (view % ROUNDS as u64) as usize
    }

    /// The round of a view that is not too old; the slot's former round is forgotten.
    pub(crate) fn open(&mut self, view: u64) -> Option<&mut Round> {
        if view == 0 || view + ROUNDS as u64 <= self.newest {
            return None;
        }
        self.newest = self.newest.max(view);
        let slot = Self::slot(view);
        let n = self.n;
        let round = self.ring.get_mut(slot)?;
        if round.view > view {
            return None;
        }
        if round.view < view {
            *round = Round { view, ..Round::default() };
            self.arrivals.get_mut(slot * n..(slot + 1) * n)?.fill(0);
        }
        Some(round)
    }

    pub(crate) fn get(&self, view: u64) -> Option<&Round> {
        self.ring.get(Self::slot(view)).filter(|round| round.view == view && view > 0)
    }

    pub(crate) fn get_mut(&mut self, view: u64) -> Option<&mut Round> {
        self.ring.get_mut(Self::slot(view)).filter(|round| round.view == view && view > 0)
    }

    /// Marks a vote; true if it is this validator's first of the view.
    pub(crate) fn arrive(&mut self, view: u64, from: usize, now: u64) -> bool {
        if from >= self.n || self.open(view).is_none() {
            return false;
        }
        let slot = Self::slot(view);
        let Some(at) = self.arrivals.get_mut(slot * self.n + from).filter(|at| **at == 0) else { return false };
        *at = now;
        if let Some(round) = self.get_mut(view) {
            round.votes += 1;
        }
        true
    }

    /// When each validator's vote came, 0 for those that have not.
    pub(crate) fn arrivals(&self, view: u64) -> &[u64] {
        let slot = Self::slot(view);
        self.arrivals.get(slot * self.n..(slot + 1) * self.n).unwrap_or_default()
    }

    pub(crate) const fn newest(&self) -> u64 {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_forgets_old_views_and_counts_each_voter_once() {
        let mut rounds = Rounds::new(3);
        assert!(rounds.arrive(5, 1, 10) && !rounds.arrive(5, 1, 11) && rounds.arrive(5, 2, 12));
        assert!(!rounds.arrive(5, 3, 10), "no such validator");
        assert_eq!(rounds.get(5).map(|round| round.votes), Some(2));
        assert_eq!(rounds.arrivals(5), [0, 10, 12]);
        assert!(rounds.arrive(5 + ROUNDS as u64, 0, 20));
        assert!(rounds.get(5).is_none() && rounds.open(5).is_none() && rounds.open(0).is_none());
        assert_eq!(rounds.arrivals(5 + ROUNDS as u64), [20, 0, 0]);
        assert_eq!(rounds.newest(), 69);
    }
}
