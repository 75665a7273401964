//! POST /v1/verify: checks a result against the genesis, as `agent-mesh verify` does, for pages that cannot.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::body::TimedBody;
use super::error::ApiError;
use super::limits::VERIFY_BODY_BYTES;
use crate::NodeError;
use crate::views::ResultView;

/// POST /v1/verify
pub(super) async fn verify(State(api): State<Shared>, headers: HeaderMap, body: Body) -> Result<Json<Value>, ApiError> {
    if super::proposals::is_bulk(&headers)? {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send one result as application/json",
        ));
    }
    let Ok(place) = Arc::clone(&api.verifiers).try_acquire_owned() else {
        return Err(ApiError::busy("other results are being verified here; try again, or use `agent-mesh verify`"));
    };
    let bytes = TimedBody::new(body, VERIFY_BODY_BYTES, api.limits.body_timeout).collect().await?;
    let handle = api.handle.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let _place = place;
        let view: ResultView = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::invalid(format!("this is not a result as GET /v1/proposals/{{id}} gives it: {error}"))
        })?;
        let chain_id = handle.chain_id().to_string();
        Ok(match view.verify(handle.genesis()) {
            Ok(proven) => json!({
                "valid": true, "id": view.id, "chain_id": chain_id, "block_time_us": proven.block_time.get(),
                "signers": proven.weight, "strength": proven.strength,
            }),
            Err(error) => json!({"valid": false, "id": view.id, "chain_id": chain_id, "reason": error.to_string()}),
        })
    });
    let shown: Result<Value, ApiError> = checked.await.map_err(|_| ApiError::from(NodeError::Stopped))?;
    shown.map(Json)
}
