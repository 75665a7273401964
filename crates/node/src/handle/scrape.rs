//! The metrics of a running node: figures that are looked up when somebody asks.

use super::NodeHandle;
use crate::clock::system_now;

impl NodeHandle {
    /// All metrics in Prometheus' text format 0.0.4.
    pub fn metrics_text(&self) -> String {
        let hub = &self.0.hub;
        let (metrics, links) = (&hub.metrics, self.0.links.status());
        let context = self.0.present();
        let config = &context.config;
        let quorum = &config.quorum;
        let connected = links.iter().filter(|link| link.connected).count();
        metrics.peer.refresh(&links, &hub.witness);
        metrics.ai.refresh(Some(&self.optimizer().get_performance_metrics()));
        metrics.verification_rate.set(hub.witness.middle_verification_rate());
        metrics.peers_connected.set(connected as i64);
        metrics.reachable_margin.set(connected as i64 + 1 - i64::from(quorum.q_min()));
        metrics.epoch.set(config.epoch.get() as i64);
        metrics.since_finality.set(self.since_finality_us() as f64 / 1e6);
        metrics.catchup_lag.set(self.catchup_lag() as i64);
        metrics.validators.set(config.n() as i64);
        metrics.byzantine_tolerated.set(i64::from(quorum.f()));
        metrics.crashed_tolerated.set(i64::from(quorum.c()));
        for (name, votes) in [("q_min", quorum.q_min()), ("q_max", quorum.q_max()), ("q_fast", quorum.q_fast())] {
            metrics.quorum.with_label_values(&[name]).set(i64::from(votes));
        }
        metrics.key_age.set(self.key_age_us() as f64 / 1e6);
        metrics.rotation_interval.set(config.limits.key_rotation_interval_s as i64);
        metrics.text()
    }

    /// Microseconds since the last block became final here, or since the start.
    pub(crate) fn since_finality_us(&self) -> u64 {
        system_now().since_us(self.0.hub.last_final_at().unwrap_or(self.0.started))
    }

    /// Blocks that this node is behind: known to be final and not applied, or claimed by more peers than may lie.
    pub(crate) fn catchup_lag(&self) -> u64 {
        let status = self.0.hub.status();
        let known = status.last_final.height.max(status.catch_up.target).get().max(self.0.hub.witness.network_height());
        known.saturating_sub(status.last_committed.height.get())
    }
}
