//! The node as its callers use it: submit, wait for results, read blocks, ask for health.
//!
//! [`reading`]: blocks, status, validators, evidence. [`health`]: the health endpoints. [`scrape`]: the metrics.

mod health;
mod reading;
mod scrape;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::bounds::MAX_PRIORITY;
use consensus::epoch::EpochContext;
use consensus::genesis::Genesis;
use consensus::proof::Finality;
use consensus::records::{RecordError, Table};
use consensus::types::{Height, Timestamp, ValidatorIndex};
use crypto::Digest;
use engine::records::StoreRecords;
use engine::serve::{self, Outcome, ProvenBlock};
use engine::{Admission, Refusal};
use tokio::sync::{broadcast, oneshot, watch};
use transport::Links;

use crate::advisor::OptimizerHandle;
use crate::clock::system_now;
use crate::config::Config;
use crate::core::{CoreInput, CoreSender, Known};
use crate::hub::{FinalBlock, Hub, Settled};
use crate::keys::SharedKeys;
use crate::views::{ResultView, State};

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

/// Changes what is logged while the node runs.
pub trait LogControl: Send + Sync {
    /// What is logged: a level, or a filter.
    fn filter(&self) -> String;

    /// Logs by this level or filter from now on; the reason, if it cannot be understood.
    fn set_filter(&self, filter: &str) -> Result<(), String>;
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
    /// The present epoch.
    pub(crate) epochs: watch::Receiver<Arc<EpochContext>>,
    /// The network's first epoch.
    pub(crate) first: Arc<EpochContext>,
    pub(crate) keys: SharedKeys,
    pub(crate) optimizer: OptimizerHandle,
    pub(crate) started: Timestamp,
    /// Changes what is logged, where the embedding program lets it.
    pub(crate) log: Option<Arc<dyn LogControl>>,
    /// The directory of the audit log.
    pub(crate) audit_dir: std::path::PathBuf,
    pub(crate) cache: Mutex<VecDeque<Arc<ProvenBlock>>>,
}

impl Inner {
    /// The present epoch.
    pub(crate) fn present(&self) -> EpochContext {
        EpochContext::clone(&self.epochs.borrow())
    }
}

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle(pub(crate) Arc<Inner>);

/// Blocks kept decoded for results that are asked for in a row.
const CACHED_BLOCKS: usize = 4;

impl NodeHandle {
    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &OptimizerHandle {
        &self.0.optimizer
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
        let link = block.links.last().filter(|link| link.closing.epoch == block.context.epoch());
        let proven = proof.describe(&block.context, link.map(AsRef::as_ref)).map_err(|error| {
            NodeError::Store(RecordError::damaged(Table::Finals, format!("the proof of height {height}: {error}")))
        })?;
        let phases = self.0.hub.phases(&proven.id);
        Ok(ResultView::proven(&proven, &proof, phases))
    }

    /// A final block, read once for all the results in it that are asked for in a row.
    fn proven_block(&self, height: Height) -> Result<Option<Arc<ProvenBlock>>, NodeError> {
        let cache = || self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.0.epochs.borrow().epoch();
        // Votes prove blocks of the present epoch only; once it is over, their proof is another.
        cache().retain(|held| held.context.epoch() == present || matches!(held.finality, Finality::Closed(_)));
        if let Some(found) = cache().iter().find(|held| held.block.record.height == height) {
            return Ok(Some(Arc::clone(found)));
        }
        let Some(block) = serve::proven_block(self.0.records.as_ref(), &self.0.first, height)? else {
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
