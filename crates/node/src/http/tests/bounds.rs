//! Clients that are too many, too slow, too fast or not clients at all.

use std::time::Duration;

use serde_json::json;

use super::Fixture;
use super::client::Client;

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_does_no_harm() {
    let fixture = Fixture::alone(json!({})).await;
    let inputs: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/proposals HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/proposals HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"GET /%00%ff//..//v1 HTTP/1.1\r\nhost: \xff\xfe\r\nconnection: close\r\n\r\n",
    ];
    for input in inputs {
        let mut client = fixture.client().await;
        client.write(input).await;
        let rest = client.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.") && rest[9] == b'4',
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }
    let mut client = fixture.client().await;
    let long = client.request("GET", "/", &format!("x: {}\r\n", "y".repeat(100_000)), b"").await;
    assert_eq!(long.status, 431);
    // What a web page can send without asking changes nothing.
    let form = fixture.client().await.request("POST", "/v1/ai/mode", "content-type: text/plain\r\n", b"{}").await;
    form.error(415, "unsupported_media_type");
    // Half a request, and the client is gone.
    fixture
        .client()
        .await
        .write(b"POST /v1/proposals HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{")
        .await;
    fixture.finalize(&mut fixture.client().await, "still here").await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_are_not_there() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    for path in ["/v2", "/v1/proposal", "/v1/blocks/1/2", "/v1/status/"] {
        assert!(client.get(path).await.error(404, "not_found").contains(path));
    }
    for (method, path, allowed) in
        [("GET", "/v1/proposals", "POST"), ("DELETE", "/v1/status", "GET,HEAD"), ("POST", "/", "GET,HEAD")]
    {
        let reply = client.request(method, path, "", b"").await;
        assert!(reply.error(405, "method_not_allowed").contains(method));
        assert_eq!(reply.header("allow"), Some(allowed));
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_not_waited_for() {
    let fixture = Fixture::stuck(json!({})).await;
    let (server, address) = fixture
        .server(|limits| {
            limits.header_timeout = SHORT;
            limits.body_timeout = SHORT;
        })
        .await;
    // No request at all, and half of one.
    for begin in ["", "GET / HTTP/1.1\r\nhost:"] {
        let mut client = Client::connect(address).await;
        client.write(begin.as_bytes()).await;
        assert_eq!(client.rest().await, b"");
    }
    // Half a body.
    let mut client = Client::connect(address).await;
    client.begin_chunked("application/json").await;
    client.chunk(b"{\"value\":").await;
    let message = client.reply().await.error(408, "request_timeout");
    assert!(message.contains("0.1 s"), "{message}");
    // Half a bulk body: what was whole is answered.
    let mut client = Client::connect(address).await;
    client.begin_chunked("application/x-ndjson").await;
    client.chunk(b"\"whole\"\n\"half").await;
    let text = client.reply().await.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("{\"id\":") && lines[1].contains("request_timeout"), "{text}");
    server.stop().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_is_cut_off() {
    let fixture = Fixture::stuck(json!({})).await;
    let (server, address) = fixture
        .server(|limits| {
            limits.write_timeout = SHORT;
            limits.max_bulk_body_bytes = u64::MAX;
        })
        .await;
    let mut client = Client::connect(address).await;
    client.begin_chunked("application/x-ndjson").await;
    // Each line is answered with more bytes than it has: sockets and answers fill up, then nothing more is taken.
    let piece = "1\n".repeat(50_000);
    let mut pieces = 0;
    while client.chunk(piece.as_bytes()).await {
        pieces += 1;
        assert!(pieces < 1_000, "100 MB were read from a client that reads nothing");
    }
    assert_eq!(Client::connect(address).await.get("/livez").await.status, 200);
    server.stop().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded() {
    let fixture = Fixture::alone(json!({})).await;
    let (server, address) = fixture.server(|limits| limits.max_connections = 2).await;
    let (mut one, mut two) = (Client::connect(address).await, Client::connect(address).await);
    for client in [&mut one, &mut two] {
        assert_eq!(client.get("/livez").await.status, 200);
    }
    let mut three = Client::connect(address).await;
    three.reply().await.error(429, "busy");
    assert_eq!(three.rest().await, b"");
    one.write(b"GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    one.rest().await;
    // The place is free when the server has seen the end.
    loop {
        let mut four = Client::connect(address).await;
        four.write(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await;
        if four.head().await.0 == 200 {
            break;
        }
    }
    server.stop().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_bounded_and_probes_are_not() {
    let fixture = Fixture::alone(json!({})).await;
    let (server, address) = fixture.server(|limits| limits.max_requests_per_second = 1).await;
    let mut client = Client::connect(address).await;
    let mut refused = 0;
    for _ in 0..50 {
        let reply = client.get("/v1/status").await;
        if reply.status == 429 {
            assert!(reply.error(429, "busy").contains("api.max_requests_per_second"));
            assert_eq!(reply.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert!(refused >= 1, "50 requests passed one a second");
    for path in ["/livez", "/readyz", "/health/consensus", "/metrics"] {
        assert_eq!(client.get(path).await.status, 200);
    }
    server.stop().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_and_leaves_is_forgotten() {
    let fixture = Fixture::stuck(json!({})).await;
    let hub = &fixture.handle.0.hub;
    let mut client = fixture.client().await;
    let id = client.post_json(&json!({"value": "a"})).await.json()["id"].as_str().unwrap().to_owned();
    client.get(&format!("/v1/proposals/{}?wait_ms=60000", "ab".repeat(32))).await.error(404, "not_found");
    assert_eq!(hub.waiting(), 0);
    client.write(format!("GET /v1/proposals/{id}?wait_ms=60000 HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await;
    let until = async |count: usize| {
        let counted = async {
            while hub.waiting() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), counted).await.expect("the count in time");
    };
    until(1).await;
    drop(client);
    until(0).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_idle_connections_and_cuts_the_others() {
    let fixture = Fixture::stuck(json!({})).await;
    let (server, address) = fixture.server(|limits| limits.stop_timeout = SHORT).await;
    let mut idle = Client::connect(address).await;
    let id = idle.post_json(&json!({"value": "a"})).await.json()["id"].as_str().unwrap().to_owned();
    let mut waiting = Client::connect(address).await;
    waiting.write(format!("GET /v1/proposals/{id}?wait_ms=60000 HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await;
    // Answered after the other one has arrived at the node at the latest.
    assert_eq!(idle.get("/livez").await.status, 200);
    server.stop().await;
    assert_eq!(idle.rest().await, b"");
    assert_eq!(waiting.rest().await, b"");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_says_so() {
    let mut fixture = Fixture::alone(json!({})).await;
    let (server, address) = fixture.server(|_| {}).await;
    fixture.node.shutdown().await.unwrap();
    let mut client = Client::connect(address).await;
    client.post_json(&json!({"value": "a"})).await.error(503, "stopped");
    let bulk = client.post("application/x-ndjson", b"\"a\"\n\"b\"\n").await.text();
    assert_eq!(bulk.matches("\"code\":\"stopped\"").count(), 2, "{bulk}");
    assert_eq!(client.get("/readyz").await.status, 503);
    assert_eq!(client.get("/livez").await.status, 200);
    server.stop().await;
}
