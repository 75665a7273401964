//! Key files under a passphrase. The passphrase is the process', so this stands in a file of its own.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::fs::PermissionsExt as _;

use crypto::security::Security;
use crypto::{
    Argon2Cost, CryptoError, HssHeights, IdentityKey, IdentityScheme, KeyFile, KeyFileError, KeyKind, Passphrase,
    SecurityLevel, SignatureAlgorithm, SigningKey, TreeHeight, set_key_passphrase,
};
use serde_json::Value;

const SEED: [u8; 32] = [0xa7; 32];

#[test]
fn with_a_passphrase_every_key_file_is_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let bare = directory.path().join("bare.json");
    let key = SigningKey::from_seed(SignatureAlgorithm::MlDsa44, &SEED).unwrap();
    KeyFile::write(&bare, KeyKind::Session, "n", &key).unwrap();

    let passphrase = directory.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\nignored\n").unwrap();
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Passphrase::from_file(&passphrase), Err(KeyFileError::Permissions { .. })));
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    set_key_passphrase(Passphrase::from_file(&passphrase).unwrap(), Argon2Cost::TEST);

    // What was written before stays readable; replacing it seals it.
    assert!(KeyFile::read(&bare, KeyKind::Session).is_ok());
    let path = directory.path().join("session.json");
    KeyFile::write(&path, KeyKind::Session, "n", &key).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("argon2id+aes-256-gcm") && !text.contains("p6enp6en"), "{text}");
    assert_eq!(KeyFile::read(&path, KeyKind::Session).unwrap().key.public_key(), key.public_key());

    let heights = HssHeights { top: TreeHeight::H5, lower: None };
    let identity = directory.path().join("identity.json");
    let public = IdentityKey::create(&identity, "n", IdentityScheme::Hss(heights)).unwrap().public_key();
    assert!(!std::fs::read_to_string(&identity).unwrap().contains("\"seed\""));
    assert_eq!(IdentityKey::open(&identity).unwrap().public_key(), public);

    let keys = Security::open(directory.path().join("keys"), SecurityLevel::Level512).unwrap();
    keys.generate_quantum_keypair("a").unwrap();
    let pair = std::fs::read_to_string(directory.path().join("keys/a.pair.json")).unwrap();
    assert!(!pair.contains("\"secret\"") && pair.contains("\"sealed\""));
    assert_eq!(keys.quantum_decrypt(&keys.quantum_encrypt(b"m", "a").unwrap()).unwrap(), b"m");

    // Edits: the sealed seed belongs to this key, and the cost has bounds.
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        std::fs::write(&path, value.to_string()).unwrap();
        KeyFile::read(&path, KeyKind::Session).unwrap_err()
    };
    let refused = edit(&|v| v["name"] = "other".into());
    assert!(matches!(refused, KeyFileError::Unsealing { source: CryptoError::Sealed, .. }), "{refused}");
    let costly = edit(&|v| v["sealed"]["memory_kib"] = 4_000_000_000_u32.into());
    assert!(matches!(costly, KeyFileError::Unsealing { source: CryptoError::SealedCost { .. }, .. }), "{costly}");
    assert!(matches!(edit(&|v| v["protection"] = "none".into()), KeyFileError::Protection { .. }));
    assert!(matches!(edit(&|v| v["sealed"]["salt"] = "AAAA".into()), KeyFileError::Unsealing { .. }));

    // Another passphrase.
    std::fs::write(&path, &text).unwrap();
    set_key_passphrase(Passphrase::new(b"wrong").unwrap(), Argon2Cost::TEST);
    let refused = KeyFile::read(&path, KeyKind::Session).unwrap_err();
    assert!(refused.to_string().contains("passphrase is wrong"), "{refused}");
    assert!(IdentityKey::open(&identity).is_err());
    assert!(keys.quantum_sign(b"m", "a").is_err());
    assert!(!format!("{:?}", Passphrase::new(b"wrong").unwrap()).contains("wrong"));
    assert_eq!(Passphrase::new(b"").unwrap_err(), CryptoError::PassphraseEmpty);
}
