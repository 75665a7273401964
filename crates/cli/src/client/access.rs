//! What a client brings along to be let in: a token, and the certificate that it trusts.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ureq::SendBody;
use ureq::config::ConfigBuilder;
use ureq::http::{HeaderValue, header};
use ureq::middleware::MiddlewareNext;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::typestate::AgentScope;

use crate::failure::{Failure, Outcome};
use crate::input::{read_bytes, read_text};
use crate::output::note;

/// How a node is to be asked; for all verbs that ask one.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct AccessArgs {
    /// File with the token to send (see `token create`), for nodes that want one.
    #[arg(long, global = true, value_name = "FILE", env = "AGENT_MESH_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The only certificate, or certificate authority, that is trusted for https (PEM): the node's keys/api.cert.pem.
    #[arg(long, global = true, value_name = "FILE", env = "AGENT_MESH_CA_FILE")]
    ca_file: Option<PathBuf>,
}

struct Access {
    token: Option<HeaderValue>,
    ca: Option<Vec<Certificate<'static>>>,
}

/// Set once, by the command line.
static ACCESS: OnceLock<Access> = OnceLock::new();

impl AccessArgs {
    /// Reads the files and keeps them for all clients of this process.
    pub(crate) fn keep(&self) -> Outcome {
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        let ca = self.ca_file.as_deref().map(read_ca).transpose()?;
        // A second call cannot come: there is one command line.
        let _ = ACCESS.set(Access { token, ca });
        Ok(())
    }
}

fn read_token(path: &Path) -> Outcome<HeaderValue> {
    let text = read_text(path)?;
    let wrong = || Failure::usage(format!("{} does not hold a token: one line, amt_…", path.display()));
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_ca(path: &Path) -> Outcome<Vec<Certificate<'static>>> {
    let bytes = read_bytes(path)?;
    let wrong = |why: String| Failure::usage(format!("{} holds no certificate in PEM form{why}", path.display()));
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(format!(": {error}")))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err(wrong(String::new())) } else { Ok(certificates) }
}

/// Puts token and certificate into the configuration of a client of `base`.
pub(super) fn apply(mut config: ConfigBuilder<AgentScope>, base: &str) -> Outcome<ConfigBuilder<AgentScope>> {
    let access = ACCESS.get();
    if base.starts_with("https://") {
        let Some(ca) = access.and_then(|access| access.ca.as_ref()) else {
            return Err(Failure::usage(format!(
                "{base}: for https, name the certificate to trust: --ca-file (the node's keys/api.cert.pem)"
            )));
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(ca))
            .unversioned_rustls_crypto_provider(node::http::client_provider());
        config = config.tls_config(tls.build());
    }
    if let Some(token) = access.and_then(|access| access.token.clone()) {
        if !base.starts_with("https://") && !is_this_machine(base) {
            note(format!("warning: the token goes to {base} without encryption"));
        }
        config = config.middleware(move |mut request: ureq::http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
            next.handle(request)
        });
    }
    Ok(config)
}

fn is_this_machine(base: &str) -> bool {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|here| rest.starts_with(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_what_they_should_be_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for text in ["", "two words", "a\nb"] {
            std::fs::write(&path, text).unwrap();
            assert!(read_token(&path).is_err(), "{text:?}");
            assert!(read_ca(&path).is_err(), "{text:?}");
        }
        std::fs::write(&path, "amt_1_2\n").unwrap();
        let token = read_token(&path).unwrap();
        assert_eq!(token.to_str().unwrap(), "Bearer amt_1_2");
        assert!(!format!("{token:?}").contains("amt_"), "a token is not shown");
        assert!(is_this_machine("http://127.0.0.1:1") && !is_this_machine("http://10.0.0.1"));
    }
}
