//! Caches and reports: right answers, bounds, counters.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crypto::cache::{KeyCache, VerifiedCache};
use crypto::memory::{self, MemoryLock};
use crypto::pool::KeyPool;
use crypto::report::Report;
use crypto::{CryptoError, SecurityLevel, SignatureAlgorithm, SigningKey};

#[test]
fn verified_signatures_are_remembered_and_nothing_else() {
    let cache = VerifiedCache::new(2);
    let key = SigningKey::generate(SignatureAlgorithm::MlDsa44).unwrap();
    let public = key.public_key();
    let signature = key.sign("d", b"m").unwrap();
    assert_eq!(cache.verify(&public, "d", b"m", &signature), Ok(()));
    assert_eq!(cache.verify(&public, "d", b"m", &signature), Ok(()));
    assert_eq!((cache.counts().hits, cache.counts().misses), (1, 1));
    // Every part counts, and a refusal is worked out each time.
    let other = SigningKey::generate(SignatureAlgorithm::MlDsa44).unwrap().public_key();
    for _ in 0..2 {
        assert_eq!(cache.verify(&other, "d", b"m", &signature), Err(CryptoError::SignatureInvalid));
        assert!(cache.verify(&public, "e", b"m", &signature).is_err());
        assert!(cache.verify(&public, "d", b"n", &signature).is_err());
        assert!(cache.verify(&public, "d", b"m", &signature[1..]).is_err());
        assert!(cache.verify(&public, "dm", b"", &signature).is_err());
    }
    assert_eq!((cache.counts().hits, cache.counts().entries), (1, 1));
    for message in [b"1", b"2", b"3"] {
        cache.verify(&public, "d", message, &key.sign("d", message).unwrap()).unwrap();
    }
    assert_eq!(cache.counts().entries, 2, "the oldest went");
    assert_eq!(cache.verify(&public, "d", b"m", &signature), Ok(()));
    assert_eq!(cache.counts().hits, 1);
}

#[test]
fn parsed_keys_are_remembered() {
    let cache = KeyCache::new(2);
    let keys: Vec<_> =
        (0..3).map(|_| SigningKey::generate(SignatureAlgorithm::Ed25519).unwrap().public_key()).collect();
    for key in keys.iter().chain(&keys[1..]) {
        assert_eq!(cache.parse(key.algorithm(), key.as_bytes()).unwrap(), *key);
    }
    assert_eq!((cache.counts().hits, cache.counts().misses, cache.counts().entries), (2, 3, 2));
    assert!(cache.parse(SignatureAlgorithm::MlDsa44, keys[2].as_bytes()).is_err(), "the algorithm is part of the key");
    assert_eq!(cache.counts().entries, 2);
}

#[test]
fn a_pool_never_holds_more_than_its_size_and_never_gives_a_pair_twice() {
    let pool = KeyPool::start(SecurityLevel::Level512, 3).unwrap();
    pool.wait_until_full();
    assert_eq!(pool.counts().ready, 3);
    let taken: Vec<_> = (0..6).map(|_| pool.take().unwrap().signing_key().public_key()).collect();
    let different: std::collections::BTreeSet<_> = taken.iter().collect();
    assert_eq!(different.len(), 6);
    let counts = pool.counts();
    assert!(counts.hits >= 3 && counts.hits + counts.misses == 6 && counts.ready <= 3, "{counts:?}");
    assert!(KeyPool::start(SecurityLevel::Classical, 1).is_err());
}

#[test]
fn the_report_says_what_was_asked_for_and_what_came_of_it() {
    let before = Report::of(SecurityLevel::Level2048);
    assert_eq!((before.families, before.encryption), (2, Some("ml-kem-1024+hqc-256")));
    assert_eq!(before.memory_lock, "not asked");
    let after = match memory::lock() {
        MemoryLock::Locked => "locked",
        MemoryLock::Refused(why) => {
            assert!(why.contains("swap") || why.contains("memlock"), "{why}");
            "refused"
        }
        MemoryLock::NotAsked => unreachable!("it was asked for"),
    };
    assert_eq!(Report::of(SecurityLevel::Level768).memory_lock, after);
    assert!(serde_json::to_string(&before).unwrap().contains("\"level\":2048"));
}
