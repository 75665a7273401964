//! Configuration files.

use node::config::Config;

use super::word;
use crate::Target;

/// The text of a configuration file.
pub const TARGET: Target = Target { name: "config", seeds, run, longest: 1 << 14 };

fn seeds() -> Vec<Vec<u8>> {
    vec![Config::example().into_bytes(), b"{}".to_vec(), br#"{"consensus": {"algorithm": "x"}}"#.to_vec()]
}

fn run(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "not UTF-8".to_owned() };
    match Config::load(text, &|_| None) {
        Ok((config, warnings)) => {
            // What was loaded can be shown and loaded again.
            let shown = config.to_json().to_string();
            assert!(Config::load(&shown, &|_| None).is_ok(), "{shown}");
            format!("ok {}", warnings.len())
        }
        Err(error) => word("", &error),
    }
}
