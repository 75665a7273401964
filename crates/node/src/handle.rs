//! The node as its callers use it: submit, wait for results, read blocks, ask for health.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use consensus::Decode;
use consensus::body::Proposal;
use consensus::bounds::MAX_PRIORITY;
use consensus::evidence::Evidence;
use consensus::genesis::Genesis;
use consensus::records::{RecordError, RecordReader, Table};
use consensus::types::{Height, Timestamp, ValidatorIndex};
use crypto::Digest;
use engine::records::StoreRecords;
use engine::serve::{self, Outcome, ProvenBlock, StoredBlock};
use engine::{Admission, Refusal};
use serde_json::json;
use tokio::sync::{broadcast, oneshot};
use transport::Links;

use crate::clock::system_now;
use crate::config::Config;
use crate::core::{CoreInput, CoreSender, Known};
use crate::hub::{FinalBlock, Hub, Settled};
use crate::views::{
    BlockView, EvidenceView, HealthView, QuorumView, ResultView, State, StatusView, ValidatorView, ValueView,
};

/// A value to be ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProposalRequest {
    /// Opaque bytes.
    pub value: Bytes,
    /// 0 to 9; 4 if absent.
    pub priority: Option<u8>,
    /// Milliseconds from now to the deadline; `consensus.timeout_ms` if absent. Ignored when `deadline_us` is given.
    pub timeout_ms: Option<u64>,
    /// The deadline itself, microseconds since the Unix epoch: fix it, and the nonce, to send one proposal to several nodes.
    pub deadline_us: Option<u64>,
    /// Makes equal values different proposals; random if absent.
    pub nonce: Option<u64>,
}

/// A proposal that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub id: Digest,
    /// Its deadline.
    pub deadline: Timestamp,
    /// Whether it was known before.
    pub admission: Admission,
}

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The proposal is not taken.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A field is out of range.
    #[error("{0}")]
    Invalid(String),
    /// Too many clients wait for results.
    #[error("too many clients wait for results here; ask again without wait_ms")]
    TooManyWaiters,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] RecordError),
    /// The node is stopping or has stopped.
    #[error("the node has stopped")]
    Stopped,
}

pub(crate) struct Inner {
    pub(crate) genesis: Genesis,
    pub(crate) chain_id: Digest,
    pub(crate) me: ValidatorIndex,
    pub(crate) config: Config,
    pub(crate) core: CoreSender,
    pub(crate) records: Arc<StoreRecords>,
    pub(crate) links: Links,
    pub(crate) hub: Arc<Hub>,
    pub(crate) started: Timestamp,
    pub(crate) cache: Mutex<VecDeque<Arc<ProvenBlock>>>,
}

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle(pub(crate) Arc<Inner>);

/// Blocks kept decoded for results that are asked for in a row.
const CACHED_BLOCKS: usize = 4;
/// How long after the last progress a node that expects some counts as stalled, at least.
const STALL_US: u64 = 10_000_000;

impl NodeHandle {
    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    /// The chain id.
    pub fn chain_id(&self) -> Digest {
        self.0.chain_id
    }

    /// The effective configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Why no proposal can be taken right now, if none can: known without looking at any.
    pub(crate) fn overload(&self) -> Option<Refusal> {
        let status = self.0.hub.status();
        let waited_us = status.oldest_own.map_or(0, |arrived| system_now().since_us(arrived));
        engine::mempool::is_overloaded(status.own_len, waited_us)
            .then_some(Refusal::Overloaded { waited_ms: waited_us / 1_000 })
    }

    /// Takes proposals, one outcome each, in order. Returns when what was taken is durable here.
    pub async fn submit(&self, requests: Vec<ProposalRequest>) -> Result<Vec<Result<Submitted, NodeError>>, NodeError> {
        let arrived = system_now();
        let prepared: Vec<Result<(Digest, Arc<Proposal>), NodeError>> =
            requests.into_iter().map(|request| self.prepare(arrived, request)).collect();
        let good: Vec<(Digest, Arc<Proposal>)> =
            prepared.iter().filter_map(|one| one.as_ref().ok()).map(|(id, p)| (*id, Arc::clone(p))).collect();
        let mut outcomes = Vec::new();
        if !good.is_empty() {
            let permit = self.0.core.permit().await.ok_or(NodeError::Stopped)?;
            let (reply, answer) = oneshot::channel();
            let input = CoreInput::Submit { proposals: good, reply, _permit: permit };
            if !self.0.core.urgent(input) {
                return Err(NodeError::Stopped);
            }
            outcomes = answer.await.map_err(|_| NodeError::Stopped)?;
        }
        let admitted = system_now();
        let mut outcomes = outcomes.into_iter();
        let mut results = Vec::with_capacity(prepared.len());
        for one in prepared {
            results.push(match one {
                Err(error) => Err(error),
                Ok((id, proposal)) => match outcomes.next() {
                    Some(Ok(admission)) => {
                        if admission == Admission::Admitted {
                            self.0.hub.admitted(id, arrived, admitted);
                        }
                        Ok(Submitted { id, deadline: proposal.deadline, admission })
                    }
                    Some(Err(refusal)) => Err(NodeError::Refused(refusal)),
                    None => Err(NodeError::Stopped),
                },
            });
        }
        Ok(results)
    }

    fn prepare(&self, now: Timestamp, request: ProposalRequest) -> Result<(Digest, Arc<Proposal>), NodeError> {
        let limits = &self.0.genesis.config.limits;
        if request.value.len() > limits.max_value_bytes as usize {
            let (found, bound) = (request.value.len(), limits.max_value_bytes);
            return Err(NodeError::Refused(Refusal::TooLarge { found, bound }));
        }
        let priority = request.priority.unwrap_or(4);
        if priority > MAX_PRIORITY {
            return Err(NodeError::Invalid(format!("priority is {priority}; use 0 (last) to {MAX_PRIORITY} (first)")));
        }
        let deadline = match request.deadline_us {
            Some(deadline) if deadline > consensus::bounds::MAX_NUMBER => {
                return Err(NodeError::Invalid(
                    "deadline is not a time in microseconds since the Unix epoch".to_owned(),
                ));
            }
            Some(deadline) => Timestamp::new(deadline),
            None => {
                let timeout_ms = request.timeout_ms.unwrap_or_else(|| self.0.config.consensus.timeout_ms);
                if timeout_ms == 0 || timeout_ms > limits.max_timeout_ms {
                    let most = limits.max_timeout_ms;
                    return Err(NodeError::Invalid(format!(
                        "timeout_ms is {timeout_ms}; use 1 to {most} (max_timeout_ms)"
                    )));
                }
                now.after_ms(timeout_ms)
            }
        };
        let nonce = match request.nonce {
            Some(nonce) => nonce,
            None => crypto::random::u64().map_err(|error| NodeError::Invalid(error.to_string()))?,
        };
        let proposal = Proposal { deadline, priority, nonce, value: request.value };
        Ok((proposal.id(&self.0.chain_id), Arc::new(proposal)))
    }

    /// The state of a proposal, after waiting for at most `wait` while it is pending; `None` if it is unknown here.
    pub async fn result(&self, id: Digest, wait: Duration) -> Result<Option<ResultView>, NodeError> {
        let deadline = tokio::time::Instant::now() + wait;
        let waiting =
            if wait.is_zero() { None } else { Some(Waiting::new(&self.0.hub, id).ok_or(NodeError::TooManyWaiters)?) };
        if let Some(result) = self.settled(id)? {
            return Ok(Some(result));
        }
        let (reply, known) = oneshot::channel();
        if !self.0.core.urgent(CoreInput::Lookup { id, reply }) {
            return Err(NodeError::Stopped);
        }
        if known.await.map_err(|_| NodeError::Stopped)? == Known::Unknown {
            // It may have been settled between the two looks.
            return self.settled(id);
        }
        if let Some(mut waiting) = waiting {
            match tokio::time::timeout_at(deadline, &mut waiting.settled).await {
                Ok(Ok(Settled::Final | Settled::Expired)) => {
                    if let Some(result) = self.settled(id)? {
                        return Ok(Some(result));
                    }
                }
                Ok(Err(_)) => return Err(NodeError::Stopped),
                Err(_) => {}
            }
        }
        Ok(Some(ResultView::without_block(id.to_string(), State::Pending)))
    }

    /// The result of a settled proposal, from the store.
    fn settled(&self, id: Digest) -> Result<Option<ResultView>, NodeError> {
        match serve::outcome(self.0.records.as_ref(), &id)? {
            None => Ok(None),
            Some(Outcome::Expired) => Ok(Some(ResultView::without_block(id.to_string(), State::Expired))),
            Some(Outcome::Final(height, _)) if height.get() > self.0.hub.published() => Ok(None),
            Some(Outcome::Final(height, index)) => self.final_result(height, index).map(Some),
        }
    }

    fn final_result(&self, height: Height, index: u32) -> Result<ResultView, NodeError> {
        let missing = || RecordError::damaged(Table::Finals, format!("height {height} is indexed but missing"));
        let block = self.proven_block(height)?.ok_or_else(missing)?;
        let proof = block.value_proof(index).ok_or_else(missing)?;
        // The node's own store is trusted here; whoever receives the proof verifies it again.
        let proven = proof.describe(&self.0.genesis.config).map_err(|error| {
            NodeError::Store(RecordError::damaged(Table::Finals, format!("the proof of height {height}: {error}")))
        })?;
        let phases = self.0.hub.phases(&proven.id);
        Ok(ResultView::proven(&proven, &self.0.genesis, &proof, phases))
    }

    /// A final block, read once for all the results in it that are asked for in a row.
    fn proven_block(&self, height: Height) -> Result<Option<Arc<ProvenBlock>>, NodeError> {
        let cache = || self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache().iter().find(|held| held.block.record.height == height) {
            return Ok(Some(Arc::clone(found)));
        }
        let Some(block) = serve::proven_block(self.0.records.as_ref(), &self.0.chain_id, height)? else {
            return Ok(None);
        };
        let block = Arc::new(block);
        let mut held = cache();
        if held.len() >= CACHED_BLOCKS {
            held.pop_front();
        }
        held.push_back(Arc::clone(&block));
        Ok(Some(block))
    }

    /// Final blocks as they come. A receiver that lags reads the missing ones with [`Self::block`].
    pub fn subscribe(&self) -> broadcast::Receiver<FinalBlock> {
        self.0.hub.subscribe()
    }

    /// Height of the last block that is final and applied here.
    pub fn height(&self) -> u64 {
        self.0.hub.published()
    }

    /// A final block with its values; `None` if the height is not final here yet.
    pub fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError> {
        self.block_view(height, true)
    }

    /// Up to `limit` final blocks from `from` on, without values.
    pub fn blocks(&self, from: u64, limit: usize) -> Result<Vec<BlockView>, NodeError> {
        let mut views = Vec::new();
        for height in from.max(1)..=self.height() {
            if views.len() >= limit {
                break;
            }
            views.extend(self.block_view(height, false)?);
        }
        Ok(views)
    }

    pub(crate) fn block_view(&self, height: u64, with_values: bool) -> Result<Option<BlockView>, NodeError> {
        if height == 0 || height > self.height() {
            return Ok(None);
        }
        let stored = serve::block(self.0.records.as_ref(), &self.0.chain_id, Height::new(height))?;
        let Some(stored) = stored else { return Ok(None) };
        let (descendants, certificate) = serve::finality(self.0.records.as_ref(), &stored.record)?;
        let header = stored.header.header();
        Ok(Some(BlockView {
            height,
            hash: stored.record.hash.to_string(),
            parent_hash: header.parent_hash.to_string(),
            epoch: header.epoch.get(),
            view: header.view.get(),
            leader: self.name(header.leader),
            time_us: header.time.get(),
            threshold: header.threshold,
            path: certificate.path.name().to_owned(),
            finalized_by_height: descendants.last().map_or(height, |last| last.height.get()),
            count: stored.body.ids().len(),
            values: with_values.then(|| values_of(&stored)),
        }))
    }

    fn name(&self, index: ValidatorIndex) -> String {
        self.0.genesis.config.member(index).map(|member| member.name.clone()).unwrap_or_default()
    }

    /// Where this node stands.
    pub fn status(&self) -> StatusView {
        let status = self.0.hub.status();
        let links = self.0.links.status();
        let config = &self.0.genesis.config;
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: self.0.genesis.network.clone(),
            chain_id: self.0.chain_id.to_string(),
            name: self.name(self.0.me),
            index: self.0.me.get(),
            level: config.level.dimension(),
            epoch: config.epoch.get(),
            view: status.view.get(),
            height: self.height(),
            block_hash: status.last_committed.hash.to_string(),
            block_time_us: status.last_committed.time.get(),
            since_final_us: self.0.hub.last_final_at().map(|at| system_now().since_us(at)),
            quorum: QuorumView::of(&config.quorum),
            mempool: status.mempool_len,
            own_proposals: status.own_len,
            peers_connected: links.iter().filter(|link| link.connected).count(),
            peers: links.len(),
            view_timer_us: status.view_timer_us,
            accused: self.0.hub.accused().len(),
        }
    }

    /// All validators as this node sees them.
    pub fn validators(&self) -> Vec<ValidatorView> {
        let links = self.0.links.status();
        let accused = self.0.hub.accused();
        let members = self.0.genesis.config.members.iter().enumerate();
        members
            .map(|(at, member)| {
                let index = at as u16;
                let link = links.iter().find(|link| link.peer == index);
                ValidatorView {
                    index,
                    name: member.name.clone(),
                    address: member.address.clone(),
                    session_key: member.session_key.to_string(),
                    this_node: index == self.0.me.get(),
                    connected: link.is_some_and(|link| link.connected),
                    group: link.and_then(|link| link.group.clone()),
                    rtt_us: link.and_then(|link| link.rtt_us),
                    bytes_sent: link.map_or(0, |link| link.bytes_sent),
                    bytes_received: link.map_or(0, |link| link.bytes_received),
                    dropped_frames: link.map_or(0, |link| link.dropped_frames),
                    accused: accused.contains(&index),
                }
            })
            .collect()
    }

    /// All evidence held.
    pub fn evidence(&self) -> Result<Vec<EvidenceView>, NodeError> {
        let records = self.0.records.scan(Table::Evidence, &[], None, consensus::bounds::MAX_EVIDENCE)?;
        let mut views = Vec::with_capacity(records.len());
        for (_, bytes) in records {
            let evidence: Evidence =
                Evidence::from_bytes(&bytes).map_err(|error| RecordError::damaged(Table::Evidence, error))?;
            views.push(EvidenceView {
                accused: evidence.accused().get(),
                name: self.name(evidence.accused()),
                kind: evidence.kind().name().to_owned(),
                view: evidence.view().get(),
                evidence_b64: BASE64.encode(&bytes),
            });
        }
        Ok(views)
    }

    /// Whether the node makes progress, or is idle and could.
    pub fn health_consensus(&self) -> HealthView {
        let status = self.0.hub.status();
        let (view, quorum) = (self.status(), self.0.genesis.config.quorum);
        let now = system_now();
        let reachable = view.peers_connected as u32 + 1;
        let last = self.0.hub.last_final_at().unwrap_or(self.0.started);
        let quiet_us = now.since_us(last);
        let patience = STALL_US.max(4 * status.view_timer_us) + u64::from(self.0.config.network.heartbeat_ms) * 1_000;
        let stopped = self.0.hub.end().borrow().is_some();
        let stalled = quiet_us > patience;
        let reason = if stopped {
            "the node has stopped".to_owned()
        } else if stalled && reachable < quorum.q_min() {
            format!(
                "nothing has become final for {} s: only {reachable} of {} validators are reachable from here, {} are needed",
                quiet_us / 1_000_000,
                quorum.n(),
                quorum.q_min()
            )
        } else if stalled {
            format!("nothing has become final for {} s", quiet_us / 1_000_000)
        } else {
            "making progress".to_owned()
        };
        HealthView {
            healthy: !stopped && !stalled,
            degraded: !self.0.genesis.config.level.is_post_quantum(),
            reason,
            details: json!({
                "height": view.height, "view": view.view, "since_final_us": quiet_us, "armed": status.armed,
                "reachable": reachable, "n": quorum.n(), "q_min": quorum.q_min(), "q_fast": quorum.q_fast(),
                "faults_tolerated": {"byzantine": quorum.f(), "crashed": quorum.c()}, "accused": view.accused,
            }),
        }
    }

    /// Whether the network's cryptography is what its level promises.
    pub fn health_quantum(&self) -> HealthView {
        let level = self.0.genesis.config.level;
        let rate = self.0.hub.verification_rate();
        let groups: std::collections::BTreeMap<String, Option<String>> =
            self.0.links.status().into_iter().map(|link| (link.name, link.group)).collect();
        let degraded = !level.is_post_quantum();
        let reason = if degraded {
            "QUANTUM_SECURITY=false: classical signatures and key exchange, for comparison only".to_owned()
        } else {
            format!("level {}: post-quantum votes and links", level.dimension())
        };
        HealthView {
            healthy: true,
            degraded,
            reason,
            details: json!({
                "level": level.dimension(),
                "policy": self.0.genesis.config.policy.name(),
                "signatures": level.signature_algorithm().name(),
                "link_signatures": level.link_signature_algorithm().name(),
                "link_groups": groups,
                "verification_rate": rate,
                "rotation": "not in this version: session keys are those of the genesis",
            }),
        }
    }

    /// What the optimizer does.
    pub fn health_ai(&self) -> HealthView {
        let ai = &self.0.config.ai_optimization;
        HealthView {
            healthy: true,
            degraded: false,
            reason: "the rule policy sets the threshold of this node's own blocks; learning is not in this version"
                .to_owned(),
            details: json!({"mode": ai.mode.name(), "policy": ai.policy.name()}),
        }
    }

    /// All metrics in Prometheus' text format 0.0.4.
    pub fn metrics_text(&self) -> String {
        let hub = &self.0.hub;
        hub.metrics.verification_rate.set(hub.verification_rate());
        let connected = self.0.links.status().iter().filter(|link| link.connected).count();
        hub.metrics.peers_connected.set(connected as i64);
        hub.metrics.text()
    }
}

/// A place among the waiters, given back however the wait ends: also when its client goes away.
struct Waiting {
    hub: Arc<Hub>,
    id: Digest,
    settled: oneshot::Receiver<Settled>,
}

impl Waiting {
    fn new(hub: &Arc<Hub>, id: Digest) -> Option<Self> {
        Some(Self { settled: hub.wait(id)?, hub: Arc::clone(hub), id })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.settled.close();
        self.hub.forget(&self.id);
    }
}

fn values_of(stored: &StoredBlock) -> Vec<ValueView> {
    let pairs = stored.body.ids().iter().zip(stored.body.proposals());
    pairs
        .map(|(id, proposal)| {
            let (value, value_b64) = match std::str::from_utf8(&proposal.value) {
                Ok(text) => (Some(text.to_owned()), None),
                Err(_) => (None, Some(BASE64.encode(&proposal.value))),
            };
            ValueView { id: id.to_string(), value, value_b64 }
        })
        .collect()
}
