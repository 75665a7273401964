//! All links of one validator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::accept::{Acceptor, keep_accepting, keep_link};
use crate::config::LinkConfig;
use crate::dial::keep_dialling;
use crate::error::LinkError;
use crate::establish::Context;
use crate::handler::LinkHandler;
use crate::hello::Hello;
use crate::peer::{LinkStatus, Peer};
use crate::queue::Frame;
use crate::tls::{Tls, server_name};

/// Connections of one peer that wait to take the place of its link; more than one is rare.
const SUCCESSORS: usize = 2;

/// All links of one validator. Cloning is cheap; the links end with [`Links::shutdown`] or with the last clone.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

struct Inner {
    peers: BTreeMap<u16, Arc<Peer>>,
    shutdown: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Links {
    /// Starts to dial and to listen. Needs a tokio runtime around it, whose tasks then call `handler`.
    ///
    /// Tasks: one that accepts, one for each peer that keeps its link, and two for each link that read and write.
    ///
    /// # Errors
    /// [`LinkError`] when the configuration contradicts itself or there is no runtime.
    pub fn start(config: LinkConfig, listener: TcpListener, handler: Arc<dyn LinkHandler>) -> Result<Self, LinkError> {
        let runtime = Handle::try_current().map_err(|_| LinkError::NoRuntime)?;
        let infos = config.check()?;
        let tls = Tls::new(config.level, &config.link_key)?;
        let keys = infos.values().map(|info| (info.index, info.link_key.clone()));
        let (server_config, pins) = tls.server(keys)?;
        let LinkConfig { my_index, network_id, configuration_id, limits, .. } = config;
        let hello = Hello { sender: my_index, network_id, configuration_id };
        let context = Arc::new(Context { hello, limits, handler });
        let (shutdown, requested) = watch::channel(false);
        let mut peers = BTreeMap::new();
        let mut diallers = BTreeMap::new();
        let mut tasks = Vec::new();
        for (index, info) in infos {
            let client_config = tls.client(index, &info.link_key)?;
            let peer = Arc::new(Peer::new(info, &context.limits));
            peers.insert(index, Arc::clone(&peer));
            if my_index < index {
                let name = server_name()?;
                let work = keep_dialling(Arc::clone(&context), peer, client_config, name, requested.clone());
                tasks.push(runtime.spawn(work));
            } else {
                let (keeper, incoming) = mpsc::channel(SUCCESSORS);
                diallers.insert(index, (Arc::clone(&peer), keeper));
                let work = keep_link(Arc::clone(&context), peer, incoming, requested.clone());
                tasks.push(runtime.spawn(work));
            }
        }
        let acceptor = Acceptor { context, config: server_config, pins, diallers };
        tasks.push(runtime.spawn(keep_accepting(listener, Arc::new(acceptor), requested)));
        Ok(Self { inner: Arc::new(Inner { peers, shutdown, tasks: Mutex::new(tasks) }) })
    }

    /// Queues a frame for one peer. Never blocks, and may be called from any thread. A frame for an unknown peer goes
    /// nowhere; one of an impossible length is counted as dropped.
    pub fn send(&self, peer: u16, frame: Frame) {
        if let Some(peer) = self.inner.peers.get(&peer) {
            peer.push(frame);
        } else {
            tracing::debug!(peer, "frame for an unknown peer");
        }
    }

    /// Queues a frame for every peer; all queues share its bytes.
    pub fn broadcast(&self, frame: Frame) {
        for peer in self.inner.peers.values() {
            peer.push(frame.clone());
        }
    }

    /// Drops all queued frames of views before `view`. Later frames of such views are the first to go when a queue is
    /// full. Frames with view `u64::MAX` stay.
    pub fn discard_below(&self, view: u64) {
        for peer in self.inner.peers.values() {
            peer.discard_below(view);
        }
    }

    /// The state of every link, by peer index.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.inner.peers.values().map(|peer| peer.status()).collect()
    }

    /// Sends what is queued for connected peers, for up to two seconds, then closes all links and stops listening.
    pub async fn shutdown(&self) {
        self.inner.shutdown.send_replace(true);
        let tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A task that panicked has been reported by the panic hook.
            let _ = task.await;
        }
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("peers", &self.inner.peers.len()).finish_non_exhaustive()
    }
}
