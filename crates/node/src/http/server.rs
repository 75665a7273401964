//! Connections: accepting, bounding and ending them.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::IntCounterVec;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::{Face, TokenStore};
use super::limits::{ACCEPT_PAUSE, HttpLimits, MAX_HEADER_BYTES, MAX_HEADERS};
use super::socket::Socket;
use super::{Api, router};
use crate::NodeHandle;

/// The HTTP server of a node.
pub struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves the API of `handle` on `listener`, plain and open to all, until [`Self::stop`]. A node's own listeners are protected
    /// as its configuration says.
    pub fn start(handle: NodeHandle, listener: TcpListener) -> Self {
        let limits = HttpLimits::of(&handle);
        Self::start_with(handle, listener, limits)
    }

    pub(super) fn start_with(handle: NodeHandle, listener: TcpListener, limits: HttpLimits) -> Self {
        Self::start_face(handle, listener, limits, Face::Api, None, None)
    }

    pub(super) fn start_face(
        handle: NodeHandle,
        listener: TcpListener,
        limits: HttpLimits,
        face: Face,
        tls: Option<Arc<rustls::ServerConfig>>,
        tokens: Option<Arc<TokenStore>>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let refused = handle.0.hub.metrics.http_refused.clone();
        let api = Api::new(handle, limits.clone(), face, tokens, stopped.clone());
        let connections = Connections {
            router: router(Arc::new(api)),
            tls: tls.map(TlsAcceptor::from),
            places: Arc::new(Semaphore::new(limits.max_connections)),
            limits,
            refused,
            stop: stopped,
            tasks: JoinSet::new(),
        };
        Self { stop, task: tokio::spawn(connections.serve(listener)) }
    }

    /// Accepts nothing more, ends streams, lets requests finish for about two seconds, then cuts what is left.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the HTTP server ended badly");
        }
    }
}

struct Connections {
    router: Router,
    tls: Option<TlsAcceptor>,
    refused: IntCounterVec,
    places: Arc<Semaphore>,
    limits: HttpLimits,
    stop: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    async fn serve(mut self, listener: TcpListener) {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task ended badly");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.accept(stream),
                    Err(error) => {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.limits.stop_timeout, all).await.is_err() {
            tracing::info!(connections = self.tasks.len(), "connections are cut");
            self.tasks.shutdown().await;
        }
    }

    fn accept(&mut self, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refused.with_label_values(&["connections"]).inc();
            // Who expects TLS cannot read this, and sees the connection close.
            refuse(stream);
            return;
        };
        let connection = Connection {
            router: self.router.clone(),
            header_timeout: self.limits.header_timeout,
            write_timeout: self.limits.write_timeout,
            stop: self.stop.clone(),
            _place: place,
        };
        match self.tls.clone() {
            None => drop(self.tasks.spawn(async move {
                let socket = connection.socket(stream);
                connection.serve(socket).await;
            })),
            Some(acceptor) => {
                let refused = self.refused.clone();
                drop(self.tasks.spawn(async move {
                    let socket = connection.socket(stream);
                    // Whoever takes too long for the handshake is as good as one that sends no headers.
                    match timeout(connection.header_timeout, acceptor.accept(socket)).await {
                        Ok(Ok(stream)) => connection.serve(stream).await,
                        Ok(Err(error)) => {
                            refused.with_label_values(&["tls"]).inc();
                            tracing::debug!(%error, "a TLS handshake failed");
                        }
                        Err(_) => refused.with_label_values(&["tls"]).inc(),
                    }
                }));
            }
        }
    }
}

/// Waits until the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Says that there is no room, as far as the socket takes it at once, and closes.
fn refuse(stream: TcpStream) {
    const BODY: &str = "{\"code\":\"busy\",\"message\":\"too many connections are open here; try again\"}";
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    if let Ok(mut stream) = stream.into_std() {
        // The listener gives non-blocking sockets; a new one has room for this.
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// One client's connection, before and after its handshake.
struct Connection {
    router: Router,
    header_timeout: Duration,
    write_timeout: Duration,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// The client's socket with its bounds.
    fn socket(&self, stream: TcpStream) -> Socket {
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        {
            // A client that has vanished is noticed even when little is sent to it.
            let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(self.write_timeout));
        }
        Socket::new(stream, self.write_timeout)
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router.clone()));
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
