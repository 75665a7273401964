//! Key files.

use std::cell::RefCell;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use crypto::{KeyFile, KeyKind, SignatureAlgorithm, SigningKey};

use super::word;
use crate::Target;

/// The content of a key file.
pub const TARGET: Target = Target { name: "keyfile", seeds, run, longest: 1 << 13 };

thread_local! {
    static DIR: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

fn in_dir<T>(then: impl FnOnce(&std::path::Path) -> T) -> T {
    DIR.with_borrow_mut(|slot| {
        let dir = slot.get_or_insert_with(|| match tempfile::tempdir() {
            Ok(dir) => dir,
            Err(error) => panic!("no temporary directory: {error}"),
        });
        then(dir.path())
    })
}

fn seeds() -> Vec<Vec<u8>> {
    in_dir(|dir| {
        let path = dir.join("seed.json");
        let key = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &[7; 32]);
        let written = key.is_ok_and(|key| KeyFile::replace(&path, KeyKind::Session, "v0", &key).is_ok());
        if written { std::fs::read(path).into_iter().collect() } else { Vec::new() }
    })
}

fn run(input: &[u8]) -> String {
    in_dir(|dir| {
        let path = dir.join("key.json");
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        if file.and_then(|mut file| file.write_all(input)).is_err() {
            return "cannot write".to_owned();
        }
        match KeyFile::read(&path, KeyKind::Session) {
            Ok(key) => format!("ok {}", key.name.len()),
            Err(error) => word("", &error.to_string().replace(&*dir.to_string_lossy(), "")),
        }
    })
}
