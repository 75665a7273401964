//! Errors as clients see them: a status, and `{"code","message"}`.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use engine::Refusal;
use serde::Serialize;

use super::body::{BodyError, discard};
use crate::NodeError;
use crate::hub::refusal_name;

/// An answer that is not what the client wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) body: ErrorBody,
}

/// Its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ErrorBody {
    /// A fixed word for programs.
    pub(super) code: &'static str,
    /// For people: what is wrong and what to do.
    pub(super) message: Cow<'static, str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, body: ErrorBody { code, message: message.into() } }
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// What was here and is beyond the retention.
    pub(super) fn gone(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::GONE, "gone", message)
    }

    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn busy(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message)
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the node could not answer: {error}; see its log"),
        )
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        let message = error.to_string();
        let (status, code) = match &error {
            NodeError::Refused(refusal) => (refusal_status(refusal), refusal_name(refusal)),
            NodeError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            NodeError::TooManyWaiters => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            NodeError::Store(_) => return Self::internal(error),
            NodeError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        };
        Self::new(status, code, message)
    }
}

const fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Busy(_) | Refusal::Overloaded { .. } | Refusal::BytesFull => StatusCode::TOO_MANY_REQUESTS,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Application(_) => StatusCode::UNPROCESSABLE_ENTITY,
        // The client named the deadline: another request may do better.
        Refusal::Expired | Refusal::FarDeadline(_) => StatusCode::BAD_REQUEST,
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Timeout(patience) => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                format!("no byte of the body came for {} s", patience.as_secs_f32()),
            ),
            BodyError::TooLong(bound) => Self::too_large(format!("the body has more than {bound} bytes")),
            BodyError::Broken(why) => Self::invalid(format!("the body cannot be read: {why}")),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// No such path.
pub(super) async fn no_such_path(uri: Uri, headers: HeaderMap, body: Body) -> ApiError {
    discard(&headers, body).await;
    ApiError::not_found(format!("there is nothing at {}; GET / lists what is here", shown(uri.path())))
}

/// No such method on this path.
pub(super) async fn no_such_method(method: Method, uri: Uri, headers: HeaderMap, body: Body) -> ApiError {
    discard(&headers, body).await;
    let message = format!("{} does not take {}; GET / lists what is here", shown(uri.path()), shown(method.as_str()));
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// What a client sent, as a message shows it: shortened.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}
