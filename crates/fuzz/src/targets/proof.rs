//! Proofs of values against the genesis.

use consensus::Decode as _;
use consensus::epoch::EpochContext;
use consensus::genesis::Genesis;
use consensus::proof::ValueProof;
use consensus::types::Epoch;

use super::{golden, word};
use crate::Target;

/// The canonical bytes of a proof; the genesis is that of the golden vectors.
pub const TARGET: Target = Target { name: "proof", seeds, run, longest: 1 << 14 };

fn seeds() -> Vec<Vec<u8>> {
    golden("proof")
}

fn genesis() -> Option<&'static Genesis> {
    static GENESIS: std::sync::OnceLock<Option<Genesis>> = std::sync::OnceLock::new();
    GENESIS.get_or_init(|| golden("genesis").first().and_then(|bytes| Genesis::from_bytes(bytes).ok())).as_ref()
}

fn run(input: &[u8]) -> String {
    let Some(genesis) = genesis() else { panic!("the golden genesis does not read") };
    match ValueProof::from_bytes(input).map(|proof| (proof.verify(genesis).map(drop), proof)) {
        Ok((Ok(()), proof)) => {
            // Whatever verifies says something about a value of this chain; its description must not fail either.
            if proof.header.header().epoch == Epoch::ZERO {
                let context = EpochContext::of_genesis(genesis);
                assert!(proof.describe(&context, proof.links.first().map(AsRef::as_ref)).is_ok());
            }
            "valid".to_owned()
        }
        Ok((Err(error), _)) => word("refused ", &error),
        Err(error) => word("", &error),
    }
}
