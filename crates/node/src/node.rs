//! A validator process: `initialize`, `start`, `propose`, `get_consensus_result`, `subscribe`, `shutdown`.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use consensus::config::EpochConfig;
use consensus::epoch::EpochContext;
use consensus::records::{RecordError, RecordReader, Table, present};
use consensus::types::Height;
use consensus::verify::Verifier;
use crypto::Digest;
use engine::records::StoreRecords;
use engine::{AcceptAll, Application, AppliedBlock, Engine, EngineConfig, serve};
use serde_json::json;
use storage::{ByteStore, FjallStore, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use transport::{LinkConfig, LinkError, Links, PeerInfo};

use crate::advisor::{self, OptimizerHandle};
use crate::audit::{Audit, AuditThread};
use crate::clock::{Clock, system_now};
use crate::config::{LoadBalancing, Warning};
use crate::core::{Core, CoreInput, CoreSender, ordinal};
use crate::handle::{Inner, LogControl, NodeError, NodeHandle, ProposalRequest};
use crate::home::{Home, HomeError, OpenHome};
use crate::http::{self, Fronts, Listener};
use crate::hub::{End, FinalBlock, Hub};
use crate::keys::{KeysError, NodeKeys};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::rotation::keep_rotating;
use crate::serving::Serving;
use crate::views::ResultView;
use crate::writer::Writer;

/// Room of a frame beside one block: headers, and answers of many votes.
const FRAME_HEADROOM: usize = 4 * 1024 * 1024;

/// A block, the votes of its proof, which may be two per validator, and what an answer carries beside.
fn max_frame_bytes(epoch: &EpochConfig) -> usize {
    let vote = epoch.level.signature_algorithm().signature_len() + 512;
    epoch.limits.max_block_bytes as usize + 2 * epoch.n() * vote + FRAME_HEADROOM
}

/// Why a node does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The home directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's content.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The validator links.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// A port.
    #[error("cannot listen on {address} ({what}): {source}; is another process using the port?")]
    Listen {
        /// What for.
        what: &'static str,
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The session keys, or the identity.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A thread or the metrics.
    #[error("the node cannot start: {0}")]
    System(String),
    /// The node ended by itself.
    #[error("the node has stopped: {0}")]
    Ended(String),
}

/// Looks up an environment variable.
pub type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a caller may choose.
pub struct NodeOptions {
    /// The home directory.
    pub home: PathBuf,
    /// The application; [`AcceptAll`] orders opaque values.
    pub application: Arc<dyn Application>,
    /// Looks up environment variables (`QUANTUM_SECURITY`, `AI_OPTIMIZATION`, `NODE_ID`).
    pub env: Environment,
    /// Where HTTP is served instead of the configuration's `api.listen`.
    pub api_listen: Option<String>,
    /// Where validator links are served instead of the configuration's `network.listen`.
    pub link_listen: Option<String>,
    /// Changes what is logged, for the admin verb; the embedding program owns the log.
    pub log: Option<Arc<dyn LogControl>>,
}

impl NodeOptions {
    /// The node at `home` with the process' environment and no application.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            application: Arc::new(AcceptAll),
            env: Box::new(|name| std::env::var(name).ok()),
            api_listen: None,
            link_listen: None,
            log: None,
        }
    }
}

/// A validator process. Call [`Node::shutdown`] before dropping it; a node that is only dropped goes on until the process ends.
pub struct Node {
    options: NodeOptions,
    open: OpenHome,
    store: Option<FjallStore>,
    running: Option<Running>,
}

struct Running {
    handle: NodeHandle,
    servers: Vec<http::Server>,
    /// The API first.
    listeners: Vec<Listener>,
    audit: AuditThread,
    link_address: std::net::SocketAddr,
    core: JoinHandle<Result<(), String>>,
    writer: JoinHandle<()>,
    advisor: tokio::task::JoinHandle<()>,
    rotator: tokio::task::JoinHandle<()>,
}

impl Node {
    /// Reads the home directory and opens the store; nothing is sent or served yet.
    pub fn initialize(options: NodeOptions) -> Result<Self, StartError> {
        let open = Home::new(&options.home).open(options.env.as_ref())?;
        let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        let network = open.genesis.chain_id().as_bytes().to_vec();
        let store = FjallStore::open(&open.home.store(), &names, open.config.store_options(network))?;
        Ok(Self { options, open, store: Some(store), running: None })
    }

    /// What the operator should know about the configuration.
    pub fn warnings(&self) -> &[Warning] {
        &self.open.warnings
    }

    /// What was read from the home directory.
    pub const fn open_home(&self) -> &OpenHome {
        &self.open
    }

    /// Goes on from the store, links up with the other validators and serves HTTP.
    pub async fn start(&mut self) -> Result<NodeHandle, StartError> {
        let Some(store) = self.store.take() else {
            return Err(StartError::System("it was started before".to_owned()));
        };
        let (genesis, config) = (self.open.genesis.clone(), self.open.config.clone());
        let (chain_id, me, epoch) = (genesis.chain_id(), self.open.index, Arc::clone(&genesis.config));
        let records = Arc::new(StoreRecords(store.reader()));
        let first = Arc::new(EpochContext::of_genesis(&genesis));
        let context = present(records.as_ref(), &first)?;
        let keys = Arc::clone(&self.open.keys);
        keys.check_watermark(records.as_ref(), &context)?;
        if keys.lacks_key(&context) {
            let epoch = context.epoch();
            tracing::error!(
                %epoch,
                "this home does not have the session key that the network names for it: it watches, and votes again from the epoch after \
                 its identity has renewed the key. If this home was restored from a backup, that is why"
            );
        }
        let setup = EngineConfig {
            genesis: Arc::clone(&first),
            name: Some(genesis.config.members[me.as_usize()].name.clone()),
            keys: Arc::<NodeKeys>::clone(&keys),
            settings: config.settings(),
            max_batch_size: config.batching.max_batch_size as usize,
            mempool: config.mempool_limits(),
            adaptive_forwarding: config.batching.load_balancing == LoadBalancing::Adaptive,
            application: Arc::clone(&self.options.application),
        };
        let mut effects = Vec::new();
        let engine = Engine::restore(&setup, records.as_ref(), &mut effects)?;
        replay(self.options.application.as_ref(), records.as_ref(), &chain_id)?;
        let metrics = Metrics::new().map_err(|error| StartError::System(error.to_string()))?;
        let status = engine.status();
        let home = &self.open.home;
        let counters = (metrics.audit_entries.clone(), metrics.audit_failures.clone());
        let (audit, audit_thread) = Audit::open(&home.audit(), counters.0, counters.1)
            .map_err(|error| StartError::System(error.to_string()))?;
        let hub = Arc::new(Hub::new(metrics, audit, Arc::clone(&self.options.application), &status, &epoch, me.get()));
        hub.metrics.height.set(status.last_committed.height.get() as i64);
        let verifier = Arc::new(RwLock::new(Verifier::new(Arc::clone(&context.config), chain_id)));
        let final_view = Arc::new(AtomicU64::new(ordinal(context.epoch(), status.last_final.view.get())));
        let (epochs, present_epoch) = watch::channel(context);
        let (core_sender, inputs) = CoreSender::new();
        let optimizer = OptimizerHandle::new(&config, &epoch, me, self.open.home.root(), core_sender.clone());

        let link_listen = self.options.link_listen.clone().unwrap_or_else(|| config.link_listen(&epoch, me));
        let link_listener = listen(&link_listen, "validator links").await?;
        let link_address = link_listener.local_addr().map_err(|error| StartError::System(error.to_string()))?;
        let member = &epoch.members[me.as_usize()];
        let fronts = Fronts::bind(&config, home, member, self.options.api_listen.as_deref()).await?;
        let listeners = fronts.listeners().map_err(|error| StartError::System(error.to_string()))?;

        let peers = Arc::new(Peers {
            verifier: Arc::clone(&verifier),
            core: core_sender.clone(),
            hub: Arc::clone(&hub),
            optimizer: optimizer.clone(),
            final_view: Arc::clone(&final_view),
            algorithm: epoch.level.signature_algorithm().name(),
        });
        let links = Links::start(self.link_config(&chain_id), link_listener, peers)?;
        let system = |error: std::io::Error| StartError::System(error.to_string());
        let (writer, writer_thread) =
            Writer::start(Box::new(store), core_sender.clone(), Arc::clone(&hub)).map_err(system)?;
        let core = Core {
            engine,
            clock: Clock::new(),
            keys: Arc::clone(&keys),
            verifier,
            epochs,
            serving: Serving::new(
                Arc::clone(&records),
                links.clone(),
                Arc::clone(&hub),
                chain_id,
                epoch.limits.max_block_bytes as usize,
                config.network.serve_bytes_per_s,
            ),
            writer,
            links: links.clone(),
            hub: Arc::clone(&hub),
            optimizer: optimizer.clone(),
            final_view,
        };
        let core_thread = core.start(inputs, effects).map_err(system)?;
        let handle = NodeHandle(Arc::new(Inner {
            genesis,
            chain_id,
            me,
            config,
            core: core_sender.clone(),
            records,
            links,
            hub,
            epochs: present_epoch.clone(),
            first,
            keys: Arc::clone(&keys),
            optimizer,
            started: system_now(),
            log: self.options.log.clone(),
            audit_dir: self.open.home.audit(),
            cache: std::sync::Mutex::default(),
        }));
        let accused: Vec<u16> =
            handle.evidence().map_err(|e| StartError::System(e.to_string()))?.iter().map(|e| e.accused).collect();
        handle.0.hub.restore_accused(accused);
        handle.0.hub.audit.record("start", started(&handle, &listeners));
        let servers = fronts.serve(&handle);
        let advisor = tokio::spawn(advisor::run(handle.clone()));
        let rotator = tokio::spawn(keep_rotating(keys, me.as_usize(), core_sender, present_epoch));
        let running = Running {
            handle: handle.clone(),
            servers,
            listeners,
            audit: audit_thread,
            link_address,
            core: core_thread,
            writer: writer_thread,
            advisor,
            rotator,
        };
        self.running = Some(running);
        Ok(handle)
    }

    fn link_config(&self, chain_id: &Digest) -> LinkConfig {
        let genesis = &self.open.genesis;
        let peers = genesis.config.members.iter().enumerate().map(|(at, member)| PeerInfo {
            index: at as u16,
            name: member.name.clone(),
            address: member.address.clone(),
            link_key: member.link_key.clone(),
        });
        let limits = self.open.config.link_limits(max_frame_bytes(&genesis.config));
        LinkConfig {
            level: genesis.config.level,
            my_index: self.open.index.get(),
            link_key: self.open.link_key.clone(),
            peers: peers.collect(),
            network_id: chain_id.as_bytes().to_vec(),
            configuration_id: genesis.config.hash().as_bytes().to_vec(),
            limits,
        }
    }

    fn running(&self) -> Result<&Running, NodeError> {
        self.running.as_ref().ok_or(NodeError::Stopped)
    }

    /// The running node's handle.
    pub fn handle(&self) -> Result<NodeHandle, NodeError> {
        Ok(self.running()?.handle.clone())
    }

    /// Where HTTP is served.
    pub fn api_address(&self) -> Option<std::net::SocketAddr> {
        self.listeners().first().map(|listener| listener.address)
    }

    /// All HTTP listeners, the API first.
    pub fn listeners(&self) -> &[Listener] {
        self.running.as_ref().map_or(&[], |running| &running.listeners)
    }

    /// Where validator links are served.
    pub fn link_address(&self) -> Option<std::net::SocketAddr> {
        self.running.as_ref().map(|running| running.link_address)
    }

    /// Proposes a value with the configured timeout; returns its id once it is durable here.
    pub async fn propose(&self, value: impl Into<Bytes>) -> Result<Digest, NodeError> {
        let request = ProposalRequest { value: value.into(), ..ProposalRequest::default() };
        let mut outcomes = self.running()?.handle.submit(vec![request]).await?;
        outcomes.pop().ok_or(NodeError::Stopped)?.map(|submitted| submitted.id)
    }

    /// Waits until a proposal is final or expired; `None` if it is unknown here.
    pub async fn get_consensus_result(&self, id: Digest) -> Result<Option<ResultView>, NodeError> {
        loop {
            let result = self.running()?.handle.result(id, Duration::from_secs(60)).await?;
            if result.as_ref().is_none_or(|result| result.state != crate::views::State::Pending) {
                return Ok(result);
            }
        }
    }

    /// Final blocks as they come.
    pub fn subscribe(&self) -> Result<broadcast::Receiver<FinalBlock>, NodeError> {
        Ok(self.running()?.handle.subscribe())
    }

    /// Completes when the node ends by itself, with the reason: a failed write, for instance.
    pub async fn ended(&self) -> StartError {
        let Some(running) = &self.running else { return StartError::Ended("it was not started".to_owned()) };
        let mut end = running.handle.0.hub.end();
        loop {
            if let Some(reason) = end.borrow_and_update().clone() {
                return StartError::Ended(match reason {
                    End::Asked => "it was asked to".to_owned(),
                    End::Failed(reason) => reason,
                });
            }
            if end.changed().await.is_err() {
                return StartError::Ended("its core is gone".to_owned());
            }
        }
    }

    /// Stops: what was held back is sent, everything is flushed, links and HTTP are closed.
    pub async fn shutdown(&mut self) -> Result<(), StartError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.advisor.abort();
        running.rotator.abort();
        running.handle.0.core.urgent(CoreInput::Stop);
        let advisor = running.handle.0.optimizer.clone();
        let Running { core, writer, servers, audit, handle, .. } = running;
        let ended = tokio::task::spawn_blocking(move || {
            let ended = core.join().unwrap_or_else(|_| Err("the core panicked".to_owned()));
            let writer = writer.join().map_err(|_| "the store's writer panicked".to_owned());
            advisor.save();
            ended.and(writer)
        });
        let ended = ended.await.map_err(|error| StartError::System(error.to_string()))?;
        futures_util::future::join_all(servers.into_iter().map(http::Server::stop)).await;
        handle.0.links.shutdown().await;
        let reason = ended.as_ref().err().map_or("asked to", String::as_str);
        let hub = Arc::clone(&handle.0.hub);
        hub.audit.record("stop", json!({"reason": reason, "height": hub.published()}));
        // The last entry is on disk when this returns.
        let stopped = tokio::task::spawn_blocking(move || hub.audit.stop(audit));
        stopped.await.map_err(|error| StartError::System(error.to_string()))?;
        ended.map_err(StartError::Ended)
    }
}

pub(crate) async fn listen(address: &str, what: &'static str) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen { what, address: address.to_owned(), source };
    TcpListener::bind(address).await.map_err(failed)
}

/// What the audit log says of a start.
fn started(handle: &NodeHandle, listeners: &[Listener]) -> serde_json::Value {
    let status = handle.status();
    let genesis = handle.genesis();
    json!({
        "version": status.version, "network": status.network, "chain_id": status.chain_id, "validator": status.name, "index": status.index,
        "level": status.level, "policy": genesis.config.policy.name(), "epoch": status.epoch, "height": status.height,
        "quorum": status.quorum, "configuration": genesis.config.hash().to_string(),
        "session_key": genesis.config.members[handle.0.me.as_usize()].session_key.to_string().chars().take(44).collect::<String>(),
        "http": listeners.iter().map(Listener::url).collect::<Vec<_>>(),
    })
}

/// Final blocks that the application has not applied yet, in order.
fn replay(application: &dyn Application, records: &dyn RecordReader, chain_id: &Digest) -> Result<(), StartError> {
    let last = application.last_applied();
    if last == u64::MAX {
        return Ok(());
    }
    let mut height = Height::new(last).next();
    while let Some(block) = serve::block(records, chain_id, height)? {
        let values =
            block.body.ids().iter().zip(block.body.proposals()).map(|(id, p)| (*id, p.value.clone())).collect();
        let header = block.header.header();
        application.apply(&AppliedBlock { height: height.get(), time: header.time, hash: block.record.hash, values });
        height = height.next();
    }
    Ok(())
}
