//! The bounds of the mempool.

/// Memory that one waiting proposal costs beside its value, bytes (its slot and four index entries, rounded up).
pub const ENTRY_OVERHEAD_BYTES: usize = 400;
/// Of `max_bytes`, peers' proposals may fill one part in this many: own clients always find the rest.
pub const FOREIGN_SHARE: usize = 2;
/// Of the peers' part, one peer may fill one part in this many.
pub const PEER_SHARE: usize = 4;
/// Entries that [`select`](super::Mempool::select) looks at, for each that it may take.
pub const VISITS_PER_PLACE: usize = 16;
/// Entries that [`select`](super::Mempool::select) looks at in any case.
pub const VISITS_MIN: usize = 4096;
/// Entries that do not fit into the rest of a block, after which [`select`](super::Mempool::select) calls the block full.
pub const MISFITS_MAX: usize = 64;

/// Bounds of a mempool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Proposals submitted at this node that may wait (`consensus.max_proposals`).
    pub max_proposals: usize,
    /// Proposals that one peer may have waiting here.
    pub max_foreign_per_peer: usize,
    /// Memory for all of them, bytes; see [`FOREIGN_SHARE`] and [`PEER_SHARE`].
    pub max_bytes: usize,
    /// One priority level counts like having arrived earlier by this much, microseconds.
    pub aging_us_per_priority: u64,
    /// `false`: first come, first served (`batching.priority_queuing`).
    pub priority_queuing: bool,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self {
            max_proposals: 100,
            max_foreign_per_peer: 10_000,
            max_bytes: 32 << 20,
            aging_us_per_priority: 1_000_000,
            priority_queuing: true,
        }
    }
}
