//! How well it predicts and decides: accuracy beside its base rate, skill, regret, holds used and wasted.

use std::collections::VecDeque;

use crate::loss::{Outcome, Weights, loss};
use crate::math::Ewma1;
use crate::policies::LEAST_HOLD_US;

/// Fixed holds that regret is measured against, in microseconds; the cap is one more.
pub(crate) const GRID_US: [u64; 8] = [LEAST_HOLD_US, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
/// Below this mean squared error both forecast and reference are as good as certain; their ratio would be noise.
const NEGLIGIBLE: f64 = 0.01;
/// A predicted time to finality counts as right within this share of what came.
const TIME_TOLERANCE: f64 = 0.25;

/// A forecast and what came.
#[derive(Clone, Copy, Debug)]
struct Forecast {
    probability: f64,
    /// What the share of fast rounds so far would have forecast.
    climate: f64,
    fast: bool,
    /// Loss that the learner saved against the rule.
    advantage: f64,
}

/// Accuracy beside its base rate, and skill.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Skill {
    /// Share of rounds in which "the one-round path will come within the cap" was predicted rightly.
    pub accuracy: f64,
    /// Accuracy of always predicting what is more frequent in the same rounds.
    pub base_rate: f64,
    /// Brier skill score: 1 − squared error / squared error of forecasting the running share of fast rounds. 0 where both errors are
    /// negligible (below 0.01), below 0 where the running share would have been the better forecast.
    pub skill: f64,
    /// Rounds that these are the mean of.
    pub rounds: usize,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Views in which a Finalize was due here.
    pub rounds: u64,
    /// Holds that saved the vote: the block was final first.
    pub holds_used: u64,
    /// Holds after which the vote left alone.
    pub holds_wasted: u64,
    /// Holds after which it left with the next vote.
    pub holds_piggybacked: u64,
    /// Votes sent at once.
    pub sent_at_once: u64,
    /// Time held in vain, in microseconds.
    pub wasted_us: u64,
    /// The longest of these.
    pub wasted_us_max: u64,
}

/// What `get_performance_metrics` answers. Times in microseconds.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metrics {
    /// off, shadow or on.
    pub mode: String,
    /// The configured policy.
    pub policy: String,
    /// The policy that acts: `rule` until the learned one has shown that it is better, and again when its skill stays below zero.
    pub acting: String,
    /// Rounds learned from since the start of the learner, restarts included.
    pub observations: u64,
    /// Prediction of the one-round path over `learning_history_size` rounds; none before the first.
    pub prediction: Option<Skill>,
    /// Prediction of the time to finality: share within 25 %, and 1 − error / error of predicting the running mean.
    pub time_accuracy: Option<f64>,
    /// The same for predicting the running mean.
    pub time_base_rate: Option<f64>,
    /// See `time_accuracy`.
    pub time_skill: Option<f64>,
    /// Mean loss of what was decided, over `performance_window` rounds.
    pub recent_loss: f64,
    /// Cumulative loss of what was decided.
    pub loss: f64,
    /// The same if the learner had decided throughout.
    pub loss_learned: f64,
    /// The same for the rule's hold.
    pub loss_rule: f64,
    /// The same for the best fixed hold in hindsight.
    pub loss_best_fixed: f64,
    /// That hold.
    pub best_fixed_hold_us: u64,
    /// The same for an oracle that knows each round.
    pub loss_oracle: f64,
    /// loss − loss_best_fixed: below zero when adapting beats every fixed hold.
    pub regret: f64,
    /// Mean loss that the learner saves against the rule, over `learning_history_size` rounds.
    pub advantage: f64,
    /// Whether holds and threshold have kept within `convergence_threshold` over the last `performance_window` decisions.
    pub converged: bool,
    /// Their spread: (greatest − least) hold by the cap, or the threshold's by n, whichever is larger.
    pub spread: f64,
    /// Counters.
    pub counters: Counters,
    /// 100 · (1 − bytes sent / bytes that always sending would have sent); votes and requests for votes, may be negative.
    pub overhead_reduction_percent: f64,
    /// The hold decided last.
    pub hold_us: u64,
    /// The longest that the core allows.
    pub hold_cap_us: u64,
    /// The finality threshold advised for own blocks, in votes.
    pub threshold: u32,
    /// The message delay that timers follow; none while they are fixed.
    pub delta_us: Option<u64>,
    /// Network quality, 0 to 1.
    pub quality: f64,
    /// The learner's experts and their weights.
    pub experts: Vec<(String, f64)>,
    /// Bound on the learner's expected regret against its best expert over `learning_history_size` rounds.
    pub regret_bound: f64,
}

/// Keeps the score.
#[derive(Clone, Debug)]
pub(crate) struct Scoreboard {
    history: usize,
    forecasts: VecDeque<Forecast>,
    fast_seen: f64,
    seen: f64,
    recent: VecDeque<f64>,
    window: usize,
    /// Latest decisions: hold by cap, threshold by n.
    decisions: VecDeque<(f64, f64)>,
    pub(crate) acting: f64,
    pub(crate) learned: f64,
    pub(crate) rule: f64,
    pub(crate) oracle: f64,
    grid: [f64; GRID_US.len() + 1],
    pub(crate) counters: Counters,
    time_error: Ewma1,
    mean_error: Ewma1,
    time_right: Ewma1,
    mean_right: Ewma1,
    time_mean: Ewma1,
}

impl Scoreboard {
    pub(crate) fn new(history: usize, window: usize) -> Self {
        Self {
            history,
            forecasts: VecDeque::with_capacity(history + 1),
            fast_seen: 0.0,
            seen: 0.0,
            recent: VecDeque::with_capacity(window + 1),
            window,
            decisions: VecDeque::with_capacity(window + 1),
            acting: 0.0,
            learned: 0.0,
            rule: 0.0,
            oracle: 0.0,
            grid: [0.0; GRID_US.len() + 1],
            counters: Counters::default(),
            time_error: Ewma1::default(),
            mean_error: Ewma1::default(),
            time_right: Ewma1::default(),
            mean_right: Ewma1::default(),
            time_mean: Ewma1::default(),
        }
    }

    /// Other window lengths; sums stay, the latest samples too.
    pub(crate) fn resize(&mut self, history: usize, window: usize) {
        self.history = history;
        self.window = window;
        while self.forecasts.len() > history {
            self.forecasts.pop_front();
        }
        while self.recent.len() > window {
            self.recent.pop_front();
        }
        while self.decisions.len() > window {
            self.decisions.pop_front();
        }
        self.forecasts.reserve(history + 1 - self.forecasts.len());
        self.recent.reserve(window + 1 - self.recent.len());
        self.decisions.reserve(window + 1 - self.decisions.len());
    }

    pub(crate) fn decided(&mut self, hold_by_cap: f64, threshold_by_n: f64) {
        self.decisions.push_back((hold_by_cap, threshold_by_n));
        if self.decisions.len() > self.window {
            self.decisions.pop_front();
        }
    }

    /// A round's end: the forecast of whoever acts, and the holds of acting policy, learner and rule.
    pub(crate) fn round(&mut self, outcome: &Outcome, probability: f64, holds: [u64; 3], weights: &Weights) {
        let [acting, learned, rule] = holds.map(|hold| loss(hold, outcome, weights));
        self.acting += acting;
        self.learned += learned;
        self.rule += rule;
        self.oracle += loss(outcome.best_hold_us(weights), outcome, weights);
        let caps = GRID_US.into_iter().chain([outcome.cap_us]);
        for (sum, hold) in self.grid.iter_mut().zip(caps) {
            *sum += loss(hold, outcome, weights);
        }
        self.recent.push_back(acting);
        if self.recent.len() > self.window {
            self.recent.pop_front();
        }
        let fast = outcome.is_fast();
        let climate = (self.fast_seen + 0.5) / (self.seen + 1.0);
        self.forecasts.push_back(Forecast { probability, climate, fast, advantage: rule - learned });
        if self.forecasts.len() > self.history {
            self.forecasts.pop_front();
        }
        // The reference forgets like the learner does, or it would be too easily beaten after a change.
        let keep = 1.0 - 1.0 / self.history.max(2) as f64;
        self.fast_seen = self.fast_seen * keep + f64::from(u8::from(fast));
        self.seen = self.seen * keep + 1.0;
    }

    /// A predicted time from vote to finality, and what came, in microseconds.
    pub(crate) fn time(&mut self, predicted_us: u64, came_us: u64) {
        let (predicted, came) = (predicted_us as f64, came_us.max(1) as f64);
        let step = 1.0 / self.history.max(1) as f64;
        let mean = self.time_mean.or(predicted);
        let right = |guess: f64| f64::from(u8::from((guess - came).abs() <= TIME_TOLERANCE * came));
        self.time_error.push((predicted - came).abs(), step);
        self.mean_error.push((mean - came).abs(), step);
        self.time_right.push(right(predicted), step);
        self.mean_right.push(right(mean), step);
        self.time_mean.push(came, step);
    }

    /// (share within tolerance, the same for the running mean, skill).
    pub(crate) fn time_skill(&self) -> Option<(f64, f64, f64)> {
        if self.time_error.seen == 0 {
            return None;
        }
        let skill = if self.mean_error.value > 0.0 { 1.0 - self.time_error.value / self.mean_error.value } else { 0.0 };
        Some((self.time_right.value, self.mean_right.value, skill))
    }

    pub(crate) fn skill(&self) -> Option<Skill> {
        let rounds = self.forecasts.len();
        if rounds == 0 {
            return None;
        }
        let (mut right, mut fast, mut error, mut climate) = (0.0, 0.0, 0.0, 0.0);
        for forecast in &self.forecasts {
            let came = f64::from(u8::from(forecast.fast));
            right += f64::from(u8::from((forecast.probability >= 0.5) == forecast.fast));
            fast += came;
            error += (forecast.probability - came) * (forecast.probability - came);
            climate += (forecast.climate - came) * (forecast.climate - came);
        }
        let n = rounds as f64;
        let (error, climate) = (error / n, climate / n);
        let skill =
            if error < NEGLIGIBLE && climate < NEGLIGIBLE { 0.0 } else { 1.0 - error / climate.max(NEGLIGIBLE) };
        Some(Skill { accuracy: right / n, base_rate: (fast / n).max(1.0 - fast / n), skill, rounds })
    }

    /// Mean loss that the learner saved against the rule over the history.
    pub(crate) fn advantage(&self) -> f64 {
        let sum: f64 = self.forecasts.iter().map(|forecast| forecast.advantage).sum();
        // An empty sum is −0; plus nothing makes it a plain zero.
        sum / self.forecasts.len().max(1) as f64 + 0.0
    }

    pub(crate) fn recent_loss(&self) -> f64 {
        self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64 + 0.0
    }

    /// The best fixed hold in hindsight and its loss; the cap is `u64::MAX`.
    pub(crate) fn best_fixed(&self) -> (u64, f64) {
        let holds = GRID_US.into_iter().chain([u64::MAX]);
        holds.zip(self.grid).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
    }

    /// Spread of the latest decisions; none before the window is full.
    pub(crate) fn spread(&self) -> Option<f64> {
        if self.decisions.len() < self.window {
            return None;
        }
        let spread = |of: fn(&(f64, f64)) -> f64| {
            let values = self.decisions.iter().map(of);
            let (least, most) = values.fold((f64::INFINITY, 0.0), |(l, m): (f64, f64), v| (l.min(v), m.max(v)));
            most - least
        };
        Some(spread(|d| d.0).max(spread(|d| d.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(fast: bool) -> Outcome {
        let fast_us = fast.then_some(3_000);
        Outcome { view: 1, cap_us: 50_000, fast_us, piggyback_us: None, slow_us: 20_000, scale_us: 30_000 }
    }

    fn board(rounds: usize, fast: impl Fn(usize) -> bool, forecast: impl Fn(usize) -> f64) -> Scoreboard {
        let mut board = Scoreboard::new(100, 10);
        for round in 0..rounds {
            board.round(&outcome(fast(round)), forecast(round), [5_000, 5_000, 1], &Weights::default());
        }
        board
    }

    #[test]
    fn accuracy_never_stands_without_its_base_rate() {
        // Nine of ten are fast: always saying so is 90 % right and shows no skill.
        let lazy = board(100, |i| i % 10 > 0, |_| 0.9).skill().unwrap();
        assert!((lazy.accuracy - 0.9).abs() < 1e-9 && (lazy.base_rate - 0.9).abs() < 1e-9);
        assert!(lazy.skill.abs() < 0.2, "{lazy:?}");
        let knows = board(100, |i| i % 10 > 0, |i| f64::from(u8::from(i % 10 > 0))).skill().unwrap();
        assert!(knows.skill > 0.9 && knows.accuracy > 0.99, "{knows:?}");
        let wrong = board(100, |i| i % 10 > 0, |i| f64::from(u8::from(i % 10 == 0))).skill().unwrap();
        assert!(wrong.skill < -1.0 && wrong.accuracy < 0.01, "{wrong:?}");
        let certain = board(300, |_| true, |_| 0.97).skill().unwrap();
        assert!(certain.skill.abs() < 1e-9, "nothing to be skilful about: {certain:?}");
        assert!(Scoreboard::new(10, 10).skill().is_none());
    }

    #[test]
    fn regret_is_measured_against_the_best_fixed_hold_and_the_oracle() {
        let board = board(100, |i| i % 2 == 0, |_| 0.5);
        let (hold, best) = board.best_fixed();
        assert!(hold >= 5_000 && board.acting >= best - 1e-9, "{hold} {best}");
        assert!(board.oracle <= best && board.advantage() > 0.0);
        assert!((board.recent_loss() - board.acting / 100.0).abs() < 0.1);
    }

    #[test]
    fn convergence_is_a_small_spread_over_a_full_window() {
        let mut board = Scoreboard::new(100, 3);
        board.decided(0.1, 0.6);
        assert_eq!(board.spread(), None);
        board.decided(0.12, 0.6);
        board.decided(0.11, 0.6);
        assert!(board.spread().is_some_and(|spread| (spread - 0.02).abs() < 1e-9));
        board.decided(0.11, 0.8);
        assert!(board.spread().is_some_and(|spread| (spread - 0.2).abs() < 1e-9));
    }
}
