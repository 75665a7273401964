//! Public files of validators, from which a genesis is made.

use node::setup::PublicFile;

use super::word;
use crate::Target;

/// The text of a public file.
pub const TARGET: Target = Target { name: "public_file", seeds, run, longest: 1 << 14 };

fn seeds() -> Vec<Vec<u8>> {
    vec![br#"{"format":"agent-mesh-validator","version":1,"name":"v0","address":"127.0.0.1:1","level":512}"#.to_vec()]
}

fn run(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "not UTF-8".to_owned() };
    match PublicFile::from_json(text) {
        Ok(file) => match file.check() {
            Ok(()) => format!("ok {}", file.fingerprint().len()),
            Err(error) => word("refused ", &error),
        },
        Err(error) => word("", &error),
    }
}
