//! TLS for HTTP: version 1.3 only, hybrid post-quantum key exchange, a certificate from files or made at the first start.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    /// The chain, PEM.
    pub(super) certificate: PathBuf,
    /// Its key, PEM.
    pub(super) key: PathBuf,
    /// Whether they are made if they are not there.
    pub(super) make: bool,
}

/// Why HTTP cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("cannot use {path}: {why}")]
    File { path: PathBuf, why: String },
    #[error("no certificate can be made: {0}")]
    Make(String),
    #[error("certificate and key of the HTTP server are not usable: {0}")]
    Config(#[from] rustls::Error),
}

/// The library with what HTTP accepts.
pub(super) fn provider(allow_classical: bool) -> Arc<CryptoProvider> {
    let mut kx_groups = vec![kx_group::X25519MLKEM768];
    if allow_classical {
        kx_groups.push(kx_group::X25519);
    }
    Arc::new(CryptoProvider { kx_groups, ..default_provider() })
}

impl TlsFiles {
    /// The server's side of TLS; `names` go into a certificate that is made.
    pub(super) fn server(&self, names: &[String], allow_classical: bool) -> Result<Arc<ServerConfig>, TlsError> {
        if self.make && !self.certificate.exists() && !self.key.exists() {
            self.make(names)?;
        }
        let file = |path: &Path, error: rustls::pki_types::pem::Error| {
            let why = match error {
                rustls::pki_types::pem::Error::NoItemsFound => "it holds no such thing in PEM form".to_owned(),
                other => other.to_string(),
            };
            TlsError::File { path: path.to_owned(), why }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| file(&self.certificate, error))?;
        if chain.is_empty() {
            return Err(file(&self.certificate, rustls::pki_types::pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| file(&self.key, error))?;
        let mut config = ServerConfig::builder_with_provider(provider(allow_classical))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn make(&self, names: &[String]) -> Result<(), TlsError> {
        let made = |error: rcgen::Error| TlsError::Make(error.to_string());
        let key = rcgen::KeyPair::generate().map_err(made)?;
        let mut params = rcgen::CertificateParams::new(names).map_err(made)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, names.first().map_or("agent-mesh", String::as_str));
        let certificate = params.self_signed(&key).map_err(made)?;
        // The key first: a certificate alone would look as if somebody had put it there.
        write_new(&self.key, &key.serialize_pem(), 0o600)?;
        write_new(&self.certificate, &certificate.pem(), 0o644)?;
        tracing::info!(certificate = %self.certificate.display(), "made a certificate for HTTP: give it to clients (--ca-file)");
        Ok(())
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| TlsError::File { path: path.to_owned(), why: error.to_string() })
}
