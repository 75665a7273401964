//! Our node beside commonware's simplex: same machine, same run, interleaved; ratios, not verdicts.
//!
//! `cargo build --release -p bench && cargo run --release --manifest-path bench-peers/Cargo.toml` prints the table. What each side does
//! and does not do stands in docs/benchmarks.md.

mod chain;
mod cluster;
mod simplex;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

const USAGE: &str = "usage: bench-peers [--runs 3] [--seconds 6] [--levels 768,classical] [--validators 4,7,10] [--json FILE] [--bench PATH]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some(cluster::NODE_VERB) => cluster::node_main(&args[1..]),
        _ => compare(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A workload and the figure that is compared.
struct Row {
    name: &'static str,
    workload: &'static str,
    size: usize,
    figure: &'static str,
    /// Whether less is better.
    less: bool,
}

const ROWS: &[Row] = &[
    Row { name: "lone value, p50 ms", workload: "lone", size: 32, figure: "p50_ms", less: true },
    Row { name: "lone value, p99 ms", workload: "lone", size: 32, figure: "p99_ms", less: true },
    Row { name: "160 values/s of 512 B, p50 ms", workload: "rate", size: 512, figure: "p50_ms", less: true },
    Row { name: "160 values/s of 512 B, p99 ms", workload: "rate", size: 512, figure: "p99_ms", less: true },
    Row { name: "views per second", workload: "views", size: 32, figure: "views_per_second", less: false },
    Row { name: "CPU per decision, ms", workload: "views", size: 32, figure: "cpu_ms_per_decision", less: true },
    Row { name: "wire bytes per decision", workload: "views", size: 32, figure: "wire_bytes_per_decision", less: true },
    Row { name: "memory per validator, MiB", workload: "views", size: 32, figure: "resident_mib", less: true },
    Row { name: "512 B values per second", workload: "peak", size: 512, figure: "values_per_second", less: false },
    Row { name: "32 B values per second", workload: "peak", size: 32, figure: "values_per_second", less: false },
];

fn compare(args: &[String]) -> Result<(), String> {
    let runs: usize = option(args, "--runs", 3)?;
    let seconds: u64 = option(args, "--seconds", 6)?;
    let levels: String = option(args, "--levels", "768,classical".to_owned())?;
    let sizes: String = option(args, "--validators", "4,7,10".to_owned())?;
    let json_file: String = option(args, "--json", String::new())?;
    let bench: String = option(args, "--bench", "target/release/bench".to_owned())?;
    let engines: Vec<&str> = std::iter::once("simplex").chain(levels.split(',').map(str::trim)).collect();
    let mut all: BTreeMap<(u64, &'static str, usize, String), Vec<Value>> = BTreeMap::new();
    for run in 0..runs {
        for size in sizes.split(',') {
            let n: u64 = size.trim().parse().map_err(|_| format!("--validators {size:?}\n{USAGE}"))?;
            for (workload, bytes) in [("lone", 32), ("rate", 512), ("views", 32), ("peak", 512), ("peak", 32)] {
                if n != 4 && workload != "views" {
                    continue;
                }
                for engine in &engines {
                    eprintln!("run {} of {runs}: {engine}, {n} validators, {workload} {bytes} B", run + 1);
                    let wire = loopback_bytes();
                    let mut figures = match *engine {
                        "simplex" => cluster::figures(workload, n, bytes, seconds)?,
                        level => ours(&bench, workload, n, level, bytes, seconds)?,
                    };
                    // Both sides' whole traffic, clients and start-up included, over the decisions of the whole run.
                    let wired = loopback_bytes().saturating_sub(wire) as f64;
                    figures["wire_bytes_per_decision"] =
                        json!(wired / figures["all_decisions"].as_f64().unwrap_or(1.0));
                    all.entry((n, workload, bytes, (*engine).to_owned())).or_default().push(figures);
                }
            }
        }
    }
    table(&all, &engines);
    if !json_file.is_empty() {
        let list: Vec<Value> = all
            .iter()
            .map(|((n, workload, size, engine), runs)| {
                json!({"validators": n, "workload": workload, "size": size, "engine": engine, "runs": runs})
            })
            .collect();
        let text = serde_json::to_string_pretty(&list).map_err(|e| e.to_string())?;
        std::fs::write(&json_file, text).map_err(|e| format!("{json_file}: {e}"))?;
    }
    Ok(())
}

fn table(all: &BTreeMap<(u64, &'static str, usize, String), Vec<Value>>, engines: &[&str]) {
    let mut sizes: Vec<u64> = all.keys().map(|key| key.0).collect();
    sizes.dedup();
    print!("| validators | figure (median) |");
    for engine in engines {
        print!(" {engine} |");
        if *engine != "simplex" {
            print!(" ratio |");
        }
    }
    println!("\n|---|---|{}", "---|".repeat(2 * engines.len() - 1));
    for n in sizes {
        for row in ROWS {
            let median = |engine: &str| {
                let runs = all.get(&(n, row.workload, row.size, engine.to_owned()))?;
                let mut values: Vec<f64> = runs.iter().filter_map(|run| run[row.figure].as_f64()).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied()
            };
            let Some(peer) = median("simplex") else { continue };
            print!("| {n} | {} | {peer:.2} |", row.name);
            for engine in engines.iter().filter(|engine| **engine != "simplex") {
                match median(engine) {
                    Some(own) => {
                        print!(" {own:.2} | {:.2}{} |", own / peer, if row.less { " (less is better)" } else { "" })
                    }
                    None => print!(" – | – |"),
                }
            }
            println!();
        }
    }
}

fn ours(bench: &str, workload: &str, n: u64, level: &str, size: usize, seconds: u64) -> Result<Value, String> {
    let level = if level == "classical" { "0" } else { level };
    let output = Command::new(bench)
        .args(["one", "--workload", workload, "--level", level])
        .args(["--validators", &n.to_string(), "--size", &size.to_string(), "--seconds", &seconds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{bench}: {e}; build it with: cargo build --release -p bench"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).map_err(|e| format!("{bench} said {text:?}: {e}"))
}

/// Bytes that went over the loopback interface since the machine started.
fn loopback_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The value after `--name`, or the default.
fn option<T: std::str::FromStr>(args: &[String], name: &str, default: T) -> Result<T, String> {
    match args.iter().position(|arg| arg == name) {
        None => Ok(default),
        Some(at) => {
            let value = args.get(at + 1).ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
            value.parse().map_err(|_| format!("{name} {value:?} is not usable\n{USAGE}"))
        }
    }
}
