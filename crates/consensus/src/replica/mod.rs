//! One replica of the protocol: its state, and the loop that evaluates every rule on every input (PROTOCOL section 8).
//!
//! - [`rules`]: R1–R7, each in one function.
//! - [`intake`]: what messages change.
//! - [`pull`]: R8, who is asked and answered; [`status`]: what is missing.
//! - [`pace`]: timers, hints and the heartbeat.
//! - [`batch`]: how large my blocks are, and how long they wait to fill.
//! - [`durable`]: D1–D4, what is written before what is said.
//! - [`observe`]: what is told to whoever advises.
//! - [`tree`]: blocks above the last committed one.
//! - [`closing`]: the end of the epoch (section 7).

mod batch;
mod closing;
mod durable;
mod intake;
mod io;
mod observe;
mod pace;
mod pull;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crypto::Digest;

pub use io::{
    Advice, CommittedBlock, DELTA_GROWS_AT_MOST, DELTA_SHRINKS_AT_MOST, Effect, EnterReason, Input, InvalidBody,
    Payloads, Recipient, Settings, SignRequest, Ticket,
};
pub use observe::Observation;
pub use tree::Tip;

use crate::certificate::FinalityCertificate;
use crate::config::{EpochConfig, SharedConfig};
use crate::epoch::{EpochContext, EpochStart, Gathered};
use crate::header::{Header, SignedHeader};
use crate::mutation::{Mutation, mutated};
use crate::records::{VoteKey, Write};
use crate::types::{Height, Timestamp, ValidatorIndex, View};
use crate::vote::{BundleBody, Statement};
use crate::votes::{Vote, VoteTable};

/// What I know and have said about one view above the last final one.
#[derive(Clone, Debug)]
struct ViewState {
    votes: VoteTable,
    /// Headers of the leader that are held; more than two only if a certificate names them.
    headers: Vec<Digest>,
    lock: Option<Digest>,
    nulled: bool,
    finalized: bool,
    /// Certificates that hold, so that each is noticed once.
    notarized: BTreeSet<Digest>,
    nullified: bool,
    /// When the Notarization of my lock was first held: the hedge runs from here.
    hedge_since: Option<Timestamp>,
}

impl ViewState {
    fn new(view: View) -> Self {
        Self {
            votes: VoteTable::new(view),
            headers: Vec::new(),
            lock: None,
            nulled: false,
            finalized: false,
            notarized: BTreeSet::new(),
            nullified: false,
            hedge_since: None,
        }
    }
}

/// The proof that made the last final block final.
#[derive(Clone, Debug)]
struct TipProof {
    descendants: Vec<Header>,
    certificate: FinalityCertificate,
    /// Height of the block that the votes name.
    finalized_by: Height,
}

/// One replica. Deterministic: the same inputs at the same times give the same effects.
#[derive(Clone, Debug)]
pub struct Replica {
    context: Arc<EpochContext>,
    config: SharedConfig,
    chain_id: Digest,
    /// My index; an observer has none and never votes.
    me: Option<ValidatorIndex>,
    /// As configured.
    configured: Settings,
    /// As configured, with Δ as measured.
    settings: Settings,
    advice: Advice,

    view: View,
    views: BTreeMap<View, ViewState>,
    tree: tree::Tree,
    /// Highest block with a finality proof and header path.
    last_final: Tip,
    /// Proof of `last_final`; none at genesis, or when `last_final` is committed and its proof is in the store.
    tip_proof: Option<TipProof>,
    /// A block below `last_final` that a chain of final blocks proves by itself, to be applied before bodies above it are here.
    proven: Option<(Tip, TipProof)>,
    /// Highest block whose body is applied.
    last_committed: Tip,
    /// What the epoch's chain has gathered up to there.
    gathered: Gathered,
    /// Heights of committed blocks of this epoch that hold system transactions.
    system_heights: Vec<Height>,
    /// The closing block is final: nothing more is voted for or proposed.
    closed: bool,

    pace: pace::Pace,
    batch: batch::Batch,
    pulls: pull::Pulls,
    /// A validator maps to the last view in which it helped finality (section 3, "Reachable thresholds").
    helpers: BTreeMap<ValidatorIndex, View>,
    /// q_v stays at q_min below this view.
    cautious_until: View,
    /// Validators whose votes do not count, because their session key is too old.
    void: BTreeSet<ValidatorIndex>,
    /// Validators whose last led view was nullified and that have been silent since.
    silent: BTreeSet<ValidatorIndex>,
    /// Validators whose last turn ended in a Nullification, until a block of theirs becomes final.
    failed_turn: BTreeSet<ValidatorIndex>,
    accused: BTreeSet<(View, ValidatorIndex)>,

    /// Statements decided on in this step, to be signed as one bundle.
    outbox: Vec<Statement>,
    signing: BTreeMap<Ticket, SignRequest>,
    /// What happens once a write is durable (D1: the core withholds the effect).
    withheld: BTreeMap<Ticket, Vec<durable::Withheld>>,
    /// Writes that the next flush takes along.
    unwritten: Vec<Write>,
    unwritten_votes: BTreeMap<(View, VoteKey), Vote>,
    stored_votes: BTreeSet<(View, VoteKey)>,
    next_ticket: u64,
    started: bool,
    /// What this step has shown.
    observed: Vec<Observation>,
    /// When the rules were last evaluated.
    seen_now: Timestamp,
}

impl Replica {
    /// A replica at genesis. `created` is the genesis time.
    pub fn new(
        config: SharedConfig,
        chain_id: Digest,
        created: Timestamp,
        me: Option<ValidatorIndex>,
        settings: Settings,
    ) -> Self {
        Self::in_epoch(Arc::new(EpochContext::genesis(config, chain_id, created)), me, settings)
    }

    /// A replica at the start of an epoch.
    pub fn in_epoch(context: Arc<EpochContext>, me: Option<ValidatorIndex>, settings: Settings) -> Self {
        let EpochStart { height, hash, time } = context.start;
        let start = Tip { view: View::ZERO, height, hash, time };
        let (config, chain_id) = (Arc::clone(&context.config), context.chain_id);
        let void = config.void();
        let me = me.filter(|me| !void.contains(me));
        let advice =
            Advice { threshold: config.quorum.q_min(), hedge_us: settings.hedge_us, delta_us: None, batch_delay_us: 0 };
        Self {
            me,
            advice,
            view: View::new(1),
            views: BTreeMap::new(),
            tree: tree::Tree::default(),
            last_final: start,
            tip_proof: None,
            proven: None,
            last_committed: start,
            gathered: Gathered::default(),
            system_heights: Vec::new(),
            closed: false,
            pace: pace::Pace::new(&settings),
            batch: batch::Batch::default(),
            pulls: pull::Pulls::default(),
            helpers: BTreeMap::new(),
            cautious_until: View::ZERO,
            void,
            silent: BTreeSet::new(),
            failed_turn: BTreeSet::new(),
            accused: BTreeSet::new(),
            outbox: Vec::new(),
            signing: BTreeMap::new(),
            withheld: BTreeMap::new(),
            unwritten: Vec::new(),
            unwritten_votes: BTreeMap::new(),
            stored_votes: BTreeSet::new(),
            next_ticket: 0,
            started: false,
            observed: Vec::new(),
            seen_now: time,
            configured: settings,
            settings,
            context,
            config,
            chain_id,
        }
    }

    /// Goes on where the replica of the epoch before ended: its tickets are not used again, its pace and advice still hold.
    pub fn succeed(&mut self, before: &Self) {
        self.next_ticket = before.next_ticket;
        self.advice = before.advice;
        self.pace.timer_us = before.pace.timer_us;
    }

    /// Begins: enters the first view at `now`. Call once, after [`Replica::restore`] if there is anything to restore.
    pub fn start(&mut self, now: Timestamp, payloads: &mut dyn Payloads, effects: &mut Vec<Effect>) {
        self.pace.enter(now);
        self.look_for_work(now, payloads);
        self.advance(now, payloads, effects);
        self.started = true;
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Timestamp, input: Input, payloads: &mut dyn Payloads, effects: &mut Vec<Effect>) {
        match input {
            Input::Message { from, content } => {
                self.take_message(now, from, content.into_inner(), effects);
                self.advance(now, payloads, effects);
                self.pull_if_behind(now, from, effects);
                return;
            }
            Input::Signed { ticket, signature } => self.take_signature(now, ticket, signature, effects),
            Input::Persisted { ticket } => self.take_persisted(ticket, effects),
            Input::Work => self.pace.work = true,
            Input::Advice(advice) => self.take_advice(advice),
            Input::LinkUp(peer) => self.greet(peer, effects),
            Input::Tick => {}
        }
        self.advance(now, payloads, effects);
    }

    /// Evaluates every rule until nothing changes, then signs what was decided.
    fn advance(&mut self, now: Timestamp, payloads: &mut dyn Payloads, effects: &mut Vec<Effect>) {
        while self.closed {
            // Section 7e: nothing more is said in this epoch. What is final is applied once its bodies are here.
            if !self.commit(payloads, effects) {
                self.outbox.clear();
                self.seen_now = now;
                self.pull_on_time(now, effects);
                return;
            }
        }
        loop {
            let mut changed = self.note_certificates();
            changed |= self.commit(payloads, effects); // R7
            if self.closed {
                return self.advance(now, payloads, effects);
            }
            changed |= self.enter(now, payloads, effects); // R1
            changed |= self.notarize(now, payloads); // R3
            changed |= self.release(now); // R5
            changed |= self.nullify(now); // R4
            changed |= self.finalize(now); // R6
            changed |= self.propose(now, payloads, effects); // R2
            if !changed {
                break;
            }
        }
        self.seen_now = now;
        self.measure_batch(now);
        self.update_pace(now, effects);
        self.sign_outbox(effects);
        self.pull_on_time(now, effects);
        self.tell_observed(effects);
    }

    /// My index; an observer has none.
    pub const fn me(&self) -> Option<ValidatorIndex> {
        self.me
    }

    /// The configuration of the epoch.
    pub fn config(&self) -> &EpochConfig {
        &self.config
    }

    /// The chain id.
    pub const fn chain_id(&self) -> Digest {
        self.chain_id
    }

    /// The epoch.
    pub const fn context(&self) -> &Arc<EpochContext> {
        &self.context
    }

    /// What the epoch's chain has gathered up to the last committed block.
    pub const fn gathered(&self) -> &Gathered {
        &self.gathered
    }

    /// The current view.
    pub const fn view(&self) -> View {
        self.view
    }

    /// The highest block with a finality proof.
    pub const fn last_final(&self) -> Tip {
        self.last_final
    }

    /// The highest block whose body is applied.
    pub const fn last_committed(&self) -> Tip {
        self.last_committed
    }

    /// The current view timer, in microseconds.
    pub const fn view_timer_us(&self) -> u64 {
        self.pace.timer_us
    }

    /// Whether the view timer is armed: something is expected to happen.
    pub const fn is_armed(&self) -> bool {
        self.pace.armed_at.is_some()
    }

    /// When the current view was entered.
    pub const fn entered_at(&self) -> Timestamp {
        self.pace.entered_at
    }

    /// Whether a vote or header of this view can still matter; others need not even be verified.
    pub fn is_stale(&self, view: View) -> bool {
        view <= self.last_final.view
    }

    /// The header of a held block above the last committed one.
    pub fn held_header(&self, hash: &Digest) -> Option<&Arc<SignedHeader>> {
        self.tree.get(hash).map(|block| &block.header)
    }

    /// The coming leaders that I expect to finish a block, from the current view on: without those whose last turn failed, and without the
    /// current one once its header is here. If that leaves none, everybody counts.
    pub fn promising_leaders(&self, most: usize) -> Vec<ValidatorIndex> {
        let begun = self.views.get(&self.view).is_some_and(|state| !state.headers.is_empty());
        let from = self.view.get() + u64::from(begun);
        let mut found: Vec<ValidatorIndex> = Vec::with_capacity(most);
        for sound in [true, false] {
            for view in from..from + self.config.n() as u64 {
                let leader = self.config.leader(View::new(view));
                if found.len() < most && !found.contains(&leader) && !(sound && self.failed_turn.contains(&leader)) {
                    found.push(leader);
                }
            }
        }
        found
    }

    /// Whether a held block above the last committed one has this proposal.
    pub fn is_in_flight(&self, id: &Digest) -> bool {
        self.tree.iter().any(|(_, block)| block.body.as_ref().is_some_and(|body| body.contains(id)))
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn state(&mut self, view: View) -> &mut ViewState {
        self.views.entry(view).or_insert_with(|| ViewState::new(view))
    }

    /// Whether unsolicited items of this view are kept.
    fn in_window(&self, view: View) -> bool {
        view > self.last_final.view && view.get() <= self.view.get() + crate::bounds::VIEW_WINDOW
    }

    fn leads(&self, view: View) -> bool {
        self.me == Some(self.config.leader(view))
    }

    /// Queues the statements of this step as one bundle for signing. Held-back Finalize votes ride along with a Notarize.
    fn sign_outbox(&mut self, effects: &mut Vec<Effect>) {
        let Some(me) = self.me else {
            self.outbox.clear();
            return;
        };
        let statements = std::mem::take(&mut self.outbox);
        for part in statements.chunks(crate::bounds::MAX_BUNDLE_STATEMENTS) {
            self.note_finalizing(part);
            let body = BundleBody::new(self.chain_id, self.config.epoch, me, part.to_vec());
            if let Some(body) = body {
                self.sign(SignRequest::Votes(body), effects);
            }
        }
    }

    fn sign(&mut self, request: SignRequest, effects: &mut Vec<Effect>) {
        let ticket = self.ticket();
        self.signing.insert(ticket, request.clone());
        effects.push(Effect::Sign { ticket, request });
    }

    /// Takes a vote into its views, noticing evidence; returns whether it was new.
    fn ingest_vote(&mut self, vote: &Vote, admit: Admit, effects: &mut Vec<Effect>) -> bool {
        let mut new = false;
        let views: BTreeSet<View> = vote.statements().iter().map(crate::vote::Statement::view).collect();
        let base = self.last_final.view;
        for view in views.into_iter().filter(|view| *view > base) {
            let bound = match admit {
                Admit::Unsolicited if !self.in_window(view) => continue,
                Admit::Unsolicited => crate::bounds::MAX_BLOCKS_PER_SIGNER,
                Admit::Certificate(only) if only != view => continue,
                Admit::Certificate(_) if mutated(Mutation::BoundWithoutExemptions) => {
                    crate::bounds::MAX_BLOCKS_PER_SIGNER
                }
                Admit::Certificate(_) | Admit::Mine => usize::MAX,
            };
            let signer = vote.signer();
            let earlier = self.views.get(&view).map(|state| state.votes.votes_of(signer)).unwrap_or_default();
            let evidence = earlier
                .iter()
                .chain(std::iter::once(vote))
                .find_map(|other| crate::evidence::Evidence::find(other, vote));
            if let Some(evidence) = evidence
                && self.accused.len() < crate::bounds::MAX_EVIDENCE
                && self.accused.insert((evidence.view(), signer))
            {
                effects.push(Effect::Evidence(Box::new(evidence)));
            }
            new |= self.state(view).votes.insert_bounded(vote, bound);
        }
        new
    }
}

/// How much of a vote is taken (section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admit {
    /// Inside the window, at most two blocks per signer and view.
    Unsolicited,
    /// What it says of this view: it is part of a certificate that was asked for.
    Certificate(View),
    /// Everything: it is my own, or comes from my own store.
    Mine,
}
