//! Tests of the operations by name.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::sealed::{Argon2Cost, Passphrase};

fn fresh(level: SecurityLevel) -> (tempfile::TempDir, Security) {
    let directory = tempfile::tempdir().unwrap();
    let security = Security::open(directory.path().join("keys"), level).unwrap();
    (directory, security)
}

#[test]
fn two_parties_exchange_encrypted_and_signed_messages_at_every_level() {
    for level in [SecurityLevel::Level512, SecurityLevel::Level768, SecurityLevel::Level1024, SecurityLevel::Level2048]
    {
        let ((_a, alice), (_b, bob)) = (fresh(level), fresh(level));
        alice.generate_quantum_keypair("alice").unwrap();
        bob.generate_quantum_keypair("bob").unwrap();
        alice.import(&bob.export("bob").unwrap(), None, false).unwrap();
        bob.import(&alice.export("alice").unwrap(), Some("partner"), false).unwrap();
        let message = b"ten tons of steel";
        let container = alice.quantum_encrypt(message, "bob").unwrap();
        let signature = alice.quantum_sign(&container, "alice").unwrap();
        bob.quantum_verify(&container, &signature, "partner").unwrap();
        assert_eq!(bob.quantum_decrypt(&container).unwrap(), message);
        assert!(matches!(alice.quantum_decrypt(&container), Err(SecurityError::NotForMe(_))));
        assert!(matches!(bob.quantum_verify(b"other", &signature, "partner"), Err(SecurityError::SignatureInvalid(_))));
        assert!(matches!(bob.quantum_verify(&container, &signature, "bob"), Err(SecurityError::OtherSigner { .. })));
        assert!(matches!(bob.quantum_sign(message, "partner"), Err(SecurityError::NoSecret(_))));
        assert!(matches!(bob.quantum_encrypt(message, "carol"), Err(SecurityError::Unknown(_))));
        assert_eq!(
            bob.list().unwrap().iter().map(|e| (e.name.as_str(), e.own)).collect::<Vec<_>>(),
            [("bob", true), ("partner", false)]
        );
    }
}

#[test]
fn a_one_time_pair_signs_once() {
    let (_d, keys) = fresh(SecurityLevel::Level768);
    keys.generate_one_time_keypair("once").unwrap();
    let secret = keys.once_path("once");
    assert!(!keys.show("once").unwrap().used);
    assert!(matches!(keys.quantum_encrypt(b"m", "once"), Err(SecurityError::NoEncryption(_))));
    assert!(matches!(keys.rotate("once", false), Err(SecurityError::OneTimeRotation(_))));
    let copy = std::fs::read(&secret).unwrap();
    let signature = keys.quantum_sign(b"m", "once").unwrap();
    keys.quantum_verify(b"m", &signature, "once").unwrap();
    assert!(!secret.exists() && keys.show("once").unwrap().used);
    assert!(matches!(keys.quantum_sign(b"n", "once"), Err(SecurityError::Used(_))));
    // Whoever brings the secret back finds the counter in the way.
    std::fs::write(&secret, copy).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(keys.quantum_sign(b"n", "once"), Err(SecurityError::Used(_))));
    assert!(matches!(keys.generate_quantum_keypair("once"), Err(SecurityError::Exists(_))));
}

#[test]
fn rotation_is_followed_by_those_who_know_the_old_keys() {
    let ((_a, alice), (_b, bob)) = (fresh(SecurityLevel::Level512), fresh(SecurityLevel::Level512));
    let first = alice.generate_quantum_keypair("alice").unwrap();
    bob.import(&alice.export("alice").unwrap(), None, false).unwrap();
    let old_container = bob.quantum_encrypt(b"before", "alice").unwrap();
    let second = alice.rotate("alice", false).unwrap();
    assert_eq!((first.generation(), second.generation()), (0, 1));
    assert_ne!(first.signature_key(), second.signature_key());
    assert_eq!(alice.quantum_decrypt(&old_container).unwrap(), b"before");
    bob.import(&second.to_json(), None, false).unwrap();
    assert!(matches!(bob.import(&first.to_json(), None, false), Err(SecurityError::Stale { .. })));
    let container = bob.quantum_encrypt(b"after", "alice").unwrap();
    assert_eq!(alice.quantum_decrypt(&container).unwrap(), b"after");

    alice.rotate("alice", true).unwrap();
    assert!(matches!(alice.quantum_decrypt(&container), Err(SecurityError::NotForMe(_))), "erased is erased");
    // Another key under the same name needs a person's word.
    let (_m, mallory) = fresh(SecurityLevel::Level512);
    mallory.generate_quantum_keypair("alice").unwrap();
    mallory.rotate("alice", true).unwrap();
    let forged = mallory.rotate("alice", true).unwrap();
    assert!(matches!(bob.import(&forged.to_json(), None, false), Err(SecurityError::NoSuccession(_))));
    assert!(matches!(alice.import(&forged.to_json(), None, true), Err(SecurityError::Own(_))));
    bob.import(&forged.to_json(), None, true).unwrap();
}

#[test]
fn changed_public_files_are_refused() {
    let (_d, keys) = fresh(SecurityLevel::Level512);
    let text = keys.generate_quantum_keypair("alice").unwrap().to_json();
    let (_e, other) = fresh(SecurityLevel::Level512);
    for (from, to) in
        [("\"alice\"", "\"mallory\""), ("\"generation\": 0", "\"generation\": 7"), ("false", "true"), ("512", "768")]
    {
        assert!(text.contains(from));
        let changed = text.replace(from, to);
        assert!(other.import(&changed, None, false).is_err(), "{from}");
    }
    for len in (0..text.len() - 1).step_by(97) {
        assert!(other.import(&text[..len], None, false).is_err());
    }
    assert!(other.import(&" ".repeat(MAX_FILE_LEN + 1), None, false).unwrap_err().to_string().contains("longer"));
    for name in ["", "a/b", "..", "a.b", "ä"] {
        assert!(matches!(keys.generate_quantum_keypair(name), Err(SecurityError::Name(_))), "{name}");
    }
    assert!(matches!(Security::open("/nowhere", SecurityLevel::Classical), Err(SecurityError::Level)));
}

#[test]
fn a_backup_comes_back_and_never_over_something_else() {
    let ((_a, keys), (_b, other)) = (fresh(SecurityLevel::Level512), fresh(SecurityLevel::Level512));
    keys.generate_quantum_keypair("alice").unwrap();
    keys.rotate("alice", false).unwrap();
    keys.generate_one_time_keypair("once").unwrap();
    let passphrase = Passphrase::new(b"a long passphrase").unwrap();
    let (text, report) = keys.backup(&passphrase, Argon2Cost::TEST).unwrap();
    assert_eq!(report.files, ["alice.g0.pair.json", "alice.pair.json", "alice.pub.json", "once.pub.json"]);
    assert_eq!(report.left_out, ["once.once.json"]);
    assert!(!text.contains("ml-kem"), "all of it is sealed");
    let wrong = Passphrase::new(b"another").unwrap();
    assert!(matches!(other.restore(&text, &wrong), Err(SecurityError::Crypto(_))));
    assert_eq!(other.restore(&text, &passphrase).unwrap().restored.len(), 4);
    assert_eq!(other.restore(&text, &passphrase).unwrap().present.len(), 4);
    let container = keys.quantum_encrypt(b"m", "alice").unwrap();
    assert_eq!(other.quantum_decrypt(&container).unwrap(), b"m");
    other.rotate("alice", true).unwrap();
    assert!(matches!(other.restore(&text, &passphrase), Err(SecurityError::RestoreConflict(_))));
    for len in (0..text.len() - 1).step_by(211) {
        assert!(other.restore(&text[..len], &passphrase).is_err());
    }
}

#[test]
fn a_ready_pair_is_used_and_no_secret_shows() {
    let pool = crate::pool::KeyPool::start(SecurityLevel::Level512, 2).unwrap();
    pool.wait_until_full();
    let (_d, keys) = fresh(SecurityLevel::Level512);
    let pair = pool.take().unwrap();
    assert!(format!("{pair:?} {pool:?}").contains("[secret]"));
    keys.generate_from("alice", pair).unwrap();
    assert_eq!(pool.counts().hits, 1);
    let file = std::fs::read_to_string(keys.pair_path("alice")).unwrap();
    let secret = serde_json::from_str::<serde_json::Value>(&file).unwrap()["secret"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::metadata(keys.pair_path("alice")).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = format!("{keys:?} {:?} {:?}", keys.show("alice").unwrap(), keys.public("alice").unwrap());
    assert!(!shown.contains(&secret[..40]));
}
