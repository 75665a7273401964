//! The stream of final blocks as server-sent events: each block once, in order, from any height on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::error::{ApiError, shown};
use super::limits::{MAX_STREAMS, STREAM_BATCH, STREAM_BATCH_BYTES};
use super::{Shared, blocks};
use crate::{FinalBlock, NodeHandle};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    from: Option<u64>,
    values: Option<bool>,
}

/// GET /v1/stream
pub(super) async fn open(
    State(api): State<Shared>,
    headers: HeaderMap,
    from: Result<Query<From>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(From { from, values }) = from?;
    // A browser that connects again sends the first query with the last id: the id is the later word.
    let from = match headers.get(LAST_EVENT_ID) {
        Some(id) => Some(after(id.to_str().unwrap_or("?"))?),
        None => from,
    };
    let Ok(place) = Arc::clone(&api.streams).try_acquire_owned() else {
        return Err(ApiError::busy(format!("{MAX_STREAMS} streams are open here; close one, or read /v1/blocks")));
    };
    // Subscribed before the height is read: nothing falls between.
    let live = api.handle.subscribe();
    let last = api.handle.height();
    let next = from.unwrap_or(last + 1).max(1);
    let mut stream = Stream {
        next,
        last,
        values: values.unwrap_or(false),
        live,
        stop: api.stop.clone(),
        beat: Instant::now() + api.limits.keep_alive,
        api,
        _place: place,
    };
    let mut first = Bytes::from_static(b"retry: 1000\n\n");
    if next <= last {
        let blocks = stream.read().await?;
        if stream.next == next {
            return Err(ApiError::not_found(format!("the block of height {next} is not kept here any more")));
        }
        first = [first, blocks].concat().into();
    }
    let pieces = unfold((Some(first), stream), |(first, mut stream)| async move {
        let piece = match first {
            Some(first) => first,
            None => stream.piece().await?,
        };
        Some((Ok::<_, Infallible>(piece), (None, stream)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn after(id: &str) -> Result<u64, ApiError> {
    let height = id.trim().parse::<u64>().ok().and_then(|height| height.checked_add(1));
    height.ok_or_else(|| ApiError::invalid(format!("Last-Event-ID is {:?}; it must be a height", shown(id))))
}

struct Stream {
    api: Shared,
    /// The height that the client gets next.
    next: u64,
    /// The last height that is known to be final.
    last: u64,
    values: bool,
    live: broadcast::Receiver<FinalBlock>,
    stop: watch::Receiver<bool>,
    /// When a comment is due.
    beat: Instant,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next piece: some blocks, or a comment; `None` ends the stream.
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            if *self.stop.borrow() {
                return None;
            }
            if self.next <= self.last {
                let from = self.next;
                let blocks = self.read().await.ok()?;
                if self.next == from {
                    tracing::error!(height = from, "a stream ends: the block is final but missing");
                    return None;
                }
                self.beat = Instant::now() + self.api.limits.keep_alive;
                return Some(blocks);
            }
            tokio::select! {
                _ = self.stop.changed() => return None,
                block = self.live.recv() => match block {
                    Ok(block) => self.last = self.last.max(block.height),
                    // The store has what the channel has not.
                    Err(RecvError::Lagged(_)) => self.last = self.last.max(self.api.handle.height()),
                    Err(RecvError::Closed) => return None,
                },
                () = sleep_until(self.beat) => {
                    self.beat = Instant::now() + self.api.limits.keep_alive;
                    return Some(Bytes::from_static(b": keep-alive\n\n"));
                }
            }
        }
    }

    /// Reads the next blocks from the store.
    async fn read(&mut self) -> Result<Bytes, ApiError> {
        let (from, last, values) = (self.next, self.last, self.values);
        let (next, events) = blocks::read(&self.api, move |handle| events(handle, from, last, values)).await?;
        self.next = next;
        Ok(events)
    }
}

/// Events of some blocks from `from` on up to `last`, and the height after them.
fn events(handle: &NodeHandle, from: u64, last: u64, values: bool) -> Result<(u64, Bytes), ApiError> {
    let mut out = Vec::new();
    let mut next = from;
    while next <= last && next - from < STREAM_BATCH && out.len() < STREAM_BATCH_BYTES {
        let Some(block) = handle.block_view(next, values)? else { break };
        out.extend_from_slice(format!("id: {next}\nevent: block\ndata: ").as_bytes());
        serde_json::to_writer(&mut out, &block).map_err(ApiError::internal)?;
        out.extend_from_slice(b"\n\n");
        next += 1;
    }
    Ok((next, out.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::http::Api;
    use crate::http::access::Face;
    use crate::http::limits::HttpLimits;
    use crate::http::tests::Fixture;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_that_lags_reads_the_store() {
        let fixture = Fixture::alone(json!({})).await;
        let mut client = fixture.client().await;
        let mut height = 0;
        for at in 0..20 {
            height = fixture.finalize(&mut client, &format!("value {at}")).await["height"].as_u64().unwrap();
        }
        let (_go_on, stop) = watch::channel(false);
        let (sender, live) = broadcast::channel(2);
        let limits = HttpLimits::of(&fixture.handle);
        let api = Arc::new(Api::new(fixture.handle.clone(), limits, Face::Api, None, stop.clone()));
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let beat = Instant::now() + api.limits.keep_alive;
        let mut stream = Stream { api, next: 1, last: 0, values: false, live, stop, beat, _place: place };
        let hash = fixture.handle.chain_id();
        let mut seen = 0;
        // It sees two of four, ten, then one of one.
        for upto in [4, 10, 11, height] {
            for at in seen + 1..=upto {
                sender.send(FinalBlock { height: at, hash }).unwrap();
            }
            while seen < upto {
                let text = String::from_utf8(stream.piece().await.unwrap().to_vec()).unwrap();
                for id in text.lines().filter_map(|line| line.strip_prefix("id: ")) {
                    seen += 1;
                    assert_eq!(id, seen.to_string());
                }
            }
        }
        drop(sender);
        assert!(stream.piece().await.is_none());
        fixture.end().await;
    }
}
