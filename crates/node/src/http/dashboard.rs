//! The dashboard: one page with its style and its script, embedded, without anything from elsewhere.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, shown};

const PAGE: &str = include_str!("dashboard/index.html");

/// The files of the page: name, type, content.
const FILES: [(&str, &str, &str); 4] = [
    ("style.css", "text/css; charset=utf-8", include_str!("dashboard/style.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("dashboard/app.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("dashboard/api.js")),
    ("icon.svg", "image/svg+xml", include_str!("dashboard/icon.svg")),
];

/// Only what this node serves, nothing inline, no frames, no forms that leave the page.
const CSP: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

/// GET /
pub(super) async fn page() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), CSP], PAGE)
}

/// GET /dashboard/{file}
pub(super) async fn file(name: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(name) = name?;
    let Some((_, kind, text)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return Err(ApiError::not_found(format!("the dashboard has no file {:?}", shown(&name))));
    };
    // A picture of its own may come with a policy of its own; the page's does no harm to the others.
    Ok(([(header::CONTENT_TYPE, *kind), CSP], *text).into_response())
}
