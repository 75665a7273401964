//! What links tell their owner.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// How a link was established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The key-exchange group, for example `X25519MLKEM768`.
    pub group: String,
    /// The cipher suite, for example `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// Receives what happens on the links. Every call comes from a task of the runtime and must not block it.
pub trait LinkHandler: Send + Sync + 'static {
    /// A link is up: the peer has proven its key and agrees on network and configuration.
    fn on_connected(&self, peer: u16, info: LinkInfo);

    /// The link is down; called once for each `on_connected`, after the last `on_frame` of that link.
    fn on_disconnected(&self, peer: u16, reason: &str);

    /// A frame arrived. Called one at a time for each peer; while the future is pending, nothing more is read from that
    /// peer (back-pressure). `Err` says that the peer misbehaved: the link is closed and stays closed for
    /// [`crate::LinkLimits::backoff_max`].
    fn on_frame(&self, peer: u16, frame: Bytes) -> BoxFuture<'_, Result<(), String>>;

    /// A connection was refused, by us or in the handshake: for metrics and audit.
    fn on_refused(&self, remote: SocketAddr, reason: &str);
}
