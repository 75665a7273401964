//! Benchmarks of agent-mesh: medians, percentiles and ratios of one run on one machine, never a verdict.
//!
//! `cargo run --release -p bench -- local [--validators 4,6,10] [--seconds 10] [--level 768]`

mod cluster;
mod floor;
mod load;
mod local;
mod one;
mod optimizer;
mod primitives;

use std::process::ExitCode;

const USAGE: &str = "usage: bench local [--validators 4,6,10] [--seconds 10] [--lone 200] [--level 768]\n       bench floor [--level 768]\n       bench one --workload lone|views|rate|peak [--validators 4] [--level 768] [--size 32] [--seconds 8]\n       bench scale [--validators 4,7,10,16,31] [--seconds 6] [--level 768]\n       bench crypto [--rounds 300]\n       bench constant-time [--samples 20000]\n       bench optimizer [--views 20000]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some("local") => local::run(&args[1..]),
        Some("one") => one::run(&args[1..]),
        Some("scale") => one::scale(&args[1..]),
        Some("floor") => floor::run(&args[1..]),
        Some("crypto") => primitives::run(&args[1..]),
        Some("constant-time") => primitives::constant_time(&args[1..]),
        Some("optimizer") => optimizer::run(&args[1..]),
        // The benchmark runs itself as the validator processes.
        Some(cluster::NODE_VERB) => cluster::node_main(&args[1..]),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
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

/// The value at a percentile of a sorted list.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let at = ((sorted.len() - 1) as f64 * p / 100.0).round() as usize;
    sorted[at]
}
