//! What links need to know before they start, with every bound they keep.

use std::collections::BTreeMap;
use std::time::Duration;

use crypto::{PublicKey, SecurityLevel, SigningKey};

use crate::error::LinkError;
use crate::frame;

/// Bytes of the longest network id, and of the longest configuration id.
pub const MAX_NETWORK_ID_LEN: usize = 128;

/// A validator at the other end of a link.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Index in the validator set; the lower index of a pair dials.
    pub index: u16,
    /// For logs.
    pub name: String,
    /// `host:port`, resolved anew at each dial.
    pub address: String,
    /// The key the peer must prove to hold.
    pub link_key: PublicKey,
}

/// Everything links are started with.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Picks the key-exchange group and the algorithm of the link keys.
    pub level: SecurityLevel,
    /// This validator's index.
    pub my_index: u16,
    /// This validator's link key.
    pub link_key: SigningKey,
    /// The other validators. An entry for this validator itself is allowed, and its key is then compared.
    pub peers: Vec<PeerInfo>,
    /// Names the network (chain id); opaque, at most [`MAX_NETWORK_ID_LEN`] bytes. Both ends must have the same.
    pub network_id: Vec<u8>,
    /// Names the configuration (its hash); opaque, at most [`MAX_NETWORK_ID_LEN`] bytes. Both ends must have the same;
    /// apart from `network_id` only so that the log can say which of the two differs.
    pub configuration_id: Vec<u8>,
    /// Bounds.
    pub limits: LinkLimits,
}

/// Every bound of a link.
#[derive(Debug, Clone)]
pub struct LinkLimits {
    /// Longest frame payload in bytes, both ways. Default 4 MiB.
    pub max_frame_bytes: usize,
    /// Payload bytes queued for one peer. Default 32 MiB.
    pub queue_bytes: usize,
    /// Frames queued for one peer. Default 8192.
    pub queue_frames: usize,
    /// First wait before dialling again; doubles with each failure, less a random part. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest wait before dialling again, and how long a peer that misbehaved stays away. Default 5 s.
    pub backoff_max: Duration,
    /// Time for connecting, the TLS handshake and the hello together. Default 10 s.
    pub handshake_timeout: Duration,
    /// Inbound connections that have not yet proven who they are; a further one pushes out the oldest. Default 64.
    pub max_handshakes: usize,
    /// Time between pings; a link without a byte for 3.5 times as long is closed. Default 1 s.
    pub ping_period: Duration,
    /// Age at which the dialling side replaces a link by one with fresh keys. Default 1 h.
    pub max_link_age: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            max_frame_bytes: 4 << 20,
            queue_bytes: 32 << 20,
            queue_frames: 8192,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 64,
            ping_period: Duration::from_secs(1),
            max_link_age: Duration::from_secs(3600),
        }
    }
}

impl LinkLimits {
    /// A link on which nothing arrives, or nothing can be sent, for so long is closed.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.ping_period * 7 / 2
    }

    fn check(&self) -> Result<(), LinkError> {
        let check = |name, rule, holds| if holds { Ok(()) } else { Err(LinkError::Limit { name, rule }) };
        check("max_frame_bytes", "from 1 byte to 1 GiB", (1..=frame::MAX_PAYLOAD_LEN).contains(&self.max_frame_bytes))?;
        check("queue_bytes", "at least max_frame_bytes", self.queue_bytes >= self.max_frame_bytes)?;
        check("queue_frames", "at least 1", self.queue_frames >= 1)?;
        check("backoff_min", "above 0", !self.backoff_min.is_zero())?;
        check("backoff_max", "at least backoff_min, at most a day", {
            self.backoff_max >= self.backoff_min && self.backoff_max <= Duration::from_secs(86_400)
        })?;
        check("handshake_timeout", "above 0", !self.handshake_timeout.is_zero())?;
        check("max_handshakes", "at least 1", self.max_handshakes >= 1)?;
        check("ping_period", "from 10 ms to an hour", {
            self.ping_period >= Duration::from_millis(10) && self.ping_period <= Duration::from_secs(3600)
        })?;
        check("max_link_age", "at least a second", self.max_link_age >= Duration::from_secs(1))
    }
}

impl LinkConfig {
    /// Refuses what cannot work, then returns the peers by index without this validator itself.
    pub(crate) fn check(&self) -> Result<BTreeMap<u16, PeerInfo>, LinkError> {
        self.limits.check()?;
        for (what, id) in [("the network id", &self.network_id), ("the configuration id", &self.configuration_id)] {
            if id.len() > MAX_NETWORK_ID_LEN {
                return Err(LinkError::IdTooLong { what, len: id.len(), max: MAX_NETWORK_ID_LEN });
            }
        }
        self.check_algorithm("this validator", &self.link_key.public_key())?;
        let mut peers = BTreeMap::new();
        let mut holders = BTreeMap::from([(self.link_key.public_key(), self.my_index)]);
        for peer in &self.peers {
            self.check_algorithm(&format!("validator {} ({})", peer.index, peer.name), &peer.link_key)?;
            if peer.index == self.my_index {
                if peer.link_key != self.link_key.public_key() {
                    return Err(LinkError::NotMyKey(self.my_index));
                }
                continue;
            }
            if let Some(other) = holders.insert(peer.link_key.clone(), peer.index) {
                return Err(LinkError::DuplicateKey(other, peer.index));
            }
            if peers.insert(peer.index, peer.clone()).is_some() {
                return Err(LinkError::DuplicateIndex(peer.index));
            }
        }
        Ok(peers)
    }

    fn check_algorithm(&self, whose: &str, key: &PublicKey) -> Result<(), LinkError> {
        let (actual, expected) = (key.algorithm(), self.level.link_signature_algorithm());
        if actual == expected {
            Ok(())
        } else {
            Err(LinkError::KeyAlgorithm { whose: whose.to_owned(), actual, expected })
        }
    }
}
