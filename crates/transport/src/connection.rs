//! One link from its first frame to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::establish::{Context, Established};
use crate::peer::{Peer, Pings};
use crate::read::{ReadEnd, read_loop};
use crate::write::{Stop, write_loop};

/// How long a link that ends in good order may take to hand over what is under way.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a link ended.
pub(crate) struct Ended {
    /// The peer broke the rules and stays away for a while.
    pub(crate) misbehaved: bool,
    /// It reached its age: dial again at once.
    pub(crate) aged: bool,
    /// The links are being shut down.
    pub(crate) shutdown: bool,
    /// How long the link was up.
    pub(crate) lasted: Duration,
    /// The connection that takes its place.
    pub(crate) successor: Option<Established>,
}

enum Half {
    Reader(ReadEnd),
    Writer(Result<(), String>),
}

/// Returns when the links are to shut down, or when their owner is gone.
pub(crate) async fn shutdown_requested(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the owner is gone.
    let _ = shutdown.wait_for(|requested| *requested).await;
}

async fn next_connection(incoming: Option<&mut mpsc::Receiver<Established>>) -> Option<Established> {
    match incoming {
        Some(incoming) => incoming.recv().await,
        None => None,
    }
}

/// Runs a link until it ends; `incoming` brings connections that take its place, `max_age` is for the dialling side.
pub(crate) async fn run(
    context: &Context,
    peer: &Arc<Peer>,
    link: Established,
    shutdown: &mut watch::Receiver<bool>,
    incoming: Option<&mut mpsc::Receiver<Established>>,
    max_age: Option<Duration>,
) -> Ended {
    let started = Instant::now();
    let (index, name) = (peer.index(), &peer.info().name);
    let Established { reader, writer, info } = link;
    tracing::info!(peer = index, name, remote = %info.remote, group = info.group, "link is up");
    peer.connected(info.clone());
    context.handler.on_connected(index, info);

    let limits = &context.limits;
    let pings = Arc::new(Pings::default());
    let (stop, stop_requested) = watch::channel(Stop::No);
    let mut halves = JoinSet::new();
    let reading =
        read_loop(Arc::clone(peer), reader, Arc::clone(&pings), Arc::clone(&context.handler), limits.max_frame_bytes);
    let writing =
        write_loop(Arc::clone(peer), writer, pings, limits.ping_period, limits.idle_timeout(), stop_requested);
    halves.spawn(async { Half::Reader(reading.await) });
    halves.spawn(async { Half::Writer(writing.await) });

    let mut ended = Ended { misbehaved: false, aged: false, shutdown: false, lasted: Duration::ZERO, successor: None };
    let (reason, farewell) = tokio::select! {
        half = halves.join_next() => judge(half, &mut ended),
        Some(successor) = next_connection(incoming) => {
            ended.successor = Some(successor);
            ("a new connection took its place".to_owned(), Stop::No)
        }
        () = sleep(max_age.unwrap_or_default()), if max_age.is_some() => {
            ended.aged = true;
            ("it reached its age and gets fresh keys".to_owned(), Stop::Now)
        }
        () = shutdown_requested(shutdown) => {
            ended.shutdown = true;
            ("shutdown".to_owned(), Stop::AfterQueue)
        }
    };
    if farewell != Stop::No {
        let _ = stop.send(farewell);
        let both = async {
            while let Some(half) = halves.join_next().await {
                judge(Some(half), &mut ended);
            }
        };
        // What is not done by then is aborted below.
        let _ = timeout(FAREWELL, both).await;
    }
    halves.shutdown().await;

    if ended.misbehaved {
        peer.bar(limits.backoff_max);
    }
    peer.disconnected();
    tracing::info!(peer = index, name, reason, "link is down");
    context.handler.on_disconnected(index, &reason);
    ended.lasted = started.elapsed();
    ended
}

/// What the end of one half means: the reason, and whether the other half may end in good order.
fn judge(half: Option<Result<Half, JoinError>>, ended: &mut Ended) -> (String, Stop) {
    match half {
        Some(Ok(Half::Reader(ReadEnd::Closed))) => ("the peer closed the link".to_owned(), Stop::Now),
        Some(Ok(Half::Reader(ReadEnd::Lost(reason)) | Half::Writer(Err(reason)))) => (reason, Stop::No),
        Some(Ok(Half::Reader(ReadEnd::Misbehaved(reason)))) => {
            ended.misbehaved = true;
            (format!("the peer misbehaved: {reason}"), Stop::No)
        }
        Some(Ok(Half::Writer(Ok(())))) => ("the writer stopped".to_owned(), Stop::No),
        Some(Err(error)) => {
            tracing::error!(%error, "a task of the link died: this is a defect of ours");
            ("a task of the link died".to_owned(), Stop::No)
        }
        None => ("both halves ended".to_owned(), Stop::No),
    }
}
