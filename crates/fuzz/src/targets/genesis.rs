//! Genesis files.

use consensus::genesis::Genesis;

use super::{vectors, word};
use crate::Target;

/// The text of a genesis file.
pub const TARGET: Target = Target { name: "genesis", seeds, run, longest: 1 << 16 };

fn seeds() -> Vec<Vec<u8>> {
    vectors("genesis-classical", ".json").into_iter().chain(vectors("genesis-nofast", ".json")).collect()
}

fn run(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "not UTF-8".to_owned() };
    match Genesis::from_json(text) {
        Ok(genesis) => {
            let again = Genesis::from_json(&genesis.to_json());
            assert!(again.is_ok_and(|again| again == genesis), "what was read is written otherwise");
            "ok".to_owned()
        }
        Err(error) => word("", &error),
    }
}
