//! Arbitrary bytes against everything that reads bytes from outside: codec, verification, a live replica, HTTP bodies, JSON, proofs,
//! keys, the store.
//!
//! Runs on stable Rust. A target tells what it made of an input in a short word (the error's text, mostly); inputs that bring a new
//! word are kept and mutated further. That is no coverage, but it walks along the error paths of a parser as coverage does
//! (docs/decisions/0026). `scripts/fuzz [TARGET|all] [SECONDS]` is the long form, `tests/corpus.rs` the short one.

mod campaign;
mod mutate;
pub mod targets;

pub use campaign::{Campaign, Outcome, corpus_dir};

/// Something that reads bytes.
pub struct Target {
    /// The name on the command line, and of the directory of its corpus.
    pub name: &'static str,
    /// Inputs that mean something to it.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes an input and says in a word what became of it. It panics if something is wrong.
    pub run: fn(&[u8]) -> String,
    /// Longest input worth trying, in bytes.
    pub longest: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    targets::wire::TARGET,
    targets::verify::TARGET,
    targets::replica::TARGET,
    targets::store::TARGET,
    targets::proof::TARGET,
    targets::evidence::TARGET,
    targets::http::TARGET,
    targets::config::TARGET,
    targets::genesis::TARGET,
    targets::public_file::TARGET,
    targets::keyfile::TARGET,
];
