//! Who may do what: faces of the server, roles that paths need, and the tokens that carry them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::error::ApiError;
use crate::clock::system_now;
use crate::tokens::{Role, TokenError, Tokens};

/// The token file is looked at again after this long.
const RECHECK: Duration = Duration::from_secs(1);

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    /// Everything but the admin verbs.
    Api,
    /// Health, readiness and metrics only.
    Probe,
    /// The admin verbs, and what probes need.
    Admin,
}

/// The id of the token that a request came with, for the audit log.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) String);

/// The role that a request needs; `None` if anyone may.
pub(super) fn needed(face: Face, method: &Method, path: &str) -> Option<Role> {
    match face {
        Face::Probe => None,
        _ if matches!(path, "/livez" | "/readyz") => None,
        // The page itself tells nothing; what it shows, it asks for with the visitor's token.
        Face::Api if path == "/" || path.starts_with("/dashboard/") || path == "/v1/openapi.json" => None,
        Face::Api if *method == Method::GET || *method == Method::HEAD || path == "/v1/verify" => Some(Role::Read),
        Face::Api if path == "/v1/proposals" => Some(Role::Propose),
        // The admin verbs, and whatever else changes something.
        Face::Admin | Face::Api => Some(Role::Admin),
    }
}

struct Held {
    checked: Instant,
    stamp: Option<(SystemTime, u64)>,
    tokens: Arc<Tokens>,
}

/// The tokens of a file, read again when it changes: a token that is revoked is void within a second or two.
pub(super) struct TokenStore {
    path: PathBuf,
    held: Mutex<Held>,
}

impl TokenStore {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Self, TokenError> {
        // The stamp first: a change in between is noticed the next time.
        let stamp = stamp(&path);
        let tokens = Arc::new(Tokens::read(&path)?);
        Ok(Self { path, held: Mutex::new(Held { checked: Instant::now(), stamp, tokens }) })
    }

    /// The tokens as they are now.
    pub(super) fn tokens(&self) -> Arc<Tokens> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.checked.elapsed() >= RECHECK {
            held.checked = Instant::now();
            let stamp = stamp(&self.path);
            if stamp != held.stamp {
                held.stamp = stamp;
                held.tokens = Arc::new(Tokens::read(&self.path).unwrap_or_else(|error| {
                    // Nobody gets in by a file that nobody can read.
                    tracing::error!(%error, "no token is valid until the token file is repaired");
                    Tokens::default()
                }));
                tracing::info!(tokens = held.tokens.list().len(), "the token file was read again");
            }
        }
        Arc::clone(&held.tokens)
    }

    /// Whether the request's token has at least this role; the token's id.
    pub(super) fn check(&self, headers: &HeaderMap, role: Role) -> Result<Caller, Denied> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Err(Denied::NoToken) };
        let text = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let tokens = self.tokens();
        let found = token.and_then(|token| tokens.find(token, system_now().get())).ok_or(Denied::Unknown)?;
        if found.role < role {
            return Err(Denied::Role { has: found.role, needs: role });
        }
        Ok(Caller(found.id.clone()))
    }
}

fn stamp(path: &std::path::Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    NoToken,
    Unknown,
    Role { has: Role, needs: Role },
}

impl Denied {
    /// The reason in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NoToken | Self::Unknown => "unauthorized",
            Self::Role { .. } => "forbidden",
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NoToken => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this needs a token: send `authorization: Bearer …` with one made by `agent-mesh token create`",
            ),
            Denied::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the token is unknown, revoked or out of date; make a new one with `agent-mesh token create`",
            ),
            Denied::Role { has, needs } => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("the token has the role {has}, and this needs {needs}"),
            ),
        }
    }
}

/// What a 401 must carry.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"agent-mesh\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_need_roles() {
        let get = Method::GET;
        for (face, method, path, role) in [
            (Face::Api, &get, "/", None),
            (Face::Api, &get, "/dashboard/app.js", None),
            (Face::Api, &get, "/livez", None),
            (Face::Api, &get, "/v1/status", Some(Role::Read)),
            (Face::Api, &get, "/metrics", Some(Role::Read)),
            (Face::Api, &get, "/health/consensus", Some(Role::Read)),
            (Face::Api, &get, "/v1/anything/new", Some(Role::Read)),
            (Face::Api, &Method::POST, "/v1/proposals", Some(Role::Propose)),
            (Face::Api, &Method::POST, "/v1/verify", Some(Role::Read)),
            (Face::Probe, &get, "/metrics", None),
            (Face::Admin, &get, "/readyz", None),
            (Face::Admin, &get, "/metrics", Some(Role::Admin)),
            (Face::Admin, &get, "/admin/log", Some(Role::Admin)),
        ] {
            assert_eq!(needed(face, method, path), role, "{face:?} {method} {path}");
        }
    }
}
