//! What is kept of a peer whether it is connected or not: queue, counters, measurements.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::{LinkLimits, PeerInfo};
use crate::handler::LinkInfo;
use crate::queue::{Frame, SendQueue};

/// Stands for "not measured".
const NO_RTT: u64 = u64::MAX;

/// A link at one moment. Counters run since the start and go on over reconnections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The peer's index.
    pub peer: u16,
    /// The peer's name from the configuration.
    pub name: String,
    /// Whether the link is up.
    pub connected: bool,
    /// The key-exchange group of the link that is up.
    pub group: Option<String>,
    /// Frames waiting.
    pub queued_frames: usize,
    /// Payload bytes waiting.
    pub queued_bytes: usize,
    /// Frames dropped from the queue (stale or for lack of room) or refused because of their length.
    pub dropped_frames: u64,
    /// Bytes of data frames sent, headers included, TLS not.
    pub bytes_sent: u64,
    /// Bytes of data frames received, headers included, TLS not.
    pub bytes_received: u64,
    /// Data frames handed to the connection.
    pub frames_sent: u64,
    /// Data frames received.
    pub frames_received: u64,
    /// The latest round trip in microseconds, on the link that is up.
    pub rtt_us: Option<u64>,
}

pub(crate) struct Peer {
    info: PeerInfo,
    max_frame_bytes: usize,
    queue: Mutex<SendQueue>,
    wake: Notify,
    link: Mutex<Option<LinkInfo>>,
    barred_until: Mutex<Option<Instant>>,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    frames_sent: AtomicU64,
    frames_received: AtomicU64,
    rtt_us: AtomicU64,
}

/// A panic while one of these short locks is held leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    pub(crate) fn new(info: PeerInfo, limits: &LinkLimits) -> Self {
        Self {
            info,
            max_frame_bytes: limits.max_frame_bytes,
            queue: Mutex::new(SendQueue::new(limits.queue_bytes, limits.queue_frames)),
            wake: Notify::new(),
            link: Mutex::new(None),
            barred_until: Mutex::new(None),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            frames_sent: AtomicU64::new(0),
            frames_received: AtomicU64::new(0),
            rtt_us: AtomicU64::new(NO_RTT),
        }
    }

    pub(crate) fn index(&self) -> u16 {
        self.info.index
    }

    pub(crate) fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// Queues a frame and wakes the writer.
    pub(crate) fn push(&self, frame: Frame) {
        let len = frame.bytes.len();
        if len == 0 || len > self.max_frame_bytes {
            tracing::error!(
                peer = self.index(),
                len,
                max = self.max_frame_bytes,
                "frame of an impossible length not sent"
            );
            lock(&self.queue).count_dropped();
            return;
        }
        lock(&self.queue).push(frame);
        self.wake_writer();
    }

    pub(crate) fn pop(&self) -> Option<Bytes> {
        lock(&self.queue).pop()
    }

    pub(crate) fn discard_below(&self, view: u64) {
        lock(&self.queue).discard_below(view);
    }

    pub(crate) fn wake_writer(&self) {
        self.wake.notify_one();
    }

    /// Returns when there may be something to write: a wake-up that came before the call counts.
    pub(crate) async fn queue_has_work(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn connected(&self, info: LinkInfo) {
        self.rtt_us.store(NO_RTT, Relaxed);
        *lock(&self.link) = Some(info);
    }

    pub(crate) fn disconnected(&self) {
        self.rtt_us.store(NO_RTT, Relaxed);
        *lock(&self.link) = None;
    }

    /// Keeps a peer that misbehaved away for a while.
    pub(crate) fn bar(&self, time: Duration) {
        *lock(&self.barred_until) = Some(Instant::now() + time);
    }

    pub(crate) fn is_barred(&self) -> bool {
        lock(&self.barred_until).is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.frames_sent.fetch_add(1, Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.frames_received.fetch_add(1, Relaxed);
        self.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn measured_rtt(&self, rtt: Duration) {
        let rtt_us = u64::try_from(rtt.as_micros()).unwrap_or(NO_RTT - 1);
        self.rtt_us.store(rtt_us, Relaxed);
    }

    pub(crate) fn status(&self) -> LinkStatus {
        let group = lock(&self.link).as_ref().map(|link| link.group.clone());
        let rtt_us = self.rtt_us.load(Relaxed);
        let queue = lock(&self.queue);
        LinkStatus {
            peer: self.index(),
            name: self.info.name.clone(),
            connected: group.is_some(),
            group,
            queued_frames: queue.frames(),
            queued_bytes: queue.bytes(),
            dropped_frames: queue.dropped(),
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            frames_sent: self.frames_sent.load(Relaxed),
            frames_received: self.frames_received.load(Relaxed),
            rtt_us: (rtt_us != NO_RTT).then_some(rtt_us),
        }
    }
}

/// The pings of one connection, shared by its reader and its writer. One ping and one pong at most are outstanding, so
/// a peer that floods pings costs nothing but its own bandwidth.
#[derive(Default)]
pub(crate) struct Pings {
    asked: Mutex<Option<(u64, Instant)>>,
    owed: Mutex<Option<u64>>,
}

impl Pings {
    /// A ping goes out.
    pub(crate) fn asked(&self, nonce: u64) {
        *lock(&self.asked) = Some((nonce, Instant::now()));
    }

    /// A pong came in: the round trip, if it answers the latest ping.
    pub(crate) fn answered(&self, nonce: u64) -> Option<Duration> {
        let mut asked = lock(&self.asked);
        let (_, since) = asked.take_if(|(expected, _)| *expected == nonce)?;
        Some(since.elapsed())
    }

    /// A ping came in.
    pub(crate) fn owe_pong(&self, nonce: u64) {
        *lock(&self.owed) = Some(nonce);
    }

    pub(crate) fn take_owed_pong(&self) -> Option<u64> {
        lock(&self.owed).take()
    }
}
