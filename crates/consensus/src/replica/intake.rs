//! What messages change: votes, headers, bodies, chains of final blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use crypto::Digest;

use super::{Admit, Effect, Observation, Replica, Tip, TipProof};
use crate::body::Body;
use crate::bounds::MAX_BLOCKS_PER_SIGNER;
use crate::header::SignedHeader;
use crate::mutation::{Mutation, mutated};
use crate::types::{Timestamp, ValidatorIndex, View};
use crate::verify::{Content, ProvenChain};
use crate::votes::{Vote, VoteTable};

impl Replica {
    pub(super) fn take_message(
        &mut self,
        now: Timestamp,
        from: ValidatorIndex,
        content: Content,
        effects: &mut Vec<Effect>,
    ) {
        self.silent.remove(&from); // R4: any message clears "known to be down"
        match content {
            Content::Proposal(header, body) => {
                self.heard(from, header.header().view);
                self.take_header(now, &header, effects);
                if let Some(body) = body {
                    self.take_body(&body, effects);
                }
            }
            Content::Vote(bundle) => self.take_vote(from, &Vote::Bundle(bundle), effects),
            Content::Status(status) => self.answer(now, from, &status, effects),
            Content::Answer { votes, headers, bodies } => {
                if !self.pulls.expects(from) {
                    effects.push(Effect::Dropped("answer_unasked"));
                    return;
                }
                let mut new = self.take_answered_votes(&votes, effects);
                for header in &headers {
                    new |= self.take_header(now, header, effects);
                }
                for body in &bodies {
                    new |= self.take_body(body, effects);
                }
                if new {
                    self.pulls.answered(from);
                }
            }
            Content::FinalChain(chain) => {
                self.take_chain(now, &chain, effects);
                self.pulls.answered(from);
                self.ask_on(now, from, effects);
            }
            Content::Hint(view) => {
                self.heard(from, view);
                if view >= self.view && self.in_window(view) {
                    self.pace.hints.insert(view);
                }
            }
            // The engine takes these before they get here.
            Content::Forward(_) | Content::System(_) | Content::Fetch(_) | Content::Held(_) => {
                effects.push(Effect::Dropped("not_for_core"));
            }
        }
    }

    fn take_vote(&mut self, from: ValidatorIndex, vote: &Vote, effects: &mut Vec<Effect>) {
        let highest = vote.highest_view();
        self.heard(from, highest);
        if self.is_stale(highest) {
            self.note_arrival(vote.signer(), &vote.statements());
        }
        if !self.in_window(highest) {
            effects.push(Effect::Dropped(if self.is_stale(highest) { "vote_stale" } else { "vote_far" }));
            return;
        }
        if self.ingest_vote(vote, Admit::Unsolicited, effects) {
            self.note_arrival(vote.signer(), &vote.statements());
        } else {
            effects.push(Effect::Dropped("vote_known"));
        }
    }

    /// Votes of an answer. Those that by themselves complete a certificate are accepted for any view and hash (section 8); the others
    /// like any vote. Returns whether anything was new.
    fn take_answered_votes(&mut self, votes: &[Vote], effects: &mut Vec<Effect>) -> bool {
        let base = self.last_final.view;
        let mut tables: BTreeMap<View, VoteTable> = BTreeMap::new();
        for vote in votes {
            for view in vote.statements().iter().map(crate::vote::Statement::view).filter(|view| *view > base) {
                // Two blocks per signer suffice here too: who signed two counts for every block.
                tables.entry(view).or_insert_with(|| VoteTable::new(view)).insert(vote);
            }
        }
        let quorum = self.config.quorum;
        let mut new = false;
        for (view, table) in &tables {
            if table.signers() < quorum.q_min() {
                continue;
            }
            let mut complete: Vec<Vec<Vote>> = table.nullification_votes(&quorum).into_iter().collect();
            for hash in table.hashes() {
                complete.extend(table.notarization_votes(&hash, &quorum));
                complete.extend(table.fast_votes(&hash, &quorum));
                complete.extend(table.finalization_votes(&hash, &quorum, 0));
            }
            for vote in complete.iter().flatten() {
                new |= self.ingest_vote(vote, Admit::Certificate(*view), effects);
            }
        }
        for vote in votes {
            new |= self.ingest_vote(vote, Admit::Unsolicited, effects);
        }
        new
    }

    /// A header, which is also its leader's Notarize.
    pub(super) fn take_header(
        &mut self,
        now: Timestamp,
        header: &Arc<SignedHeader>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let (view, hash) = (header.header().view, header.hash());
        if self.is_stale(view) || self.tree.contains(&hash) {
            return false;
        }
        let wanted = self.is_wanted(&hash) && !mutated(Mutation::BoundWithoutExemptions);
        if !wanted && !self.in_window(view) {
            effects.push(Effect::Dropped("header_far"));
            return false;
        }
        self.ingest_vote(&Vote::Header(Arc::clone(header)), Admit::Unsolicited, effects);
        let state = self.state(view);
        if state.headers.len() >= MAX_BLOCKS_PER_SIGNER && !wanted {
            effects.push(Effect::Dropped("header_third"));
            return false;
        }
        state.headers.push(hash);
        self.note(Observation::Arrived { view, from: header.header().leader });
        // Section 6: dated further behind the clock at first arrival than drift + view timer: not notarized.
        let patience = self.config.limits.clock_drift_ms_max * 1_000 + self.pace.timer_us;
        let late = now.since_us(header.header().time) > patience;
        self.tree.insert(Arc::clone(header), now, late);
        let empty = Body::empty(&self.chain_id);
        if header.header().payload_root == empty.root() {
            self.tree.attach(&Arc::new(empty));
        }
        true
    }

    /// Whether a block is asked for: a certificate, a held header or enough votes name it.
    fn is_wanted(&self, hash: &Digest) -> bool {
        let f = self.config.quorum.f();
        self.tree.iter().any(|(_, block)| block.header.header().parent_hash == *hash)
            || self
                .views
                .values()
                .any(|state| state.notarized.contains(hash) || state.votes.notarizers(hash).count() > f as usize)
    }

    pub(super) fn take_body(&mut self, body: &Arc<Body>, effects: &mut Vec<Effect>) -> bool {
        let used = self.tree.attach(body);
        if !used {
            effects.push(Effect::Dropped("body_unnamed"));
        }
        used
    }

    /// Final blocks in order, proven: adopted from the last committed one on.
    fn take_chain(&mut self, now: Timestamp, chain: &ProvenChain, effects: &mut Vec<Effect>) {
        let above = self.last_committed.height;
        let mut fresh = chain.blocks.iter().skip_while(|(header, _)| header.header().height <= above).peekable();
        let Some((first, _)) = fresh.peek() else {
            effects.push(Effect::Dropped("chain_known"));
            return;
        };
        if first.header().parent_hash != self.last_committed.hash {
            // Not consecutive with mine, or a contradiction of final blocks, which more than f Byzantine validators alone can make.
            effects.push(Effect::Dropped("chain_elsewhere"));
            return;
        }
        let mut tip = self.last_committed;
        for (header, body) in fresh {
            if !self.tree.contains(&header.hash()) {
                self.tree.insert(Arc::clone(header), now, true);
            }
            self.tree.attach_to(&header.hash(), body);
            tip = Tip::of(header);
        }
        if self.last_final.view <= tip.view && self.tree.chain(&tip.hash, &self.last_final).is_none() {
            effects.push(Effect::Dropped("chain_contradicts"));
            return;
        }
        let finalized_by = chain.descendants.last().map_or(tip.height, |header| header.height);
        let proof =
            TipProof { descendants: chain.descendants.clone(), certificate: chain.certificate.clone(), finalized_by };
        if tip.view > self.last_final.view {
            self.advance_final(tip, proof);
        } else if tip.view < self.last_final.view && self.tree.chain(&self.last_final.hash, &tip).is_some() {
            self.proven = Some((tip, proof));
        }
    }
}
