//! What a held-back vote costs: the learner's objective, computed alike for what was done and for what was not.

/// Shares of the objective (`performance_weights`), scaled so that their sum is 1.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Weights {
    /// Time to finality.
    pub latency: f64,
    /// Final values per second: a vote that is not sent is not signed, carried and verified by all others.
    pub throughput: f64,
    /// Bytes and CPU time per final value: the same vote.
    pub energy_efficiency: f64,
    /// Steadiness: long delays count more than many short ones.
    pub network_stability: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { latency: 0.3, throughput: 0.3, energy_efficiency: 0.2, network_stability: 0.2 }
    }
}

impl Weights {
    /// Scaled to a sum of 1; all zero counts as the default.
    pub fn scaled(self) -> Self {
        let sum = self.latency + self.throughput + self.energy_efficiency + self.network_stability;
        if sum <= 0.0 {
            return Self::default();
        }
        Self {
            latency: self.latency / sum,
            throughput: self.throughput / sum,
            energy_efficiency: self.energy_efficiency / sum,
            network_stability: self.network_stability / sum,
        }
    }
}

/// A Finalize that rides in the bundle of another vote costs this much of one that travels alone: a statement of 41 bytes beside a
/// signature of 3,309 (ML-DSA-65).
const PIGGYBACK_COST: f64 = 0.02;

/// What one round has shown, in microseconds since the Notarization of the own lock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The view.
    pub view: u64,
    /// The longest hold that the core would have allowed.
    pub cap_us: u64,
    /// When q_fast votes were here; none if not within the time that was watched.
    pub fast_us: Option<u64>,
    /// When a vote of mine for a later view left, with which a held Finalize would have gone.
    pub piggyback_us: Option<u64>,
    /// How long two-round finality takes from sending Finalize, as far as known then.
    pub slow_us: u64,
    /// The usual time from vote to finality: the unit in which delay is judged.
    pub scale_us: u64,
}

impl Outcome {
    /// Whether the one-round path came within the longest hold: what is predicted.
    pub fn is_fast(&self) -> bool {
        self.fast_us.is_some_and(|fast| fast <= self.cap_us)
    }

    /// The hold of least loss in hindsight, what an oracle plays: until the one-round path, until the own next vote, or none.
    pub fn best_hold_us(&self, weights: &Weights) -> u64 {
        let holds =
            [Some(0), self.fast_us, self.piggyback_us].into_iter().flatten().filter(|hold| *hold <= self.cap_us);
        holds.min_by(|a, b| loss(*a, self, weights).total_cmp(&loss(*b, self, weights))).unwrap_or(0)
    }
}

/// The loss of holding for `hold_us`, in [0, 1]: the delay it adds to finality against sending at once, in units of the usual time to
/// finality, weighted by `latency`, its square by `network_stability`; and the vote, if one leaves alone, by `throughput` and
/// `energy_efficiency`. It supposes that the others act as I do.
pub fn loss(hold_us: u64, outcome: &Outcome, weights: &Weights) -> f64 {
    let hold = hold_us.min(outcome.cap_us);
    let rides = outcome.piggyback_us.is_some_and(|at| at <= hold);
    let leaves = outcome.piggyback_us.map_or(hold, |at| at.min(hold));
    let at_once = outcome.fast_us.unwrap_or(u64::MAX).min(outcome.slow_us);
    let (final_at, vote) = match outcome.fast_us {
        Some(fast) if fast <= leaves => (fast, 0.0),
        fast => {
            let slow = leaves.saturating_add(outcome.slow_us);
            (fast.map_or(slow, |fast| fast.min(slow)), if rides { PIGGYBACK_COST } else { 1.0 })
        }
    };
    let delay = (final_at.saturating_sub(at_once) as f64 / outcome.scale_us.max(1) as f64).min(1.0);
    weights.latency * delay
        + weights.network_stability * delay * delay
        + (weights.throughput + weights.energy_efficiency) * vote
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Outcome = Outcome {
        view: 1,
        cap_us: 50_000,
        fast_us: Some(5_000),
        piggyback_us: None,
        slow_us: 20_000,
        scale_us: 40_000,
    };

    fn of(hold_us: u64, outcome: Outcome) -> f64 {
        loss(hold_us, &outcome, &Weights::default())
    }

    #[test]
    fn a_hold_that_pays_costs_nothing_and_a_vote_costs_its_share() {
        assert!(of(5_000, ROUND).abs() < 1e-12);
        assert!((of(0, ROUND) - 0.5).abs() < 1e-12);
        assert!((of(4_999, ROUND) - 0.5).abs() < 1e-12, "too short: the vote leaves, finality is not later");
    }

    #[test]
    fn a_wasted_hold_costs_its_delay_and_the_vote() {
        let never = Outcome { fast_us: None, ..ROUND };
        assert!((of(20_000, never) - (0.5 + 0.3 * 0.5 + 0.2 * 0.25)).abs() < 1e-12);
        assert!((of(u64::MAX, never) - of(50_000, never)).abs() < 1e-12, "the core's cap bounds it");
        let rides = Outcome { piggyback_us: Some(2_000), ..never };
        assert!(of(20_000, rides) < 0.05, "it leaves with the next vote, almost for nothing");
    }

    #[test]
    fn waiting_for_a_straggler_costs_what_two_rounds_would_have_saved() {
        let late = Outcome { fast_us: Some(45_000), ..ROUND };
        assert!((of(45_000, late) - (0.3 * 0.625 + 0.2 * 0.625 * 0.625)).abs() < 1e-12);
        assert!(late.is_fast() && late.best_hold_us(&Weights::default()) == 45_000);
    }

    #[test]
    fn weights_are_scaled() {
        let weights =
            Weights { latency: 2.0, throughput: 1.0, energy_efficiency: 1.0, network_stability: 0.0 }.scaled();
        assert!((weights.latency - 0.5).abs() < 1e-12);
        let none = Weights { latency: 0.0, throughput: 0.0, energy_efficiency: 0.0, network_stability: 0.0 };
        assert_eq!(none.scaled(), Weights::default());
    }
}
