//! `agent-mesh chaos`: real validators under faults, clients that write down what they are told, and a check of every word afterwards.
//!
//! - [`nodes`]: the validators as processes. [`proxy`]: the links between them. [`faults`]: what goes wrong, drawn from the seed.
//! - [`clients`]: what is proposed and what is told. [`check`]: what must hold.

mod check;
mod clients;
mod faults;
mod nodes;
mod proxy;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::setup::{self, LocalNetwork};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::init::now;
use crate::input::read_config;
use crate::output::{Output, note, print, print_json};
use crate::signals::Stop;
use clients::Clients;
use faults::Faults;
use nodes::Nodes;
use proxy::Link;

/// Between two looks at the faults.
const STEP: Duration = Duration::from_millis(25);
/// Between two lines of progress.
const TELL: Duration = Duration::from_secs(30);

/// Arguments of `chaos`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of validators.
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: usize,
    /// How long faults go on, in minutes.
    #[arg(long, default_value_t = 1.0, conflicts_with = "seconds")]
    minutes: f64,
    /// The same in seconds.
    #[arg(long)]
    seconds: Option<f64>,
    /// Faults and proposals are drawn from this number; which meets which still depends on the machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An empty or new directory for the validators and their logs.
    #[arg(long, default_value = "./chaos")]
    dir: PathBuf,
    /// HTTP of validator i is on this port + i, its links on port + 1000 + i.
    #[arg(long, default_value_t = 18_080)]
    port: u16,
    /// Configuration of all validators.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs `chaos`. Exit code 0 only if nothing was violated.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let seconds = args.seconds.unwrap_or(args.minutes * 60.0);
    if !(1.0..=7.0 * 86_400.0).contains(&seconds) || args.validators < 3 || args.validators > 32 {
        return Err(Failure::usage("use 3 to 32 validators, and one second to a week"));
    }
    let length = Duration::from_secs_f64(seconds);
    let source = read_config(args.config.as_deref())?;
    let network = setup::create_local(&args.dir, args.validators, "chaos", args.port, &source, now())?;
    let stop = Stop::watch()?;
    let genesis = Arc::new(network.genesis.clone());
    let links = connect(&network, args.seed)?;
    let mut nodes = Nodes::new(network);
    for index in 0..nodes.len() {
        nodes.start(index, None)?;
    }
    for index in 0..nodes.len() {
        nodes.wait_ready(index)?;
    }
    note(format!(
        "{} validators in {}, seed {}, {seconds} s of faults",
        args.validators,
        args.dir.display(),
        args.seed
    ));
    let clients = (0..nodes.len()).map(|index| nodes.client(index)).collect::<Outcome<Vec<_>>>()?;
    let longest = (length / 3).clamp(Duration::from_secs(4), Duration::from_secs(30));
    let clients = Clients::start(&clients, &genesis, args.seed, longest);
    let mut faults = Faults::new(links.clone(), args.seed, length);
    let begun = Instant::now();
    let mut told = begun;
    while begun.elapsed() < length && !stop.requested() {
        faults.step(&mut nodes)?;
        if told.elapsed() > TELL {
            told = Instant::now();
            let (taken, final_) = clients.progress();
            note(format!(
                "{:.0} s: {taken} taken, {final_} told final, {:?}",
                begun.elapsed().as_secs_f64(),
                faults.counts
            ));
        }
        std::thread::sleep(STEP);
    }
    let faulty_seconds = begun.elapsed().as_secs_f64();
    faults.end(&mut nodes)?;
    let record = clients.stop();
    let mut findings = check::check(&nodes, &record, &genesis, faults.emptied)?;
    findings.violations.extend(faults.violations.iter().cloned());
    links.iter().for_each(|link| link.stop());
    drop(nodes);
    let command = format!("agent-mesh chaos --validators {} --seconds {seconds} --seed {}", args.validators, args.seed);
    let report = json!({
        "command": command, "validators": args.validators, "seed": args.seed, "fault_seconds": faulty_seconds,
        "faults": faults.counts, "proposals_taken": record.proposals.len(), "told_final": findings.told_final,
        "expired": findings.told_expired, "settled_after_the_faults": findings.settled_later,
        "settle_seconds": findings.settle_seconds, "height": findings.height, "values_in_the_log": findings.values,
        "proofs_verified_afterwards": findings.verified, "calls_refused": record.refused,
        "calls_unanswered": record.unreachable, "violations": findings.violations,
    });
    if output.json {
        print_json(&report)?;
    } else {
        print(format!("{report:#}"))?;
    }
    if findings.violations.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} violations; the validators' logs are in {}. Repeat with: {command}",
        findings.violations.len(),
        args.dir.display()
    )))
}

/// A proxy for each pair; the homes are told where their peers are to be found.
fn connect(network: &LocalNetwork, seed: u64) -> Outcome<Vec<Arc<Link>>> {
    let (n, mut links) = (network.homes.len(), Vec::new());
    for from in 0..n {
        let mut peers = serde_json::Map::new();
        for to in from + 1..n {
            let link = Link::start(from, to, network.links(to), seed.wrapping_add((from * n + to) as u64))?;
            peers.insert(network.genesis.config.members[to].name.clone(), json!(link.address().to_string()));
            links.push(link);
        }
        std::fs::write(network.homes[from].peers(), json!(peers).to_string())?;
    }
    Ok(links)
}
