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
/// Own proposals that are always taken, up to `max_proposals`.
pub const OVERLOAD_MIN: usize = 1_000;
/// When the oldest own proposal has waited this long, in microseconds, more than [`OVERLOAD_MIN`] are not taken: the network makes values
/// final more slowly than they come, and a longer line would only make everyone wait longer and leave less time for consensus.
pub const OVERLOAD_WAIT_US: u64 = 1_000_000;

/// Whether a node with this many own proposals, the oldest of which has waited this long, takes no more.
pub const fn is_overloaded(own_len: usize, oldest_waited_us: u64) -> bool {
    own_len >= OVERLOAD_MIN && oldest_waited_us > OVERLOAD_WAIT_US
}

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
