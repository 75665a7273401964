//! The study of the optimizer: regimes × sizes × policies × seeds, in virtual time, with the optimizer that ships.
//!
//! What goes wrong is in `regimes`, who decides in `policies`, means and 95 % intervals in `summary`, pictures in `plot`.
//!
//! Messages of one seed take the same time under every policy (common random numbers), so that policies are compared and not draws.
//! Everything is learned inside the run, from nothing; the constants of the learner were chosen on seeds from 1,000 on, the study uses seeds
//! from 1 on.

pub mod plot;
pub mod policies;
pub mod regimes;
pub mod summary;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use consensus::config::EpochConfig;
use consensus::types::ValidatorIndex;
use crypto::SecurityLevel;
use optimizer::{Metrics, Parameters, Setup};
use serde::Serialize;

use self::policies::{Studied, Trace, optimizer, recorder};
use self::regimes::Regime;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::simulation::Simulation;

/// Bytes of a vote beside its signature.
const VOTE_HEAD_BYTES: u64 = 128;
/// Blocks over which finality must be back to count as recovered.
const RECOVERY_BLOCKS: usize = 10;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// (validators, seeds, virtual time of a run in microseconds).
    pub sizes: Vec<(u16, u64, u64)>,
    /// The regimes.
    pub regimes: Vec<Regime>,
    /// The policies.
    pub policies: Vec<Studied>,
    /// The first seed.
    pub first_seed: u64,
    /// Threads.
    pub threads: usize,
}

impl Plan {
    /// The whole study: 1,104 runs, and one more for each trace of the oracle.
    pub fn full(threads: usize) -> Self {
        let sizes = vec![(6, 10, 6_000_000), (11, 10, 4_000_000), (25, 2, 3_000_000), (50, 1, 2_000_000)];
        Self { sizes, regimes: Regime::ALL.to_vec(), policies: Studied::ALL.to_vec(), first_seed: 1, threads }
    }

    /// A small form that takes seconds.
    pub fn small(threads: usize) -> Self {
        Self { sizes: vec![(6, 2, 3_000_000)], ..Self::full(threads) }
    }

    /// Runs, without those that are recorded for the oracle.
    pub fn runs(&self) -> usize {
        let seeds: u64 = self.sizes.iter().map(|(_, seeds, _)| seeds).sum();
        self.regimes.len() * self.policies.len() * seeds as usize
    }
}

/// What one run has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The regime.
    pub regime: &'static str,
    /// Validators.
    pub validators: u16,
    /// The policy.
    pub policy: &'static str,
    /// The seed.
    pub seed: u64,
    /// Final values.
    pub values: u64,
    /// Bytes that honest validators sent, per final value.
    pub bytes_per_value: f64,
    /// The same of votes alone.
    pub vote_bytes_per_value: f64,
    /// From submission to finality, in milliseconds.
    pub mean_ms: f64,
    /// Its median.
    pub p50_ms: f64,
    /// Its 99th percentile.
    pub p99_ms: f64,
    /// Share of blocks that were final in one round.
    pub fast_share: f64,
    /// Prediction of the one-round path: accuracy, mean over validators.
    pub accuracy: f64,
    /// Its base rate.
    pub base_rate: f64,
    /// Its skill.
    pub skill: f64,
    /// Mean loss per decision.
    pub loss: f64,
    /// Cumulative loss less that of the best fixed hold in hindsight, per validator.
    pub regret: f64,
    /// Cumulative loss less that of the in-run oracle, per validator.
    pub regret_to_oracle: f64,
    /// Decisions, per validator.
    pub decisions: f64,
    /// Share of holds that saved the vote.
    pub holds_used: f64,
    /// The longest that any validator held a vote in vain, in milliseconds.
    pub worst_hold_ms: f64,
    /// min(2Δ, T/4) with the greatest Δ and T that the core allows: no hold can be longer.
    pub hold_bound_ms: f64,
    /// From the regime's change until finality is back within 25 % of its later median, in milliseconds; none if nothing changes or it never is.
    pub recovery_ms: Option<f64>,
    /// 100 · (1 − vote bytes / vote bytes of always-send): set when the table is complete.
    pub vote_bytes_saved_percent: f64,
    /// Violations of invariants; must be 0.
    pub violations: usize,
}

/// The optimizer's setup for one host of a simulation.
pub(crate) fn setup(scenario: &Scenario, epoch: &EpochConfig, host: usize) -> Setup {
    let signature = SecurityLevel::from_dimension(scenario.level)
        .map_or(64, |level| level.signature_algorithm().signature_len() as u64);
    let quorum = &epoch.quorum;
    Setup {
        n: epoch.n(),
        me: ValidatorIndex::new(host as u16).as_usize(),
        q_min: quorum.q_min(),
        q_max: quorum.q_max(),
        q_fast: if epoch.fast_path { quorum.q_fast() } else { u32::MAX },
        base_ten_thousandths: epoch.ratios.base.ten_thousandths(),
        settings: scenario.settings.settings(),
        vote_bytes: signature + VOTE_HEAD_BYTES,
        seed: scenario.seed.wrapping_mul(1_000_003) ^ host as u64,
    }
}

/// As shipped, but for the time between two slow decisions: a run lasts seconds.
fn parameters() -> Parameters {
    Parameters { adaptation_frequency: 1, ..Parameters::default() }
}

/// Runs one place of the table: every policy on one regime, size and seed.
fn runs_of(regime: Regime, size: (u16, u64, u64), seed: u64, policies: &[Studied]) -> Result<Vec<Row>, String> {
    let (validators, _, duration_us) = size;
    let scenario = || regime.scenario(validators, seed, duration_us);
    let trace = Trace::default();
    if policies.contains(&Studied::Oracle) {
        let make = |setup: Setup, host: usize| recorder(setup, parameters(), host, &trace);
        Simulation::with_optimizers(scenario(), &make)?.run_with_optimizers();
    }
    let mut rows = Vec::new();
    for policy in policies {
        let make = |setup: Setup, host: usize| optimizer(*policy, setup, parameters(), host, &trace);
        let (report, samples, learned) = Simulation::with_optimizers(scenario(), &make)?.run_with_optimizers();
        let mut row = row(regime, *policy, &scenario(), &report, &learned);
        let series: Vec<(u64, u64)> = samples.blocks.iter().map(|block| (block.at_us, block.took_us)).collect();
        row.recovery_ms = regime.changes_at_us(duration_us).and_then(|at| recovery_ms(&series, at));
        rows.push(row);
    }
    let always = rows.iter().find(|row| row.policy == Studied::AlwaysSend.name());
    if let Some(always) = always.map(|row| row.vote_bytes_per_value) {
        for row in &mut rows {
            row.vote_bytes_saved_percent = 100.0 * (1.0 - row.vote_bytes_per_value / always);
        }
    }
    Ok(rows)
}

fn row(regime: Regime, policy: Studied, scenario: &Scenario, report: &Report, learned: &[Metrics]) -> Row {
    let values = report.finalized.max(1) as f64;
    let up: Vec<&Metrics> = learned.iter().filter(|metrics| metrics.counters.rounds > 0).collect();
    let mean = |of: &dyn Fn(&Metrics) -> f64| up.iter().map(|m| of(m)).sum::<f64>() / up.len().max(1) as f64;
    let ended = |m: &Metrics| (m.counters.holds_used + m.counters.holds_wasted).max(1) as f64;
    let settings = scenario.settings.settings();
    let delta_us = settings.delta_us * consensus::replica::DELTA_GROWS_AT_MOST;
    let ms = |us: u64| us as f64 / 1e3;
    Row {
        regime: regime.name(),
        validators: scenario.validators,
        policy: policy.name(),
        seed: scenario.seed,
        values: report.finalized,
        bytes_per_value: report.bytes_total as f64 / values,
        vote_bytes_per_value: report.bytes.get("vote").copied().unwrap_or(0) as f64 / values,
        mean_ms: ms(report.latency.mean_us),
        p50_ms: ms(report.latency.p50_us),
        p99_ms: ms(report.latency.p99_us),
        fast_share: report.fast_per_mille() as f64 / 1e3,
        accuracy: mean(&|m| m.prediction.map_or(0.0, |p| p.accuracy)),
        base_rate: mean(&|m| m.prediction.map_or(0.0, |p| p.base_rate)),
        skill: mean(&|m| m.prediction.map_or(0.0, |p| p.skill)),
        loss: mean(&|m| m.loss / m.counters.rounds.max(1) as f64),
        regret: mean(&|m| m.regret),
        regret_to_oracle: mean(&|m| m.loss - m.loss_oracle),
        decisions: mean(&|m| m.counters.rounds as f64),
        holds_used: mean(&|m| m.counters.holds_used as f64 / ended(m)),
        worst_hold_ms: up.iter().map(|m| ms(m.counters.wasted_us_max)).fold(0.0, f64::max),
        hold_bound_ms: ms((2 * delta_us).min(settings.timer_ceiling_us / 4)),
        recovery_ms: None,
        vote_bytes_saved_percent: 0.0,
        violations: report.violations.len(),
    }
}

/// From `at` until the mean finality of the next blocks is within a quarter of the median of the run's last half after it.
fn recovery_ms(series: &[(u64, u64)], at: u64) -> Option<f64> {
    let after: Vec<&(u64, u64)> = series.iter().filter(|(when, _)| *when >= at).collect();
    let mut late: Vec<u64> = after.iter().skip(after.len() / 2).map(|(_, us)| *us).collect();
    late.sort_unstable();
    let usual = *late.get(late.len() / 2)? as f64;
    let window = after
        .windows(RECOVERY_BLOCKS)
        .find(|window| window.iter().map(|(_, us)| *us as f64).sum::<f64>() / RECOVERY_BLOCKS as f64 <= 1.25 * usual)?;
    Some(window.first()?.0.saturating_sub(at) as f64 / 1e3)
}

/// A finished place of the table.
type Done = (usize, Result<Vec<Row>, String>);

/// Runs the plan; `progress` hears of every finished place of the table as (done, all). Rows come in the plan's order, whatever the threads did.
pub fn run(plan: &Plan, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Vec<Row>, String> {
    let mut jobs = Vec::new();
    for size in &plan.sizes {
        for regime in &plan.regimes {
            jobs.extend((0..size.1).map(|seed| (*size, *regime, plan.first_seed + seed)));
        }
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<Done>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((size, regime, seed)) = jobs.get(at).copied() else { return };
                    let rows = runs_of(regime, size, seed, &plan.policies);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, rows));
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    let rows: Result<Vec<Vec<Row>>, String> = results.into_iter().map(|(_, rows)| rows).collect();
    Ok(rows?.into_iter().flatten().collect())
}
