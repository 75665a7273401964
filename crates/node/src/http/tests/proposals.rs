//! Single proposals: taken, refused, waited for, proven.

use serde_json::json;

use super::Fixture;
use crate::clock::system_now;
use crate::views::ResultView;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_final_and_verifies() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    for body in [json!({"value": "täxt", "priority": 0}), json!({"value_b64": "/wD+", "timeout_ms": 60_000})] {
        let taken = client.post_json(&body).await;
        assert_eq!(taken.status, 202, "{taken:?}");
        let id = taken.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(taken.json()["state"], "pending");
        assert!(taken.json()["deadline"].as_u64().unwrap() > system_now().get());
        assert_eq!(taken.header("location"), Some(format!("/v1/proposals/{id}").as_str()));
        let result = client.get(&format!("/v1/proposals/{id}?wait_ms=60000")).await;
        assert_eq!(result.status, 200);
        let result: ResultView = serde_json::from_slice(&result.body).unwrap();
        result.verify(&fixture.genesis).unwrap();
        assert_eq!(result.id, id);
        assert_eq!(
            (result.value.is_some(), result.value_b64.is_some()),
            (body.get("value").is_some(), body.get("value_b64").is_some())
        );
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonce_and_deadline_make_it_the_same_proposal() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let deadline = system_now().after_ms(60_000).get();
    let body = json!({"value": "once", "nonce": 7, "deadline": deadline});
    let first = client.post_json(&body).await.json();
    assert_eq!(first["deadline"], deadline);
    let id = first["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/v1/proposals/{id}?wait_ms=60000")).await.json()["state"], "final");
    let again = client.post_json(&body).await;
    assert_eq!((again.status, again.json()), (202, json!({"id": id, "deadline": deadline, "state": "final"})));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let far = system_now().after_ms(7_200_000).get();
    for (body, status, code, part) in [
        ("{", 400, "invalid", "not JSON"),
        ("", 400, "invalid", "not JSON"),
        ("\"text\"", 400, "invalid", "expected an object"),
        ("{\"value\":\"a\",\"colour\":1}", 400, "invalid", "unknown field \"colour\""),
        ("{\"value\":\"a\",\"value_b64\":\"YQ==\"}", 400, "invalid", "exactly one of value and value_b64"),
        ("{\"nonce\":1}", 400, "invalid", "no value"),
        ("{\"value\":\"a\",\"priority\":10}", 400, "invalid", "priority is 10"),
        ("{\"value\":\"a\",\"timeout_ms\":0}", 400, "invalid", "timeout_ms is 0"),
        ("{\"value\":\"a\",\"deadline\":1}", 400, "expired", "the deadline has passed"),
        (&format!("{{\"value\":\"a\",\"deadline\":{far}}}"), 400, "far_deadline", "max_timeout_ms"),
        ("{\"value\":\"no thanks\"}", 422, "application", "it says no"),
        (&format!("{{\"value\":\"{}\"}}", "a".repeat(65_537)), 413, "too_large", "65536 (max_value_bytes)"),
    ] {
        let message = client.post("application/json; charset=utf-8", body.as_bytes()).await.error(status, code);
        assert!(message.contains(part), "{body} → {message}");
    }
    // JSON with as much text as a value may have.
    let most = client.post_json(&json!({"value": "a".repeat(65_536)})).await;
    assert_eq!(most.status, 202, "{most:?}");
    for (content_type, part) in [("text/plain", "\"text/plain\""), ("", "missing")] {
        let message = client.post(content_type, b"{\"value\":\"a\"}").await.error(415, "unsupported_media_type");
        assert!(message.contains(part) && message.contains("application/x-ndjson"), "{message}");
    }
    let message =
        client.request("PUT", "/v1/proposals", "", &vec![b'x'; 1_000_000]).await.error(405, "method_not_allowed");
    assert!(message.contains("PUT"), "{message}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_long() {
    let fixture = Fixture::alone(json!({})).await;
    let huge = format!("{{\"value\":\"{}\"}}", "a".repeat(3_000_000));
    let message = fixture.client().await.post("application/json", huge.as_bytes()).await.error(413, "too_large");
    assert!(message.contains("65536 (max_value_bytes)"), "{message}");
    // Without a length, too.
    let mut client = fixture.client().await;
    client.begin_chunked("application/json").await;
    for part in huge.as_bytes().chunks(100_000) {
        client.chunk(part).await;
    }
    client.chunk(b"").await;
    client.reply().await.error(413, "too_large");
    // Who asks first is told before it sends.
    let mut client = fixture.client().await;
    let head = "POST /v1/proposals HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\
                expect: 100-continue\r\n\r\n";
    client.write(head.as_bytes()).await;
    client.reply().await.error(413, "too_large");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_results() {
    let fixture = Fixture::stuck(json!({})).await;
    let mut client = fixture.client().await;
    let unknown = "ab".repeat(32);
    for path in [format!("/v1/proposals/{unknown}"), format!("/v1/proposals/{unknown}?wait_ms=60000")] {
        let message = client.get(&path).await.error(404, "not_found");
        assert!(message.contains(&unknown), "{message}");
    }
    for (id, part) in
        [("xyz", "\"xyz\" is not a proposal's id"), ("AB", "lower-case"), ("%ff", "UTF-8"), (&"a".repeat(5_000), "…")]
    {
        let message = client.get(&format!("/v1/proposals/{id}")).await.error(400, "invalid");
        assert!(message.contains(part) && message.len() < 300, "{message}");
    }
    for (query, part) in
        [("wait_ms=60001", "at most 60000"), ("wait_ms=x", "wait_ms"), ("wait=1", "unknown field `wait`")]
    {
        let message = client.get(&format!("/v1/proposals/{unknown}?{query}")).await.error(400, "invalid");
        assert!(message.contains(part), "{message}");
    }
    let id = client.post_json(&json!({"value": "waits"})).await.json()["id"].as_str().unwrap().to_owned();
    for query in ["", "?wait_ms=20"] {
        let reply = client.get(&format!("/v1/proposals/{id}{query}")).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"id": id, "state": "pending"})));
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_says_when_to_come_back() {
    let fixture = Fixture::stuck(json!({"max_proposals": 3})).await;
    let mut client = fixture.client().await;
    for _ in 0..3 {
        assert_eq!(client.post_json(&json!({"value": "a"})).await.status, 202);
    }
    let reply = client.post_json(&json!({"value": "a"})).await;
    assert!(reply.error(429, "busy").contains("max_proposals"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    fixture.end().await;
}
