//! Reading frames from a link.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::frame::{Control, HEADER_LEN, Header};
use crate::handler::LinkHandler;
use crate::peer::{Peer, Pings};

/// Bytes of the read buffer, and the step in which memory for a long frame grows at first.
const STEP: usize = 64 * 1024;

/// Why nothing more comes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// The peer closed the link between two frames.
    Closed,
    /// The connection failed.
    Lost(String),
    /// The peer broke the rules.
    Misbehaved(String),
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Data(Bytes),
    Control(Control),
}

/// Cuts the bytes of a link into frames.
pub(crate) struct FrameReader<R> {
    inner: R,
    buffer: Box<[u8]>,
    /// The bytes that were read but not yet used are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The longest wait for a byte.
    idle: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(inner: R, idle: Duration) -> Self {
        Self { inner, buffer: vec![0; STEP].into_boxed_slice(), start: 0, end: 0, idle }
    }

    /// Changes the longest wait for a byte.
    pub(crate) fn set_idle_timeout(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// The next frame, with a payload of at most `max_len` bytes.
    pub(crate) async fn next(&mut self, max_len: usize) -> Result<Incoming, ReadEnd> {
        while self.end - self.start < HEADER_LEN {
            let between_frames = self.start == self.end;
            if self.fill().await? == 0 {
                return Err(if between_frames { ReadEnd::Closed } else { torn() });
            }
        }
        let mut word = [0; HEADER_LEN];
        word.copy_from_slice(self.take(HEADER_LEN));
        let header = Header::parse(word, max_len).map_err(ReadEnd::Misbehaved)?;
        let payload = self.payload(header.payload_len()).await?;
        match header {
            Header::Data { .. } => Ok(Incoming::Data(payload.into())),
            Header::Control => Control::parse(&payload).map(Incoming::Control).map_err(ReadEnd::Misbehaved),
        }
    }

    /// Copies out `len` bytes. Memory is set aside for what has arrived and for as much again (at least one step), never
    /// for what the length merely announces.
    async fn payload(&mut self, len: usize) -> Result<Vec<u8>, ReadEnd> {
        let mut payload = Vec::new();
        loop {
            let missing = len - payload.len();
            payload.reserve_exact(missing.min(payload.len().max(STEP)));
            let available = (self.end - self.start).min(payload.capacity() - payload.len()).min(missing);
            payload.extend_from_slice(self.take(available));
            if payload.len() == len {
                return Ok(payload);
            }
            if self.start == self.end && self.fill().await? == 0 {
                return Err(torn());
            }
        }
    }

    /// Uses up the next `len` bytes, which are in the buffer.
    fn take(&mut self, len: usize) -> &[u8] {
        let start = self.start;
        self.start += len;
        &self.buffer[start..self.start]
    }

    /// Waits for bytes; 0 of them mean the end.
    async fn fill(&mut self) -> Result<usize, ReadEnd> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match timeout(self.idle, self.inner.read(&mut self.buffer[self.end..])).await {
            Err(_) => Err(ReadEnd::Lost(format!("nothing arrived for {} ms", self.idle.as_millis()))),
            Ok(Err(error)) => Err(ReadEnd::Lost(describe(&error))),
            Ok(Ok(count)) => {
                self.end += count;
                Ok(count)
            }
        }
    }
}

fn torn() -> ReadEnd {
    ReadEnd::Lost("the connection ended in the middle of a frame".to_owned())
}

fn describe(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "the connection ended without a farewell".to_owned()
    } else {
        format!("reading failed: {error}")
    }
}

/// Hands frames to the handler and answers pings until the link ends.
pub(crate) async fn read_loop<R: AsyncRead + Unpin>(
    peer: Arc<Peer>,
    mut reader: FrameReader<R>,
    pings: Arc<Pings>,
    handler: Arc<dyn LinkHandler>,
    max_len: usize,
) -> ReadEnd {
    loop {
        match reader.next(max_len).await {
            Ok(Incoming::Data(frame)) => {
                peer.count_received(HEADER_LEN + frame.len());
                if let Err(reason) = handler.on_frame(peer.index(), frame).await {
                    return ReadEnd::Misbehaved(reason);
                }
            }
            Ok(Incoming::Control(Control::Ping(nonce))) => {
                pings.owe_pong(nonce);
                peer.wake_writer();
            }
            Ok(Incoming::Control(Control::Pong(nonce))) => {
                if let Some(rtt) = pings.answered(nonce) {
                    peer.measured_rtt(rtt);
                }
            }
            Err(end) => return end,
        }
    }
}
