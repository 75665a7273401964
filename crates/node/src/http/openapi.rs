//! The description of the API in OpenAPI 3.1, written by hand and held against the handlers by a test.

use axum::http::header;
use axum::response::IntoResponse;

/// The document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// GET /v1/openapi.json
pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
