//! What is measured during a run.

use std::collections::{BTreeMap, BTreeSet};

use consensus::certificate::FinalityPath;
use consensus::config::EpochConfig;
use consensus::header::SignedHeader;
use consensus::replica::CommittedBlock;
use consensus::types::{Timestamp, View};
use consensus::verify::Verifier;
use crypto::Digest;

use super::Simulation;
use crate::host::Host;
use crate::report::{BlockSample, Report, Samples, Spread};
use crate::scenario::START_US;

/// A value under way.
#[derive(Clone, Copy, Debug)]
struct Submission {
    at: Timestamp,
    /// The validator that it was submitted to.
    place: u16,
}

/// What is measured during a run.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) view: View,
    pub(super) signatures: u64,
    open: BTreeMap<Digest, Submission>,
    /// Final somewhere, not yet told where it was submitted.
    telling: BTreeMap<Digest, Submission>,
    expired: BTreeSet<Digest>,
    submitted: u64,
    latencies: Vec<u64>,
    client_latencies: Vec<u64>,
    last_progress: Timestamp,
    longest_gap_us: u64,
    paths: BTreeMap<u64, bool>,
    proposed_at: BTreeMap<Digest, Timestamp>,
    leader_finality: BTreeMap<u16, Vec<u64>>,
    finality: Vec<u64>,
    blocks: Vec<BlockSample>,
    messages: BTreeMap<&'static str, (u64, u64)>,
    refused: BTreeMap<&'static str, u64>,
}

impl Figures {
    pub(super) const fn new(start: Timestamp) -> Self {
        Self {
            view: View::ZERO,
            signatures: 0,
            open: BTreeMap::new(),
            telling: BTreeMap::new(),
            expired: BTreeSet::new(),
            submitted: 0,
            latencies: Vec::new(),
            client_latencies: Vec::new(),
            last_progress: start,
            longest_gap_us: 0,
            paths: BTreeMap::new(),
            proposed_at: BTreeMap::new(),
            leader_finality: BTreeMap::new(),
            finality: Vec::new(),
            blocks: Vec::new(),
            messages: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Whether every value submitted is final or expired.
    pub(super) fn is_settled(&self) -> bool {
        self.open.keys().all(|id| self.expired.contains(id))
    }

    pub(super) fn submitted(&mut self, now: Timestamp, id: Digest, place: u16) {
        if self.open.is_empty() {
            self.last_progress = now; // nothing waited until now
        }
        self.submitted += 1;
        self.open.insert(id, Submission { at: now, place });
    }

    pub(super) fn expired(&mut self, ids: &[Digest]) {
        self.expired.extend(ids.iter().filter(|id| self.open.contains_key(*id)));
    }

    pub(super) fn sent(&mut self, name: &'static str, bytes: u64) {
        let (count, sum) = self.messages.entry(name).or_default();
        *count += 1;
        *sum += bytes;
    }

    pub(super) fn refused(&mut self, name: &'static str) {
        *self.refused.entry(name).or_default() += 1;
    }

    pub(super) fn proposed(&mut self, now: Timestamp, header: &SignedHeader) {
        self.proposed_at.entry(header.hash()).or_insert(now);
    }

    /// An honest validator has told that a block is final.
    pub(super) fn published(&mut self, now: Timestamp, validator: u16, block: &CommittedBlock) {
        let header = block.header.header();
        let height = header.height.get();
        if !self.paths.contains_key(&height) {
            if !self.open.is_empty() {
                self.longest_gap_us = self.longest_gap_us.max(now.since_us(self.last_progress));
            }
            self.last_progress = now;
            let fast = block.path == FinalityPath::Fast;
            self.paths.insert(height, fast);
            if let Some(at) = self.proposed_at.get(&block.header.hash()) {
                let at_us = now.since_us(Timestamp::new(START_US));
                self.blocks.push(BlockSample { at_us, took_us: now.since_us(*at), fast });
            }
        }
        if let Some(at) = self.proposed_at.get(&block.header.hash()) {
            let us = now.since_us(*at);
            self.finality.push(us);
            if header.leader.get() == validator {
                self.leader_finality.entry(validator).or_default().push(us);
            }
        }
        for id in block.body.ids() {
            if let Some(submission) = self.open.remove(id) {
                self.latencies.push(now.since_us(submission.at));
                self.telling.insert(*id, submission);
            }
            if let Some(submission) = self.telling.get(id).copied().filter(|it| it.place == validator) {
                self.telling.remove(id);
                self.client_latencies.push(now.since_us(submission.at));
            }
        }
    }
}

impl Simulation {
    pub(super) fn report(self) -> (Report, Samples) {
        let up = self.hosts.iter().filter(|host| host.honest && host.engine.is_some());
        let lowest_epoch = up.map(|host| host.epoch.get()).min().unwrap_or(0);
        let contexts: Vec<&EpochConfig> = self.verifiers.values().map(Verifier::config).collect();
        let renewed = |pair: &[&EpochConfig]| {
            let members = pair[0].members.iter().zip(&pair[1].members);
            members.filter(|(before, after)| before.session_key != after.session_key).count() as u64
        };
        let rotations = contexts.windows(2).map(renewed).sum();
        let epoch = self.verifiers.keys().next_back().map_or(0, |epoch| epoch.get());
        let figures = self.figures;
        let fast_blocks = figures.paths.values().filter(|fast| **fast).count() as u64;
        let height = figures.paths.keys().next_back().copied().unwrap_or(0);
        let latency = Spread::of(&figures.latencies);
        let by_leader: BTreeMap<u16, u64> =
            figures.leader_finality.iter().map(|(leader, times)| (*leader, Spread::of(times).mean_us)).collect();
        let mean_over_leaders = by_leader.values().sum::<u64>().checked_div(by_leader.len() as u64).unwrap_or(0);
        let leader_finality: Vec<u64> = figures.leader_finality.values().flatten().copied().collect();
        let committed = |host: &Host| host.engine.as_ref().map_or(0, |e| e.status().last_committed.height.get());
        let heights = self.hosts.iter().map(committed).collect();
        let name = |(name, number): (&&'static str, u64)| ((*name).to_owned(), number);
        let report = Report {
            validators: self.scenario.validators,
            seed: self.scenario.seed,
            violations: self.watch.violations().to_vec(),
            submitted: figures.submitted,
            finalized: figures.latencies.len() as u64,
            expired: figures.expired.len() as u64,
            longest_gap_us: figures.longest_gap_us,
            height,
            heights,
            fast_blocks,
            slow_blocks: figures.paths.len() as u64 - fast_blocks,
            accused: self.watch.accused_set(),
            byzantine: self.scenario.byzantine().into_iter().collect(),
            guilty: self.watch.guilty(),
            bound: self.scenario.bound(),
            longest_wait_in_views: self.watch.longest_wait_in_views(),
            view: figures.view.get(),
            epoch,
            lowest_epoch,
            rotations,
            lost_views: figures.view.get().saturating_sub(1).saturating_sub(height),
            latency_p50_us: latency.p50_us,
            latency_p99_us: latency.p99_us,
            latency,
            client_latency: Spread::of(&figures.client_latencies),
            leader_finality: Spread::of(&leader_finality),
            finality: Spread::of(&figures.finality),
            finality_by_leader_us: by_leader,
            finality_mean_over_leaders_us: mean_over_leaders,
            signatures: figures.signatures,
            messages: figures.messages.iter().map(|(at, (count, _))| name((at, *count))).collect(),
            bytes: figures.messages.iter().map(|(at, (_, bytes))| name((at, *bytes))).collect(),
            bytes_total: figures.messages.values().map(|(_, bytes)| bytes).sum(),
            refused: figures.refused.iter().map(|(at, count)| name((at, *count))).collect(),
            virtual_us: self.now.since_us(Timestamp::new(START_US)),
            events: self.queue.planned(),
            trace_hash: self.trace.finish().to_string(),
        };
        let samples = Samples {
            blocks: figures.blocks,
            latencies_us: figures.latencies,
            client_latencies_us: figures.client_latencies,
        };
        (report, samples)
    }
}
