//! What each validator was seen doing: votes in time, late and missing, messages that verified, heights it claims.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consensus::types::Timestamp;

/// A vote counts as missing when it has not come by the time this many further blocks are final.
pub(crate) const GRACE_BLOCKS: usize = 16;
/// Who voted is remembered for this many views below the last final one.
const KEPT_VIEWS: u64 = 512;
/// Votes for views further ahead of the last final one than this are not remembered.
const AHEAD_VIEWS: u64 = 256;
/// The verification rate is taken over this many slots …
const SLOTS: usize = 10;
/// … of this length.
const SLOT: Duration = Duration::from_secs(30);

/// The latest vote of a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastVote {
    /// Its view.
    pub(crate) view: u64,
    /// When it came.
    pub(crate) at: Timestamp,
}

/// What one validator was seen doing since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its vote of the highest view.
    pub(crate) last_vote: Option<LastVote>,
    /// Vote messages that came after everything in them was final here.
    pub(crate) late: u64,
    /// Final blocks without a vote of it.
    pub(crate) missing: u64,
    /// Messages that did not verify.
    pub(crate) failed: u64,
    /// The height that it last said it has.
    pub(crate) height: u64,
}

/// Good and bad messages of the last minutes.
#[derive(Clone, Copy, Debug)]
struct Rate {
    slots: [(u64, u64); SLOTS],
    current: u64,
}

impl Rate {
    const fn new() -> Self {
        Self { slots: [(0, 0); SLOTS], current: 0 }
    }

    fn turn(&mut self, slot: u64) {
        if slot.saturating_sub(self.current) >= SLOTS as u64 {
            self.slots = [(0, 0); SLOTS];
        }
        for over in (self.current + 1..=slot).take(SLOTS) {
            self.slots[(over % SLOTS as u64) as usize] = (0, 0);
        }
        self.current = self.current.max(slot);
    }

    fn count(&mut self, slot: u64, good: bool) {
        self.turn(slot);
        let (yes, no) = &mut self.slots[(self.current % SLOTS as u64) as usize];
        *(if good { yes } else { no }) += 1;
    }

    /// Share of good ones; `None` without messages.
    fn share(&mut self, slot: u64) -> Option<f64> {
        self.turn(slot);
        let (good, bad) = self.slots.iter().fold((0, 0), |(yes, no), (y, n)| (yes + y, no + n));
        (good + bad > 0).then(|| good as f64 / (good + bad) as f64)
    }
}

struct Inner {
    seen: Vec<Seen>,
    /// Who voted, by view.
    voters: BTreeMap<u64, BTreeSet<u16>>,
    /// Views of final blocks that are not judged yet.
    due: VecDeque<u64>,
    final_view: u64,
}

/// What each validator was seen doing.
pub(crate) struct Witness {
    q_min: usize,
    f: usize,
    started: Instant,
    inner: Mutex<Inner>,
    rates: Vec<Mutex<Rate>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Witness {
    /// Nothing seen yet of `n` validators of whom `f` may lie; a block with votes of `q_min` was decided before our eyes.
    pub(crate) fn new(n: usize, f: u32, q_min: u32) -> Self {
        let inner =
            Inner { seen: vec![Seen::default(); n], voters: BTreeMap::new(), due: VecDeque::new(), final_view: 0 };
        Self {
            q_min: q_min as usize,
            f: f as usize,
            started: Instant::now(),
            inner: Mutex::new(inner),
            rates: (0..n).map(|_| Mutex::new(Rate::new())).collect(),
        }
    }

    /// A new epoch has begun: views start anew.
    pub(crate) fn entered_epoch(&self) {
        let mut inner = lock(&self.inner);
        inner.final_view = 0;
        inner.voters.clear();
        inner.due.clear();
        inner.seen.iter_mut().filter_map(|seen| seen.last_vote.as_mut()).for_each(|last| last.view = 0);
    }

    /// A vote of a validator for some views.
    pub(crate) fn voted(&self, signer: u16, views: impl IntoIterator<Item = u64>, now: Timestamp) {
        let mut inner = lock(&self.inner);
        let least = inner.final_view.saturating_sub(KEPT_VIEWS);
        let most = inner.final_view.saturating_add(AHEAD_VIEWS);
        for view in views {
            let Some(seen) = inner.seen.get_mut(usize::from(signer)) else { return };
            if seen.last_vote.is_none_or(|last| last.view < view) && view <= most {
                seen.last_vote = Some(LastVote { view, at: now });
            }
            if (least..=most).contains(&view) {
                inner.voters.entry(view).or_default().insert(signer);
            }
        }
    }

    /// A vote message that speaks only of what is final already.
    pub(crate) fn late(&self, signer: u16, views: impl IntoIterator<Item = u64>, now: Timestamp) {
        if let Some(seen) = lock(&self.inner).seen.get_mut(usize::from(signer)) {
            seen.late += 1;
        }
        self.voted(signer, views, now);
    }

    /// A block of this view is final.
    pub(crate) fn finalized(&self, view: u64) {
        let mut inner = lock(&self.inner);
        inner.final_view = inner.final_view.max(view);
        inner.due.push_back(view);
        while inner.due.len() > GRACE_BLOCKS {
            let Some(view) = inner.due.pop_front() else { return };
            let Inner { seen, voters, .. } = &mut *inner;
            // A block that came with its proof, while catching up, says nothing about who voted.
            let Some(voters) = voters.get(&view).filter(|voters| voters.len() >= self.q_min) else { continue };
            for (index, seen) in seen.iter_mut().enumerate() {
                seen.missing += u64::from(!voters.contains(&(index as u16)));
            }
        }
        let least = inner.final_view.saturating_sub(KEPT_VIEWS);
        while inner.voters.first_key_value().is_some_and(|(view, _)| *view < least) {
            inner.voters.pop_first();
        }
    }

    /// What a validator says that it has.
    pub(crate) fn announced(&self, peer: u16, height: u64) {
        if let Some(seen) = lock(&self.inner).seen.get_mut(usize::from(peer)) {
            seen.height = height;
        }
    }

    /// A height that more validators claim than may lie; 0 as long as too few have said anything.
    pub(crate) fn network_height(&self) -> u64 {
        let mut heights: Vec<u64> = lock(&self.inner).seen.iter().map(|seen| seen.height).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(self.f).copied().unwrap_or_default()
    }

    fn slot(&self) -> u64 {
        self.started.elapsed().as_secs() / SLOT.as_secs()
    }

    /// A message of this peer did or did not verify.
    pub(crate) fn verified(&self, peer: u16, good: bool) {
        let slot = self.slot();
        if let Some(rate) = self.rates.get(usize::from(peer)) {
            lock(rate).count(slot, good);
        }
        if !good && let Some(seen) = lock(&self.inner).seen.get_mut(usize::from(peer)) {
            seen.failed += 1;
        }
    }

    /// Share of a peer's messages that verified in the last five minutes; 1 without messages.
    pub(crate) fn verification_rate(&self, peer: u16) -> f64 {
        let slot = self.slot();
        self.rates.get(usize::from(peer)).and_then(|rate| lock(rate).share(slot)).unwrap_or(1.0)
    }

    /// That of the middle one of the peers that sent anything, the upper of two: no minority that sends garbage can move it,
    /// and something wrong with this node's own view of the keys moves it to 0.
    pub(crate) fn middle_verification_rate(&self) -> f64 {
        let slot = self.slot();
        let mut shares: Vec<f64> = self.rates.iter().filter_map(|rate| lock(rate).share(slot)).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares.get(shares.len() / 2).copied().unwrap_or(1.0)
    }

    /// What each validator was seen doing, by index.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.inner).seen.clone()
    }

    /// The validators of whom a vote for this view was seen; `None` for views that are not remembered.
    pub(crate) fn voters(&self, view: u64) -> Option<Vec<u16>> {
        lock(&self.inner).voters.get(&view).map(|voters| voters.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::new(1);

    #[test]
    fn late_and_missing_votes_are_told_apart() {
        let witness = Witness::new(4, 1, 3);
        for view in 1..=40 {
            for signer in 0..3 {
                witness.voted(signer, [view], NOW);
            }
            witness.finalized(view);
            // The fourth is always late, and misses every tenth view.
            if view % 10 != 0 {
                witness.late(3, [view], NOW);
            }
        }
        let seen = witness.seen();
        assert_eq!((seen[0].late, seen[0].missing), (0, 0));
        // Views 10 and 20 are judged, 30 and 40 are not.
        assert_eq!((seen[3].late, seen[3].missing), (36, 2));
        assert_eq!(seen[3].last_vote, Some(LastVote { view: 39, at: NOW }));
        assert_eq!(witness.voters(40), Some(vec![0, 1, 2]));
        (41..2_000).for_each(|view| {
            witness.voted(0, [view], NOW);
            witness.finalized(view);
        });
        assert_eq!((witness.voters(40), witness.voters(1_999)), (None, Some(vec![0])));
        assert!(lock(&witness.inner).voters.len() as u64 <= KEPT_VIEWS + 1);
    }

    #[test]
    fn what_was_caught_up_accuses_nobody() {
        let witness = Witness::new(4, 1, 3);
        (1..=100).for_each(|view| witness.finalized(view));
        assert!(witness.seen().iter().all(|seen| seen.missing == 0));
    }

    #[test]
    fn votes_far_ahead_take_no_memory() {
        let witness = Witness::new(4, 1, 3);
        witness.voted(0, 1_000..100_000, NOW);
        assert!(lock(&witness.inner).voters.is_empty());
        assert_eq!(witness.seen()[0].last_vote, None);
        witness.voted(9, [1], NOW);
        witness.late(9, [1], NOW);
        witness.announced(9, 1);
    }

    #[test]
    fn a_liar_does_not_move_the_height_or_the_rate() {
        let witness = Witness::new(4, 1, 3);
        assert_eq!((witness.network_height(), witness.middle_verification_rate()), (0, 1.0));
        witness.announced(3, u64::MAX);
        witness.announced(1, 10);
        assert_eq!(witness.network_height(), 10);
        for peer in 1..4 {
            (0..10).for_each(|_| witness.verified(peer, peer != 3));
        }
        assert_eq!((witness.middle_verification_rate(), witness.verification_rate(3)), (1.0, 0.0));
        assert_eq!(witness.seen()[3].failed, 10);
        (0..100).for_each(|_| witness.verified(2, false));
        assert!(witness.middle_verification_rate() < 0.1, "most of the peers fail");
    }

    #[test]
    fn the_rate_forgets() {
        let mut rate = Rate::new();
        assert_eq!(rate.share(0), None);
        rate.count(0, false);
        rate.count(0, true);
        assert_eq!(rate.share(SLOTS as u64 - 1), Some(0.5));
        assert_eq!(rate.share(SLOTS as u64), None, "slot 0 is more than the window ago");
        rate.count(11, true);
        rate.count(13, false);
        assert_eq!(rate.share(14), Some(0.5));
        assert_eq!(rate.share(21), Some(0.0));
        assert_eq!(rate.share(1_000_000), None);
    }
}
