//! A few real engines on torn disks; a check decides, letter by letter, what is delivered when.
//!
//! Unlike the simulator, which draws a network from a seed, the lab does what a script says: it is for the schedules that a text or a
//! proof speaks of. Signatures are left out (nobody verifies here); everything else is the shipped code.

pub mod byzantine;
pub mod disk;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use consensus::body::{Body, Proposal};
use consensus::config::SharedConfig;
use consensus::epoch::EpochContext;
use consensus::header::SignedHeader;
use consensus::message::Message;
use consensus::records::Record;
use consensus::replica::{Advice, Recipient, Settings, SignRequest, Ticket};
use consensus::types::{Timestamp, ValidatorIndex};
use consensus::verify::{Content, ProvenChain, Verified};
use consensus::vote::Bundle;
use crypto::Digest;
use engine::mempool::MempoolLimits;
use engine::records::{StoreRecords, batch_of};
use engine::{AcceptAll, AnyKey, Effect, Engine, EngineConfig, Input, SubmitTicket, serve};

use disk::{Disk, Doom};
pub use watch::Watch;

/// When a lab begins.
pub const START: Timestamp = Timestamp::new(sim::scenario::START_US);
/// The time of a flush, in microseconds.
const FLUSH_US: u64 = 100;
/// Inputs after which a lab is taken for one that spins.
const MAX_INPUTS: u64 = 5_000_000;

/// A message on its way.
pub struct Letter<'a> {
    /// The sender.
    pub from: u16,
    /// The receiver.
    pub to: u16,
    /// What it says.
    pub message: &'a Message,
    /// When it is sent, in microseconds after the start.
    pub at_us: u64,
}

/// What becomes of a letter: it arrives after so many microseconds, or never.
pub type Fate = Option<u64>;

/// Decides about every letter.
pub type Post = Box<dyn FnMut(&Letter<'_>) -> Fate>;

enum Event {
    Deliver { to: u16, from: u16, content: Verified<Content> },
    Flushed { host: u16, life: u64, ticket: Ticket },
    Wake { host: u16, life: u64 },
}

/// One validator; a Byzantine one has no engine, the script speaks for it.
pub struct Host {
    /// How its engine is set up.
    pub setup: EngineConfig,
    /// Its disk.
    pub disk: Disk,
    /// None while it is down.
    pub engine: Option<Engine>,
    life: u64,
    wake_at: Option<Timestamp>,
}

/// A network under a script.
pub struct Lab {
    /// The epoch's configuration.
    pub config: SharedConfig,
    /// The chain id.
    pub chain_id: Digest,
    /// The validators.
    pub hosts: Vec<Host>,
    /// The time.
    pub now: Timestamp,
    /// What has gone wrong so far.
    pub watch: Watch,
    events: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    inputs: u64,
    post: Post,
    submitted: u64,
    advice: Option<Advice>,
}

impl Lab {
    /// `n` validators at genesis, all down; every letter arrives after `delay_us` until [`Self::set_post`].
    pub fn new(n: u16, settings: Settings, delay_us: u64) -> Result<Self, String> {
        let scenario = sim::Scenario { validators: n, ..sim::Scenario::default() };
        let (genesis, _) = sim::network(&scenario)?;
        let chain_id = genesis.chain_id();
        let host = |index: u16| Host {
            setup: EngineConfig {
                genesis: Arc::new(EpochContext::of_genesis(&genesis)),
                name: Some(format!("v{index}")),
                keys: Arc::new(AnyKey),
                settings,
                max_batch_size: 16,
                mempool: MempoolLimits { max_proposals: 10_000, ..MempoolLimits::default() },
                adaptive_forwarding: false,
                application: Arc::new(AcceptAll),
            },
            disk: Disk::new(),
            engine: None,
            life: 0,
            wake_at: None,
        };
        Ok(Self {
            hosts: (0..n).map(host).collect(),
            config: genesis.config,
            chain_id,
            now: START,
            watch: Watch::default(),
            events: BTreeMap::new(),
            sequence: 0,
            inputs: 0,
            post: Box::new(move |_| Some(delay_us)),
            submitted: 0,
            advice: None,
        })
    }

    /// From now on `post` decides about letters.
    pub fn set_post(&mut self, post: impl FnMut(&Letter<'_>) -> Fate + 'static) {
        self.post = Box::new(post);
    }

    /// Advice for every engine, and for those that start later.
    pub fn advise(&mut self, advice: Advice) {
        self.advice = Some(advice);
        for host in 0..self.hosts.len() as u16 {
            self.input(host, Input::Advice(advice));
        }
    }

    /// Starts a validator on what its disk holds. A failure that an operator would see is the error.
    pub fn boot(&mut self, host: u16) -> Result<(), String> {
        let it = &mut self.hosts[usize::from(host)];
        let mut effects = Vec::new();
        let records = StoreRecords(it.disk.reader());
        let mut engine = Engine::restore(&it.setup, &records, &mut effects).map_err(|error| error.to_string())?;
        let height = engine.status().last_committed.height.get();
        engine.start(self.now, &mut effects);
        it.engine = Some(engine);
        it.wake_at = None;
        self.watch.restarted(host, height);
        self.apply(host, effects);
        if let Some(advice) = self.advice {
            self.input(host, Input::Advice(advice));
        }
        for peer in 0..self.hosts.len() as u16 {
            if peer != host && self.is_up(peer) {
                self.input(host, Input::LinkUp(ValidatorIndex::new(peer)));
                self.input(peer, Input::LinkUp(ValidatorIndex::new(host)));
            }
        }
        Ok(())
    }

    /// Starts these validators.
    pub fn boot_all(&mut self, hosts: &[u16]) -> Result<(), String> {
        hosts.iter().try_for_each(|host| self.boot(*host))
    }

    /// Whether a validator runs.
    pub fn is_up(&self, host: u16) -> bool {
        self.hosts[usize::from(host)].engine.is_some()
    }

    /// The process dies; of what was not flushed a prefix chosen by `choice` survives.
    pub fn crash(&mut self, host: u16, choice: u64) {
        let it = &mut self.hosts[usize::from(host)];
        it.engine = None;
        it.life += 1;
        it.wake_at = None;
        it.disk.crash(choice);
    }

    /// A client submits a value that lives for `timeout_ms`; its id.
    pub fn submit(&mut self, host: u16, timeout_ms: u64) -> Digest {
        self.submitted += 1;
        let proposal = Proposal {
            deadline: self.now.after_ms(timeout_ms),
            priority: 4,
            nonce: self.submitted,
            value: Bytes::from(format!("value {}", self.submitted)),
        };
        let id = proposal.id(&self.chain_id);
        let proposals = vec![(id, Arc::new(proposal))];
        self.watch.submitted(self.submitted, id);
        self.input(host, Input::Submit { ticket: SubmitTicket(self.submitted), proposals });
        id
    }

    /// A letter of the script, delivered after `delay_us` whatever the post says.
    pub fn inject(&mut self, from: u16, to: u16, message: Message, delay_us: u64) {
        if let Some(content) = assume(message, &self.chain_id) {
            self.at(self.now.after_us(delay_us), Event::Deliver { to, from, content });
        }
    }

    /// Lets time pass.
    pub fn run_us(&mut self, micros: u64) {
        let end = self.now.after_us(micros);
        while let Some(((time, _), _)) = self.events.first_key_value() {
            if *time > end {
                break;
            }
            let Some(((time, _), event)) = self.events.pop_first() else { break };
            self.now = time;
            self.step(event);
            if self.inputs > MAX_INPUTS {
                self.watch.violation(format!("more than {MAX_INPUTS} inputs: the network spins"));
                return;
            }
        }
        self.now = end;
    }

    /// Lets time pass in milliseconds.
    pub fn run_ms(&mut self, millis: u64) {
        self.run_us(millis * 1_000);
    }

    /// The height up to which a validator has committed.
    pub fn height(&self, host: u16) -> u64 {
        self.hosts[usize::from(host)].engine.as_ref().map_or(0, |engine| engine.status().last_committed.height.get())
    }

    /// The greatest height of any.
    pub fn top(&self) -> u64 {
        (0..self.hosts.len() as u16).map(|host| self.height(host)).max().unwrap_or(0)
    }

    /// The view that a validator is in.
    pub fn view(&self, host: u16) -> u64 {
        self.hosts[usize::from(host)].engine.as_ref().map_or(0, |engine| engine.status().view.get())
    }

    fn at(&mut self, time: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, content } => {
                self.input(to, Input::Message { from: ValidatorIndex::new(from), content });
            }
            Event::Flushed { host, life, ticket } => {
                if self.hosts[usize::from(host)].life == life && self.write(host, None, true) {
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
        }
    }

    /// An input for one validator, and everything that follows from it at once.
    pub fn input(&mut self, host: u16, input: Input) {
        self.inputs += 1;
        let (now, mut effects) = (self.now, Vec::new());
        if let Some(engine) = &mut self.hosts[usize::from(host)].engine {
            engine.handle(now, input, &mut effects);
        }
        self.apply(host, effects);
        let it = &mut self.hosts[usize::from(host)];
        let Some(engine) = &it.engine else { return };
        let next = engine.next_deadline().max(self.now.after_us(1));
        if next.get() < u64::MAX && it.wake_at.is_none_or(|at| next < at) {
            it.wake_at = Some(next);
            let life = it.life;
            self.at(next, Event::Wake { host, life });
        }
    }

    /// One durable operation: a write, or a flush. False if the process did not survive it.
    fn write(&mut self, host: u16, records: Option<Vec<Record>>, flush: bool) -> bool {
        let it = &mut self.hosts[usize::from(host)];
        let batches: Vec<_> = records.into_iter().map(batch_of).collect();
        match it.disk.commit(&batches, flush) {
            Ok(()) => true,
            Err(doom) => {
                self.watch.stopped(host, &doom);
                let choice = match doom {
                    Doom::Dies { choice } => choice,
                    // A failed write stops the node; the machine goes on, so what was written before stays.
                    Doom::Fails { .. } => u64::MAX,
                };
                self.crash(host, choice);
                false
            }
        }
    }

    fn apply(&mut self, host: u16, effects: Vec<Effect>) {
        let life = self.hosts[usize::from(host)].life;
        for effect in effects {
            if self.hosts[usize::from(host)].life != life || !self.is_up(host) {
                return; // it died at one of its writes: nothing after it happens
            }
            match effect {
                Effect::Sign { ticket, request, .. } => {
                    let signature = match request {
                        SignRequest::Header(_) => vec![1],
                        SignRequest::Votes(_) => vec![2],
                    };
                    self.input(host, Input::Signed { ticket, signature });
                }
                Effect::Persist { ticket, records } => {
                    if self.write(host, Some(records), false) {
                        self.at(self.now.after_us(FLUSH_US), Event::Flushed { host, life, ticket });
                    }
                }
                Effect::Index(records) => drop(self.write(host, Some(records), false)),
                Effect::Send { to, message } => self.send(host, to, &message),
                Effect::ServeChain { to, above, upto } => {
                    let records = StoreRecords(self.hosts[usize::from(host)].disk.reader());
                    match serve::answer(&records, &self.chain_id, above, upto, 1024 * 1024) {
                        Ok(Some(message)) => self.send(host, Recipient::One(to), &message),
                        Ok(None) => {}
                        Err(error) => self.watch.violation(format!("v{host} cannot serve: {error}")),
                    }
                }
                Effect::Publish(blocks) => blocks.iter().for_each(|block| self.watch.published(host, block)),
                Effect::Evidence(evidence) => self.watch.accused(evidence.as_ref()),
                Effect::Expired(ids) => self.watch.expired(host, &ids),
                Effect::Accepted { ticket, outcomes } => self.watch.accepted(ticket.0, &outcomes),
                Effect::Fatal(why) => self.watch.violation(format!("v{host} stops: {why}")),
                // The lab stays in the first epoch.
                Effect::Entered { .. }
                | Effect::Observed(_)
                | Effect::Dropped(_)
                | Effect::EpochStarted(_)
                | Effect::SystemTaken(_) => {}
            }
        }
    }

    fn send(&mut self, from: u16, to: Recipient, message: &Message) {
        self.watch.sent(from, message);
        let targets: Vec<u16> = match to {
            Recipient::One(index) => vec![index.get()],
            Recipient::All => (0..self.hosts.len() as u16).filter(|at| *at != from).collect(),
        };
        let at_us = self.now.since_us(START);
        for to in targets {
            let letter = Letter { from, to, message, at_us };
            if let Some(delay) = (self.post)(&letter)
                && let Some(content) = assume(message.clone(), &self.chain_id)
            {
                self.at(self.now.after_us(delay), Event::Deliver { to, from, content });
            }
        }
    }
}

/// A message as the core takes it, its signatures taken for good.
fn assume(message: Message, chain_id: &Digest) -> Option<Verified<Content>> {
    let body = |bytes: Bytes| Body::decode(bytes, chain_id).ok().map(Arc::new);
    let content = match message {
        Message::Proposal(header, bytes) => Content::Proposal(
            Arc::new(header),
            match bytes {
                Some(bytes) => Some(body(bytes)?),
                None => None,
            },
        ),
        Message::Vote(bundle) => Content::Vote(Arc::<Bundle>::new(bundle)),
        Message::Status(status) => Content::Status(status),
        Message::Answer(answer) => Content::Answer {
            votes: answer.votes,
            headers: answer.headers.into_iter().map(Arc::<SignedHeader>::new).collect(),
            bodies: answer.bodies.into_iter().map(body).collect::<Option<_>>()?,
        },
        Message::FinalChain(chain) => {
            let blocks = chain.blocks.into_iter().map(|(header, bytes)| Some((Arc::new(header), body(bytes)?)));
            Content::FinalChain(Arc::new(ProvenChain {
                blocks: blocks.collect::<Option<_>>()?,
                descendants: chain.descendants,
                certificate: chain.certificate,
            }))
        }
        Message::Fetch(fetch) => Content::Fetch(fetch),
        Message::Held(held) => Content::Held(held),
        Message::Hint(_, view) => Content::Hint(view),
        Message::System(..) => return None,
        Message::Forward(proposals) => {
            let with_id = |proposal: Proposal| (proposal.id(chain_id), Arc::new(proposal));
            Content::Forward(proposals.into_iter().map(with_id).collect())
        }
    };
    Some(Verified::assumed(content))
}
