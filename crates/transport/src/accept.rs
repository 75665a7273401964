//! Being dialled by peers of a lower index.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::connection::{self, shutdown_requested};
use crate::establish::{self, Context, Established};
use crate::peer::Peer;
use crate::tls::Pins;

/// Pause after the system refuses to accept (no file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a handshake needs to know.
pub(crate) struct Acceptor {
    pub(crate) context: Arc<Context>,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) pins: Arc<Pins>,
    /// The peers that may dial this validator, with the way to the task that keeps their link.
    pub(crate) diallers: BTreeMap<u16, (Arc<Peer>, mpsc::Sender<Established>)>,
}

/// Accepts connections until the links are shut down.
pub(crate) async fn keep_accepting(
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut handshakes = JoinSet::new();
    let mut pending: VecDeque<(SocketAddr, AbortHandle)> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown_requested(&mut shutdown) => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections, trying on");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        pending.retain(|(_, handshake)| !handshake.is_finished());
        if pending.len() >= acceptor.context.limits.max_handshakes
            && let Some((oldest, handshake)) = pending.pop_front()
        {
            // The oldest goes, because an honest handshake takes milliseconds: idle connections lock no one out.
            handshake.abort();
            acceptor.refuse(oldest, None, "too many connections that have not proven who they are");
        }
        let handshake = handshakes.spawn(Arc::clone(&acceptor).handshake(stream, remote));
        pending.push_back((remote, handshake));
    }
    handshakes.shutdown().await;
}

impl Acceptor {
    async fn handshake(self: Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        let limit = self.context.limits.handshake_timeout;
        let mut index = None;
        let reason = match timeout(limit, self.establish(stream, remote, &mut index)).await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no link within {} ms", limit.as_millis()),
        };
        self.refuse(remote, index, &reason);
    }

    /// `proven` becomes the index of the validator whose key the other side proved to hold.
    async fn establish(&self, stream: TcpStream, remote: SocketAddr, proven: &mut Option<u16>) -> Result<(), String> {
        let (stream, index) = establish::accept(stream, Arc::clone(&self.config), &self.pins).await?;
        *proven = Some(index);
        let Some((peer, keeper)) = self.diallers.get(&index) else {
            return Err(format!(
                "validator {index} must not dial, its index is the higher one: check its configuration"
            ));
        };
        if peer.is_barred() {
            return Err("it misbehaved a moment ago".to_owned());
        }
        let link = establish::greet(&self.context, stream, remote, index).await?;
        keeper.send(link).await.map_err(|_| "the links are being shut down".to_owned())
    }

    fn refuse(&self, remote: SocketAddr, peer: Option<u16>, reason: &str) {
        if let Some(peer) = peer {
            tracing::warn!(peer, %remote, reason, "link refused");
        } else {
            // Anyone can cause this line, so it is not a warning.
            tracing::debug!(%remote, reason, "connection refused");
        }
        self.context.handler.on_refused(remote, reason);
    }
}

/// Keeps the link of one peer that dials this validator, until the links are shut down.
pub(crate) async fn keep_link(
    context: Arc<Context>,
    peer: Arc<Peer>,
    mut incoming: mpsc::Receiver<Established>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut successor = None;
    loop {
        if successor.is_none() {
            successor = tokio::select! {
                link = incoming.recv() => link,
                () = shutdown_requested(&mut shutdown) => return,
            };
        }
        // None: nobody can hand over connections any more.
        let Some(link) = successor.take() else { return };
        if peer.is_barred() {
            continue;
        }
        let ended = connection::run(&context, &peer, link, &mut shutdown, Some(&mut incoming), None).await;
        if ended.shutdown {
            return;
        }
        successor = ended.successor;
    }
}
