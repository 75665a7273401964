//! POST /v1/verify: checks a result against the genesis, as `agent-mesh verify` does, for pages that cannot.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::body::{TimedBody, discard};
use super::error::ApiError;
use super::limits::VERIFY_BODY_BYTES;
use crate::NodeError;
use crate::views::ResultView;

/// POST /v1/verify
pub(super) async fn verify(State(api): State<Shared>, headers: HeaderMap, body: Body) -> Result<Json<Value>, ApiError> {
    if let Err(error) = one_json(&headers) {
        discard(&headers, body).await;
        return Err(error);
    }
    let Ok(place) = Arc::clone(&api.verifiers).try_acquire_owned() else {
        discard(&headers, body).await;
        return Err(ApiError::busy("other results are being verified here; try again, or use `agent-mesh verify`"));
    };
    let mut body = TimedBody::new(body, VERIFY_BODY_BYTES, api.limits.body_timeout);
    let bytes = match body.collect().await {
        Ok(bytes) => bytes,
        Err(error) => {
            body.discard().await;
            return Err(error.into());
        }
    };
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

fn one_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if super::proposals::is_bulk(headers)? {
        let message = "send one result as application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    Ok(())
}
