//! From a TCP stream to a link: TLS handshake, proof of identity, hello.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, CommonState, ServerConfig};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::config::LinkLimits;
use crate::frame;
use crate::handler::{LinkHandler, LinkInfo};
use crate::hello::{self, Hello};
use crate::read::{FrameReader, Incoming, ReadEnd};
use crate::tls::Pins;

/// What all tasks of the links share.
pub(crate) struct Context {
    pub(crate) hello: Hello,
    pub(crate) limits: LinkLimits,
    pub(crate) handler: Arc<dyn LinkHandler>,
}

/// A connection whose other end is who it should be.
pub(crate) struct Established {
    pub(crate) reader: FrameReader<ReadHalf<TlsStream<TcpStream>>>,
    pub(crate) writer: WriteHalf<TlsStream<TcpStream>>,
    pub(crate) info: LinkInfo,
}

/// A TCP connection that works: no Nagle delay, and dead peers are noticed by the system as well.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// The TLS handshake of the dialling side; the library accepts nothing but the pinned key.
pub(crate) async fn connect(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<TlsStream<TcpStream>, String> {
    tune(&stream).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    Ok(stream.map_err(|error| describe(&error))?.into())
}

/// The TLS handshake of the listening side, with the index of the validator whose key the other side proved to hold.
pub(crate) async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    pins: &Pins,
) -> Result<(TlsStream<TcpStream>, u16), String> {
    tune(&stream).map_err(|error| error.to_string())?;
    let stream: TlsStream<_> = TlsAcceptor::from(config).accept(stream).await.map_err(|error| describe(&error))?.into();
    let (_, session) = stream.get_ref();
    let index = match session.peer_certificates() {
        Some([key]) => pins.index_of(key),
        _ => None,
    };
    Ok((stream, index.ok_or("it presented no key")?))
}

/// Exchanges hellos. `index_of_key` is the validator whose key the other side proved to hold.
pub(crate) async fn greet(
    context: &Context,
    stream: TlsStream<TcpStream>,
    remote: SocketAddr,
    index_of_key: u16,
) -> Result<Established, String> {
    let info = link_info(stream.get_ref().1, remote);
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(reader, context.limits.handshake_timeout);
    let hello = context.hello.encode();
    let header = frame::data_header(hello.len()).ok_or("our own hello is too long")?;
    let sent = async {
        writer.write_all(&[header.as_slice(), &hello].concat()).await?;
        writer.flush().await
    };
    sent.await.map_err(|error: io::Error| format!("its hello never came: {error}"))?;
    let verdict = match reader.next(hello::MAX_LEN).await {
        Ok(Incoming::Data(bytes)) => {
            Hello::parse(&bytes).and_then(|theirs| context.hello.check_peer(&theirs, index_of_key))
        }
        Ok(Incoming::Control(_)) => Err("it sent something else before its hello".to_owned()),
        Err(ReadEnd::Closed) => Err("it closed the link before its hello: its log says why".to_owned()),
        Err(ReadEnd::Lost(reason) | ReadEnd::Misbehaved(reason)) => Err(format!("its hello never came: {reason}")),
    };
    if let Err(reason) = verdict {
        // So that the other side surely reads our hello and can log its own verdict.
        let _ = writer.shutdown().await;
        return Err(reason);
    }
    reader.set_idle_timeout(context.limits.idle_timeout());
    Ok(Established { reader, writer, info })
}

fn link_info(session: &CommonState, remote: SocketAddr) -> LinkInfo {
    let group = session.negotiated_key_exchange_group();
    let suite = session.negotiated_cipher_suite();
    LinkInfo {
        group: group.map_or_else(String::new, |group| format!("{:?}", group.name())),
        cipher_suite: suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        remote,
    }
}

/// An error of the handshake in words for the log.
fn describe(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => other.0.to_string(),
        Some(error) => format!("TLS handshake failed: {error}"),
        None => format!("the connection ended during the TLS handshake: {error}"),
    }
}
