//! What the core tells the rest of the node: final blocks, results, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consensus::config::EpochConfig;
use consensus::evidence::Evidence;
use consensus::replica::{CommittedBlock, SignRequest};
use consensus::types::Timestamp;
use consensus::verify::Rejection;
use crypto::Digest;
use engine::{Admission, Application, AppliedBlock, EngineStatus, Refusal};
use serde_json::json;
use tokio::sync::{broadcast, oneshot, watch};

use crate::audit::Audit;
use crate::clock::system_now;
use crate::core::millis;
use crate::metrics::Metrics;
use crate::views::Phases;
use crate::witness::Witness;

/// Final blocks that a slow subscriber may lag behind before it must read them from the store.
const STREAM_LAG: usize = 1_024;
/// Proposals whose phases are measured at once, and results whose phases are kept.
const TIMED_PROPOSALS: usize = 4_096;
/// Clients waiting for results at once.
pub(crate) const MAX_WAITERS: usize = 65_536;

/// A final block, told to subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Digest,
}

/// How a proposal was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Final,
    Expired,
}

/// How the core ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to.
    Asked,
    /// By itself, for this reason.
    Failed(String),
}

#[derive(Clone, Copy)]
struct Timing {
    arrived: Timestamp,
    admitted: Timestamp,
}

#[derive(Default)]
struct Timings {
    open: BTreeMap<Digest, Timing>,
    done: BTreeMap<Digest, Phases>,
    order: std::collections::VecDeque<Digest>,
}

/// What the core tells the rest of the node.
pub(crate) struct Hub {
    pub(crate) metrics: Metrics,
    /// Key events, for good.
    pub(crate) audit: Audit,
    /// What each validator was seen doing.
    pub(crate) witness: Witness,
    application: Arc<dyn Application>,
    tolerated: u32,
    me: u16,
    status: Mutex<EngineStatus>,
    waiters: Mutex<BTreeMap<Digest, Vec<oneshot::Sender<Settled>>>>,
    timings: Mutex<Timings>,
    accused: Mutex<BTreeSet<u16>>,
    stream: broadcast::Sender<FinalBlock>,
    last_final_at: Mutex<Option<Timestamp>>,
    /// Height of the last block whose record is certainly readable from the store.
    published: AtomicU64,
    end: watch::Sender<Option<End>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(
        metrics: Metrics,
        audit: Audit,
        application: Arc<dyn Application>,
        status: &EngineStatus,
        config: &EpochConfig,
        me: u16,
    ) -> Self {
        let quorum = &config.quorum;
        metrics.peer.exist(config.n(), me);
        Self {
            metrics,
            audit,
            witness: Witness::new(config.n(), quorum.f(), quorum.q_min()),
            application,
            tolerated: quorum.f(),
            me,
            status: Mutex::new(*status),
            waiters: Mutex::new(BTreeMap::new()),
            timings: Mutex::new(Timings::default()),
            accused: Mutex::new(BTreeSet::new()),
            stream: broadcast::channel(STREAM_LAG).0,
            last_final_at: Mutex::new(None),
            published: AtomicU64::new(status.last_committed.height.get()),
            end: watch::channel(None).0,
        }
    }

    pub(crate) fn update(&self, status: &EngineStatus) {
        self.metrics.view.set(status.view.get() as i64);
        self.metrics.mempool.set(status.mempool_len as i64);
        self.metrics.mempool_bytes.set(status.mempool_bytes as i64);
        self.metrics.own_proposals.set(status.own_len as i64);
        self.metrics.view_timer.set(status.view_timer_us as f64 / 1e6);
        *lock(&self.status) = *status;
    }

    /// A new epoch has begun.
    pub(crate) fn entered_epoch(&self) {
        self.witness.entered_epoch();
    }

    pub(crate) fn status(&self) -> EngineStatus {
        *lock(&self.status)
    }

    /// Height of the last block whose record is certainly readable from the store; a reader may see a later one in part.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn last_final_at(&self) -> Option<Timestamp> {
        *lock(&self.last_final_at)
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<FinalBlock> {
        self.stream.subscribe()
    }

    /// A receiver that fires once the proposal is settled; `None` if too many wait already.
    pub(crate) fn wait(&self, id: Digest) -> Option<oneshot::Receiver<Settled>> {
        let mut waiters = lock(&self.waiters);
        if waiters.len() >= MAX_WAITERS {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let list = waiters.entry(id).or_default();
        list.retain(|waiter| !waiter.is_closed());
        list.push(sender);
        Some(receiver)
    }

    /// Proposals that are waited for.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.waiters).len()
    }

    /// Forgets waiters that have gone away.
    pub(crate) fn forget(&self, id: &Digest) {
        let mut waiters = lock(&self.waiters);
        if let Some(list) = waiters.get_mut(id) {
            list.retain(|waiter| !waiter.is_closed());
            if list.is_empty() {
                waiters.remove(id);
            }
        }
    }

    fn settle<'a>(&self, ids: impl Iterator<Item = &'a Digest>, how: Settled) {
        let mut waiters = lock(&self.waiters);
        for id in ids {
            if waiters.is_empty() {
                break;
            }
            for waiter in waiters.remove(id).unwrap_or_default() {
                let _ = waiter.send(how);
            }
        }
    }

    /// A proposal of this node's clients is durable; its phases are measured if there is room.
    pub(crate) fn admitted(&self, id: Digest, arrived: Timestamp, admitted: Timestamp) {
        let mut timings = lock(&self.timings);
        if timings.open.len() < TIMED_PROPOSALS && !timings.done.contains_key(&id) {
            timings.open.insert(id, Timing { arrived, admitted });
        }
    }

    pub(crate) fn phases(&self, id: &Digest) -> Option<Phases> {
        lock(&self.timings).done.get(id).copied()
    }

    pub(crate) fn publish(&self, blocks: &[CommittedBlock], now: Timestamp) {
        *lock(&self.last_final_at) = Some(now);
        for block in blocks {
            let header = block.header.header();
            self.time(block, now);
            self.witness.finalized(header.view.get());
            self.metrics.finality.observe(millis(block.seen_at.min(now), now) / 1_000.0);
            self.published.store(header.height.get(), Ordering::Release);
            self.settle(block.body.ids().iter(), Settled::Final);
            self.metrics.height.set(header.height.get() as i64);
            self.metrics.blocks.with_label_values(&[block.path.name()]).inc();
            self.metrics.values.inc_by(block.body.ids().len() as u64);
            if header.height.get() > self.application.last_applied() {
                self.application.apply(&applied(block));
            }
            let _ = self.stream.send(FinalBlock { height: header.height.get(), hash: block.header.hash() });
        }
    }

    fn time(&self, block: &CommittedBlock, now: Timestamp) {
        let mut timings = lock(&self.timings);
        for id in block.body.ids() {
            if timings.open.is_empty() {
                break;
            }
            let Some(timing) = timings.open.remove(id) else { continue };
            let seen = block.seen_at.max(timing.admitted).min(now);
            let phases = Phases {
                verification: millis(timing.arrived, timing.admitted),
                optimization: millis(timing.admitted, seen),
                consensus: millis(seen, now),
                total: millis(timing.arrived, now),
            };
            self.metrics.consensus_duration.observe(phases.total / 1_000.0);
            timings.done.insert(*id, phases);
            timings.order.push_back(*id);
            if timings.order.len() > TIMED_PROPOSALS
                && let Some(oldest) = timings.order.pop_front()
            {
                timings.done.remove(&oldest);
            }
        }
    }

    pub(crate) fn expired(&self, ids: &[Digest]) {
        let mut timings = lock(&self.timings);
        for id in ids {
            timings.open.remove(id);
        }
        drop(timings);
        self.settle(ids.iter(), Settled::Expired);
    }

    pub(crate) fn accepted(&self, outcomes: &[Result<Admission, Refusal>]) {
        for outcome in outcomes {
            match outcome {
                Ok(_) => self.metrics.proposals.inc(),
                Err(refusal) => self.metrics.refused.with_label_values(&[refusal_name(refusal)]).inc(),
            }
        }
    }

    pub(crate) fn evidence(&self, evidence: &Evidence) {
        let accused = evidence.accused();
        tracing::error!(validator = %accused, view = %evidence.view(), kind = evidence.kind().name(), "a validator broke the rules");
        self.audit.record(
            "evidence",
            json!({"validator": accused.get(), "kind": evidence.kind().name(), "view": evidence.view().get()}),
        );
        let labels = [&accused.to_string(), evidence.kind().name()];
        self.metrics.peer.faults.with_label_values(&labels).inc();
        self.restore_accused([accused.get()]);
    }

    /// Validators against whom evidence is held.
    pub(crate) fn restore_accused(&self, indices: impl IntoIterator<Item = u16>) {
        let mut accused = lock(&self.accused);
        accused.extend(indices);
        self.metrics.accused.set(accused.len() as i64);
        self.metrics.fault_margin.set(i64::from(self.tolerated) - accused.len() as i64);
        let seen = accused.len() as f64;
        let tolerated = f64::from(self.tolerated);
        let ratio =
            if tolerated > 0.0 { ((tolerated - seen) / tolerated).max(-1.0) } else { f64::from(u8::from(seen == 0.0)) };
        self.metrics.bft_ratio.set(ratio);
    }

    pub(crate) fn accused(&self) -> BTreeSet<u16> {
        lock(&self.accused).clone()
    }

    /// This node has signed with its session key.
    pub(crate) fn signed(&self, request: &SignRequest, algorithm: &str, took: Duration) {
        self.metrics.signatures.inc();
        self.metrics.sign_seconds.with_label_values(&[algorithm]).observe(took.as_secs_f64());
        let now = system_now();
        match request {
            SignRequest::Header(header) => self.witness.voted(self.me, [header.view.get()], now),
            SignRequest::Votes(body) => {
                self.witness.voted(self.me, body.statements().iter().map(|s| s.view().get()), now);
            }
        }
    }

    /// A message of this peer with so many bytes verified.
    pub(crate) fn verified(&self, peer: u16, kind: &str, bytes: usize) {
        self.witness.verified(peer, true);
        self.metrics.received.with_label_values(&[kind]).inc();
        self.metrics.received_bytes.with_label_values(&[kind]).inc_by(bytes as u64);
    }

    pub(crate) fn rejected(&self, peer: u16, rejection: &Rejection) {
        tracing::warn!(peer, %rejection, "message refused");
        self.witness.verified(peer, false);
        self.metrics.dropped.with_label_values(&[rejection.name()]).inc();
    }

    pub(crate) fn ended(&self, error: Option<String>) {
        self.end.send_replace(Some(error.map_or(End::Asked, End::Failed)));
        lock(&self.waiters).clear();
    }

    /// Fires when the core has ended.
    pub(crate) fn end(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }
}

/// A refusal's name in metrics and error codes.
pub(crate) const fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Busy(_) => "busy",
        Refusal::Overloaded { .. } => "overloaded",
        Refusal::BytesFull => "memory_full",
        Refusal::Expired => "expired",
        Refusal::FarDeadline(_) => "far_deadline",
        Refusal::TooLarge { .. } => "too_large",
        Refusal::Application(_) => "application",
    }
}

/// A block as the application sees it.
pub(crate) fn applied(block: &CommittedBlock) -> AppliedBlock {
    let values = block.body.ids().iter().zip(block.body.proposals()).map(|(id, p)| (*id, p.value.clone())).collect();
    let header = block.header.header();
    AppliedBlock { height: header.height.get(), time: header.time, hash: block.header.hash(), values }
}
