//! Catching up from far behind: which piece of the chain is asked of whom, and what is done with the answers.
//!
//! ```text
//!  Held ──▶ peers: what each says it can serve
//!              │ plan: gaps above the last committed block, in pieces, to the least faulty and least busy
//!              ▼
//!  Fetch ──▶ open ──▶ FinalChain, verified by itself: one certificate for the piece ──▶ ready ──▶ replica, in order
//!              └ silence, a broken link, an empty answer: asked of another
//! ```
//!
//! A piece is proven by the certificate at its end and the hash chain down from there, so pieces need not come in order and no peer is
//! believed: a liar can only be slow. What is held in memory is bounded by [`WINDOW_BYTES`] and [`WINDOW_BLOCKS`] above the last
//! *durable* block; progress is the store itself, so a restart goes on where the last flush was.

use std::collections::BTreeMap;

use consensus::message::{Fetch, Held};
use consensus::replica::Input;
use consensus::types::{Height, Timestamp, ValidatorIndex};
use consensus::verify::{Content, Verified};

/// Blocks asked for at once.
pub const CHUNK_BLOCKS: u64 = 256;
/// Bytes of one answer, roughly; a single larger block still goes.
pub const CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of answers awaited or waiting for their turn, roughly.
const WINDOW_BYTES: usize = 64 * 1024 * 1024;
/// Pieces asked for or waiting, at most, however small blocks are.
const WINDOW_CHUNKS: usize = 16;
/// Blocks above the last durable one that are asked for.
const WINDOW_BLOCKS: u64 = WINDOW_CHUNKS as u64 * CHUNK_BLOCKS;
/// Pieces asked of one peer at once: one on its way while the next is read.
const OPEN_EACH: usize = 2;
/// How long a peer is given for a piece; doubled for each fault of its.
const PATIENCE_US: u64 = 3_000_000;
/// Doublings of the patience, and the most faults that count.
const MAX_FAULTS: u32 = 6;
/// How long after its last fault a peer is asked again although others are there.
const PENANCE_US: u64 = 30_000_000;
/// How long one waits for a peer that still holds the next block before the blocks that nobody holds are skipped.
const SKIP_WAIT_US: u64 = 5_000_000;
/// A peer that failed more often is not believed when it claims to hold the next block.
const SKIP_FAULTS: u32 = 2;

/// What a peer says it holds, and how it behaved.
#[derive(Clone, Copy, Debug)]
struct Peer {
    held: Option<Held>,
    open: usize,
    faults: u32,
    faulted_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    upto: Height,
    peer: ValidatorIndex,
    until: Timestamp,
}

struct Ready {
    from: ValidatorIndex,
    last: Height,
    content: Verified<Content>,
}

/// How catching up stands, for status pages and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatchUpStatus {
    /// Height that at least one honest peer holds, as far as is known; the lag is this less the committed height.
    pub target: Height,
    /// Peers that say they hold something of what is missing.
    pub peers: usize,
    /// Pieces asked for.
    pub open: usize,
    /// Pieces that wait for one below them.
    pub ready: usize,
    /// Pieces that were asked of another peer because the first did not deliver.
    pub reassigned: u64,
}

/// The state of catching up.
pub(crate) struct CatchUp {
    peers: BTreeMap<ValidatorIndex, Peer>,
    /// By the height below the first that was asked for.
    open: BTreeMap<Height, Open>,
    /// By the first height.
    ready: BTreeMap<Height, Ready>,
    committed: Height,
    durable: Height,
    /// The highest block that any peer claims to hold.
    highest_claim: Height,
    /// Byzantine peers tolerated: a claim counts when this many others claim as much.
    tolerated: usize,
    max_chunks: usize,
    reassigned: u64,
    /// Where the chain goes on if nobody holds the next block any more.
    start: Option<Height>,
    /// Since when nobody does.
    stuck_since: Option<Timestamp>,
    /// The application cannot go on without the blocks between.
    stays: bool,
}

impl CatchUp {
    /// At `committed`, in a network that tolerates `f` Byzantine validators and has blocks of at most `max_block_bytes`.
    pub(crate) fn new(committed: Height, f: u32, max_block_bytes: usize) -> Self {
        Self {
            peers: BTreeMap::new(),
            open: BTreeMap::new(),
            ready: BTreeMap::new(),
            committed,
            durable: committed,
            highest_claim: committed,
            tolerated: f as usize,
            max_chunks: (WINDOW_BYTES / CHUNK_BYTES.max(max_block_bytes)).clamp(2, WINDOW_CHUNKS),
            reassigned: 0,
            start: None,
            stuck_since: None,
            stays: false,
        }
    }

    /// How it stands.
    pub(crate) fn status(&self) -> CatchUpStatus {
        let mut claims: Vec<Height> = self.claims().map(|(_, held)| held.last).collect();
        claims.sort_unstable_by(|a, b| b.cmp(a));
        let target = claims.get(self.tolerated).or_else(|| claims.last()).copied().unwrap_or(self.committed);
        CatchUpStatus {
            target: target.max(self.committed),
            peers: claims.len(),
            open: self.open.len(),
            ready: self.ready.len(),
            reassigned: self.reassigned,
        }
    }

    /// Claims of what lies above the last committed block.
    fn claims(&self) -> impl Iterator<Item = (ValidatorIndex, Held)> {
        let above = self.committed;
        let held = self.peers.iter().filter_map(|(index, peer)| peer.held.map(|held| (*index, held)));
        held.filter(move |(_, held)| held.last > above)
    }

    /// Nothing is missing as far as is known.
    pub(crate) fn is_idle(&self) -> bool {
        self.highest_claim <= self.committed && self.open.is_empty() && self.ready.is_empty()
    }

    /// When silence of a peer is next noticed.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let silence = self.open.values().map(|open| open.until).min();
        let skip = self.stuck_since.filter(|_| self.start.is_none() && !self.stays).map(|at| at.after_us(SKIP_WAIT_US));
        let never = Timestamp::new(u64::MAX);
        silence.unwrap_or(never).min(skip.unwrap_or(never))
    }

    /// A peer says what it can serve. What it was asked for and does not hold is asked of another.
    pub(crate) fn take_held(&mut self, from: ValidatorIndex, held: Held) {
        self.peer(from).held = Some(held);
        let useless =
            |above: &Height, open: &Open| open.peer == from && (*above >= held.last || above.next() < held.first);
        let freed: Vec<Height> = self.open.iter().filter(|(a, o)| useless(a, o)).map(|(above, _)| *above).collect();
        freed.into_iter().for_each(|above| self.reassign(above));
        self.note_claims();
    }

    /// The link to a peer is gone: what it was asked for is asked of another.
    pub(crate) fn take_link_down(&mut self, peer: ValidatorIndex) {
        let freed: Vec<Height> = self.open.iter().filter(|(_, o)| o.peer == peer).map(|(above, _)| *above).collect();
        freed.into_iter().for_each(|above| self.reassign(above));
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.held = None;
        }
        self.note_claims();
    }

    /// A verified piece: kept if it was asked for. Otherwise it is given back: the replica takes it as it comes.
    pub(crate) fn take_chain(
        &mut self,
        now: Timestamp,
        from: ValidatorIndex,
        content: Verified<Content>,
    ) -> Option<Verified<Content>> {
        let Content::FinalChain(chain) = content.get() else { return Some(content) };
        let heights = (chain.blocks.first(), chain.blocks.last());
        let (Some((first, _)), Some((last, _))) = heights else { return Some(content) };
        let (first, last) = (first.header().height, last.header().height);
        let bytes: usize = chain.blocks.iter().map(|(_, body)| body.encoded().len()).sum();
        let above = Height::new(first.get().saturating_sub(1));
        let asked = self.open.get(&above).copied().filter(|open| open.peer == from);
        let Some(open) = asked else { return Some(content) };
        self.free(above);
        let wanted = open.upto.get().saturating_sub(above.get());
        let given = last.get().saturating_sub(above.get());
        if given * 4 < wanted && bytes * 4 < CHUNK_BYTES {
            self.blame(now, from); // a drip: correct, and far less than was asked for and would have fitted
        } else {
            let peer = self.peer(from);
            peer.faults = peer.faults.saturating_sub(1);
        }
        if last > self.committed {
            self.ready.insert(first, Ready { from, last, content });
        }
        None
    }

    /// The next piece that the replica can take now, if it is there: it begins at or below the next height.
    pub(crate) fn next_ready(&mut self) -> Option<Input> {
        loop {
            let first = *self.ready.first_key_value()?.0;
            if first > self.committed.next() && (Some(first) != self.start || self.stays) {
                return None;
            }
            let ready = self.ready.remove(&first)?;
            if ready.last > self.committed {
                return Some(Input::Message { from: ready.from, content: ready.content });
            }
        }
    }

    /// The replica did not take a piece, which no honest peer can cause.
    pub(crate) fn refused(&mut self, now: Timestamp, from: ValidatorIndex) {
        (0..MAX_FAULTS).for_each(|_| self.blame(now, from));
    }

    /// Where the replica stands now.
    pub(crate) fn committed(&mut self, height: Height) {
        self.committed = height.max(self.committed);
    }

    /// Blocks up to here are on disk.
    pub(crate) fn durable(&mut self, height: Height) {
        self.durable = height.max(self.durable);
    }

    /// Notices silence, and asks for what is missing.
    pub(crate) fn plan(&mut self, now: Timestamp) -> Vec<(ValidatorIndex, Fetch)> {
        let silent: Vec<(Height, Open)> =
            self.open.iter().filter(|(_, open)| open.until <= now).map(|(above, open)| (*above, *open)).collect();
        for (above, open) in silent {
            self.reassign(above);
            self.blame(now, open.peer);
        }
        let done: Vec<Height> =
            self.open.iter().filter(|(_, open)| open.upto <= self.committed).map(|(above, _)| *above).collect();
        for above in done {
            self.free(above); // it came another way
        }
        self.choose_start(now);
        let mut asked = Vec::new();
        while let Some((above, upto)) = self.gap() {
            let Some(peer) = self.choose(now, above) else { break };
            let last = self.peers.get(&peer).and_then(|peer| peer.held).map_or(upto, |held| held.last);
            let upto = upto.min(last);
            let state = self.peer(peer);
            state.open += 1;
            let until = now.after_us(PATIENCE_US << state.faults.min(MAX_FAULTS));
            self.open.insert(above, Open { upto, peer, until });
            asked.push((peer, Fetch { above, upto }));
        }
        asked
    }

    /// If nobody who is to be trusted with it holds the next block any more, the chain goes on where the lowest that is held is.
    fn choose_start(&mut self, now: Timestamp) {
        let waiting = |start: Height| {
            self.ready.contains_key(&start) || self.open.contains_key(&Height::new(start.get().saturating_sub(1)))
        };
        if self.start.is_some_and(waiting) {
            return;
        }
        self.start = None;
        let next = self.committed.next();
        let faults = |index: &ValidatorIndex| self.peers.get(index).map_or(0, |peer| peer.faults);
        let claims: Vec<(u32, Height)> = self.claims().map(|(index, held)| (faults(&index), held.first)).collect();
        let least = claims.iter().map(|(faults, _)| *faults).min().unwrap_or(0);
        let lowest =
            claims.iter().filter(|(faults, _)| *faults <= least.max(SKIP_FAULTS)).map(|(_, first)| *first).min();
        match lowest {
            Some(lowest) if lowest > next => {
                let since = *self.stuck_since.get_or_insert(now);
                if now >= since.after_us(SKIP_WAIT_US) {
                    self.start = Some(lowest);
                }
            }
            _ => self.stuck_since = None,
        }
    }

    /// The application cannot do without the blocks between: it waits for a peer that has them.
    pub(crate) const fn stay(&mut self) {
        self.stays = true;
    }

    /// The lowest piece that is neither asked for nor here: from above the first height to the second.
    fn gap(&self) -> Option<(Height, Height)> {
        let start = Height::new(self.start.map_or(0, |start| start.get().saturating_sub(1))).max(self.committed);
        let floor = self.durable.max(Height::new(self.start.map_or(0, Height::get)));
        let top = self.highest_claim.min(Height::new(floor.get() + WINDOW_BLOCKS));
        if self.open.len() + self.ready.len() >= self.max_chunks {
            return None;
        }
        let mut at = start;
        loop {
            // Whatever covers the next height takes the search further.
            let open = self.open.range(..=at).next_back().map(|(_, open)| open.upto);
            let ready = self.ready.range(..=at.next()).next_back().map(|(_, ready)| ready.last);
            let covered = open.max(ready).unwrap_or_default();
            if covered <= at {
                break;
            }
            at = covered;
        }
        if at >= top {
            return None;
        }
        let next_open = self.open.range(at..).next().map(|(above, _)| *above);
        let next_ready = self.ready.range(at.next()..).next().map(|(first, _)| Height::new(first.get() - 1));
        let mut upto = Height::new(at.get() + CHUNK_BLOCKS).min(top);
        for next in [next_open, next_ready].into_iter().flatten() {
            upto = upto.min(next);
        }
        (upto > at).then_some((at, upto))
    }

    /// Who is asked for what follows `above`: the least faulty, then the least busy, then by turns.
    fn choose(&self, now: Timestamp, above: Height) -> Option<ValidatorIndex> {
        let able = self.peers.iter().filter(|(_, peer)| {
            peer.open < OPEN_EACH && peer.held.is_some_and(|held| held.first <= above.next() && above < held.last)
        });
        let turn = above.get() / CHUNK_BLOCKS;
        let count = self.peers.len().max(1) as u64;
        able.min_by_key(|(index, peer)| {
            let faults = if now >= peer.faulted_at.after_us(PENANCE_US) { 0 } else { peer.faults };
            (faults, peer.open, (u64::from(index.get()) + count - turn % count) % count)
        })
        .map(|(index, _)| *index)
    }

    fn peer(&mut self, index: ValidatorIndex) -> &mut Peer {
        let fresh = Peer { held: None, open: 0, faults: 0, faulted_at: Timestamp::ZERO };
        self.peers.entry(index).or_insert(fresh)
    }

    fn blame(&mut self, now: Timestamp, index: ValidatorIndex) {
        let peer = self.peer(index);
        peer.faults = (peer.faults + 1).min(MAX_FAULTS);
        peer.faulted_at = now;
    }

    /// A piece is open no longer.
    fn free(&mut self, above: Height) {
        if let Some(open) = self.open.remove(&above) {
            let peer = self.peer(open.peer);
            peer.open = peer.open.saturating_sub(1);
        }
    }

    /// A piece must be asked of another.
    fn reassign(&mut self, above: Height) {
        self.free(above);
        self.reassigned += 1;
    }

    fn note_claims(&mut self) {
        let claims = self.peers.values().filter_map(|peer| peer.held);
        self.highest_claim = claims.map(|held| held.last).max().unwrap_or_default();
    }
}

#[cfg(test)]
#[path = "catchup/tests.rs"]
mod tests;
