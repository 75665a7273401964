//! `agent-mesh sim study`: the optimizer's policies compared in virtual time.

use std::path::{Path, PathBuf};

use ::sim::study::regimes::Regime;
use ::sim::study::summary::{Cell, cells, csv, markdown};
use ::sim::study::{Plan, Row, plot, run as run_plan};

use crate::failure::{FAILED, Failure, Outcome};
use crate::output::{Output, note, print, print_document};

/// Columns that are drawn, with their titles.
const PICTURES: [(&str, &str); 5] = [
    ("vote_bytes_saved_percent", "Vote bytes saved against always sending, percent"),
    ("mean_ms", "Mean time from submission to finality, ms"),
    ("p99_ms", "99th percentile of the time to finality, ms"),
    ("regret", "Regret against the best fixed hold, per validator"),
    ("loss", "Mean loss of a decision"),
];

/// Arguments of `sim study`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run everything: six policies, eight regimes, four sizes (about twenty minutes of one core). Without it a small form runs.
    #[arg(long)]
    full: bool,
    /// Only this number of validators.
    #[arg(long, value_name = "N")]
    validators: Option<u16>,
    /// Only these regimes, by name.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    regimes: Vec<String>,
    /// Seeds of every place of the table, instead of the plan's.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: Option<u64>,
    /// The first seed. The learner's constants were chosen on seeds from 1000 on; the published study starts at 1.
    #[arg(long, value_name = "S", default_value_t = 1)]
    first_seed: u64,
    /// Runs at once.
    #[arg(long, value_name = "T", default_value_t = default_threads())]
    threads: usize,
    /// Write runs.csv, summary.json, tables.md and pictures into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn plan(args: &Args) -> Outcome<Plan> {
    let mut plan = if args.full { Plan::full(args.threads) } else { Plan::small(args.threads) };
    plan.first_seed = args.first_seed;
    if let Some(validators) = args.validators {
        let of_full = Plan::full(1).sizes.into_iter().find(|size| size.0 == validators);
        let (_, seeds, duration_us) = of_full.unwrap_or((validators, 2, 3_000_000));
        plan.sizes = vec![(validators, if args.full { seeds } else { 2 }, duration_us)];
    }
    if let Some(seeds) = args.seeds {
        plan.sizes.iter_mut().for_each(|size| size.1 = seeds);
    }
    if !args.regimes.is_empty() {
        let known: Vec<&str> = Regime::ALL.iter().map(|regime| regime.name()).collect();
        if let Some(unknown) = args.regimes.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Failure::usage(format!("there is no regime {unknown:?}; there are {}", known.join(", "))));
        }
        plan.regimes.retain(|regime| args.regimes.iter().any(|name| name == regime.name()));
    }
    Ok(plan)
}

/// Runs `sim study`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let plan = plan(args)?;
    note(format!("{} runs on {} threads", plan.runs(), plan.threads));
    let step = |done: usize, all: usize| {
        if done.is_multiple_of(16) || done == all {
            note(format!("{done} of {all} places of the table"));
        }
    };
    let rows = run_plan(&plan, &step).map_err(Failure::failed)?;
    let table = cells(&rows);
    if let Some(dir) = &args.out {
        write_files(dir, &rows, &table)?;
    }
    if output.json {
        print_document(&table)?;
    } else {
        print(markdown(&table).trim())?;
    }
    let broken = rows.iter().filter(|row| row.violations > 0).count();
    if broken > 0 {
        return Err(Failure::new(FAILED, format!("{broken} runs violate an invariant of the protocol")));
    }
    let beyond = rows.iter().filter(|row| row.worst_hold_ms > row.hold_bound_ms + 1.0).count();
    if beyond > 0 {
        return Err(Failure::new(FAILED, format!("in {beyond} runs a vote was held beyond the analytic bound")));
    }
    Ok(())
}

fn write_files(dir: &Path, rows: &[Row], table: &[Cell]) -> Outcome {
    let write = |name: &str, text: &str| {
        std::fs::write(dir.join(name), text).map_err(|error| Failure::failed(error).at(dir.join(name).display()))
    };
    std::fs::create_dir_all(dir).map_err(|error| Failure::failed(error).at(dir.display()))?;
    write("runs.csv", &csv(rows))?;
    write("summary.json", &format!("{}\n", serde_json::to_string_pretty(table)?))?;
    write(
        "tables.md",
        &format!(
            "# Tables of the study\n\nWritten by `agent-mesh sim study`; means over seeds ± 95 % intervals.\n{}",
            markdown(table)
        ),
    )?;
    let mut sizes: Vec<u16> = table.iter().map(|cell| cell.validators).collect();
    sizes.dedup();
    for size in sizes {
        for (column, title) in PICTURES {
            write(&format!("{column}-{size}.svg"), &plot::bars(table, size, column, title))?;
        }
    }
    Ok(())
}
