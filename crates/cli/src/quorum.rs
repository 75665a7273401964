//! `agent-mesh quorum`: what a number of validators tolerates, with the arithmetic.

use std::path::PathBuf;

use consensus::params;
use node::views::QuorumView;
use serde::Serialize;

use crate::failure::Outcome;
use crate::input::read_config;
use crate::output::{Output, print, print_document};

/// Arguments of `quorum`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of validators.
    #[arg(long, value_name = "N")]
    validators: u32,
    /// Byzantine validators to tolerate; by default as many as possible.
    #[arg(long, value_name = "F")]
    max_byzantine: Option<u32>,
    /// Crashed validators to tolerate beside them; by default as many as then fit.
    #[arg(long, value_name = "C")]
    max_crashed: Option<u32>,
    /// Configuration with another `adaptive_range`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The JSON answer: flat integers, and the arithmetic in words.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    numbers: QuorumView,
    why: String,
}

/// Runs `quorum`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let [low, high] = match &args.config {
        Some(path) => read_config(Some(path))?.config.consensus.adaptive_range,
        None => node::config::Config::default().consensus.adaptive_range,
    };
    let q = params::derive(args.validators, args.max_byzantine, args.max_crashed, low, high)?;
    if output.json {
        return print_document(&Answer { numbers: QuorumView::of(&q), why: q.explain() });
    }
    print(format!(
        "n = {}  f = {}  c = {}  q_min = {}  q_max = {}  q_fast = {}",
        q.n(),
        q.f(),
        q.c(),
        q.q_min(),
        q.q_max(),
        q.q_fast()
    ))?;
    print(q.explain())
}
