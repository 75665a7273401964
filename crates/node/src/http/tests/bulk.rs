//! Many proposals in one request.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use super::Fixture;
use super::client::{Client, Reply};
use crate::http::limits::CHUNK_LINES;
use crate::http::lines::{Line, Lines};
use crate::http::parse;

const NDJSON: &str = "application/x-ndjson";

fn answers(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(NDJSON)), "{}", reply.text());
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("taken")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_has_its_answer_in_order() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let huge = format!("\"{}\"", "x".repeat(200_000));
    let large = format!("\"{}\"", "x".repeat(65_537));
    let lines = [
        ("\"plain\"", "taken"),
        ("", ""),
        ("{\"value\":\"object\",\"priority\":9}", "taken"),
        ("{\"value\":\"a\",\"colour\":1}", "invalid"),
        (huge.as_str(), "too_large"),
        ("   ", ""),
        ("not json", "invalid"),
        ("{\"value_b64\":\"AAE=\"}\r", "taken"),
        (large.as_str(), "too_large"),
        ("\"no\"", "application"),
        ("\"esc\\u00e4ped\"", "taken"),
        ("\u{ff}\"", "invalid"),
        ("{\"value\":\"late\",\"deadline\":5}", "expired"),
        ("\"the last one has no end\"", "taken"),
    ];
    let body = lines.map(|(line, _)| line).join("\n");
    let expected: Vec<&str> = lines.iter().map(|(_, code)| *code).filter(|code| !code.is_empty()).collect();
    let found = answers(&client.post(NDJSON, body.as_bytes()).await);
    assert_eq!(found.iter().map(code).collect::<Vec<_>>(), expected);
    // The same in pieces that end anywhere, on the same connection.
    client.begin_chunked(NDJSON).await;
    for piece in body.as_bytes().chunks(7_001) {
        client.chunk(piece).await;
    }
    client.chunk(b"").await;
    let again = answers(&client.reply().await);
    assert_eq!(again.iter().map(code).collect::<Vec<_>>(), expected);
    for (answer, value) in [(&found[0], "plain"), (&again[8], "escäped"), (&again[11], "the last one has no end")] {
        let id = answer["id"].as_str().unwrap();
        let result = client.get(&format!("/v1/proposals/{id}?wait_ms=60000")).await.json();
        assert_eq!((&result["state"], &result["value"]), (&json!("final"), &json!(value)));
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_answered_before_the_next_one_is_sent() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    client.begin_chunked(NDJSON).await;
    client.chunk(b"\"first\"\n").await;
    assert_eq!(client.head().await.0, 200);
    let mut ids = Vec::new();
    for value in ["second", "third", "fourth"] {
        ids.push(client.next_chunk().await.unwrap());
        client.chunk(format!("\"{value}\"\n").as_bytes()).await;
    }
    ids.push(client.next_chunk().await.unwrap());
    client.chunk(b"").await;
    assert_eq!(client.next_chunk().await, None);
    for line in ids {
        let answer: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(code(&answer), "taken");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_is_taken_when_the_node_is_full() {
    let fixture = Fixture::stuck(json!({"max_proposals": 10})).await;
    let body = numbers(3 * CHUNK_LINES);
    let found = answers(&fixture.client().await.post(NDJSON, body.as_bytes()).await);
    let codes: Vec<&str> = found.iter().map(code).collect();
    assert_eq!(codes.len(), 3 * CHUNK_LINES);
    assert!(codes[..10].iter().all(|code| *code == "taken") && codes[10..].iter().all(|code| *code == "busy"));
    fixture.end().await;
}

/// A client that sends all of its lines before it reads the first answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_lines() {
    const LINES: usize = 20_000;
    let fixture = Fixture::alone(json!({"max_proposals": 40_000})).await;
    let url = format!("http://{}/v1/proposals", fixture.address);
    let text = tokio::task::spawn_blocking(move || {
        let body = numbers(LINES);
        let mut response = ureq::post(url).header("content-type", NDJSON).send(body.as_str()).unwrap();
        response.body_mut().read_to_string().unwrap()
    });
    let text = text.await.unwrap();
    let ids: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids.len(), LINES);
    assert!(ids.iter().all(|answer| code(answer) == "taken"));
    let mut client = fixture.client().await;
    for at in [0, CHUNK_LINES - 1, CHUNK_LINES, LINES - 1] {
        let id = ids[at]["id"].as_str().unwrap();
        let result = client.get(&format!("/v1/proposals/{id}?wait_ms=60000")).await.json();
        assert_eq!(result["value"], format!("{at:032}"), "{result}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_ended() {
    let fixture = Fixture::alone(json!({})).await;
    let (server, address) = fixture.server(|limits| limits.max_bulk_body_bytes = 100_000).await;
    let mut client = Client::connect(address).await;
    client.post(NDJSON, &vec![b'\n'; 100_001]).await.error(413, "too_large");
    let mut client = Client::connect(address).await;
    client.begin_chunked(NDJSON).await;
    client.chunk(b"\"good\"\n").await;
    for _ in 0..11 {
        client.chunk(&[b'\n'; 10_000]).await;
    }
    let found = answers(&client.reply().await);
    assert_eq!(found.iter().map(code).collect::<Vec<_>>(), ["taken", "too_large"]);
    server.stop().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_body_keeps_what_was_answered() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    client.begin_chunked(NDJSON).await;
    client.chunk(b"\"good\"\n\"half").await;
    client.write(b"zz not a chunk\r\n").await;
    assert_eq!(client.head().await.0, 200);
    let text = String::from_utf8(client.rest().await).unwrap();
    assert!(text.contains("{\"id\":") && text.contains("the body cannot be read"), "{text}");
    assert_eq!(fixture.client().await.get("/livez").await.status, 200);
    fixture.end().await;
}

fn numbers(count: usize) -> String {
    let mut body = String::new();
    for at in 0..count {
        let _ = writeln!(body, "\"{at:032}\"");
    }
    body
}

/// Not a test of right or wrong: `cargo test --release -p node --lib bulk_speed -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn bulk_speed() {
    const LINES: usize = 400_000;
    let body = numbers(LINES);
    let begun = Instant::now();
    let (mut lines, mut rest, mut count) = (Lines::new(132_096), body.as_bytes(), 0);
    while let Some(line) = lines.next(&mut rest) {
        count += usize::from(matches!(line, Line::Whole(line) if parse::line(line).is_ok()));
    }
    assert_eq!(count, LINES);
    println!("parsed: {:.0} lines/s", LINES as f64 / begun.elapsed().as_secs_f64());
    for (what, validators) in [("taken, made final meanwhile", 1), ("taken", 2)] {
        let config = json!({
            "consensus": {"max_proposals": 4_000_000},
            "batching": {"max_batch_size": 20_000},
            "node": {"mempool_bytes": 1_u64 << 30},
        });
        let fixture = Fixture::of(validators, config).await;
        let mut client = fixture.client().await;
        let head = format!(
            "POST /v1/proposals HTTP/1.1\r\nhost: test\r\ncontent-type: {NDJSON}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let begun = Instant::now();
        client.write(head.as_bytes()).await;
        let answers = client.write_and_read(body.as_bytes()).await;
        let taken = String::from_utf8_lossy(&answers).matches("{\"id\":").count();
        println!("{what}: {taken} of {LINES}, {:.0} lines/s", taken as f64 / begun.elapsed().as_secs_f64());
        fixture.end().await;
    }
}
