//! Metrics, under the names that operators rely on (docs/metrics.md).

mod ai;
mod peers;
mod process;
mod registrar;

use prometheus::{
    Encoder, Error, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

pub(crate) use ai::AiMetrics;
pub(crate) use peers::PeerMetrics;
use process::ProcessMetrics;
use registrar::{Registrar, buckets};

/// The kinds of messages, as labels.
const KINDS: [&str; 7] = ["proposal", "vote", "status", "answer", "final_chain", "hint", "forward"];
/// The reasons for which a proposal is refused, as labels.
const REFUSALS: [&str; 7] =
    ["busy", "overloaded", "memory_full", "expired", "far_deadline", "too_large", "application"];
/// The reasons for which a view is entered, as labels.
const VIEW_REASONS: [&str; 3] = ["notarization", "nullification", "finality"];

/// The node's metrics. Labels are bounded: validator indices, and fixed words.
pub(crate) struct Metrics {
    registry: Registry,
    /// From a proposal's arrival here to its finality here, seconds; this node's clients only.
    pub(crate) consensus_duration: Histogram,
    /// The verification rate of the middle peer over the last minutes; 1 before data.
    pub(crate) verification_rate: Gauge,
    /// The optimizer's.
    pub(crate) ai: AiMetrics,
    /// (tolerated − seen faulty) / tolerated; 1 where none is tolerated and none seen.
    pub(crate) bft_ratio: Gauge,
    /// Final blocks by path.
    pub(crate) blocks: IntCounterVec,
    /// Final values.
    pub(crate) values: IntCounter,
    /// Views entered, by reason.
    pub(crate) views: IntCounterVec,
    /// Current height.
    pub(crate) height: IntGauge,
    /// Current view.
    pub(crate) view: IntGauge,
    /// Current epoch.
    pub(crate) epoch: IntGauge,
    /// Seconds since the last block became final here, or since the start.
    pub(crate) since_finality: Gauge,
    /// Seconds from a block's own date to its finality here.
    pub(crate) finality: Histogram,
    /// The view timer, seconds.
    pub(crate) view_timer: Gauge,
    /// Blocks between this node and the network.
    pub(crate) catchup_lag: IntGauge,
    /// Validators of the network, and the faults it tolerates.
    pub(crate) validators: IntGauge,
    pub(crate) byzantine_tolerated: IntGauge,
    pub(crate) crashed_tolerated: IntGauge,
    /// Quorums, in votes, by name.
    pub(crate) quorum: IntGaugeVec,
    /// Byzantine validators tolerated minus validators proven faulty.
    pub(crate) fault_margin: IntGauge,
    /// Validators reachable from here beyond those that progress needs.
    pub(crate) reachable_margin: IntGauge,
    /// Age of the session keys, seconds.
    pub(crate) key_age: Gauge,
    /// Time between two rotations, seconds.
    pub(crate) rotation_interval: IntGauge,
    /// Signatures made.
    pub(crate) signatures: IntCounter,
    /// Time of one signature, seconds, by algorithm.
    pub(crate) sign_seconds: HistogramVec,
    /// Time to verify one vote message, seconds, by algorithm.
    pub(crate) verify_seconds: HistogramVec,
    /// Messages received and verified, by kind.
    pub(crate) received: IntCounterVec,
    /// Bytes of them.
    pub(crate) received_bytes: IntCounterVec,
    /// Messages sent (once per peer), by kind.
    pub(crate) sent: IntCounterVec,
    /// Bytes handed to links, by kind; a broadcast counts once per peer.
    pub(crate) sent_bytes: IntCounterVec,
    /// Messages and votes dropped, by reason.
    pub(crate) dropped: IntCounterVec,
    /// Proposals taken.
    pub(crate) proposals: IntCounter,
    /// Proposals refused, by reason.
    pub(crate) refused: IntCounterVec,
    /// Proposals waiting.
    pub(crate) mempool: IntGauge,
    /// Bytes of them.
    pub(crate) mempool_bytes: IntGauge,
    /// Of these, from this node's clients.
    pub(crate) own_proposals: IntGauge,
    /// Time of one flush to disk, seconds.
    pub(crate) flush: Histogram,
    /// Peers connected.
    pub(crate) peers_connected: IntGauge,
    /// Connections refused.
    pub(crate) connections_refused: IntCounter,
    /// Validators proven faulty.
    pub(crate) accused: IntGauge,
    /// HTTP answers by class of status.
    pub(crate) http_responses: IntCounterVec,
    /// HTTP requests refused before they reached a handler, by reason.
    pub(crate) http_refused: IntCounterVec,
    /// Entries written to the audit log.
    pub(crate) audit_entries: IntCounter,
    /// Events that could not be written to it.
    pub(crate) audit_failures: IntCounter,
    /// What there is for each validator.
    pub(crate) peer: PeerMetrics,
    process: ProcessMetrics,
}

impl Metrics {
    /// All metrics, registered, with their values before data.
    pub(crate) fn new() -> Result<Self, Error> {
        let r = Registrar::default();
        let metrics = Self {
            consensus_duration: r.histogram(
                "consensus_duration_seconds",
                "From a proposal's arrival at this node to its finality here, of this node's clients.",
                buckets(0.000_5, 2.0, 18),
            )?,
            verification_rate: r.gauge(
                "quantum_verification_rate",
                "Share of messages whose signatures verified in the last 5 minutes, of the middle peer; 1 before data.",
            )?,
            ai: AiMetrics::new(&r)?,
            bft_ratio: r.gauge(
                "byzantine_fault_tolerance_ratio",
                "(tolerated - seen faulty) / tolerated Byzantine validators.",
            )?,
            blocks: r.counters("agent_mesh_final_blocks_total", "Final blocks by path.", &["path"])?,
            values: r.counter("agent_mesh_final_values_total", "Final values.")?,
            views: r.counters(
                "agent_mesh_views_entered_total",
                "Views entered, by what ended the one before.",
                &["reason"],
            )?,
            height: r.int("agent_mesh_height", "Height of the last final block.")?,
            view: r.int("agent_mesh_view", "Current view.")?,
            epoch: r.int("agent_mesh_epoch", "Current epoch.")?,
            since_finality: r.gauge(
                "agent_mesh_seconds_since_finality",
                "Time since the last block became final here, or since the start.",
            )?,
            finality: r.histogram(
                "agent_mesh_block_finality_seconds",
                "From the first sight of a block's header here to its finality here.",
                buckets(0.000_5, 2.0, 18),
            )?,
            view_timer: r.gauge("agent_mesh_view_timer_seconds", "The view timer; it grows with views that fail.")?,
            catchup_lag: r.int(
                "agent_mesh_catchup_lag_blocks",
                "Blocks that this node is behind what enough peers say that they have.",
            )?,
            validators: r.int("agent_mesh_validators", "Validators of the network.")?,
            byzantine_tolerated: r.int("agent_mesh_byzantine_tolerated", "Byzantine validators tolerated (f).")?,
            crashed_tolerated: r.int("agent_mesh_crashed_tolerated", "Crashed validators tolerated on top (c).")?,
            quorum: r.ints("agent_mesh_quorum_votes", "Quorums, in votes: q_min, q_max, q_fast.", "quorum")?,
            fault_margin: r.int(
                "agent_mesh_fault_margin",
                "Byzantine validators tolerated minus validators proven faulty: below zero nothing is guaranteed.",
            )?,
            reachable_margin: r.int(
                "agent_mesh_reachable_margin",
                "Validators reachable from here, itself included, beyond the q_min that progress needs.",
            )?,
            key_age: r.gauge("agent_mesh_session_key_age_seconds", "Time since the session keys came into force.")?,
            rotation_interval: r.int(
                "agent_mesh_key_rotation_interval_seconds",
                "Time between two rotations of the session keys, as configured.",
            )?,
            signatures: r.counter("agent_mesh_signatures_total", "Signatures made with the session key.")?,
            sign_seconds: r.histograms(
                "agent_mesh_sign_seconds",
                "Time of one signature with the session key.",
                "algorithm",
                buckets(0.000_02, 2.0, 16),
            )?,
            verify_seconds: r.histograms(
                "agent_mesh_verify_seconds",
                "Time to verify one vote message of a peer, which holds one signature.",
                "algorithm",
                buckets(0.000_01, 2.0, 16),
            )?,
            received: r.counters("agent_mesh_messages_received_total", "Messages received and verified.", &["kind"])?,
            received_bytes: r.counters(
                "agent_mesh_received_bytes_total",
                "Bytes of messages received and verified.",
                &["kind"],
            )?,
            sent: r.counters(
                "agent_mesh_messages_sent_total",
                "Messages sent, a broadcast once per peer.",
                &["kind"],
            )?,
            sent_bytes: r.counters("agent_mesh_sent_bytes_total", "Bytes handed to validator links.", &["kind"])?,
            dropped: r.counters("agent_mesh_dropped_total", "Votes, headers and messages dropped.", &["reason"])?,
            proposals: r.counter("agent_mesh_proposals_total", "Proposals taken from clients.")?,
            refused: r.counters("agent_mesh_proposals_refused_total", "Proposals refused.", &["reason"])?,
            mempool: r.int("agent_mesh_mempool_proposals", "Proposals waiting here.")?,
            mempool_bytes: r.int("agent_mesh_mempool_bytes", "Bytes of the values waiting here.")?,
            own_proposals: r.int("agent_mesh_own_proposals", "Proposals of this node's clients in flight.")?,
            flush: r.histogram(
                "agent_mesh_flush_seconds",
                "Time of one durable write (fsync included).",
                buckets(0.000_02, 2.0, 16),
            )?,
            peers_connected: r.int("agent_mesh_peers_connected", "Validator links that are up.")?,
            connections_refused: r.counter(
                "agent_mesh_connections_refused_total",
                "Connections to the validator port that were refused.",
            )?,
            accused: r.int("agent_mesh_accused_validators", "Validators with evidence against them.")?,
            http_responses: r.counters(
                "agent_mesh_http_responses_total",
                "HTTP answers by class of status.",
                &["class"],
            )?,
            http_refused: r.counters(
                "agent_mesh_http_refused_total",
                "HTTP requests refused before they reached a handler.",
                &["reason"],
            )?,
            audit_entries: r.counter("agent_mesh_audit_entries_total", "Entries written to the audit log.")?,
            audit_failures: r
                .counter("agent_mesh_audit_failures_total", "Events that could not be written to the audit log.")?,
            peer: PeerMetrics::new(&r)?,
            process: ProcessMetrics::new(&r)?,
            registry: r.0,
        };
        metrics.before_data();
        Ok(metrics)
    }

    /// Every series whose labels are known from the start exists from the start: a rate needs a first value.
    fn before_data(&self) {
        self.verification_rate.set(1.0);
        self.bft_ratio.set(1.0);
        let zero = |counters: &IntCounterVec, labels: &[&str]| {
            labels.iter().for_each(|label| counters.with_label_values(&[label]).inc_by(0));
        };
        zero(&self.blocks, &["fast", "slow"]);
        zero(&self.views, &VIEW_REASONS);
        zero(&self.refused, &REFUSALS);
        for counters in [&self.received, &self.received_bytes, &self.sent, &self.sent_bytes] {
            zero(counters, &KINDS);
        }
        zero(&self.http_responses, &["2xx", "3xx", "4xx", "5xx"]);
        zero(&self.http_refused, &["rate", "connections", "unauthorized", "forbidden", "media_type", "tls"]);
    }

    /// Everything in the text format 0.0.4.
    pub(crate) fn text(&self) -> String {
        self.process.refresh();
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}
