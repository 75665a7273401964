//! The policies under study, and the oracle from a recorded trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use optimizer::{
    Decision, Ewma, FixedHold, LEAST_HOLD_US, Mode, Optimizer, Outcome, Parameters, Policy, PolicyChoice, Setup,
    Situation, Weights,
};

/// Who decides in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Studied {
    /// Every Finalize at once.
    AlwaysSend,
    /// Held for 10 ms, the default of `network.hedge_ms`.
    FixedHold,
    /// Usual time plus four deviations.
    Ewma,
    /// The guide's rule as shipped: its table for thresholds, the fixed hold.
    Rule,
    /// The learned policy as shipped: the rule until the learner is better, with the automatic fall-back.
    Learned,
    /// Knows from a recorded run of the same seed when the one-round path came.
    Oracle,
}

impl Studied {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 6] = [Self::AlwaysSend, Self::FixedHold, Self::Ewma, Self::Rule, Self::Learned, Self::Oracle];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlwaysSend => "always_send",
            Self::FixedHold => "fixed_10ms",
            Self::Ewma => "ewma",
            Self::Rule => "rule",
            Self::Learned => "learned",
            Self::Oracle => "oracle",
        }
    }
}

/// Outcomes by host and view.
pub type Trace = Arc<Mutex<BTreeMap<(usize, u64), Outcome>>>;

/// Holds as long as it may and writes down what would have been best.
struct Recorder {
    host: usize,
    trace: Trace,
}

impl Policy for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn decide(&mut self, situation: &Situation) -> Decision {
        Decision::plain(situation.cap_us, 1.0)
    }

    fn learn(&mut self, outcome: &Outcome, _: &Decision, _: &Weights) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).insert((self.host, outcome.view), *outcome);
    }
}

/// Plays the best hold of the recorded run; at once where that has no such view.
struct Oracle {
    host: usize,
    trace: Trace,
}

impl Policy for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn decide(&mut self, situation: &Situation) -> Decision {
        let trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        match trace.get(&(self.host, situation.view)) {
            // Time passes a little differently in every run: a millisecond more than what was recorded.
            Some(outcome) if outcome.is_fast() => {
                Decision::plain(outcome.best_hold_us(&situation.weights) + 1_000, 1.0)
            }
            _ => Decision::plain(LEAST_HOLD_US, 0.0),
        }
    }
}

/// The optimizer of host `host` for a policy; the oracle's needs the trace of [`recorder`]'s run.
pub fn optimizer(policy: Studied, setup: Setup, parameters: Parameters, host: usize, trace: &Trace) -> Optimizer {
    let fixed = |policy: FixedHold| Optimizer::study(setup, parameters, Box::new(policy));
    match policy {
        Studied::AlwaysSend => fixed(FixedHold::always_send()),
        Studied::FixedHold => fixed(FixedHold::new(setup.settings.hedge_us)),
        Studied::Ewma => Optimizer::study(setup, parameters, Box::new(Ewma)),
        Studied::Rule => Optimizer::new(setup, parameters, Mode::On, PolicyChoice::Rule),
        Studied::Learned => Optimizer::new(setup, parameters, Mode::On, PolicyChoice::Learned),
        Studied::Oracle => Optimizer::study(setup, parameters, Box::new(Oracle { host, trace: Arc::clone(trace) })),
    }
}

/// The optimizer of a run that is recorded for the oracle.
pub fn recorder(setup: Setup, parameters: Parameters, host: usize, trace: &Trace) -> Optimizer {
    Optimizer::study(setup, parameters, Box::new(Recorder { host, trace: Arc::clone(trace) }))
}
