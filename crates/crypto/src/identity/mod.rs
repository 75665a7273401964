//! Identity keys: a validator's long-term key, hash-based by default, that never signs twice with one leaf.

mod counter;
mod error;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

pub use counter::{FileCounter, LeafCounter, MemoryCounter};
pub use error::IdentityError;

use crate::error::CryptoError;
use crate::hss::{self, HssHeights};
use crate::keyfile::{KeyFileError, KeyKind, Stored, read_stored, write_stored};
use crate::keyfile_disk as disk;
use crate::public_key::PublicKey;
use crate::random;
use crate::signature::{SignatureAlgorithm, domain_separated};
use crate::signing_key::SigningKey;

/// A stateful key warns when less than one in this many of its signatures is left.
const WARNING_SHARE: u64 = 16;

/// What an identity key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityScheme {
    /// HSS/LMS with these tree heights: every signature uses up one leaf.
    Hss(HssHeights),
    /// Any stateless algorithm; SLH-DSA where a leaf counter is unwelcome.
    Stateless(SignatureAlgorithm),
}

impl Default for IdentityScheme {
    fn default() -> Self {
        Self::Hss(HssHeights::DEFAULT)
    }
}

impl IdentityScheme {
    /// The algorithm of the keys.
    pub const fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Hss(_) => SignatureAlgorithm::HssLms,
            Self::Stateless(algorithm) => algorithm,
        }
    }
}

/// A validator's long-term key.
///
/// With HSS/LMS each signature first reserves its leaf in the [`LeafCounter`], durably, and is released only after that. A
/// leaf whose reservation failed half-way is given up, never used. Signing with two levels of height 10 takes some tenths
/// of a second (the lower tree is computed anew): not for the thread that decides.
pub struct IdentityKey {
    name: String,
    public_key: PublicKey,
    secret: Secret,
}

enum Secret {
    Stateless(SigningKey),
    Hss(Mutex<Hss>),
}

struct Hss {
    heights: HssHeights,
    seed: Zeroizing<[u8; 32]>,
    /// The library's cache of the top tree.
    aux: Vec<u8>,
    counter: Box<dyn LeafCounter>,
    warn_below: u64,
}

impl IdentityKey {
    /// Makes a key and writes `path` (a key file, 0600), with HSS/LMS also the leaf counter beside it (`….leaf`).
    ///
    /// # Errors
    /// [`IdentityError::KeyFile`] when a file of that name exists or the disk refuses; see [`IdentityError`].
    pub fn create(path: &Path, name: &str, scheme: IdentityScheme) -> Result<Self, IdentityError> {
        let mut seed = Zeroizing::new([0; 32]);
        random::fill(seed.as_mut_slice())?;
        let counter_path = counter_path(path);
        match scheme {
            IdentityScheme::Stateless(algorithm) => {
                let key = SigningKey::from_seed(algorithm, &seed)?;
                let stored = Stored { name: name.to_owned(), public_key: key.public_key(), seed, tree_heights: None };
                write_stored(path, KeyKind::Identity, &stored, disk::IfExists::Refuse)?;
                Ok(Self { name: name.to_owned(), public_key: key.public_key(), secret: Secret::Stateless(key) })
            }
            IdentityScheme::Hss(heights) => {
                if path.symlink_metadata().is_ok() {
                    return Err(KeyFileError::Exists(path.to_path_buf()).into());
                }
                let hss::Generated { public_key, aux } = hss::generate(heights, &seed, None)?;
                let public_key = PublicKey::from_bytes(SignatureAlgorithm::HssLms, &public_key)?;
                // The counter first: a key file without its counter must never look like a fresh key.
                let counter = FileCounter::create(&counter_path, &public_key)?;
                let stored = Stored {
                    name: name.to_owned(),
                    public_key: public_key.clone(),
                    seed: seed.clone(),
                    tree_heights: Some(heights),
                };
                write_stored(path, KeyKind::Identity, &stored, disk::IfExists::Refuse)?;
                store_aux(path, &public_key, &aux);
                Ok(Self::stateful(name, public_key, heights, seed, aux, Box::new(counter)))
            }
        }
    }

    /// Reads a key that [`IdentityKey::create`] made. With HSS/LMS no other process may hold it.
    ///
    /// # Errors
    /// See [`IdentityError`]; each message says what to do.
    pub fn open(path: &Path) -> Result<Self, IdentityError> {
        let stored = read_stored(path, KeyKind::Identity)?;
        let mismatch = || KeyFileError::KeyMismatch { path: path.to_path_buf() };
        let Some(heights) = stored.tree_heights else {
            let key = SigningKey::from_seed(stored.public_key.algorithm(), &stored.seed)?;
            if key.public_key() != stored.public_key {
                return Err(mismatch().into());
            }
            return Ok(Self { name: stored.name, public_key: stored.public_key, secret: Secret::Stateless(key) });
        };
        let counter = FileCounter::open(&counter_path(path), &stored.public_key)?;
        let cached = load_aux(path, &stored.public_key);
        let was_cached = cached.is_some();
        let made = hss::generate(heights, &stored.seed, cached)?;
        if made.public_key != stored.public_key.as_bytes() {
            return Err(mismatch().into());
        }
        if !was_cached {
            store_aux(path, &stored.public_key, &made.aux);
        }
        let counter = Box::new(counter);
        Ok(Self::stateful(&stored.name, stored.public_key, heights, stored.seed, made.aux, counter))
    }

    /// The key of a seed with a counter of the caller's (the node's own store, or [`MemoryCounter`] in tests and simulation).
    /// A stateless scheme ignores the counter.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`].
    pub fn from_seed(
        name: &str,
        scheme: IdentityScheme,
        seed: &[u8; 32],
        counter: Box<dyn LeafCounter>,
    ) -> Result<Self, IdentityError> {
        match scheme {
            IdentityScheme::Stateless(algorithm) => {
                let key = SigningKey::from_seed(algorithm, seed)?;
                Ok(Self { name: name.to_owned(), public_key: key.public_key(), secret: Secret::Stateless(key) })
            }
            IdentityScheme::Hss(heights) => {
                let seed = Zeroizing::new(*seed);
                let hss::Generated { public_key, aux } = hss::generate(heights, &seed, None)?;
                let public_key = PublicKey::from_bytes(SignatureAlgorithm::HssLms, &public_key)?;
                Ok(Self::stateful(name, public_key, heights, seed, aux, counter))
            }
        }
    }

    fn stateful(
        name: &str,
        public_key: PublicKey,
        heights: HssHeights,
        seed: Zeroizing<[u8; 32]>,
        aux: Vec<u8>,
        counter: Box<dyn LeafCounter>,
    ) -> Self {
        let warn_below = (heights.capacity() / WARNING_SHARE).max(1);
        let secret = Secret::Hss(Mutex::new(Hss { heights, seed, aux, counter, warn_below }));
        Self { name: name.to_owned(), public_key, secret }
    }

    /// The name it was given when it was made.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        self.public_key.clone()
    }

    /// The algorithm, with the tree heights where there are any.
    pub fn scheme(&self) -> IdentityScheme {
        match &self.secret {
            Secret::Stateless(key) => IdentityScheme::Stateless(key.algorithm()),
            Secret::Hss(hss) => IdentityScheme::Hss(lock(hss).heights),
        }
    }

    /// Signs `message` under `domain`; with HSS/LMS one leaf is used up, durably, before this returns.
    ///
    /// # Errors
    /// [`IdentityError::Exhausted`], [`IdentityError::Counter`] (nothing was signed), [`IdentityError::Crypto`].
    pub fn sign(&self, domain: &str, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let hss = match &self.secret {
            Secret::Stateless(key) => return Ok(key.sign(domain, message)?),
            Secret::Hss(hss) => hss,
        };
        let mut hss = lock(hss);
        let capacity = hss.heights.capacity();
        if hss.counter.next() >= capacity {
            return Err(IdentityError::Exhausted { name: self.name.clone(), capacity });
        }
        if domain.len() > crate::MAX_DOMAIN_LEN {
            return Err(CryptoError::DomainTooLong(domain.len()).into());
        }
        let index = hss.counter.reserve()?;
        let signature = domain_separated(SignatureAlgorithm::HssLms, domain, message, |bytes| {
            hss::sign(hss.heights, &hss.seed, &hss.aux, index, bytes)
        })?;
        // What leaves is of the leaf that was reserved, and verifies: a fault of memory or library must not leak a second
        // signature of another leaf.
        let genuine = self.public_key.leaf_index(&signature) == Some(index)
            && self.public_key.verify(domain, message, &signature).is_ok();
        if genuine { Ok(signature) } else { Err(CryptoError::Library("sign").into()) }
    }

    /// How many signatures are left; none for stateless schemes, which have no such limit.
    pub fn remaining(&self) -> Option<u64> {
        match &self.secret {
            Secret::Stateless(_) => None,
            Secret::Hss(hss) => {
                let hss = lock(hss);
                Some(hss.heights.capacity().saturating_sub(hss.counter.next()))
            }
        }
    }

    /// The leaf that the next signature will use; none for stateless schemes.
    pub fn next_leaf(&self) -> Option<u64> {
        match &self.secret {
            Secret::Stateless(_) => None,
            Secret::Hss(hss) => Some(lock(hss).counter.next()),
        }
    }

    /// Whether so few signatures are left that the key should sign its successor now.
    pub fn is_running_out(&self) -> bool {
        match &self.secret {
            Secret::Stateless(_) => false,
            Secret::Hss(hss) => {
                let hss = lock(hss);
                hss.heights.capacity().saturating_sub(hss.counter.next()) < hss.warn_below
            }
        }
    }

    /// Sets below how many signatures left [`IdentityKey::is_running_out`] says so; by default a sixteenth of all.
    pub fn set_warning_threshold(&self, signatures: u64) {
        if let Secret::Hss(hss) = &self.secret {
            lock(hss).warn_below = signatures;
        }
    }

    /// Compares the counter with the highest leaf that the network has seen of this key ([`PublicKey::leaf_index`] of a
    /// verified signature). A counter at or below it comes from an old copy, and signing with it could use a leaf twice.
    ///
    /// # Errors
    /// [`IdentityError::Rollback`] with instructions.
    pub fn check_watermark(&self, highest_seen: u64) -> Result<(), IdentityError> {
        match self.next_leaf() {
            Some(next) if next <= highest_seen => {
                Err(IdentityError::Rollback { name: self.name.clone(), next, highest_seen })
            }
            _ => Ok(()),
        }
    }

    /// Gives up all leaves below `leaf`, durably; for an operator who knows that none from `leaf` on was ever used.
    ///
    /// # Errors
    /// [`IdentityError::Backwards`]; [`IdentityError::Counter`].
    pub fn skip_to(&self, leaf: u64) -> Result<(), IdentityError> {
        match &self.secret {
            Secret::Stateless(_) => Ok(()),
            Secret::Hss(hss) => lock(hss).counter.skip_to(leaf),
        }
    }
}

/// A panic while the lock was held can only have happened after the leaf was given up: going on is safe.
fn lock(hss: &Mutex<Hss>) -> MutexGuard<'_, Hss> {
    hss.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKey")
            .field("name", &self.name)
            .field("public_key", &self.public_key)
            .field("remaining", &self.remaining())
            .field("secret", &format_args!("[secret]"))
            .finish()
    }
}

/// Where the leaf counter of the key file at `path` is.
pub(crate) fn counter_path(path: &Path) -> PathBuf {
    path.with_extension("leaf")
}

fn aux_path(path: &Path) -> PathBuf {
    path.with_extension("tree")
}

const AUX_TAG: &str = "agent-mesh/hss-tree/1";

fn aux_checksum(public_key: &PublicKey, aux: &[u8]) -> crate::Digest {
    crate::HashAlgorithm::Sha256.hash(AUX_TAG, &[public_key.as_bytes(), aux])
}

/// Keeps the cache for the next start. It only saves time, so a failure to write it is none.
fn store_aux(path: &Path, public_key: &PublicKey, aux: &[u8]) {
    let bytes = [aux_checksum(public_key, aux).as_bytes(), aux].concat();
    let _ = disk::write(&aux_path(path), &bytes, disk::IfExists::Replace);
}

/// The cache, if it is whole and of this key; the library would trust any bytes.
fn load_aux(path: &Path, public_key: &PublicKey) -> Option<Vec<u8>> {
    let bytes = disk::read_up_to(&aux_path(path), hss::AUX_BYTES + 32).ok()?;
    let (checksum, aux) = bytes.split_at_checked(32)?;
    (aux_checksum(public_key, aux).as_bytes() == checksum).then(|| aux.to_vec())
}
