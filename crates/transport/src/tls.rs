//! TLS 1.3 with pinned raw public keys, and one key-exchange group a level.

use std::collections::BTreeMap;
use std::sync::Arc;

use crypto::{CryptoError, PublicKey, SecurityLevel, SignatureAlgorithm, SigningKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig,
    SignatureScheme,
};

use crate::error::LinkError;

/// Keeps other protocols that happen to use the same keys apart.
const ALPN: &[u8] = b"agent-mesh-link/1";
/// Never sent (SNI is off) and never compared (keys are pinned), but the library wants a name.
const SERVER_NAME: &str = "validator";

/// What both directions of dialling need: the library with exactly one choice each, and the own key.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    scheme: SignatureScheme,
    own: Arc<CertifiedKey>,
}

pub(crate) fn key_exchange_group(level: SecurityLevel) -> &'static dyn SupportedKxGroup {
    match level {
        SecurityLevel::Classical => kx_group::X25519,
        SecurityLevel::Level512 | SecurityLevel::Level768 => kx_group::X25519MLKEM768,
        SecurityLevel::Level1024 | SecurityLevel::Level2048 => kx_group::MLKEM1024,
    }
}

fn signature_scheme(algorithm: SignatureAlgorithm) -> Result<SignatureScheme, LinkError> {
    match algorithm {
        SignatureAlgorithm::Ed25519 => Ok(SignatureScheme::ED25519),
        SignatureAlgorithm::MlDsa44 => Ok(SignatureScheme::ML_DSA_44),
        SignatureAlgorithm::MlDsa65 => Ok(SignatureScheme::ML_DSA_65),
        SignatureAlgorithm::MlDsa87 => Ok(SignatureScheme::ML_DSA_87),
        other => Err(CryptoError::NotForLinks(other).into()),
    }
}

impl Tls {
    pub(crate) fn new(level: SecurityLevel, link_key: &SigningKey) -> Result<Self, LinkError> {
        Self::with_group(key_exchange_group(level), link_key)
    }

    pub(crate) fn with_group(group: &'static dyn SupportedKxGroup, link_key: &SigningKey) -> Result<Self, LinkError> {
        let provider = CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![group],
            ..default_provider()
        };
        // The library erases the document after it has read it.
        let document = PrivatePkcs8KeyDer::from(link_key.to_pkcs8_der()?.to_vec());
        let private_key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(document))?;
        let spki = CertificateDer::from(link_key.public_key().to_spki_der()?);
        Ok(Self {
            provider: Arc::new(provider),
            scheme: signature_scheme(link_key.algorithm())?,
            own: Arc::new(CertifiedKey::new(vec![spki], private_key)),
        })
    }

    fn pins(&self, keys: impl IntoIterator<Item = (u16, PublicKey)>) -> Result<Arc<Pins>, LinkError> {
        let mut by_spki = BTreeMap::new();
        for (index, key) in keys {
            by_spki.insert(key.to_spki_der()?, index);
        }
        Ok(Arc::new(Pins { by_spki, scheme: self.scheme, provider: Arc::clone(&self.provider) }))
    }

    /// For dialling one validator: no other key is accepted.
    pub(crate) fn client(&self, peer: u16, key: &PublicKey) -> Result<Arc<ClientConfig>, LinkError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.pins([(peer, key.clone())])?)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.own))));
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// For being dialled by any validator; the pins tell afterwards which one it was.
    pub(crate) fn server(
        &self,
        keys: impl IntoIterator<Item = (u16, PublicKey)>,
    ) -> Result<(Arc<ServerConfig>, Arc<Pins>), LinkError> {
        let pins = self.pins(keys)?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::<Pins>::clone(&pins))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.own))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok((Arc::new(config), pins))
    }
}

/// The name the client side hands to the library.
pub(crate) fn server_name() -> Result<ServerName<'static>, LinkError> {
    ServerName::try_from(SERVER_NAME).map_err(|_| LinkError::Tls(Error::General("server name".to_owned())))
}

/// The key a peer presented is not one of those that are pinned.
#[derive(Debug, thiserror::Error)]
#[error("the key it presented is not that of the expected validator")]
struct UnknownKey;

/// Accepts exactly the keys it was given, as raw public keys.
#[derive(Debug)]
pub(crate) struct Pins {
    by_spki: BTreeMap<Vec<u8>, u16>,
    scheme: SignatureScheme,
    provider: Arc<CryptoProvider>,
}

impl Pins {
    /// The validator to whom a presented key belongs.
    pub(crate) fn index_of(&self, spki: &[u8]) -> Option<u16> {
        self.by_spki.get(spki).copied()
    }

    fn check(&self, key: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
        if more.is_empty() && self.index_of(key).is_some() {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(UnknownKey)))))
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signature.scheme != self.scheme {
            return Err(Error::General("the handshake is signed with another algorithm".to_owned()));
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key.as_ref()),
            signature,
            algorithms,
        )
    }

    fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![self.scheme]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![self.scheme]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
