//! Bounded caches of work already done: parsed public keys, and signatures that have verified. Both count their hits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::{Digest, HashAlgorithm};
use crate::error::CryptoError;
use crate::public_key::PublicKey;
use crate::signature::SignatureAlgorithm;

const KEY_TAG: &str = "agent-mesh/cache/key/1";
const VERIFIED_TAG: &str = "agent-mesh/cache/verified/1";

/// How often a cache had the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheCounts {
    /// Answers from the cache.
    pub hits: u64,
    /// Answers that had to be worked out.
    pub misses: u64,
    /// Entries now.
    pub entries: usize,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Counters {
    fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn with(&self, entries: usize) -> CacheCounts {
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        CacheCounts { hits, misses, entries }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked left at worst an entry out.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parsed public keys by their bytes. Holds at most `capacity`; the oldest goes first.
pub struct KeyCache {
    capacity: usize,
    keys: Mutex<(BTreeMap<Digest, PublicKey>, VecDeque<Digest>)>,
    counters: Counters,
}

impl KeyCache {
    /// A cache of at most `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, keys: Mutex::default(), counters: Counters::default() }
    }

    /// The key of these bytes, parsed now or before.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`]; what is refused is not kept.
    pub fn parse(&self, algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<PublicKey, CryptoError> {
        let id = HashAlgorithm::Sha256.hash(KEY_TAG, &[&[algorithm.wire_id()], bytes]);
        let known = lock(&self.keys).0.get(&id).cloned();
        self.counters.count(known.is_some());
        if let Some(key) = known {
            return Ok(key);
        }
        let key = PublicKey::from_bytes(algorithm, bytes)?;
        let mut keys = lock(&self.keys);
        if self.capacity > 0 && keys.0.insert(id, key.clone()).is_none() {
            keys.1.push_back(id);
            if keys.1.len() > self.capacity
                && let Some(oldest) = keys.1.pop_front()
            {
                keys.0.remove(&oldest);
            }
        }
        Ok(key)
    }

    /// Hits, misses, entries.
    pub fn counts(&self) -> CacheCounts {
        self.counters.with(lock(&self.keys).1.len())
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({:?})", self.counts())
    }
}

/// Signatures that have verified, by a hash of key, domain, message and signature. Holds at most `capacity`; the oldest goes
/// first. What does not verify is never kept, so nobody can fill it with garbage or make a refusal stick.
pub struct VerifiedCache {
    capacity: usize,
    seen: Mutex<(BTreeSet<Digest>, VecDeque<Digest>)>,
    counters: Counters,
}

impl VerifiedCache {
    /// A cache of at most `capacity` signatures.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, seen: Mutex::default(), counters: Counters::default() }
    }

    /// As [`PublicKey::verify`], without repeating what has verified before.
    ///
    /// # Errors
    /// As [`PublicKey::verify`].
    pub fn verify(&self, key: &PublicKey, domain: &str, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let id = Self::id(key, domain, message, signature);
        let known = lock(&self.seen).0.contains(&id);
        self.counters.count(known);
        if known {
            return Ok(());
        }
        key.verify(domain, message, signature)?;
        let mut seen = lock(&self.seen);
        if self.capacity > 0 && seen.0.insert(id) {
            seen.1.push_back(id);
            if seen.1.len() > self.capacity
                && let Some(oldest) = seen.1.pop_front()
            {
                seen.0.remove(&oldest);
            }
        }
        Ok(())
    }

    /// Every part with its length, so that no two different inputs are the same bytes; collisions are SHA-384's.
    fn id(key: &PublicKey, domain: &str, message: &[u8], signature: &[u8]) -> Digest {
        let mut hasher = HashAlgorithm::Sha384.hasher(VERIFIED_TAG);
        for part in [&[key.algorithm().wire_id()], key.as_bytes(), domain.as_bytes(), message, signature] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finish()
    }

    /// Hits, misses, entries.
    pub fn counts(&self) -> CacheCounts {
        self.counters.with(lock(&self.seen).1.len())
    }
}

impl fmt::Debug for VerifiedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedCache({:?})", self.counts())
    }
}
