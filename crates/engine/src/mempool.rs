//! Proposals that wait for a block: bounded, ordered by priority without starving any.
//!
//! ```text
//!   insert ─▶ slots ◀─ ids        by id
//!                   ◀─ order      by (arrival − priority × aging, sequence): what a block takes first
//!                   ◀─ deadlines  by deadline: what chain time ends
//!                   ◀─ own        by arrival here: what is forwarded to peers, with a cursor for each
//! ```
//!
//! Deterministic: no clock, no hashing of its own, ordered maps only. A proposal leaves when it is final (`remove`) or
//! when chain time has passed its deadline (`expire`), never because of the local clock: until then another validator
//! may still commit it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consensus::body::Proposal;
use consensus::types::Timestamp;
use crypto::Digest;

use crate::index::IdIndex;
use crate::io::Refusal;

mod limits;

pub use limits::{
    ENTRY_OVERHEAD_BYTES, FOREIGN_SHARE, MISFITS_MAX, MempoolLimits, OVERLOAD_MIN, OVERLOAD_WAIT_US, PEER_SHARE,
    VISITS_MIN, VISITS_PER_PLACE, is_overloaded,
};

/// Where a proposal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node.
    Own,
    /// Forwarded by this validator.
    Peer(u16),
}

/// What an accepted insert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The proposal is new here.
    New,
    /// It was waiting already; if it is now known as own too, it is forwarded like one.
    Known,
    /// A peer had sent it before; now it is own, like one that is new.
    Adopted,
}

/// Number of a slot.
type Slot = u32;

#[derive(Debug)]
struct Entry {
    id: Digest,
    proposal: Arc<Proposal>,
    /// Who sent it first, as long as no client of this node did.
    peer: Option<u16>,
    /// Its place in `own`, if a client of this node sent it.
    own: Option<u64>,
    order: (u64, u64),
    arrived: Timestamp,
}

impl Entry {
    fn cost(&self) -> usize {
        cost(&self.proposal)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    count: usize,
    bytes: usize,
}

/// The proposals that wait at one node.
#[derive(Debug)]
pub struct Mempool {
    limits: MempoolLimits,
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    ids: IdIndex<Slot>,
    order: BTreeMap<(u64, u64), Slot>,
    deadlines: BTreeSet<(Timestamp, Slot)>,
    own: BTreeMap<u64, Slot>,
    /// For each peer the first place in `own` that it was not sent. At most one for each of 65,536 peers.
    cursors: BTreeMap<u16, u64>,
    /// What each peer has waiting here; no entry when nothing.
    peers: BTreeMap<u16, Usage>,
    foreign_bytes: usize,
    bytes: usize,
    next_sequence: u64,
}

impl Mempool {
    /// An empty mempool.
    pub fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            ids: IdIndex::default(),
            order: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            own: BTreeMap::new(),
            cursors: BTreeMap::new(),
            peers: BTreeMap::new(),
            foreign_bytes: 0,
            bytes: 0,
            next_sequence: 0,
        }
    }

    /// Takes a proposal, whose id the caller has computed. An own one that a peer sent before becomes own.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Overloaded`], [`Refusal::BytesFull`] and [`Refusal::Expired`]; nothing has changed then.
    pub fn insert(
        &mut self,
        id: Digest,
        proposal: Arc<Proposal>,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Inserted, Refusal> {
        if let Some(slot) = self.slot_of(&id) {
            return self.know(slot, origin, now);
        }
        if proposal.deadline < now {
            return Err(Refusal::Expired);
        }
        let cost = cost(&proposal);
        let fits = |used: usize, bound: usize| used.saturating_add(cost) <= bound;
        match origin {
            Origin::Own => self.own_place(now)?,
            Origin::Peer(peer) => {
                let usage = self.peers.get(&peer).copied().unwrap_or_default();
                if usage.count >= self.limits.max_foreign_per_peer {
                    return Err(Refusal::Busy(self.limits.max_foreign_per_peer));
                }
                let part = self.limits.max_bytes / FOREIGN_SHARE;
                if !fits(self.foreign_bytes, part) || !fits(usage.bytes, part / PEER_SHARE) {
                    return Err(Refusal::BytesFull);
                }
            }
        }
        if !fits(self.bytes, self.limits.max_bytes) {
            return Err(Refusal::BytesFull);
        }
        self.add(id, proposal, origin, now).map(|()| Inserted::New)
    }

    /// The best proposals for a block dated `block_time`: at most `max_count`, of at most `max_bytes` in canonical form,
    /// in order. Passed over: those whose deadline is before `block_time`, and those that an ancestor of the block
    /// holds (`skip`). Looks at [`VISITS_PER_PLACE`] entries for each place, and stops after [`MISFITS_MAX`] that were
    /// too large for the rest.
    pub fn select(
        &self,
        max_count: usize,
        max_bytes: usize,
        block_time: Timestamp,
        skip: &dyn Fn(&Digest) -> bool,
    ) -> Vec<(Digest, Arc<Proposal>)> {
        let mut selected = Vec::with_capacity(max_count.min(self.order.len()));
        let (mut room, mut misfits) = (max_bytes, 0);
        for entry in self.ordered().take(max_count.saturating_mul(VISITS_PER_PLACE).max(VISITS_MIN)) {
            if selected.len() >= max_count || misfits >= MISFITS_MAX || room == 0 {
                break;
            }
            if entry.proposal.deadline < block_time || skip(&entry.id) {
                continue;
            }
            match room.checked_sub(entry.proposal.encoded_len()) {
                Some(rest) => {
                    room = rest;
                    selected.push((entry.id, Arc::clone(&entry.proposal)));
                }
                None => misfits += 1,
            }
        }
        selected
    }

    /// Whether [`Mempool::select`] would find a proposal. It looks at [`VISITS_MIN`] entries; when all of those are
    /// passed over and there are more, it says yes, as an empty block costs less than a proposal left waiting.
    pub fn has_eligible(&self, block_time: Timestamp, skip: &dyn Fn(&Digest) -> bool) -> bool {
        let mut ordered = self.ordered();
        let eligible = |entry: &Entry| entry.proposal.deadline >= block_time && !skip(&entry.id);
        ordered.by_ref().take(VISITS_MIN).any(eligible) || ordered.next().is_some()
    }

    /// Takes out a proposal that is final; whether it was waiting.
    pub fn remove(&mut self, id: &Digest) -> bool {
        self.slot_of(id).is_some_and(|slot| self.take(slot).is_some())
    }

    /// Takes out the proposals whose deadline is before chain time (the time of the last final block); their ids, by
    /// deadline.
    pub fn expire(&mut self, chain_time: Timestamp) -> Vec<Digest> {
        let mut expired = Vec::new();
        while let Some((deadline, slot)) = self.deadlines.first().copied() {
            if deadline >= chain_time {
                break;
            }
            match self.take(slot) {
                Some(entry) => expired.push(entry.id),
                // Every deadline has an entry; if not, going on is better than going round.
                None => drop(self.deadlines.pop_first()),
            }
        }
        expired
    }

    /// Own proposals that were not yet sent to `peer`, in the order of their arrival, of at most `max_bytes` in canonical
    /// form but at least one. They count as sent from then on.
    pub fn unforwarded(&mut self, peer: u16, max_bytes: usize) -> Vec<Arc<Proposal>> {
        let from = self.cursors.get(&peer).copied().unwrap_or(0);
        let (mut room, mut next, mut found) = (max_bytes, from, Vec::new());
        for (place, slot) in self.own.range(from..) {
            let Some(entry) = self.entry(*slot) else { continue };
            if !self.order.contains_key(&entry.order) {
                continue; // set aside: a block has it
            }
            let bytes = entry.proposal.encoded_len();
            if bytes > room && !found.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            next = place.saturating_add(1);
            found.push(Arc::clone(&entry.proposal));
        }
        if next != from {
            self.cursors.insert(peer, next);
        }
        found
    }

    /// The link to `peer` is new: it may have got nothing of what was sent before.
    pub fn reset_peer(&mut self, peer: u16) {
        self.cursors.remove(&peer);
    }

    /// A block that is on its way to finality holds this proposal: it waits on, but is not selected until it is put back.
    pub fn set_aside(&mut self, id: &Digest) {
        let slot = self.slot_of(id);
        if let Some(order) = slot.and_then(|slot| self.entry(slot)).map(|entry| entry.order) {
            self.order.remove(&order);
        }
    }

    /// The block that held this proposal did not become final.
    pub fn put_back(&mut self, id: &Digest) {
        let Some(slot) = self.slot_of(id) else { return };
        let Some((order, own)) = self.entry(slot).map(|entry| (entry.order, entry.own)) else { return };
        self.order.insert(order, slot);
        if let Some(place) = own {
            // It was passed over in forwarding while a block held it.
            self.cursors.values_mut().for_each(|cursor| *cursor = place.min(*cursor));
        }
    }

    /// Whether a proposal waits here.
    pub fn contains(&self, id: &Digest) -> bool {
        self.slot_of(id).is_some()
    }

    /// A waiting proposal.
    pub fn get(&self, id: &Digest) -> Option<&Arc<Proposal>> {
        self.slot_of(id).and_then(|slot| self.entry(slot)).map(|entry| &entry.proposal)
    }

    /// How many wait, those set aside included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many wait for a block: those set aside are in one.
    pub fn open_len(&self) -> usize {
        self.order.len()
    }

    /// How many of this node's clients wait.
    pub fn own_len(&self) -> usize {
        self.own.len()
    }

    /// The memory they take, bytes: values and [`ENTRY_OVERHEAD_BYTES`] each.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn ordered(&self) -> impl Iterator<Item = &Entry> {
        self.order.values().filter_map(|slot| self.entry(*slot))
    }

    fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn slot_of(&self, id: &Digest) -> Option<Slot> {
        self.ids.get(id)
    }

    fn own_place(&self, now: Timestamp) -> Result<(), Refusal> {
        let limit = self.limits.max_proposals;
        if self.own.len() >= limit {
            return Err(Refusal::Busy(limit));
        }
        let waited_us = self.oldest_own().map_or(0, |arrived| now.since_us(arrived));
        if is_overloaded(self.own.len(), waited_us) {
            return Err(Refusal::Overloaded { waited_ms: waited_us / 1_000 });
        }
        Ok(())
    }

    /// When the own proposal arrived that has waited longest here.
    pub fn oldest_own(&self) -> Option<Timestamp> {
        self.own.values().next().and_then(|slot| self.entry(*slot)).map(|entry| entry.arrived)
    }

    /// A proposal that waits already comes again: from a client of this node it becomes own.
    fn know(&mut self, slot: Slot, origin: Origin, now: Timestamp) -> Result<Inserted, Refusal> {
        let known_as_own = self.entry(slot).is_none_or(|entry| entry.own.is_some());
        if known_as_own || origin != Origin::Own {
            return Ok(Inserted::Known);
        }
        self.own_place(now)?;
        let place = self.sequence();
        self.own.insert(place, slot);
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return Ok(Inserted::Known) };
        entry.own = Some(place);
        if let (Some(peer), cost) = (entry.peer.take(), entry.cost()) {
            self.release_peer(peer, cost);
        }
        Ok(Inserted::Adopted)
    }

    fn add(&mut self, id: Digest, proposal: Arc<Proposal>, origin: Origin, now: Timestamp) -> Result<(), Refusal> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => Slot::try_from(self.slots.len()).map_err(|_| Refusal::BytesFull)?,
        };
        let sequence = self.sequence();
        // An earlier arrival by `aging` per level, shifted so that it cannot be negative.
        let levels = u64::from(consensus::bounds::MAX_PRIORITY.saturating_sub(proposal.priority));
        let key = if self.limits.priority_queuing {
            now.get().saturating_add(levels.saturating_mul(self.limits.aging_us_per_priority))
        } else {
            0
        };
        let cost = cost(&proposal);
        let (peer, own) = match origin {
            Origin::Own => (None, Some(sequence)),
            Origin::Peer(peer) => (Some(peer), None),
        };
        self.ids.insert(id, slot);
        self.order.insert((key, sequence), slot);
        self.deadlines.insert((proposal.deadline, slot));
        if own.is_some() {
            self.own.insert(sequence, slot);
        }
        if let Some(peer) = peer {
            let usage = self.peers.entry(peer).or_default();
            usage.count += 1;
            usage.bytes += cost;
            self.foreign_bytes += cost;
        }
        self.bytes += cost;
        let entry = Some(Entry { id, proposal, peer, own, order: (key, sequence), arrived: now });
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = entry,
            None => self.slots.push(entry),
        }
        Ok(())
    }

    fn take(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.ids.remove(&entry.id);
        self.order.remove(&entry.order);
        self.deadlines.remove(&(entry.proposal.deadline, slot));
        if let Some(place) = entry.own {
            self.own.remove(&place);
        }
        if let Some(peer) = entry.peer {
            self.release_peer(peer, entry.cost());
        }
        self.bytes = self.bytes.saturating_sub(entry.cost());
        if self.ids.is_empty() {
            // Give back the memory of a burst.
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
        Some(entry)
    }

    fn release_peer(&mut self, peer: u16, cost: usize) {
        self.foreign_bytes = self.foreign_bytes.saturating_sub(cost);
        let Some(usage) = self.peers.get_mut(&peer) else { return };
        usage.count = usage.count.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(cost);
        if usage.count == 0 {
            self.peers.remove(&peer);
        }
    }

    fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }
}

fn cost(proposal: &Proposal) -> usize {
    proposal.value.len().saturating_add(ENTRY_OVERHEAD_BYTES)
}
