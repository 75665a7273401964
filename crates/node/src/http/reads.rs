//! What is read without parameters: status, validators, evidence, health, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::error::ApiError;
use crate::views::{EvidenceView, HealthView, StatusView, ValidatorView};

/// GET /v1/status
pub(super) async fn status(State(api): State<Shared>) -> Json<StatusView> {
    Json(api.handle.status())
}

/// GET /v1/validators
pub(super) async fn validators(State(api): State<Shared>) -> Json<Vec<ValidatorView>> {
    Json(api.handle.validators())
}

/// GET /v1/evidence
pub(super) async fn evidence(State(api): State<Shared>) -> Result<Json<Vec<EvidenceView>>, ApiError> {
    super::blocks::read(&api, |handle| Ok(Json(handle.evidence()?))).await
}

/// GET /v1/genesis
pub(super) async fn genesis(State(api): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.handle.genesis().to_json())
}

/// GET /health/consensus
pub(super) async fn health_consensus(State(api): State<Shared>) -> Response {
    health(api.handle.health_consensus())
}

/// GET /health/quantum
pub(super) async fn health_quantum(State(api): State<Shared>) -> Response {
    health(api.handle.health_quantum())
}

/// GET /health/ai
pub(super) async fn health_ai(State(api): State<Shared>) -> Response {
    health(api.handle.health_ai())
}

/// GET /readyz
pub(super) async fn ready(State(api): State<Shared>) -> Response {
    health(api.handle.health_consensus())
}

/// GET /livez
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

fn health(view: HealthView) -> Response {
    let status = if view.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(view)).into_response()
}

/// GET /metrics
pub(super) async fn metrics(State(api): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.handle.metrics_text())
}

const INDEX: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>agent-mesh validator</title>
<h1>agent-mesh validator</h1>
<pre>
POST /v1/proposals            propose one value (JSON) or many (NDJSON)
GET  /v1/proposals/{id}       where a proposal stands; ?wait_ms= waits
GET  <a href=\"/v1/blocks\">/v1/blocks</a>               final blocks; ?from=&amp;limit=
GET  /v1/blocks/{height}      one final block with its values
GET  <a href=\"/v1/stream\">/v1/stream</a>               final blocks as they come; ?from=&amp;values=
GET  <a href=\"/v1/status\">/v1/status</a>               where this validator stands
GET  <a href=\"/v1/validators\">/v1/validators</a>           the validators as this one sees them
GET  <a href=\"/v1/evidence\">/v1/evidence</a>             evidence against validators
GET  <a href=\"/v1/genesis\">/v1/genesis</a>              the network's genesis
GET  <a href=\"/v1/ai/recommendations\">/v1/ai/recommendations</a>   what the optimizer would do, and why
GET  <a href=\"/v1/ai/metrics\">/v1/ai/metrics</a>           how well it predicts and decides
GET  <a href=\"/v1/ai/network\">/v1/ai/network</a>           the validator links as it sees them
GET  <a href=\"/v1/ai/parameters\">/v1/ai/parameters</a>        its parameters; POST changes some
GET  <a href=\"/v1/ai/mode\">/v1/ai/mode</a>              off, shadow, on; rule, learned; POST switches
GET  <a href=\"/health/consensus\">/health/consensus</a>        does it make progress?
GET  <a href=\"/health/quantum\">/health/quantum</a>          is the cryptography what it should be?
GET  <a href=\"/health/ai\">/health/ai</a>               what does the optimizer do?
GET  <a href=\"/livez\">/livez</a>  <a href=\"/readyz\">/readyz</a>          for orchestrators
GET  <a href=\"/metrics\">/metrics</a>                 Prometheus text format 0.0.4
</pre>
";

const CSP: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// GET /
pub(super) async fn index() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), CSP], INDEX)
}
