//! Each finding of the doctor, from made-up nodes; and a healthy network has none.

use serde_json::{Value, json};

use super::network;
use super::node::{self, Snapshot};
use super::report::{Report, Severity};
use super::scrape::Scrape;

const METRICS: &str = r#"
# HELP consensus_duration_seconds x
consensus_duration_seconds_bucket{le="0.5"} 95
consensus_duration_seconds_bucket{le="2.048"} 100
consensus_duration_seconds_bucket{le="+Inf"} 100
agent_mesh_flush_seconds_bucket{le="0.01"} 500
agent_mesh_flush_seconds_bucket{le="+Inf"} 500
agent_mesh_views_entered_total{reason="notarization"} 90
agent_mesh_views_entered_total{reason="nullification"} 10
quantum_verification_rate 1
agent_mesh_peer_verification_rate{validator="1"} 1
agent_mesh_session_key_age_seconds 100
agent_mesh_key_rotation_interval_seconds 3600
agent_mesh_catchup_lag_blocks 0
ai_optimization_accuracy NaN
"#;

fn well(name: &str) -> Snapshot {
    let validators = (0..6).map(|i| {
        json!({"index": i, "name": format!("v{i}"), "this_node": name == format!("v{i}"), "connected": true, "group": "X25519MLKEM768",
               "rtt_us": 900, "accused": false, "last_vote_us": 999_000_000_u64})
    });
    let blocks = (1..=60)
        .map(|h| json!({"height": h, "hash": format!("hash{h}"), "leader": format!("v{}", h % 6), "threshold": 4}));
    Snapshot {
        url: format!("http://{name}:8080"),
        status: json!({"version": "0.1.0", "chain_id": "aaaabbbbccccdddd", "name": name, "level": 768, "height": 60, "mempool": 0,
                       "view_timer_us": 300_000, "now_us": 1_000_000_000_u64,
                       "quorum": {"n": 6, "f": 1, "c": 1, "q_min": 4, "q_max": 5, "q_fast": 5}}),
        consensus: json!({"healthy": true, "reason": "making progress"}),
        quantum: json!({}),
        ai: json!({}),
        validators: validators.collect(),
        blocks: blocks.collect(),
        metrics: Scrape::parse(METRICS),
        skew_us: Some(1_000),
        skew_error_us: 500,
        drift_limit_us: Some(500_000),
    }
}

/// What is found in a network where `change` happened to v1.
fn found(change: impl FnOnce(&mut Snapshot)) -> Vec<(Severity, &'static str, String)> {
    let mut nodes: Vec<Snapshot> = (0..3).map(|i| well(&format!("v{i}"))).collect();
    change(&mut nodes[1]);
    let mut report = Report::default();
    nodes.iter().for_each(|node| node::examine(node, &mut report));
    network::examine(&nodes, &mut report);
    report.settle();
    assert!(report.findings.iter().all(|finding| !finding.evidence.is_empty() && !finding.next.is_empty()));
    report.findings.into_iter().map(|finding| (finding.severity, finding.check, finding.evidence)).collect()
}

fn checks(found: &[(Severity, &'static str, String)]) -> Vec<(Severity, &'static str)> {
    found.iter().map(|(severity, check, _)| (*severity, *check)).collect()
}

fn with_metrics(change: &str) -> impl FnOnce(&mut Snapshot) {
    // What comes first is what `by` finds last: a metric that is given again replaces the old one.
    let names: Vec<String> =
        change.lines().filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())).collect();
    let kept: Vec<&str> =
        METRICS.lines().filter(|line| !names.iter().any(|name| line.starts_with(name.as_str()))).collect();
    let text = format!("{}\n{change}", kept.join("\n"));
    move |node| node.metrics = Scrape::parse(&text)
}

fn set(key: &'static str, value: Value) -> impl FnOnce(&mut Snapshot) {
    move |node| node.status[key] = value
}

#[test]
fn a_healthy_network_has_no_findings() {
    assert_eq!(found(|_| {}), vec![]);
}

#[test]
fn the_guides_three_cases_are_found() {
    let slow = "consensus_duration_seconds_bucket{le=\"2.048\"} 90\nconsensus_duration_seconds_bucket{le=\"4.096\"} 100\nconsensus_duration_seconds_bucket{le=\"+Inf\"} 100";
    let latency = found(with_metrics(slow));
    assert_eq!(checks(&latency), [(Severity::Warning, "high-latency")]);
    assert!(
        latency[0].2.contains("longer than 2.048 s") && latency[0].2.contains("slowest round trip 0 ms"),
        "{}",
        latency[0].2
    );
    let very = slow.replace("2.048", "8.192").replace("4.096", "16.384");
    assert_eq!(checks(&found(with_metrics(&very))), [(Severity::Critical, "high-latency")]);

    let one = found(with_metrics("agent_mesh_peer_verification_rate{validator=\"4\"} 0.5"));
    assert_eq!(checks(&one), [(Severity::Warning, "verification-failures")]);
    assert!(one[0].2.contains("v4 50 %"), "{}", one[0].2);
    assert_eq!(
        checks(&found(with_metrics("quantum_verification_rate 0.89"))),
        [(Severity::Critical, "verification-failures")]
    );

    let swinging = found(|node| {
        for (at, block) in node.blocks.iter_mut().enumerate() {
            block["threshold"] = json!(4 + (at / 6) % 2);
        }
    });
    assert_eq!(checks(&swinging), [(Severity::Warning, "optimizer-not-converging")]);
    assert!(swinging[0].2.contains("changed 54 times in 54 blocks"), "{}", swinging[0].2);
    assert_eq!(
        checks(&found(with_metrics("ai_optimization_accuracy 0.4"))),
        [(Severity::Warning, "optimizer-not-converging")]
    );
}

#[test]
fn standstill_and_losses_are_found_with_names() {
    let stalled = found(|node| {
        node.consensus = json!({"healthy": false, "reason": "nothing has become final for 45 s: only 3 of 6"});
        for at in [3, 4, 5] {
            node.validators[at]["connected"] = json!(false);
        }
    });
    assert_eq!(checks(&stalled), [(Severity::Critical, "no-finality"), (Severity::Critical, "no-reserve")]);
    assert!(stalled[1].2.contains("v3, v4, v5"), "{}", stalled[1].2);
    let one = found(|node| node.validators[5]["connected"] = json!(false));
    assert_eq!(checks(&one), [(Severity::Warning, "link-down")]);
    assert_eq!(
        checks(&found(|node| node.validators[5]["last_vote_us"] = json!(1))),
        [(Severity::Warning, "silent-validator")]
    );
    assert_eq!(checks(&found(|node| node.validators[5]["accused"] = json!(true))), [(Severity::Critical, "evidence")]);
    assert_eq!(
        checks(&found(|node| node.ai = json!({"healthy": false, "reason": "it learns nothing"}))),
        [(Severity::Warning, "ai-health")]
    );
    assert_eq!(checks(&found(with_metrics("agent_mesh_catchup_lag_blocks 21"))), [(Severity::Warning, "lagging")]);
    let views = "agent_mesh_views_entered_total{reason=\"notarization\"} 60\nagent_mesh_views_entered_total{reason=\"nullification\"} 30";
    assert_eq!(checks(&found(with_metrics(views))), [(Severity::Warning, "views-fail")]);
    let writes = "agent_mesh_flush_seconds_bucket{le=\"0.2\"} 900\nagent_mesh_flush_seconds_bucket{le=\"0.4\"} 1000\nagent_mesh_flush_seconds_bucket{le=\"+Inf\"} 1000";
    assert_eq!(checks(&found(with_metrics(writes))), [(Severity::Warning, "slow-disk")]);
}

#[test]
fn what_differs_between_nodes_is_found() {
    let other = found(|node| {
        node.status["chain_id"] = json!("eeee");
        node.status["level"] = json!(512);
    });
    assert_eq!(checks(&other), [(Severity::Critical, "mixed-levels"), (Severity::Critical, "different-networks")]);
    let forked = found(|node| node.blocks[29]["hash"] = json!("another"));
    assert_eq!(checks(&forked), [(Severity::Critical, "FORK")]);
    assert!(forked[0].2.contains("height 30") && forked[0].2.contains("another: v1"), "{}", forked[0].2);
    assert_eq!(checks(&found(set("height", json!(39)))), [(Severity::Warning, "lagging")]);
    assert_eq!(checks(&found(set("version", json!("0.2.0")))), [(Severity::Info, "mixed-versions")]);
    let ahead = |us: i64| move |node: &mut Snapshot| node.skew_us = Some(us);
    assert_eq!(checks(&found(ahead(260_000))), [(Severity::Warning, "clock-skew")]);
    let skewed = found(ahead(-600_000));
    assert_eq!(checks(&skewed), [(Severity::Critical, "clock-skew")]);
    assert!(skewed[0].2.contains("is 601 ms ahead of v1"), "{}", skewed[0].2);
    // A slow answer says little about a clock.
    assert_eq!(
        found(|node| {
            node.skew_us = Some(600_000);
            node.skew_error_us = 500_000;
        }),
        vec![]
    );
}

#[test]
fn weak_cryptography_is_found() {
    assert_eq!(
        checks(&found(|node| node.validators[2]["group"] = json!("X25519"))),
        [(Severity::Critical, "classical")]
    );
    assert_eq!(
        checks(&found(with_metrics("agent_mesh_session_key_age_seconds 7300"))),
        [(Severity::Warning, "old-keys")]
    );
    let none = found(|node| node.status["quorum"] = json!({"n": 3, "f": 0, "c": 1, "q_min": 2}));
    assert_eq!(checks(&none), [(Severity::Info, "no-byzantine-tolerance")]);
}

#[test]
fn samples_are_read() {
    let page = Scrape::parse(
        "# TYPE a counter\na 1\na{x=\"1\",y=\"b c\"} 2.5\nbad\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 0\n",
    );
    assert_eq!(page.get("a"), Some(3.5));
    assert_eq!(page.by("a", "y"), [("b c".to_owned(), 2.5)]);
    assert_eq!((page.get("none"), page.at_least("h", 0.5)), (None, None));
}
