//! Proposals: taking them, and telling where they stand.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crypto::Digest;
use engine::Admission;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::body::{BodyError, TimedBody, discard};
use super::error::{ApiError, shown};
use super::limits::MAX_WAIT_MS;
use super::{Shared, bulk, parse};
use crate::NodeError;
use crate::views::{ResultView, State as ProposalState};

/// A proposal that was taken.
#[derive(Serialize)]
struct Taken {
    id: String,
    /// Microseconds since the Unix epoch.
    deadline: u64,
    state: ProposalState,
}

/// POST /v1/proposals
pub(super) async fn submit(State(api): State<Shared>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let patience = api.limits.body_timeout;
    match plan(&api, &headers) {
        Ok(Plan::One) => one(&api, TimedBody::new(body, api.limits.max_body_bytes, patience)).await,
        Ok(Plan::Many(place)) => {
            let body = TimedBody::new(body, api.limits.max_bulk_body_bytes, patience);
            Ok(bulk::take(&api, place, body))
        }
        Err(error) => {
            discard(&headers, body).await;
            Err(error)
        }
    }
}

/// What the headers say of the body.
enum Plan {
    One,
    Many(OwnedSemaphorePermit),
}

fn plan(api: &Shared, headers: &HeaderMap) -> Result<Plan, ApiError> {
    let bulk = is_bulk(headers)?;
    let bound = if bulk { api.limits.max_bulk_body_bytes } else { api.limits.max_body_bytes };
    if content_length(headers).is_some_and(|length| length > bound) {
        return Err(body_too_large(api, bound));
    }
    if !bulk {
        return Ok(Plan::One);
    }
    if let Some(refusal) = api.handle.overload() {
        // Nothing of it would be taken: reading it would cost what consensus lacks.
        return Err(NodeError::Refused(refusal).into());
    }
    let place = Arc::clone(&api.bulk).try_acquire_owned();
    place.map(Plan::Many).map_err(|_| ApiError::busy("too many bulk requests are being read here; try again"))
}

async fn one(api: &Shared, mut body: TimedBody) -> Result<Response, ApiError> {
    let bytes = match body.collect().await {
        Ok(bytes) => bytes,
        Err(BodyError::TooLong(bound)) => {
            body.discard().await;
            return Err(body_too_large(api, bound));
        }
        Err(error) => return Err(error.into()),
    };
    let request = parse::object(&bytes)?;
    let mut outcomes = api.handle.submit(vec![request]).await?;
    let taken = outcomes.pop().ok_or(NodeError::Stopped)??;
    let state = match taken.admission {
        Admission::Admitted | Admission::Known => ProposalState::Pending,
        Admission::Final(_) => ProposalState::Final,
    };
    let id = taken.id.to_string();
    let location = [(header::LOCATION, format!("/v1/proposals/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Taken { id, deadline: taken.deadline.get(), state })).into_response())
}

fn body_too_large(api: &Shared, bound: u64) -> ApiError {
    let most = api.limits.max_value_bytes;
    ApiError::too_large(format!("the body has more than {bound} bytes; a value has at most {most} (max_value_bytes)"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the body is many proposals. A body without a type is refused: any web page could send one.
pub(super) fn is_bulk(headers: &HeaderMap) -> Result<bool, ApiError> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(false);
    }
    if essence.eq_ignore_ascii_case("application/x-ndjson") {
        return Ok(true);
    }
    let found = if found.is_empty() { "missing".to_owned() } else { format!("{:?}", shown(found)) };
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("the content-type is {found}; use application/json for one proposal, application/x-ndjson for many"),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait_ms: Option<u64>,
}

/// GET /v1/proposals/{id}
pub(super) async fn result(
    State(api): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<ResultView>, ApiError> {
    let Path(id) = id?;
    let wait_ms = wait?.0.wait_ms.unwrap_or(0);
    let id: Digest = id.parse().map_err(|_| {
        ApiError::invalid(format!("{:?} is not a proposal's id: 64 or 96 lower-case hexadecimal digits", shown(&id)))
    })?;
    if wait_ms > MAX_WAIT_MS {
        return Err(ApiError::invalid(format!("wait_ms is {wait_ms}; use at most {MAX_WAIT_MS} and ask again")));
    }
    match api.handle.result(id, Duration::from_millis(wait_ms)).await? {
        Some(result) => Ok(Json(result)),
        None => Err(ApiError::not_found(format!(
            "the proposal {id} is unknown here: it was not sent to this node and is in no block that is final here"
        ))),
    }
}
