//! Why links cannot be started.

use crypto::{CryptoError, SignatureAlgorithm};

/// A configuration or a surrounding in which links cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A key cannot be encoded.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The caller's thread belongs to no tokio runtime.
    #[error("links must be started inside a tokio runtime")]
    NoRuntime,
    /// The listening socket is unusable.
    #[error("the listening socket of the links is unusable: {0}")]
    Listener(#[from] std::io::Error),
    /// The TLS library refuses the configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A link key of another algorithm than the level prescribes.
    #[error(
        "the link key of {whose} is for {actual}, but the security level prescribes {expected}: make a new link key"
    )]
    KeyAlgorithm {
        /// Whose key it is.
        whose: String,
        /// The key's algorithm.
        actual: SignatureAlgorithm,
        /// The level's algorithm.
        expected: SignatureAlgorithm,
    },
    /// The key file at hand is not the one that the others pin to this validator.
    #[error(
        "my link key is not the one the configuration gives to validator {0}: \
         check which key file and which index this node is started with"
    )]
    NotMyKey(u16),
    /// Two entries have one index.
    #[error("two peers have index {0}: give each validator one entry")]
    DuplicateIndex(u16),
    /// Two validators share a key, so that neither could be told from the other.
    #[error("validators {0} and {1} have the same link key: each needs a key of its own")]
    DuplicateKey(u16, u16),
    /// A network id or configuration hash that does not fit the hello.
    #[error("{what} has {len} bytes, at most {max} are possible")]
    IdTooLong {
        /// Which of the two.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A limit that makes no sense.
    #[error("link limit {name} is out of range: {rule}")]
    Limit {
        /// The field of `LinkLimits`.
        name: &'static str,
        /// What it must obey.
        rule: &'static str,
    },
}
