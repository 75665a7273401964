//! Every attack of the library, within the bound: nothing breaks, everything becomes final, nobody honest is accused. Beyond the bound the
//! report names what broke and who is guilty. Random scenarios in a short form; the long form is `agent-mesh sim --random --runs 10000`.

#![allow(clippy::unwrap_used, reason = "tests")]

use sim::attack::AttackKind;
use sim::sweep::sweep;
use sim::{Fault, Report, Scenario, Simulation};

fn attacked(attack: AttackKind, validators: u16, attackers: &[u16], seed: u64) -> Scenario {
    let faults = attackers.iter().map(|validator| Fault::Byzantine { validator: *validator, attack });
    Scenario {
        validators,
        seed,
        values: 15,
        value_every_us: 40_000,
        value_timeout_ms: 600_000,
        calm_at_us: Some(2_000_000),
        duration_us: 120_000_000,
        faults: faults.collect(),
        ..Scenario::default()
    }
}

fn sound(scenario: Scenario) -> Report {
    let text = serde_json::to_string(&scenario).unwrap();
    let report = Simulation::new(scenario).unwrap().run();
    assert!(report.bound.kept);
    assert_eq!(report.violations, Vec::<String>::new(), "{text}");
    assert_eq!(report.finalized, report.submitted, "{text}\n{report:#?}");
    report
}

#[test]
fn no_attack_breaks_anything_within_the_bound() {
    for attack in AttackKind::ALL {
        for (validators, attackers) in [(4, &[1][..]), (7, &[0, 3])] {
            for seed in 1..=1 {
                let report = sound(attacked(attack, validators, attackers, seed));
                assert!(report.accused.iter().all(|index| attackers.contains(index)));
            }
        }
    }
}

#[test]
fn attackers_that_sign_twice_are_accused() {
    for attack in [AttackKind::EquivocatingLeader, AttackKind::DoubleVoter, AttackKind::Both] {
        let report = sound(attacked(attack, 4, &[1], 3));
        assert_eq!(report.accused, vec![1], "{attack:?}");
        assert_eq!(report.guilty.keys().copied().collect::<Vec<_>>(), vec![1], "{attack:?}");
    }
}

#[test]
fn random_scenarios_hold() {
    let repeat = |report: &Report| {
        if !report.violations.is_empty() {
            eprintln!("repeat with: agent-mesh sim --random --seed {}", report.seed);
        }
    };
    let reports = sweep(1, 40, 2, &Scenario::random, &repeat).unwrap();
    for report in &reports {
        assert_eq!(report.violations, Vec::<String>::new(), "agent-mesh sim --random --seed {}", report.seed);
    }
    // The drawing reaches what it should: attackers with proof of guilt, both paths, expiry.
    assert!(reports.iter().any(|report| !report.guilty.is_empty()));
    assert!(reports.iter().any(|report| report.expired > 0));
    assert!(reports.iter().any(|report| report.slow_blocks > 0) && reports.iter().any(|report| report.fast_blocks > 0));
}

#[test]
fn a_random_scenario_gives_the_same_trace_twice() {
    for seed in [3, 4, 5] {
        let run = || Simulation::new(Scenario::random(seed)).unwrap().run();
        assert_eq!(run(), run());
    }
}
