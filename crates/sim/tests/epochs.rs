//! Epochs in virtual time: rotation under load, crashes at the boundary, replicas that missed several epochs, attackers.

#![allow(clippy::unwrap_used, reason = "tests")]

use sim::attack::AttackKind;
use sim::network::Links;
use sim::{Fault, Report, Scenario, Simulation};

/// Epochs of five seconds, under load all the time.
fn scenario() -> Scenario {
    Scenario { rotation_s: 5, values: 400, value_every_us: 40_000, duration_us: 18_000_000, ..Scenario::default() }
}

fn run(scenario: Scenario) -> Report {
    let seed = scenario.seed;
    let report = Simulation::new(scenario).unwrap().run();
    assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
    report
}

fn all_final(scenario: Scenario) -> Report {
    let report = run(scenario);
    assert_eq!(report.finalized, report.submitted, "{report:#?}");
    assert!(report.epoch >= 2, "{report:#?}");
    assert_eq!(report.lowest_epoch, report.epoch, "{report:#?}");
    report
}

#[test]
fn keys_are_renewed_in_every_epoch_under_load() {
    for validators in [1, 2, 4, 6, 7] {
        let report = all_final(Scenario { validators, ..scenario() });
        let expected = u64::from(validators) * report.epoch;
        assert_eq!(report.rotations, expected, "everyone renews its key in every epoch: {report:#?}");
    }
}

#[test]
fn an_epoch_costs_less_than_two_views() {
    // The same load with and without epochs; a view with its round trip is about 20 ms here.
    let plain = run(Scenario { rotation_s: 3_600, ..scenario() });
    let epochs = all_final(scenario());
    assert!(epochs.longest_gap_us < plain.longest_gap_us + 40_000, "{plain:#?} {epochs:#?}");
    assert!(epochs.latency_p99_us < plain.latency_p99_us + 40_000, "{plain:#?} {epochs:#?}");
}

#[test]
fn an_idle_network_goes_from_epoch_to_epoch() {
    let report = run(Scenario { values: 0, ..scenario() });
    assert!(report.epoch >= 1 && report.lowest_epoch == report.epoch, "{report:#?}");
    assert_eq!(report.rotations, 6 * report.epoch, "{report:#?}");
}

#[test]
fn crashes_around_the_boundary_lose_nothing() {
    for validators in [1, 4, 6] {
        for step in 0..6 {
            // Down just before, at and after the end of an epoch; back within a moment.
            let at_us = 4_943_333 + step * 20_000;
            let crash = Fault::Crash { validator: 0, at_us, back_at_us: Some(at_us + 150_000) };
            all_final(Scenario { validators, seed: step + 1, faults: vec![crash], ..scenario() });
        }
    }
}

#[test]
fn the_whole_cluster_loses_power_at_the_boundary() {
    for validators in [1, 4, 6] {
        for step in 0..6 {
            let faults = (0..validators)
                .map(|validator| {
                    let at_us = 4_963_333 + step * 12_000 + u64::from(validator) * 97;
                    Fault::Crash { validator, at_us, back_at_us: Some(5_600_000 + u64::from(validator) * 50_000) }
                })
                .collect();
            all_final(Scenario { validators, seed: step + 1, faults, ..scenario() });
        }
    }
}

#[test]
fn a_validator_that_missed_epochs_catches_up_and_votes_again() {
    for validators in [4, 6, 7] {
        for seed in 1..=2 {
            let crash = Fault::Crash { validator: 2, at_us: 3_000_000, back_at_us: Some(11_500_000) };
            let report = all_final(Scenario { validators, seed, faults: vec![crash], ..scenario() });
            // It kept its key while it was away, and renews it again now.
            assert!(report.rotations < u64::from(validators) * report.epoch, "{report:#?}");
        }
    }
}

#[test]
fn a_partition_over_the_boundary_heals() {
    for seed in 1..=3 {
        let faults = vec![Fault::Partition { side: vec![0, 1, 2], from_us: 4_500_000, to_us: 7_000_000 }];
        let links = Links { loss_per_mille: 20, duplicate_per_mille: 20, ..Links::default() };
        all_final(Scenario { seed, links, faults, ..scenario() });
    }
}

#[test]
fn attackers_do_not_stop_the_epochs() {
    for attack in [AttackKind::Silent, AttackKind::SilentLeader, AttackKind::EquivocatingLeader, AttackKind::Both] {
        for validators in [4, 6] {
            let faults = vec![Fault::Byzantine { validator: 1, attack }];
            let report = run(Scenario { validators, faults, ..scenario() });
            assert_eq!(report.finalized, report.submitted, "{attack:?} n={validators}: {report:#?}");
            assert!(report.epoch >= 2, "{attack:?} n={validators}: {report:#?}");
        }
    }
}

#[test]
fn without_the_fast_path_epochs_end_as_well() {
    all_final(Scenario { fast_path: false, ..scenario() });
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(run(scenario()).trace_hash, run(scenario()).trace_hash);
}
