//! The metrics of a running node: figures that are looked up when somebody asks.

use super::NodeHandle;

impl NodeHandle {
    /// All metrics in Prometheus' text format 0.0.4.
    pub fn metrics_text(&self) -> String {
        let hub = &self.0.hub;
        hub.metrics.verification_rate.set(hub.verification_rate());
        let connected = self.0.links.status().iter().filter(|link| link.connected).count();
        hub.metrics.peers_connected.set(connected as i64);
        hub.metrics.text()
    }
}
