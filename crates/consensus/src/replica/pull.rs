//! R8: what is missing, who is asked, and what others are told that ask.

use std::collections::BTreeMap;

use crypto::Digest;

use super::{Effect, Recipient, Replica};
use crate::bounds::{FAR_BEHIND_BLOCKS, MAX_ANSWER_ITEMS};
use crate::header::SignedHeader;
use crate::message::{Answer, Message, Status};
use crate::types::{Epoch, Timestamp, ValidatorIndex, View};
use crate::votes::Vote;

/// Answers that one peer may still owe.
const MAX_OPEN_STATUS: u32 = 16;
/// Status answered per peer at once, before the rate limit holds.
const ANSWER_BURST: u32 = 16;
/// Doublings of the time that a peer is given to answer: from Δ/2 to 32Δ.
const MAX_ASK_DOUBLINGS: u32 = 6;
/// My own body is resent with its header up to this size; who lacks a larger one names it in its Status.
const RESENT_BODY_BYTES: usize = 64 * 1024;
/// Bytes of votes, headers and bodies in one answer, roughly.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// Who was asked and who was answered, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulls {
    /// The highest view that each peer has spoken of.
    pub(super) heard: BTreeMap<ValidatorIndex, View>,
    /// When a peer was last asked, and how often since it last answered: each time it is given twice as long.
    asked: BTreeMap<ValidatorIndex, (Timestamp, u32)>,
    /// Peers to be asked at a time, unless what is missing has come by then.
    waiting: BTreeMap<ValidatorIndex, Timestamp>,
    /// Status that a peer may still answer.
    open: BTreeMap<ValidatorIndex, u32>,
    /// The highest last final view that each peer has told.
    finals: BTreeMap<ValidatorIndex, View>,
    /// The epoch of peers that are in a later one.
    epochs: BTreeMap<ValidatorIndex, Epoch>,
    /// When a large body was last sent to a peer: it is given a view timer to arrive before it is sent again.
    sent_bodies: BTreeMap<(ValidatorIndex, Digest), Timestamp>,
    last_to_all: Option<Timestamp>,
    budget: BTreeMap<ValidatorIndex, (u32, Timestamp)>,
}

impl Pulls {
    /// Whether an answer of this peer was asked for; each Status allows one.
    pub(super) fn expects(&mut self, from: ValidatorIndex) -> bool {
        match self.open.get_mut(&from) {
            Some(open) if *open > 0 => {
                *open -= 1;
                true
            }
            _ => false,
        }
    }

    fn asks(&mut self, peer: ValidatorIndex) {
        let open = self.open.entry(peer).or_default();
        *open = (*open + 1).min(MAX_OPEN_STATUS);
    }

    /// An answer has come; the peer may be asked for more at once.
    pub(super) fn answered(&mut self, from: ValidatorIndex) {
        self.asked.remove(&from);
    }
}

impl Replica {
    /// A peer has spoken of a view. A lie costs one Status now and then, ever more rarely (see [`Self::ask`]).
    pub(super) fn heard(&mut self, from: ValidatorIndex, view: View) {
        let entry = self.pulls.heard.entry(from).or_default();
        *entry = view.max(*entry);
    }

    /// A peer has left this epoch. It is asked for the closing block, unless that becomes final here in a moment anyway.
    pub fn heard_epoch(&mut self, now: Timestamp, from: ValidatorIndex, epoch: Epoch) {
        if epoch > self.config.epoch {
            self.pulls.epochs.insert(from, epoch);
            let at = now.after_us(self.grace_us());
            self.pulls.waiting.entry(from).or_insert(at);
        }
    }

    /// A piece of the chain has come from a peer that is in a later epoch: there is more.
    pub(super) fn ask_on(&mut self, now: Timestamp, from: ValidatorIndex, effects: &mut Vec<Effect>) {
        if self.pulls.epochs.contains_key(&from) && !self.closed {
            self.ask(now, from, effects);
        }
    }

    /// A Status of another epoch: who is behind gets final blocks, which end with the closing block and its proof (section 7e).
    fn answer_elsewhere(&mut self, now: Timestamp, from: ValidatorIndex, status: &Status, effects: &mut Vec<Effect>) {
        self.heard_epoch(now, from, status.epoch);
        if status.epoch > self.config.epoch || status.committed_height >= self.last_committed.height {
            return;
        }
        let (above, upto) = (status.committed_height, self.last_committed.height);
        if !self.may_answer(now, from) {
            effects.push(Effect::Dropped("status_rate"));
        } else if above.get().saturating_add(FAR_BEHIND_BLOCKS) < upto.get() {
            effects.push(Effect::TellHeld(from));
        } else {
            effects.push(Effect::ServeChain { to: from, above });
        }
    }

    /// How long a peer that seems to be ahead by one view is given before it is asked: messages of one view cross each other all the
    /// time, and what is missing then is already on the way (docs/decisions/0003).
    fn grace_us(&self) -> u64 {
        self.pull_delta_us() / 2
    }

    /// R8 "at once": after a message of `from`, asks it for what it shows to be missing.
    pub(super) fn pull_if_behind(&mut self, now: Timestamp, from: ValidatorIndex, effects: &mut Vec<Effect>) {
        let heard = self.pulls.heard.get(&from).copied().unwrap_or_default();
        let gap = heard.get().saturating_sub(self.view.get());
        if gap > 1 {
            self.ask(now, from, effects);
        } else if gap == 1 || self.lacks_something() || self.pulls.epochs.contains_key(&from) {
            let at = now.after_us(self.grace_us());
            self.pulls.waiting.entry(from).or_insert(at);
        } else {
            self.pulls.waiting.remove(&from);
        }
    }

    /// A held block lacks its body, or its parent, or the certificate of its parent.
    fn lacks_something(&self) -> bool {
        self.tree.iter().any(|(hash, block)| {
            let header = block.header.header();
            // What lies ahead is on its way; only what a certificate names, or the present, is missing.
            if header.view > self.view && !self.is_notarized(header.view, hash) {
                return false;
            }
            let unlinked = header.parent_view > self.last_final.view
                && (!self.tree.contains(&header.parent_hash)
                    || !self.is_notarized(header.parent_view, &header.parent_hash));
            block.body.is_none()
                || unlinked
                || (*hash == self.last_final.hash && self.last_final != self.last_committed)
        })
    }

    fn ask(&mut self, now: Timestamp, peer: ValidatorIndex, effects: &mut Vec<Effect>) {
        let (last, tries) = self.pulls.asked.get(&peer).copied().unwrap_or((Timestamp::ZERO, 0));
        let spacing = (self.pull_delta_us() / 2) << tries.saturating_sub(1).min(MAX_ASK_DOUBLINGS);
        if Some(peer) == self.me {
            return;
        }
        if tries > 0 && now < last.after_us(spacing) {
            self.pulls.waiting.entry(peer).or_insert(last.after_us(spacing));
            return;
        }
        self.pulls.asked.insert(peer, (now, tries + 1));
        self.pulls.waiting.remove(&peer);
        self.pulls.asks(peer);
        effects.push(Effect::Send { to: Recipient::One(peer), message: Message::Status(self.status()) });
    }

    /// R8 periodic: to all every 4Δ while stuck, with my own votes, header and body; and pulls whose grace is over.
    pub(super) fn pull_on_time(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let due: Vec<ValidatorIndex> =
            self.pulls.waiting.iter().filter(|(_, at)| **at <= now).map(|(peer, _)| *peer).collect();
        for peer in due {
            self.pulls.waiting.remove(&peer);
            let ahead = self.pulls.epochs.contains_key(&peer)
                || self.pulls.heard.get(&peer).is_some_and(|view| *view > self.view)
                || self.pulls.finals.get(&peer).is_some_and(|view| *view > self.last_final.view);
            if ahead || self.lacks_something() {
                self.ask(now, peer, effects);
            }
        }
        if self.stuck_since().is_some_and(|at| now >= self.next_to_all(at)) {
            self.pulls.last_to_all = Some(now);
            for peer in self.config.indices() {
                self.pulls.asks(peer);
            }
            effects.push(Effect::Send { to: Recipient::All, message: Message::Status(self.status()) });
            self.resend_own(Recipient::All, effects);
        }
    }

    fn patience_us(&self) -> u64 {
        4 * self.pull_delta_us()
    }

    /// Since when the periodic Status has a reason: the view timer is armed, or a block I notarized is not final.
    fn stuck_since(&self) -> Option<Timestamp> {
        let in_view = self.pace.armed_at.map(|_| self.pace.entered_at);
        let unfinal = self
            .views
            .values()
            .filter_map(|state| state.lock.and_then(|hash| self.tree.get(&hash)))
            .map(|block| block.seen_at)
            .min();
        if self.closed {
            return (self.last_final != self.last_committed).then_some(self.pace.entered_at);
        }
        match (in_view, unfinal) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn next_to_all(&self, stuck_since: Timestamp) -> Timestamp {
        let first = stuck_since.after_us(self.patience_us());
        match self.pulls.last_to_all {
            Some(last) => first.max(last.after_us(self.patience_us())),
            None => first,
        }
    }

    /// When the next pull is due.
    pub(super) fn next_pull(&self) -> Timestamp {
        let waiting = self.pulls.waiting.values().min().copied();
        let to_all = self.stuck_since().map(|at| self.next_to_all(at));
        let never = Timestamp::new(u64::MAX);
        waiting.unwrap_or(never).min(to_all.unwrap_or(never))
    }

    /// A link is up again: tell the peer where I am and what I have said.
    pub fn greet(&mut self, peer: ValidatorIndex, effects: &mut Vec<Effect>) {
        self.pulls.asked.remove(&peer);
        self.pulls.asks(peer);
        let to = Recipient::One(peer);
        effects.push(Effect::Send { to, message: Message::Status(self.status()) });
        self.resend_own(to, effects);
    }

    /// My own block is on its way to everyone with its body; it is not sent again on request until it had time to arrive.
    pub(super) fn note_broadcast(&mut self, now: Timestamp, hash: Digest) {
        let timer_us = self.pace.timer_us;
        self.pulls.sent_bodies.retain(|_, at| now < at.after_us(timer_us));
        for peer in self.config.indices() {
            self.pulls.sent_bodies.insert((peer, hash), now);
        }
    }

    /// My own votes, header and body since the last final view, byte for byte as first sent.
    fn resend_own(&self, to: Recipient, effects: &mut Vec<Effect>) {
        let Some(me) = self.me else { return };
        let mut sent = Vec::new();
        for state in self.views.values() {
            for vote in state.votes.votes_of(me) {
                if sent.contains(&vote) {
                    continue;
                }
                let message = match &vote {
                    Vote::Header(header) => match self.proposal_message(header) {
                        Message::Proposal(header, Some(body)) if body.len() > RESENT_BODY_BYTES => {
                            Message::Proposal(header, None)
                        }
                        message => message,
                    },
                    Vote::Bundle(bundle) => Message::Vote(bundle.as_ref().clone()),
                };
                effects.push(Effect::Send { to, message });
                sent.push(vote);
            }
        }
    }

    fn may_answer(&mut self, now: Timestamp, from: ValidatorIndex) -> bool {
        let refill_us = (self.pull_delta_us() / 4).max(1);
        let (tokens, at) = self.pulls.budget.get(&from).copied().unwrap_or((ANSWER_BURST, now));
        let earned = now.since_us(at) / refill_us;
        let tokens = u32::try_from(earned).unwrap_or(ANSWER_BURST).saturating_add(tokens).min(ANSWER_BURST);
        let at = if earned > 0 { now } else { at };
        self.pulls.budget.insert(from, (tokens.saturating_sub(1), at));
        tokens > 0
    }

    /// Answers a Status: final blocks if the peer is behind, and one minimal certificate of each kind and hash named.
    pub(super) fn answer(&mut self, now: Timestamp, from: ValidatorIndex, status: &Status, effects: &mut Vec<Effect>) {
        if status.epoch != self.config.epoch {
            return self.answer_elsewhere(now, from, status, effects);
        }
        self.heard(from, status.view);
        if status.final_view > self.last_final.view {
            let told = self.pulls.finals.entry(from).or_default();
            *told = status.final_view.max(*told);
            let at = now.after_us(self.grace_us());
            self.pulls.waiting.entry(from).or_insert(at);
        }
        if !self.may_answer(now, from) {
            effects.push(Effect::Dropped("status_rate"));
            return;
        }
        if status.committed_height.get().saturating_add(FAR_BEHIND_BLOCKS) < self.last_committed.height.get() {
            // It fetches what it lacks piece by piece, from several peers; certificates of the present are of no use to it yet.
            effects.push(Effect::TellHeld(from));
            return;
        }
        if status.committed_height < self.last_committed.height {
            effects.push(Effect::ServeChain { to: from, above: status.committed_height });
        }
        let quorum = self.config.quorum;
        let mut parts = Parts::default();
        if status.final_view < self.last_final.view && self.last_final != self.last_committed {
            // Final here, but not committed yet: the proof and the header path are still in memory.
            if let Some(proof) = &self.tip_proof {
                parts.votes(proof.certificate.votes.clone());
            }
            for block in self.tree.chain(&self.last_final.hash, &self.last_committed).into_iter().flatten() {
                parts.header(&block.header);
            }
        }
        for view in &status.nullifications {
            if let Some(state) = self.views.get(view) {
                parts.votes(state.votes.nullification_votes(&quorum).unwrap_or_default());
            }
        }
        for (view, hash) in &status.notarizations {
            if let Some(state) = self.views.get(view) {
                parts.votes(state.votes.notarization_votes(hash, &quorum).unwrap_or_default());
                if let Some(block) = self.tree.get(hash) {
                    parts.header(&block.header);
                }
            }
        }
        // Blocks notarized here that the peer may not even have heard of, and every Finalize above its last final view.
        for (view, state) in self.views.range(status.final_view.next()..) {
            parts.votes(state.votes.all_finalize_votes());
            if *view >= status.view || status.nullifications.contains(view) {
                for hash in &state.notarized {
                    if !status.notarizations.contains(&(*view, *hash)) && *view >= status.view {
                        parts.votes(state.votes.notarization_votes(hash, &quorum).unwrap_or_default());
                    }
                    if let Some(block) = self.tree.get(hash) {
                        parts.header(&block.header);
                    }
                }
                if *view > status.view {
                    parts.votes(state.votes.nullification_votes(&quorum).unwrap_or_default());
                }
            }
        }
        for hash in &status.headers {
            if let Some(block) = self.tree.get(hash) {
                parts.header(&block.header);
            }
        }
        let timer_us = self.pace.timer_us;
        self.pulls.sent_bodies.retain(|_, at| now < at.after_us(timer_us));
        for hash in status.bodies.iter().chain(&status.headers) {
            let Some(body) = self.tree.get(hash).and_then(|block| block.body.as_ref()) else { continue };
            if body.encoded().len() > RESENT_BODY_BYTES && self.pulls.sent_bodies.contains_key(&(from, *hash)) {
                continue;
            }
            if parts.body(body.encoded()) && body.encoded().len() > RESENT_BODY_BYTES {
                self.pulls.sent_bodies.insert((from, *hash), now);
            }
        }
        if let Some(answer) = parts.finish() {
            effects.push(Effect::Send { to: Recipient::One(from), message: Message::Answer(answer) });
        }
    }
}

/// An answer in the making, bounded.
#[derive(Default)]
struct Parts {
    answer: Answer,
    bytes: usize,
}

impl Parts {
    fn votes(&mut self, votes: Vec<Vote>) {
        if self.bytes > ANSWER_BYTES || self.answer.votes.len() + votes.len() > MAX_ANSWER_ITEMS {
            return;
        }
        for vote in votes {
            if !self.answer.votes.contains(&vote) {
                self.bytes += vote_len(&vote);
                self.answer.votes.push(vote);
            }
        }
    }

    fn header(&mut self, header: &SignedHeader) {
        let known = self.answer.headers.iter().any(|held| held.hash() == header.hash());
        if !known && self.bytes <= ANSWER_BYTES && self.answer.headers.len() < MAX_ANSWER_ITEMS {
            self.bytes += header.signature().len() + 256;
            self.answer.headers.push(header.clone());
        }
    }

    /// Adds a body if there is room; whether it is in the answer now.
    fn body(&mut self, body: &bytes::Bytes) -> bool {
        // The first body always fits; the frame limit is above one block.
        let fits = self.answer.bodies.is_empty() || self.bytes + body.len() <= ANSWER_BYTES;
        if fits && !self.answer.bodies.contains(body) && self.answer.bodies.len() < MAX_ANSWER_ITEMS {
            self.bytes += body.len();
            self.answer.bodies.push(body.clone());
            return true;
        }
        false
    }

    fn finish(self) -> Option<Answer> {
        (self.answer != Answer::default()).then_some(self.answer)
    }
}

fn vote_len(vote: &Vote) -> usize {
    match vote {
        Vote::Header(header) => header.signature().len() + 256,
        Vote::Bundle(bundle) => bundle.signature().len() + 128,
    }
}
