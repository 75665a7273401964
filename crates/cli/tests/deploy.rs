//! What is deployed fits the program: metrics that are alerted on or drawn exist, alerts have a runbook entry and a unit test, budgets
//! follow from the quorum arithmetic.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{Network, alone, eventually, run};
use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const RULES: &str = "deploy/prometheus/rules.yml";

/// Names in PromQL that are ours to export.
fn metric_names(expression: &str) -> BTreeSet<String> {
    let ours = ["agent_mesh_", "consensus_", "quantum_", "ai_", "byzantine_", "network_", "process_"];
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| ours.iter().any(|prefix| word.starts_with(prefix))).map(str::to_owned).collect()
}

/// Lines of rules.yml that are expressions: everything between `expr:` and the next key.
fn rule_expressions(rules: &str) -> String {
    let (mut inside, mut out) = (false, String::new());
    for line in rules.lines() {
        let key = line.trim_start();
        inside = key.starts_with("expr:")
            || inside && !["for:", "labels:", "annotations:", "- alert:"].iter().any(|other| key.starts_with(other));
        if inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn dashboard_expressions() -> String {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/agent-mesh.json")).unwrap();
    let mut out = String::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            out.push_str(target["expr"].as_str().unwrap());
            out.push('\n');
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        out.push_str(variable["query"].as_str().unwrap_or_default());
        out.push('\n');
    }
    out
}

#[test]
fn every_metric_that_is_alerted_on_or_drawn_exists() {
    let _alone = alone();
    let (alerted, drawn) = (metric_names(&rule_expressions(&read(RULES))), metric_names(&dashboard_expressions()));
    assert!(alerted.len() >= 20 && drawn.len() >= 30, "{alerted:?} {drawn:?}");
    let mut network = Network::new(2, "");
    (0..2).for_each(|index| network.start(index));
    // Some appear with the first vote that comes or the first block.
    eventually("every metric is shown", || {
        let page =
            ureq::get(format!("{}/metrics", network.url(0))).call().unwrap().body_mut().read_to_string().unwrap();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let shown: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
        let missing: Vec<&String> = alerted.union(&drawn).filter(|name| !shown.contains(name.as_str())).collect();
        if !missing.is_empty() {
            eprintln!("not shown yet: {missing:?}");
        }
        missing.is_empty().then_some(())
    });
}

#[test]
fn every_alert_has_a_runbook_entry_and_a_unit_test() {
    let (rules, tests, manual) = (read(RULES), read("deploy/prometheus/rules.test.yml"), read("docs/operations.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 20, "{alerts:?}");
    for alert in alerts {
        assert!(manual.contains(&format!("\n### {alert}\n")), "docs/operations.md has no entry for {alert}");
        assert!(tests.contains(&format!("{{alertname=\"{alert}\"}}")), "rules.test.yml never sees {alert} fire");
        let anchor = format!("runbook: docs/operations.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&anchor), "the rule {alert} does not name its entry");
    }
    for entry in manual.lines().filter_map(|line| line.strip_prefix("### AgentMesh")) {
        assert!(
            rules.contains(&format!("- alert: AgentMesh{entry}\n")),
            "docs/operations.md describes AgentMesh{entry}, which is no alert"
        );
    }
}

#[test]
fn every_finding_of_the_doctor_is_described() {
    let manual = read("docs/operations.md");
    let mut found = 0;
    for file in ["mod", "home", "network", "node"] {
        let source = read(&format!("crates/cli/src/doctor/{file}.rs")).replace(char::is_whitespace, "");
        for call in ["report.critical(\"", "report.warning(\"", "report.info(\""] {
            for check in source.split(call).skip(1).filter_map(|rest| rest.split('"').next()) {
                found += 1;
                assert!(
                    manual.contains(&format!("`{check}`")),
                    "docs/operations.md does not mention the doctor's {check}"
                );
            }
        }
    }
    assert!(found >= 25, "{found}");
}

#[test]
fn the_disruption_budget_follows_from_the_quorum() {
    let number = |text: &str, key: &str| -> u64 {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
        line.trim().parse().unwrap()
    };
    let budget = number(&read("deploy/kubernetes/disruption.yaml"), "maxUnavailable:");
    let six = number(&read("deploy/kubernetes/statefulset.yaml"), "replicas:");
    let three = number(&read("deploy/kubernetes-three-replicas/kustomization.yaml"), "count:");
    for replicas in [six, three] {
        let quorum = run(&["quorum", "--validators", &replicas.to_string(), "--json"]).json();
        assert_eq!(quorum["c"].as_u64(), Some(budget), "{replicas} replicas: {quorum}");
    }
    assert_eq!((six, three), (6, 3));
}

#[test]
fn configurations_that_are_deployed_load() {
    for file in ["deploy/compose/validator.json", "deploy/kubernetes/validator.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        run(&["config", "check", path.to_str().unwrap()]).ok();
    }
}
