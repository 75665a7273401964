//! Recommendations: what would be better, by how much, and why, in words.

use serde::{Deserialize, Serialize};

use crate::optimizer::{Mode, Optimizer, PolicyChoice};
use crate::parameters::ParameterUpdate;

/// One recommendation. Where `update` is not empty it can be handed to `update_parameters`; `mode` and `policy` are changed by their own call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// What it is about.
    pub subject: String,
    /// What is so now.
    pub current: String,
    /// What is recommended.
    pub recommended: String,
    /// What is expected of it.
    pub expected_effect: String,
    /// Why.
    pub reason: String,
    /// The change of parameters, if it is one.
    #[serde(default)]
    pub update: ParameterUpdate,
    /// The mode to switch to, if that is it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The policy to switch to, if that is it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

impl Recommendation {
    fn new(subject: &str, current: String, recommended: String, expected_effect: String, reason: String) -> Self {
        Self {
            subject: subject.to_owned(),
            current,
            recommended,
            expected_effect,
            reason,
            update: ParameterUpdate::default(),
            mode: None,
            policy: None,
        }
    }
}

impl Optimizer {
    /// What it would do, or have you do, now. Before enough rounds were seen there is only that to say.
    pub fn recommendations(&self) -> Vec<Recommendation> {
        let m = self.metrics();
        let enough = 2 * self.parameters().performance_window as u64;
        if m.observations < enough {
            return vec![Recommendation::new(
                "observations",
                format!("{} rounds seen", m.observations),
                "wait".to_owned(),
                format!("recommendations once {enough} rounds have been seen"),
                "nothing is recommended without observations".to_owned(),
            )];
        }
        let mut list = vec![self.hold_recommendation(), self.threshold_recommendation()];
        list.extend(self.policy_recommendations());
        list.extend(self.learning_recommendations());
        if let Some(delta_us) = self.measured_delta_us() {
            let told = m.delta_us.map_or("as configured".to_owned(), |us| format!("{:.1} ms", us as f64 / 1e3));
            list.push(Recommendation::new(
                "message_delay",
                told,
                format!("{:.1} ms", delta_us as f64 / 1e3),
                format!("a silent leader costs a view timer of about {:.0} ms", 6.0 * delta_us as f64 / 1e3),
                "95th percentile of the time from vote to one-round quorum, with a margin; the core keeps it between a fifth and four times the \
                 configured delay"
                    .to_owned(),
            ));
        }
        list
    }

    fn hold_recommendation(&self) -> Recommendation {
        let m = self.metrics();
        let learned = self.last_learned();
        let probability = 100.0 * learned.fast_probability;
        let per_round = |sum: f64| sum / m.counters.rounds.max(1) as f64;
        Recommendation::new(
            "finalize_hold",
            format!("{:.1} ms ({})", m.hold_us as f64 / 1e3, m.acting),
            format!("{:.1} ms", learned.hold_us as f64 / 1e3),
            format!(
                "mean loss {:.3} against {:.3} of the rule and {:.3} of the best fixed hold",
                per_round(m.loss_learned),
                per_round(m.loss_rule),
                per_round(m.loss_best_fixed)
            ),
            format!(
                "the one-round path is expected with {probability:.0} % within {:.1} ms; every hold that is answered saves a vote to {} \
                 validators",
                m.hold_cap_us as f64 / 1e3,
                self.setup().n.saturating_sub(1)
            ),
        )
    }

    fn threshold_recommendation(&self) -> Recommendation {
        let m = self.metrics();
        let (rule, learned) = self.wished_thresholds();
        let worse = rule > learned;
        Recommendation::new(
            "finality_threshold",
            format!("{} votes", m.threshold),
            format!("{learned} votes"),
            if worse {
                format!("the rule's {rule} votes would wait for validators that are late or silent")
            } else {
                "stronger blocks at no later finality".to_owned()
            },
            format!(
                "quality {:.2}; {learned} validators answer nearly always and nearly as soon as the quorum does",
                m.quality
            ),
        )
    }

    fn policy_recommendations(&self) -> Vec<Recommendation> {
        let m = self.metrics();
        let (better, percent) = (m.advantage > 0.005, 100.0 * m.advantage);
        let mut list = Vec::new();
        if better && self.mode() != Mode::On {
            let mut one = Recommendation::new(
                "mode",
                m.mode.clone(),
                "on".to_owned(),
                format!("{percent:.1} points less loss per round than the rule"),
                "what it decides in the shadow has been better".to_owned(),
            );
            one.mode = Some("on".to_owned());
            list.push(one);
        }
        if better && self.policy() == PolicyChoice::Rule {
            let mut one = Recommendation::new(
                "policy",
                "rule".to_owned(),
                "learned".to_owned(),
                format!("{percent:.1} points less loss per round"),
                format!("over the last {} rounds", self.parameters().learning_history_size),
            );
            one.policy = Some("learned".to_owned());
            list.push(one);
        }
        if m.prediction.is_some_and(|skill| skill.skill < 0.0) && self.policy() == PolicyChoice::Learned {
            let skill = m.prediction.map_or(0.0, |skill| skill.skill);
            list.push(Recommendation::new(
                "policy",
                m.acting.clone(),
                "rule while skill is below zero".to_owned(),
                "no worse than the configured hold".to_owned(),
                format!("skill is {skill:.2}: the running mean predicts better; the fall-back is automatic"),
            ));
        }
        list
    }

    fn learning_recommendations(&self) -> Vec<Recommendation> {
        let m = self.metrics();
        let history = self.parameters().learning_history_size;
        if m.converged || m.counters.rounds < history as u64 {
            return Vec::new();
        }
        let longer = (2 * history).min(100_000);
        let mut one = Recommendation::new(
            "learning_history_size",
            history.to_string(),
            longer.to_string(),
            "steadier decisions, slower adaptation after a change".to_owned(),
            format!(
                "decisions of the last {} rounds spread over {:.2}, convergence_threshold is {:.2}",
                self.parameters().performance_window,
                m.spread,
                self.parameters().convergence_threshold
            ),
        );
        one.update.learning_history_size = Some(longer as u64);
        vec![one]
    }
}
