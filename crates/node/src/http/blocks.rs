//! Final blocks, one by one and in pages.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::error::{ApiError, shown};
use super::limits::{DEFAULT_BLOCKS, MAX_BLOCKS};
use crate::{NodeError, NodeHandle};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    from: Option<u64>,
    limit: Option<usize>,
}

/// GET /v1/blocks
pub(super) async fn page(
    State(api): State<Shared>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(Page { from, limit }) = page?;
    let (from, limit) = (from.unwrap_or(1), limit.unwrap_or(DEFAULT_BLOCKS));
    if limit == 0 || limit > MAX_BLOCKS {
        return Err(ApiError::invalid(format!("limit is {limit}; use 1 to {MAX_BLOCKS}")));
    }
    let bytes = read(&api, move |handle| json(&handle.blocks(from, limit)?)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// GET /v1/blocks/{height}
pub(super) async fn one(
    State(api): State<Shared>,
    height: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(height) = height?;
    let height: u64 = height
        .parse()
        .map_err(|_| ApiError::invalid(format!("{:?} is not a height: a whole number from 1 on", shown(&height))))?;
    let Ok(place) = Arc::clone(&api.block_answers).try_acquire_owned() else {
        return Err(ApiError::busy("too many clients are reading whole blocks here; try again"));
    };
    let found = read(&api, move |handle| match handle.block(height)? {
        Some(block) => json(&block).map(Some),
        None => Ok(None),
    });
    let Some(bytes) = found.await? else {
        let (first, last) = (api.handle.held_from(), api.handle.height());
        if (1..first).contains(&height) {
            return Err(ApiError::gone(format!(
                "the block of height {height} is beyond the retention of this node; the lowest one held has {first}"
            )));
        }
        return Err(ApiError::not_found(format!(
            "there is no final block of height {height} here; the last one has {last}"
        )));
    };
    // The place is taken until the client has (nearly) all of it.
    let length = bytes.len().to_string();
    let pieces = unfold((place, Some(Bytes::from(bytes))), |(place, mut bytes)| async move {
        let piece = bytes.take()?;
        Some((Ok::<_, Infallible>(piece), (place, bytes)))
    });
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, length)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piece {
    from: u64,
    to: Option<u64>,
}

/// GET /v1/chain: blocks with a certificate, in the binary form of a final chain (docs/formats.md section 11).
pub(super) async fn chain(
    State(api): State<Shared>,
    piece: Result<Query<Piece>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(Piece { from, to }) = piece?;
    let Ok(place) = Arc::clone(&api.block_answers).try_acquire_owned() else {
        return Err(ApiError::busy("too many clients are reading whole blocks here; try again"));
    };
    let found = read(&api, move |handle| Ok(handle.chain(from, to.unwrap_or(u64::MAX))?)).await?;
    drop(place);
    let Some(bytes) = found else {
        let (first, last) = (api.handle.held_from(), api.handle.height());
        let message = format!("there is no final block of height {from} here; this node holds {first} to {last}");
        return Err(if (1..first).contains(&from) { ApiError::gone(message) } else { ApiError::not_found(message) });
    };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(ApiError::internal)
}

/// Reads blocks away from the tasks that serve connections; a few at once.
pub(super) async fn read<T, F>(api: &Shared, job: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&NodeHandle) -> Result<T, ApiError> + Send + 'static,
{
    let reader = Arc::clone(&api.readers).acquire_owned().await.map_err(|_| NodeError::Stopped)?;
    let handle = api.handle.clone();
    let job = tokio::task::spawn_blocking(move || {
        let _reader = reader;
        job(&handle)
    });
    job.await.map_err(ApiError::internal)?
}
