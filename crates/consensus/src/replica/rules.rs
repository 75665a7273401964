//! The rules R1 to R7 (PROTOCOL section 3), each in one function that returns whether it changed anything.

use std::sync::Arc;

use crypto::Digest;

use super::{
    CommittedBlock, Effect, EnterReason, Observation, Payloads, Replica, SignRequest, Tip, TipProof, ViewState,
    closing::GatheredAt, durable::Withheld,
};
use crate::body::Body;
use crate::certificate::{FinalityCertificate, FinalityPath};
use crate::header::{BlockKind, Header};
use crate::mutation::{Mutation, mutated};
use crate::records::{FinalRecord, ProofPlace, Write};
use crate::types::{Timestamp, View};
use crate::vote::Statement;

/// Blocks advance chain time by at least this, in microseconds (section 6).
const MIN_BLOCK_STEP_US: u64 = 1_000;

impl Replica {
    /// Notices certificates that newly hold, and keeps their votes for the next flush (D3).
    pub(super) fn note_certificates(&mut self) -> bool {
        let quorum = self.config.quorum;
        let mut found = Vec::new();
        let mut nullified = Vec::new();
        for (view, state) in &mut self.views {
            if !state.nullified && state.votes.is_nullified(&quorum) {
                state.nullified = true;
                nullified.push(*view);
                if state.notarized.is_empty() || !mutated(Mutation::OneCertificatePerView) {
                    found.extend(state.votes.nullification_votes(&quorum));
                }
            }
            let fresh: Vec<Digest> = state
                .votes
                .hashes()
                .into_iter()
                .filter(|hash| !state.notarized.contains(hash) && state.votes.is_notarized(hash, &quorum))
                .filter(|hash| {
                    !mutated(Mutation::ProgressGatedByThreshold)
                        || self.tree.get(hash).is_some_and(|block| {
                            state.votes.support_count(hash) >= u32::from(block.header.header().threshold)
                        })
                })
                .collect();
            for hash in fresh {
                let first = state.notarized.is_empty() && !state.nullified;
                state.notarized.insert(hash);
                if first || !mutated(Mutation::OneCertificatePerView) {
                    found.extend(state.votes.notarization_votes(&hash, &quorum));
                }
            }
        }
        for view in nullified {
            self.note(Observation::Skipped(view));
            self.note_silence(view);
        }
        let changed = !found.is_empty();
        for vote in found.into_iter().flatten() {
            self.write_vote(vote);
        }
        changed
    }

    /// R4: a leader whose last led view was nullified is known to be down until anything from it arrives.
    fn note_silence(&mut self, view: View) {
        let leader = self.config.leader(view);
        let turns = self.config.n() as u64;
        // What a restart brings back says nothing of who is silent now.
        if self.started && self.me != Some(leader) && view.get() + turns >= self.view.get() {
            self.silent.insert(leader);
            self.failed_turn.insert(leader);
        }
    }

    pub(super) fn is_notarized(&self, view: View, hash: &Digest) -> bool {
        self.views.get(&view).is_some_and(|state| state.notarized.contains(hash))
    }

    fn is_nullified(&self, view: View) -> bool {
        self.views.get(&view).is_some_and(|state| state.nullified)
    }

    /// Justified(h), section 2. Follows the parents down; whatever is found is remembered.
    pub(super) fn justify(&mut self, hash: &Digest) -> bool {
        let mut path = Vec::new();
        let mut at = *hash;
        let sound = loop {
            let Some(block) = self.tree.get(&at) else { break false };
            if block.justified {
                break true;
            }
            let header = block.header.header();
            let (parent_view, parent_hash) = (header.parent_view, header.parent_hash);
            let skipped_all = (parent_view.get() + 1..header.view.get()).all(|view| self.is_nullified(View::new(view)));
            if !skipped_all {
                break false;
            }
            let base = self.last_final;
            if parent_hash == base.hash && parent_view == base.view {
                let first = header.kind != BlockKind::Carrier && header.height == base.height.next();
                if first && header.time > base.time {
                    path.push(at);
                    break true;
                }
                break false;
            }
            if parent_view <= base.view {
                break false; // reaches below the last final block without meeting it
            }
            let linked =
                self.tree.get(&parent_hash).is_some_and(|parent| header.follows(parent.header.header()).is_ok());
            if !linked || !self.is_notarized(parent_view, &parent_hash) {
                break false;
            }
            path.push(at);
            at = parent_hash;
        };
        if sound {
            for hash in path {
                if let Some(block) = self.tree.get_mut(&hash) {
                    block.justified = true;
                }
            }
        }
        sound
    }

    /// R1 enter.
    pub(super) fn enter(&mut self, now: Timestamp, payloads: &dyn Payloads, effects: &mut Vec<Effect>) -> bool {
        let mut target = None;
        if self.last_final.view >= self.view {
            target = Some((self.last_final.view, EnterReason::Finality));
        }
        let open: Vec<(View, bool, Vec<Digest>)> = self
            .views
            .range(self.view..)
            .filter(|(_, state)| state.nullified || !state.notarized.is_empty())
            .map(|(view, state)| (*view, state.nullified, state.notarized.iter().copied().collect()))
            .collect();
        for (view, nullified, notarized) in open.into_iter().rev() {
            if target.is_some_and(|(best, _)| best >= view) {
                break;
            }
            let by_block = notarized.iter().find(|hash| {
                mutated(Mutation::EnterUnjustified)
                    || (self.justify(hash) && self.tree.bodies(hash, &self.last_committed).is_some())
            });
            if let Some(hash) = by_block.copied() {
                self.write_chain(&hash); // D2: before any vote in the view entered
                target = Some((view, EnterReason::Notarization));
            } else if nullified {
                target = Some((view, EnterReason::Nullification));
            }
        }
        let Some((ended, reason)) = target else { return false };
        self.view = ended.next();
        self.pace.hints = self.pace.hints.split_off(&self.view);
        let lag = self.view.get().saturating_sub(self.last_final.view.get());
        if lag > self.config.limits.finality_lag_views {
            // Whoever leads next is cautious, not only who led during the lag.
            self.cautious_until = View::new(self.view.get() + self.config.n() as u64);
        }
        self.pace.enter(now);
        self.note(Observation::Entered(self.view));
        self.look_for_work(now, payloads);
        if lag > 0 && lag.is_multiple_of(self.config.limits.finality_lag_views + 1) {
            self.pace.slow_down(&self.settings);
        }
        effects.push(Effect::Entered { view: self.view, reason });
        true
    }

    /// R2 propose.
    pub(super) fn propose(&mut self, now: Timestamp, payloads: &mut dyn Payloads, effects: &mut Vec<Effect>) -> bool {
        let view = self.view;
        let given_up = |state: &ViewState| state.nulled && !mutated(Mutation::ProposeAfterNullify);
        let free = self.views.get(&view).is_none_or(|state| state.lock.is_none() && !given_up(state));
        let forced = self.must_propose(now);
        if !free || !self.leads(view) || !(forced || self.pace.work) || view <= self.last_final.view {
            return false;
        }
        // A vote or the clock asks for a block at once; proposals and hints may wait for company.
        if !self.must_propose_now(now) && now < self.batch_ready_at(now, payloads) {
            return false;
        }
        let Some(parent) = self.best_parent(view) else { return false };
        let Some(ancestors) = self.tree.bodies(&parent.hash, &self.last_committed) else { return false };
        let time = now.max(parent.time.after_us(MIN_BLOCK_STEP_US));
        let sealed = self.is_sealed(&parent.hash);
        if sealed && now < self.settle_at() {
            return false; // the closing block is most likely final in a moment without a carrier
        }
        let (height, items, system, kind) = if sealed {
            (parent.height, Vec::new(), Vec::new(), BlockKind::Carrier)
        } else {
            let height = parent.height.next();
            let mut gathered = GatheredAt::new(parent.hash);
            let (system, reserved) = self.choose_system(&mut gathered, payloads);
            let room = self.batch_bytes().min((self.config.limits.max_block_bytes as usize).saturating_sub(reserved));
            let items = payloads.build(time, &ancestors, room);
            if items.is_empty() && system.is_empty() && !forced {
                self.pace.work = false; // what waited is in the chain already, or expired
                return false;
            }
            let kind = self.kind_for(&mut gathered, height, time);
            (height, items, system, kind)
        };
        let body = Arc::new(Body::new(&self.chain_id, system, items));
        let threshold = match kind {
            BlockKind::Ordinary => self.choose_threshold(view),
            BlockKind::Closing(_) | BlockKind::Carrier => self.config.quorum.q_min() as u16,
        };
        let header = Header {
            chain_id: self.chain_id,
            epoch: self.config.epoch,
            view,
            leader: self.config.leader(view),
            parent_view: parent.view,
            parent_hash: parent.hash,
            height,
            payload_root: body.root(),
            payload_len: u32::try_from(body.encoded().len()).unwrap_or(u32::MAX),
            threshold,
            time,
            kind,
        };
        let hash = header.hash(self.config.hash_algorithm());
        self.state(view).lock = Some(hash);
        self.note(Observation::Locked { view, leading: true });
        self.write_chain(&parent.hash); // D2
        payloads.included(&body);
        self.batch.sent(view, hash, body.encoded().len(), now);
        self.pace.proposal_bodies.insert(hash, body);
        self.sign(SignRequest::Header(Box::new(header)), effects);
        true
    }

    /// The highest justified Notarization whose bodies are held, with Nullifications above it; or the last final block.
    pub(super) fn best_parent(&mut self, view: View) -> Option<Tip> {
        let base = self.last_final.view.get();
        for at in (base + 1..view.get()).rev() {
            let candidates: Vec<Digest> =
                self.views.get(&View::new(at)).map(|s| s.notarized.iter().copied().collect()).unwrap_or_default();
            for hash in candidates {
                if self.justify(&hash) && self.tree.bodies(&hash, &self.last_committed).is_some() {
                    return self.tree.get(&hash).map(|block| Tip::of(&block.header));
                }
            }
            if !self.is_nullified(View::new(at)) {
                return None; // nothing older may be skipped to
            }
        }
        (self.last_final == self.last_committed
            || self.tree.bodies(&self.last_final.hash, &self.last_committed).is_some())
        .then_some(self.last_final)
    }

    /// q_v of my block (section 3, "Reachable thresholds").
    fn choose_threshold(&mut self, view: View) -> u16 {
        let quorum = self.config.quorum;
        let turns = self.config.n() as u64;
        if view.get().saturating_sub(self.last_final.view.get()) > self.config.limits.finality_lag_views {
            self.cautious_until = View::new(view.get() + turns);
        }
        if view < self.cautious_until {
            return quorum.q_min() as u16;
        }
        let reached = self.helpers.values().filter(|last| last.get() + turns >= view.get()).count() as u32;
        let reached = if mutated(Mutation::ThresholdUnreachable) { quorum.n() } else { reached };
        let most = reached.clamp(quorum.q_min(), quorum.q_max());
        self.advice.threshold.clamp(quorum.q_min(), most) as u16
    }

    /// R3 notarize: in any view inside the window, left, current or future.
    pub(super) fn notarize(&mut self, now: Timestamp, payloads: &mut dyn Payloads) -> bool {
        if self.me.is_none() {
            return false;
        }
        let drift_us = self.config.limits.clock_drift_ms_max * 1_000;
        let open: Vec<(View, Vec<Digest>)> = self
            .views
            .iter()
            .filter(|(view, state)| {
                state.lock.is_none()
                    && (!state.nulled || mutated(Mutation::NotarizeAfterNullify))
                    && self.in_window(**view)
                    && (**view == self.view || !mutated(Mutation::NoLateNotarize))
            })
            .map(|(view, state)| (*view, state.headers.clone()))
            .collect();
        let mut changed = false;
        for (view, headers) in open {
            if self.leads(view) {
                continue; // my header is my only Notarize
            }
            for hash in headers {
                if !self.justify(&hash) {
                    continue;
                }
                let Some(block) = self.tree.get(&hash) else { continue };
                if block.late || block.header.header().time > now.after_us(drift_us) {
                    continue;
                }
                let parent = block.header.header().parent_hash;
                let Some(body) = block.body.clone() else { continue };
                let Some(ancestors) = self.tree.bodies(&parent, &self.last_committed) else { continue };
                if self.judge(&hash, &body, &ancestors, payloads) {
                    self.state(view).lock = Some(hash);
                    self.note(Observation::Locked { view, leading: false });
                    self.write_chain(&hash); // D2
                    payloads.included(&body);
                    if let Some(block) = self.tree.get_mut(&hash) {
                        block.included = true;
                    }
                    self.outbox.push(Statement::Notarize(view, hash));
                    self.release_hedged(view);
                    changed = true;
                    break;
                }
            }
        }
        changed
    }

    /// The body's validity, judged once (section 6).
    fn judge(&mut self, hash: &Digest, body: &Arc<Body>, ancestors: &[Arc<Body>], payloads: &dyn Payloads) -> bool {
        let Some(block) = self.tree.get(hash) else { return false };
        if let Some(valid) = block.valid {
            return valid;
        }
        let header = block.header.header().clone();
        let valid = body.encoded().len() == header.payload_len as usize
            && self.judge_epoch(&header, body, payloads).is_ok()
            && payloads.check(header.time, body, ancestors).is_ok();
        if let Some(block) = self.tree.get_mut(hash) {
            block.valid = Some(valid);
        }
        valid
    }

    /// R4 nullify: only in the current view.
    pub(super) fn nullify(&mut self, now: Timestamp) -> bool {
        let view = self.view;
        if self.me.is_none() || view <= self.last_final.view {
            return false;
        }
        let leader = self.config.leader(view);
        let timer = self.pace.timer_deadline().is_some_and(|at| now >= at);
        let down = (self.silent.contains(&leader) || self.void.contains(&leader))
            && self.views.get(&view).is_none_or(|s| s.headers.is_empty());
        let state = self.views.entry(view).or_insert_with(|| ViewState::new(view));
        if state.lock.is_some() || state.nulled {
            return false;
        }
        let equivocated = state.votes.is_conflicted(leader);
        let invalid = state.headers.iter().any(|h| self.tree.get(h).is_some_and(|block| block.valid == Some(false)));
        if !(timer || down || equivocated || invalid) {
            return false;
        }
        if timer {
            self.pace.slow_down(&self.settings);
        }
        self.give_up(view);
        true
    }

    /// R5 release: more than p + f others are elsewhere, so my lock cannot become fast-final.
    pub(super) fn release(&mut self, now: Timestamp) -> bool {
        let view = self.view;
        let Some(state) = self.views.get(&view) else { return false };
        let Some(lock) = state.lock else { return false };
        let finalized = state.finalized && !mutated(Mutation::NullifyAfterFinalize);
        if self.me.is_none() || state.nulled || finalized || view <= self.last_final.view {
            return false;
        }
        let quorum = &self.config.quorum;
        let leader = self.config.leader(view);
        let early = u32::from(mutated(Mutation::ReleaseEarly));
        let unseen = mutated(Mutation::ReleaseWithoutSecondClause).then_some(leader);
        let plain = state.votes.against_count(&lock, unseen) + early > quorum.p() + quorum.f();
        let caught = unseen.is_none()
            && state.votes.is_conflicted(leader)
            && state.votes.against_count(&lock, Some(leader)) >= quorum.p() + quorum.f();
        // Without the one-round path R5 becomes "timer" (section 8).
        let timer = self.pace.timer_deadline().is_some_and(|at| now >= at);
        let fast_path = self.config.fast_path
            && !(mutated(Mutation::FastPathDiffers) && self.me.is_some_and(|me| me.get() % 2 == 1));
        let released = if fast_path { plain || caught } else { timer };
        let released = released && !mutated(Mutation::ReleaseAbsent);
        if !released {
            return false;
        }
        if timer && !fast_path {
            self.pace.slow_down(&self.settings);
        }
        self.give_up(view);
        true
    }

    fn give_up(&mut self, view: View) {
        self.state(view).nulled = true;
        self.outbox.push(Statement::Nullify(view));
        self.release_hedged(view);
    }

    /// R6 finalize: in any view above the last final one, once the hedge has passed.
    pub(super) fn finalize(&mut self, now: Timestamp) -> bool {
        if self.me.is_none() {
            return false;
        }
        let hedge = self.hedge_us();
        let (mut due, mut held) = (Vec::new(), Vec::new());
        for (view, state) in &mut self.views {
            if let Some(lock) = state.lock
                && (!state.nulled || mutated(Mutation::FinalizeAfterNullify))
                && !state.finalized
                && (state.notarized.contains(&lock) || mutated(Mutation::FinalizeBeforeNotarization))
            {
                let since = *state.hedge_since.get_or_insert_with(|| {
                    held.push(Observation::Notarized(*view));
                    now
                });
                if now >= since.after_us(hedge) {
                    state.finalized = true;
                    due.push(Statement::Finalize(*view, lock));
                }
            }
        }
        let changed = !due.is_empty();
        self.outbox.extend(due);
        self.observed.extend(held);
        changed
    }

    /// Held-back Finalize votes ride along with a vote of a later view: one signature, one write.
    fn release_hedged(&mut self, above: View) {
        let mut due = Vec::new();
        for (view, state) in self.views.range_mut(..above) {
            if let Some(lock) = state.lock
                && !state.nulled
                && !state.finalized
                && state.notarized.contains(&lock)
            {
                state.finalized = true;
                due.push(Statement::Finalize(*view, lock));
            }
        }
        self.outbox.extend(due);
    }

    /// Sends every held-back Finalize now; for shutdown.
    pub fn flush_hedged(&mut self, effects: &mut Vec<Effect>) {
        self.release_hedged(View::new(u64::MAX));
        self.sign_outbox(effects);
    }

    /// R7 commit: finality of a block whose header path is held, then its bodies in order.
    pub(super) fn commit(&mut self, payloads: &mut dyn Payloads, effects: &mut Vec<Effect>) -> bool {
        let mut changed = false;
        while let Some((tip, proof)) = self.find_final() {
            self.advance_final(tip, proof);
            changed |= true;
        }
        changed | self.apply_final(payloads, effects)
    }

    /// The lowest block above the last final one that has a finality certificate and a header path.
    fn find_final(&self) -> Option<(Tip, TipProof)> {
        let quorum = &self.config.quorum;
        for state in self.views.values() {
            for hash in &state.headers {
                let Some(block) = self.tree.get(hash) else { continue };
                let threshold = u32::from(block.header.header().threshold);
                let fast = self.config.fast_path.then(|| state.votes.fast_votes(hash, quorum)).flatten();
                let certificate = match fast {
                    Some(votes) => FinalityCertificate { path: FinalityPath::Fast, votes },
                    None => match state.votes.finalization_votes(hash, quorum, threshold) {
                        Some(votes) => FinalityCertificate { path: FinalityPath::Slow, votes },
                        None => continue,
                    },
                };
                if self.tree.chain(hash, &self.last_final).is_some() {
                    let tip = Tip::of(&block.header);
                    let proof = TipProof { descendants: Vec::new(), certificate, finalized_by: tip.height };
                    return Some((tip, proof));
                }
            }
        }
        None
    }

    /// Moves the last final block, forgets what it settles, and keeps what it rests on for the next flush.
    pub(super) fn advance_final(&mut self, tip: Tip, proof: TipProof) {
        let (tip, proof) = self.without_carriers(tip, proof);
        for vote in &proof.certificate.votes {
            self.write_vote(vote.clone());
        }
        if let Some(state) = self.views.get(&tip.view) {
            let helpers: Vec<_> = match proof.certificate.path {
                FinalityPath::Fast => state.votes.notarizers(&tip.hash).collect(),
                FinalityPath::Slow => state.votes.finalizers().collect(),
            };
            for helper in helpers {
                self.helpers.insert(helper, tip.view);
            }
        }
        let fast = proof.certificate.path == FinalityPath::Fast;
        self.note(Observation::Settled { view: tip.view, fast });
        self.failed_turn.remove(&self.config.leader(tip.view));
        self.last_final = tip;
        self.tip_proof = Some(proof);
        self.closed = self.is_sealed(&tip.hash);
        self.views = self.views.split_off(&tip.view.next());
        self.outbox.retain(|statement| statement.view() > tip.view);
        for (_, block) in self.tree.iter_mut() {
            block.justified = false; // judged again from the new base
        }
        self.pace.speed_up(&self.settings);
    }

    /// Applies final blocks in order once all their bodies are held.
    fn apply_final(&mut self, payloads: &mut dyn Payloads, effects: &mut Vec<Effect>) -> bool {
        let early = self.proven.take();
        let tip = early.as_ref().map_or(self.last_final, |(tip, _)| *tip);
        if tip == self.last_committed {
            return false;
        }
        let base = self.last_committed;
        let Some(chain) = self.tree.chain(&tip.hash, &base) else { return false };
        if chain.iter().any(|block| block.body.is_none()) {
            return false;
        }
        let Some(proof) = early.map(|(_, proof)| proof).or_else(|| self.tip_proof.take()) else { return false };
        let mut blocks = Vec::with_capacity(chain.len());
        for block in chain.into_iter().rev() {
            let Some(body) = block.body.clone() else { continue };
            let (path, finalized_by) = (proof.certificate.path, proof.finalized_by);
            let header = Arc::clone(&block.header);
            blocks.push(CommittedBlock { header, body, path, finalized_by, seen_at: block.seen_at });
        }
        let mut closed = None;
        for block in &blocks {
            let header = block.header.header();
            let (height, epoch, view, hash) = (header.height, header.epoch, header.view, block.header.hash());
            self.write_block(&hash);
            let place = if hash == tip.hash {
                ProofPlace::Here(proof.descendants.clone(), proof.certificate.clone())
            } else {
                ProofPlace::At(tip.height)
            };
            self.unwritten.push(Write::Final(FinalRecord { height, epoch, view, hash, proof: place }));
            self.gather(block);
            payloads.committed(block);
            if header.closing().is_some() {
                match self.close(block, &proof) {
                    Ok(next) => closed = Some(next),
                    Err(why) => {
                        effects.push(Effect::Fatal(why));
                        return false;
                    }
                }
            }
        }
        if closed.is_none() && !blocks.is_empty() {
            self.unwritten.push(Write::Gathered(self.config.epoch, self.gathered.clone()));
        }
        self.last_committed = tip;
        // Of an epoch that is over nothing remains but what is final.
        if closed.is_some() {
            std::mem::take(&mut self.pace.proposal_bodies).values().for_each(|body| payloads.excluded(body));
        }
        self.prune(if closed.is_some() { View::new(u64::MAX) } else { tip.view }, &blocks, payloads);
        let mut then = vec![Withheld::Publish(blocks)];
        then.extend(closed.map(Withheld::Closed));
        self.persist(then, effects);
        true
    }
}
