//! Metrics, under the names that operators rely on (docs/operations.md).

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// The node's metrics. Labels are bounded: validator indices, and fixed words.
pub(crate) struct Metrics {
    registry: Registry,
    /// From a proposal's arrival here to its finality here, seconds; this node's clients only.
    pub(crate) consensus_duration: Histogram,
    /// Share of messages whose signatures verified since the start; 1 before the first.
    pub(crate) verification_rate: Gauge,
    /// Prediction accuracy of the optimizer; NaN until a policy predicts.
    pub(crate) ai_accuracy: Gauge,
    /// (tolerated − seen faulty) / tolerated; 1 where none is tolerated and none seen.
    pub(crate) bft_ratio: Gauge,
    /// Bytes saved against always sending; 0 before data.
    pub(crate) overhead_reduction: Gauge,
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
    /// Signatures made.
    pub(crate) signatures: IntCounter,
    /// Messages received and verified, by kind.
    pub(crate) received: IntCounterVec,
    /// Messages sent (once per broadcast), by kind.
    pub(crate) sent: IntCounterVec,
    /// Bytes handed to links, by kind; a broadcast counts once per peer.
    pub(crate) sent_bytes: IntCounterVec,
    /// Messages and votes dropped, by reason.
    pub(crate) dropped: IntCounterVec,
    /// Messages that did not verify, by peer.
    pub(crate) verification_failures: IntGaugeVec,
    /// Proposals taken.
    pub(crate) proposals: IntCounter,
    /// Proposals refused, by reason.
    pub(crate) refused: IntCounterVec,
    /// Proposals waiting.
    pub(crate) mempool: IntGauge,
    /// Time of one flush to disk, seconds.
    pub(crate) flush: Histogram,
    /// Blocks that peers hold and this node does not.
    pub(crate) catch_up_lag: IntGauge,
    /// Peers connected.
    pub(crate) peers_connected: IntGauge,
    /// Connections refused.
    pub(crate) connections_refused: IntCounter,
    /// Validators proven faulty.
    pub(crate) accused: IntGauge,
}

fn buckets(from: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(from), |last| Some(last * factor)).take(count).collect()
}

impl Metrics {
    /// All metrics, registered, with their values before data.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        macro_rules! add {
            ($metric:expr) => {{
                let metric = $metric?;
                registry.register(Box::new(metric.clone()))?;
                metric
            }};
        }
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
        };
        let counters = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        let metrics = Self {
            consensus_duration: add!(histogram(
                "consensus_duration_seconds",
                "From a proposal's arrival at this node to its finality here.",
                buckets(0.000_5, 2.0, 18)
            )),
            verification_rate: add!(Gauge::new(
                "quantum_verification_rate",
                "Share of received messages whose signatures verified since the start; 1 before the first."
            )),
            ai_accuracy: add!(Gauge::new(
                "ai_optimization_accuracy",
                "Prediction accuracy of the optimizer; NaN while the policy makes no predictions."
            )),
            bft_ratio: add!(Gauge::new(
                "byzantine_fault_tolerance_ratio",
                "(tolerated - seen faulty) / tolerated Byzantine validators."
            )),
            overhead_reduction: add!(Gauge::new(
                "network_overhead_reduction_percentage",
                "Vote signatures saved against a Finalize of every validator for every view, percent."
            )),
            blocks: add!(counters("agent_mesh_final_blocks_total", "Final blocks by path.", "path")),
            values: add!(IntCounter::new("agent_mesh_final_values_total", "Final values.")),
            views: add!(counters(
                "agent_mesh_views_entered_total",
                "Views entered, by what ended the one before.",
                "reason"
            )),
            height: add!(IntGauge::new("agent_mesh_height", "Height of the last final block.")),
            view: add!(IntGauge::new("agent_mesh_view", "Current view.")),
            signatures: add!(IntCounter::new("agent_mesh_signatures_total", "Signatures made with the session key.")),
            received: add!(counters("agent_mesh_messages_received_total", "Messages received and verified.", "kind")),
            sent: add!(counters("agent_mesh_messages_sent_total", "Messages sent, a broadcast once per peer.", "kind")),
            sent_bytes: add!(counters("agent_mesh_sent_bytes_total", "Bytes handed to validator links.", "kind")),
            dropped: add!(counters("agent_mesh_dropped_total", "Votes, headers and messages dropped.", "reason")),
            verification_failures: add!(IntGaugeVec::new(
                Opts::new("agent_mesh_verification_failures", "Messages that did not verify, by peer index."),
                &["validator"]
            )),
            proposals: add!(IntCounter::new("agent_mesh_proposals_total", "Proposals taken from clients.")),
            refused: add!(counters("agent_mesh_proposals_refused_total", "Proposals refused.", "reason")),
            mempool: add!(IntGauge::new("agent_mesh_mempool_proposals", "Proposals waiting here.")),
            flush: add!(histogram(
                "agent_mesh_flush_seconds",
                "Time of one durable write.",
                buckets(0.000_02, 2.0, 16)
            )),
            catch_up_lag: add!(IntGauge::new(
                "agent_mesh_catch_up_lag_blocks",
                "Final blocks that at least one honest peer says it holds and this node lacks; 0 in step with the network."
            )),
            peers_connected: add!(IntGauge::new("agent_mesh_peers_connected", "Validator links that are up.")),
            connections_refused: add!(IntCounter::new(
                "agent_mesh_connections_refused_total",
                "Connections to the validator port that were refused."
            )),
            accused: add!(IntGauge::new("agent_mesh_accused_validators", "Validators with evidence against them.")),
            registry,
        };
        metrics.verification_rate.set(1.0);
        metrics.ai_accuracy.set(f64::NAN);
        metrics.bft_ratio.set(1.0);
        for path in ["fast", "slow"] {
            metrics.blocks.with_label_values(&[path]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Everything in the text format 0.0.4.
    pub(crate) fn text(&self) -> String {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}
