//! Far behind: away for a long time, empty at the start, interrupted, with liars among those who serve.

#![allow(clippy::unwrap_used, reason = "tests")]

use sim::attack::AttackKind;
use sim::network::Links;
use sim::{Fault, Report, Scenario, Simulation};

/// A run in which enough blocks are made that one who is away must fetch them.
fn long(faults: Vec<Fault>) -> Scenario {
    Scenario {
        validators: 4,
        values: 700,
        value_every_us: 50_000,
        value_timeout_ms: 600_000,
        duration_us: 60_000_000,
        faults,
        ..Scenario::default()
    }
}

fn run(scenario: Scenario) -> Report {
    let seed = scenario.seed;
    let report = Simulation::new(scenario).unwrap().run();
    assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
    report
}

fn caught_up(report: &Report, host: usize) {
    assert_eq!(report.finalized, report.submitted, "{report:#?}");
    assert!(report.height > 400, "long enough to be far behind: {}", report.height);
    let height = report.heights[host];
    assert!(height + 2 >= report.height, "host {host} is at {height} of {}", report.height);
    assert!(report.messages["fetch"] > 0, "pieces were fetched: {:?}", report.messages);
}

#[test]
fn who_was_away_for_long_reaches_the_head() {
    for seed in [1, 2] {
        let crash = Fault::Crash { validator: 2, at_us: 1_000_000, back_at_us: Some(38_000_000) };
        let report = run(Scenario { seed, ..long(vec![crash]) });
        caught_up(&report, 2);
    }
}

#[test]
fn who_starts_empty_and_late_reaches_the_head() {
    let crash = Fault::Crash { validator: 1, at_us: 1, back_at_us: Some(30_000_000) };
    caught_up(&run(long(vec![crash])), 1);
}

#[test]
fn an_interruption_costs_only_what_was_not_flushed() {
    let mut faults = vec![Fault::Crash { validator: 2, at_us: 1_000_000, back_at_us: Some(38_000_000) }];
    // Dies again and again while it catches up.
    for at in 0..4 {
        let at_us = 38_012_000 + at * 40_000;
        faults.push(Fault::Crash { validator: 2, at_us, back_at_us: Some(at_us + 20_000) });
    }
    caught_up(&run(long(faults)), 2);
}

#[test]
fn liars_among_those_who_serve_cost_time_only() {
    for attack in [AttackKind::Unserving, AttackKind::Dripping] {
        let faults = vec![
            Fault::Byzantine { validator: 0, attack },
            Fault::Crash { validator: 2, at_us: 1_000_000, back_at_us: Some(38_000_000) },
        ];
        caught_up(&run(long(faults)), 2);
    }
}

#[test]
fn loss_and_duplication_do_not_stop_it() {
    let crash = Fault::Crash { validator: 3, at_us: 1_000_000, back_at_us: Some(35_000_000) };
    let report = run(Scenario {
        links: Links { loss_per_mille: 50, duplicate_per_mille: 100, ..Links::default() },
        validators: 6,
        ..long(vec![crash])
    });
    caught_up(&report, 3);
}

#[test]
fn pruned_blocks_are_skipped_by_who_comes_late() {
    let crash = Fault::Crash { validator: 2, at_us: 1_000_000, back_at_us: Some(38_000_000) };
    let report = run(Scenario { retention_blocks: 100, ..long(vec![crash]) });
    caught_up(&report, 2);
    // Nobody holds the blocks that it missed, so it follows from where they begin; it cannot know all ids and does not vote.
    assert!(report.held_from.iter().all(|from| *from > 200), "everybody has pruned: {:?}", report.held_from);
    assert_eq!(report.voting, [true, true, false, true]);
}

#[test]
fn pruning_survives_crashes() {
    for seed in 1..4 {
        let faults = (0..12)
            .map(|k| {
                let at_us = 5_000_000 + k * 2_500_000;
                Fault::Crash { validator: (k % 4) as u16, at_us, back_at_us: Some(at_us + 400_000) }
            })
            .collect();
        let report = run(Scenario { seed, retention_blocks: 100, ..long(faults) });
        assert_eq!(report.finalized, report.submitted, "{report:#?}");
        assert!(report.held_from.iter().all(|from| *from > 200), "{:?}", report.held_from);
    }
}
