//! Key pairs made ahead: a bounded pool that a background thread keeps full while nobody waits for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::CryptoError;
use crate::kem::DecapsulationKey;
use crate::level::SecurityLevel;
use crate::signing_key::SigningKey;

/// The most pairs that a pool holds.
pub const MAX_POOL: usize = 1_024;

/// A pair of keys that nobody has used yet: the level's signature key and encryption key.
pub struct ReadyPair {
    pub(crate) level: SecurityLevel,
    pub(crate) signing: SigningKey,
    pub(crate) decapsulation: DecapsulationKey,
}

impl ReadyPair {
    /// Makes a pair now.
    ///
    /// # Errors
    /// [`CryptoError::UnknownLevel`] for the classical level; [`CryptoError::Library`].
    pub fn generate(level: SecurityLevel) -> Result<Self, CryptoError> {
        let kem = level.kem_algorithm().ok_or(CryptoError::UnknownLevel(level.dimension()))?;
        let signing = SigningKey::generate(level.signature_algorithm())?;
        let (decapsulation, _) = DecapsulationKey::generate(kem)?;
        Ok(Self { level, signing, decapsulation })
    }

    /// The signature key.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// The encryption key's secret half.
    pub fn decapsulation_key(&self) -> &DecapsulationKey {
        &self.decapsulation
    }
}

impl fmt::Debug for ReadyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadyPair({}, [secret])", self.level)
    }
}

/// How often the pool had a pair ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCounts {
    /// Pairs that were ready when asked for.
    pub hits: u64,
    /// Pairs that had to be made on the spot.
    pub misses: u64,
    /// Pairs that are ready now.
    pub ready: usize,
}

/// A pool of [`ReadyPair`]s of one level. Dropping it stops its thread and erases the pairs.
pub struct KeyPool {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    level: SecurityLevel,
    size: usize,
    state: Mutex<State>,
    wanted: Condvar,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct State {
    ready: VecDeque<ReadyPair>,
    stopped: bool,
}

impl KeyPool {
    /// A pool that keeps up to `size` pairs (at most [`MAX_POOL`]) and fills itself in a thread of its own.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the system gives no thread; [`CryptoError::UnknownLevel`] for the classical level.
    pub fn start(level: SecurityLevel, size: usize) -> Result<Self, CryptoError> {
        if level.kem_algorithm().is_none() {
            return Err(CryptoError::UnknownLevel(level.dimension()));
        }
        let shared = Arc::new(Shared {
            level,
            size: size.min(MAX_POOL),
            state: Mutex::default(),
            wanted: Condvar::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        let worker = std::thread::Builder::new().name("key-pool".to_owned()).spawn(move || own.fill());
        let worker = worker.map_err(|_| CryptoError::Library("start a thread"))?;
        Ok(Self { shared, worker: Some(worker) })
    }

    /// A pair: a ready one, or when there is none one made now.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    pub fn take(&self) -> Result<ReadyPair, CryptoError> {
        let ready = self.shared.lock().ready.pop_front();
        self.shared.wanted.notify_one();
        if let Some(pair) = ready {
            self.shared.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(pair);
        }
        self.shared.misses.fetch_add(1, Ordering::Relaxed);
        ReadyPair::generate(self.shared.level)
    }

    /// How often a pair was ready.
    pub fn counts(&self) -> PoolCounts {
        PoolCounts {
            hits: self.shared.hits.load(Ordering::Relaxed),
            misses: self.shared.misses.load(Ordering::Relaxed),
            ready: self.shared.lock().ready.len(),
        }
    }

    /// Waits until the pool is full (or its thread has given up).
    pub fn wait_until_full(&self) {
        let mut state = self.shared.lock();
        while state.ready.len() < self.shared.size && !state.stopped {
            state = self.shared.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes pairs outside the lock until told to stop; gives up when the library fails, which callers then notice themselves.
    fn fill(&self) {
        loop {
            {
                let mut state = self.lock();
                while state.ready.len() >= self.size && !state.stopped {
                    state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.stopped {
                    return;
                }
            }
            let made = ReadyPair::generate(self.level);
            let mut state = self.lock();
            match made {
                Ok(pair) => state.ready.push_back(pair),
                Err(_) => state.stopped = true,
            }
            self.wanted.notify_all();
        }
    }
}

impl Drop for KeyPool {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wanted.notify_all();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPool")
            .field("level", &self.shared.level)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
