//! Dialling a peer of a higher index, again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crypto::random;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::{self, shutdown_requested};
use crate::establish::{self, Context, Established};
use crate::peer::Peer;

/// A link that was up for so long was a good one: the waiting starts from the shortest again.
const GOOD_LINK: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// Between half and all of the present wait, which then doubles up to the longest.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = jittered(self.next, 2);
        self.next = (self.next * 2).min(self.max);
        wait
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// `time` less a random part of it, at most one `fraction`-th, so that many nodes do not act at the same moment.
fn jittered(time: Duration, fraction: u32) -> Duration {
    let part_us = u64::try_from((time / fraction).as_micros()).unwrap_or(u64::MAX - 1);
    // Without randomness the wait is merely predictable.
    let less_us = random::u64().unwrap_or(0) % (part_us + 1);
    time.saturating_sub(Duration::from_micros(less_us))
}

enum Failure {
    /// Nobody listens there, or the name does not resolve.
    Unreachable(String),
    /// Somebody is there, but no link came about.
    Refused(SocketAddr, String),
}

/// Keeps a link to `peer` until the links are shut down.
pub(crate) async fn keep_dialling(
    context: Arc<Context>,
    peer: Arc<Peer>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    mut shutdown: watch::Receiver<bool>,
) {
    let limits = &context.limits;
    let mut backoff = Backoff::new(limits.backoff_min, limits.backoff_max);
    let mut told = false;
    loop {
        let attempt = tokio::select! {
            attempt = dial(&context, &peer, Arc::clone(&config), name.clone()) => attempt,
            () = shutdown_requested(&mut shutdown) => return,
        };
        let wait = match attempt {
            Ok(link) => {
                told = false;
                let max_age = Some(jittered(limits.max_link_age, 8));
                let ended = connection::run(&context, &peer, link, &mut shutdown, None, max_age).await;
                if ended.shutdown {
                    return;
                }
                if ended.lasted >= GOOD_LINK {
                    backoff.reset();
                }
                match (ended.misbehaved, ended.aged) {
                    (true, _) => limits.backoff_max,
                    (false, true) => Duration::ZERO,
                    (false, false) => backoff.wait(),
                }
            }
            Err(failure) => {
                report(&context, &peer, failure, told);
                told = true;
                backoff.wait()
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown_requested(&mut shutdown) => return,
        }
    }
}

async fn dial(
    context: &Context,
    peer: &Peer,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Established, Failure> {
    let limit = context.limits.handshake_timeout;
    let late = format!("no link within {} ms", limit.as_millis());
    let tcp = async {
        let stream = TcpStream::connect(&peer.info().address).await?;
        let remote = stream.peer_addr()?;
        Ok::<_, std::io::Error>((stream, remote))
    };
    let (stream, remote) = match timeout(limit, tcp).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(Failure::Unreachable(error.to_string())),
        Err(_) => return Err(Failure::Unreachable(late)),
    };
    let link = async {
        let stream = establish::connect(stream, config, name).await?;
        establish::greet(context, stream, remote, peer.index()).await
    };
    match timeout(limit, link).await {
        Ok(link) => link.map_err(|reason| Failure::Refused(remote, reason)),
        Err(_) => Err(Failure::Refused(remote, late)),
    }
}

/// A peer that cannot be reached is news once; a link that was refused always is.
fn report(context: &Context, peer: &Peer, failure: Failure, told: bool) {
    let (index, info) = (peer.index(), peer.info());
    match failure {
        Failure::Unreachable(reason) if told => {
            tracing::debug!(peer = index, name = info.name, address = info.address, reason, "still not reachable");
        }
        Failure::Unreachable(reason) => {
            tracing::warn!(peer = index, name = info.name, address = info.address, reason, "not reachable, trying on");
        }
        Failure::Refused(remote, reason) => {
            tracing::warn!(peer = index, name = info.name, %remote, reason, "link refused");
            context.handler.on_refused(remote, &reason);
        }
    }
}
