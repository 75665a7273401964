//! The study in its smallest form: it runs, repeats itself, and keeps the invariants.

#![allow(clippy::unwrap_used, reason = "tests")]

use sim::study::policies::Studied;
use sim::study::regimes::Regime;
use sim::study::summary::{cells, csv, markdown};
use sim::study::{Plan, plot, run};

#[test]
fn a_small_study_repeats_itself_and_breaks_nothing() {
    let regimes = vec![Regime::Healthy, Regime::Crashed];
    let plan = |threads| Plan { sizes: vec![(6, 1, 1_500_000)], regimes: regimes.clone(), ..Plan::small(threads) };
    let rows = run(&plan(2), &|_, _| ()).unwrap();
    assert_eq!(rows.len(), plan(1).runs());
    assert!(rows.iter().all(|row| row.violations == 0 && row.values > 200), "{rows:#?}");
    assert_eq!(rows, run(&plan(1), &|_, _| ()).unwrap(), "threads change nothing");
    let of = |policy: Studied| rows.iter().find(|row| row.regime == "healthy" && row.policy == policy.name()).unwrap();
    assert!(of(Studied::FixedHold).vote_bytes_saved_percent > 20.0, "{rows:#?}");
    assert!(of(Studied::Oracle).loss <= of(Studied::AlwaysSend).loss);
    assert!(rows.iter().all(|row| row.worst_hold_ms <= row.hold_bound_ms + 1.0), "the analytic bound holds");
    let table = cells(&rows);
    assert!(csv(&rows).lines().count() == rows.len() + 1 && markdown(&table).contains("### healthy"));
    assert!(plot::bars(&table, 6, "mean_ms", "Mean").ends_with("</svg>\n"));
}
