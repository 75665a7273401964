//! One node: whether it goes on, how fast, and what it thinks of its peers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consensus::genesis::Genesis;
use serde_json::Value;

use super::report::Report;
use super::scrape::Scrape;
use crate::client::{Client, ClientError};

/// Blocks that are looked at.
pub(super) const BLOCKS: u64 = 100;
/// The guide: warn from here on, seconds …
const SLOW_S: f64 = 2.0;
/// … and its case 1, seconds.
const VERY_SLOW_S: f64 = 5.0;
/// Fewer proposals than these say nothing about the slowest of twenty.
const FEW_PROPOSALS: f64 = 20.0;
/// The guide: warn below, and its case 2.
const VERIFIED: f64 = 0.95;
const HARDLY_VERIFIED: f64 = 0.90;
/// A durable write that takes longer delays every vote, seconds.
const SLOW_WRITE_S: f64 = 0.1;
/// A peer from which no vote came for so long is silent.
const SILENT_US: u64 = 60_000_000;
/// Blocks behind.
const LAG_BLOCKS: f64 = 20.0;
/// Fewer views than these say nothing about how many fail.
const FEW_VIEWS: f64 = 20.0;
const FAILED_VIEWS: f64 = 0.25;
/// Share of a leader's blocks whose threshold differs from its block before, above which the optimizer swings.
const SWINGING: f64 = 0.3;
/// Fewer blocks than these do not show whether it does.
const FEW_BLOCKS: usize = 20;

/// What a node says, all at about the same time.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) url: String,
    pub(crate) status: Value,
    pub(crate) consensus: Value,
    pub(crate) quantum: Value,
    pub(crate) ai: Value,
    pub(crate) validators: Vec<Value>,
    pub(crate) blocks: Vec<Value>,
    pub(crate) metrics: Scrape,
    /// How far its clock is ahead of this machine's, microseconds; `None` if it does not say.
    pub(crate) skew_us: Option<i64>,
    /// How far wrong that can be.
    pub(crate) skew_error_us: i64,
    /// How far clocks may differ in its network, microseconds.
    pub(crate) drift_limit_us: Option<i64>,
}

fn unix_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Snapshot {
    /// Asks a node everything.
    pub(crate) fn take(client: &Client) -> Result<Self, ClientError> {
        // The first question opens the connection; the second one measures.
        client.live()?;
        let (before, begun) = (unix_us(), Instant::now());
        let status = client.value("/v1/status")?;
        let took = begun.elapsed().min(Duration::from_secs(60));
        let half = i64::try_from(took.as_micros() / 2).unwrap_or(i64::MAX);
        let skew_us = status["now_us"].as_i64().map(|now| now - before - half);
        let height = number(&status, "height");
        let from = (height + 1).saturating_sub(BLOCKS).max(1);
        let list = |value: Value| value.as_array().cloned().unwrap_or_default();
        let text = |path: &str| client.look(path).map(|(_, body)| String::from_utf8_lossy(&body).into_owned());
        let drift = Genesis::from_json(&text("/v1/genesis")?)
            .ok()
            .and_then(|genesis| i64::try_from(genesis.config.limits.clock_drift_ms_max).ok()?.checked_mul(1_000));
        Ok(Self {
            url: client.url().to_owned(),
            skew_us,
            skew_error_us: half,
            drift_limit_us: drift,
            consensus: client.health("/health/consensus")?.1,
            quantum: client.health("/health/quantum")?.1,
            ai: client.health("/health/ai")?.1,
            validators: list(client.value("/v1/validators")?),
            blocks: list(client.value(&format!("/v1/blocks?from={from}&limit={BLOCKS}"))?),
            metrics: Scrape::parse(&text("/metrics")?),
            status,
        })
    }

    /// Its name and where it is.
    pub(super) fn subject(&self) -> String {
        format!("{} ({})", self.status["name"].as_str().unwrap_or("?"), self.url)
    }

    fn quorum(&self, key: &str) -> u64 {
        number(&self.status["quorum"], key)
    }

    fn peers(&self) -> impl Iterator<Item = &Value> {
        self.validators.iter().filter(|validator| validator["this_node"] != true)
    }

    fn names(&self, which: impl Fn(&Value) -> bool) -> Vec<String> {
        let chosen = self.peers().filter(|validator| which(validator));
        chosen.map(|validator| validator["name"].as_str().unwrap_or("?").to_owned()).collect()
    }
}

pub(super) fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

/// Everything about one node.
pub(super) fn examine(node: &Snapshot, report: &mut Report) {
    progress(node, report);
    health(node, report);
    links(node, report);
    faults(node, report);
    latency(node, report);
    views(node, report);
    writes(node, report);
    verification(node, report);
    cryptography(node, report);
    peers(node, report);
    optimizer(node, report);
    lag(node, report);
}

fn progress(node: &Snapshot, report: &mut Report) {
    if node.consensus["healthy"] == true {
        return report.passed("finality");
    }
    let gone = node.names(|peer| peer["connected"] != true);
    let next = if gone.is_empty() {
        "all peers are linked, so look at the others: run doctor with --node for each; compare clocks, and the logs for 'link refused'".to_owned()
    } else {
        format!(
            "bring back the validators without a link: {}; see AgentMeshNoFinality in docs/operations.md",
            gone.join(", ")
        )
    };
    report.critical("no-finality", node.subject(), node.consensus["reason"].as_str().unwrap_or("unhealthy"), next);
}

/// What the node itself says of its cryptography and its optimizer.
fn health(node: &Snapshot, report: &mut Report) {
    for (check, view, next) in [
        ("quantum-health", &node.quantum, "see GET /health/quantum and the node's log"),
        ("ai-health", &node.ai, "see GET /health/ai; ai_optimization.mode off runs without it, at the base threshold"),
    ] {
        if view["healthy"] == false {
            report.warning(check, node.subject(), view["reason"].as_str().unwrap_or("unhealthy"), next);
        } else {
            report.passed(check);
        }
    }
}

fn links(node: &Snapshot, report: &mut Report) {
    let gone = node.names(|peer| peer["connected"] != true);
    let (n, q_min) = (node.quorum("n"), node.quorum("q_min"));
    let reachable = n.saturating_sub(gone.len() as u64);
    if gone.is_empty() {
        report.passed("links");
        return;
    }
    let evidence = format!("no link to {}; {reachable} of {n} are reachable, {q_min} are needed", gone.join(", "));
    let next = "see whether they run, and whether their validator port can be reached from here (doctor --home tries); one that is lost \
                for good is replaced, see docs/operations.md";
    if reachable <= q_min {
        report.critical("no-reserve", node.subject(), format!("{evidence}: one more loss stops the network"), next);
    } else {
        report.warning("link-down", node.subject(), evidence, next);
    }
}

fn faults(node: &Snapshot, report: &mut Report) {
    let accused = node.names(|peer| peer["accused"] == true);
    let (f, n) = (node.quorum("f"), node.quorum("n"));
    if accused.is_empty() {
        report.passed("evidence");
    } else {
        let margin = i64::try_from(f).unwrap_or(i64::MAX) - accused.len() as i64;
        let evidence = format!(
            "proof of misbehaviour of {} is stored; {f} faulty are tolerated, so {margin} are left",
            accused.join(", ")
        );
        let next = "keep the evidence (agent-mesh evidence, /v1/evidence), tell the operator, and remove or replace the validator";
        report.critical("evidence", node.subject(), evidence, next);
    }
    if f == 0 && n > 1 {
        let evidence = format!("{n} validators tolerate {} crashed and no Byzantine one", node.quorum("c"));
        let next = "fine among machines of one owner; parties that do not trust one another need four validators or more (agent-mesh quorum)";
        report.info("no-byzantine-tolerance", node.subject(), evidence, next);
    }
}

fn latency(node: &Snapshot, report: &mut Report) {
    let Some((p95, count)) = node.metrics.at_least("consensus_duration_seconds", 0.95) else { return };
    if count < FEW_PROPOSALS || p95 <= SLOW_S {
        return report.passed("latency");
    }
    let evidence =
        format!("1 of 20 of the {count} proposals since the start took longer than {} s; {}", shown(p95), causes(node));
    let next = "mend the cause that stands out; if the network is simply far apart, raise network.delta_ms to its real delay and \
                consensus.timeout_ms above the time seen, and let the optimizer (ai_optimization.mode on) choose the threshold";
    if p95 > VERY_SLOW_S {
        report.critical("high-latency", node.subject(), evidence, next);
    } else {
        report.warning("high-latency", node.subject(), evidence, next);
    }
}

/// What slow consensus is usually made of.
fn causes(node: &Snapshot) -> String {
    let slowest = node.peers().filter_map(|peer| Some((peer["rtt_us"].as_u64()?, peer["name"].as_str()?))).max();
    let rtt = slowest.map_or("no round trip measured".to_owned(), |(us, name)| {
        format!("slowest round trip {} ms (to {name})", us / 1_000)
    });
    let write = node.metrics.at_least("agent_mesh_flush_seconds", 0.99);
    let write =
        write.map_or(String::new(), |(p99, _)| format!(", 1 of 100 durable writes longer than {} s", shown(p99)));
    let failed =
        failed_views(node).map_or(String::new(), |(share, _)| format!(", {:.0} % of the views failed", share * 100.0));
    format!(
        "{rtt}{write}{failed}, {} proposals waiting, view timer {} ms",
        number(&node.status, "mempool"),
        number(&node.status, "view_timer_us") / 1_000
    )
}

fn shown(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// Share of the views that ended without a block, and how many views there were.
fn failed_views(node: &Snapshot) -> Option<(f64, f64)> {
    let views = node.metrics.by("agent_mesh_views_entered_total", "reason");
    let all: f64 = views.iter().map(|(_, count)| count).sum();
    let failed: f64 = views.iter().filter(|(reason, _)| reason == "nullification").map(|(_, count)| count).sum();
    (all >= FEW_VIEWS).then(|| (failed / all, all))
}

fn views(node: &Snapshot, report: &mut Report) {
    match failed_views(node) {
        Some((share, all)) if share > FAILED_VIEWS => report.warning(
            "views-fail",
            node.subject(),
            format!("{:.0} % of {all} views since the start ended without a block", share * 100.0),
            "leaders are down, slow or cut off: look at link-down, silent-validator and clock-skew; if all are up, network.delta_ms is below \
             the real delay",
        ),
        _ => report.passed("views"),
    }
}

fn writes(node: &Snapshot, report: &mut Report) {
    match node.metrics.at_least("agent_mesh_flush_seconds", 0.99) {
        Some((p99, count)) if p99 > SLOW_WRITE_S && count >= FEW_VIEWS => report.warning(
            "slow-disk",
            node.subject(),
            format!("1 of 100 of {count} durable writes took longer than {} s", shown(p99)),
            "every vote waits for a durable write: use a local SSD or NVMe for store_path, not a network file system; look for other load on it",
        ),
        _ => report.passed("disk-speed"),
    }
}

fn verification(node: &Snapshot, report: &mut Report) {
    let rate = node.metrics.get("quantum_verification_rate").unwrap_or(1.0);
    let bad: Vec<String> = node
        .metrics
        .by("agent_mesh_peer_verification_rate", "validator")
        .into_iter()
        .filter(|(_, rate)| *rate < VERIFIED)
        .map(|(index, rate)| {
            let name = node.validators.iter().find(|validator| validator["index"].as_u64() == index.parse().ok());
            let name = name.and_then(|validator| validator["name"].as_str()).unwrap_or("?");
            format!("{name} {:.0} %", rate * 100.0)
        })
        .collect();
    if rate >= VERIFIED && bad.is_empty() {
        return report.passed("verification");
    }
    let evidence = format!("{:.0} % of the middle peer's messages verify; below 95 %: {}", rate * 100.0, none_or(&bad));
    if rate < HARDLY_VERIFIED {
        report.critical(
            "verification-failures",
            node.subject(),
            evidence,
            "most peers' messages fail here, so this node is the odd one: compare chain id, epoch and version with theirs, and check its memory; \
             a genesis of other keys shows as different-networks",
        );
    } else {
        report.warning(
            "verification-failures",
            node.subject(),
            evidence,
            "these peers send what they have not signed with the keys of this epoch: their operators compare version and epoch, and rotate \
             their keys if a key file was damaged",
        );
    }
}

fn none_or(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

fn cryptography(node: &Snapshot, report: &mut Report) {
    if number(&node.status, "level") == 0 {
        report.critical(
            "classical",
            node.subject(),
            "the network was made with QUANTUM_SECURITY=false: Ed25519 and X25519",
            "for comparison only; make a new network without it, this one cannot be raised",
        );
    } else {
        let classical = node.names(|peer| peer["group"].as_str().is_some_and(|group| !group.contains("MLKEM")));
        if classical.is_empty() {
            report.passed("post-quantum");
        } else {
            let evidence = format!("links to {} have negotiated a classical key exchange", classical.join(", "));
            report.critical(
                "classical",
                node.subject(),
                evidence,
                "stop these links and compare the versions of both ends: this must not happen",
            );
        }
    }
    let age = node.metrics.get("agent_mesh_session_key_age_seconds").unwrap_or_default();
    let interval = node.metrics.get("agent_mesh_key_rotation_interval_seconds").unwrap_or_default();
    if interval > 0.0 && age > 2.0 * interval {
        report.warning(
            "old-keys",
            node.subject(),
            format!("the session keys are {age:.0} s old, rotation is due every {interval:.0} s"),
            "see AgentMeshKeyTooOld in docs/operations.md: too few validators have announced new keys, or rotation is not built in",
        );
    } else {
        report.passed("key-age");
    }
}

fn peers(node: &Snapshot, report: &mut Report) {
    let now = number(&node.status, "now_us");
    let silent = node.names(|peer| {
        peer["connected"] == true && peer["last_vote_us"].as_u64().is_some_and(|at| now.saturating_sub(at) > SILENT_US)
    });
    // When nobody votes, silence is not the peer's.
    if silent.is_empty() || node.consensus["healthy"] != true {
        return report.passed("votes");
    }
    report.warning(
        "silent-validator",
        node.subject(),
        format!("linked, but without a vote for more than {} s: {}", SILENT_US / 1_000_000, silent.join(", ")),
        "the process answers and does not take part: its operator looks at its health, its disk and its clock",
    );
}

fn optimizer(node: &Snapshot, report: &mut Report) {
    let accuracy = node.metrics.get("ai_optimization_accuracy");
    let swings = swings(&node.blocks);
    let swinging =
        swings.filter(|(changes, blocks)| *blocks >= FEW_BLOCKS && *changes as f64 > SWINGING * *blocks as f64);
    let inaccurate = accuracy.filter(|accuracy| *accuracy < 0.5);
    if swinging.is_none() && inaccurate.is_none() {
        return report.passed("optimizer");
    }
    let swung = swinging.map(|(changes, blocks)| {
        format!("the threshold changed {changes} times in {blocks} blocks of the same leaders")
    });
    let wrong = inaccurate.map(|accuracy| format!("{:.0} % of its predictions come true", accuracy * 100.0));
    let evidence = [swung, wrong].into_iter().flatten().collect::<Vec<_>>().join("; ");
    report.warning(
        "optimizer-not-converging",
        node.subject(),
        evidence,
        "raise optimizer.learning_history_size and ai_optimization.adaptation_threshold (its hysteresis); if round trips really vary, mend the \
         network first; ai_optimization.mode shadow measures without following the advice",
    );
}

/// How often a leader's threshold differs from its block before, and how many blocks had one before.
fn swings(blocks: &[Value]) -> Option<(usize, usize)> {
    let mut last = std::collections::BTreeMap::new();
    let (mut changes, mut compared) = (0, 0);
    for block in blocks {
        let (leader, threshold) = (block["leader"].as_str()?, block["threshold"].as_u64()?);
        if let Some(before) = last.insert(leader, threshold) {
            compared += 1;
            changes += usize::from(before != threshold);
        }
    }
    Some((changes, compared))
}

fn lag(node: &Snapshot, report: &mut Report) {
    let lag = node.metrics.get("agent_mesh_catchup_lag_blocks").unwrap_or_default();
    if lag <= LAG_BLOCKS {
        return report.passed("catch-up");
    }
    report.warning(
        "lagging",
        node.subject(),
        format!("{lag} blocks behind what its peers have, at height {}", number(&node.status, "height")),
        "it catches up by itself; if the number does not shrink, look at its disk, its CPU and its links (slow-disk, link-down)",
    );
}
