//! The admin verbs: what is logged, the audit log, the tokens. On a listener of their own, always with an admin's token.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::access::Caller;
use super::body::TimedBody;
use super::error::ApiError;
use crate::NodeError;
use crate::audit::{self, AuditEntry};

/// Longest body of an admin verb, bytes.
const BODY_BYTES: u64 = 16 * 1024;
/// Entries of the audit log in one answer, if the client does not say, and at most.
const ENTRIES: usize = 100;
const MAX_ENTRIES: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    level: String,
}

/// GET /admin/log
pub(super) async fn log(State(api): State<Shared>) -> Result<Json<Value>, ApiError> {
    let control = api.handle.0.log.as_ref().ok_or_else(no_control)?;
    Ok(Json(json!({"level": control.filter()})))
}

/// PUT /admin/log
pub(super) async fn set_log(
    State(api): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    body: axum::body::Body,
) -> Result<Json<Value>, ApiError> {
    let bytes = TimedBody::new(body, BODY_BYTES, api.limits.body_timeout).collect().await?;
    let Level { level } = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::invalid(format!(
            "the body must be {{\"level\": \"info\"}} or a filter such as \"info,node=debug\": {error}"
        ))
    })?;
    let control = api.handle.0.log.as_ref().ok_or_else(no_control)?;
    let before = control.filter();
    control.set_filter(&level).map_err(ApiError::invalid)?;
    api.handle.0.hub.audit.record("admin", json!({"verb": "log", "token": caller, "before": before, "after": level}));
    Ok(Json(json!({"level": control.filter(), "before": before})))
}

fn no_control() -> ApiError {
    ApiError::not_found("what is logged is decided by the program that embeds this node")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    from: Option<u64>,
    limit: Option<usize>,
}

/// GET /admin/audit
pub(super) async fn audit(
    State(api): State<Shared>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(Page { from, limit }) = page?;
    let limit = limit.unwrap_or(ENTRIES);
    if limit == 0 || limit > MAX_ENTRIES {
        return Err(ApiError::invalid(format!("limit is {limit}; use 1 to {MAX_ENTRIES}")));
    }
    // One at a time: it reads all of the log.
    let place = std::sync::Arc::clone(&api.audits).acquire_owned().await.map_err(|_| NodeError::Stopped)?;
    let dir = api.handle.0.audit_dir.clone();
    let read = tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut entries: std::collections::VecDeque<AuditEntry> = std::collections::VecDeque::new();
        let report = audit::verify(&dir, |entry| match from {
            Some(from) if entry.seq >= from && entries.len() < limit => entries.push_back(entry.clone()),
            Some(_) => {}
            // Without a beginning: the latest.
            None => {
                if entries.len() == limit {
                    entries.pop_front();
                }
                entries.push_back(entry.clone());
            }
        });
        report.map(|report| json!({"log": report, "entries": entries}))
    });
    let shown = read.await.map_err(ApiError::internal)?;
    Ok(Json(shown.unwrap_or_else(|error| json!({"broken": error.to_string(), "entries": []}))))
}

/// GET /admin/tokens
pub(super) async fn tokens(State(api): State<Shared>, headers: HeaderMap) -> Json<Value> {
    drop(headers);
    let Some(store) = &api.tokens else { return Json(json!([])) };
    let tokens = store.tokens();
    let shown = tokens.list().iter().map(|token| {
        json!({
            "id": token.id, "name": token.name, "role": token.role, "created_us": token.created_us, "expires_us": token.expires_us,
        })
    });
    Json(shown.collect())
}
