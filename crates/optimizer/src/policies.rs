//! Who decides how long a vote is held back: simple policies, and the learner over them.

use crate::hedge::Hedge;
use crate::loss::{Outcome, Weights, loss};
use crate::math::{Draw, sigmoid};
use crate::model::Situation;

/// "Send at once": the core answers advice within the same instant, so one microsecond is none.
pub const LEAST_HOLD_US: u64 = 1;
/// Experts of the learner.
pub(crate) const EXPERTS: usize = 6;
/// Their names, in order.
pub(crate) const EXPERT_NAMES: [&str; EXPERTS] = ["at_once", "fixed", "ewma", "p90", "cap", "gate"];
/// Inputs of the gate.
pub(crate) const FEATURES: usize = 5;

/// What a policy decides for one view, with what it needs to learn from it later.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decision {
    /// How long Finalize is held back, in microseconds; the core clamps it.
    pub hold_us: u64,
    /// Predicted probability that the one-round path comes within the cap.
    pub fast_probability: f64,
    experts: [u64; EXPERTS],
    features: [f64; FEATURES],
}

impl Decision {
    /// A decision without anything to learn from.
    pub const fn plain(hold_us: u64, fast_probability: f64) -> Self {
        Self { hold_us, fast_probability, experts: [0; EXPERTS], features: [0.0; FEATURES] }
    }
}

/// Who decides on the hold.
pub trait Policy: Send {
    /// Its name in metrics.
    fn name(&self) -> &'static str;
    /// Decides; on the hot path, so it allocates nothing.
    fn decide(&mut self, situation: &Situation) -> Decision;
    /// Learns what came of a view, whatever was decided.
    fn learn(&mut self, _outcome: &Outcome, _decision: &Decision, _weights: &Weights) {}
    /// Whether view timers follow the measured message delay when it acts.
    fn measures_delta(&self) -> bool {
        false
    }
    /// Whether the threshold of own blocks follows the learner (`Some(true)`), the guide's table (`Some(false)`) or stays at the base.
    fn learned_threshold(&self) -> Option<bool> {
        None
    }
}

/// The same hold always; with 1 µs this is "always send". The guide's rule decides thresholds only, so its hold is this one too.
#[derive(Clone, Copy, Debug)]
pub struct FixedHold {
    name: &'static str,
    hold_us: u64,
    rule: bool,
}

impl FixedHold {
    /// Sends every Finalize at once.
    pub const fn always_send() -> Self {
        Self { name: "always_send", hold_us: LEAST_HOLD_US, rule: false }
    }

    /// Holds for so long, in microseconds.
    pub const fn new(hold_us: u64) -> Self {
        Self { name: "fixed", hold_us, rule: false }
    }

    /// The guide's rule: its table for thresholds, the configured hold for votes.
    pub const fn rule(hold_us: u64) -> Self {
        Self { name: "rule", hold_us, rule: true }
    }
}

impl Policy for FixedHold {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decide(&mut self, situation: &Situation) -> Decision {
        // A fixed hold predicts that what it waits for comes.
        let waits = self.hold_us > LEAST_HOLD_US;
        Decision::plain(self.hold_us.min(situation.cap_us), if waits { 1.0 } else { 0.0 })
    }

    fn learned_threshold(&self) -> Option<bool> {
        self.rule.then_some(false)
    }
}

/// Holds for the usual time to the one-round quorum plus four deviations while most rounds are fast, and not at all otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ewma;

impl Ewma {
    fn hold_us(situation: &Situation) -> u64 {
        if situation.fast_rate < 0.5 {
            return LEAST_HOLD_US;
        }
        let hold = situation.fast_mean_us + 4.0 * situation.fast_deviation_us;
        (hold as u64).clamp(LEAST_HOLD_US, situation.cap_us.max(LEAST_HOLD_US))
    }
}

impl Policy for Ewma {
    fn name(&self) -> &'static str {
        "ewma"
    }

    fn decide(&mut self, situation: &Situation) -> Decision {
        Decision::plain(Self::hold_us(situation), situation.fast_rate)
    }
}

/// A logistic gate over what is known when the vote is about to be held back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gate {
    pub(crate) weights: [f64; FEATURES],
    pub(crate) rate: f64,
}

impl Gate {
    /// Starts with weights that say the obvious, so that it is useful before it has learned.
    pub(crate) const fn new(rate: f64) -> Self {
        Self { weights: [0.0, 1.5, 0.5, 1.5, 1.0], rate }
    }

    fn features(s: &Situation) -> [f64; FEATURES] {
        let expected = s.expected_us.map_or(2.0, |us| (us as f64 / s.cap_us.max(1) as f64).min(2.0));
        [1.0, 2.0 * s.fast_rate - 1.0, 2.0 * s.fast_rate_long - 1.0, 2.0 * s.weakest - 1.0, 1.0 - expected]
    }

    fn probability(&self, features: &[f64; FEATURES]) -> f64 {
        sigmoid(self.weights.iter().zip(features).map(|(w, x)| w * x).sum())
    }

    fn learn(&mut self, features: &[f64; FEATURES], fast: bool) {
        let error = f64::from(u8::from(fast)) - self.probability(features);
        for (weight, feature) in self.weights.iter_mut().zip(features) {
            *weight = (*weight + self.rate * error * feature).clamp(-20.0, 20.0);
        }
    }

    /// Holds until the missing votes are expected if that costs less than sending at once, by its own probability.
    fn hold_us(probability: f64, s: &Situation) -> u64 {
        let Some(expected) = s.expected_us else { return LEAST_HOLD_US };
        let hold = (expected + expected / 4 + 500).min(s.cap_us).max(LEAST_HOLD_US);
        let outcome = |fast_us| Outcome {
            view: s.view,
            cap_us: s.cap_us,
            fast_us,
            piggyback_us: None,
            slow_us: s.slow_us,
            scale_us: s.scale_us,
        };
        let (came, never) = (outcome(Some(expected.min(hold))), outcome(None));
        let cost =
            |hold| probability * loss(hold, &came, &s.weights) + (1.0 - probability) * loss(hold, &never, &s.weights);
        if cost(hold) <= cost(LEAST_HOLD_US) { hold } else { LEAST_HOLD_US }
    }
}

/// The learner: Hedge over six experts, of which EWMA is one and the gate another.
#[derive(Clone, Debug)]
pub struct Learned {
    pub(crate) hedge: Hedge<EXPERTS>,
    pub(crate) gate: Gate,
    fixed_us: u64,
    draw: Draw,
}

impl Learned {
    /// A learner that knows nothing. `history` is `learning_history_size`, `rate` is `learning_rate`, `fixed_us` the configured hold.
    pub fn new(history: usize, rate: f64, fixed_us: u64, seed: u64) -> Self {
        Self { hedge: Hedge::new(history), gate: Gate::new(rate), fixed_us, draw: Draw::new(seed) }
    }

    /// Changed parameters, what was learned stays.
    pub(crate) fn set(&mut self, history: usize, rate: f64) {
        self.hedge.set_horizon(history);
        self.gate.rate = rate;
    }
}

impl Policy for Learned {
    fn name(&self) -> &'static str {
        "learned"
    }

    fn decide(&mut self, situation: &Situation) -> Decision {
        let features = Gate::features(situation);
        let probability = self.gate.probability(&features);
        let cap = situation.cap_us.max(LEAST_HOLD_US);
        let experts = [
            LEAST_HOLD_US,
            self.fixed_us.clamp(LEAST_HOLD_US, cap),
            Ewma::hold_us(situation),
            situation.fast_p90_us.unwrap_or(self.fixed_us).clamp(LEAST_HOLD_US, cap),
            cap,
            Gate::hold_us(probability, situation),
        ];
        let chosen = self.hedge.draw(&mut self.draw);
        let hold_us = experts.get(chosen).copied().unwrap_or(LEAST_HOLD_US);
        Decision { hold_us, fast_probability: probability, experts, features }
    }

    fn learn(&mut self, outcome: &Outcome, decision: &Decision, weights: &Weights) {
        self.hedge.update(&decision.experts.map(|hold| loss(hold, outcome, weights)));
        self.gate.learn(&decision.features, outcome.is_fast());
    }

    fn measures_delta(&self) -> bool {
        true
    }

    fn learned_threshold(&self) -> Option<bool> {
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation() -> Situation {
        Situation {
            view: 1,
            cap_us: 75_000,
            missing: 1,
            expected_us: Some(4_000),
            weakest: 1.0,
            fast_rate: 1.0,
            fast_rate_long: 1.0,
            fast_mean_us: 4_000.0,
            fast_deviation_us: 500.0,
            fast_p90_us: Some(5_000),
            slow_us: 20_000,
            scale_us: 30_000,
            weights: Weights::default(),
        }
    }

    fn outcome(fast_us: Option<u64>) -> Outcome {
        Outcome { view: 1, cap_us: 75_000, fast_us, piggyback_us: None, slow_us: 20_000, scale_us: 30_000 }
    }

    fn run(learner: &mut Learned, s: &Situation, fast_us: Option<u64>, rounds: usize) -> Decision {
        for _ in 0..rounds {
            let decision = learner.decide(s);
            learner.learn(&outcome(fast_us), &decision, &s.weights);
        }
        learner.decide(s)
    }

    #[test]
    fn the_simple_policies_do_what_they_say() {
        let s = situation();
        assert_eq!(FixedHold::always_send().decide(&s).hold_us, LEAST_HOLD_US);
        assert_eq!(FixedHold::new(90_000).decide(&s).hold_us, 75_000);
        assert_eq!(Ewma.decide(&s).hold_us, 6_000);
        assert_eq!(Ewma.decide(&Situation { fast_rate: 0.4, ..s }).hold_us, LEAST_HOLD_US);
        assert_eq!(FixedHold::rule(10_000).learned_threshold(), Some(false));
    }

    #[test]
    fn the_gate_sends_at_once_when_those_that_are_missing_are_down() {
        let up = situation();
        let down = Situation { expected_us: None, weakest: 0.0, fast_rate: 0.0, fast_rate_long: 0.0, ..up };
        let gate = Gate::new(0.01);
        let p = |s: &Situation| gate.probability(&Gate::features(s));
        assert!(p(&up) > 0.9 && p(&down) < 0.1, "{} {}", p(&up), p(&down));
        assert_eq!(Gate::hold_us(p(&up), &up), 5_500);
        assert_eq!(Gate::hold_us(p(&down), &down), LEAST_HOLD_US);
    }

    #[test]
    fn the_learner_learns_to_wait_and_to_stop_waiting() {
        let s = situation();
        let mut learner = Learned::new(100, 0.01, 10_000, 1);
        run(&mut learner, &s, Some(4_000), 200);
        let waits = (0..100).filter(|_| learner.decide(&s).hold_us >= 4_000).count();
        assert!(waits > 95, "{waits}: {:?}", learner.hedge.weights);
        let last = run(&mut learner, &s, None, 200);
        let at_once = (0..100).filter(|_| learner.decide(&s).hold_us < 1_000).count();
        assert!(at_once > 80, "{at_once}: {:?}", learner.hedge.weights);
        assert!(last.fast_probability < 0.5, "{}", last.fast_probability);
    }

    #[test]
    fn the_same_observations_give_the_same_decisions() {
        let s = situation();
        let decide = || {
            let mut learner = Learned::new(100, 0.01, 10_000, 9);
            (0..50).map(|i| run(&mut learner, &s, (i % 3 > 0).then_some(5_000), 3)).collect::<Vec<_>>()
        };
        assert_eq!(decide(), decide());
    }
}
