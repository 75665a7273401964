//! Evidence: what reads as evidence accuses one signer of one thing.

use consensus::Decode as _;
use consensus::evidence::Evidence;

use super::{golden, word};
use crate::Target;

/// The canonical bytes of evidence.
pub const TARGET: Target = Target { name: "evidence", seeds, run, longest: 1 << 14 };

fn seeds() -> Vec<Vec<u8>> {
    golden("evidence")
}

fn run(input: &[u8]) -> String {
    match Evidence::from_bytes(input) {
        Ok(evidence) => {
            let [first, second] = evidence.votes();
            assert!(first.signer() == second.signer() && first.signer() == evidence.accused());
            evidence.kind().name().to_owned()
        }
        Err(error) => word("", &error),
    }
}
