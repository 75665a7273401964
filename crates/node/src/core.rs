//! The core thread: takes inputs, drives the engine, and carries out its effects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus::Encode;
use consensus::body::Proposal;
use consensus::epoch::EpochContext;
use consensus::header::HEADER_TAG;
use consensus::message::Message;
use consensus::records::Record;
use consensus::replica::{Advice, Recipient, SignRequest, Ticket};
use consensus::system::SystemTx;
use consensus::types::{Epoch, Height, Timestamp, ValidatorIndex};
use consensus::verify::{Content, Verified, Verifier};
use consensus::vote::BUNDLE_TAG;
use crypto::{Digest, SigningKey};
use engine::{Admission, Effect, Engine, Input, Refusal, SubmitTicket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use transport::{Class, Frame, Links};

use crate::advisor::OptimizerHandle;
use crate::audit::events;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::keys::SharedKeys;
use crate::peers::SharedVerifier;
use crate::serving::Serving;
use crate::writer::{Step, Writer};

/// Messages and submissions waiting for the core, at most; further ones wait at their links and clients.
pub(crate) const CORE_QUEUE: usize = 4_096;
/// Inputs taken in one round before effects like broadcasts are looked at again.
const ROUND_INPUTS: usize = 256;

/// What reaches the core.
pub(crate) enum CoreInput {
    Message {
        from: ValidatorIndex,
        content: Verified<Content>,
        _permit: OwnedSemaphorePermit,
    },
    /// Of another epoch than messages are verified against.
    Elsewhere {
        from: ValidatorIndex,
        message: Box<Message>,
        _permit: OwnedSemaphorePermit,
    },
    /// A rotation or a membership change of this node, and who waits for the verdict.
    System(Arc<SystemTx>, Option<oneshot::Sender<Option<String>>>),
    Submit {
        proposals: Vec<(Digest, Arc<Proposal>)>,
        reply: Reply,
        _permit: OwnedSemaphorePermit,
    },
    Lookup {
        id: Digest,
        reply: oneshot::Sender<Known>,
    },
    LinkUp(ValidatorIndex),
    LinkDown(ValidatorIndex),
    Advice(Advice),
    Prunable {
        first: Height,
        records: Vec<Record>,
    },
    Persisted(Ticket),
    Fatal(String),
    Stop,
}

/// The outcome of a submission.
pub(crate) type Reply = oneshot::Sender<Vec<Result<Admission, Refusal>>>;

/// What the core knows of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It waits, or its block is being written.
    Pending,
    /// Nothing.
    Unknown,
}

/// The way to the core.
#[derive(Clone)]
pub(crate) struct CoreSender {
    inputs: flume::Sender<CoreInput>,
    permits: Arc<Semaphore>,
}

impl CoreSender {
    pub(crate) fn new() -> (Self, flume::Receiver<CoreInput>) {
        let (inputs, receiver) = flume::unbounded();
        (Self { inputs, permits: Arc::new(Semaphore::new(CORE_QUEUE)) }, receiver)
    }

    /// Room for one more input; waits while the core is busy.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Inputs that are bounded by something else, and those that carry a permit. Returns false once the core has ended.
    pub(crate) fn urgent(&self, input: CoreInput) -> bool {
        self.inputs.send(input).is_ok()
    }
}

/// Everything the core works with.
pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) keys: SharedKeys,
    pub(crate) verifier: SharedVerifier,
    /// Tells the rest of the node of each epoch.
    pub(crate) epochs: watch::Sender<Arc<EpochContext>>,
    pub(crate) writer: Writer,
    pub(crate) links: Links,
    pub(crate) hub: Arc<Hub>,
    pub(crate) optimizer: OptimizerHandle,
    pub(crate) final_view: Arc<AtomicU64>,
    pub(crate) serving: Serving,
    pub(crate) sender: CoreSender,
}

struct Running {
    core: Core,
    local: VecDeque<Input>,
    /// Advice on what was just seen: the engine's next input.
    advice: Option<Advice>,
    /// Clients' submissions, which wait until no message of a validator does. Each holds a permit, so they are bounded.
    submissions: VecDeque<CoreInput>,
    replies: BTreeMap<SubmitTicket, Reply>,
    next_submit: u64,
    /// Who waits for the verdict on a system transaction.
    verdicts: VecDeque<oneshot::Sender<Option<String>>>,
    effects: Vec<Effect>,
    /// What this step writes.
    step: Step,
}

impl Core {
    /// Starts the thread; `first` are effects of the engine's restoration.
    pub(crate) fn start(
        self,
        inputs: flume::Receiver<CoreInput>,
        first: Vec<Effect>,
    ) -> std::io::Result<JoinHandle<Result<(), String>>> {
        std::thread::Builder::new().name("core".to_owned()).spawn(move || {
            let running = Running {
                core: self,
                local: VecDeque::new(),
                advice: None,
                submissions: VecDeque::new(),
                replies: BTreeMap::new(),
                next_submit: 0,
                verdicts: VecDeque::new(),
                effects: first,
                step: Step::default(),
            };
            let hub = Arc::clone(&running.core.hub);
            let ended = running.run(&inputs);
            hub.ended(ended.as_ref().err().cloned());
            ended
        })
    }
}

impl Running {
    fn run(mut self, inputs: &flume::Receiver<CoreInput>) -> Result<(), String> {
        let now = self.core.clock.now();
        self.core.engine.start(now, &mut self.effects);
        self.settle()?;
        loop {
            let next = match inputs.try_recv() {
                Ok(input) => Some(input),
                Err(_) if !self.submissions.is_empty() => None,
                Err(_) => self.wait(inputs)?,
            };
            let mut taken = 0;
            let mut input = next;
            while let Some(one) = input {
                if matches!(one, CoreInput::Submit { .. }) {
                    self.submissions.push_back(one);
                } else if !self.take(one)? {
                    return Ok(());
                }
                taken += 1;
                input = if taken < ROUND_INPUTS { inputs.try_recv().ok() } else { None };
            }
            if let Some(one) = self.submissions.pop_front() {
                self.take(one)?;
            }
            let now = self.core.clock.now();
            if now >= self.core.engine.next_deadline() {
                self.core.engine.handle(now, Input::Tick, &mut self.effects);
                self.settle()?;
            }
            self.core.hub.update(&self.core.engine.status());
        }
    }

    /// Waits for an input or the engine's next deadline.
    fn wait(&mut self, inputs: &flume::Receiver<CoreInput>) -> Result<Option<CoreInput>, String> {
        let now = self.core.clock.now();
        let at = self.core.engine.next_deadline();
        let patience = Duration::from_micros(at.since_us(now)).min(Duration::from_secs(1));
        match inputs.recv_deadline(Instant::now() + patience) {
            Ok(input) => Ok(Some(input)),
            Err(flume::RecvTimeoutError::Timeout) => Ok(None),
            Err(flume::RecvTimeoutError::Disconnected) => Err("every sender is gone".to_owned()),
        }
    }

    /// Takes one input; false means stop.
    fn take(&mut self, input: CoreInput) -> Result<bool, String> {
        let input = match input {
            CoreInput::Message { from, content, .. } => Input::Message { from, content },
            CoreInput::Submit { proposals, reply, .. } => {
                self.next_submit += 1;
                let ticket = SubmitTicket(self.next_submit);
                self.replies.insert(ticket, reply);
                Input::Submit { ticket, proposals }
            }
            CoreInput::Lookup { id, reply } => {
                let engine = &self.core.engine;
                // An id is remembered a moment longer than its block may be kept: what is pruned is no longer on its way.
                let held_from = engine.status().held_from;
                let on_its_way = engine.find_final(&id).is_some_and(|(height, _)| height >= held_from);
                let known = engine.is_pending(&id) || on_its_way;
                let _ = reply.send(if known { Known::Pending } else { Known::Unknown });
                return Ok(true);
            }
            CoreInput::Elsewhere { from, message, .. } => Input::Elsewhere { from, message },
            CoreInput::System(tx, verdict) => {
                self.verdicts.extend(verdict);
                Input::System(tx)
            }
            CoreInput::LinkUp(peer) => Input::LinkUp(peer),
            CoreInput::LinkDown(peer) => Input::LinkDown(peer),
            CoreInput::Prunable { first, records } => Input::Prunable { first, records },
            CoreInput::Advice(advice) => Input::Advice(advice),
            CoreInput::Persisted(ticket) => Input::Persisted { ticket },
            CoreInput::Fatal(error) => return Err(error),
            CoreInput::Stop => {
                self.drive(Input::Stopping)?;
                self.core.writer.stop();
                return Ok(false);
            }
        };
        self.drive(input)?;
        Ok(true)
    }

    fn drive(&mut self, input: Input) -> Result<(), String> {
        let now = self.core.clock.now();
        self.core.engine.handle(now, input, &mut self.effects);
        self.settle()
    }

    /// Carries out effects until none are left; signatures go straight back in.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            for effect in std::mem::take(&mut self.effects) {
                self.carry_out(effect)?;
            }
            if let Some(advice) = self.advice.take() {
                let now = self.core.clock.now();
                self.core.engine.handle(now, Input::Advice(advice), &mut self.effects);
                continue;
            }
            if self.local.is_empty() {
                // Everything that this step decided is written together; what waited for it happens at once.
                let durable = self.core.writer.write(std::mem::take(&mut self.step))?;
                self.local.extend(durable.into_iter().map(|ticket| Input::Persisted { ticket }));
            }
            let Some(input) = self.local.pop_front() else { return Ok(()) };
            let now = self.core.clock.now();
            self.core.engine.handle(now, input, &mut self.effects);
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), String> {
        let core = &self.core;
        match effect {
            Effect::Sign { ticket, request, key } => {
                let begun = Instant::now();
                let secret = core.keys.session(&key).ok_or("the session key of this epoch is gone from memory")?;
                let signature = sign(&secret, &request)?;
                core.hub.signed(&request, key.algorithm().name(), begun.elapsed());
                self.local.push_back(Input::Signed { ticket, signature });
            }
            Effect::Persist { ticket, records } => self.step.persist(ticket, records),
            Effect::Index(records) => self.step.index(records),
            Effect::Send { to, message } => self.send(to, &message),
            Effect::ReadPrunable(order) => core.serving.read_prunable(order, core.sender.clone()),
            Effect::ServeChain { to, above, upto } => core.serving.serve(to, above, upto),
            Effect::Accepted { ticket, outcomes } => {
                core.hub.accepted(&outcomes);
                if let Some(reply) = self.replies.remove(&ticket) {
                    let _ = reply.send(outcomes);
                }
            }
            Effect::Publish(blocks) => {
                let status = core.engine.status();
                let done = ordinal(status.epoch, status.last_final.view.get());
                core.final_view.store(done, Ordering::Relaxed);
                core.links.discard_below(done + 1);
                core.hub.publish(&blocks, crate::clock::system_now());
            }
            Effect::EpochStarted(context) => self.enter_epoch(&context),
            Effect::SystemTaken(refusal) => {
                if let Some(why) = &refusal {
                    tracing::error!(why, "a system transaction of this node is refused");
                }
                if let Some(waiting) = self.verdicts.pop_front() {
                    let _ = waiting.send(refusal);
                }
            }
            Effect::Fatal(why) => return Err(why),
            Effect::Expired(ids) => core.hub.expired(&ids),
            Effect::Entered { view, reason } => {
                tracing::trace!(%view, reason = reason.name(), "entered");
                core.hub.metrics.views.with_label_values(&[reason.name()]).inc();
            }
            Effect::Evidence(evidence) => core.hub.evidence(&evidence),
            Effect::Observed(observation) => {
                let now = self.core.clock.now();
                if let Some(advice) = self.core.optimizer.observe(now, &observation) {
                    self.advice = Some(advice);
                }
            }
            Effect::Dropped(reason) => core.hub.metrics.dropped.with_label_values(&[reason]).inc(),
        }
        Ok(())
    }

    /// Messages are verified against the new epoch from now on, and everyone else is told.
    fn enter_epoch(&self, context: &Arc<EpochContext>) {
        let core = &self.core;
        tracing::info!(epoch = %context.epoch(), height = %context.start.height, "a new epoch has begun");
        let verifier = Verifier::new(Arc::clone(&context.config), context.chain_id);
        *core.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        core.final_view.store(ordinal(context.epoch(), 0), Ordering::Relaxed);
        core.hub.entered_epoch();
        let step = events::epoch(&core.epochs.borrow().config, &context.config, context.start.height.get());
        core.hub.audit.record("epoch", step);
        core.epochs.send_replace(Arc::clone(context));
    }

    fn send(&self, to: Recipient, message: &Message) {
        let (class, view) = class_of(message);
        let bytes = Bytes::from(message.to_bytes());
        let metrics = &self.core.hub.metrics;
        let copies = match to {
            Recipient::All => self.core.engine.config().n() as u64 - 1,
            Recipient::One(_) => 1,
        };
        metrics.sent.with_label_values(&[message.name()]).inc_by(copies);
        metrics.sent_bytes.with_label_values(&[message.name()]).inc_by(bytes.len() as u64 * copies);
        if matches!(message, Message::Vote(_) | Message::Status(_)) {
            self.core.optimizer.count_sent(bytes.len() as u64 * copies);
        }
        let frame = Frame { class, view, bytes };
        match to {
            Recipient::All => self.core.links.broadcast(frame),
            Recipient::One(peer) => self.core.links.send(peer.get(), frame),
        }
    }
}

/// Votes cut through ahead of bodies; what speaks of one view is stale once that view is final.
fn class_of(message: &Message) -> (Class, u64) {
    const SMALL_FORWARD: usize = 64;
    match message {
        Message::Vote(bundle) => {
            let view = bundle.statements().iter().map(|statement| statement.view().get()).max();
            (Class::Vote, view.map_or(u64::MAX, |view| ordinal(bundle.body().epoch, view)))
        }
        Message::Proposal(header, _) => (Class::Bulk, ordinal(header.header().epoch, header.header().view.get())),
        Message::Status(_) | Message::Hint(..) | Message::Fetch(_) | Message::Held(_) | Message::System(..) => {
            (Class::Vote, u64::MAX)
        }
        // A few proposals overtake bodies like votes do, so that the leader has them before the hint that wakes it.
        Message::Forward(proposals) if proposals.len() <= SMALL_FORWARD => (Class::Vote, u64::MAX),
        Message::Forward(_) | Message::Answer(_) | Message::FinalChain(_) => (Class::Bulk, u64::MAX),
    }
}

/// Views start anew with each epoch; this number goes on.
pub(crate) const fn ordinal(epoch: Epoch, view: u64) -> u64 {
    const VIEW_BITS: u32 = 40;
    (epoch.get() << VIEW_BITS) | if view >> VIEW_BITS == 0 { view } else { (1 << VIEW_BITS) - 1 }
}

fn sign(key: &SigningKey, request: &SignRequest) -> Result<Vec<u8>, String> {
    let (tag, bytes) = match request {
        SignRequest::Header(header) => (HEADER_TAG, header.to_bytes()),
        SignRequest::Votes(body) => (BUNDLE_TAG, body.to_bytes()),
    };
    key.sign(tag, &bytes).map_err(|error| format!("the session key cannot sign: {error}"))
}

/// Microseconds as milliseconds with a fraction.
pub(crate) fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.since_us(from) as f64 / 1_000.0
}
