//! Metrics of each validator, labelled with its index: at most one series a validator of the network.

use consensus::evidence::EvidenceKind;
use prometheus::{Error, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec};
use transport::LinkStatus;

use super::registrar::Registrar;
use crate::witness::Witness;

const KINDS: [EvidenceKind; 4] = [
    EvidenceKind::TwoNotarize,
    EvidenceKind::TwoFinalize,
    EvidenceKind::FinalizeAndNotarize,
    EvidenceKind::FinalizeAndNullify,
];

/// What there is for each validator.
pub(crate) struct PeerMetrics {
    /// Whether the link is up.
    up: IntGaugeVec,
    /// Smoothed round trip.
    rtt: GaugeVec,
    sent_bytes: IntCounterVec,
    received_bytes: IntCounterVec,
    queued_bytes: IntGaugeVec,
    dropped_frames: IntCounterVec,
    /// Links that are up, by negotiated key-exchange group.
    groups: IntGaugeVec,
    verification_rate: GaugeVec,
    verification_failures: IntCounterVec,
    votes_late: IntCounterVec,
    votes_missing: IntCounterVec,
    last_vote_view: IntGaugeVec,
    /// Provable faults seen since the start, by validator and kind.
    pub(crate) faults: IntCounterVec,
}

/// Brings a counter up to a total that is kept elsewhere.
fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

impl PeerMetrics {
    pub(super) fn new(r: &Registrar) -> Result<Self, Error> {
        let label = "validator";
        Ok(Self {
            up: r.ints("agent_mesh_peer_up", "1 while the link to this validator is up.", label)?,
            rtt: r.gauges(
                "agent_mesh_peer_round_trip_seconds",
                "Smoothed round trip on the link; absent while unmeasured.",
                label,
            )?,
            sent_bytes: r.counters("agent_mesh_peer_sent_bytes_total", "Bytes written to the link.", &[label])?,
            received_bytes: r.counters(
                "agent_mesh_peer_received_bytes_total",
                "Bytes read from the link.",
                &[label],
            )?,
            queued_bytes: r.ints("agent_mesh_peer_queued_bytes", "Bytes that wait for the link.", label)?,
            dropped_frames: r.counters(
                "agent_mesh_peer_dropped_frames_total",
                "Frames for this validator dropped from its queue, stale or for lack of room.",
                &[label],
            )?,
            groups: r.ints(
                "agent_mesh_links",
                "Validator links that are up, by negotiated key-exchange group.",
                "group",
            )?,
            verification_rate: r.gauges(
                "agent_mesh_peer_verification_rate",
                "Share of this validator's messages that verified in the last 5 minutes; 1 without messages.",
                label,
            )?,
            verification_failures: r.counters(
                "agent_mesh_verification_failures_total",
                "Messages of this validator that did not verify.",
                &[label],
            )?,
            votes_late: r.counters(
                "agent_mesh_votes_late_total",
                "Vote messages of this validator that came after all they speak of was final here.",
                &[label],
            )?,
            votes_missing: r.counters(
                "agent_mesh_votes_missing_total",
                "Final blocks without any vote of this validator by the time 16 further blocks were final.",
                &[label],
            )?,
            last_vote_view: r.ints(
                "agent_mesh_last_vote_view",
                "Highest view of which a vote of this validator was seen since the start.",
                label,
            )?,
            faults: r.counters(
                "agent_mesh_byzantine_faults_total",
                "Provable faults of this validator that were seen since the start.",
                &[label, "kind"],
            )?,
        })
    }

    /// The series of every validator, before anything has happened.
    pub(crate) fn exist(&self, n: usize, me: u16) {
        for index in 0..n as u16 {
            let label = index.to_string();
            for counters in [&self.votes_late, &self.votes_missing] {
                counters.with_label_values(&[&label]).inc_by(0);
            }
            for kind in KINDS {
                self.faults.with_label_values(&[label.as_str(), kind.name()]).inc_by(0);
            }
            if index != me {
                self.verification_failures.with_label_values(&[&label]).inc_by(0);
            }
        }
    }

    /// Looks at links and votes.
    pub(crate) fn refresh(&self, links: &[LinkStatus], witness: &Witness) {
        self.groups.reset();
        for link in links {
            let label = link.peer.to_string();
            self.up.with_label_values(&[&label]).set(i64::from(link.connected));
            match link.rtt_us {
                Some(us) => self.rtt.with_label_values(&[&label]).set(us as f64 / 1e6),
                // A series that does not exist yet need not be removed.
                None => drop(self.rtt.remove_label_values(&[&label])),
            }
            raise(&self.sent_bytes.with_label_values(&[&label]), link.bytes_sent);
            raise(&self.received_bytes.with_label_values(&[&label]), link.bytes_received);
            self.queued_bytes.with_label_values(&[&label]).set(link.queued_bytes as i64);
            raise(&self.dropped_frames.with_label_values(&[&label]), link.dropped_frames);
            if let Some(group) = &link.group {
                self.groups.with_label_values(&[group]).inc();
            }
            self.verification_rate.with_label_values(&[&label]).set(witness.verification_rate(link.peer));
        }
        for (index, seen) in witness.seen().iter().enumerate() {
            let label = index.to_string();
            raise(&self.votes_late.with_label_values(&[&label]), seen.late);
            raise(&self.votes_missing.with_label_values(&[&label]), seen.missing);
            if let Some(last) = seen.last_vote {
                self.last_vote_view.with_label_values(&[&label]).set(last.view as i64);
            }
            if seen.failed > 0 {
                raise(&self.verification_failures.with_label_values(&[&label]), seen.failed);
            }
        }
    }
}
