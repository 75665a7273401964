//! The bounds of the HTTP API.

use std::time::Duration;

use crate::NodeHandle;

/// Room in a body with one proposal beside the value, bytes.
const SINGLE_BODY_EXTRA: usize = 4 * 1024;
/// Room in a line of a bulk body beside the value, bytes.
const LINE_EXTRA: usize = 1024;
/// Longest request line and headers together, bytes.
pub(super) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most headers of a request.
pub(super) const MAX_HEADERS: usize = 64;
/// Most of a body that was too long that is read and thrown away, so that the client gets to see the answer, bytes.
pub(super) const DISCARD_BYTES: u64 = 16 * 1024 * 1024;
/// How long that may take.
pub(super) const DISCARD_TIME: Duration = Duration::from_secs(2);
/// Longest `wait_ms`.
pub(super) const MAX_WAIT_MS: u64 = 60_000;
/// Blocks in one answer, if the client does not say.
pub(super) const DEFAULT_BLOCKS: usize = 100;
/// Most blocks in one answer.
pub(super) const MAX_BLOCKS: usize = 1_000;
/// Requests that read blocks from the store at once; further ones wait.
pub(super) const BLOCK_READERS: usize = 8;
/// Answers with all values of a block that are being sent at once.
pub(super) const BLOCK_ANSWERS: usize = 64;
/// Streams of blocks at once.
pub(super) const MAX_STREAMS: usize = 64;
/// Blocks that a stream reads from the store in one go.
pub(super) const STREAM_BATCH: u64 = 64;
/// Bytes after which it stops reading further ones in that go.
pub(super) const STREAM_BATCH_BYTES: usize = 256 * 1024;
/// Results that are verified at once.
pub(super) const VERIFIERS: usize = 2;
/// Longest result that is verified here, bytes: the proof of a large value in a large network.
pub(super) const VERIFY_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// Bulk requests at once.
pub(super) const MAX_BULK: usize = 64;
/// Lines of a bulk request that are submitted together, at most.
pub(super) const CHUNK_LINES: usize = 1_000;
/// Bytes of values that are submitted together, about.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks of one bulk request that wait for the node at once.
pub(super) const CHUNKS_IN_FLIGHT: usize = 4;
/// Answers of one bulk request that wait for the client, bytes; then nothing more is read from it.
pub(super) const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Pause after a connection could not be accepted, for instance because the process has no file descriptors left.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the configuration and the network leave open, and the times that tests shorten.
#[derive(Clone, Debug)]
pub(crate) struct HttpLimits {
    /// Connections at once.
    pub(super) max_connections: usize,
    /// Requests in a second; 0 is no limit.
    pub(super) max_requests_per_second: u32,
    /// The network's `max_value_bytes`.
    pub(super) max_value_bytes: usize,
    /// Longest body with one proposal.
    pub(super) max_body_bytes: u64,
    /// Longest body with many.
    pub(super) max_bulk_body_bytes: u64,
    /// Time for the headers, and for which an idle connection is kept.
    pub(super) header_timeout: Duration,
    /// Time between two pieces of a body.
    pub(super) body_timeout: Duration,
    /// Time in which a client must take some of an answer.
    pub(super) write_timeout: Duration,
    /// Time between two comments in a stream.
    pub(super) keep_alive: Duration,
    /// Time for connections to end when the server stops.
    pub(super) stop_timeout: Duration,
}

impl HttpLimits {
    /// The limits of this node.
    pub(super) fn of(handle: &NodeHandle) -> Self {
        let api = &handle.config().api;
        let max_value_bytes = handle.genesis().config.limits.max_value_bytes as usize;
        Self {
            max_connections: api.max_connections as usize,
            max_requests_per_second: api.max_requests_per_second,
            max_value_bytes,
            max_body_bytes: api.max_body_bytes.min((max_value_bytes * 2 + SINGLE_BODY_EXTRA) as u64),
            max_bulk_body_bytes: api.max_bulk_body_bytes,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            stop_timeout: Duration::from_secs(2),
        }
    }

    /// Longest line of a bulk body.
    pub(super) const fn max_line_bytes(&self) -> usize {
        self.max_value_bytes * 2 + LINE_EXTRA
    }
}
