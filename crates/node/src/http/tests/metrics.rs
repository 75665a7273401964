//! Metrics as Prometheus sees them: well formed, documented, and moving with what happens.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::Fixture;

fn shown<'a>(text: &'a str, series: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

fn value(text: &str, series: &str) -> f64 {
    shown(text, series).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_to_complain_about() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    fixture.finalize(&mut client, "something happens").await;
    let text = client.get("/metrics").await.text();
    fixture.end().await;
    let command =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = match command {
        Ok(promtool) => promtool,
        Err(error) if std::env::var_os("REQUIRE_PROMTOOL").is_none() => {
            println!(
                "SKIPPED: promtool cannot be run ({error}); install the Debian package prometheus. CI requires it."
            );
            return;
        }
        Err(error) => panic!("REQUIRE_PROMTOOL is set, and promtool cannot be run: {error}"),
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_documented_and_every_documented_one_exists() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    // Names stand in the first column of a table, in backquotes, with their labels.
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let columns = rows.map(|row| row.split('|').next().unwrap());
    let documented: BTreeSet<String> = columns
        .flat_map(|column| column.split('`').step_by(2))
        .map(|name| name.split('{').next().unwrap().trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let fixture = Fixture::stuck(json!({})).await;
    let text = fixture.client().await.get("/metrics").await.text();
    fixture.end().await;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(documented.contains(name), "{name} is not in docs/metrics.md");
    }
    // Those of which a network that stands still has no series yet.
    let later = [
        "agent_mesh_links",
        "agent_mesh_last_vote_view",
        "agent_mesh_sign_seconds",
        "agent_mesh_peer_round_trip_seconds",
        "agent_mesh_verify_seconds",
        "agent_mesh_dropped_total",
    ];
    for name in documented.iter().filter(|name| !later.contains(&name.as_str())) {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is documented and does not exist");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_move_with_what_happens() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let height = fixture.finalize(&mut client, "one").await["height"].as_u64().unwrap();
    client.post("application/json", b"{\"value\": \"no\"}").await;
    let text = client.get("/metrics").await.text();
    assert_eq!(shown(&text, "consensus_duration_seconds_count"), "1");
    assert_eq!(shown(&text, "agent_mesh_final_values_total"), "1");
    assert!(value(&text, "agent_mesh_height") >= height as f64);
    assert_eq!(shown(&text, "agent_mesh_proposals_refused_total{reason=\"application\"}"), "1");
    assert_eq!(shown(&text, "agent_mesh_proposals_refused_total{reason=\"busy\"}"), "0");
    assert_eq!(shown(&text, "agent_mesh_fault_margin"), "0");
    assert_eq!(shown(&text, "agent_mesh_reachable_margin"), "0");
    assert_eq!(shown(&text, "agent_mesh_quorum_votes{quorum=\"q_min\"}"), "1");
    assert!(value(&text, "agent_mesh_seconds_since_finality") < 60.0);
    assert!(value(&text, "agent_mesh_sign_seconds_count{algorithm=\"ml-dsa-44\"}") >= 1.0);
    assert_eq!(shown(&text, "agent_mesh_http_responses_total{class=\"5xx\"}"), "0");
    assert!(value(&text, "agent_mesh_http_responses_total{class=\"4xx\"}") >= 1.0);
    assert!(value(&text, "agent_mesh_last_vote_view{validator=\"0\"}") >= 1.0);
    assert!(value(&text, "process_start_time_seconds") > 1.7e9);
    let validators = client.get("/v1/validators").await.json();
    assert!(validators[0]["last_vote_view"].as_u64().unwrap() >= 1, "{validators}");
    let block = client.get(&format!("/v1/blocks/{height}")).await.json();
    assert_eq!((&block["weight"], &block["voters"]), (&json!(1), &json!([0])), "{block}");
    fixture.end().await;
}
