//! Metrics of the optimizer: predictions beside their base rate and skill, holds, regret, what it advises.

use optimizer::Metrics as Performance;
use prometheus::{Counter, Error, Gauge, IntCounterVec, IntGauge, IntGaugeVec};

use super::registrar::Registrar;

/// What becomes of a held-back vote.
const HOLDS: [&str; 4] = ["used", "wasted", "piggybacked", "at_once"];
/// The policies that may act.
const POLICIES: [&str; 3] = ["none", "rule", "learned"];

/// What there is of the optimizer.
pub(crate) struct AiMetrics {
    accuracy: Gauge,
    base_rate: Gauge,
    skill: Gauge,
    time_skill: Gauge,
    overhead_reduction: Gauge,
    holds: IntCounterVec,
    wasted: Counter,
    hold: Gauge,
    hold_cap: Gauge,
    regret: Gauge,
    advantage: Gauge,
    loss: Gauge,
    converged: IntGauge,
    threshold: IntGauge,
    delta: Gauge,
    quality: Gauge,
    acting: IntGaugeVec,
}

impl AiMetrics {
    pub(super) fn new(r: &Registrar) -> Result<Self, Error> {
        let metrics = Self {
            accuracy: r.gauge(
                "ai_optimization_accuracy",
                "Share of views in which the optimizer predicted rightly whether the one-round path comes in time; NaN before data.",
            )?,
            base_rate: r.gauge(
                "agent_mesh_ai_base_rate",
                "Accuracy of always predicting the more frequent outcome of the same views; NaN before data.",
            )?,
            skill: r.gauge(
                "agent_mesh_ai_skill",
                "Brier skill score against the running share of fast views; 0 is no skill; NaN before data.",
            )?,
            time_skill: r.gauge(
                "agent_mesh_ai_time_skill",
                "Skill of the predicted time to finality against its running mean; NaN before data.",
            )?,
            overhead_reduction: r.gauge(
                "network_overhead_reduction_percentage",
                "Vote bytes saved against always sending Finalize, percent; negative when requests for votes cost more than was saved.",
            )?,
            holds: r.counters("agent_mesh_ai_holds_total", "Finalize votes by what became of them.", &["outcome"])?,
            wasted: r.decimal("agent_mesh_ai_held_in_vain_seconds_total", "Time that votes were held in vain.")?,
            hold: r.gauge("agent_mesh_ai_hold_seconds", "How long Finalize is held back, as decided last.")?,
            hold_cap: r.gauge("agent_mesh_ai_hold_cap_seconds", "The longest hold that the core allows.")?,
            regret: r.gauge(
                "agent_mesh_ai_regret",
                "Cumulative loss less that of the best fixed hold in hindsight; below 0 when adapting is better.",
            )?,
            advantage: r.gauge("agent_mesh_ai_advantage", "Mean loss per view that the learner saves against the rule.")?,
            loss: r.gauge("agent_mesh_ai_recent_loss", "Mean loss of what was decided over the performance window, 0 to 1.")?,
            converged: r.int("agent_mesh_ai_converged", "1 while decisions keep within the convergence threshold.")?,
            threshold: r.int("agent_mesh_ai_threshold_votes", "Finality threshold advised for own blocks, in votes.")?,
            delta: r.gauge("agent_mesh_ai_message_delay_seconds", "Message delay that timers follow; NaN while they are fixed.")?,
            quality: r.gauge("agent_mesh_ai_network_quality", "Quality of the validator links, 0 to 1.")?,
            acting: r.ints("agent_mesh_ai_acting", "1 for the policy that acts.", "policy")?,
        };
        metrics.refresh(None);
        Ok(metrics)
    }

    /// Sets everything; the values before data if there is nothing yet.
    pub(crate) fn refresh(&self, performance: Option<&Performance>) {
        for outcome in HOLDS {
            self.holds.with_label_values(&[outcome]).inc_by(0);
        }
        let prediction = performance.and_then(|p| p.prediction);
        self.accuracy.set(prediction.map_or(f64::NAN, |skill| skill.accuracy));
        self.base_rate.set(prediction.map_or(f64::NAN, |skill| skill.base_rate));
        self.skill.set(prediction.map_or(f64::NAN, |skill| skill.skill));
        self.time_skill.set(performance.and_then(|p| p.time_skill).unwrap_or(f64::NAN));
        self.delta.set(performance.and_then(|p| p.delta_us).map_or(f64::NAN, |us| us as f64 / 1e6));
        let Some(p) = performance else { return };
        self.overhead_reduction.set(p.overhead_reduction_percent);
        let counts =
            [p.counters.holds_used, p.counters.holds_wasted, p.counters.holds_piggybacked, p.counters.sent_at_once];
        for (outcome, total) in HOLDS.into_iter().zip(counts) {
            let counter = self.holds.with_label_values(&[outcome]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        self.wasted.inc_by((p.counters.wasted_us as f64 / 1e6 - self.wasted.get()).max(0.0));
        self.hold.set(p.hold_us as f64 / 1e6);
        self.hold_cap.set(p.hold_cap_us as f64 / 1e6);
        self.regret.set(p.regret);
        self.advantage.set(p.advantage);
        self.loss.set(p.recent_loss);
        self.converged.set(i64::from(p.converged));
        self.threshold.set(i64::from(p.threshold));
        self.quality.set(p.quality);
        for policy in POLICIES {
            self.acting.with_label_values(&[policy]).set(i64::from(policy == p.acting));
        }
    }
}
