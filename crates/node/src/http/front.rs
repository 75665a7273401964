//! The node's listeners: which there are, and what protects each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use consensus::config::Member;
use tokio::net::TcpListener;

use super::access::{Face, TokenStore};
use super::limits::HttpLimits;
use super::server::Server;
use super::tls::TlsFiles;
use crate::config::Api;
use crate::home::Home;
use crate::node::{StartError, listen};
use crate::{NodeHandle, config};

/// One listener and its protection.
struct Front {
    listener: TcpListener,
    face: Face,
    tls: Option<Arc<rustls::ServerConfig>>,
    tokens: Option<Arc<TokenStore>>,
}

/// Where HTTP is served, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `api`, `probe` or `admin`.
    pub purpose: &'static str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Its address.
    pub address: SocketAddr,
}

impl Listener {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

/// All listeners of a node, bound and not served yet.
pub(crate) struct Fronts(Vec<Front>);

/// Whether a listener has TLS and whether it wants tokens.
fn protection(face: Face, address: SocketAddr, api: &Api) -> (bool, bool) {
    let beyond = !address.ip().is_loopback();
    match face {
        Face::Probe => (false, false),
        Face::Api => {
            let guarded = beyond && !api.allow_plain_http;
            (api.tls || guarded, api.require_tokens || guarded)
        }
        // Admin verbs never go over a network in the clear, and never without a token.
        Face::Admin => (api.tls || beyond, true),
    }
}

/// Names that clients may call the node by, for a certificate that it makes itself.
fn names(member: &Member, api: SocketAddr) -> Vec<String> {
    let host = member.address.rsplit_once(':').map_or(member.address.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut names = vec![member.name.clone(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), host];
    if !api.ip().is_unspecified() {
        names.push(api.ip().to_string());
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

impl Fronts {
    /// Binds what the configuration names; `listen_instead` takes the place of `api.listen`. The address of the API comes first.
    pub(crate) async fn bind(
        config: &config::Config,
        home: &Home,
        member: &Member,
        listen_instead: Option<&str>,
    ) -> Result<Self, StartError> {
        let api = &config.api;
        let main = listen_instead.map_or_else(|| api.listen.to_string(), str::to_owned);
        let mut wanted = vec![(Face::Api, main, "HTTP")];
        wanted.extend(api.probe_listen.map(|at| (Face::Probe, at.to_string(), "HTTP for probes")));
        wanted.extend(api.admin_listen.map(|at| (Face::Admin, at.to_string(), "HTTP for admin verbs")));
        let system = |error: String| StartError::System(error);
        let (mut fronts, mut tls_config, mut tokens) = (Vec::new(), None, None);
        for (face, at, what) in wanted {
            let listener = listen(&at, what).await?;
            let address = listener.local_addr().map_err(|error| system(error.to_string()))?;
            let (with_tls, with_tokens) = protection(face, address, api);
            let tls = match (&tls_config, with_tls) {
                (_, false) => None,
                (Some(made), true) => Some(Arc::clone(made)),
                (None, true) => {
                    let files = tls_files(api, home);
                    let made = files.server(&names(member, address), api.tls_allow_classical);
                    Some(Arc::clone(tls_config.insert(made.map_err(|error| system(error.to_string()))?)))
                }
            };
            let tokens = match (&tokens, with_tokens) {
                (_, false) => None,
                (Some(store), true) => Some(Arc::clone(store)),
                (None, true) => {
                    let store = TokenStore::open(token_path(api, home)).map_err(|error| system(error.to_string()))?;
                    Some(Arc::clone(tokens.insert(Arc::new(store))))
                }
            };
            warn(face, address, tls.is_some(), tokens.as_deref());
            fronts.push(Front { listener, face, tls, tokens });
        }
        Ok(Self(fronts))
    }

    /// Where they listen, the API first.
    pub(crate) fn listeners(&self) -> std::io::Result<Vec<Listener>> {
        let one = |front: &Front| {
            Ok(Listener {
                purpose: match front.face {
                    Face::Api => "api",
                    Face::Probe => "probe",
                    Face::Admin => "admin",
                },
                scheme: if front.tls.is_some() { "https" } else { "http" },
                address: front.listener.local_addr()?,
            })
        };
        self.0.iter().map(one).collect()
    }

    /// Serves them all.
    pub(crate) fn serve(self, handle: &NodeHandle) -> Vec<Server> {
        let serve = |front: Front| {
            let limits = HttpLimits::of(handle);
            Server::start_face(handle.clone(), front.listener, limits, front.face, front.tls, front.tokens)
        };
        self.0.into_iter().map(serve).collect()
    }
}

/// Where the tokens are kept.
pub fn token_path(api: &Api, home: &Home) -> PathBuf {
    home.root().join(&api.tokens_path)
}

fn tls_files(api: &Api, home: &Home) -> TlsFiles {
    match (&api.tls_certificate_path, &api.tls_key_path) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (home.root().join(certificate), home.root().join(key));
            TlsFiles { certificate, key, make: false }
        }
        _ => {
            TlsFiles { certificate: home.keys().join("api.cert.pem"), key: home.keys().join("api.key.pem"), make: true }
        }
    }
}

fn warn(face: Face, address: SocketAddr, tls: bool, tokens: Option<&TokenStore>) {
    if tokens.is_some_and(|tokens| tokens.tokens().list().is_empty()) {
        tracing::warn!(%address, ?face, "nobody can use this listener yet: make a token with `agent-mesh token create`");
    }
    if face == Face::Api && !tls && !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "HTTP is served without encryption beyond this machine, because api.allow_plain_http is set: everyone who reaches the port \
             can read the log and propose values"
        );
    }
    tracing::info!(%address, ?face, tls, tokens = tokens.is_some(), "HTTP is served");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reachable_is_protected() {
        let (near, far): (SocketAddr, SocketAddr) = ("127.0.0.1:1".parse().unwrap(), "10.0.0.1:1".parse().unwrap());
        let api = Api::default();
        let plain = Api { allow_plain_http: true, ..Api::default() };
        let strict = Api { tls: true, require_tokens: true, ..Api::default() };
        for (face, address, api, expected) in [
            (Face::Api, near, &api, (false, false)),
            (Face::Api, far, &api, (true, true)),
            (Face::Api, far, &plain, (false, false)),
            (Face::Api, near, &strict, (true, true)),
            (Face::Probe, far, &strict, (false, false)),
            (Face::Admin, near, &api, (false, true)),
            (Face::Admin, far, &plain, (true, true)),
        ] {
            assert_eq!(protection(face, address, api), expected, "{face:?} {address}");
        }
    }
}
