//! A request's body, piece by piece, bounded in length and patience.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::limits::{DISCARD_BYTES, DISCARD_TIME};

/// Why a body ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// Nothing came for this long.
    Timeout(Duration),
    /// It has more bytes than this.
    TooLong(u64),
    /// The connection, or the chunked coding.
    Broken(String),
}

/// A body that is being read.
pub(super) struct TimedBody {
    stream: BodyDataStream,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    left: u64,
    bound: u64,
}

impl TimedBody {
    pub(super) fn new(body: Body, bound: u64, patience: Duration) -> Self {
        let timer = Box::pin(sleep(patience));
        Self { stream: body.into_data_stream(), patience, timer, left: bound, bound }
    }

    /// The next piece. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        tokio::select! {
            biased;
            piece = self.stream.next() => {
                self.be_patient();
                match piece? {
                    Err(error) => Some(Err(BodyError::Broken(error.to_string()))),
                    Ok(bytes) => match self.left.checked_sub(bytes.len() as u64) {
                        Some(left) => {
                            self.left = left;
                            Some(Ok(bytes))
                        }
                        None => Some(Err(BodyError::TooLong(self.bound))),
                    },
                }
            }
            () = self.timer.as_mut() => Some(Err(BodyError::Timeout(self.patience))),
        }
    }

    /// Starts the patience again: it was this node that kept the client waiting.
    pub(super) fn be_patient(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.patience);
    }

    /// All of it.
    pub(super) async fn collect(&mut self) -> Result<Bytes, BodyError> {
        let Some(first) = self.next().await else { return Ok(Bytes::new()) };
        let first = first?;
        let Some(second) = self.next().await else { return Ok(first) };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second?);
        while let Some(piece) = self.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }

    /// Reads some of the rest and forgets it; see [`discard`].
    pub(super) async fn discard(self) {
        forget(self.stream).await;
    }
}

/// Reads some of a body that nobody wants and forgets it. A client that sends all before it reads would otherwise see its
/// connection reset instead of the answer. Who asks first (`Expect: 100-continue`) has not sent anything yet.
pub(super) async fn discard(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(header::EXPECT) {
        forget(body.into_data_stream()).await;
    }
}

async fn forget(mut stream: BodyDataStream) {
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(piece)) = stream.next().await {
            seen += piece.len() as u64;
            if seen > DISCARD_BYTES {
                break;
            }
        }
    };
    let _ = timeout(DISCARD_TIME, reading).await;
}
