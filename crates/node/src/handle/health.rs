//! Whether a running node is well: consensus, cryptography, optimizer.

use crypto::SecurityLevel;
use serde_json::json;

use super::NodeHandle;
use crate::clock::system_now;
use crate::views::HealthView;

/// How long after the last progress a node that expects some counts as stalled, at least.
const STALL_US: u64 = 10_000_000;

/// A lower verification rate of the middle peer means that this node's own view of the keys is wrong.
const LEAST_VERIFICATION_RATE: f64 = 0.5;

impl NodeHandle {
    /// Whether the node makes progress, or is idle and could.
    pub fn health_consensus(&self) -> HealthView {
        let status = self.0.hub.status();
        let (view, quorum) = (self.status(), self.0.epochs.borrow().config.quorum);
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
        let context = self.0.present();
        let level = context.config.level;
        let rate = self.0.hub.witness.middle_verification_rate();
        let links = self.0.links.status();
        let expected = link_group(level);
        let strange: Vec<&str> = links
            .iter()
            .filter(|link| link.group.as_deref().is_some_and(|group| group != expected))
            .map(|link| link.name.as_str())
            .collect();
        let broken = if !strange.is_empty() {
            Some(format!("links to {} have another key exchange than {expected}", strange.join(", ")))
        } else if rate < LEAST_VERIFICATION_RATE {
            Some(format!(
                "only {:.0} % of the messages of most peers verify: compare genesis and keys with the other validators",
                100.0 * rate
            ))
        } else {
            None
        };
        let degraded = !level.is_post_quantum();
        let reason = match &broken {
            Some(why) => why.clone(),
            None if degraded => {
                "degraded: QUANTUM_SECURITY=false, classical signatures and key exchange, for comparison only"
                    .to_owned()
            }
            None => format!("level {}: post-quantum votes and links", level.dimension()),
        };
        let groups: std::collections::BTreeMap<String, Option<String>> =
            links.into_iter().map(|link| (link.name, link.group)).collect();
        let key_age_s = self.key_age_us() / 1_000_000;
        HealthView {
            healthy: broken.is_none(),
            degraded,
            reason,
            details: json!({
                "level": level.dimension(),
                "policy": context.config.policy.name(),
                "signatures": level.signature_algorithm().name(),
                "link_signatures": level.link_signature_algorithm().name(),
                "link_group": expected,
                "link_groups": groups,
                "verification_rate": rate,
                "acceleration": acceleration(),
                "cryptography": crypto::report::Report::of(level),
                "key_rotation_interval_s": context.config.limits.key_rotation_interval_s,
                "epoch": context.epoch().get(),
                "key_age_epochs": context.config.key_age(self.0.me),
                "key_age_s": key_age_s,
                "next_rotation_s": context.end_time().since_us(system_now()) / 1_000_000,
                "identity": self.0.keys.identity().map(|identity| identity.public_key().algorithm().name()),
                "identity_signatures_left": self.0.keys.identity().and_then(crypto::IdentityKey::remaining),
                "observes": self.0.keys.lacks_key(&context),
            }),
        }
    }

    /// Microseconds since the session keys came into force.
    pub(crate) fn key_age_us(&self) -> u64 {
        // Keys are as old as the epoch, but for a validator that did not renew its own.
        let context = self.0.present();
        let span_us = context.config.limits.key_rotation_interval_s.saturating_mul(1_000_000);
        let missed = context.config.key_age(self.0.me);
        missed.saturating_mul(span_us).saturating_add(system_now().since_us(context.start.time))
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

/// The one key-exchange group of validator links at a level (docs/architecture.md; `transport` accepts no other).
const fn link_group(level: SecurityLevel) -> &'static str {
    match level {
        SecurityLevel::Classical => "X25519",
        SecurityLevel::Level512 | SecurityLevel::Level768 => "X25519MLKEM768",
        SecurityLevel::Level1024 | SecurityLevel::Level2048 => "MLKEM1024",
    }
}

/// What the processor offers that the cryptographic library uses where it finds it.
fn acceleration() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512", std::is_x86_feature_detected!("avx512f")),
        ("aes", std::is_x86_feature_detected!("aes")),
        ("vaes", std::is_x86_feature_detected!("vaes")),
        ("sha", std::is_x86_feature_detected!("sha")),
    ];
    #[cfg(target_arch = "aarch64")]
    let found = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
        ("sha3", std::arch::is_aarch64_feature_detected!("sha3")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found: [(&str, bool); 0] = [];
    found.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}
