//! The configuration in the units and types of the rooms that use it.

use std::sync::Arc;

use consensus::config::EpochConfig;
use consensus::replica::Settings;
use consensus::types::ValidatorIndex;
use engine::mempool::MempoolLimits;
use storage::StoreOptions;
use transport::LinkLimits;

use crate::config::Config;

impl Config {
    /// Timers of the replica.
    pub(crate) fn settings(&self) -> Settings {
        let network = &self.network;
        let delta_us = u64::from(network.delta_ms) * 1_000;
        Settings {
            delta_us,
            timer_floor_us: u64::from(network.view_timer_floor_deltas) * delta_us,
            timer_ceiling_us: u64::from(network.view_timer_ceiling_deltas) * delta_us,
            heartbeat_us: u64::from(network.heartbeat_ms) * 1_000,
            hedge_us: u64::from(network.hedge_ms) * 1_000,
            batch_timeout_us: u64::from(self.batching.batch_timeout_ms) * 1_000,
        }
    }

    /// Bounds of the mempool.
    pub(crate) fn mempool_limits(&self) -> MempoolLimits {
        MempoolLimits {
            max_proposals: self.consensus.max_proposals as usize,
            max_foreign_per_peer: self.node.max_foreign_per_peer as usize,
            max_bytes: self.node.mempool_bytes as usize,
            aging_us_per_priority: u64::from(self.batching.priority_aging_ms) * 1_000,
            priority_queuing: self.batching.priority_queuing,
        }
    }

    /// Bounds of the links; the frame limit is the network's.
    pub(crate) fn link_limits(&self, max_frame_bytes: usize) -> LinkLimits {
        LinkLimits {
            max_frame_bytes,
            queue_bytes: (self.network.link_queue_bytes as usize).max(2 * max_frame_bytes),
            queue_frames: self.network.link_queue_frames as usize,
            ..LinkLimits::default()
        }
    }

    /// How the store is opened.
    pub(crate) fn store_options(&self, network: Vec<u8>) -> StoreOptions {
        StoreOptions {
            network,
            cache_bytes: self.storage.cache_bytes,
            memtable_bytes: self.storage.memtable_bytes,
            journal_bytes: self.storage.journal_bytes,
            ..StoreOptions::default()
        }
    }

    /// Where validator links are served: what the file names, else the port of this validator's address in the genesis on all
    /// interfaces, or on loopback where that address is loopback.
    pub(crate) fn link_listen(&self, epoch: &Arc<EpochConfig>, me: ValidatorIndex) -> String {
        if self.is_explicit("network.listen") {
            return self.network.listen.to_string();
        }
        let address = epoch.member(me).map(|member| member.address.as_str()).unwrap_or_default();
        match address.rsplit_once(':') {
            Some((host @ ("127.0.0.1" | "localhost" | "[::1]"), port)) => format!("{host}:{port}"),
            Some((_, port)) => format!("0.0.0.0:{port}"),
            None => self.network.listen.to_string(),
        }
    }
}
