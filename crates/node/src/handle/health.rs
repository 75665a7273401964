//! Whether a running node is well: consensus, cryptography, optimizer.

use serde_json::json;

use super::NodeHandle;
use crate::clock::system_now;
use crate::views::HealthView;

/// How long after the last progress a node that expects some counts as stalled, at least.
const STALL_US: u64 = 10_000_000;

impl NodeHandle {
    /// Whether the node makes progress, or is idle and could.
    pub fn health_consensus(&self) -> HealthView {
        let status = self.0.hub.status();
        let (view, quorum) = (self.status(), self.0.genesis.config.quorum);
        let now = system_now();
        let reachable = view.peers_connected as u32 + 1;
        let last = self.0.hub.last_final_at().unwrap_or(self.0.started);
        let quiet_us = now.since_us(last);
        let patience = STALL_US.max(4 * status.view_timer_us) + u64::from(self.0.config.network.heartbeat_ms) * 1_000;
        let stopped = self.0.hub.end().borrow().is_some();
        let stalled = quiet_us > patience;
        let reason = if stopped {
            "the node has stopped".to_owned()
        } else if stalled && reachable < quorum.q_min() {
            format!(
                "nothing has become final for {} s: only {reachable} of {} validators are reachable from here, {} are needed",
                quiet_us / 1_000_000,
                quorum.n(),
                quorum.q_min()
            )
        } else if stalled {
            format!("nothing has become final for {} s", quiet_us / 1_000_000)
        } else {
            "making progress".to_owned()
        };
        HealthView {
            healthy: !stopped && !stalled,
            degraded: !self.0.genesis.config.level.is_post_quantum(),
            reason,
            details: json!({
                "height": view.height, "view": view.view, "since_final_us": quiet_us, "armed": status.armed,
                "reachable": reachable, "n": quorum.n(), "q_min": quorum.q_min(), "q_fast": quorum.q_fast(),
                "faults_tolerated": {"byzantine": quorum.f(), "crashed": quorum.c()}, "accused": view.accused,
            }),
        }
    }

    /// Whether the network's cryptography is what its level promises.
    pub fn health_quantum(&self) -> HealthView {
        let level = self.0.genesis.config.level;
        let rate = self.0.hub.witness.middle_verification_rate();
        let groups: std::collections::BTreeMap<String, Option<String>> =
            self.0.links.status().into_iter().map(|link| (link.name, link.group)).collect();
        let degraded = !level.is_post_quantum();
        let reason = if degraded {
            "QUANTUM_SECURITY=false: classical signatures and key exchange, for comparison only".to_owned()
        } else {
            format!("level {}: post-quantum votes and links", level.dimension())
        };
        HealthView {
            healthy: true,
            degraded,
            reason,
            details: json!({
                "level": level.dimension(),
                "policy": self.0.genesis.config.policy.name(),
                "signatures": level.signature_algorithm().name(),
                "link_signatures": level.link_signature_algorithm().name(),
                "link_groups": groups,
                "verification_rate": rate,
                "rotation": "not in this version: session keys are those of the genesis",
            }),
        }
    }

    /// What the optimizer does.
    pub fn health_ai(&self) -> HealthView {
        let metrics = self.optimizer().get_performance_metrics();
        let reason = match (metrics.mode.as_str(), metrics.acting.as_str()) {
            ("off", _) => "off: base threshold, fixed timers".to_owned(),
            ("shadow", _) => "shadow: it decides and is measured, its advice is not followed".to_owned(),
            (_, "learned") => "on: the learned policy acts".to_owned(),
            (_, _) if metrics.policy == "learned" => {
                "on: the rule acts until the learned policy has shown that it is better".to_owned()
            }
            _ => "on: the rule acts".to_owned(),
        };
        HealthView {
            healthy: true,
            degraded: false,
            reason,
            details: json!({
                "mode": metrics.mode, "policy": metrics.policy, "acting": metrics.acting,
                "skill": metrics.prediction.map(|prediction| prediction.skill),
                "accuracy": metrics.prediction.map(|prediction| prediction.accuracy),
                "base_rate": metrics.prediction.map(|prediction| prediction.base_rate),
                "converged": metrics.converged, "spread": metrics.spread, "observations": metrics.observations,
                "quality": metrics.quality,
                "last_decision": {
                    "hold_us": metrics.hold_us, "hold_cap_us": metrics.hold_cap_us,
                    "threshold": metrics.threshold, "delta_us": metrics.delta_us,
                },
            }),
        }
    }
}
