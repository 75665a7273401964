//! The core, driven by a small network in virtual time: every size, faults, attackers, restarts.

#![allow(clippy::unwrap_used, reason = "tests")]

use sim::attack::AttackKind;
use sim::network::Links;
use sim::{Disk, Fault, Report, Scenario, Simulation};

fn run(scenario: Scenario) -> Report {
    let seed = scenario.seed;
    let report = Simulation::new(scenario).unwrap().run();
    assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
    report
}

fn all_final(scenario: Scenario) -> Report {
    let report = run(scenario);
    assert_eq!(report.finalized, report.submitted, "{report:#?}");
    report
}

#[test]
fn every_size_agrees() {
    for validators in [1, 2, 3, 4, 5, 6, 7, 10] {
        let report = all_final(Scenario { validators, ..Scenario::default() });
        assert_eq!(report.submitted, 50);
        assert_eq!(report.slow_blocks, 0, "n = {validators}: everyone answers, so every block is final in one round");
    }
}

#[test]
fn a_lone_value_takes_one_round_and_one_signature_each() {
    let report = all_final(Scenario {
        values: 1,
        links: Links { delay_min_us: 10_000, delay_max_us: 10_000, ..Links::default() },
        disk: Disk { flush_us: 0, ..Disk::default() },
        duration_us: 1_000_000,
        ..Scenario::default()
    });
    // One hop to the leader (unless the first leader itself is asked), one for the block, one for the votes.
    assert!(report.latency_p50_us <= 30_000, "{report:#?}");
    assert_eq!(report.signatures, 6, "one signature per validator and view on the fast path: {report:#?}");
}

#[test]
fn an_idle_network_makes_a_block_per_heartbeat() {
    let report = run(Scenario { values: 0, duration_us: 21_000_000, ..Scenario::default() });
    assert_eq!(report.height, 4, "{report:#?}");
}

#[test]
fn one_crashed_validator_costs_little() {
    for validators in [3, 4, 6, 7] {
        let crash = Fault::Crash { validator: 2, at_us: 300_000, back_at_us: None };
        let report = all_final(Scenario { validators, faults: vec![crash], ..Scenario::default() });
        assert!(report.accused.is_empty());
    }
}

#[test]
fn killing_any_one_of_six_costs_less_than_two_view_timers() {
    for validator in 0..6 {
        for seed in 1..=5 {
            let crash = Fault::Crash { validator, at_us: 300_000, back_at_us: None };
            let report = all_final(Scenario { seed, faults: vec![crash], ..Scenario::default() });
            let timer_us = Scenario::default().settings.timer_floor_us;
            assert!(report.longest_gap_us < 2 * timer_us, "v{validator} seed {seed}: {} us", report.longest_gap_us);
        }
    }
}

#[test]
fn values_expire_by_chain_time_and_never_come_back() {
    for seed in 1..=5 {
        // No side has a quorum for longer than the values live.
        let faults = vec![Fault::Partition { side: vec![0, 1, 2], from_us: 0, to_us: 4_000_000 }];
        let report = run(Scenario { seed, faults, value_timeout_ms: 1_000, values: 100, ..Scenario::default() });
        assert!(report.expired > 20, "{report:#?}");
        assert_eq!(report.finalized + report.expired, report.submitted, "{report:#?}");
    }
}

#[test]
fn a_crashed_validator_comes_back_and_catches_up() {
    for validators in [1, 3, 4, 6, 7] {
        for seed in 1..=5 {
            let crash = Fault::Crash { validator: 0, at_us: 333_333, back_at_us: Some(1_500_000) };
            all_final(Scenario { validators, seed, faults: vec![crash], ..Scenario::default() });
        }
    }
}

#[test]
fn the_whole_cluster_loses_power_and_goes_on() {
    for validators in [1, 4, 6] {
        for seed in 1..=10 {
            let faults = (0..validators)
                .map(|validator| Fault::Crash {
                    validator,
                    at_us: 400_000 + u64::from(validator) * 97,
                    back_at_us: Some(1_000_000 + u64::from(validator) * 50_000),
                })
                .collect();
            all_final(Scenario { validators, seed, faults, ..Scenario::default() });
        }
    }
}

#[test]
fn attackers_break_nothing() {
    for attack in [
        AttackKind::Silent,
        AttackKind::SilentLeader,
        AttackKind::EquivocatingLeader,
        AttackKind::DoubleVoter,
        AttackKind::Both,
    ] {
        for validators in [4, 6, 7] {
            for seed in 1..=5 {
                let faults = vec![Fault::Byzantine { validator: 1, attack }];
                let report = all_final(Scenario { validators, seed, faults, ..Scenario::default() });
                let guilty = !matches!(attack, AttackKind::Silent | AttackKind::SilentLeader);
                assert_eq!(
                    report.accused,
                    if guilty { vec![1] } else { vec![] },
                    "{attack:?} n={validators} seed {seed}"
                );
            }
        }
    }
}

#[test]
fn a_value_in_a_block_that_does_not_become_final_does_not_wait_for_the_heartbeat() {
    for validators in [6, 7, 10] {
        let faults = vec![Fault::Byzantine { validator: 1, attack: AttackKind::EquivocatingLeader }];
        let report =
            all_final(Scenario { validators, faults, values: 20, value_every_us: 700_000, ..Scenario::default() });
        assert!(report.latency_p99_us < 1_000_000, "n = {validators}: {} us", report.latency_p99_us);
    }
}

#[test]
fn loss_duplication_and_partitions_heal() {
    for seed in 1..=10 {
        let faults = vec![Fault::Partition { side: vec![0, 1, 2], from_us: 300_000, to_us: 2_000_000 }];
        let links = Links { loss_per_mille: 50, duplicate_per_mille: 50, ..Links::default() };
        all_final(Scenario { seed, links, faults, ..Scenario::default() });
    }
}

#[test]
fn thresholds_of_any_advice_stay_in_range() {
    for advised_threshold in [0, 1, 5, 1_000] {
        let faults = vec![Fault::Crash { validator: 5, at_us: 1, back_at_us: None }];
        all_final(Scenario { advised_threshold, faults, ..Scenario::default() });
    }
}

#[test]
fn without_the_fast_path_blocks_are_final_in_two_rounds() {
    let report = all_final(Scenario { fast_path: false, ..Scenario::default() });
    assert_eq!(report.fast_blocks, 0);
    let faults = vec![Fault::Byzantine { validator: 1, attack: AttackKind::Both }];
    all_final(Scenario { fast_path: false, faults, ..Scenario::default() });
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let links = Links { loss_per_mille: 30, ..Links::default() };
    let scenario = || Scenario { links: links.clone(), seed: 77, ..Scenario::default() };
    assert_eq!(run(scenario()).trace_hash, run(scenario()).trace_hash);
    assert_ne!(run(scenario()).trace_hash, run(Scenario { seed: 78, ..scenario() }).trace_hash);
}
