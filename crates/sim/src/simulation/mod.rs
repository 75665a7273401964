//! The event loop in virtual time.
//!
//! - [`advised`]: runs with an optimizer in every host.
//! - [`effects`]: what hosts want done: signing, writing, sending, telling.
//! - [`figures`]: what is measured on the way.

mod advised;
mod effects;
mod figures;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::epoch::EpochContext;
use consensus::message::Message;
use consensus::replica::{Advice, Recipient, Ticket};
use consensus::types::{Epoch, Timestamp, ValidatorIndex, View};
use consensus::verify::{Content, Verified, Verifier};
use crypto::{Digest, HashAlgorithm, Hasher, SecurityLevel};
use engine::mempool::MempoolLimits;
use engine::{AcceptAll, Effect, EngineConfig, Input, SubmitTicket};

use self::figures::Figures;
use crate::attack::{AttackKind, Board, mix};
use crate::genesis::network;
use crate::host::{Clock, Host};
use crate::invariants::Watch;
use crate::keys::Keys;
use crate::network::Network;
use crate::network::sampler::up_to;
use crate::queue::Queue;
use crate::report::{Report, Samples};
use crate::scenario::{Fault, START_US, Scenario};
use crate::wire::Cost;

/// A message on its way, shared by all its receivers and verified once for all.
struct Sent {
    content: Verified<Content>,
    /// As it is on the wire, for receivers in another epoch.
    message: Message,
    cost: Cost,
}

enum Event {
    Deliver {
        to: u16,
        from: ValidatorIndex,
        sent: Arc<Sent>,
    },
    /// Verified and read: the core takes it.
    Take {
        to: u16,
        life: u64,
        from: ValidatorIndex,
        sent: Arc<Sent>,
    },
    Signed {
        host: u16,
        life: u64,
        ticket: Ticket,
        signature: Box<[u8]>,
    },
    Flushed {
        host: u16,
        life: u64,
    },
    Wake {
        host: u16,
        life: u64,
    },
    Later {
        host: u16,
        life: u64,
        to: Recipient,
        message: Box<Message>,
    },
    Submit {
        number: u64,
    },
    Rotate {
        host: u16,
        life: u64,
        epoch: Epoch,
    },
    Crash {
        host: u16,
    },
    Boot {
        host: u16,
    },
    /// The optimizers look at their links.
    Sample,
    /// The faults that can end have ended.
    Calm,
}

/// The second process of every validator that runs two.
fn add_twins(scenario: &Scenario, hosts: &mut Vec<Host>) {
    for index in 0..hosts.len() {
        let first = &hosts[index];
        if scenario.attack_of(first.validator.get()) == Some(AttackKind::Twins) {
            let mut twin = Host::new(first.setup.clone(), first.validator, Arc::clone(&first.keys), first.clock);
            twin.honest = false;
            twin.attack = Some(AttackKind::Twins.attacker(1));
            hosts.push(twin);
        }
    }
}

/// A network of engines in virtual time.
pub struct Simulation {
    scenario: Scenario,
    level: SecurityLevel,
    chain_id: Digest,
    /// Of every epoch that any host has reached.
    verifiers: BTreeMap<Epoch, Verifier>,
    hosts: Vec<Host>,
    network: Network,
    queue: Queue<Event>,
    now: Timestamp,
    rng: fastrand::Rng,
    board: Board,
    watch: Watch,
    figures: Figures,
    trace: Hasher,
    /// The value of each submission whose answer has not come.
    submissions: BTreeMap<u64, Digest>,
    /// Buffers for effects, used again and again.
    spare: Vec<Vec<Effect>>,
    /// Delays depend on what is sent and not on what was sent before, so that runs of one seed can be compared.
    common_numbers: bool,
}

impl Simulation {
    /// A network at its genesis. Fails if the scenario's parameters are not safe.
    pub fn new(scenario: Scenario) -> Result<Self, String> {
        scenario.check()?;
        let (genesis, keys) = network(&scenario)?;
        let chain_id = genesis.chain_id();
        let mut rng = fastrand::Rng::with_seed(scenario.seed);
        let mut hosts = Vec::new();
        let first = Arc::new(EpochContext::of_genesis(&genesis));
        for (index, keys) in keys.into_iter().enumerate() {
            let keys = Arc::new(keys);
            let me = ValidatorIndex::new(index as u16);
            let setup = EngineConfig {
                genesis: Arc::clone(&first),
                name: Some(format!("v{me}")),
                keys: Arc::<Keys>::clone(&keys),
                settings: scenario.settings.settings(),
                max_batch_size: scenario.max_batch_size,
                mempool: MempoolLimits::default(),
                adaptive_forwarding: true,
                application: Arc::new(AcceptAll),
            };
            let (offset, drift) = (scenario.clocks.offset_us, scenario.clocks.drift_ppm);
            let clock = Clock {
                offset_us: up_to(&mut rng, 2 * offset) as i64 - offset as i64,
                drift_ppm: up_to(&mut rng, 2 * drift) as i64 - drift as i64,
            };
            let mut host = Host::new(setup, me, keys, clock);
            let attack = scenario.attack_of(me.get());
            host.honest = attack.is_none_or(AttackKind::is_faithful);
            host.attack = attack.map(|kind| kind.attacker(0));
            hosts.push(host);
        }
        add_twins(&scenario, &mut hosts);
        let start = Timestamp::new(START_US);
        let validator_of = hosts.iter().map(|host| host.validator.get()).collect();
        let calm = scenario.calm_at_us.map(|us| start.after_us(us));
        let network = Network::new(scenario.links.clone(), scenario.weather(), start, calm, validator_of)?;
        let level = SecurityLevel::from_dimension(scenario.level).map_err(|error| error.to_string())?;
        let mut simulation = Self {
            level,
            verifiers: BTreeMap::from([(
                Epoch::ZERO,
                Verifier::new(Arc::clone(&genesis.config), chain_id).remembering(),
            )]),
            chain_id,
            hosts,
            network,
            queue: Queue::new(),
            now: start,
            rng,
            board: Board { secret: mix(scenario.seed), ..Board::default() },
            watch: Watch::new(&first),
            figures: Figures::new(start),
            trace: HashAlgorithm::Sha256.hasher("agent-mesh/trace/v2"),
            submissions: BTreeMap::new(),
            spare: Vec::new(),
            common_numbers: false,
            scenario,
        };
        simulation.plan();
        Ok(simulation)
    }

    fn plan(&mut self) {
        if let Some(calm) = self.scenario.calm_at_us {
            self.queue.plan(self.now.after_us(calm), Event::Calm);
        }
        for host in 0..self.hosts.len() as u16 {
            self.queue.plan(self.now, Event::Boot { host });
        }
        for number in 0..self.scenario.values {
            let at = self.now.after_us(10_000 + number * self.scenario.value_every_us);
            self.queue.plan(at, Event::Submit { number });
        }
        for fault in &self.scenario.faults {
            if let Fault::Crash { validator, at_us, back_at_us } = fault {
                self.queue.plan(self.now.after_us(*at_us), Event::Crash { host: *validator });
                if let Some(back) = back_at_us {
                    self.queue.plan(self.now.after_us(*back), Event::Boot { host: *validator });
                }
            }
        }
    }

    /// Runs until the scenario's time is over, and reports.
    pub fn run(self) -> Report {
        self.run_with_samples().0
    }

    /// Like [`Self::run`], with what pictures are drawn of.
    pub fn run_with_samples(mut self) -> (Report, Samples) {
        self.play();
        self.report()
    }

    pub(super) fn play(&mut self) {
        let end = Timestamp::new(START_US + self.scenario.duration_us);
        while let Some((time, event)) = self.queue.next() {
            if time > end || self.is_over() {
                break;
            }
            self.now = time;
            self.step(event);
        }
        self.watch.finish(&self.hosts);
    }

    /// Whether there is nothing more to see before the time is up.
    fn is_over(&self) -> bool {
        if self.scenario.stop_at_view.is_some_and(|view| self.figures.view >= View::new(view)) {
            return true;
        }
        let passed = self.now.since_us(Timestamp::new(START_US));
        let submitted = 10_000 + self.scenario.values * self.scenario.value_every_us;
        self.scenario.calm_at_us.is_some_and(|calm| passed > calm.max(submitted)) && self.figures.is_settled()
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, sent } => self.deliver(to, from, sent),
            Event::Take { to, life, from, sent } => {
                if self.hosts[usize::from(to)].life == life {
                    self.take(to, from, &sent);
                }
            }
            Event::Signed { host, life, ticket, signature } => {
                if self.hosts[usize::from(host)].life == life {
                    self.input(host, Input::Signed { ticket, signature: signature.into_vec() });
                }
            }
            Event::Flushed { host, life } => {
                if self.hosts[usize::from(host)].life == life {
                    self.note(2, host, 0);
                    self.flushed(host);
                }
            }
            Event::Wake { host, life } => self.wake(host, life),
            Event::Later { host, life, to, message } => {
                if self.hosts[usize::from(host)].life == life {
                    self.transmit(host, to, *message);
                }
            }
            Event::Submit { number } => self.submit(number),
            Event::Rotate { host, life, epoch } => {
                let it = &self.hosts[usize::from(host)];
                if it.life == life && it.epoch == epoch {
                    self.rotate(host);
                }
            }
            Event::Crash { host } => self.crash(host),
            Event::Boot { host } => self.boot(host),
            Event::Sample => self.sample_links(),
            Event::Calm => self.watch.calm(self.figures.view),
        }
    }

    /// A message has arrived: the attacker in the host looks at it, then it is verified and read, then the core takes it.
    fn deliver(&mut self, to: u16, from: ValidatorIndex, sent: Arc<Sent>) {
        self.note(1, to, from.get());
        let host = &mut self.hosts[usize::from(to)];
        let Some(engine) = &host.engine else { return };
        if host.attack.is_some() {
            self.attacked(to, |attack, ctx| attack.received(ctx, from, sent.content.get()));
            return self.take(to, from, &sent);
        }
        let cpu = &self.scenario.cpu;
        if *cpu == crate::scenario::Cpu::default() {
            return self.take(to, from, &sent);
        }
        // As a node does: what is too late to matter is dropped before any signature is looked at.
        let stale = match sent.content.get() {
            Content::Vote(bundle) => {
                let highest = bundle.statements().iter().map(consensus::vote::Statement::view).max();
                highest.is_some_and(|view| engine.replica().is_stale(view))
            }
            Content::Proposal(header, _) => engine.replica().is_stale(header.header().view),
            _ => false,
        };
        let stale = stale && sent.content.epoch() == host.epoch;
        let signatures = if stale { 0 } else { sent.cost.signatures };
        let at = host.compute(cpu, self.now, signatures);
        let life = host.life;
        self.queue.plan(at, Event::Take { to, life, from, sent });
    }

    /// What a node's read task does: verified against the receiver's epoch, or handed on as it is.
    fn take(&mut self, to: u16, from: ValidatorIndex, sent: &Sent) {
        let epoch = self.hosts[usize::from(to)].epoch;
        if sent.content.epoch() == epoch {
            return self.input(to, Input::Message { from, content: sent.content.clone() });
        }
        if sent.message.epoch().is_some() {
            return self.input(to, Input::Elsewhere { from, message: Box::new(sent.message.clone()) });
        }
        if let Some(Ok(content)) = self.verifiers.get(&epoch).map(|v| v.verify(from, sent.message.clone())) {
            self.input(to, Input::Message { from, content });
        }
    }

    /// A host is in an epoch: keys that it does not name are erased, and new ones are planned.
    fn in_epoch(&mut self, host: u16, context: &Arc<EpochContext>) {
        let epoch = context.epoch();
        self.note(5, host, 0);
        let it = &mut self.hosts[usize::from(host)];
        it.epoch = epoch;
        it.keys.enter(context);
        self.watch.entered_epoch(host, context);
        self.verifiers
            .entry(epoch)
            .or_insert_with(|| Verifier::new(Arc::clone(&context.config), self.chain_id).remembering());
        if self.scenario.rotate {
            let span_us = context.config.limits.key_rotation_interval_s * 1_000_000;
            let after_us = span_us / 4 + u64::from(host) * span_us / 4 / self.hosts.len() as u64;
            let life = self.hosts[usize::from(host)].life;
            let due = context.start.time.after_us(after_us).max(self.now.after_us(1));
            self.queue.plan(due, Event::Rotate { host, life, epoch });
        }
    }

    fn rotate(&mut self, host: u16) {
        let it = &self.hosts[usize::from(host)];
        match it.keys.rotation(&it.context()) {
            Ok(Some(tx)) => self.input(host, Input::System(Arc::new(tx))),
            Ok(None) => {}
            Err(error) => self.watch.violation(format!("v{host} cannot rotate: {error}")),
        }
    }

    fn wake(&mut self, host: u16, life: u64) {
        let it = &mut self.hosts[usize::from(host)];
        if it.life == life && it.wake_at.is_some_and(|at| at <= self.now) {
            it.wake_at = None;
            let due = it.engine.as_ref().is_some_and(|engine| engine.next_deadline() <= it.clock.local(self.now));
            if due {
                self.input(host, Input::Tick);
            } else {
                self.schedule_wake(host);
            }
        }
    }

    fn crash(&mut self, host: u16) {
        let choice = self.rng.u64(..);
        self.note(3, host, 0);
        self.hosts[usize::from(host)].crash(choice);
    }

    fn boot(&mut self, host: u16) {
        self.note(4, host, 0);
        let now = self.now;
        if self.hosts[usize::from(host)].engine.is_some() {
            return;
        }
        match self.hosts[usize::from(host)].boot(now) {
            Ok((height, effects)) => {
                if self.hosts[usize::from(host)].honest {
                    self.watch.restarted(&self.hosts[usize::from(host)], height);
                }
                let context = self.hosts[usize::from(host)].context();
                self.in_epoch(host, &context);
                self.apply(host, effects);
                let threshold = self.scenario.advised_threshold;
                let hedge_us = self.scenario.settings.hedge_us;
                let fixed = Advice { threshold, hedge_us, delta_us: None, batch_delay_us: 0 };
                let optimizer = self.hosts[usize::from(host)].optimizer.as_ref();
                let advice = optimizer.map_or(fixed, optimizer::Optimizer::advice);
                self.input(host, Input::Advice(advice));
                for peer in 0..self.hosts.len() as u16 {
                    if peer != host && self.hosts[usize::from(peer)].engine.is_some() {
                        let (mine, theirs) =
                            (self.hosts[usize::from(host)].validator, self.hosts[usize::from(peer)].validator);
                        self.input(host, Input::LinkUp(theirs));
                        self.input(peer, Input::LinkUp(mine));
                    }
                }
            }
            Err(error) => self.watch.violation(format!("v{host} does not start: {error}")),
        }
    }

    fn submit(&mut self, number: u64) {
        let n = u64::from(self.scenario.validators);
        let place = (0..n).map(|k| (number + k) % n).find(|at| {
            let host = &self.hosts[*at as usize];
            host.engine.is_some() && host.honest
        });
        let Some(place) = place.map(|place| place as u16) else { return };
        let mut value = format!("value {number}").into_bytes();
        let large = self.scenario.large_value_every;
        let bytes = if large > 0 && number.is_multiple_of(large) {
            self.scenario.large_value_bytes
        } else {
            self.scenario.value_bytes
        };
        value.resize(value.len().max(bytes as usize), b'.');
        let local = self.hosts[usize::from(place)].clock.local(self.now);
        let proposal = Proposal {
            deadline: local.after_ms(self.scenario.value_timeout_ms),
            priority: 4,
            nonce: number,
            value: Bytes::from(value),
        };
        let id = proposal.id(&self.chain_id);
        self.figures.submitted(self.now, id, place);
        self.watch.submitted(id, proposal.deadline);
        self.submissions.insert(number, id);
        let proposals = vec![(id, Arc::new(proposal))];
        self.input(place, Input::Submit { ticket: SubmitTicket(number), proposals });
    }

    fn input(&mut self, host: u16, input: Input) {
        let mut effects = self.spare.pop().unwrap_or_default();
        let it = &mut self.hosts[usize::from(host)];
        it.handle(self.now, input, &mut effects);
        it.advise(self.now, &mut effects);
        if let (true, Some(engine)) = (it.honest, &it.engine) {
            self.figures.view = self.figures.view.max(engine.replica().view());
        }
        self.apply(host, effects);
        self.schedule_wake(host);
    }

    fn schedule_wake(&mut self, host: u16) {
        let it = &mut self.hosts[usize::from(host)];
        let Some(engine) = &it.engine else { return };
        let next = engine.next_deadline();
        if next.get() == u64::MAX {
            return;
        }
        let next = it.clock.global(next).max(self.now.after_us(1));
        if it.wake_at.is_none_or(|at| next < at) {
            it.wake_at = Some(next);
            let life = it.life;
            self.queue.plan(next, Event::Wake { host, life });
        }
    }

    /// Takes an event into the trace.
    fn note(&mut self, what: u8, host: u16, other: u16) {
        let mut bytes = [0; 13];
        bytes[..8].copy_from_slice(&self.now.get().to_be_bytes());
        bytes[8] = what;
        bytes[9..11].copy_from_slice(&host.to_be_bytes());
        bytes[11..].copy_from_slice(&other.to_be_bytes());
        self.trace.update(&bytes);
    }
}
