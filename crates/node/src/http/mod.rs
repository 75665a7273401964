//! The HTTP API of a node (docs/api.md): routes, and what their handlers share.
//!
//! ```text
//!   server (connections) ─▶ router ─▶ rate limit ─▶ proposals ─▶ parse, bulk ─▶ NodeHandle
//!                                                   blocks, stream, reads ────▶
//! ```

mod access;
mod admin;
mod ai;
mod blocks;
mod body;
mod bulk;
mod dashboard;
mod error;
mod front;
mod limits;
mod lines;
mod openapi;
mod parse;
mod proposals;
mod rate;
mod reads;
mod server;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod verify;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::NodeHandle;
use error::ApiError;
use limits::HttpLimits;
use rate::RateLimit;

pub(crate) use front::Fronts;
pub use front::{Listener, token_path};
pub use server::Server;

use access::{CHALLENGE, Face, TokenStore, needed};

/// The library that clients of the API use for TLS: hybrid post-quantum key exchange, nothing less.
pub fn client_provider() -> Arc<rustls::crypto::CryptoProvider> {
    tls::provider(false)
}

/// A proposal as a client sends it, from a body or from one line of a bulk; for checks of the parser from outside.
///
/// # Errors
/// What the client is told.
pub fn read_proposal(json: &[u8], line: bool) -> Result<crate::ProposalRequest, String> {
    let read = if line { parse::line(json) } else { parse::object(json) };
    read.map_err(|error| error.body.message.into_owned())
}

/// What all handlers share.
struct Api {
    handle: NodeHandle,
    limits: HttpLimits,
    face: Face,
    /// The tokens that let clients in; without them everyone is.
    tokens: Option<Arc<TokenStore>>,
    rate: RateLimit,
    /// Places for streams.
    streams: Arc<Semaphore>,
    /// Places for bulk requests.
    bulk: Arc<Semaphore>,
    /// Places for reading blocks.
    readers: Arc<Semaphore>,
    /// Places for answers with whole blocks.
    block_answers: Arc<Semaphore>,
    /// Places for verifying results.
    verifiers: Arc<Semaphore>,
    /// Places for reading the audit log.
    audits: Arc<Semaphore>,
    /// True once the server stops.
    stop: watch::Receiver<bool>,
}

type Shared = Arc<Api>;

impl Api {
    fn new(
        handle: NodeHandle,
        limits: HttpLimits,
        face: Face,
        tokens: Option<Arc<TokenStore>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            handle,
            rate: RateLimit::new(limits.max_requests_per_second, Instant::now()),
            limits,
            face,
            tokens,
            streams: Arc::new(Semaphore::new(limits::MAX_STREAMS)),
            bulk: Arc::new(Semaphore::new(limits::MAX_BULK)),
            readers: Arc::new(Semaphore::new(limits::BLOCK_READERS)),
            block_answers: Arc::new(Semaphore::new(limits::BLOCK_ANSWERS)),
            verifiers: Arc::new(Semaphore::new(limits::VERIFIERS)),
            audits: Arc::new(Semaphore::new(1)),
            stop,
        }
    }
}

fn router(api: Shared) -> Router {
    let routes = match api.face {
        Face::Api => probes().merge(clients()),
        Face::Probe => probes(),
        Face::Admin => probes().merge(admins()),
    };
    routes
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn_with_state(Arc::clone(&api), guard))
        .with_state(api)
}

/// What orchestrators and Prometheus ask for.
fn probes() -> Router<Shared> {
    Router::new()
        .route("/health/consensus", get(reads::health_consensus))
        .route("/health/quantum", get(reads::health_quantum))
        .route("/health/ai", get(reads::health_ai))
        .route("/livez", get(reads::live))
        .route("/readyz", get(reads::ready))
        .route("/metrics", get(reads::metrics))
}

/// What clients ask for.
fn clients() -> Router<Shared> {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{file}", get(dashboard::file))
        .route("/v1/proposals", post(proposals::submit))
        .route("/v1/proposals/{id}", get(proposals::result))
        .route("/v1/blocks", get(blocks::page))
        .route("/v1/blocks/{height}", get(blocks::one))
        .route("/v1/stream", get(stream::open))
        .route("/v1/status", get(reads::status))
        .route("/v1/validators", get(reads::validators))
        .route("/v1/evidence", get(reads::evidence))
        .route("/v1/genesis", get(reads::genesis))
        .route("/v1/verify", post(verify::verify))
        .route("/v1/ai/recommendations", get(ai::recommendations))
        .route("/v1/ai/metrics", get(ai::metrics))
        .route("/v1/ai/network", get(ai::network))
        .route("/v1/ai/parameters", get(ai::parameters).post(ai::update))
        .route("/v1/ai/mode", get(ai::mode).post(ai::set_mode))
        .route("/v1/openapi.json", get(openapi::document))
}

/// The admin verbs.
fn admins() -> Router<Shared> {
    Router::new()
        .route("/admin/log", get(admin::log).put(admin::set_log))
        .route("/admin/audit", get(admin::audit))
        .route("/admin/tokens", get(admin::tokens))
}

/// What operators watch a busy node with: never refused for the rate.
fn is_probe(path: &str) -> bool {
    path.starts_with("/health/") || matches!(path, "/livez" | "/readyz" | "/metrics")
}

/// Rate limit, tokens, and headers that every answer has.
async fn guard(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let metrics = &api.handle.0.hub.metrics;
    let mut response = match admit(&api, request) {
        Ok(request) => next.run(request).await,
        Err(refused) => {
            let (reason, error, request) = *refused;
            metrics.http_refused.with_label_values(&[reason]).inc();
            let (head, body) = request.into_parts();
            body::discard(&head.headers, body).await;
            error.into_response()
        }
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
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
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    found.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Lets a request in, or says why not: the reason for the metrics, and the answer.
fn admit(api: &Shared, mut request: Request) -> Result<Request, Box<(&'static str, ApiError, Request)>> {
    let path = request.uri().path();
    if !is_probe(path) && !api.rate.take(Instant::now()) {
        let most = api.limits.max_requests_per_second;
        let message = format!("more than {most} requests in a second (api.max_requests_per_second)");
        return Err(Box::new(("rate", ApiError::busy(message), request)));
    }
    if path.starts_with("/v1/ai/") && request.method() == Method::POST && !is_json(request.headers()) {
        // Any web page can make a browser send a form or text to this machine; JSON it cannot.
        let message = "send application/json";
        let error = ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message);
        return Err(Box::new(("media_type", error, request)));
    }
    let Some(store) = &api.tokens else { return Ok(request) };
    let Some(role) = needed(api.face, request.method(), path) else { return Ok(request) };
    match store.check(request.headers(), role) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(request)
        }
        Err(denied) => {
            let audit = &api.handle.0.hub.audit;
            let (method, path) = (request.method().as_str(), error::shown(path));
            audit.record_stranger("access_denied", || json!({"reason": denied.name(), "method": method, "path": path}));
            Err(Box::new((denied.name(), denied.into(), request)))
        }
    }
}
