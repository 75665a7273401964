//! The near end of the validator links: frames become verified messages for the core.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use consensus::Decode;
use consensus::message::Message;
use consensus::types::ValidatorIndex;
use consensus::verify::{Content, Rejection, Verifier};
use serde_json::json;
use transport::{BoxFuture, LinkHandler, LinkInfo};

use crate::advisor::OptimizerHandle;
use crate::clock::system_now;
use crate::core::{CoreInput, CoreSender, ordinal};
use crate::hub::Hub;

/// Verification of a larger message is moved off the runtime's workers.
const LARGE_MESSAGE_BYTES: usize = 128 * 1024;

/// What messages are verified against: replaced when an epoch begins.
pub(crate) type SharedVerifier = Arc<RwLock<Verifier>>;

pub(crate) struct Peers {
    pub(crate) verifier: SharedVerifier,
    pub(crate) core: CoreSender,
    pub(crate) hub: Arc<Hub>,
    pub(crate) optimizer: OptimizerHandle,
    pub(crate) final_view: Arc<AtomicU64>,
    /// The algorithm of votes, as a label.
    pub(crate) algorithm: &'static str,
}

impl Peers {
    /// Whether a message speaks only of views that are final here, so that nobody needs to verify it.
    fn is_stale(&self, verifier: &Verifier, message: &Message) -> bool {
        let epoch = verifier.config().epoch;
        let done = self.final_view.load(Ordering::Relaxed);
        let settled = |view: u64| ordinal(epoch, view) <= done;
        match message {
            Message::Vote(bundle) if bundle.body().epoch == epoch => {
                bundle.statements().iter().all(|s| settled(s.view().get()))
            }
            Message::Proposal(header, _) if header.header().epoch == epoch => settled(header.header().view.get()),
            _ => false,
        }
    }

    async fn take(&self, peer: u16, frame: Bytes) -> Result<(), String> {
        let from = ValidatorIndex::new(peer);
        let large = frame.len() > LARGE_MESSAGE_BYTES;
        let decoded = Message::from_bytes(&frame).map_err(Rejection::from);
        let verifier = self.verifier.read().unwrap_or_else(PoisonError::into_inner).clone();
        let verified = match decoded {
            Ok(message) if message.epoch().is_some_and(|epoch| epoch != verifier.config().epoch) => {
                // The core knows what it means; nothing of it is believed.
                let Some(permit) = self.core.permit().await else { return Ok(()) };
                self.core.urgent(CoreInput::Elsewhere { from, message: Box::new(message), _permit: permit });
                return Ok(());
            }
            Ok(message) if self.is_stale(&verifier, &message) => {
                self.hub.metrics.dropped.with_label_values(&["stale_unverified"]).inc();
                if let Message::Vote(bundle) = &message {
                    // The link vouches for the sender, and nothing but counters depends on it.
                    if bundle.signer() == from {
                        self.optimizer.late(from, bundle.statements().iter().map(consensus::vote::Statement::view));
                    }
                    self.hub.witness.late(peer, bundle.statements().iter().map(|s| s.view().get()), system_now());
                }
                return Ok(());
            }
            Ok(message) => {
                let kind = message.name();
                let begun = Instant::now();
                let verified = if large {
                    tokio::task::spawn_blocking(move || verifier.verify(from, message))
                        .await
                        .map_err(|e| e.to_string())?
                } else {
                    verifier.verify(from, message)
                };
                if kind == "vote" {
                    let seconds = begun.elapsed().as_secs_f64();
                    self.hub.metrics.verify_seconds.with_label_values(&[self.algorithm]).observe(seconds);
                }
                verified.map(|verified| (kind, verified))
            }
            Err(rejection) => Err(rejection),
        };
        match verified {
            Ok((kind, content)) => {
                self.hub.verified(peer, kind, frame.len());
                self.witness(peer, content.get());
                let Some(permit) = self.core.permit().await else { return Ok(()) };
                self.core.urgent(CoreInput::Message { from, content, _permit: permit });
                Ok(())
            }
            Err(rejection) => {
                self.hub.rejected(peer, &rejection);
                if !rejection.is_misbehaviour() {
                    return Ok(());
                }
                let reason = rejection.to_string();
                self.hub.audit.record_stranger("peer_barred", || json!({"validator": peer, "reason": reason}));
                Err(reason)
            }
        }
    }
}

impl Peers {
    /// Notes who has voted, and who says to have which height.
    fn witness(&self, peer: u16, content: &Content) {
        let witness = &self.hub.witness;
        match content {
            Content::Vote(bundle) => {
                witness.voted(peer, bundle.statements().iter().map(|s| s.view().get()), system_now());
            }
            // A leader's header is its vote.
            Content::Proposal(header, _) => {
                let header = header.header();
                witness.voted(header.leader.get(), [header.view.get()], system_now());
            }
            Content::Status(status) => witness.announced(peer, status.committed_height.get()),
            _ => {}
        }
    }
}

impl LinkHandler for Peers {
    fn on_connected(&self, peer: u16, info: LinkInfo) {
        tracing::info!(peer, group = %info.group, remote = %info.remote, "link up");
        self.core.urgent(CoreInput::LinkUp(ValidatorIndex::new(peer)));
    }

    fn on_disconnected(&self, peer: u16, reason: &str) {
        tracing::info!(peer, reason, "link down");
        self.core.urgent(CoreInput::LinkDown(ValidatorIndex::new(peer)));
    }

    fn on_frame(&self, peer: u16, frame: Bytes) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.take(peer, frame))
    }

    fn on_refused(&self, remote: SocketAddr, reason: &str) {
        tracing::warn!(%remote, reason, "connection refused");
        self.hub.metrics.connections_refused.inc();
        self.hub.audit.record_stranger("peer_refused", || json!({"remote": remote.to_string(), "reason": reason}));
    }
}
