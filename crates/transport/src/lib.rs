//! Post-quantum TLS links between validators, and their frames.
//!
//! # The link
//!
//! Every pair of validators shares one TCP connection, which carries frames both ways. The validator with the **lower
//! index dials**; the other one listens. A new authenticated connection takes the place of the old one.
//!
//! The connection is TLS 1.3 and nothing older, mutually authenticated with raw public keys (RFC 7250): each side
//! proves possession of its link key (ML-DSA, FIPS 204), and the key must be the very one that the configuration pins
//! to that validator. There are no certificates, no resumption and no early data. Exactly one key-exchange group is
//! offered and accepted at each security level:
//!
//! | level | group | link key | cipher suite |
//! |---|---|---|---|
//! | classical | X25519 | Ed25519 | TLS13_AES_256_GCM_SHA384 |
//! | 512 | X25519MLKEM768 | ML-DSA-44 | TLS13_AES_256_GCM_SHA384 |
//! | 768 | X25519MLKEM768 | ML-DSA-65 | TLS13_AES_256_GCM_SHA384 |
//! | 1024 | MLKEM1024 | ML-DSA-87 | TLS13_AES_256_GCM_SHA384 |
//!
//! The dialling side replaces a link after [`LinkLimits::max_link_age`] by a fresh one, so that the keys of old traffic
//! are gone (forward secrecy) and a later key compromise does not reach back.
//!
//! # The bytes inside
//!
//! Each way begins with a hello (magic, link protocol version, sender index, network, configuration), and both sides
//! refuse the link, with the reason in the log, unless everything agrees. Then come frames:
//!
//! ```text
//! u32, big-endian: top bit = control flag, other 31 bits = length of the payload, never 0
//! payload
//! ```
//!
//! A data frame's payload is the caller's. A control frame has 9 bytes: kind (1 = ping, 2 = pong) and a random u64 that
//! the pong returns; it measures the round trip and proves that the peer lives. A length of 0 or above the limit closes
//! the link. No memory is set aside for a frame before its bytes arrive.
//!
//! # What a sender may expect
//!
//! [`Links::send`] never blocks. Each peer has a bounded queue, which holds frames while the peer is away as well. Votes
//! leave before bulk. When the queue is full, the oldest stale frame goes first, then the oldest bulk, then the oldest
//! vote; the losses are counted. Delivery is in order within a class and **not guaranteed**: frames in flight are lost
//! when a connection breaks, and the protocol above repeats what matters.

mod accept;
mod config;
mod connection;
mod dial;
mod error;
mod establish;
mod frame;
mod handler;
mod hello;
mod links;
mod peer;
mod queue;
mod read;
#[cfg(test)]
mod tests;
mod tls;
mod write;

pub use bytes::Bytes;
pub use config::{LinkConfig, LinkLimits, MAX_NETWORK_ID_LEN, PeerInfo};
pub use error::LinkError;
pub use futures_util::future::BoxFuture;
pub use handler::{LinkHandler, LinkInfo};
pub use hello::PROTOCOL_VERSION;
pub use links::Links;
pub use peer::LinkStatus;
pub use queue::{Class, Frame};
