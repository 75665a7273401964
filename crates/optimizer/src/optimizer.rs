//! The optimizer of one validator: observations in, advice out.

use consensus::replica::{Advice, Observation, Settings};
use consensus::types::Timestamp;

use crate::delta::Delta;
use crate::links::{LinkSample, Links, NetworkView, VoteHabits};
use crate::loss::{Outcome, Weights};
use crate::math::Ewma1;
use crate::model::{Model, Situation};
use crate::parameters::{ParameterError, ParameterUpdate, Parameters};
use crate::policies::{Decision, EXPERT_NAMES, FixedHold, LEAST_HOLD_US, Learned, Policy};
use crate::rounds::{Round, Rounds};
use crate::score::{Counters, Metrics, Scoreboard};
use crate::state::{State, StateError};
use crate::threshold::{Thresholds, rule_ratio, votes_of};

/// Judgements of skill in a row that must fail before the rule takes over again.
const FAILURES_TO_FALL_BACK: u32 = 3;
/// Loss per round that the learner must save before it takes over, and may cost before it must go.
const ADVANTAGE_MARGIN: f64 = 0.005;
/// Views looked back at for rounds that have ended.
const LOOK_BACK: u64 = 16;
/// How long after a round's longest hold votes are still waited for before a validator counts as silent in it, in microseconds.
const STRAGGLERS_US: u64 = 100_000;
/// Bytes of a Finalize that rides in another vote's bundle.
const STATEMENT_BYTES: u64 = 41;

/// What the optimizer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Base threshold, fixed hold, fixed timers.
    Off,
    /// Decides and is measured, but advises what `Off` does.
    Shadow,
    /// Its advice is followed, inside the core's bounds.
    On,
}

impl Mode {
    /// Its name in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::On => "on",
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Off, Self::Shadow, Self::On].into_iter().find(|mode| mode.name() == name)
    }
}

/// The configured policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyChoice {
    /// The guide's rule.
    Rule,
    /// The learner, once it has shown that it is better, and the rule otherwise.
    Learned,
}

impl PolicyChoice {
    /// Its name in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Learned => "learned",
        }
    }

    /// The choice with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rule, Self::Learned].into_iter().find(|choice| choice.name() == name)
    }
}

/// What an optimizer is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Validators.
    pub n: usize,
    /// My place among them.
    pub me: usize,
    /// Least finality threshold, in votes.
    pub q_min: u32,
    /// Greatest.
    pub q_max: u32,
    /// Votes of the one-round path; above n where the epoch has none.
    pub q_fast: u32,
    /// The guide's base threshold, in ten-thousandths.
    pub base_ten_thousandths: u32,
    /// The core's settings as configured.
    pub settings: Settings,
    /// Bytes of a vote on the wire.
    pub vote_bytes: u64,
    /// Seed of the learner's draws: nobody else should know it, or it could be played against.
    pub seed: u64,
}

/// The optimizer of one validator.
pub struct Optimizer {
    setup: Setup,
    parameters: Parameters,
    weights: Weights,
    mode: Mode,
    choice: PolicyChoice,
    rule: FixedHold,
    learned: Learned,
    /// A policy under study, in the place of both.
    studied: Option<Box<dyn Policy>>,
    learned_acts: bool,
    failures: u32,
    rounds: Rounds,
    model: Model,
    delta: Delta,
    links: Links,
    thresholds: Thresholds,
    board: Scoreboard,
    hold_habit: Ewma1,
    quality: f64,
    threshold: u32,
    observations: u64,
    judged_at: u64,
    decided_at: u64,
    last: Decision,
    last_learned: Decision,
    saved_bytes: u64,
    sent_bytes: u64,
    advice: Advice,
}

impl Optimizer {
    /// An optimizer that has seen nothing. Memory is set aside here and nowhere later.
    pub fn new(setup: Setup, parameters: Parameters, mode: Mode, choice: PolicyChoice) -> Self {
        let history = parameters.learning_history_size;
        let hold_us = setup.settings.hedge_us;
        let mut optimizer = Self {
            weights: parameters.performance_weights.scaled(),
            rule: FixedHold::rule(hold_us),
            learned: Learned::new(history, parameters.learning_rate, hold_us, setup.seed),
            studied: None,
            learned_acts: false,
            failures: 0,
            rounds: Rounds::new(setup.n),
            model: Model::new(setup.n, history),
            delta: Delta::new(),
            links: Links::default(),
            thresholds: Thresholds::default(),
            board: Scoreboard::new(history, parameters.performance_window),
            hold_habit: Ewma1::default(),
            quality: 1.0,
            threshold: votes_of(setup.base_ten_thousandths, setup.n),
            observations: 0,
            judged_at: 0,
            decided_at: 0,
            last: Decision::plain(hold_us, 0.0),
            last_learned: Decision::plain(hold_us, 0.0),
            saved_bytes: 0,
            sent_bytes: 0,
            advice: Advice { threshold: 0, hedge_us: hold_us, delta_us: None, batch_delay_us: 0 },
            setup,
            parameters,
            mode,
            choice,
        };
        optimizer.advice = optimizer.current_advice();
        optimizer
    }

    /// An optimizer with one policy that always acts, for studies.
    pub fn study(setup: Setup, parameters: Parameters, policy: Box<dyn Policy>) -> Self {
        let mut optimizer = Self::new(setup, parameters, Mode::On, PolicyChoice::Rule);
        optimizer.studied = Some(policy);
        optimizer
    }

    /// The advice to begin with, and after every change by an operator.
    pub fn advice(&self) -> Advice {
        self.advice
    }

    /// Takes what the replica saw; new advice, if it changes. Advice that answers [`Observation::Notarized`] must reach the core as its next
    /// input, so that it still counts for that view.
    pub fn observe(&mut self, now: Timestamp, observation: &Observation) -> Option<Advice> {
        let now = now.get();
        match *observation {
            Observation::Entered(_) => self.close_rounds(now),
            Observation::Locked { view, leading } => self.locked(now, view.get(), leading),
            Observation::Arrived { view, from } | Observation::Late { view, from } => {
                self.arrived(now, view.get(), from.as_usize());
                return None;
            }
            Observation::Notarized(view) => self.notarized(now, view.get()),
            Observation::Finalizing { view, alone } => self.finalizing(now, view.get(), alone),
            Observation::Settled { view, fast } => self.settled(now, view.get(), fast),
            Observation::Skipped(view) => self.skipped(view.get()),
        }
        self.decide_slowly(now);
        let advice = self.current_advice();
        (advice != self.advice).then(|| {
            self.advice = advice;
            advice
        })
    }

    /// Takes samples of all validator links, once a second or so; new advice, if it changes.
    pub fn sample_links(&mut self, now: Timestamp, samples: &[LinkSample]) -> Option<Advice> {
        self.links.sample(now.get(), samples, &self.parameters);
        let habits = habits_of(&self.model);
        self.quality = self.links.quality(habits, &self.parameters);
        self.decide_slowly(now.get());
        let advice = self.current_advice();
        (advice != self.advice).then(|| {
            self.advice = advice;
            advice
        })
    }

    /// Bytes of votes, and of requests for votes, that were sent.
    pub fn count_sent(&mut self, bytes: u64) {
        self.sent_bytes = self.sent_bytes.saturating_add(bytes);
    }

    fn settings(&self) -> Settings {
        self.setup.settings.measured(self.advice.delta_us)
    }

    /// min(2Δ, T/4) with the view timer at its floor: what the core allows when nothing has gone wrong lately.
    fn cap_us(&self) -> u64 {
        let settings = self.settings();
        (2 * settings.delta_us).min(settings.timer_floor_us / 4).max(LEAST_HOLD_US)
    }

    fn locked(&mut self, now: u64, view: u64, leading: bool) {
        let me = self.setup.me;
        self.rounds.arrive(view, me, now);
        if let Some(round) = self.rounds.open(view) {
            round.locked_at = now;
            round.leading = leading;
        }
        if !leading {
            for earlier in view.saturating_sub(LOOK_BACK)..view {
                if let Some(round) = self.rounds.get_mut(earlier).filter(|r| r.notarized_at > 0 && r.piggyback_at == 0)
                {
                    round.piggyback_at = now;
                }
            }
        }
    }

    fn arrived(&mut self, now: u64, view: u64, from: usize) {
        if self.rounds.arrive(view, from, now) {
            let q_fast = self.setup.q_fast;
            let mut too_early = false;
            if let Some(round) = self.rounds.get_mut(view) {
                if round.votes >= q_fast && round.fast_at == 0 {
                    round.fast_at = now;
                }
                too_early = round.skipped && round.votes == 1;
            }
            if too_early {
                self.delta.too_early();
            }
        }
    }

    fn skipped(&mut self, view: u64) {
        let Some(round) = self.rounds.open(view) else { return };
        round.skipped = true;
        round.learned_from = true;
        if round.votes > 0 {
            self.delta.too_early();
        }
    }

    /// The hot path: a vote is about to be held back.
    fn notarized(&mut self, now: u64, view: u64) {
        let cap_us = self.cap_us();
        let Some(votes) = self.rounds.open(view).map(|round| round.votes) else { return };
        let missing = self.setup.q_fast.saturating_sub(votes);
        let possible = self.setup.q_fast as usize <= self.setup.n;
        let (expected_us, weakest) = if possible {
            self.model.expect(self.rounds.arrivals(view), self.setup.me, missing as usize)
        } else {
            (None, 0.0)
        };
        let situation = Situation {
            view,
            cap_us,
            missing,
            expected_us,
            weakest,
            fast_rate: self.model.fast_rate.or(0.5),
            fast_rate_long: self.model.fast_rate_long.or(0.5),
            fast_mean_us: self.model.fast_us.or(5_000.0),
            fast_deviation_us: self.model.fast_deviation_us.or(1_000.0),
            fast_p90_us: self.model.fast_window.quantile(900),
            slow_us: self.model.slow_estimate_us(),
            scale_us: self.model.scale_us(),
            weights: self.weights,
        };
        let learned = self.learned.decide(&situation);
        let rule = self.rule.decide(&situation);
        let acting = match &mut self.studied {
            Some(policy) => policy.decide(&situation),
            // In the modes off and shadow the configured hold is what happens, which is the rule's too.
            None if self.learned_acts && self.mode == Mode::On => learned,
            None => rule,
        };
        self.last = acting;
        self.last_learned = learned;
        let Some(round) = self.rounds.get_mut(view) else { return };
        round.notarized_at = now;
        round.cap_us = cap_us;
        round.slow_us = situation.slow_us;
        round.scale_us = situation.scale_us;
        (round.acting, round.learned, round.rule) = (acting, learned, rule);
        let so_far = now.saturating_sub(round.locked_at);
        let fast = expected_us.unwrap_or(situation.fast_mean_us as u64);
        let slow = acting.hold_us + situation.slow_us;
        round.predicted_final_us = so_far + if acting.fast_probability >= 0.5 { fast.min(slow) } else { slow };
        if round.locked_at > 0 {
            self.model.quorum_us.push(so_far as f64, 1.0 / 16.0);
        }
        self.hold_habit.push(acting.hold_us.min(cap_us) as f64 / cap_us as f64, 1.0 / 16.0);
        self.board.decided(self.hold_habit.value, f64::from(self.threshold) / self.setup.n.max(1) as f64);
    }

    fn finalizing(&mut self, now: u64, view: u64, alone: bool) {
        let others = self.setup.n.saturating_sub(1) as u64;
        let Some(round) = self.rounds.get_mut(view) else { return };
        round.finalizing_at = now;
        round.alone = alone;
        let held = now.saturating_sub(round.notarized_at);
        let counters = &mut self.board.counters;
        if !alone {
            counters.holds_piggybacked += 1;
            self.saved_bytes += self.setup.vote_bytes.saturating_sub(STATEMENT_BYTES) * others;
        } else if round.acting.hold_us <= LEAST_HOLD_US {
            counters.sent_at_once += 1;
        } else {
            counters.holds_wasted += 1;
            counters.wasted_us += held;
            counters.wasted_us_max = counters.wasted_us_max.max(held);
        }
    }

    fn settled(&mut self, now: u64, view: u64, fast: bool) {
        self.delta.settled();
        if let Some(round) = self.rounds.get_mut(view) {
            round.settled_at = now;
            if fast && round.fast_at == 0 {
                round.fast_at = now;
            }
            let (locked, sent, predicted) = (round.locked_at, round.finalizing_at, round.predicted_final_us);
            if locked > 0 {
                self.model.final_us.push(now.saturating_sub(locked) as f64, 1.0 / 16.0);
            }
            if predicted > 0 && locked > 0 {
                self.board.time(predicted, now.saturating_sub(locked));
            }
            if !fast && sent > 0 {
                self.model.slow_us.push(now.saturating_sub(sent) as f64, 1.0 / 16.0);
            }
        }
        self.close_rounds(now);
    }

    /// Learns from rounds whose outcome is known, and counts who was silent in those that are long over.
    fn close_rounds(&mut self, now: u64) {
        let newest = self.rounds.newest();
        for view in newest.saturating_sub(LOOK_BACK)..=newest {
            let Some(round) = self.rounds.get(view).copied() else { continue };
            let last_chance = round.notarized_at + round.cap_us;
            let known = round.fast_at > 0 || now > last_chance;
            if !round.learned_from && round.notarized_at > 0 && known {
                self.learn(&round);
            }
            if !round.peers_done && round.locked_at > 0 && now > round.locked_at.max(last_chance) + STRAGGLERS_US {
                self.learn_peers(&round);
            }
        }
    }

    fn learn(&mut self, round: &Round) {
        let since = |at: u64| (at > 0).then(|| at.saturating_sub(round.notarized_at));
        let outcome = Outcome {
            view: round.view,
            cap_us: round.cap_us,
            fast_us: since(round.fast_at),
            piggyback_us: since(round.piggyback_at),
            slow_us: round.slow_us,
            scale_us: round.scale_us,
        };
        if round.locked_at > 0 {
            let everybody = round.fast_at.max(round.notarized_at);
            self.delta.quorum(everybody.saturating_sub(round.locked_at), round.leading);
        }
        self.learned.learn(&outcome, &round.learned, &self.weights);
        if let Some(policy) = &mut self.studied {
            policy.learn(&outcome, &round.acting, &self.weights);
        }
        self.model.round(outcome.is_fast(), outcome.fast_us);
        // The forecast that is shown is the learner's, which forecasts in every mode; in a study, that of the policy under study.
        let shown = if self.studied.is_some() { &round.acting } else { &round.learned };
        let holds = [round.acting.hold_us, round.learned.hold_us, round.rule.hold_us];
        self.board.round(&outcome, shown.fast_probability, holds, &self.weights);
        self.board.counters.rounds += 1;
        if round.finalizing_at == 0 {
            self.board.counters.holds_used += 1;
            self.saved_bytes += self.setup.vote_bytes * self.setup.n.saturating_sub(1) as u64;
        }
        self.observations += 1;
        if let Some(round) = self.rounds.get_mut(round.view) {
            round.learned_from = true;
        }
        self.judge();
    }

    fn learn_peers(&mut self, round: &Round) {
        if let Some(round) = self.rounds.get_mut(round.view) {
            round.peers_done = true;
        }
        if round.skipped {
            return; // nobody was expected to vote for a block that few saw
        }
        let base = if round.notarized_at > 0 { round.notarized_at } else { round.fast_at };
        for index in 0..self.setup.n {
            if index == self.setup.me {
                continue;
            }
            let at = self.rounds.arrivals(round.view).get(index).copied().unwrap_or(0);
            let late_us = (at > 0).then(|| at.saturating_sub(base.max(1)));
            let after_final = at > 0 && round.settled_at > 0 && at > round.settled_at;
            self.model.peer(index, late_us, after_final);
        }
    }

    /// Every `performance_window` rounds: whether the learner may act.
    fn judge(&mut self) {
        let window = self.parameters.performance_window as u64;
        if self.observations < self.judged_at + window {
            return;
        }
        self.judged_at = self.observations;
        let advantage = self.board.advantage();
        let skill = self.board.skill().map_or(0.0, |skill| skill.skill);
        if self.learned_acts {
            let failed = skill < 0.0 || advantage < -ADVANTAGE_MARGIN;
            self.failures = if failed { self.failures + 1 } else { 0 };
            if self.failures >= FAILURES_TO_FALL_BACK {
                self.learned_acts = false;
                self.failures = 0;
            }
        } else if self.choice == PolicyChoice::Learned
            && self.observations >= 2 * window
            && skill >= 0.0
            && advantage > ADVANTAGE_MARGIN
        {
            self.learned_acts = true;
        }
        self.learned_acts &= self.choice == PolicyChoice::Learned;
    }

    /// Every `adaptation_frequency` seconds: threshold and Δ.
    fn decide_slowly(&mut self, now: u64) {
        let due = now >= self.decided_at + self.parameters.adaptation_frequency * 1_000_000;
        let measures = self.acting().is_some_and(Policy::measures_delta);
        if measures {
            self.delta.tell(due, self.parameters.adaptation_threshold);
        }
        let first = self.decided_at == 0 && self.observations < 2 * self.parameters.performance_window as u64;
        if !due || first {
            return;
        }
        self.decided_at = now;
        let base = self.setup.base_ten_thousandths;
        let rule = self.thresholds.rule(self.quality, base, self.parameters.adaptation_threshold);
        let late = self.parameters.adaptation_threshold * self.model.slow_estimate_us() as f64;
        let prompt = self.model.prompt(self.setup.me, late);
        let learned = self.thresholds.learned(prompt, self.setup.q_min, self.setup.q_max);
        self.threshold = match self.acting().and_then(Policy::learned_threshold) {
            Some(true) => learned,
            Some(false) => votes_of(rule, self.setup.n),
            None => votes_of(base, self.setup.n),
        };
    }

    /// The policy that acts; none in the modes off and shadow.
    fn acting(&self) -> Option<&dyn Policy> {
        match (&self.studied, self.mode) {
            (Some(policy), _) => Some(policy.as_ref()),
            (None, Mode::Off | Mode::Shadow) => None,
            (None, Mode::On) if self.learned_acts => Some(&self.learned),
            (None, Mode::On) => Some(&self.rule),
        }
    }

    fn current_advice(&self) -> Advice {
        match self.acting() {
            None => Advice {
                threshold: votes_of(self.setup.base_ten_thousandths, self.setup.n),
                hedge_us: self.setup.settings.hedge_us,
                delta_us: None,
                batch_delay_us: 0,
            },
            Some(policy) => Advice {
                threshold: self.threshold,
                hedge_us: self.last.hold_us.max(LEAST_HOLD_US),
                delta_us: if policy.measures_delta() { self.delta.told_us() } else { None },
                batch_delay_us: 0,
            },
        }
    }
}

/// What votes say of a validator, by index.
fn habits_of(model: &Model) -> impl Fn(u16) -> VoteHabits + '_ {
    |peer| {
        let of = model.peers.get(usize::from(peer));
        of.map_or((0.0, 0.0, 0.0), |p| (1.0 - p.alive.or(1.0), p.after_final.or(0.0), p.late_us.or(0.0)))
    }
}

/// What operators see and change.
impl Optimizer {
    /// What it was made for.
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The parameters.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The mode.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The configured policy.
    pub const fn policy(&self) -> PolicyChoice {
        self.choice
    }

    /// Switches the mode; the advice from now on.
    pub fn set_mode(&mut self, mode: Mode) -> Advice {
        self.mode = mode;
        self.decided_at = 0;
        self.advice = self.current_advice();
        self.advice
    }

    /// Switches the policy; the advice from now on.
    pub fn set_policy(&mut self, choice: PolicyChoice) -> Advice {
        self.choice = choice;
        self.learned_acts &= choice == PolicyChoice::Learned;
        self.decided_at = 0;
        self.advice = self.current_advice();
        self.advice
    }

    /// Changes parameters, all or none; the parameters from now on.
    pub fn update_parameters(&mut self, update: &ParameterUpdate) -> Result<Parameters, ParameterError> {
        let parameters = self.parameters.with(update)?;
        self.learned.set(parameters.learning_history_size, parameters.learning_rate);
        self.board.resize(parameters.learning_history_size, parameters.performance_window);
        self.weights = parameters.performance_weights.scaled();
        self.parameters = parameters;
        Ok(parameters)
    }

    /// What was decided by the learner last, whether it acts or not.
    pub(crate) const fn last_learned(&self) -> &Decision {
        &self.last_learned
    }

    /// Δ as measured, whether timers follow it or not, inside the core's bounds.
    pub(crate) fn measured_delta_us(&self) -> Option<u64> {
        self.delta.measured_us().map(|us| self.setup.settings.measured(Some(us)).delta_us)
    }

    /// What the rule and the learner would advise as threshold, clamped to the safe range.
    pub(crate) fn wished_thresholds(&self) -> (u32, u32) {
        let (q_min, q_max) = (self.setup.q_min, self.setup.q_max.max(self.setup.q_min));
        let rule = votes_of(rule_ratio(self.quality, self.setup.base_ten_thousandths), self.setup.n);
        let late = self.parameters.adaptation_threshold * self.model.slow_estimate_us() as f64;
        let learned = self.model.prompt(self.setup.me, late) as u32 + 1;
        (rule.clamp(q_min, q_max), learned.clamp(q_min, q_max))
    }

    /// The analysis of the validator links.
    pub fn network(&self) -> NetworkView {
        self.links.view(habits_of(&self.model), &self.parameters)
    }

    /// Counters since the start.
    pub const fn counters(&self) -> Counters {
        self.board.counters
    }

    /// 100 · (1 − bytes sent / bytes that always sending would have sent); 0 before anything was sent.
    pub fn overhead_reduction_percent(&self) -> f64 {
        let always = self.sent_bytes.saturating_add(self.saved_bytes);
        if always == 0 { 0.0 } else { 100.0 * (1.0 - self.sent_bytes as f64 / always as f64) }
    }

    /// Everything measured.
    pub fn metrics(&self) -> Metrics {
        let (best_fixed_hold_us, loss_best_fixed) = self.board.best_fixed();
        let time = self.board.time_skill();
        let spread = self.board.spread();
        let acting = match self.acting() {
            Some(policy) => policy.name(),
            None => "none",
        };
        let experts = EXPERT_NAMES.iter().map(|name| (*name).to_owned()).zip(self.learned.hedge.weights);
        Metrics {
            mode: self.mode.name().to_owned(),
            policy: self.choice.name().to_owned(),
            acting: acting.to_owned(),
            observations: self.observations,
            prediction: self.board.skill(),
            time_accuracy: time.map(|t| t.0),
            time_base_rate: time.map(|t| t.1),
            time_skill: time.map(|t| t.2),
            recent_loss: self.board.recent_loss(),
            loss: self.board.acting,
            loss_learned: self.board.learned,
            loss_rule: self.board.rule,
            loss_best_fixed,
            best_fixed_hold_us,
            loss_oracle: self.board.oracle,
            regret: self.board.acting - loss_best_fixed,
            advantage: self.board.advantage(),
            converged: spread.is_some_and(|spread| spread <= self.parameters.convergence_threshold),
            spread: spread.unwrap_or(1.0),
            counters: self.board.counters,
            overhead_reduction_percent: self.overhead_reduction_percent(),
            hold_us: self.advice.hedge_us,
            hold_cap_us: self.cap_us(),
            threshold: self.advice.threshold.clamp(self.setup.q_min, self.setup.q_max.max(self.setup.q_min)),
            delta_us: self.advice.delta_us,
            quality: self.quality,
            experts: experts.collect(),
            regret_bound: self.learned.hedge.bound(),
        }
    }

    /// What has been learned.
    pub fn state(&self) -> State {
        State::of(&self.model, &self.learned, self.delta.told_us(), self.observations, self.learned_acts)
    }

    /// Goes on from what an earlier life has learned; unchanged if that does not fit.
    pub fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (observations, delta_us, learned_acts) = state.restore(&mut self.model, &mut self.learned)?;
        self.observations = observations;
        self.judged_at = observations;
        self.learned_acts = learned_acts && self.choice == PolicyChoice::Learned;
        self.delta.restore(delta_us);
        self.advice = self.current_advice();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
