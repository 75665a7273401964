//! The optimizer over HTTP: recommendations, parameters, metrics, mode.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use optimizer::{Metrics, Mode, NetworkView, ParameterUpdate, Parameters, PolicyChoice, Recommendation};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::error::ApiError;

/// GET /v1/ai/recommendations
pub(super) async fn recommendations(State(api): State<Shared>) -> Json<Vec<Recommendation>> {
    Json(api.handle.optimizer().get_recommendations())
}

/// GET /v1/ai/metrics
pub(super) async fn metrics(State(api): State<Shared>) -> Json<Metrics> {
    Json(api.handle.optimizer().get_performance_metrics())
}

/// GET /v1/ai/network
pub(super) async fn network(State(api): State<Shared>) -> Json<NetworkView> {
    Json(api.handle.optimizer().network())
}

/// GET /v1/ai/parameters
pub(super) async fn parameters(State(api): State<Shared>) -> Json<Parameters> {
    Json(api.handle.optimizer().parameters())
}

/// POST /v1/ai/parameters
pub(super) async fn update(State(api): State<Shared>, body: Bytes) -> Result<Json<Parameters>, ApiError> {
    let update: ParameterUpdate = parse(&body)?;
    let refused = |error: optimizer::ParameterError| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "out_of_range", error.to_string())
    };
    let parameters = api.handle.optimizer().update_parameters(&update).map_err(refused)?;
    tracing::info!(?update, "optimizer parameters changed by an operator");
    Ok(Json(parameters))
}

/// Mode and policy, as shown and as asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ModeBody {
    /// off, shadow or on.
    mode: Option<String>,
    /// rule or learned.
    policy: Option<String>,
}

impl ModeBody {
    fn of(api: &Shared) -> Self {
        let (mode, policy) = api.handle.optimizer().mode();
        Self { mode: Some(mode.name().to_owned()), policy: Some(policy.name().to_owned()) }
    }
}

/// GET /v1/ai/mode
pub(super) async fn mode(State(api): State<Shared>) -> Json<ModeBody> {
    Json(ModeBody::of(&api))
}

/// POST /v1/ai/mode
pub(super) async fn set_mode(State(api): State<Shared>, body: Bytes) -> Result<Json<ModeBody>, ApiError> {
    let asked: ModeBody = parse(&body)?;
    let unknown = |what: &str, names: &str| ApiError::invalid(format!("{what} is not one of {names}"));
    let mode = match &asked.mode {
        Some(name) => Some(Mode::from_name(name).ok_or_else(|| unknown("mode", "off, shadow, on"))?),
        None => None,
    };
    let policy = match &asked.policy {
        Some(name) => Some(PolicyChoice::from_name(name).ok_or_else(|| unknown("policy", "rule, learned"))?),
        None => None,
    };
    if mode.is_none() && policy.is_none() {
        return Err(ApiError::invalid("name a mode (off, shadow, on), a policy (rule, learned), or both"));
    }
    api.handle.optimizer().set_mode(mode, policy);
    tracing::info!(mode = ?asked.mode, policy = ?asked.policy, "optimizer mode changed by an operator");
    Ok(Json(ModeBody::of(&api)))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("the body is not understood: {error}")))
}
