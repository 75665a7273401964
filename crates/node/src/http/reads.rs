//! What is read without parameters: status, validators, evidence, health, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
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
