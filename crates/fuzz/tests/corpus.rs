//! The short form: every seed and every kept input, and some thousand mutations from a fixed seed, against every target.

use fuzz::{Campaign, TARGETS};

/// Mutated inputs per target.
const RUNS: u64 = 1_500;

fn survives(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let mut campaign = Campaign::new(target, 1);
    let outcome = campaign.run(RUNS);
    assert_eq!(outcome.panicked, None, "repeat with: scripts/fuzz {name} 60 1");
    assert!(outcome.words >= 3, "the target always answers the same: {}", outcome.words);
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            survives(stringify!($name));
        })*

        #[test]
        fn every_target_has_its_test() {
            let tested = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|target| tested.contains(&target.name)));
        }
    };
}

targets!(wire, verify, replica, store, proof, evidence, http, config, genesis, public_file, keyfile);
