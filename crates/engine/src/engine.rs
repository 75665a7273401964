//! The engine: the replica with its mempool, its ledger and its clients' proposals.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::body::{Body, Proposal};
use consensus::codec::{Decode, Encode, Reader, Writer};
use consensus::config::{EpochConfig, SharedConfig};
use consensus::epoch::EpochContext;
use consensus::message::{Held, Message};
use consensus::records::{Durable, Record, RecordError, RecordReader, Table};
use consensus::replica::{self, CommittedBlock, InvalidBody, Payloads, Recipient, Replica, Settings, Ticket, Tip};
use consensus::system::SystemTx;
use consensus::types::{Epoch, Height, Timestamp, ValidatorIndex, View};
use consensus::verify::{Content, Verifier};
use crypto::Digest;

use crate::catchup::{CHUNK_BLOCKS, CatchUp, CatchUpStatus};
use crate::epochs::{Early, Laggards, SystemPool, Taken};
use crate::index::IdIndex;
use crate::io::{Admission, Application, Effect, Input, Keyring, Refusal, SubmitTicket};
use crate::ledger::Ledger;
use crate::mempool::{Inserted, Mempool, MempoolLimits, Origin};
use crate::serve::{self, Outcome, index_records, outcome_record};

/// Tickets of the engine's own writes have this bit; the replica counts from one.
const ENGINE_TICKET: u64 = 1 << 63;
/// Pieces of evidence stored against one validator: one convicts, more only fill the disk.
const MAX_EVIDENCE_EACH: u32 = 16;
/// Bytes of proposals forwarded to one leader for one view.
const FORWARD_BYTES: usize = 64 * 1024;
/// Coming leaders that proposals are forwarded to.
const FORWARD_LEADERS: usize = 2;
/// A leader whose last block was longer than this, or than half of what mine may have, has enough of its own: forwarding would only multiply bytes, and my own turn comes.
const BUSY_LEADER_BYTES: usize = 3 * FORWARD_BYTES;

/// How an engine is set up.
#[derive(Clone)]
pub struct EngineConfig {
    /// The network's first epoch; the store knows how far it has come since.
    pub genesis: Arc<EpochContext>,
    /// My name among the members; an observer has none.
    pub name: Option<String>,
    /// The session keys at hand. In an epoch whose configuration names another key for me I observe, and do not vote.
    pub keys: Arc<dyn Keyring>,
    /// Local settings of the replica.
    pub settings: Settings,
    /// Values in one block of mine, at most.
    pub max_batch_size: usize,
    /// Bounds of the mempool.
    pub mempool: MempoolLimits,
    /// Whether proposals go to the leaders expected to finish first (`load_balancing` adaptive) or to the next in turn (round_robin).
    pub adaptive_forwarding: bool,
    /// The application.
    pub application: Arc<dyn Application>,
}

/// A summary for status pages and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Current epoch.
    pub epoch: Epoch,
    /// When the epoch is over by time.
    pub epoch_ends: Timestamp,
    /// Current view.
    pub view: View,
    /// Last block with a finality proof.
    pub last_final: Tip,
    /// Last block applied.
    pub last_committed: Tip,
    /// Proposals waiting here, of all origins.
    pub mempool_len: usize,
    /// Proposals of this node's clients in flight.
    pub own_len: usize,
    /// Bytes of waiting values.
    pub mempool_bytes: usize,
    /// When the oldest proposal of this node's clients arrived, if one waits.
    pub oldest_own: Option<Timestamp>,
    /// The view timer, in microseconds.
    pub view_timer_us: u64,
    /// Whether the view timer is armed: progress is expected.
    pub armed: bool,
    /// When the view was entered.
    pub entered_at: Timestamp,
    /// How catching up stands.
    pub catch_up: CatchUpStatus,
}

/// What the replica sees of values.
struct Values {
    config: SharedConfig,
    application: Arc<dyn Application>,
    mempool: Mempool,
    ledger: Ledger,
    system: SystemPool,
    max_batch_size: usize,
    adaptive_forwarding: bool,
    /// Index records and expiries of blocks committed in this step.
    index: Vec<Record>,
    expired: Vec<Digest>,
    done: Vec<Digest>,
    /// Bytes of each leader's last final block: who fills its blocks alone needs no more.
    last_len: BTreeMap<ValidatorIndex, usize>,
}

impl Payloads for Values {
    fn has_work(&self, now: Timestamp, ancestors: &[Arc<Body>]) -> bool {
        let in_chain = |slot| ancestors.iter().any(|body| body.system().iter().any(|tx| tx.slot() == slot));
        self.system.hashes().any(|(slot, _)| !in_chain(slot))
            || self.mempool.has_eligible(now, &|id| ancestors.iter().any(|body| body.contains(id)))
    }

    fn system(&self) -> Vec<Arc<SystemTx>> {
        self.system.waiting().map(Arc::clone).collect()
    }

    fn is_checked(&self, hash: &Digest) -> bool {
        self.system.hashes().any(|(_, waiting)| waiting == hash)
    }

    fn fills_block(&self, max_bytes: usize) -> bool {
        self.mempool.open_len() >= self.max_batch_size || self.mempool.bytes() >= max_bytes
    }

    fn build(&mut self, time: Timestamp, ancestors: &[Arc<Body>], max_bytes: usize) -> Vec<(Digest, Arc<Proposal>)> {
        let limits = &self.config.limits;
        let room = max_bytes.min(limits.max_block_bytes as usize) - consensus::body::BODY_HEAD_BYTES;
        let latest = time.after_ms(limits.max_timeout_ms);
        let mut items = self.mempool.select(self.max_batch_size, room, time, &|id| {
            ancestors.iter().any(|body| body.contains(id)) || self.ledger.find(id).is_some()
        });
        items.retain(|(_, proposal)| proposal.deadline <= latest);
        items
    }

    fn check(&self, time: Timestamp, body: &Body, ancestors: &[Arc<Body>]) -> Result<(), InvalidBody> {
        self.ledger.check(&self.config, self.application.as_ref(), time, body, ancestors)
    }

    fn included(&mut self, body: &Body) {
        body.ids().iter().for_each(|id| self.mempool.set_aside(id));
    }

    fn excluded(&mut self, body: &Body) {
        body.ids().iter().for_each(|id| self.mempool.put_back(id));
    }

    fn committed(&mut self, block: &CommittedBlock) {
        let header = block.header.header();
        self.last_len.insert(header.leader, block.body.encoded().len());
        block.body.system().iter().for_each(|tx| self.system.settle(tx.slot()));
        for id in block.body.ids() {
            if self.mempool.remove(id) {
                self.done.push(*id);
            }
        }
        self.ledger.committed(block);
        self.index.extend(index_records(block.header.header().height, &block.body));
        let expired = self.mempool.expire(self.ledger.chain_time());
        self.index.extend(expired.iter().map(|id| outcome_record(id, Outcome::Expired)));
        self.done.extend(expired.iter().copied());
        self.expired.extend(expired);
    }
}

/// Batches of clients' proposals as they are stored, and how many of each are still open.
#[derive(Default)]
struct OpenBatches {
    next: u64,
    open: BTreeMap<u64, usize>,
    of_id: IdIndex<u64>,
}

impl OpenBatches {
    fn add(&mut self, ids: &[Digest]) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.insert(sequence, ids);
        sequence
    }

    fn insert(&mut self, sequence: u64, ids: &[Digest]) {
        self.next = self.next.max(sequence + 1);
        self.open.insert(sequence, ids.len());
        for id in ids {
            self.of_id.insert(*id, sequence);
        }
    }

    /// Marks a proposal as settled; the record to remove, if it was the last of its batch.
    fn settle(&mut self, id: &Digest) -> Option<Record> {
        let sequence = self.of_id.remove(id)?;
        let left = self.open.get_mut(&sequence)?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.open.remove(&sequence);
        Some(Record { table: Table::Pending, key: sequence.to_be_bytes().to_vec(), value: None })
    }
}

/// My place in an epoch, if I am a member and hold the session key that it names for me.
fn place_of(context: &EpochContext, name: Option<&str>, keys: &dyn Keyring) -> Option<ValidatorIndex> {
    let index = context.config.index_of(name?)?;
    context.config.member(index).filter(|member| keys.holds(&member.session_key)).map(|_| index)
}

fn replica_in(setup: &EngineConfig, context: Arc<EpochContext>) -> Replica {
    let me = place_of(&context, setup.name.as_deref(), setup.keys.as_ref());
    Replica::in_epoch(context, me, setup.settings)
}

/// A validator without its surroundings.
pub struct Engine {
    replica: Replica,
    name: Option<String>,
    keys: Arc<dyn Keyring>,
    settings: Settings,
    early: Early,
    laggards: Laggards,
    /// The peer whose piece of the chain was taken last: it is asked first in the epoch after.
    chain_from: Option<ValidatorIndex>,
    /// My system transactions of this epoch, told to peers whose link comes up.
    own_system: Vec<Arc<SystemTx>>,
    catchup: CatchUp,
    /// The lowest final block in the store.
    held_from: Height,
    values: Values,
    batches: OpenBatches,
    awaiting_flush: BTreeMap<Ticket, (SubmitTicket, Vec<Result<Admission, Refusal>>)>,
    /// Proposals that expired with a block whose record is being written.
    expiring: BTreeMap<Ticket, Vec<Digest>>,
    /// Evidence stored, by accused validator.
    evidence: BTreeMap<ValidatorIndex, u32>,
    next_ticket: u64,
    scratch: Vec<replica::Effect>,
}

impl Engine {
    /// An engine for a new validator, whose store is empty.
    pub fn new(setup: &EngineConfig) -> Self {
        let replica = replica_in(setup, Arc::clone(&setup.genesis));
        Self::with(setup, replica, Ledger::new(setup.genesis.start.time))
    }

    /// An engine that goes on from what its store holds.
    pub fn restore(
        setup: &EngineConfig,
        reader: &dyn RecordReader,
        effects: &mut Vec<Effect>,
    ) -> Result<Self, RecordError> {
        let durable = Durable::load(reader, &setup.genesis)?;
        let mut replica = replica_in(setup, Arc::clone(&durable.context));
        replica.restore(&durable);
        let held = serve::held(reader)?;
        let config = &durable.context.config;
        let ledger = Ledger::load(reader, config, &setup.genesis.chain_id, replica.last_committed())?;
        let mut engine = Self::with(setup, replica, ledger);
        for tx in durable.gathered.system() {
            engine.values.system.settle(tx.slot());
        }
        engine.held_from = held.map_or(engine.held_from, |held| held.first);
        engine.restore_pending(setup, reader, effects)?;
        for (key, _) in reader.scan(Table::Evidence, &[], None, consensus::bounds::MAX_EVIDENCE)? {
            let signer = key.get(16..18).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
            let signer = signer.ok_or_else(|| RecordError::damaged(Table::Evidence, "a key"))?;
            *engine.evidence.entry(ValidatorIndex::new(signer)).or_default() += 1;
        }
        Ok(engine)
    }

    fn with(setup: &EngineConfig, replica: Replica, ledger: Ledger) -> Self {
        let values = Values {
            config: Arc::clone(&replica.context().config),
            application: Arc::clone(&setup.application),
            mempool: Mempool::new(setup.mempool.clone()),
            ledger,
            system: SystemPool::default(),
            max_batch_size: setup.max_batch_size,
            adaptive_forwarding: setup.adaptive_forwarding,
            index: Vec::new(),
            expired: Vec::new(),
            done: Vec::new(),
            last_len: BTreeMap::new(),
        };
        let limits = &setup.genesis.config.limits;
        let committed = replica.last_committed().height;
        let catchup = CatchUp::new(committed, setup.genesis.config.quorum.f(), limits.max_block_bytes as usize);
        Self {
            replica,
            name: setup.name.clone(),
            keys: Arc::clone(&setup.keys),
            settings: setup.settings,
            early: Early::default(),
            laggards: Laggards::default(),
            chain_from: None,
            own_system: Vec::new(),
            catchup,
            held_from: Height::new(1),
            values,
            batches: OpenBatches::default(),
            awaiting_flush: BTreeMap::new(),
            expiring: BTreeMap::new(),
            evidence: BTreeMap::new(),
            next_ticket: ENGINE_TICKET,
            scratch: Vec::new(),
        }
    }

    /// Proposals accepted before the stop and not settled wait again.
    fn restore_pending(
        &mut self,
        setup: &EngineConfig,
        reader: &dyn RecordReader,
        effects: &mut Vec<Effect>,
    ) -> Result<(), RecordError> {
        let chain_time = self.values.ledger.chain_time();
        let (mut from, mut settled) = (Vec::new(), Vec::new());
        loop {
            let page = reader.scan(Table::Pending, &from, None, 256)?;
            for (key, value) in &page {
                let damaged = |why: String| RecordError::damaged(Table::Pending, why);
                let bytes: [u8; 8] = key.as_slice().try_into().map_err(|_| damaged("a key".to_owned()))?;
                let mut input = Reader::new(value);
                let proposals = input
                    .list(consensus::bounds::MAX_BATCH_SIZE as usize, "proposals", Proposal::decode)
                    .and_then(|list| input.finish().map(|()| list))
                    .map_err(|error| damaged(error.to_string()))?;
                let mut ids = Vec::new();
                for proposal in proposals {
                    let id = proposal.id(&setup.genesis.chain_id);
                    let open = proposal.deadline >= chain_time
                        && self.values.ledger.find(&id).is_none()
                        && serve::outcome(reader, &id)?.is_none();
                    if open {
                        // Room is certain: it was there before the stop.
                        let _ = self.values.mempool.insert(id, Arc::new(proposal), Origin::Own, chain_time);
                        ids.push(id);
                    } else if serve::outcome(reader, &id)?.is_none() && self.values.ledger.find(&id).is_none() {
                        settled.push(outcome_record(&id, Outcome::Expired));
                    }
                }
                if ids.is_empty() {
                    settled.push(Record { table: Table::Pending, key: key.clone(), value: None });
                } else {
                    self.batches.insert(u64::from_be_bytes(bytes), &ids);
                }
            }
            let Some((key, _)) = page.last().filter(|_| page.len() == 256) else { break };
            from.clone_from(key);
            from.push(0);
        }
        if !settled.is_empty() {
            effects.push(Effect::Index(settled));
        }
        Ok(())
    }

    /// Begins. Call once.
    pub fn start(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut out = std::mem::take(&mut self.scratch);
        self.replica.start(now, &mut self.values, &mut out);
        self.translate(now, out, effects);
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        self.take(now, input, effects);
        if !self.catchup.is_idle() {
            self.catch_up(now, effects);
        }
    }

    fn take(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        let input = match input {
            Input::Message { from, content } if content.epoch() != self.replica.context().epoch() => {
                // Verified just before the epoch was left.
                return self.take_late(now, from, content.epoch(), effects);
            }
            Input::Message { from, content } => match content.get() {
                Content::Forward(_) => return self.take_forwarded(now, from, content.into_inner(), effects),
                Content::System(_) => return self.take_system(now, from, content.into_inner(), effects),
                Content::Fetch(fetch) => {
                    let upto = fetch.upto.min(Height::new(fetch.above.get() + CHUNK_BLOCKS));
                    return effects.push(Effect::ServeChain { to: from, above: fetch.above, upto });
                }
                Content::Held(held) => return self.catchup.take_held(from, *held),
                Content::FinalChain(_) => {
                    self.chain_from = Some(from);
                    match self.catchup.take_chain(now, from, content) {
                        None => return,
                        Some(content) => replica::Input::Message { from, content },
                    }
                }
                Content::Status(status) if status.epoch != self.replica.context().epoch() => {
                    replica::Input::Message { from, content }
                }
                _ => {
                    self.laggards.present(from);
                    replica::Input::Message { from, content }
                }
            },
            Input::Elsewhere { from, message } => return self.take_elsewhere(now, from, *message, effects),
            Input::System(tx) => return self.submit_system(now, tx, effects),
            Input::Signed { ticket, signature } => replica::Input::Signed { ticket, signature },
            Input::Persisted { ticket } if ticket.0 >= ENGINE_TICKET => {
                if let Some((ticket, outcomes)) = self.awaiting_flush.remove(&ticket) {
                    effects.push(Effect::Accepted { ticket, outcomes });
                }
                return;
            }
            Input::Persisted { ticket } => {
                let later = self.expiring.split_off(&Ticket(ticket.0 + 1));
                let expired = std::mem::replace(&mut self.expiring, later);
                self.drive(now, replica::Input::Persisted { ticket }, effects);
                // The block that makes them expired is told first.
                effects.extend(expired.into_values().map(Effect::Expired));
                return;
            }
            Input::Submit { ticket, proposals } => return self.submit(now, ticket, proposals, effects),
            Input::Advice(advice) => replica::Input::Advice(advice),
            Input::LinkUp(peer) => {
                self.values.mempool.reset_peer(peer.get());
                self.tell_system(Recipient::One(peer), effects);
                replica::Input::LinkUp(peer)
            }
            Input::LinkDown(peer) => return self.catchup.take_link_down(peer),
            Input::Tick => {
                self.tell_laggards(now, effects);
                replica::Input::Tick
            }
            Input::Stopping => {
                let mut out = std::mem::take(&mut self.scratch);
                self.replica.flush_hedged(&mut out);
                return self.translate(now, out, effects);
            }
        };
        self.drive(now, input, effects);
    }

    /// Hands the replica what is here and next, and asks peers for what is missing.
    fn catch_up(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        loop {
            let before = self.replica.last_committed().height;
            self.catchup.committed(before);
            let Some(input) = self.catchup.next_ready() else { break };
            let replica::Input::Message { from, .. } = input else { break };
            self.drive(now, input, effects);
            if self.replica.last_committed().height == before {
                effects.push(Effect::Dropped("chain_refused"));
                self.catchup.refused(now, from);
            }
        }
        for (to, fetch) in self.catchup.plan(now) {
            effects.push(Effect::Send { to: Recipient::One(to), message: Message::Fetch(fetch) });
        }
    }

    fn drive(&mut self, now: Timestamp, input: replica::Input, effects: &mut Vec<Effect>) {
        let mut out = std::mem::take(&mut self.scratch);
        self.replica.handle(now, input, &mut self.values, &mut out);
        self.translate(now, out, effects);
    }

    fn translate(&mut self, now: Timestamp, mut out: Vec<replica::Effect>, effects: &mut Vec<Effect>) {
        for id in std::mem::take(&mut self.values.done) {
            self.values.index.extend(self.batches.settle(&id));
        }
        let (mut entered, mut flush, mut next) = (false, None, None);
        for effect in out.drain(..) {
            match effect {
                replica::Effect::Sign { ticket, request } => {
                    let member = self.replica.me().and_then(|me| self.values.config.member(me));
                    if let Some(key) = member.map(|member| member.session_key.clone()) {
                        effects.push(Effect::Sign { ticket, request, key });
                    }
                }
                replica::Effect::Closed(context) => next = Some(context),
                replica::Effect::Fatal(why) => effects.push(Effect::Fatal(why)),
                replica::Effect::Persist { ticket, writes } => {
                    flush = Some(ticket);
                    // Outcomes travel with the final records that make them true: a result told can always be found again.
                    let mut records: Vec<Record> = std::mem::take(&mut self.values.index);
                    records.extend(writes.into_iter().flat_map(consensus::records::Write::into_records));
                    effects.push(Effect::Persist { ticket, records });
                }
                replica::Effect::Send { to, message } => effects.push(Effect::Send { to, message }),
                replica::Effect::ServeChain { to, above } => {
                    let upto = Height::new(above.get() + CHUNK_BLOCKS);
                    effects.push(Effect::ServeChain { to, above, upto });
                }
                replica::Effect::TellHeld(to) => {
                    let held = Held { first: self.held_from, last: self.replica.last_committed().height };
                    effects.push(Effect::Send { to: Recipient::One(to), message: Message::Held(held) });
                }
                replica::Effect::Publish(blocks) => {
                    if let Some(last) = blocks.last() {
                        self.catchup.durable(last.header.header().height);
                    }
                    effects.push(Effect::Publish(blocks));
                }
                replica::Effect::Entered { view, reason } => {
                    entered = true;
                    effects.push(Effect::Entered { view, reason });
                }
                replica::Effect::Evidence(evidence) => {
                    let stored = self.evidence.entry(evidence.accused()).or_default();
                    if *stored < MAX_EVIDENCE_EACH {
                        *stored += 1;
                        let mut key = Writer::new();
                        key.u64(evidence.epoch().get());
                        key.u64(evidence.view().get());
                        key.u16(evidence.accused().get());
                        let value = Some(evidence.to_bytes());
                        let record = Record { table: Table::Evidence, key: key.into_bytes(), value };
                        effects.push(Effect::Index(vec![record]));
                    }
                    effects.push(Effect::Evidence(evidence));
                }
                replica::Effect::Observed(observation) => effects.push(Effect::Observed(observation)),
                replica::Effect::Dropped(reason) => effects.push(Effect::Dropped(reason)),
            }
        }
        self.scratch = out;
        if !self.values.index.is_empty() {
            effects.push(Effect::Index(std::mem::take(&mut self.values.index)));
        }
        if !self.values.expired.is_empty() {
            // Blocks are committed only together with a flush of their records; what expires with them is told after it.
            let ids = std::mem::take(&mut self.values.expired);
            match flush {
                Some(ticket) => drop(self.expiring.insert(ticket, ids)),
                None => effects.push(Effect::Expired(ids)),
            }
        }
        if entered {
            self.forward(effects);
        }
        if let Some(context) = next {
            self.enter_epoch(now, context, effects);
        }
    }

    /// The epoch before is over, and that is durable (section 7e): its replica is gone, and with it everything that could sign in it.
    fn enter_epoch(&mut self, now: Timestamp, context: Arc<EpochContext>, effects: &mut Vec<Effect>) {
        let same_members = {
            let names = |config: &EpochConfig| config.members.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
            names(&context.config) == names(&self.values.config)
        };
        let me = place_of(&context, self.name.as_deref(), self.keys.as_ref());
        let mut replica = Replica::in_epoch(Arc::clone(&context), me, self.settings);
        replica.succeed(&self.replica);
        self.replica = replica;
        self.values.config = Arc::clone(&context.config);
        self.values.system.clear();
        self.own_system.clear();
        self.laggards = Laggards::default();
        if !same_members {
            // Places in the list mean other validators now.
            self.values.last_len.clear();
            self.evidence.clear();
            (0..consensus::bounds::MAX_VALIDATORS as u16).for_each(|peer| self.values.mempool.reset_peer(peer));
        }
        effects.push(Effect::EpochStarted(Arc::clone(&context)));
        let mut out = std::mem::take(&mut self.scratch);
        self.replica.start(now, &mut self.values, &mut out);
        if let Some(peer) = self.chain_from.take().filter(|_| same_members) {
            self.replica.greet(peer, &mut out);
        }
        self.translate(now, out, effects);
        for (from, message) in self.early.take(context.epoch()) {
            self.take_elsewhere(now, from, message, effects);
        }
    }

    /// A message of another epoch than the surroundings verify against.
    fn take_elsewhere(&mut self, now: Timestamp, from: ValidatorIndex, message: Message, effects: &mut Vec<Effect>) {
        let context = Arc::clone(self.replica.context());
        let Some(epoch) = message.epoch() else { return };
        if epoch < context.epoch() {
            return self.take_late(now, from, epoch, effects);
        }
        if epoch == context.epoch() {
            let verifier = Verifier::new(Arc::clone(&context.config), context.chain_id);
            match verifier.verify(from, message) {
                Ok(content) => self.handle(now, Input::Message { from, content }, effects),
                Err(rejection) => effects.push(Effect::Dropped(rejection.name())),
            }
            return;
        }
        let near = epoch == context.epoch().next() || matches!(message, Message::FinalChain(_));
        if near && !self.early.keep(from, epoch, message) {
            effects.push(Effect::Dropped("early_full"));
        }
        self.replica.heard_epoch(now, from, epoch);
    }

    /// A peer speaks in an epoch that is over here.
    fn take_late(&mut self, now: Timestamp, from: ValidatorIndex, epoch: Epoch, effects: &mut Vec<Effect>) {
        effects.push(Effect::Dropped("epoch_over"));
        self.laggards.noticed(from, epoch, now.after_us(2 * self.settings.delta_us));
    }

    /// Who has not left an older epoch by now gets the block that closed the last one; who is further behind is told where I am, and asks.
    fn tell_laggards(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let context = Arc::clone(self.replica.context());
        for (to, epoch) in self.laggards.take_due(now) {
            if epoch.next() == context.epoch() {
                let above = Height::new(context.start.height.get().saturating_sub(1));
                effects.push(Effect::ServeChain { to, above, upto: context.start.height });
            }
            let mut out = Vec::new();
            self.replica.greet(to, &mut out);
            self.translate(now, out, effects);
        }
    }

    /// My own rotation, or a change that a client has handed in: to everyone, because anyone may lead next.
    fn submit_system(&mut self, now: Timestamp, tx: Arc<SystemTx>, effects: &mut Vec<Effect>) {
        let context = Arc::clone(self.replica.context());
        match self.values.system.take(&context, None, tx.hash(), Arc::clone(&tx)) {
            Taken::New => {
                self.own_system.push(tx);
                effects.push(Effect::SystemTaken(None));
                self.tell_system(Recipient::All, effects);
                self.drive(now, replica::Input::Work, effects);
            }
            Taken::Known => effects.push(Effect::SystemTaken(None)),
            Taken::Refused(error) => effects.push(Effect::SystemTaken(Some(error.to_string()))),
            Taken::TooMany => effects.push(Effect::SystemTaken(Some("too many".to_owned()))),
        }
    }

    fn tell_system(&self, to: Recipient, effects: &mut Vec<Effect>) {
        let waiting: Vec<SystemTx> = self.own_system.iter().map(|tx| tx.as_ref().clone()).collect();
        if !waiting.is_empty() && self.values.system.waiting().any(|tx| self.own_system.contains(tx)) {
            let message = Message::System(self.replica.context().epoch(), waiting);
            effects.push(Effect::Send { to, message });
        }
    }

    fn take_system(&mut self, now: Timestamp, from: ValidatorIndex, content: Content, effects: &mut Vec<Effect>) {
        let Content::System(txs) = content else { return };
        let context = Arc::clone(self.replica.context());
        let mut new = false;
        for (hash, tx) in txs {
            match self.values.system.take(&context, Some(from), hash, tx) {
                Taken::New => new = true,
                Taken::Known => {}
                Taken::Refused(_) => effects.push(Effect::Dropped("system_refused")),
                Taken::TooMany => effects.push(Effect::Dropped("system_rate")),
            }
        }
        if new {
            self.drive(now, replica::Input::Work, effects);
        }
    }

    /// Proposals of a client: admitted, stored, forwarded; the outcome is told once it is durable.
    fn submit(
        &mut self,
        now: Timestamp,
        ticket: SubmitTicket,
        proposals: Vec<(Digest, Arc<Proposal>)>,
        effects: &mut Vec<Effect>,
    ) {
        let mut outcomes = Vec::with_capacity(proposals.len());
        let mut fresh: Vec<(Digest, Arc<Proposal>)> = Vec::new();
        let mut work = false;
        for (id, proposal) in proposals {
            let outcome = self.admit(now, id, &proposal, Origin::Own);
            if outcome == Ok(Admission::Admitted) {
                work = work || !self.replica.is_in_flight(&id);
                fresh.push((id, proposal));
            }
            outcomes.push(outcome);
        }
        let known = outcomes.contains(&Ok(Admission::Known));
        if fresh.is_empty() && !known {
            effects.push(Effect::Accepted { ticket, outcomes });
            return;
        }
        if fresh.is_empty() {
            // What is known may still be on its way to the disk: the answer waits for a flush behind it.
            self.next_ticket += 1;
            let flush = Ticket(self.next_ticket);
            self.awaiting_flush.insert(flush, (ticket, outcomes));
            effects.push(Effect::Persist { ticket: flush, records: Vec::new() });
            return;
        }
        let ids: Vec<Digest> = fresh.iter().map(|(id, _)| *id).collect();
        let sequence = self.batches.add(&ids);
        let values: Vec<&Proposal> = fresh.iter().map(|(_, proposal)| proposal.as_ref()).collect();
        self.next_ticket += 1;
        let flush = Ticket(self.next_ticket);
        self.awaiting_flush.insert(flush, (ticket, outcomes));
        effects.push(Effect::Persist { ticket: flush, records: vec![serve::pending_record(sequence, &values)] });
        self.forward(effects);
        if work {
            self.drive(now, replica::Input::Work, effects);
        }
    }

    fn admit(
        &mut self,
        now: Timestamp,
        id: Digest,
        proposal: &Arc<Proposal>,
        origin: Origin,
    ) -> Result<Admission, Refusal> {
        let limits = &self.values.config.limits;
        if let Some((height, _)) = self.values.ledger.find(&id) {
            return Ok(Admission::Final(height));
        }
        if proposal.value.len() > limits.max_value_bytes as usize {
            return Err(Refusal::TooLarge { found: proposal.value.len(), bound: limits.max_value_bytes });
        }
        if proposal.deadline <= self.values.ledger.chain_time() || (origin == Origin::Own && proposal.deadline <= now) {
            return Err(Refusal::Expired);
        }
        if proposal.deadline > now.after_ms(limits.max_timeout_ms) {
            return Err(Refusal::FarDeadline(limits.max_timeout_ms));
        }
        self.values.application.check(&proposal.value).map_err(Refusal::Application)?;
        match self.values.mempool.insert(id, Arc::clone(proposal), origin, now) {
            Ok(Inserted::New | Inserted::Adopted) => Ok(Admission::Admitted),
            Ok(Inserted::Known) => Ok(Admission::Known),
            Err(refusal) => Err(refusal),
        }
    }

    fn take_forwarded(&mut self, now: Timestamp, from: ValidatorIndex, content: Content, effects: &mut Vec<Effect>) {
        let Content::Forward(proposals) = content else { return };
        let mut work = false;
        for (id, proposal) in proposals {
            match self.admit(now, id, &proposal, Origin::Peer(from.get())) {
                Ok(Admission::Admitted) => work = work || !self.replica.is_in_flight(&id),
                Ok(_) => {}
                Err(_) => effects.push(Effect::Dropped("forward_refused")),
            }
        }
        if work {
            self.drive(now, replica::Input::Work, effects);
        }
    }

    /// Sends my clients' proposals to the coming leaders, each to each at most once per link.
    fn forward(&mut self, effects: &mut Vec<Effect>) {
        let Some(me) = self.replica.me() else { return };
        let view = self.replica.view();
        if self.values.config.leader(view) == me {
            return; // my own turn: no need to bother others
        }
        let leaders = if self.values.adaptive_forwarding {
            self.replica.promising_leaders(FORWARD_LEADERS)
        } else {
            vec![self.values.config.leader(view), self.values.config.leader(view.next())]
        };
        let busy = BUSY_LEADER_BYTES.min(self.replica.batch_bytes() / 2);
        for leader in leaders.into_iter().filter(|leader| *leader != me) {
            if self.values.last_len.get(&leader).is_some_and(|bytes| *bytes > busy) {
                continue;
            }
            let proposals = self.values.mempool.unforwarded(leader.get(), FORWARD_BYTES);
            if !proposals.is_empty() {
                let proposals = proposals.iter().map(|proposal| proposal.as_ref().clone()).collect();
                effects.push(Effect::Send { to: Recipient::One(leader), message: Message::Forward(proposals) });
            }
        }
    }

    /// When the engine wants [`Input::Tick`] next, if nothing else happens before.
    pub fn next_deadline(&self) -> Timestamp {
        let told = self.laggards.next().unwrap_or(Timestamp::new(u64::MAX));
        self.replica.next_deadline().min(self.catchup.next_deadline()).min(told)
    }

    /// A summary of where it stands.
    pub fn status(&self) -> EngineStatus {
        let replica = &self.replica;
        EngineStatus {
            epoch: replica.context().epoch(),
            epoch_ends: replica.context().end_time(),
            view: replica.view(),
            last_final: replica.last_final(),
            last_committed: replica.last_committed(),
            mempool_len: self.values.mempool.len(),
            own_len: self.values.mempool.own_len(),
            mempool_bytes: self.values.mempool.bytes(),
            oldest_own: self.values.mempool.oldest_own(),
            view_timer_us: replica.view_timer_us(),
            armed: replica.is_armed(),
            entered_at: replica.entered_at(),
            catch_up: self.catchup.status(),
        }
    }

    /// Whether a proposal waits here.
    pub fn is_pending(&self, id: &Digest) -> bool {
        self.values.mempool.contains(id)
    }

    /// Where a proposal was committed, as long as its deadline has not passed; later the store knows.
    pub fn find_final(&self, id: &Digest) -> Option<(Height, u32)> {
        self.values.ledger.find(id)
    }

    /// The replica, for checks from outside.
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The configuration.
    pub fn config(&self) -> &EpochConfig {
        &self.values.config
    }
}
