//! Many proposals in one request: lines in, answers out while more lines come.
//!
//! ```text
//!   body ─▶ lines ─▶ chunk ─▶ submit (a few chunks at once) ─▶ answers ─▶ client
//! ```
//!
//! Memory is bounded whatever the body's length: a line, a chunk being filled, [`CHUNKS_IN_FLIGHT`] chunks, and
//! [`ANSWER_BYTES`] of answers. A client that takes no answers is not read from.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt, unfold};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Shared;
use super::body::TimedBody;
use super::error::ApiError;
use super::limits::{ANSWER_BYTES, CHUNK_BYTES, CHUNK_LINES, CHUNKS_IN_FLIGHT};
use super::lines::{Line, Lines};
use super::parse;
use crate::{NodeError, NodeHandle, ProposalRequest};

/// Takes a body with many proposals; `place` is one of the places for bulk requests.
pub(super) fn take(api: &Shared, place: OwnedSemaphorePermit, body: TimedBody) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    let answers = Answers { sender, room: Arc::new(Semaphore::new(ANSWER_BYTES)) };
    let bulk = Bulk {
        api: Arc::clone(api),
        answers,
        in_flight: FuturesOrdered::new(),
        chunk: Chunk::default(),
        _place: place,
    };
    tokio::spawn(async move {
        // Ends early when the client has gone.
        let _ = bulk.run(body).await;
    });
    let pieces = unfold(receiver, |mut receiver| async move {
        let (bytes, _room): (Bytes, OwnedSemaphorePermit) = receiver.recv().await?;
        Some((Ok::<_, Infallible>(bytes), receiver))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

/// The client has gone.
struct Gone;

/// The way of answers to the client. The channel is bounded by the room, in bytes.
struct Answers {
    sender: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Answers {
    async fn send(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        let size = bytes.len().min(ANSWER_BYTES) as u32;
        let room = tokio::select! {
            () = self.sender.closed() => return Err(Gone),
            room = Arc::clone(&self.room).acquire_many_owned(size) => room.map_err(|_| Gone)?,
        };
        self.sender.send((Bytes::from(bytes), room)).map_err(|_| Gone)
    }
}

/// Lines that are submitted together. A line is a request, or wrong.
#[derive(Default)]
struct Chunk {
    lines: Vec<Option<ApiError>>,
    requests: Vec<ProposalRequest>,
    bytes: usize,
}

impl Chunk {
    fn push(&mut self, line: Result<ProposalRequest, ApiError>) {
        match line {
            Ok(request) => {
                self.bytes += request.value.len();
                self.requests.push(request);
                self.lines.push(None);
            }
            Err(error) => self.lines.push(Some(error)),
        }
    }

    const fn is_full(&self) -> bool {
        self.lines.len() >= CHUNK_LINES || self.bytes >= CHUNK_BYTES
    }

    /// Submits it and writes the answers down.
    async fn submit(self, handle: NodeHandle) -> Vec<u8> {
        let mut outcomes = match handle.submit(self.requests).await {
            Ok(outcomes) => outcomes,
            Err(error) => vec![Err(error); self.lines.len()],
        }
        .into_iter();
        let mut out = Vec::with_capacity(self.lines.len() * 80);
        for line in self.lines {
            let outcome = match line {
                Some(error) => Err(error),
                None => match outcomes.next() {
                    Some(outcome) => outcome.map_err(ApiError::from),
                    None => Err(ApiError::from(NodeError::Stopped)),
                },
            };
            match outcome {
                Ok(submitted) => write_id(&mut out, submitted.id.as_bytes()),
                Err(error) => write_error(&mut out, &error),
            }
        }
        out
    }
}

fn write_id(out: &mut Vec<u8>, id: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"{\"id\":\"");
    for byte in id {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.extend_from_slice(b"\"}\n");
}

fn write_error(out: &mut Vec<u8>, error: &ApiError) {
    out.extend_from_slice(b"{\"error\":");
    // Two strings: this does not fail.
    let _ = serde_json::to_writer(&mut *out, &error.body);
    out.extend_from_slice(b"}\n");
}

struct Bulk {
    api: Shared,
    answers: Answers,
    in_flight: FuturesOrdered<BoxFuture<'static, Vec<u8>>>,
    chunk: Chunk,
    _place: OwnedSemaphorePermit,
}

impl Bulk {
    async fn run(mut self, mut body: TimedBody) -> Result<(), Gone> {
        let mut lines = Lines::new(self.api.limits.max_line_bytes());
        let end = loop {
            let piece = tokio::select! {
                biased;
                Some(answers) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    body.be_patient();
                    self.answers.send(answers).await?;
                    self.launch_if_idle();
                    continue;
                }
                () = self.answers.sender.closed() => return Err(Gone),
                piece = body.next(), if self.in_flight.len() < CHUNKS_IN_FLIGHT => piece,
            };
            match piece {
                Some(Ok(piece)) => self.piece(&mut lines, &piece).await?,
                Some(Err(error)) => break Some(ApiError::from(error)),
                None => break None,
            }
        };
        if end.is_none()
            && let Some(line) = lines.last()
        {
            let line = self.parse(line);
            self.chunk.push(line);
        }
        self.launch();
        while let Some(answers) = self.in_flight.next().await {
            self.answers.send(answers).await?;
        }
        if let Some(error) = end {
            let mut out = Vec::new();
            write_error(&mut out, &error);
            self.answers.send(out).await?;
            body.discard().await;
        }
        Ok(())
    }

    async fn piece(&mut self, lines: &mut Lines, piece: &[u8]) -> Result<(), Gone> {
        let mut rest = piece;
        while let Some(line) = lines.next(&mut rest) {
            let line = self.parse(line);
            self.chunk.push(line);
            if self.chunk.is_full() {
                while self.in_flight.len() >= CHUNKS_IN_FLIGHT
                    && let Some(answers) = self.in_flight.next().await
                {
                    self.answers.send(answers).await?;
                }
                self.launch();
            }
        }
        self.launch_if_idle();
        Ok(())
    }

    fn parse(&self, line: Line<'_>) -> Result<ProposalRequest, ApiError> {
        match line {
            Line::Whole(line) => parse::line(line),
            Line::TooLong => Err(ApiError::too_large(format!(
                "the line has more than {} bytes; a value has at most {} (max_value_bytes)",
                self.api.limits.max_line_bytes(),
                self.api.limits.max_value_bytes
            ))),
        }
    }

    /// What has come is not kept waiting for more while the node has nothing else to do.
    fn launch_if_idle(&mut self) {
        if self.in_flight.is_empty() {
            self.launch();
        }
    }

    fn launch(&mut self) {
        if !self.chunk.lines.is_empty() {
            let chunk = std::mem::take(&mut self.chunk);
            self.in_flight.push_back(Box::pin(chunk.submit(self.api.handle.clone())));
        }
    }
}
