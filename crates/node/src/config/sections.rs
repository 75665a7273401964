//! Every key of the configuration: type, default, range, unit, meaning.
//!
//! Durations carry their unit in their name; the guide's names without one are seconds.

use super::Fraction;
use super::setting::TextRule;
use consensus::bounds::{MAX_BATCH_SIZE, MAX_BLOCK_BYTES, MAX_VALUE_BYTES};
use consensus::config::SecurityPolicy;
use consensus::params::Ratio;
use crypto::SecurityLevel;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Most validators that a configuration may call faulty: a third of the most validators.
const MAX_FAULTY: u16 = 333;
const ANY: std::ops::RangeInclusive<Fraction> = Fraction::ZERO..=Fraction::ONE;
const POSITIVE: std::ops::RangeInclusive<Fraction> = Fraction::new(1)..=Fraction::ONE;
const NAME: TextRule = TextRule {
    text: "1 to 64 letters, digits, '-', '_' or '.', not starting with a dot",
    check: |text| consensus::config::check_name(text).is_ok(),
};
const FILE_PATH: TextRule = TextRule {
    text: "a path of 1 to 4096 bytes without ..",
    check: |text| (1..=4096).contains(&text.len()) && !text.contains('\0') && text.split('/').all(|part| part != ".."),
};

const fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3])), port)
}

/// A default ratio; the numbers here are in (0, 10000].
fn ratio(ten_thousandths: u32) -> Ratio {
    Ratio::new(ten_thousandths).unwrap_or(Ratio::ONE)
}

section! {
    /// Algorithms and key rotation.
    pub struct QuantumSecurity {
        /// Parameter set of ML-KEM and ML-DSA, the same for the whole network.
        lattice_dimension: SecurityLevel = SecurityLevel::Level768, (), "-";
        /// Accepted so that the guide's file loads, and ignored: the standards fix it (3329 and 8380417).
        modulus: Option<u64> = None, 2..=4_294_967_296, "-";
        /// Policy of the network: standard; high, where rotation cannot be switched off; cnsa, which wants dimension 1024.
        security_level: SecurityPolicy = SecurityPolicy::High, (), "-";
        /// Time between two rotations of the session keys.
        key_rotation_interval: u64 = 3600, 5..=31_536_000, "s";
    }
}

choice! {
    /// What the optimizer may do.
    pub enum AiMode {
        /// Nothing: base threshold, fixed timers.
        Off = "off",
        /// It decides and is measured, but its advice is not followed.
        Shadow = "shadow",
        /// Its advice is followed inside the safe range.
        On = "on",
    }
}

choice! {
    /// Who decides in the optimizer.
    pub enum AiPolicy {
        /// The guide's rule.
        Rule = "rule",
        /// The learner.
        Learned = "learned",
    }
}

section! {
    /// The optimizer's mode, policy and objective.
    pub struct AiOptimization {
        /// Step of the learner towards each new observation.
        learning_rate: Fraction = Fraction::new(100), POSITIVE, "ratio";
        /// Least change of the predicted quality that changes the advice (hysteresis).
        adaptation_threshold: Fraction = Fraction::new(1000), ANY, "ratio";
        /// off, shadow (decide and measure only) or on.
        mode: AiMode = AiMode::On, (), "-";
        /// rule (the guide's thresholds) or learned.
        policy: AiPolicy = AiPolicy::Rule, (), "-";
        sections {
            /// What the learner's objective is made of.
            performance_weights: PerformanceWeights;
        }
    }
}

section! {
    /// Shares of the learner's objective. They are scaled to a sum of 1; not all may be 0.
    pub struct PerformanceWeights {
        /// Share of the time to finality.
        latency: Fraction = Fraction::new(3000), ANY, "ratio";
        /// Share of the final values per second.
        throughput: Fraction = Fraction::new(3000), ANY, "ratio";
        /// Share of CPU time and bytes per final value.
        energy_efficiency: Fraction = Fraction::new(2000), ANY, "ratio";
        /// Share of steadiness: few view changes, little variation.
        network_stability: Fraction = Fraction::new(2000), ANY, "ratio";
    }
}

section! {
    /// Thresholds, faults tolerated, sizes and deadlines. All but `timeout_ms` and `max_proposals` are the same for the
    /// whole network and stand in its genesis.
    pub struct Consensus {
        /// Finality threshold on a middling network, as a share of the validators.
        base_threshold: Ratio = ratio(6700), POSITIVE, "ratio";
        /// Between these the optimizer may set the threshold of a block.
        adaptive_range: [Ratio; 2] = [ratio(6000), ratio(8000)], POSITIVE, "ratio";
        /// Deadline of a proposal that does not bring its own, counted from its arrival.
        timeout_ms: u64 = 30_000, 1..=86_400_000, "ms";
        /// Proposals of this node's clients in flight; further ones are told to try later.
        max_proposals: u32 = 100, 1..=4_000_000, "count";
        /// Byzantine validators to tolerate; by default as many as the number of validators allows.
        max_byzantine: Option<u16> = None, 0..=MAX_FAULTY, "validators";
        /// Crashed validators to tolerate beside the Byzantine ones; by default as many as then fit.
        max_crashed: Option<u16> = None, 0..=MAX_FAULTY, "validators";
        /// Longest value.
        max_value_bytes: u32 = 65_536, 1..=MAX_VALUE_BYTES, "bytes";
        /// Longest block body.
        max_block_bytes: u32 = 4_194_304, 1_024..=MAX_BLOCK_BYTES, "bytes";
        /// Longest time from a block's date to the deadline of a proposal in it.
        max_timeout_ms: u64 = 3_600_000, 1_000..=86_400_000, "ms";
        /// A block dated further ahead of the local clock waits.
        clock_drift_ms_max: u64 = 500, 1..=60_000, "ms";
        /// Whether a block can become final in one round of votes.
        fast_path: bool = true, (), "-";
    }
}

section! {
    /// How the optimizer learns (the guide's `optimizer_config`).
    pub struct Optimizer {
        /// Observations that the learner keeps.
        learning_history_size: u32 = 100, 1..=100_000, "samples";
        /// Time between two decisions.
        adaptation_frequency: u32 = 60, 1..=86_400, "s";
        /// Latest observations that the shown performance is the mean of.
        performance_window: u32 = 10, 1..=10_000, "samples";
        /// Spread of the threshold over the window below which it counts as converged.
        convergence_threshold: Fraction = Fraction::new(500), POSITIVE, "ratio";
    }
}

section! {
    /// What counts as a good network.
    pub struct NetworkAnalysis {
        /// Round trip from which the latency part of the quality is bad.
        latency_threshold_ms: u32 = 100, 1..=60_000, "ms";
        /// Throughput below which the bandwidth part of the quality is bad.
        bandwidth_threshold_mbps: u32 = 10, 1..=1_000_000, "Mbit/s";
        /// Share of lost probes from which the loss part of the quality is bad.
        packet_loss_threshold: Fraction = Fraction::new(500), POSITIVE, "ratio";
        /// Time over which the stability of a link is judged.
        stability_window_seconds: u32 = 300, 1..=86_400, "s";
    }
}

choice! {
    /// To which coming leaders proposals go.
    pub enum LoadBalancing {
        /// To the one expected to finish first.
        Adaptive = "adaptive",
        /// To each in turn.
        RoundRobin = "round_robin",
    }
}

section! {
    /// How blocks are filled (the guide's `consensus_batching`).
    pub struct Batching {
        /// Proposals in one block.
        max_batch_size: u32 = 100, 1..=MAX_BATCH_SIZE, "count";
        /// Longest wait for a fuller block that may be advised; none is advised yet: a leader with work proposes at once.
        batch_timeout_ms: u32 = 50, 0..=60_000, "ms";
        /// Higher priority first, without starving the lower; otherwise first come, first served.
        priority_queuing: bool = true, (), "-";
        /// One level of priority counts like having arrived earlier by this much.
        priority_aging_ms: u32 = 1_000, 1..=3_600_000, "ms";
        /// To which coming leaders proposals go.
        load_balancing: LoadBalancing = LoadBalancing::Adaptive, (), "-";
    }
}

section! {
    /// This validator: its name, its files, its memory.
    pub struct Node {
        /// Name of the validator, which its keys must have; the environment variable NODE_ID wins.
        name: Option<String> = None, NAME, "-";
        /// The genesis file, absolute or relative to the home.
        genesis_path: String = "genesis.json".to_owned(), FILE_PATH, "-";
        /// Directory of the key files, absolute or relative to the home.
        keys_path: String = "keys".to_owned(), FILE_PATH, "-";
        /// Directory of the store, absolute or relative to the home.
        store_path: String = "store".to_owned(), FILE_PATH, "-";
        /// Memory for waiting proposals; at least half of it is for this node's clients.
        mempool_bytes: u64 = 33_554_432, 1_048_576..=68_719_476_736, "bytes";
        /// Proposals that one other validator may have waiting here.
        max_foreign_per_peer: u32 = 10_000, 1..=4_000_000, "count";
    }
}

section! {
    /// Links to the other validators, and timers.
    pub struct Network {
        /// Where the links of other validators arrive.
        listen: SocketAddr = address([0, 0, 0, 0], 9080), (), "-";
        /// Message delay assumed until it is measured.
        delta_ms: u32 = 50, 1..=10_000, "ms";
        /// Least view timer, as a multiple of the message delay; also its start value.
        view_timer_floor_deltas: u32 = 6, 4..=1_000, "deltas";
        /// Greatest view timer, as a multiple of the message delay.
        view_timer_ceiling_deltas: u32 = 64, 4..=100_000, "deltas";
        /// Time after which an idle network makes an empty block.
        heartbeat_ms: u32 = 5_000, 100..=3_600_000, "ms";
        /// How long a second vote is held back for the fast path, until the optimizer knows better.
        hedge_ms: u32 = 10, 0..=10_000, "ms";
        /// Messages queued for one validator, in bytes; when it is full the oldest kinds are dropped and pulled later.
        link_queue_bytes: u64 = 33_554_432, 1_048_576..=4_294_967_296, "bytes";
        /// Bytes of final blocks sent in a second to validators that are behind, all together; 0: no bound. Keeps the network's own speed.
        serve_bytes_per_s: u64 = 33_554_432, 0..=17_179_869_184, "bytes/s";
        /// Messages queued for one validator.
        link_queue_frames: u32 = 8_192, 16..=1_000_000, "count";
    }
}

section! {
    /// The HTTP interface.
    pub struct Api {
        /// Where clients connect.
        listen: SocketAddr = address([127, 0, 0, 1], 8080), (), "-";
        /// Connections at the same time.
        max_connections: u32 = 1_024, 1..=100_000, "count";
        /// Requests from all clients, averaged over a second; further ones get 429.
        max_requests_per_second: u32 = 10_000, 1..=10_000_000, "requests/s";
        /// Longest body of a request with one proposal.
        max_body_bytes: u64 = 1_048_576, 1_024..=67_108_864, "bytes";
        /// Longest body of a request with many proposals (application/x-ndjson).
        max_bulk_body_bytes: u64 = 67_108_864, 1_024..=4_294_967_296, "bytes";
        /// Whether HTTP beyond the local machine may do without TLS and tokens, for networks that are protected otherwise.
        allow_plain_http: bool = false, (), "-";
        /// Whether TLS is spoken on the local machine, too; beyond it always, unless allow_plain_http is set.
        tls: bool = false, (), "-";
        /// Certificate chain for TLS (PEM), absolute or relative to the home; without one, a certificate is made at the first start.
        tls_certificate_path: Option<String> = None, FILE_PATH, "-";
        /// Its private key (PEM).
        tls_key_path: Option<String> = None, FILE_PATH, "-";
        /// Whether clients without hybrid post-quantum key exchange may connect, for old tools.
        tls_allow_classical: bool = false, (), "-";
        /// Whether tokens are wanted on the local machine, too; beyond it always, unless allow_plain_http is set.
        require_tokens: bool = false, (), "-";
        /// The file with the tokens' hashes, absolute or relative to the home.
        tokens_path: String = "api-tokens.json".to_owned(), FILE_PATH, "-";
        /// A further listener with nothing but health, readiness and metrics, plain and without tokens, for a probe network.
        probe_listen: Option<SocketAddr> = None, (), "-";
        /// The listener of the admin verbs, always with tokens; without it there are none.
        admin_listen: Option<SocketAddr> = None, (), "-";
    }
}

section! {
    /// The store.
    pub struct Storage {
        /// Cache of data read from disk.
        cache_bytes: u64 = 4_194_304, 1_048_576..=17_179_869_184, "bytes";
        /// Recent writes held in memory, per table.
        memtable_bytes: u64 = 4_194_304, 1_048_576..=268_435_456, "bytes";
        /// Write-ahead journals on disk.
        journal_bytes: u64 = 134_217_728, 67_108_864..=17_179_869_184, "bytes";
    }
}

choice! {
    /// The least important entries that are logged.
    pub enum LogLevel {
        /// What stops the node.
        Error = "error",
        /// What an operator should look at.
        Warn = "warn",
        /// What the node does.
        Info = "info",
        /// How it does it.
        Debug = "debug",
        /// Every message.
        Trace = "trace",
    }
}

choice! {
    /// The form of log entries.
    pub enum LogFormat {
        /// Lines for people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// The log, on standard error.
    pub struct Log {
        /// The least important entries that are logged.
        level: LogLevel = LogLevel::Info, (), "-";
        /// human (lines for people) or json (one object a line).
        format: LogFormat = LogFormat::Human, (), "-";
    }
}
