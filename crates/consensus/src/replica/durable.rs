//! Persist, then speak: what is written before what is said (D1–D4), and the way back after a restart.

use std::sync::Arc;

use crypto::Digest;

use super::{Admit, CommittedBlock, Effect, Payloads, Recipient, Replica, SignRequest, Ticket, Tip};
use crate::epoch::EpochContext;
use crate::header::SignedHeader;
use crate::message::Message;
use crate::mutation::{Mutation, mutated};
use crate::records::{Durable, VoteKey, Write};
use crate::types::{Timestamp, View};
use crate::vote::{Bundle, Statement};
use crate::votes::Vote;

/// What happens once a write is durable.
#[derive(Clone, Debug)]
pub(super) enum Withheld {
    /// Send my bundle and count it.
    Votes(Arc<Bundle>),
    /// Send my block and count its header.
    Proposal(Arc<SignedHeader>),
    /// Tell results.
    Publish(Vec<CommittedBlock>),
    /// Leave the epoch.
    Closed(Arc<EpochContext>),
}

impl Replica {
    /// A signature has come: the object, and everything it rests on, is written before it leaves (D1).
    pub(super) fn take_signature(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        signature: Vec<u8>,
        effects: &mut Vec<Effect>,
    ) {
        let asked = self.signing.remove(&ticket).filter(|_| !self.closed);
        match asked {
            Some(SignRequest::Votes(body)) => {
                let bundle = Arc::new(Bundle::new(body, signature));
                self.write_vote(Vote::Bundle(Arc::clone(&bundle)));
                self.persist(vec![Withheld::Votes(bundle)], effects);
            }
            Some(SignRequest::Header(header)) => {
                let signed = Arc::new(SignedHeader::new(*header, signature));
                let hash = signed.hash();
                let body = self.pace.proposal_bodies.remove(&hash);
                if !self.tree.contains(&hash) {
                    self.tree.insert(Arc::clone(&signed), now, false);
                }
                if let Some(body) = body {
                    self.tree.attach(&body);
                }
                if let Some(block) = self.tree.get_mut(&hash) {
                    block.valid = Some(true);
                    block.included = true;
                }
                self.write_block(&hash);
                self.write_vote(Vote::Header(Arc::clone(&signed)));
                self.persist(vec![Withheld::Proposal(signed)], effects);
            }
            None => effects.push(Effect::Dropped("signature_unasked")),
        }
    }

    /// Writes are durable: what waited for them happens.
    pub(super) fn take_persisted(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let rest = self.withheld.split_off(&Ticket(ticket.0 + 1));
        let done = std::mem::replace(&mut self.withheld, rest);
        for withheld in done.into_values().flatten() {
            match withheld {
                Withheld::Votes(bundle) => {
                    self.ingest_vote(&Vote::Bundle(Arc::clone(&bundle)), Admit::Mine, effects);
                    if !self.closed && bundle.statements().iter().any(|statement| !self.is_stale(statement.view())) {
                        let message = Message::Vote(Bundle::clone(&bundle));
                        effects.push(Effect::Send { to: Recipient::All, message });
                    }
                }
                Withheld::Proposal(header) => {
                    self.ingest_vote(&Vote::Header(Arc::clone(&header)), Admit::Mine, effects);
                    let (view, hash) = (header.header().view, header.hash());
                    if self.closed || self.is_stale(view) {
                        continue;
                    }
                    let state = self.state(view);
                    if !state.headers.contains(&hash) {
                        state.headers.push(hash);
                    }
                    let now = self.seen_now;
                    self.note_broadcast(now, hash);
                    effects.push(Effect::Send { to: Recipient::All, message: self.proposal_message(&header) });
                }
                Withheld::Publish(blocks) => effects.push(Effect::Publish(blocks)),
                Withheld::Closed(next) => effects.push(Effect::Closed(next)),
            }
        }
    }

    /// My block as a message, body included.
    pub(super) fn proposal_message(&self, header: &SignedHeader) -> Message {
        let body = self.tree.get(&header.hash()).and_then(|block| block.body.as_ref());
        Message::Proposal(header.clone(), body.map(|body| body.encoded().clone()))
    }

    /// Flushes everything unwritten; `then` happens once it is durable.
    pub(super) fn persist(&mut self, then: Vec<Withheld>, effects: &mut Vec<Effect>) {
        let ticket = self.ticket();
        let mut writes = std::mem::take(&mut self.unwritten);
        writes.extend(std::mem::take(&mut self.unwritten_votes).into_values().map(Write::Vote));
        self.withheld.insert(ticket, then);
        effects.push(Effect::Persist { ticket, writes });
    }

    /// Queues a vote for the next flush, unless it is stored already.
    pub(super) fn write_vote(&mut self, vote: Vote) {
        let entry = (vote.highest_view(), VoteKey::of(&vote));
        if self.stored_votes.insert(entry.clone()) {
            self.unwritten_votes.insert(entry, vote);
        }
    }

    /// Queues header and body of a held block for the next flush, unless stored already.
    pub(super) fn write_block(&mut self, hash: &Digest) {
        let Some(block) = self.tree.get_mut(hash) else { return };
        if !block.header_stored {
            block.header_stored = true;
            self.unwritten.push(Write::Header(Arc::clone(&block.header)));
        }
        if let Some(body) = block.body.as_ref().filter(|_| !block.body_stored) {
            let header = block.header.header();
            self.unwritten.push(Write::Body(header.epoch, header.view, *hash, Arc::clone(body)));
            block.body_stored = true;
        }
    }

    /// D2: header and body of a block and of every ancestor above the last committed one.
    pub(super) fn write_chain(&mut self, hash: &Digest) {
        let base = self.last_committed;
        let Some(chain) = self.tree.chain(hash, &base) else { return };
        let depth = if mutated(Mutation::AncestorsNotDurable) { 1 } else { chain.len() };
        let hashes: Vec<Digest> = chain.iter().take(depth).map(|block| block.header.hash()).collect();
        for hash in hashes.iter().rev() {
            self.write_block(hash);
        }
    }

    /// D4: forgets what the committed block settles; the removals travel with the final record.
    pub(super) fn prune(&mut self, view: View, committed: &[CommittedBlock], payloads: &mut dyn Payloads) {
        let gone: Vec<(View, VoteKey)> = self.stored_votes.iter().take_while(|(at, _)| *at <= view).cloned().collect();
        for entry in gone {
            self.stored_votes.remove(&entry);
            if self.unwritten_votes.remove(&entry).is_none() {
                self.unwritten.push(Write::DropVote(entry.1));
            }
        }
        for block in self.tree.prune(view) {
            let hash = block.header.hash();
            let kept = committed.iter().any(|kept| kept.header.hash() == hash);
            if let Some(body) = block.body.as_ref().filter(|_| !kept && block.included) {
                payloads.excluded(body);
                self.pace.work = true;
            }
            if !kept && (block.header_stored || block.body_stored) {
                self.unwritten.push(Write::DropBlock(self.config.epoch, block.header.header().view, hash));
            }
        }
        self.accused.retain(|(at, _)| *at > view);
    }

    /// Takes back what the store holds. Call once, before [`Replica::start`].
    pub fn restore(&mut self, durable: &Durable) {
        self.gathered = durable.gathered.clone();
        self.system_heights.clone_from(&durable.system_heights);
        if let Some((_, header)) = &durable.last {
            self.last_final = Tip::of(header);
            self.last_committed = self.last_final;
            self.view = self.last_final.view.next();
        }
        let mut ignored = Vec::new();
        for (header, body) in &durable.blocks {
            let (view, hash) = (header.header().view, header.hash());
            if self.is_stale(view) {
                continue;
            }
            self.tree.insert(Arc::clone(header), header.header().time, false);
            if let Some(block) = self.tree.get_mut(&hash) {
                block.header_stored = true;
                block.body_stored = body.is_some();
                block.body.clone_from(body);
            }
            self.state(view).headers.push(hash);
            self.ingest_vote(&Vote::Header(Arc::clone(header)), Admit::Mine, &mut ignored);
        }
        for vote in &durable.votes {
            if mutated(Mutation::ReceivedVotesForgotten) && self.me != Some(vote.signer()) {
                continue;
            }
            self.stored_votes.insert((vote.highest_view(), VoteKey::of(vote)));
            self.ingest_vote(vote, Admit::Mine, &mut ignored);
            if self.me == Some(vote.signer()) {
                for statement in vote.statements() {
                    self.restore_own(&statement);
                }
            }
        }
    }

    fn restore_own(&mut self, statement: &Statement) {
        if self.is_stale(statement.view()) {
            return;
        }
        let state = self.state(statement.view());
        match statement {
            Statement::Notarize(_, hash) => state.lock = Some(*hash),
            Statement::Finalize(_, hash) => {
                state.lock = Some(*hash);
                state.finalized = true;
            }
            Statement::Nullify(_) => state.nulled = true,
        }
    }
}
