//! Status, health and metrics are there from the start.

use serde_json::json;

use super::Fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_network_is_healthy() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    for path in ["/health/consensus", "/health/quantum", "/health/ai", "/readyz"] {
        let reply = client.get(path).await;
        assert_eq!((reply.status, &reply.json()["healthy"]), (200, &json!(true)), "{path}");
        assert_eq!(reply.json()["degraded"], false);
    }
    let live = client.get("/livez").await;
    assert_eq!((live.status, live.json()), (200, json!({"live": true})));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_metrics_exist_before_data() {
    let fixture = Fixture::alone(json!({})).await;
    let reply = fixture.client().await.get("/metrics").await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = reply.text();
    for name in [
        "consensus_duration_seconds_count",
        "quantum_verification_rate",
        "ai_optimization_accuracy",
        "byzantine_fault_tolerance_ratio",
        "network_overhead_reduction_percentage",
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert!(value.is_some_and(|value| value.parse::<f64>().is_ok()), "{name}: {value:?}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_and_its_network() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let status = client.get("/v1/status").await.json();
    assert_eq!((&status["name"], &status["network"], &status["level"]), (&json!("v0"), &json!("test"), &json!(512)));
    assert_eq!(status["quorum"]["n"], 1);
    let validators = client.get("/v1/validators").await.json();
    assert_eq!((validators.as_array().unwrap().len(), &validators[0]["this_node"]), (1, &json!(true)));
    assert_eq!(client.get("/v1/evidence").await.json(), json!([]));
    let genesis = client.get("/v1/genesis").await.text();
    assert_eq!(consensus::genesis::Genesis::from_json(&genesis).unwrap(), fixture.genesis);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_needs_nothing_from_elsewhere() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let page = client.get("/").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let text = page.text();
    assert!(
        !text.contains("style=") && !text.contains("onclick=") && !text.contains("<style"),
        "the policy would refuse it"
    );
    let mut files = 0;
    let links = text.split("href=\"").skip(1).chain(text.split("src=\"").skip(1));
    for path in links.filter_map(|rest| rest.split('"').next()).filter(|path| !path.starts_with('#')) {
        assert!(path.starts_with('/') && !path.starts_with("//"), "{path} is elsewhere");
        let reply = client.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        if path.starts_with("/dashboard/") {
            files += 1;
            assert!(!reply.text().contains("innerHTML") && !reply.text().contains("url(http"), "{path}");
        }
    }
    assert!(files >= 3);
    client.get("/dashboard/..%2f..%2fCargo.toml").await.error(404, "not_found");
    fixture.end().await;
}
