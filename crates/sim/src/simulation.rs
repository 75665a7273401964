//! The event loop in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::epoch::EpochContext;
use consensus::header::SignedHeader;
use consensus::message::Message;
use consensus::replica::{Advice, Recipient, Ticket};
use consensus::types::{Epoch, Height, Timestamp, ValidatorIndex};
use consensus::verify::{Content, Verified, Verifier};
use consensus::votes::Vote;
use crypto::{Digest, HashAlgorithm, Hasher};
use engine::mempool::MempoolLimits;
use engine::records::{StoreRecords, batch_of};
use engine::{AcceptAll, Effect, EngineConfig, Input, SubmitTicket, serve};
use storage::ByteStore;

use crate::attack::Attack;
use crate::host::Host;
use crate::invariants::Watch;
use crate::keys::Keys;
use crate::scenario::{Fault, START_US, Scenario, network};

enum Event {
    Deliver { to: u16, from: u16, content: Verified<Content>, message: Arc<Message> },
    Persisted { host: u16, life: u64, ticket: Ticket },
    Wake { host: u16, life: u64 },
    Submit { number: u64 },
    Rotate { host: u16, life: u64, epoch: Epoch },
    Crash { host: u16 },
    Boot { host: u16 },
}

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// Violations of invariants; empty in a sound run.
    pub violations: Vec<String>,
    /// Values submitted to honest hosts that were up.
    pub submitted: u64,
    /// Of these, final.
    pub finalized: u64,
    /// Of these, expired: a final block is dated after their deadline.
    pub expired: u64,
    /// Longest time between two heights becoming final anywhere, while submitted values were waiting, in microseconds.
    pub longest_gap_us: u64,
    /// Height of the highest final block.
    pub height: u64,
    /// Blocks that became final in one round.
    pub fast_blocks: u64,
    /// Blocks that became final in two rounds.
    pub slow_blocks: u64,
    /// Validators accused with proof.
    pub accused: Vec<u16>,
    /// Highest view of any honest host.
    pub view: u64,
    /// Highest epoch that any host has entered.
    pub epoch: u64,
    /// Lowest epoch of an honest host that is up at the end.
    pub lowest_epoch: u64,
    /// Session keys that were renewed in all closings together, as far as the lowest host has come.
    pub rotations: u64,
    /// Median time from submission to finality anywhere, in microseconds.
    pub latency_p50_us: u64,
    /// 99th percentile of it.
    pub latency_p99_us: u64,
    /// Signatures made by honest hosts.
    pub signatures: u64,
    /// Messages sent, by name.
    pub messages: BTreeMap<&'static str, u64>,
    /// Hash of everything that happened, in hex: equal for equal runs.
    pub trace_hash: String,
}

/// A network of engines in virtual time.
pub struct Simulation {
    scenario: Scenario,
    chain_id: Digest,
    /// Of every epoch that any host has reached.
    verifiers: BTreeMap<Epoch, Verifier>,
    hosts: Vec<Host>,
    events: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    now: Timestamp,
    rng: fastrand::Rng,
    watch: Watch,
    trace: Option<Hasher>,
    submitted_at: BTreeMap<Digest, Timestamp>,
    latencies: Vec<u64>,
    expired: BTreeSet<Digest>,
    last_progress: Timestamp,
    longest_gap_us: u64,
    paths: BTreeMap<u64, bool>,
    signatures: u64,
    messages: BTreeMap<&'static str, u64>,
}

impl Simulation {
    /// A network at its genesis. Fails if the scenario's parameters are not safe.
    pub fn new(scenario: Scenario) -> Result<Self, String> {
        let (genesis, keys) = network(&scenario)?;
        let chain_id = genesis.chain_id();
        let mut hosts = Vec::new();
        let first = Arc::new(EpochContext::of_genesis(&genesis));
        for (index, keys) in keys.into_iter().enumerate() {
            let keys = Arc::new(keys);
            let me = ValidatorIndex::new(index as u16);
            let attack = scenario.faults.iter().find_map(|fault| match fault {
                Fault::Byzantine { validator, attack } if *validator == me.get() => {
                    Some(Attack::new(*attack, me, chain_id, Arc::clone(&genesis.config)))
                }
                _ => None,
            });
            let setup = EngineConfig {
                genesis: Arc::clone(&first),
                name: Some(format!("v{me}")),
                keys: Arc::<Keys>::clone(&keys),
                settings: scenario.settings,
                max_batch_size: 100,
                mempool: MempoolLimits::default(),
                application: Arc::new(AcceptAll),
            };
            hosts.push(Host::new(setup, keys, attack));
        }
        let rng = fastrand::Rng::with_seed(scenario.seed);
        let mut simulation = Self {
            verifiers: BTreeMap::from([(Epoch::ZERO, Verifier::new(Arc::clone(&genesis.config), chain_id))]),
            chain_id,
            hosts,
            events: BTreeMap::new(),
            sequence: 0,
            now: Timestamp::new(START_US),
            rng,
            watch: Watch::default(),
            trace: Some(HashAlgorithm::Sha256.hasher("agent-mesh/trace/v1")),
            submitted_at: BTreeMap::new(),
            latencies: Vec::new(),
            expired: BTreeSet::new(),
            last_progress: Timestamp::new(START_US),
            longest_gap_us: 0,
            paths: BTreeMap::new(),
            signatures: 0,
            messages: BTreeMap::new(),
            scenario,
        };
        simulation.plan();
        Ok(simulation)
    }

    fn plan(&mut self) {
        for host in 0..self.hosts.len() as u16 {
            self.at(self.now, Event::Boot { host });
        }
        for number in 0..self.scenario.values {
            let at = self.now.after_us(10_000 + number * self.scenario.value_every_us);
            self.at(at, Event::Submit { number });
        }
        for fault in self.scenario.faults.clone() {
            if let Fault::Crash { validator, at_us, back_at_us } = fault {
                self.at(self.now.after_us(at_us), Event::Crash { host: validator });
                if let Some(back) = back_at_us {
                    self.at(self.now.after_us(back), Event::Boot { host: validator });
                }
            }
        }
    }

    fn at(&mut self, time: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    /// Runs until the scenario's time is over, and reports.
    pub fn run(mut self) -> Report {
        let end = Timestamp::new(START_US + self.scenario.duration_us);
        while let Some(((time, _), event)) = self.events.pop_first() {
            if time > end {
                break;
            }
            self.now = time;
            self.step(event);
        }
        self.report()
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, content, message } => {
                self.note(&[1, to as u8, from as u8]);
                if let (Some(attack), Content::Proposal(header, _)) =
                    (&mut self.hosts[usize::from(to)].attack, content.get())
                {
                    attack.saw(header);
                }
                self.deliver(to, ValidatorIndex::new(from), content, &message);
            }
            Event::Rotate { host, life, epoch } => {
                let it = &self.hosts[usize::from(host)];
                if it.life == life && it.epoch == epoch {
                    self.rotate(host);
                }
            }
            Event::Persisted { host, life, ticket } => {
                if self.hosts[usize::from(host)].life == life {
                    self.note(&[2, host as u8]);
                    if let Err(error) = self.hosts[usize::from(host)].disk.commit(&[], true) {
                        self.watch.violation(format!("v{host} cannot flush: {error}"));
                    }
                    self.input(host, Input::Persisted { ticket });
                }
            }
            Event::Wake { host, life } => {
                let it = &mut self.hosts[usize::from(host)];
                if it.life == life && it.wake_at.is_some_and(|at| at <= self.now) {
                    it.wake_at = None;
                    self.input(host, Input::Tick);
                }
            }
            Event::Submit { number } => self.submit(number),
            Event::Crash { host } => {
                let choice = self.rng.u64(..);
                self.note(&[3, host as u8]);
                self.hosts[usize::from(host)].crash(choice);
            }
            Event::Boot { host } => self.boot(host),
        }
    }

    /// What a node's read task does: verified against the receiver's epoch, or handed on as it is.
    fn deliver(&mut self, to: u16, from: ValidatorIndex, content: Verified<Content>, message: &Arc<Message>) {
        let epoch = self.hosts[usize::from(to)].epoch;
        if content.epoch() == epoch {
            return self.input(to, Input::Message { from, content });
        }
        if message.epoch().is_some() {
            return self.input(to, Input::Elsewhere { from, message: Box::new(message.as_ref().clone()) });
        }
        if let Some(Ok(content)) = self.verifiers.get(&epoch).map(|v| v.verify(from, message.as_ref().clone())) {
            self.input(to, Input::Message { from, content });
        }
    }

    /// A host is in an epoch: keys that it does not name are erased, and new ones are planned.
    fn in_epoch(&mut self, host: u16, context: &Arc<EpochContext>) {
        let epoch = context.epoch();
        self.note(&[5, host as u8]);
        self.hosts[usize::from(host)].epoch = epoch;
        self.hosts[usize::from(host)].keys.enter(context);
        self.watch.entered_epoch(host, epoch.get());
        self.verifiers.entry(epoch).or_insert_with(|| Verifier::new(Arc::clone(&context.config), self.chain_id));
        if self.scenario.rotate {
            let span_us = context.config.limits.key_rotation_interval_s * 1_000_000;
            let due =
                context.start.time.after_us(span_us / 4 + u64::from(host) * span_us / 4 / self.hosts.len() as u64);
            let life = self.hosts[usize::from(host)].life;
            self.at(due.max(self.now.after_us(1)), Event::Rotate { host, life, epoch });
        }
    }

    fn rotate(&mut self, host: u16) {
        let it = &self.hosts[usize::from(host)];
        let Some(context) = it.engine.as_ref().map(|engine| Arc::clone(engine.replica().context())) else { return };
        match it.keys.rotation(&context) {
            Ok(Some(tx)) => self.input(host, Input::System(Arc::new(tx))),
            Ok(None) => {}
            Err(error) => self.watch.violation(format!("v{host} cannot rotate: {error}")),
        }
    }

    fn boot(&mut self, host: u16) {
        self.note(&[4, host as u8]);
        let now = self.now;
        match self.hosts[usize::from(host)].boot(now) {
            Ok((height, effects)) => {
                self.watch.restarted(host, height);
                let context = self.hosts[usize::from(host)].engine.as_ref().map(|e| Arc::clone(e.replica().context()));
                if let Some(context) = context {
                    self.in_epoch(host, &context);
                }
                self.apply(host, effects);
                let threshold = self.scenario.advised_threshold;
                let advice = Advice { threshold, hedge_us: self.scenario.settings.hedge_us };
                self.input(host, Input::Advice(advice));
                for peer in 0..self.hosts.len() as u16 {
                    if peer != host && self.hosts[usize::from(peer)].engine.is_some() {
                        self.input(host, Input::LinkUp(ValidatorIndex::new(peer)));
                        self.input(peer, Input::LinkUp(ValidatorIndex::new(host)));
                    }
                }
            }
            Err(error) => self.watch.violation(format!("v{host} does not start: {error}")),
        }
    }

    fn submit(&mut self, number: u64) {
        let n = self.hosts.len() as u64;
        let place = (0..n).map(|k| (number + k) % n).find(|at| {
            let host = &self.hosts[*at as usize];
            host.engine.is_some() && host.attack.is_none()
        });
        let Some(place) = place else { return };
        let proposal = Proposal {
            deadline: self.now.after_ms(self.scenario.value_timeout_ms),
            priority: 4,
            nonce: number,
            value: Bytes::from(format!("value {number}")),
        };
        let id = proposal.id(&self.chain_id);
        if self.submitted_at.is_empty() {
            self.last_progress = self.now; // nothing waited until now
        }
        self.submitted_at.insert(id, self.now);
        let proposals = vec![(id, Arc::new(proposal))];
        self.input(place as u16, Input::Submit { ticket: SubmitTicket(number), proposals });
    }

    fn input(&mut self, host: u16, input: Input) {
        let effects = self.hosts[usize::from(host)].handle(self.now, input);
        self.apply(host, effects);
        self.schedule_wake(host);
    }

    fn schedule_wake(&mut self, host: u16) {
        let it = &mut self.hosts[usize::from(host)];
        let Some(engine) = &it.engine else { return };
        let next = engine.next_deadline().max(self.now.after_us(1));
        if next.get() < u64::MAX && it.wake_at.is_none_or(|at| next < at) {
            it.wake_at = Some(next);
            let life = it.life;
            self.at(next, Event::Wake { host, life });
        }
    }

    fn apply(&mut self, host: u16, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::EpochStarted(context) => self.in_epoch(host, &context),
                Effect::SystemTaken(None) => {}
                Effect::SystemTaken(Some(why)) => {
                    self.watch.violation(format!("v{host}: its own rotation was refused: {why}"));
                }
                Effect::Fatal(why) => self.watch.violation(format!("v{host} stops: {why}")),
                Effect::Sign { ticket, request, key } => {
                    self.signatures += u64::from(self.hosts[usize::from(host)].attack.is_none());
                    match self.hosts[usize::from(host)].sign(&request, &key) {
                        Ok(signature) => self.input(host, Input::Signed { ticket, signature }),
                        Err(error) => self.watch.violation(format!("v{host} cannot sign: {error}")),
                    }
                }
                Effect::Persist { ticket, records } => {
                    let it = &mut self.hosts[usize::from(host)];
                    if let Err(error) = it.disk.commit(&[batch_of(records)], false) {
                        self.watch.violation(format!("v{host} cannot write: {error}"));
                    }
                    let life = it.life;
                    self.at(self.now.after_us(self.scenario.flush_us), Event::Persisted { host, life, ticket });
                }
                Effect::Index(records) => {
                    let it = &mut self.hosts[usize::from(host)];
                    if let Err(error) = it.disk.commit(&[batch_of(records)], false) {
                        self.watch.violation(format!("v{host} cannot write: {error}"));
                    }
                }
                Effect::Send { to, message } => self.send(host, to, message),
                Effect::ServeChain { to, above } => self.serve_chain(host, to, above),
                Effect::Publish(blocks) => {
                    for block in blocks {
                        let height = block.header.header().height.get();
                        self.note(block.header.hash().as_bytes());
                        self.watch.published(host, height, block.header.hash(), block.body.ids());
                        let fast = block.path == consensus::certificate::FinalityPath::Fast;
                        if !self.paths.contains_key(&height) {
                            if !self.submitted_at.is_empty() {
                                self.longest_gap_us = self.longest_gap_us.max(self.now.since_us(self.last_progress));
                            }
                            self.last_progress = self.now;
                        }
                        self.paths.entry(height).or_insert(fast);
                        for id in block.body.ids() {
                            if let Some(at) = self.submitted_at.remove(id) {
                                self.latencies.push(self.now.since_us(at));
                                if self.expired.contains(id) {
                                    self.watch.violation(format!("{id} was told expired and is final"));
                                }
                            }
                        }
                    }
                }
                Effect::Evidence(evidence) => {
                    let honest = self.hosts[evidence.accused().as_usize()].attack.is_none();
                    self.watch.accused(evidence.accused(), honest);
                }
                Effect::Expired(ids) => {
                    self.expired.extend(ids.iter().filter(|id| self.submitted_at.contains_key(*id)));
                }
                Effect::Accepted { .. } | Effect::Entered { .. } | Effect::Dropped(_) => {}
            }
        }
    }

    fn serve_chain(&mut self, host: u16, to: ValidatorIndex, above: Height) {
        let records = StoreRecords(self.hosts[usize::from(host)].disk.reader());
        match serve::final_chain(&records, &self.chain_id, above, 1024 * 1024) {
            Ok(Some(message)) => self.send(host, Recipient::One(to), message),
            Ok(None) => {}
            Err(error) => self.watch.violation(format!("v{host} cannot serve: {error}")),
        }
    }

    fn send(&mut self, host: u16, to: Recipient, message: Message) {
        let it = &mut self.hosts[usize::from(host)];
        let out = if let Some(attack) = &mut it.attack {
            attack.rewrite(it.keys.as_ref(), to, message)
        } else {
            self.watch_signed(host, &message);
            vec![(to, message)]
        };
        for (to, message) in out {
            *self.messages.entry(message.name()).or_default() += 1;
            let epoch = self.hosts[usize::from(host)].epoch;
            // What the process had said of an epoch that it has left in the meantime is verified against that one.
            let epoch = message.epoch().unwrap_or(epoch);
            let Some(verifier) = self.verifiers.get(&epoch) else {
                self.watch.violation(format!("v{host} speaks in epoch {epoch}, which nobody has entered"));
                continue;
            };
            let raw = Arc::new(message.clone());
            let verified = match verifier.verify(ValidatorIndex::new(host), message) {
                Ok(verified) => verified,
                Err(error) => {
                    if self.hosts[usize::from(host)].attack.is_none() {
                        self.watch.violation(format!("honest v{host} sent what does not verify: {error}"));
                    }
                    continue;
                }
            };
            let targets: Vec<u16> = match to {
                Recipient::One(index) => vec![index.get()],
                Recipient::All => (0..self.hosts.len() as u16).filter(|at| *at != host).collect(),
            };
            for target in targets {
                self.carry(host, target, &verified, &raw);
            }
        }
    }

    fn watch_signed(&mut self, host: u16, message: &Message) {
        match message {
            Message::Proposal(header, _) => {
                self.watch.signed(host, &Vote::Header(Arc::new(SignedHeader::clone(header))));
            }
            Message::Vote(bundle) => self.watch.signed(host, &Vote::Bundle(Arc::new(bundle.clone()))),
            _ => {}
        }
    }

    fn carry(&mut self, from: u16, to: u16, content: &Verified<Content>, message: &Arc<Message>) {
        let after = self.now.since_us(Timestamp::new(START_US));
        let cut = self.scenario.faults.iter().any(|fault| match fault {
            Fault::Partition { side, from_us, to_us } => {
                let apart = (side >> from & 1) != (side >> to & 1);
                apart && (*from_us..*to_us).contains(&after)
            }
            _ => false,
        });
        let copies = 1 + u64::from(self.rng.u32(0..1_000) < self.scenario.duplicate_per_mille);
        for _ in 0..copies {
            let lost = self.rng.u32(0..1_000) < self.scenario.loss_per_mille;
            let delay = self.rng.u64(self.scenario.delay_min_us..=self.scenario.delay_max_us);
            if !cut && !lost {
                let event = Event::Deliver { to, from, content: content.clone(), message: Arc::clone(message) };
                self.at(self.now.after_us(delay), event);
            }
        }
    }

    fn note(&mut self, what: &[u8]) {
        if let Some(trace) = &mut self.trace {
            trace.update(&self.now.get().to_be_bytes());
            trace.update(what);
        }
    }

    fn report(mut self) -> Report {
        let honest = self.hosts.iter().filter(|host| host.attack.is_none()).filter_map(|host| host.engine.as_ref());
        let view = honest.map(|engine| engine.status().view.get()).max().unwrap_or(0);
        let up = self.hosts.iter().filter(|host| host.attack.is_none() && host.engine.is_some());
        let lowest_epoch = up.map(|host| host.epoch.get()).min().unwrap_or(0);
        let changed = |before: &Verifier, after: &Verifier| {
            let pairs = before.config().members.iter().zip(&after.config().members);
            pairs.filter(|(before, after)| before.session_key != after.session_key).count() as u64
        };
        let contexts: Vec<&Verifier> = self.verifiers.values().collect();
        let rotations = contexts.windows(2).map(|pair| changed(pair[0], pair[1])).sum();
        self.latencies.sort_unstable();
        let percentile = |p: usize| {
            let at = (self.latencies.len() * p / 100).min(self.latencies.len().saturating_sub(1));
            self.latencies.get(at).copied().unwrap_or(0)
        };
        let fast_blocks = self.paths.values().filter(|fast| **fast).count() as u64;
        Report {
            violations: self.watch.violations().to_vec(),
            submitted: (self.submitted_at.len() + self.latencies.len()) as u64,
            finalized: self.latencies.len() as u64,
            expired: self.expired.len() as u64,
            longest_gap_us: self.longest_gap_us,
            height: self.watch.chain().map(|(height, _)| height).max().unwrap_or(0),
            fast_blocks,
            slow_blocks: self.paths.len() as u64 - fast_blocks,
            accused: self.watch.accused_set().iter().copied().collect(),
            view,
            epoch: self.verifiers.keys().last().map_or(0, |epoch| epoch.get()),
            lowest_epoch,
            rotations,
            latency_p50_us: percentile(50),
            latency_p99_us: percentile(99),
            signatures: self.signatures,
            messages: self.messages,
            trace_hash: self.trace.take().map(|trace| trace.finish().to_string()).unwrap_or_default(),
        }
    }
}
