//! `agent-mesh sim`: the network in virtual time, with attackers, faults and invariants.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ::sim::report::Report;
use ::sim::sweep::sweep;
use ::sim::{Scenario, Simulation, plot};
use serde::Serialize;

use crate::failure::{FAILED, Failure, Outcome};
use crate::output::{Output, note, print, print_document};
use crate::study;

/// Arguments of `sim`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Scenario to run (JSON, see docs/reliability.md and data/scenarios/); a calm network of six by default.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Draw size, bounds, attackers and faults from the seed, within what the network withstands.
    #[arg(long, conflicts_with_all = ["scenario", "validators"])]
    random: bool,
    /// Number of validators, instead of the scenario's.
    #[arg(long, value_name = "N")]
    validators: Option<u16>,
    /// Seed of all randomness, instead of the scenario's; the first one with --runs.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Runs, each with the next seed.
    #[arg(long, value_name = "K", default_value_t = 1)]
    runs: u64,
    /// Runs at once.
    #[arg(long, value_name = "T", default_value_t = default_threads())]
    threads: usize,
    /// Write pictures (SVG) of the run into this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "runs")]
    plot: Option<PathBuf>,
    /// Print the scenario as JSON instead of running it.
    #[arg(long)]
    show: bool,
}

/// The subcommands of `sim`.
#[derive(clap::Subcommand)]
enum Verb {
    /// Compare the optimizer's policies over regimes, sizes and seeds (docs/optimizer.md).
    Study(study::Args),
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The answer of many runs.
#[derive(Serialize)]
struct Sweep {
    runs: u64,
    first_seed: u64,
    violations: u64,
    failed_seeds: Vec<u64>,
    views: u64,
    blocks: u64,
    events: u64,
    values: u64,
    expired: u64,
    longest_wait_in_views: u64,
    runs_with_byzantine: u64,
    runs_with_proof_of_guilt: u64,
    trace_hash: String,
}

/// Runs `sim`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    if let Some(Verb::Study(args)) = &args.verb {
        return study::run(args, output);
    }
    let base = match &args.scenario {
        Some(path) => read_scenario(path)?,
        None => Scenario::default(),
    };
    let first = args.seed.unwrap_or(base.seed);
    let scenario = |seed: u64| {
        if args.random {
            return Scenario::random(seed);
        }
        let validators = args.validators.unwrap_or(base.validators);
        Scenario { seed, validators, ..base.clone() }
    };
    if args.show {
        return print_document(&scenario(first));
    }
    if args.runs != 1 {
        return many(args, first, &scenario, output);
    }
    let chosen = scenario(first);
    let simulation = Simulation::new(chosen.clone()).map_err(Failure::usage)?;
    let (report, samples) = simulation.run_with_samples();
    if let Some(dir) = &args.plot {
        std::fs::create_dir_all(dir).map_err(|error| Failure::failed(error).at(dir.display()))?;
        for (name, svg) in plot::pictures(&chosen, &report, &samples) {
            let path = dir.join(name);
            std::fs::write(&path, svg).map_err(|error| Failure::failed(error).at(path.display()))?;
            note(format!("wrote {}", path.display()));
        }
    }
    if output.json {
        print_document(&report)?;
    } else {
        print(words(&report))?;
    }
    verdict(&report, &repeat(args, first))
}

fn read_scenario(path: &Path) -> Outcome<Scenario> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(error).at(path.display()))?;
    Scenario::from_json(&text).map_err(|error| Failure::usage(error).at(path.display()))
}

/// The one command that repeats a run.
fn repeat(args: &Args, seed: u64) -> String {
    let mut command = vec!["agent-mesh sim".to_owned()];
    command.extend(args.random.then(|| "--random".to_owned()));
    command.extend(args.scenario.as_ref().map(|path| format!("--scenario {}", path.display())));
    command.extend(args.validators.map(|validators| format!("--validators {validators}")));
    command.push(format!("--seed {seed}"));
    command.join(" ")
}

fn verdict(report: &Report, repeat: &str) -> Outcome {
    if report.violations.is_empty() {
        return Ok(());
    }
    let bound = if report.bound.kept {
        "although the scenario keeps to the bound: this is a fault of the program"
    } else {
        "beyond the bound that the network is made for"
    };
    let guilty: Vec<String> = report.guilty.iter().map(|(index, what)| format!("v{index} ({what})")).collect();
    let guilty = if guilty.is_empty() { "nobody".to_owned() } else { guilty.join(", ") };
    let broken = report.violations.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
    Err(Failure::new(
        FAILED,
        format!(
            "{} violations, {bound}\n  {broken}\nprovably guilty: {guilty}\nrepeat with: {repeat}",
            report.violations.len()
        ),
    ))
}

fn many(args: &Args, first: u64, scenario: &(dyn Fn(u64) -> Scenario + Sync), output: Output) -> Outcome {
    let bar = Bar::new(args.runs);
    let done = |report: &Report| {
        bar.step(report.violations.is_empty());
        if !report.violations.is_empty() {
            bar.clear();
            note(format!(
                "seed {}: {}\n  repeat with: {}",
                report.seed,
                report.violations[0],
                repeat(args, report.seed)
            ));
        }
    };
    let reports = sweep(first, args.runs, args.threads, scenario, &done).map_err(Failure::usage)?;
    bar.clear();
    let failed_seeds: Vec<u64> = reports.iter().filter(|r| !r.violations.is_empty()).map(|r| r.seed).collect();
    let sum = |pick: fn(&Report) -> u64| reports.iter().map(pick).sum::<u64>();
    let answer = Sweep {
        runs: args.runs,
        first_seed: first,
        violations: sum(|r| r.violations.len() as u64),
        views: sum(|r| r.view),
        blocks: sum(|r| r.height),
        events: sum(|r| r.events),
        values: sum(|r| r.submitted),
        expired: sum(|r| r.expired),
        longest_wait_in_views: reports.iter().map(|r| r.longest_wait_in_views).max().unwrap_or(0),
        runs_with_byzantine: sum(|r| u64::from(!r.byzantine.is_empty())),
        runs_with_proof_of_guilt: sum(|r| u64::from(!r.guilty.is_empty())),
        trace_hash: ::sim::report::hash_of_hashes(&reports),
        failed_seeds,
    };
    if output.json {
        print_document(&answer)?;
    } else {
        print(format!(
            "{} runs from seed {first}: {} violations in {} runs\n{} views, {} blocks, {} values ({} expired), {} events\n\
             {} runs with Byzantine validators, {} with proof of guilt; longest wait after the faults {} views\ntrace {}",
            answer.runs,
            answer.violations,
            answer.failed_seeds.len(),
            answer.views,
            answer.blocks,
            answer.values,
            answer.expired,
            answer.events,
            answer.runs_with_byzantine,
            answer.runs_with_proof_of_guilt,
            answer.longest_wait_in_views,
            answer.trace_hash
        ))?;
    }
    match answer.failed_seeds.first() {
        None => Ok(()),
        Some(seed) => Err(Failure::new(FAILED, format!("repeat the first failure with: {}", repeat(args, *seed)))),
    }
}

/// A progress bar on standard error; nothing when nobody watches.
struct Bar {
    total: u64,
    done: AtomicU64,
    failed: AtomicU64,
    shown: bool,
}

impl Bar {
    fn new(total: u64) -> Self {
        let shown = std::io::stderr().is_terminal();
        Self { total, done: AtomicU64::new(0), failed: AtomicU64::new(0), shown }
    }

    fn step(&self, sound: bool) {
        const WIDTH: u64 = 40;
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = self.failed.fetch_add(u64::from(!sound), Ordering::Relaxed) + u64::from(!sound);
        if self.shown {
            let filled = (done * WIDTH / self.total.max(1)) as usize;
            let bar = format!("{}{}", "=".repeat(filled), " ".repeat(WIDTH as usize - filled));
            // Nobody is there to be told that standard error is closed.
            let _ = write!(std::io::stderr(), "\r[{bar}] {done}/{} runs, {failed} failed", self.total);
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{:78}\r", "");
        }
    }
}

fn words(report: &Report) -> String {
    let ms = |us: u64| format!("{}.{} ms", us / 1_000, us % 1_000 / 100);
    let blocks = report.fast_blocks + report.slow_blocks;
    let per_block = |sum: u64| sum.checked_div(blocks).unwrap_or(0);
    let spread = |s: &::sim::Spread| {
        format!(
            "mean {}  p50 {}  p90 {}  p99 {}  max {}",
            ms(s.mean_us),
            ms(s.p50_us),
            ms(s.p90_us),
            ms(s.p99_us),
            ms(s.max_us)
        )
    };
    format!(
        "{} validators (f={}, c={}), seed {}, {} s of virtual time\n\
         values      {} handed in, {} final, {} expired; longest silence {}\n\
         blocks      {blocks} final: {} in one round, {} in two; {} views, {} of them lost\n\
         value       {} (to finality anywhere)\n\
         client      {} (to durable finality where it was handed in)\n\
         block       {} (sent to durable finality at its leader; mean over leaders {})\n\
         everywhere  {} (sent to durable finality at every validator)\n\
         signatures  {} ({} per block)\n\
         bytes       {} ({} per block)\n\
         accused     {:?}, Byzantine {:?}\n\
         violations  {}\n\
         trace       {}",
        report.validators,
        report.bound.max_byzantine,
        report.bound.max_crashed,
        report.seed,
        report.virtual_us / 1_000_000,
        report.submitted,
        report.finalized,
        report.expired,
        ms(report.longest_gap_us),
        report.fast_blocks,
        report.slow_blocks,
        report.view,
        report.lost_views,
        spread(&report.latency),
        spread(&report.client_latency),
        spread(&report.leader_finality),
        ms(report.finality_mean_over_leaders_us),
        spread(&report.finality),
        report.signatures,
        per_block(report.signatures),
        report.bytes_total,
        per_block(report.bytes_total),
        report.accused,
        report.byzantine,
        report.violations.len(),
        report.trace_hash
    )
}
