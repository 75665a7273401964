//! The guide's parameters: what each may be, and their atomic change.

use serde::{Deserialize, Serialize};

use crate::loss::Weights;

/// Parameters of the optimizer (docs/optimizer.md says what each does).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Step of the gate towards each outcome, 0.0001 to 1.
    pub learning_rate: f64,
    /// Hysteresis: least change of quality before the rule's table is looked up again, of Δ before timers follow, 0 to 1.
    pub adaptation_threshold: f64,
    /// The objective; shares from 0 to 1, not all 0.
    pub performance_weights: Weights,
    /// Rounds that the learner's bound, its forgetting and the skill speak of, 10 to 100,000.
    pub learning_history_size: usize,
    /// Seconds between two decisions on threshold, Δ and acting policy, 1 to 86,400.
    pub adaptation_frequency: u64,
    /// Rounds of the shown performance, of the convergence signal, and between two judgements of skill, 1 to 10,000.
    pub performance_window: usize,
    /// Spread of the decisions over the window below which they count as converged, 0.0001 to 1.
    pub convergence_threshold: f64,
    /// Round trip at which the latency part of the quality is one half, 1 to 60,000 ms.
    pub latency_threshold_ms: u64,
    /// Delivery rate below which the bandwidth part suffers, 1 to 1,000,000 Mbit/s.
    pub bandwidth_threshold_mbps: u64,
    /// Loss at which the loss part is one half, 0.0001 to 1.
    pub packet_loss_threshold: f64,
    /// Time over which stability is judged, 1 to 86,400 s.
    pub stability_window_seconds: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            adaptation_threshold: 0.1,
            performance_weights: Weights::default(),
            learning_history_size: 100,
            adaptation_frequency: 60,
            performance_window: 10,
            convergence_threshold: 0.05,
            latency_threshold_ms: 100,
            bandwidth_threshold_mbps: 10,
            packet_loss_threshold: 0.05,
            stability_window_seconds: 300,
        }
    }
}

/// A change: what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParameterUpdate {
    /// See [`Parameters::learning_rate`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// See [`Parameters::adaptation_threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation_threshold: Option<f64>,
    /// See [`Parameters::performance_weights`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_weights: Option<WeightsUpdate>,
    /// See [`Parameters::learning_history_size`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_history_size: Option<u64>,
    /// See [`Parameters::adaptation_frequency`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation_frequency: Option<u64>,
    /// See [`Parameters::performance_window`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_window: Option<u64>,
    /// See [`Parameters::convergence_threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convergence_threshold: Option<f64>,
    /// See [`Parameters::latency_threshold_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_threshold_ms: Option<u64>,
    /// See [`Parameters::bandwidth_threshold_mbps`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_threshold_mbps: Option<u64>,
    /// See [`Parameters::packet_loss_threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_loss_threshold: Option<f64>,
    /// See [`Parameters::stability_window_seconds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability_window_seconds: Option<u64>,
}

/// A change of the objective: what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightsUpdate {
    /// See [`Weights::latency`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// See [`Weights::throughput`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// See [`Weights::energy_efficiency`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_efficiency: Option<f64>,
    /// See [`Weights::network_stability`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_stability: Option<f64>,
}

/// Why a change is refused; nothing of it was applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A number outside its range.
    #[error("{name} = {value} is outside its safe range, {least} to {most}; nothing was changed")]
    Range {
        /// The parameter.
        name: &'static str,
        /// What was asked for.
        value: f64,
        /// Least.
        least: f64,
        /// Most.
        most: f64,
    },
    /// An objective of nothing.
    #[error("performance_weights are all 0; at least one must be above 0; nothing was changed")]
    NoWeight,
}

impl Parameters {
    /// Refuses what is outside its range, not-a-numbers included.
    pub fn checked(self) -> Result<Self, ParameterError> {
        let w = self.performance_weights;
        let ranges: [(&'static str, f64, f64, f64); 14] = [
            ("learning_rate", self.learning_rate, 0.000_1, 1.0),
            ("adaptation_threshold", self.adaptation_threshold, 0.0, 1.0),
            ("performance_weights.latency", w.latency, 0.0, 1.0),
            ("performance_weights.throughput", w.throughput, 0.0, 1.0),
            ("performance_weights.energy_efficiency", w.energy_efficiency, 0.0, 1.0),
            ("performance_weights.network_stability", w.network_stability, 0.0, 1.0),
            ("learning_history_size", self.learning_history_size as f64, 10.0, 100_000.0),
            ("adaptation_frequency", self.adaptation_frequency as f64, 1.0, 86_400.0),
            ("performance_window", self.performance_window as f64, 1.0, 10_000.0),
            ("convergence_threshold", self.convergence_threshold, 0.000_1, 1.0),
            ("latency_threshold_ms", self.latency_threshold_ms as f64, 1.0, 60_000.0),
            ("bandwidth_threshold_mbps", self.bandwidth_threshold_mbps as f64, 1.0, 1_000_000.0),
            ("packet_loss_threshold", self.packet_loss_threshold, 0.000_1, 1.0),
            ("stability_window_seconds", self.stability_window_seconds as f64, 1.0, 86_400.0),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(ParameterError::Range { name, value, least, most });
            }
        }
        if w.latency + w.throughput + w.energy_efficiency + w.network_stability <= 0.0 {
            return Err(ParameterError::NoWeight);
        }
        Ok(self)
    }

    /// All of the change or none of it.
    pub fn with(self, update: &ParameterUpdate) -> Result<Self, ParameterError> {
        let size = |new: Option<u64>, old: usize| new.map_or(old, |new| usize::try_from(new).unwrap_or(usize::MAX));
        let (w, u) = (self.performance_weights, update.performance_weights.unwrap_or_default());
        Self {
            learning_rate: update.learning_rate.unwrap_or(self.learning_rate),
            adaptation_threshold: update.adaptation_threshold.unwrap_or(self.adaptation_threshold),
            performance_weights: Weights {
                latency: u.latency.unwrap_or(w.latency),
                throughput: u.throughput.unwrap_or(w.throughput),
                energy_efficiency: u.energy_efficiency.unwrap_or(w.energy_efficiency),
                network_stability: u.network_stability.unwrap_or(w.network_stability),
            },
            learning_history_size: size(update.learning_history_size, self.learning_history_size),
            adaptation_frequency: update.adaptation_frequency.unwrap_or(self.adaptation_frequency),
            performance_window: size(update.performance_window, self.performance_window),
            convergence_threshold: update.convergence_threshold.unwrap_or(self.convergence_threshold),
            latency_threshold_ms: update.latency_threshold_ms.unwrap_or(self.latency_threshold_ms),
            bandwidth_threshold_mbps: update.bandwidth_threshold_mbps.unwrap_or(self.bandwidth_threshold_mbps),
            packet_loss_threshold: update.packet_loss_threshold.unwrap_or(self.packet_loss_threshold),
            stability_window_seconds: update.stability_window_seconds.unwrap_or(self.stability_window_seconds),
        }
        .checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_applied_whole_or_not_at_all() {
        let before = Parameters::default();
        let good = ParameterUpdate { learning_rate: Some(0.5), ..ParameterUpdate::default() };
        assert!((before.with(&good).unwrap().learning_rate - 0.5).abs() < 1e-12);
        for wrong in [
            ParameterUpdate { learning_history_size: Some(9), ..good },
            ParameterUpdate { learning_history_size: Some(u64::MAX), ..good },
            ParameterUpdate { adaptation_threshold: Some(f64::NAN), ..good },
            ParameterUpdate { convergence_threshold: Some(0.0), ..good },
            ParameterUpdate { adaptation_frequency: Some(0), ..good },
        ] {
            let error = before.with(&wrong).unwrap_err().to_string();
            assert!(error.contains("safe range") && error.contains("nothing was changed"), "{error}");
        }
        let zero = Some(0.0);
        let none = WeightsUpdate { latency: zero, throughput: zero, energy_efficiency: zero, network_stability: zero };
        let update = ParameterUpdate { performance_weights: Some(none), ..good };
        assert_eq!(before.with(&update), Err(ParameterError::NoWeight));
        assert_eq!(before.with(&ParameterUpdate::default()), Ok(before));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(serde_json::from_str::<ParameterUpdate>(r#"{"learning_rates": 1}"#).is_err());
        let partly = r#"{"performance_weights": {"latency": 0.5}}"#;
        let update: ParameterUpdate = serde_json::from_str(partly).unwrap();
        let after = Parameters::default().with(&update).unwrap().performance_weights;
        assert!((after.latency - 0.5).abs() < 1e-12 && (after.throughput - 0.3).abs() < 1e-12);
    }
}
