//! Key files: what is written comes back, and whatever is unsafe or wrong is refused with advice.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crypto::{KeyFile, KeyFileError, KeyKind, SignatureAlgorithm, SigningKey};
use serde_json::{Value, json};

const SEED: [u8; 32] = [0xa7; 32];
const SEED_BASE64: &str = "p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6c=";

fn key() -> SigningKey {
    SigningKey::from_seed(SignatureAlgorithm::MlDsa44, &SEED).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory with a session key in `keys/session.json`.
fn written() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys/session.json");
    KeyFile::write(&path, KeyKind::Session, "node-1", &key()).unwrap();
    (directory, path)
}

/// Reads, expects a refusal, and checks that its text holds no secret.
fn refusal(path: &Path) -> KeyFileError {
    let error = KeyFile::read(path, KeyKind::Session).unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains(SEED_BASE64) && !text.contains("p6en"), "{text}");
    }
    error
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[test]
fn a_written_key_comes_back() {
    for algorithm in SignatureAlgorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_stateful()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/identity.json");
        let key = SigningKey::from_seed(algorithm, &SEED).unwrap();
        KeyFile::write(&path, KeyKind::Identity, "node-1", &key).unwrap();
        let loaded = KeyFile::read(&path, KeyKind::Identity).unwrap();
        assert_eq!(loaded.name, "node-1");
        assert_eq!(loaded.key.public_key(), key.public_key());
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&directory.path().join("keys")), 0o700);
        let names: Vec<_> = fs::read_dir(directory.path().join("keys")).unwrap().collect();
        assert_eq!(names.len(), 1, "the temporary file is gone");
    }
}

#[test]
fn a_key_is_never_overwritten_by_accident() {
    let (_directory, path) = written();
    let other = SigningKey::generate(SignatureAlgorithm::MlDsa44).unwrap();
    let error = KeyFile::write(&path, KeyKind::Session, "other", &other).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists(_)), "{error}");
    assert_eq!(KeyFile::read(&path, KeyKind::Session).unwrap().name, "node-1");
    KeyFile::replace(&path, KeyKind::Session, "other", &other).unwrap();
    assert_eq!(KeyFile::read(&path, KeyKind::Session).unwrap().key.public_key(), other.public_key());
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_file_others_can_touch_is_refused_with_the_command_that_helps() {
    let (_directory, path) = written();
    for wrong in [0o640, 0o604, 0o660, 0o601, 0o666] {
        set_mode(&path, wrong);
        let error = refusal(&path);
        assert!(matches!(error, KeyFileError::Permissions { mode, .. } if mode == wrong));
        assert!(error.to_string().contains(&format!("chmod 600 '{}'", path.display())), "{error}");
    }
    for right in [0o600, 0o400] {
        set_mode(&path, right);
        assert!(KeyFile::read(&path, KeyKind::Session).is_ok());
    }
    let directory = path.parent().unwrap();
    set_mode(directory, 0o777);
    assert!(refusal(&path).to_string().contains("chmod go-w"));
    set_mode(directory, 0o1777);
    assert!(KeyFile::read(&path, KeyKind::Session).is_ok());
}

#[test]
fn links_out_of_the_directory_and_special_files_are_refused() {
    let (directory, path) = written();
    let outside = directory.path().join("elsewhere/link.json");
    fs::create_dir(outside.parent().unwrap()).unwrap();
    symlink(&path, &outside).unwrap();
    assert!(matches!(refusal(&outside), KeyFileError::NotAKeyFile { .. }));
    // As Kubernetes mounts secrets.
    let inside = path.with_file_name("link.json");
    symlink("session.json", &inside).unwrap();
    assert!(KeyFile::read(&inside, KeyKind::Session).is_ok());
    assert!(matches!(refusal(path.parent().unwrap()), KeyFileError::NotAKeyFile { .. }));
    assert!(matches!(refusal(Path::new("/dev/null")), KeyFileError::NotAKeyFile { .. }));
    assert!(matches!(refusal(&path.with_file_name("missing")), KeyFileError::Io { .. }));
    let dangling = path.with_file_name("dangling.json");
    symlink("nowhere", &dangling).unwrap();
    let error = KeyFile::write(&dangling, KeyKind::Session, "x", &key()).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists(_)), "{error}");
}

#[test]
fn another_kind_is_refused() {
    let (_directory, path) = written();
    let error = KeyFile::read(&path, KeyKind::Link).unwrap_err().to_string();
    assert!(error.contains("session") && error.contains("link"), "{error}");
}

#[test]
fn edited_contents_are_refused() {
    type Case = (&'static str, Value, fn(&KeyFileError) -> bool);
    let cases: [Case; 10] = [
        ("version", json!(2), |e| matches!(e, KeyFileError::Version { version: 2, .. })),
        ("format", json!("ssh"), |e| matches!(e, KeyFileError::NotAKeyFile { .. })),
        ("protection", json!("passphrase"), |e| matches!(e, KeyFileError::Protection { .. })),
        ("protection", json!(SEED_BASE64), |e| matches!(e, KeyFileError::Protection { .. })),
        ("algorithm", json!("ml-dsa-65"), |e| matches!(e, KeyFileError::Algorithm { .. })),
        ("algorithm", json!(SEED_BASE64), |e| matches!(e, KeyFileError::Malformed { .. })),
        ("tree_heights", json!([10]), |e| matches!(e, KeyFileError::NotAKeyFile { .. })),
        ("seed", json!("AAAA"), |e| matches!(e, KeyFileError::Malformed { .. })),
        ("extra", json!(SEED_BASE64), |e| matches!(e, KeyFileError::Malformed { .. })),
        ("created_unix_s", json!(SEED_BASE64), |e| matches!(e, KeyFileError::Malformed { .. })),
    ];
    for (field, value, expected) in cases {
        let (_directory, path) = written();
        edit(&path, |contents| contents[field] = value);
        let error = refusal(&path);
        assert!(expected(&error), "{field}: {error}");
    }
}

#[test]
fn a_public_key_of_another_seed_is_refused() {
    let (_directory, path) = written();
    let other = SigningKey::generate(SignatureAlgorithm::MlDsa44).unwrap().public_key();
    edit(&path, |contents| {
        contents["public_key"] = json!(other.to_string());
    });
    assert!(matches!(refusal(&path), KeyFileError::KeyMismatch { .. }));
}

#[test]
fn torn_and_oversized_files_are_refused() {
    let (_directory, path) = written();
    let bytes = fs::read(&path).unwrap();
    for len in [0, 1, 100, bytes.len() - 3] {
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(matches!(refusal(&path), KeyFileError::Malformed { .. }));
    }
    fs::write(&path, vec![b' '; 100_000]).unwrap();
    assert!(matches!(refusal(&path), KeyFileError::NotAKeyFile { .. }));
}
