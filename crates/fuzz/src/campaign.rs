//! One target under fire: mutate, run, keep what brings something new, and keep what panics.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::Target;
use crate::mutate::mutate;

/// Inputs that a campaign mutates, at most.
const MOST_KEPT: usize = 4_096;

/// What a campaign has seen.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Inputs run.
    pub runs: u64,
    /// Different words that the target has answered.
    pub words: usize,
    /// Bytes that made it panic.
    pub panicked: Option<Vec<u8>>,
}

/// A campaign against one target.
pub struct Campaign {
    target: &'static Target,
    rng: Rng,
    inputs: Vec<Vec<u8>>,
    words: BTreeSet<String>,
    outcome: Outcome,
}

/// The directory of a target's corpus.
pub fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

impl Campaign {
    /// Begins with the target's seeds and its corpus.
    pub fn new(target: &'static Target, seed: u64) -> Self {
        let mut inputs = (target.seeds)();
        let mut files: Vec<PathBuf> = std::fs::read_dir(corpus_dir(target.name))
            .map(|entries| entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
            .unwrap_or_default();
        files.sort();
        inputs.extend(files.iter().filter_map(|path| std::fs::read(path).ok()));
        Self {
            target,
            rng: Rng::with_seed(seed),
            inputs: vec![Vec::new()],
            words: BTreeSet::new(),
            outcome: Outcome::default(),
        }
        .with_inputs(inputs)
    }

    fn with_inputs(mut self, inputs: Vec<Vec<u8>>) -> Self {
        for input in inputs {
            self.try_input(&input);
            self.inputs.push(input);
        }
        self
    }

    /// Runs `count` mutated inputs; stops at a panic.
    pub fn run(&mut self, count: u64) -> &Outcome {
        for _ in 0..count {
            if self.outcome.panicked.is_some() {
                break;
            }
            let at = self.rng.usize(..self.inputs.len());
            let input = mutate(&mut self.rng, &self.inputs[at], &self.inputs, self.target.longest);
            if self.try_input(&input) && self.inputs.len() < MOST_KEPT {
                self.inputs.push(input);
            }
        }
        &self.outcome
    }

    /// Whether the target answered with a new word.
    fn try_input(&mut self, input: &[u8]) -> bool {
        self.outcome.runs += 1;
        let Ok(word) = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input))) else {
            self.outcome.panicked = Some(input.to_vec());
            return false;
        };
        let new = self.words.insert(word);
        self.outcome.words = self.words.len();
        new
    }

    /// What has been seen so far.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}
