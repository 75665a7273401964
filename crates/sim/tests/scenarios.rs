//! The scenarios of data/scenarios: all of them read, the short ones run and show what they say.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sim::{Report, Scenario, Simulation};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/scenarios")
}

fn scenario(name: &str) -> Scenario {
    Scenario::from_json(&std::fs::read_to_string(directory().join(name)).unwrap()).unwrap()
}

fn run(scenario: Scenario) -> Report {
    Simulation::new(scenario).unwrap().run()
}

#[test]
fn every_scenario_file_reads_and_says_what_it_shows() {
    let mut count = 0;
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let read = Scenario::from_json(&std::fs::read_to_string(&path).unwrap());
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!read.about.is_empty(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn bad_nights_and_crowded_lists_break_nothing() {
    for name in ["bad-night.json", "crowded-status.json"] {
        let report = run(scenario(name));
        assert!(report.bound.kept);
        assert_eq!(report.violations, Vec::<String>::new(), "agent-mesh sim --scenario data/scenarios/{name}");
        assert_eq!(report.finalized, report.submitted, "{name}: {report:#?}");
    }
}

#[test]
fn beyond_the_bound_the_report_says_what_broke_and_who_is_guilty() {
    let broken: Vec<Report> = (1..=6)
        .map(|seed| run(Scenario { seed, ..scenario("beyond-the-bound.json") }))
        .filter(|report| report.violations.iter().any(|text| text.starts_with("agreement: height")))
        .collect();
    assert!(!broken.is_empty(), "two liars of four must be able to split the chain in one of six runs");
    for report in broken {
        assert!(!report.bound.kept);
        let guilty: BTreeSet<u16> = report.guilty.keys().copied().collect();
        assert_eq!(guilty, BTreeSet::from([1, 3]), "whoever breaks agreement is proven guilty, and nobody else");
        assert!(report.violations.iter().all(|text| !text.starts_with("evidence:")), "{:?}", report.violations);
    }
}
