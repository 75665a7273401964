//! What a run has shown, in figures and in JSON.

use std::collections::BTreeMap;

use crypto::HashAlgorithm;
use serde::Serialize;

/// Times in microseconds: how many, their mean and their quantiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean_us: u64,
    /// The least.
    pub min_us: u64,
    /// The median.
    pub p50_us: u64,
    /// The 90th percentile.
    pub p90_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The greatest.
    pub max_us: u64,
}

impl Spread {
    /// The spread of these times.
    pub fn of(times: &[u64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = |per_cent: usize| {
            let place = (sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(place).copied().unwrap_or(0)
        };
        Self {
            count: sorted.len() as u64,
            mean_us: sorted.iter().sum::<u64>().checked_div(sorted.len() as u64).unwrap_or(0),
            min_us: at(0),
            p50_us: at(50),
            p90_us: at(90),
            p99_us: at(99),
            max_us: sorted.last().copied().unwrap_or(0),
        }
    }
}

/// What a network withstands, and whether a scenario stays within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// f: Byzantine validators tolerated.
    pub max_byzantine: u32,
    /// c: crashed validators tolerated beside them.
    pub max_crashed: u32,
    /// Whether the scenario has no more of either; then nothing may be violated.
    pub kept: bool,
}

/// What a run has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Number of validators.
    pub validators: u16,
    /// The seed.
    pub seed: u64,
    /// Violations of invariants; empty in a sound run.
    pub violations: Vec<String>,
    /// Values submitted to honest hosts that were up.
    pub submitted: u64,
    /// Of these, final.
    pub finalized: u64,
    /// Of these, expired: a final block is dated after their deadline.
    pub expired: u64,
    /// Longest time between two heights becoming final anywhere, while submitted values were waiting, in microseconds.
    pub longest_gap_us: u64,
    /// Height of the highest final block.
    pub height: u64,
    /// Height of each host that is up at the end; 0 for one that is down.
    pub heights: Vec<u64>,
    /// Blocks that became final in one round.
    pub fast_blocks: u64,
    /// Blocks that became final in two rounds.
    pub slow_blocks: u64,
    /// Validators accused with proof by an honest validator.
    pub accused: Vec<u16>,
    /// Validators that were Byzantine.
    pub byzantine: Vec<u16>,
    /// Who is provably guilty when everything that was sent to anyone is put together, and of what.
    pub guilty: BTreeMap<u16, String>,
    /// What the network withstands, and whether the scenario stays within it.
    pub bound: Bound,
    /// The most views that a value took to a final block after the faults had ended.
    pub longest_wait_in_views: u64,
    /// Highest view of any honest host.
    pub view: u64,
    /// Highest epoch that any host has entered.
    pub epoch: u64,
    /// Lowest epoch of an honest host that is up at the end.
    pub lowest_epoch: u64,
    /// Session keys that were renewed in all closings together.
    pub rotations: u64,
    /// Views that became no final block.
    pub lost_views: u64,
    /// Median time from submission to finality anywhere, in microseconds.
    pub latency_p50_us: u64,
    /// 99th percentile of it.
    pub latency_p99_us: u64,
    /// From submission to finality anywhere.
    pub latency: Spread,
    /// From submission to finality, durable, at the validator that it was submitted to.
    pub client_latency: Spread,
    /// From the sending of a block to its finality, durable, at its leader.
    pub leader_finality: Spread,
    /// From the sending of a block to its finality, durable, at every honest validator that was up.
    pub finality: Spread,
    /// For each leader, by validator: the mean of `leader_finality` over its blocks; absent where it led none.
    pub finality_by_leader_us: BTreeMap<u16, u64>,
    /// The mean over leaders of the above.
    pub finality_mean_over_leaders_us: u64,
    /// Signatures made by honest hosts.
    pub signatures: u64,
    /// Messages sent, by name; one to all counts once.
    pub messages: BTreeMap<String, u64>,
    /// Bytes put on the wire by honest hosts, by message name, at the signature sizes of the scenario's level.
    pub bytes: BTreeMap<String, u64>,
    /// Their sum.
    pub bytes_total: u64,
    /// Messages that attackers sent and every receiver would refuse, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Virtual time that passed, in microseconds.
    pub virtual_us: u64,
    /// Events simulated.
    pub events: u64,
    /// Hash of everything that happened, in hex: equal for equal runs.
    pub trace_hash: String,
}

/// One hash over the trace hashes of many runs, in hex.
pub fn hash_of_hashes(reports: &[Report]) -> String {
    let mut hasher = HashAlgorithm::Sha256.hasher("agent-mesh/traces/v1");
    reports.iter().for_each(|report| hasher.update(report.trace_hash.as_bytes()));
    hasher.finish().to_string()
}

/// What pictures are drawn of; not part of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Final blocks in the order in which they became final.
    pub blocks: Vec<BlockSample>,
    /// From submission to finality anywhere, in microseconds.
    pub latencies_us: Vec<u64>,
    /// From submission to finality at the validator that it was submitted to.
    pub client_latencies_us: Vec<u64>,
}

/// A final block, as the first honest validator told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSample {
    /// When it was told, in microseconds after the start.
    pub at_us: u64,
    /// How long after it was sent.
    pub took_us: u64,
    /// Final in one round.
    pub fast: bool,
}

impl Report {
    /// Blocks final in one round, in thousandths of all; 0 if there are none.
    pub fn fast_per_mille(&self) -> u64 {
        (self.fast_blocks * 1_000).checked_div(self.fast_blocks + self.slow_blocks).unwrap_or(0)
    }
}
