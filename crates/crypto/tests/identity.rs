//! Identity keys: each leaf signs once, whatever fails, and an old copy is noticed.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crypto::{
    CryptoError, HssHeights, IdentityError, IdentityKey, IdentityScheme, LeafCounter, MemoryCounter, PublicKey,
    SignatureAlgorithm, TreeHeight,
};
use proptest::prelude::*;

const SEED: [u8; 32] = [0xa7; 32];
const ONE_SMALL: HssHeights = HssHeights { top: TreeHeight::H5, lower: None };

fn in_memory(heights: HssHeights, next: u64) -> IdentityKey {
    IdentityKey::from_seed("v", IdentityScheme::Hss(heights), &SEED, Box::new(MemoryCounter::new(next))).unwrap()
}

fn on_disk(heights: HssHeights) -> (tempfile::TempDir, PathBuf, IdentityKey) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys/identity.json");
    let key = IdentityKey::create(&path, "v", IdentityScheme::Hss(heights)).unwrap();
    (directory, path, key)
}

#[test]
fn every_leaf_of_both_levels_signs_once_and_then_none_does() {
    for heights in [ONE_SMALL, HssHeights::SMALL] {
        let key = in_memory(heights, 0);
        let public_key = key.public_key();
        assert_eq!(heights.capacity(), key.remaining().unwrap());
        // All leaves of one level; of two levels the edges of the lower trees.
        let leaves = (0..heights.capacity())
            .filter(|leaf| heights.lower.is_none() || matches!(leaf % 32, 0 | 31) && leaf % 5 == 0);
        for leaf in leaves {
            key.skip_to(leaf).unwrap();
            let signature = key.sign("d", b"message").unwrap();
            assert_eq!(public_key.verify("d", b"message", &signature), Ok(()));
            assert_eq!(public_key.leaf_index(&signature), Some(leaf));
            assert!(signature.len() <= SignatureAlgorithm::HssLms.signature_len());
        }
        key.skip_to(heights.capacity()).unwrap();
        assert_eq!(key.remaining(), Some(0));
        let refusal = key.sign("d", b"message").unwrap_err();
        assert!(matches!(refusal, IdentityError::Exhausted { .. }), "{refusal}");
        assert!(refusal.to_string().contains("replace"));
        assert!(matches!(key.skip_to(0), Err(IdentityError::Backwards { .. })));
    }
}

#[test]
fn it_warns_before_it_ends() {
    let key = in_memory(ONE_SMALL, 29);
    assert!(!key.is_running_out());
    key.sign("d", b"m").unwrap();
    key.sign("d", b"m").unwrap();
    assert!(key.is_running_out(), "one of 32 is left");
    key.set_warning_threshold(0);
    assert!(!key.is_running_out());
}

#[test]
fn a_key_continues_where_it_stopped() {
    let (_directory, path, key) = on_disk(HssHeights::SMALL);
    let public_key = key.public_key();
    assert_eq!(public_key.leaf_index(&key.sign("d", b"m").unwrap()), Some(0));
    drop(key);
    let key = IdentityKey::open(&path).unwrap();
    assert_eq!(key.name(), "v");
    assert_eq!(key.public_key(), public_key);
    assert_eq!(key.scheme(), IdentityScheme::Hss(HssHeights::SMALL));
    assert_eq!(public_key.leaf_index(&key.sign("d", b"m").unwrap()), Some(1));
    drop(key);
    // Without the cache, and with a damaged one, the same key comes up.
    let cache = path.with_extension("tree");
    for damage in [None, Some(vec![0x5a; 100]), Some(vec![])] {
        std::fs::remove_file(&cache).unwrap();
        if let Some(bytes) = damage {
            std::fs::write(&cache, bytes).unwrap();
        }
        let key = IdentityKey::open(&path).unwrap();
        assert_eq!(key.public_key(), public_key);
    }
}

#[test]
fn two_processes_do_not_share_a_key() {
    let (_directory, path, key) = on_disk(ONE_SMALL);
    assert!(matches!(IdentityKey::open(&path), Err(IdentityError::InUse(_))));
    drop(key);
    assert!(IdentityKey::open(&path).is_ok());
    let again = IdentityKey::create(&path, "v", IdentityScheme::Hss(ONE_SMALL));
    assert!(matches!(again, Err(IdentityError::KeyFile(_))));
}

#[test]
fn a_restored_backup_is_noticed() {
    let (directory, path, key) = on_disk(ONE_SMALL);
    let public_key = key.public_key();
    let counter = path.with_extension("leaf");
    let backup = std::fs::read(&counter).unwrap();
    let signature = key.sign("rotation", b"m").unwrap();
    let seen = public_key.leaf_index(&signature).unwrap();
    key.check_watermark(seen).unwrap();
    drop(key);
    std::fs::write(&counter, backup).unwrap();
    let old = IdentityKey::open(&path).unwrap();
    let refusal = old.check_watermark(seen).unwrap_err();
    assert!(matches!(refusal, IdentityError::Rollback { next: 0, highest_seen: 0, .. }), "{refusal}");
    assert!(refusal.to_string().contains("replace this validator's identity"), "{refusal}");
    drop(old);

    std::fs::remove_file(&counter).unwrap();
    assert!(matches!(IdentityKey::open(&path), Err(IdentityError::CounterMissing(_))));
    for (text, why) in [
        ("", "damaged"),
        ("{}", "damaged"),
        (r#"{"format":"agent-mesh-leaf-counter","version":2,"key":"00","next_leaf":0}"#, "damaged"),
    ] {
        write_private(&counter, text);
        assert!(IdentityKey::open(&path).unwrap_err().to_string().contains(why));
    }
    let other = directory.path().join("other/identity.json");
    drop(IdentityKey::create(&other, "w", IdentityScheme::Hss(ONE_SMALL)).unwrap());
    std::fs::copy(other.with_extension("leaf"), &counter).unwrap();
    assert!(IdentityKey::open(&path).unwrap_err().to_string().contains("another key"));
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A disk that is full at some writes. What it kept, and whether it reported that, differ as on real disks.
struct Failing {
    next: u64,
    /// The writes to come: succeed, fail, fail after having written.
    plan: Arc<Mutex<Vec<u8>>>,
    durable: Arc<Mutex<u64>>,
}

impl LeafCounter for Failing {
    fn next(&self) -> u64 {
        self.next
    }

    fn skip_to(&mut self, leaf: u64) -> Result<(), IdentityError> {
        self.next = leaf;
        let outcome = self.plan.lock().unwrap().pop().unwrap_or(0);
        if outcome != 1 {
            *self.durable.lock().unwrap() = leaf;
        }
        if outcome == 0 {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(IdentityError::Counter { path: PathBuf::from("x.leaf"), source })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_full_disk_signs_nothing_and_no_leaf_signs_twice(plan in prop::collection::vec(0..3_u8, 1..20)) {
        let (plan, durable) = (Arc::new(Mutex::new(plan)), Arc::new(Mutex::new(0)));
        let counter = Failing { next: 0, plan: plan.clone(), durable: durable.clone() };
        let scheme = IdentityScheme::Hss(ONE_SMALL);
        let mut key = IdentityKey::from_seed("v", scheme, &SEED, Box::new(counter)).unwrap();
        let mut used = BTreeSet::new();
        while !plan.lock().unwrap().is_empty() {
            let failing = plan.lock().unwrap().last().copied() != Some(0);
            match key.sign("d", b"m") {
                Ok(signature) => {
                    prop_assert!(!failing);
                    let leaf = key.public_key().leaf_index(&signature).unwrap();
                    prop_assert!(used.insert(leaf), "leaf {} signed twice", leaf);
                    prop_assert!(*durable.lock().unwrap() > leaf);
                }
                Err(error) => {
                    prop_assert!(failing);
                    prop_assert!(error.to_string().contains("nothing was signed"));
                    // The process dies of it and comes back with what the disk kept.
                    let next = *durable.lock().unwrap();
                    let counter = Failing { next, plan: plan.clone(), durable: durable.clone() };
                    key = IdentityKey::from_seed("v", scheme, &SEED, Box::new(counter)).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(place in any::<prop::sample::Index>(), bit in 0..8_u32, two_levels: bool) {
        let key = in_memory(if two_levels { HssHeights::SMALL } else { ONE_SMALL }, 7);
        let public_key = key.public_key();
        let signature = key.sign("d", b"message").unwrap();
        prop_assert_eq!(public_key.verify("d", b"message", &signature), Ok(()));
        let mut flipped = signature.clone();
        flipped[place.index(signature.len())] ^= 1 << bit;
        prop_assert!(public_key.verify("d", b"message", &flipped).is_err());
        prop_assert!(public_key.verify("d", b"messagf", &signature).is_err());
        prop_assert!(public_key.verify("e", b"message", &signature).is_err());
        let mut foreign = public_key.as_bytes().to_vec();
        foreign[place.index(60)] ^= 1 << bit;
        if let Ok(foreign) = PublicKey::from_bytes(SignatureAlgorithm::HssLms, &foreign) {
            prop_assert!(foreign.verify("d", b"message", &signature).is_err());
        }
    }

    #[test]
    fn truncated_and_extended_signatures_are_refused(len in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 1..100)) {
        let key = in_memory(HssHeights::SMALL, 1023);
        let signature = key.sign("d", b"m").unwrap();
        let cut = &signature[..len.index(signature.len())];
        prop_assert_eq!(key.public_key().verify("d", b"m", cut), Err(CryptoError::SignatureInvalid));
        prop_assert_eq!(key.public_key().leaf_index(cut), None);
        let long = [signature.as_slice(), &tail].concat();
        prop_assert_eq!(key.public_key().verify("d", b"m", &long), Err(CryptoError::SignatureInvalid));
        prop_assert_eq!(key.public_key().leaf_index(&long), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..7_000), codes in prop::array::uniform4(0..12_u8)) {
        let key = in_memory_key();
        prop_assert!(key.verify("d", b"m", &bytes).is_err());
        // Bytes that begin as a signature does.
        let mut likely = bytes;
        if likely.len() > 2_200 {
            likely[..12].copy_from_slice(&[0, 0, 0, codes[0] % 3, 0, 0, 0, codes[1], 0, 0, 0, codes[2]]);
            prop_assert!(key.verify("d", b"m", &likely).is_err());
        }
        let mut public = vec![0, 0, 0, codes[0], 0, 0, 0, codes[1], 0, 0, 0, codes[2]];
        public.resize(60, codes[3]);
        if let Ok(key) = PublicKey::from_bytes(SignatureAlgorithm::HssLms, &public) {
            prop_assert!((1..=2).contains(&codes[0]) && (5..=9).contains(&codes[1]) && (3..=4).contains(&codes[2]));
            prop_assert!(key.verify("d", b"m", &likely).is_err());
        }
    }
}

fn in_memory_key() -> PublicKey {
    static KEY: std::sync::OnceLock<PublicKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| in_memory(HssHeights::SMALL, 0).public_key()).clone()
}

#[test]
fn stateless_identities_have_no_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity.json");
    let scheme = IdentityScheme::Stateless(SignatureAlgorithm::SlhDsaSha2_128f);
    let key = IdentityKey::create(&path, "v", scheme).unwrap();
    let key = IdentityKey::open(&path).map(|again| (again.public_key() == key.public_key(), again)).unwrap();
    assert!(key.0);
    let signature = key.1.sign("d", b"m").unwrap();
    assert_eq!(key.1.public_key().verify("d", b"m", &signature), Ok(()));
    assert_eq!((key.1.remaining(), key.1.next_leaf(), key.1.is_running_out()), (None, None, false));
    assert_eq!(key.1.public_key().leaf_index(&signature), None);
    key.1.check_watermark(u64::MAX).unwrap();
}

#[test]
fn heights_have_a_text_and_a_json_form() {
    for (text, json) in [("10/10", "[10,10]"), ("5", "[5]"), ("25/20", "[25,20]")] {
        let heights: HssHeights = text.parse().unwrap();
        assert_eq!(heights.to_string(), text);
        assert_eq!(serde_json::to_string(&heights).unwrap(), json);
        assert_eq!(serde_json::from_str::<HssHeights>(json).unwrap(), heights);
    }
    for bad in ["", "11", "10/10/10", "10/", "a", "-5"] {
        assert_eq!(bad.parse::<HssHeights>(), Err(CryptoError::TreeHeight), "{bad}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let (_directory, path, key) = on_disk(ONE_SMALL);
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let seed = stored["seed"].as_str().unwrap().to_owned();
    let shown = format!("{key:?} {key:#?} {:?}", in_memory(ONE_SMALL, 0));
    assert!(shown.contains("[secret]"));
    assert!(!shown.contains(&seed) && !shown.contains("a7a7a7") && !shown.contains("167, 167"), "{shown}");
}

/// Heights up to 20, which take minutes: `cargo nextest run -p crypto --release --run-ignored only tall_trees`.
#[test]
#[ignore = "takes minutes"]
fn tall_trees() {
    for text in ["10", "10/10", "15", "15/5", "20"] {
        let heights: HssHeights = text.parse().unwrap();
        let key = in_memory(heights, heights.capacity() - 1);
        let signature = key.sign("d", b"m").unwrap();
        assert_eq!(key.public_key().verify("d", b"m", &signature), Ok(()), "{text}");
        assert_eq!(key.public_key().leaf_index(&signature), Some(heights.capacity() - 1));
        assert!(matches!(key.sign("d", b"m"), Err(IdentityError::Exhausted { .. })));
    }
}
