//! The event loop in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::header::SignedHeader;
use consensus::message::Message;
use consensus::replica::{Advice, Recipient, Ticket};
use consensus::types::{Height, Timestamp, ValidatorIndex};
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
use crate::scenario::{Fault, START_US, Scenario, network};

enum Event {
    Deliver { to: u16, from: u16, content: Verified<Content> },
    Persisted { host: u16, life: u64, ticket: Ticket },
    Wake { host: u16, life: u64 },
    Submit { number: u64 },
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
    verifier: Verifier,
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
        for (index, key) in keys.into_iter().enumerate() {
            let me = ValidatorIndex::new(index as u16);
            let attack = scenario.faults.iter().find_map(|fault| match fault {
                Fault::Byzantine { validator, attack } if *validator == me.get() => {
                    Some(Attack::new(*attack, me, chain_id, Arc::clone(&genesis.config)))
                }
                _ => None,
            });
            let setup = EngineConfig {
                config: Arc::clone(&genesis.config),
                chain_id,
                created: genesis.created,
                me: Some(me),
                settings: scenario.settings,
                max_batch_size: 100,
                mempool: MempoolLimits::default(),
                adaptive_forwarding: true,
                application: Arc::new(AcceptAll),
            };
            hosts.push(Host::new(setup, key, attack));
        }
        let rng = fastrand::Rng::with_seed(scenario.seed);
        let mut simulation = Self {
            verifier: Verifier::new(Arc::clone(&genesis.config), chain_id),
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
            Event::Deliver { to, from, content } => {
                self.note(&[1, to as u8, from as u8]);
                if let (Some(attack), Content::Proposal(header, _)) =
                    (&mut self.hosts[usize::from(to)].attack, content.get())
                {
                    attack.saw(header);
                }
                self.input(to, Input::Message { from: ValidatorIndex::new(from), content });
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

    fn boot(&mut self, host: u16) {
        self.note(&[4, host as u8]);
        let now = self.now;
        match self.hosts[usize::from(host)].boot(now) {
            Ok((height, effects)) => {
                self.watch.restarted(host, height);
                self.apply(host, effects);
                let threshold = self.scenario.advised_threshold;
                let advice = Advice { threshold, hedge_us: self.scenario.settings.hedge_us, delta_us: None };
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
                Effect::Sign { ticket, request } => {
                    self.signatures += u64::from(self.hosts[usize::from(host)].attack.is_none());
                    match self.hosts[usize::from(host)].sign(&request) {
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
                Effect::Accepted { .. } | Effect::Entered { .. } | Effect::Observed(_) | Effect::Dropped(_) => {}
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
            attack.rewrite(&it.key, to, message)
        } else {
            self.watch_signed(host, &message);
            vec![(to, message)]
        };
        for (to, message) in out {
            *self.messages.entry(message.name()).or_default() += 1;
            let verified = match self.verifier.verify(ValidatorIndex::new(host), message) {
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
                self.carry(host, target, &verified);
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

    fn carry(&mut self, from: u16, to: u16, content: &Verified<Content>) {
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
                let event = Event::Deliver { to, from, content: content.clone() };
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
            latency_p50_us: percentile(50),
            latency_p99_us: percentile(99),
            signatures: self.signatures,
            messages: self.messages,
            trace_hash: self.trace.take().map(|trace| trace.finish().to_string()).unwrap_or_default(),
        }
    }
}
