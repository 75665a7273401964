//! Pictures of a run as SVG: finality over time, its distribution, bytes by kind, leaders side by side.
//!
//! - [`chart`]: axes, lines, dots and bars.

mod chart;

use std::collections::BTreeMap;

use self::chart::{Chart, Mark, bars};
use crate::report::{Report, Samples};
use crate::scenario::{Fault, Scenario};

const MS: f64 = 1_000.0;
const SECOND: f64 = 1_000_000.0;

/// The pictures of a run: file name and SVG text.
pub fn pictures(scenario: &Scenario, report: &Report, samples: &Samples) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("finality-over-time.svg", over_time(scenario, report, samples)),
        ("latency-distribution.svg", distribution(report, samples)),
        ("bytes-by-kind.svg", bytes(report)),
        ("finality-by-leader.svg", leaders(report)),
    ])
}

fn title(report: &Report, what: &str) -> String {
    format!("{what}: {} validators, seed {}", report.validators, report.seed)
}

/// Each final block: when, and how long after it was sent; faults that end are shaded.
fn over_time(scenario: &Scenario, report: &Report, samples: &Samples) -> String {
    let of_path = |fast: bool| -> Vec<(f64, f64)> {
        let blocks = samples.blocks.iter().filter(|block| block.fast == fast);
        blocks.map(|block| (block.at_us as f64 / SECOND, block.took_us as f64 / MS)).collect()
    };
    let mut chart = Chart::new(&title(report, "Blocks becoming final"), "virtual time, s", "sent to final, ms");
    for fault in &scenario.faults {
        let span = match fault {
            Fault::Crash { at_us, back_at_us, .. } => Some((*at_us, back_at_us.unwrap_or(report.virtual_us))),
            Fault::Partition { from_us, to_us, .. } | Fault::SlowDisk { from_us, to_us, .. } => {
                Some((*from_us, *to_us))
            }
            Fault::Weather(weather) => Some((weather.from_us, weather.to_us)),
            Fault::Byzantine { .. } => None,
        };
        if let Some((from, to)) = span {
            chart.shade(from as f64 / SECOND, to.min(report.virtual_us) as f64 / SECOND);
        }
    }
    chart.series("one round", Mark::Dots, of_path(true));
    chart.series("two rounds", Mark::Dots, of_path(false));
    chart.svg()
}

/// The share of values and blocks that took at most so long.
fn distribution(report: &Report, samples: &Samples) -> String {
    let cumulative = |times: &[u64]| -> Vec<(f64, f64)> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let count = sorted.len() as f64;
        sorted.iter().enumerate().map(|(at, us)| (*us as f64 / MS, (at + 1) as f64 * 100.0 / count)).collect()
    };
    let mut chart = Chart::new(&title(report, "How long finality takes"), "ms", "share, %");
    let blocks: Vec<u64> = samples.blocks.iter().map(|block| block.took_us).collect();
    chart.series("block, sent to final", Mark::Line, cumulative(&blocks));
    chart.series("value, handed in to final anywhere", Mark::Line, cumulative(&samples.latencies_us));
    chart.series("value, handed in to told there", Mark::Line, cumulative(&samples.client_latencies_us));
    chart.svg()
}

fn bytes(report: &Report) -> String {
    let rows: Vec<(String, f64)> =
        report.bytes.iter().map(|(kind, bytes)| (kind.clone(), *bytes as f64 / 1e6)).collect();
    bars(&title(report, "Bytes sent by honest validators"), "MB", &rows)
}

fn leaders(report: &Report) -> String {
    let rows: Vec<(String, f64)> =
        report.finality_by_leader_us.iter().map(|(leader, us)| (format!("v{leader}"), *us as f64 / MS)).collect();
    bars(&title(report, "Sent to final at the leader, mean"), "ms", &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Simulation;

    #[test]
    fn every_picture_is_drawn_with_its_data() {
        let scenario = Scenario { values: 20, ..Scenario::default() };
        let (report, samples) = Simulation::new(scenario.clone()).unwrap().run_with_samples();
        let pictures = pictures(&scenario, &report, &samples);
        assert_eq!(pictures.len(), 4);
        for (name, svg) in pictures {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
            assert!(svg.matches('<').count() == svg.matches('>').count(), "{name}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
        }
    }
}
