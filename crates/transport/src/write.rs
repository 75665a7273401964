//! Writing frames to a link.

use std::sync::Arc;
use std::time::Duration;

use crypto::random;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::frame::{self, Control};
use crate::peer::{Peer, Pings};

/// Small frames are gathered up to this many bytes for one write; also the piece in which long frames are written.
const BATCH: usize = 64 * 1024;
/// Frames above this many bytes are not copied into the batch.
const LARGE: usize = 16 * 1024;

/// How a writer is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// Say farewell now; queued frames wait for the next link.
    Now,
    /// Say farewell when the queue is empty.
    AfterQueue,
}

/// Sends queued frames, pings and pongs until told to stop (`Ok`) or until the connection fails.
pub(crate) async fn write_loop<W: AsyncWrite + Unpin>(
    peer: Arc<Peer>,
    mut writer: W,
    pings: Arc<Pings>,
    ping_period: Duration,
    idle: Duration,
    mut stop: watch::Receiver<Stop>,
) -> Result<(), String> {
    let mut batch = Vec::with_capacity(BATCH + LARGE + frame::HEADER_LEN);
    let mut next_ping = Instant::now();
    loop {
        let stopping = *stop.borrow_and_update();
        batch.clear();
        if let Some(nonce) = pings.take_owed_pong() {
            batch.extend_from_slice(&Control::Pong(nonce).encode());
        }
        let now = Instant::now();
        if now >= next_ping && stopping == Stop::No {
            let nonce = random::u64().map_err(|error| error.to_string())?;
            batch.extend_from_slice(&Control::Ping(nonce).encode());
            pings.asked(nonce);
            next_ping = now + ping_period;
        }
        let large = if stopping == Stop::Now { None } else { gather(&peer, &mut batch) };
        if batch.is_empty() {
            if stopping != Stop::No {
                return step(idle, writer.shutdown()).await;
            }
            tokio::select! {
                () = peer.queue_has_work() => {}
                () = sleep_until(next_ping) => {}
                changed = stop.changed() => changed.map_err(|_| "the link was given up".to_owned())?,
            }
            continue;
        }
        step(idle, writer.write_all(&batch)).await?;
        for piece in large.iter().flat_map(|bytes| bytes.chunks(BATCH)) {
            step(idle, writer.write_all(piece)).await?;
        }
        step(idle, writer.flush()).await?;
    }
}

/// Moves frames from the queue into the batch; a large one that ends the batch is returned uncopied, after its header.
fn gather(peer: &Peer, batch: &mut Vec<u8>) -> Option<bytes::Bytes> {
    while batch.len() < BATCH {
        let bytes = peer.pop()?;
        // Links::send lets nothing in that no header can say.
        let Some(header) = frame::data_header(bytes.len()) else { continue };
        peer.count_sent(header.len() + bytes.len());
        batch.extend_from_slice(&header);
        if bytes.len() > LARGE {
            return Some(bytes);
        }
        batch.extend_from_slice(&bytes);
    }
    None
}

async fn step(idle: Duration, work: impl Future<Output = std::io::Result<()>>) -> Result<(), String> {
    match timeout(idle, work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("writing failed: {error}")),
        Err(_) => Err(format!("the peer took nothing for {} ms", idle.as_millis())),
    }
}
