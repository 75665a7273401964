//! What is expected of the one-round path: each validator's liveness and lateness, and the network's habits.

use crate::loss::Weights;
use crate::math::Ewma1;
use crate::window::Window;

/// Step of the short memories: about the last eight rounds.
const SHORT: f64 = 1.0 / 8.0;
/// Step of the long memories.
const LONG: f64 = 1.0 / 64.0;
/// A validator below this liveness is not counted on.
const COUNTED_ON: f64 = 0.5;

/// What is known when a vote is about to be held back. Times are in microseconds from that moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Situation {
    /// The view.
    pub view: u64,
    /// The longest hold that the core will allow.
    pub cap_us: u64,
    /// Votes missing to the one-round quorum.
    pub missing: u32,
    /// When they are expected, from the lateness of the validators that have not voted yet; none if too few are alive.
    pub expected_us: Option<u64>,
    /// Liveness of the least live validator that is needed, 0 to 1.
    pub weakest: f64,
    /// Share of fast rounds lately.
    pub fast_rate: f64,
    /// The same over a longer time.
    pub fast_rate_long: f64,
    /// Usual time to the one-round quorum where it came.
    pub fast_mean_us: f64,
    /// Mean deviation from it.
    pub fast_deviation_us: f64,
    /// Its 90th percentile.
    pub fast_p90_us: Option<u64>,
    /// Time that two-round finality takes after sending Finalize.
    pub slow_us: u64,
    /// Usual time from vote to finality.
    pub scale_us: u64,
    /// The objective.
    pub weights: Weights,
}

/// One validator's habits.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PeerModel {
    /// Share of rounds in which its vote came at all.
    pub(crate) alive: Ewma1,
    /// How long after the Notarization, where it came.
    pub(crate) late_us: Ewma1,
    pub(crate) deviation_us: Ewma1,
    /// Share of its votes that came after the block was final.
    pub(crate) after_final: Ewma1,
}

impl PeerModel {
    /// An upper estimate of its lateness.
    fn expected_us(&self) -> f64 {
        self.late_us.value + 2.0 * self.deviation_us.value
    }
}

/// The network's habits, as seen from here.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) peers: Vec<PeerModel>,
    pub(crate) fast_rate: Ewma1,
    pub(crate) fast_rate_long: Ewma1,
    pub(crate) fast_us: Ewma1,
    pub(crate) fast_deviation_us: Ewma1,
    pub(crate) fast_window: Window,
    /// From sending Finalize to two-round finality.
    pub(crate) slow_us: Ewma1,
    /// From my vote to the Notarization.
    pub(crate) quorum_us: Ewma1,
    /// From my vote to finality.
    pub(crate) final_us: Ewma1,
    /// Scratch for the choice of the validators that are needed.
    scratch: Vec<(f64, f64)>,
}

impl Model {
    pub(crate) fn new(n: usize, history: usize) -> Self {
        Self {
            peers: vec![PeerModel::default(); n],
            fast_rate: Ewma1::default(),
            fast_rate_long: Ewma1::default(),
            fast_us: Ewma1::default(),
            fast_deviation_us: Ewma1::default(),
            fast_window: Window::new(history),
            slow_us: Ewma1::default(),
            quorum_us: Ewma1::default(),
            final_us: Ewma1::default(),
            scratch: Vec::with_capacity(n),
        }
    }

    /// A vote was expected of this validator: how long after the Notarization it came, if it did.
    pub(crate) fn peer(&mut self, index: usize, late_us: Option<u64>, after_final: bool) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.alive.push(f64::from(u8::from(late_us.is_some())), SHORT);
        if let Some(late_us) = late_us {
            let late = late_us as f64;
            let off = (late - peer.late_us.or(late)).abs();
            peer.late_us.push(late, SHORT);
            peer.deviation_us.push(off, SHORT);
            peer.after_final.push(f64::from(u8::from(after_final)), LONG);
        }
    }

    /// A round's end: whether the one-round quorum came within the cap, and when.
    pub(crate) fn round(&mut self, fast: bool, fast_us: Option<u64>) {
        let value = f64::from(u8::from(fast));
        self.fast_rate.push(value, SHORT);
        self.fast_rate_long.push(value, LONG);
        if let Some(fast_us) = fast_us {
            let at = fast_us as f64;
            let off = (at - self.fast_us.or(at)).abs();
            self.fast_us.push(at, SHORT);
            self.fast_deviation_us.push(off, SHORT);
            self.fast_window.push(fast_us);
        }
    }

    pub(crate) fn slow_estimate_us(&self) -> u64 {
        self.slow_us.or(self.quorum_us.or(10_000.0)).max(500.0) as u64
    }

    pub(crate) fn scale_us(&self) -> u64 {
        self.final_us.or(20_000.0).max(1_000.0) as u64
    }

    /// When the `needed`-th of the validators that have not voted is expected, and the liveness of the least live of them.
    pub(crate) fn expect(&mut self, arrivals: &[u64], me: usize, needed: usize) -> (Option<u64>, f64) {
        if needed == 0 {
            return (Some(0), 1.0);
        }
        self.scratch.clear();
        for (index, (peer, at)) in self.peers.iter().zip(arrivals).enumerate() {
            if index != me && *at == 0 {
                // Without experience everybody is taken for live and prompt.
                let alive = peer.alive.or(0.9);
                let late = if alive < COUNTED_ON { f64::INFINITY } else { peer.expected_us() };
                self.scratch.push((late, alive));
            }
        }
        if self.scratch.len() < needed {
            return (None, 0.0);
        }
        self.scratch.select_nth_unstable_by(needed - 1, |a, b| a.0.total_cmp(&b.0));
        let chosen = self.scratch.get(..needed).unwrap_or_default();
        let late = chosen.iter().fold(0.0, |most: f64, (late, _)| most.max(*late));
        let weakest = chosen.iter().fold(1.0, |least: f64, (_, alive)| least.min(*alive));
        (late.is_finite().then_some(late as u64), weakest)
    }

    /// How many others can be counted on to answer within `late_us` of the Notarization nearly always.
    pub(crate) fn prompt(&self, me: usize, late_us: f64) -> usize {
        let prompt = |peer: &PeerModel| peer.alive.or(0.0) >= 0.9 && peer.late_us.value <= late_us;
        self.peers.iter().enumerate().filter(|(index, peer)| *index != me && prompt(peer)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_votes_are_expected_from_those_that_usually_answer() {
        let mut model = Model::new(5, 100);
        for _ in 0..50 {
            model.peer(1, Some(2_000), false);
            model.peer(2, Some(9_000), true);
            model.peer(3, None, false);
        }
        let arrivals = [0, 0, 0, 0, 1];
        let (first, weakest) = model.expect(&arrivals, 0, 1);
        assert!(first.is_some_and(|us| (1_900..2_200).contains(&us)) && weakest > 0.99, "{first:?} {weakest}");
        assert!(model.expect(&arrivals, 0, 2).0.is_some_and(|us| (8_900..9_500).contains(&us)));
        assert_eq!(model.expect(&arrivals, 0, 3).0, None, "validator 3 never answers");
        assert_eq!(model.expect(&arrivals, 0, 4), (None, 0.0));
        assert_eq!(model.expect(&arrivals, 0, 0), (Some(0), 1.0));
        assert_eq!((model.prompt(0, 3_000.0), model.prompt(0, 10_000.0)), (1, 2));
        (0..20).for_each(|_| model.peer(3, Some(1_000), false));
        assert!(model.expect(&arrivals, 0, 3).0.is_some(), "it is back");
    }
}
