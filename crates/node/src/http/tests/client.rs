//! A small HTTP client that can also do what clients should not.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Nothing in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::http) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(in crate::http) struct Reply {
    pub(in crate::http) status: u16,
    /// Lower-case names and their values, one a line.
    pub(in crate::http) head: String,
    pub(in crate::http) body: Vec<u8>,
}

impl Reply {
    pub(in crate::http) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(in crate::http) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether it is an error with this status and code; its message.
    pub(in crate::http) fn error(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!((self.status, json["code"].as_str()), (status, Some(code)), "{}", self.text());
        assert_eq!(json.as_object().unwrap().len(), 2);
        json["message"].as_str().unwrap().to_owned()
    }

    pub(in crate::http) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Client {
    pub(in crate::http) async fn connect(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    /// Writes as it is; false once the server has closed.
    pub(in crate::http) async fn write(&mut self, bytes: &[u8]) -> bool {
        let writing = self.stream.get_mut().write_all(bytes);
        tokio::time::timeout(PATIENCE, writing).await.expect("a write in time").is_ok()
    }

    pub(in crate::http) async fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, "", b"").await
    }

    pub(in crate::http) async fn post_json(&mut self, body: &Value) -> Reply {
        self.post("application/json", body.to_string().as_bytes()).await
    }

    pub(in crate::http) async fn post(&mut self, content_type: &str, body: &[u8]) -> Reply {
        self.request("POST", "/v1/proposals", &format!("content-type: {content_type}\r\n"), body).await
    }

    pub(in crate::http) async fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        self.write(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}{length}\r\n").as_bytes()).await;
        self.write(body).await;
        self.reply().await
    }

    /// Begins a request whose body comes in chunks.
    pub(in crate::http) async fn begin_chunked(&mut self, content_type: &str) {
        let head = format!(
            "POST /v1/proposals HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        self.write(head.as_bytes()).await;
    }

    /// A piece of a chunked body; an empty one ends it.
    pub(in crate::http) async fn chunk(&mut self, bytes: &[u8]) -> bool {
        let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
        self.write(&out).await
    }

    pub(in crate::http) async fn reply(&mut self) -> Reply {
        let (status, head) = self.head().await;
        let mut reply = Reply { status, head, body: Vec::new() };
        if let Some(length) = reply.header("content-length") {
            reply.body = vec![0; length.parse().unwrap()];
            let reading = self.stream.read_exact(&mut reply.body);
            tokio::time::timeout(PATIENCE, reading).await.expect("a body in time").unwrap();
        } else if reply.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.next_chunk().await {
                reply.body.extend(chunk);
            }
        }
        reply
    }

    /// The status and the headers of an answer.
    pub(in crate::http) async fn head(&mut self) -> (u16, String) {
        let status = self.line().await.expect("a status line");
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut head = String::new();
        loop {
            let line = self.line().await.expect("a header");
            if line.is_empty() {
                return (status.expect("a status"), head);
            }
            let (name, value) = line.split_once(':').unwrap();
            let _ = writeln!(head, "{}: {}", name.to_lowercase(), value.trim());
        }
    }

    /// A piece of a chunked answer; `None` at its proper end.
    pub(in crate::http) async fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await.expect("a chunk"), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        let reading = self.stream.read_exact(&mut chunk);
        tokio::time::timeout(PATIENCE, reading).await.expect("a chunk in time").unwrap();
        chunk.truncate(length);
        if chunk.is_empty() { None } else { Some(chunk) }
    }

    /// A line without its end; `None` once the server has closed.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let reading = self.stream.read_line(&mut line);
        match tokio::time::timeout(PATIENCE, reading).await.expect("a line in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Writes, and reads at the same time until the server closes.
    pub(in crate::http) async fn write_and_read(self, bytes: &[u8]) -> Vec<u8> {
        let (mut reader, mut writer) = self.stream.into_inner().into_split();
        let mut answers = Vec::new();
        let both = async { tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answers)) };
        let (written, read) = tokio::time::timeout(PATIENCE, both).await.expect("all in time");
        written.and(read.map(|_| ())).unwrap();
        answers
    }

    /// Reads until the server closes.
    pub(in crate::http) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let reading = self.stream.read_to_end(&mut rest);
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the end in time");
        rest
    }
}
