//! Blocks in pages, one by one, and as a stream.

use serde_json::{Value, json};

use super::Fixture;
use super::client::Client;
use crate::http::limits::{MAX_STREAMS, STREAM_BATCH};

struct Events {
    client: Client,
    buffer: String,
}

impl Events {
    async fn open(fixture: &Fixture, query: &str, headers: &str) -> Self {
        let mut client = fixture.client().await;
        Self::begin(&mut client, query, headers).await;
        Self { client, buffer: String::new() }
    }

    async fn begin(client: &mut Client, query: &str, headers: &str) {
        client.write(format!("GET /v1/stream{query} HTTP/1.1\r\nhost: test\r\n{headers}\r\n").as_bytes()).await;
        let (status, head) = client.head().await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/event-stream\n"), "{head}");
    }

    /// The next event's text; `None` at the end of the stream.
    async fn raw(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let event = event.to_owned();
                self.buffer = rest.to_owned();
                return Some(event);
            }
            self.buffer.push_str(&String::from_utf8(self.client.next_chunk().await?).unwrap());
        }
    }

    /// The next block.
    async fn block(&mut self) -> Value {
        loop {
            let event = self.raw().await.expect("a block");
            if event.starts_with(':') || event.starts_with("retry:") {
                continue;
            }
            let lines: Vec<&str> = event.lines().collect();
            let block: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(lines[..2], [format!("id: {}", block["height"]).as_str(), "event: block"]);
            return block;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_single_blocks() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let mut last = 0;
    for value in ["a", "b", "c"] {
        last = fixture.finalize(&mut client, value).await["height"].as_u64().unwrap();
    }
    let all = client.get("/v1/blocks").await.json();
    let all = all.as_array().unwrap();
    assert!(all.len() as u64 >= last);
    for (at, block) in all.iter().enumerate() {
        assert_eq!(block["height"], at as u64 + 1);
        assert!(block.get("values").is_none());
        if at > 0 {
            assert_eq!(block["parent_hash"], all[at - 1]["hash"]);
        }
    }
    let two = client.get("/v1/blocks?from=2&limit=2").await.json();
    assert_eq!(two, json!([all[1], all[2]]));
    assert_eq!(client.get("/v1/blocks?from=1000000000").await.json(), json!([]));
    let one = client.get(&format!("/v1/blocks/{last}")).await.json();
    assert_eq!(one["hash"], all[last as usize - 1]["hash"]);
    assert_eq!(one["values"][0]["value"], "c");
    for (path, status, code, part) in [
        ("/v1/blocks/1000000000", 404, "not_found", "height 1000000000"),
        ("/v1/blocks/0", 404, "not_found", "height 0"),
        ("/v1/blocks/-1", 400, "invalid", "\"-1\" is not a height"),
        ("/v1/blocks?limit=1001", 400, "invalid", "1 to 1000"),
        ("/v1/blocks?limit=0", 400, "invalid", "1 to 1000"),
        ("/v1/blocks?from=x", 400, "invalid", "from"),
        ("/v1/stream?from=x", 400, "invalid", "from"),
    ] {
        let message = client.get(path).await.error(status, code);
        assert!(message.contains(part), "{path} → {message}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_where_it_was() {
    let fixture = Fixture::alone(json!({})).await;
    let mut client = fixture.client().await;
    let mut live = Events::open(&fixture, "", "").await;
    assert_eq!(live.raw().await.as_deref(), Some("retry: 1000"));
    let first = fixture.finalize(&mut client, "first").await;
    let block = live.block().await;
    assert!(block["height"].as_u64() <= first["height"].as_u64());
    let begun = block["height"].as_u64().unwrap();
    // More blocks than one read from the store takes.
    let mut height = 0;
    for at in 0..STREAM_BATCH + 10 {
        height = fixture.finalize(&mut client, &format!("value {at}")).await["height"].as_u64().unwrap();
    }
    for expected in begun + 1..=height {
        assert_eq!(live.block().await["height"], expected);
    }
    drop(live);
    // From the beginning, with values; then on into what is new.
    let mut all = Events::open(&fixture, "?from=1&values=true", "").await;
    for expected in 1..=height {
        let block = all.block().await;
        assert_eq!(
            (&block["height"], block["values"].as_array().unwrap().len() as u64),
            (&json!(expected), block["count"].as_u64().unwrap())
        );
    }
    // Last-Event-ID is a later word than ?from=.
    let mut again = Events::open(&fixture, "?from=1", &format!("last-event-id: {}\r\n", height - 3)).await;
    for expected in height - 2..=height {
        assert_eq!(again.block().await["height"], expected);
    }
    let new = fixture.finalize(&mut client, "new").await["height"].as_u64().unwrap();
    for stream in [&mut all, &mut again] {
        for expected in height + 1..=new {
            assert_eq!(stream.block().await["height"], expected);
        }
    }
    let message = client.request("GET", "/v1/stream", "last-event-id: x\r\n", b"").await.error(400, "invalid");
    assert!(message.contains("Last-Event-ID"), "{message}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_kept_alive_and_ended() {
    let fixture = Fixture::stuck(json!({})).await;
    let (server, address) = fixture.server(|limits| limits.keep_alive = std::time::Duration::from_millis(20)).await;
    let mut streams = Vec::new();
    for _ in 0..MAX_STREAMS {
        let mut client = Client::connect(address).await;
        Events::begin(&mut client, "", "").await;
        streams.push(Events { client, buffer: String::new() });
    }
    let mut one_more = Client::connect(address).await;
    let refused = one_more.get("/v1/stream").await;
    refused.error(429, "busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let mut first = streams.remove(0);
    assert_eq!(first.raw().await.as_deref(), Some("retry: 1000"));
    for _ in 0..2 {
        assert_eq!(first.raw().await.as_deref(), Some(": keep-alive"));
    }
    server.stop().await;
    for mut stream in streams {
        while let Some(event) = stream.raw().await {
            assert!(event.starts_with("retry") || event.starts_with(':'), "{event}");
        }
    }
    fixture.end().await;
}
