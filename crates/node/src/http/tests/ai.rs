//! The optimizer's routes.

use serde_json::json;

use super::Fixture;
use super::client::{Client, Reply};

async fn post(client: &mut Client, path: &str, body: &str) -> Reply {
    client.request("POST", path, "content-type: application/json\r\n", body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_optimizer_is_asked_and_told_over_http() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let list = client.get("/v1/ai/recommendations").await.json();
    assert_eq!(list[0]["subject"], "observations");
    let metrics = client.get("/v1/ai/metrics").await.json();
    assert_eq!((&metrics["mode"], &metrics["acting"]), (&json!("on"), &json!("rule")));
    assert_eq!(client.get("/v1/ai/network").await.json()["links"], json!([]));
    assert_eq!(client.get("/v1/ai/parameters").await.json()["learning_history_size"], 100);

    let changed = post(&mut client, "/v1/ai/parameters", r#"{"learning_history_size": 200}"#).await;
    assert_eq!((changed.status, &changed.json()["learning_history_size"]), (200, &json!(200)));
    for (wrong, status) in
        [(r#"{"learning_history_size": 5, "learning_rate": 0.5}"#, 422), (r#"{"learning_rat": 0.5}"#, 400), ("no", 400)]
    {
        let reply = post(&mut client, "/v1/ai/parameters", wrong).await;
        assert_eq!(reply.status, status, "{wrong}");
    }
    let after = client.get("/v1/ai/parameters").await.json();
    assert_eq!(
        (&after["learning_history_size"], &after["learning_rate"]),
        (&json!(200), &json!(0.01)),
        "all or nothing"
    );

    let mode = post(&mut client, "/v1/ai/mode", r#"{"mode": "shadow", "policy": "learned"}"#).await;
    assert_eq!(mode.json(), json!({"mode": "shadow", "policy": "learned"}));
    assert_eq!(post(&mut client, "/v1/ai/mode", r#"{"mode": "wild"}"#).await.status, 400);
    assert_eq!(client.get("/v1/ai/mode").await.json()["mode"], "shadow");
    assert_eq!(client.get("/health/ai").await.json()["details"]["mode"], "shadow");
    fixture.end().await;
}
