//! The HTTP API of a node (docs/api.md): routes, and what their handlers share.
//!
//! ```text
//!   server (connections) ─▶ router ─▶ rate limit ─▶ proposals ─▶ parse, bulk ─▶ NodeHandle
//!                                                   blocks, stream, reads ────▶
//! ```

mod blocks;
mod body;
mod bulk;
mod error;
mod limits;
mod lines;
mod parse;
mod proposals;
mod rate;
mod reads;
mod server;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};

use crate::NodeHandle;
use error::ApiError;
use limits::HttpLimits;
use rate::RateLimit;

pub use server::Server;

/// What all handlers share.
struct Api {
    handle: NodeHandle,
    limits: HttpLimits,
    rate: RateLimit,
    /// Places for streams.
    streams: Arc<Semaphore>,
    /// Places for bulk requests.
    bulk: Arc<Semaphore>,
    /// Places for reading blocks.
    readers: Arc<Semaphore>,
    /// Places for answers with whole blocks.
    block_answers: Arc<Semaphore>,
    /// True once the server stops.
    stop: watch::Receiver<bool>,
}

type Shared = Arc<Api>;

impl Api {
    fn new(handle: NodeHandle, limits: HttpLimits, stop: watch::Receiver<bool>) -> Self {
        Self {
            handle,
            rate: RateLimit::new(limits.max_requests_per_second, Instant::now()),
            limits,
            streams: Arc::new(Semaphore::new(limits::MAX_STREAMS)),
            bulk: Arc::new(Semaphore::new(limits::MAX_BULK)),
            readers: Arc::new(Semaphore::new(limits::BLOCK_READERS)),
            block_answers: Arc::new(Semaphore::new(limits::BLOCK_ANSWERS)),
            stop,
        }
    }
}

fn router(api: Shared) -> Router {
    Router::new()
        .route("/", get(reads::index))
        .route("/v1/proposals", post(proposals::submit))
        .route("/v1/proposals/{id}", get(proposals::result))
        .route("/v1/blocks", get(blocks::page))
        .route("/v1/blocks/{height}", get(blocks::one))
        .route("/v1/chain", get(blocks::chain))
        .route("/v1/stream", get(stream::open))
        .route("/v1/status", get(reads::status))
        .route("/v1/validators", get(reads::validators))
        .route("/v1/evidence", get(reads::evidence))
        .route("/v1/genesis", get(reads::genesis))
        .route("/health/consensus", get(reads::health_consensus))
        .route("/health/quantum", get(reads::health_quantum))
        .route("/health/ai", get(reads::health_ai))
        .route("/livez", get(reads::live))
        .route("/readyz", get(reads::ready))
        .route("/metrics", get(reads::metrics))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn_with_state(Arc::clone(&api), guard))
        .with_state(api)
}

/// What operators watch a busy node with: never refused for the rate.
fn is_probe(path: &str) -> bool {
    path.starts_with("/health/") || matches!(path, "/livez" | "/readyz" | "/metrics")
}

/// The rate limit, and headers that every answer has.
async fn guard(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let metrics = &api.handle.0.hub.metrics;
    let mut response = if is_probe(request.uri().path()) || api.rate.take(Instant::now()) {
        next.run(request).await
    } else {
        metrics.http_refused.with_label_values(&["rate"]).inc();
        let (head, body) = request.into_parts();
        body::discard(&head.headers, body).await;
        let message = format!(
            "more than {} requests in a second (api.max_requests_per_second)",
            api.limits.max_requests_per_second
        );
        ApiError::busy(message).into_response()
    };
    let class = match response.status().as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    };
    metrics.http_responses.with_label_values(&[class]).inc();
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
