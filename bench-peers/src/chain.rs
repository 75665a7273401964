//! The application that simplex orders for: blocks of values, kept in memory, sent by their proposer to all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_consensus::simplex::Plan;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Activity, Context};
use commonware_consensus::{Automaton, CertifiableAutomaton, Relay, Reporter, Viewable as _};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256::Digest;
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_utils::channel::oneshot;

/// Bytes of a block before its values: the parent's digest and the view.
const HEAD: usize = 40;
/// Bytes of values in one block, at most.
pub const BLOCK_BYTES: usize = 4 << 20;

/// A block as it travels: parent digest, view, then the values, each with its number (8 bytes) and its length (4 bytes).
#[derive(Clone)]
pub struct Block {
    pub bytes: Bytes,
    pub digest: Digest,
    parent: Digest,
}

impl Block {
    pub fn read(bytes: Bytes) -> Option<Self> {
        let parent = Digest::from(<[u8; 32]>::try_from(bytes.get(..32)?).ok()?);
        bytes.get(..HEAD)?;
        Some(Self { digest: Sha256::hash(&bytes), parent, bytes })
    }

    fn write<'a>(parent: Digest, view: u64, values: impl Iterator<Item = (u64, &'a [u8])>) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(parent.as_ref());
        bytes.extend_from_slice(&view.to_be_bytes());
        for (number, value) in values {
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        let bytes = Bytes::from(bytes);
        Self { digest: Sha256::hash(&bytes), parent, bytes }
    }

    fn numbers(&self) -> Vec<u64> {
        let (mut at, mut found) = (HEAD, Vec::new());
        while let (Some(number), Some(len)) = (self.bytes.get(at..at + 8), self.bytes.get(at + 8..at + 12)) {
            found.push(u64::from_be_bytes(number.try_into().unwrap_or_default()));
            at += 12 + u32::from_be_bytes(len.try_into().unwrap_or_default()) as usize;
        }
        found
    }
}

/// What a validator fills its blocks with beside the values that wait.
#[derive(Clone, Copy)]
pub struct Filling {
    /// Bytes of a value.
    pub size: usize,
    /// Values per block; 0: only those that wait.
    pub count: usize,
}

#[derive(Default)]
struct State {
    blocks: HashMap<Digest, Block>,
    waiting: HashMap<Digest, Vec<oneshot::Sender<bool>>>,
    pending: BTreeMap<u64, Bytes>,
    begun: HashMap<u64, (Instant, Option<std::sync::mpsc::Sender<Duration>>)>,
    last_final: Option<Digest>,
    outbox: Vec<Block>,
    next: u64,
    figures: Figures,
}

/// What one validator has seen.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub view: u64,
    pub blocks: u64,
    pub values: u64,
    pub waits_us: Vec<u64>,
}

/// The chain of one validator, shared by the roles that simplex asks for.
#[derive(Clone)]
pub struct Chain {
    state: Arc<Mutex<State>>,
    filling: Filling,
    index: u64,
    send: Arc<dyn Fn(Bytes) + Send + Sync>,
}

impl Chain {
    /// `send` takes a block or value to all other validators.
    pub fn new(index: u64, filling: Filling, send: Arc<dyn Fn(Bytes) + Send + Sync>) -> Self {
        Self { state: Arc::default(), filling, index, send }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn figures(&self) -> Figures {
        self.state().figures.clone()
    }

    /// A client's value arrives here: it is sent to all, so that the next leader has it.
    pub fn submit(&self, value: Bytes, done: Option<std::sync::mpsc::Sender<Duration>>) {
        let mut state = self.state();
        state.next += 1;
        let number = (self.index << 48) | state.next;
        state.begun.insert(number, (Instant::now(), done));
        state.pending.insert(number, value.clone());
        drop(state);
        let mut message = vec![1];
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&value);
        (self.send)(message.into());
    }

    /// Takes what another validator sent.
    pub fn take(&self, message: Bytes) {
        match message.first() {
            Some(0) => {
                if let Some(block) = Block::read(message.slice(1..)) {
                    self.insert(block);
                }
            }
            Some(1) if message.len() >= 9 => {
                let number = u64::from_be_bytes(message[1..9].try_into().unwrap_or_default());
                self.state().pending.insert(number, message.slice(9..));
            }
            _ => {}
        }
    }

    fn insert(&self, block: Block) {
        let mut state = self.state();
        for waiting in state.waiting.remove(&block.digest).unwrap_or_default() {
            let _ = waiting.send(true);
        }
        state.blocks.insert(block.digest, block);
    }

    fn build(&self, context: &Context<Digest, PublicKey>) -> Block {
        let mut state = self.state();
        let parent = context.parent.1;
        let mut taken = Vec::new();
        let mut at = Some(parent);
        while let Some(block) = at.filter(|at| Some(*at) != state.last_final).and_then(|at| state.blocks.get(&at)) {
            taken.extend(block.numbers());
            at = Some(block.parent);
        }
        let view = context.view().get();
        let block = if self.filling.count > 0 {
            let first = (self.index << 48) | state.next;
            state.next += self.filling.count as u64;
            let value = vec![b'x'; self.filling.size];
            Block::write(parent, view, (0..self.filling.count as u64).map(|i| (first + i, value.as_slice())))
        } else {
            let (mut room, mut values) = (BLOCK_BYTES, Vec::new());
            for (number, value) in &state.pending {
                if !taken.contains(number) && value.len() + 12 <= room {
                    room -= value.len() + 12;
                    values.push((*number, value.as_ref()));
                }
            }
            Block::write(parent, view, values.into_iter())
        };
        state.blocks.insert(block.digest, block.clone());
        state.outbox.push(block.clone());
        block
    }

    fn finalized(&self, digest: Digest, view: u64) {
        let mut state = self.state();
        state.figures.view = state.figures.view.max(view);
        let (mut path, mut at) = (Vec::new(), digest);
        while Some(at) != state.last_final {
            let Some(block) = state.blocks.get(&at) else { break };
            path.push(block.clone());
            at = block.parent;
        }
        if path.is_empty() {
            return;
        }
        let old = state.last_final.replace(digest);
        for block in path.iter().rev() {
            state.figures.blocks += 1;
            for number in block.numbers() {
                state.figures.values += 1;
                state.pending.remove(&number);
                if let Some((begun, done)) = state.begun.remove(&number) {
                    let waited = begun.elapsed();
                    state.figures.waits_us.push(waited.as_micros() as u64);
                    if let Some(done) = done {
                        let _ = done.send(waited);
                    }
                }
            }
            if block.digest != digest {
                state.blocks.remove(&block.digest);
            }
        }
        if let Some(old) = old {
            state.blocks.remove(&old);
        }
    }
}

impl Automaton for Chain {
    type Context = Context<Digest, PublicKey>;
    type Digest = Digest;

    async fn propose(&mut self, context: Self::Context) -> oneshot::Receiver<Digest> {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(self.build(&context).digest);
        receiver
    }

    async fn verify(&mut self, _context: Self::Context, payload: Digest) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.blocks.contains_key(&payload) {
            let _ = sender.send(true);
        } else {
            state.waiting.entry(payload).or_default().push(sender);
        }
        receiver
    }
}

impl CertifiableAutomaton for Chain {}

impl Relay for Chain {
    type Digest = Digest;
    type PublicKey = PublicKey;
    type Plan = Plan<PublicKey>;

    fn broadcast(&mut self, payload: Digest, _plan: Plan<PublicKey>) -> Feedback {
        let mut state = self.state();
        let found = state.outbox.iter().position(|block| block.digest == payload);
        let block = found.map(|at| state.outbox.remove(at));
        drop(state);
        if let Some(block) = block {
            let mut message = Vec::with_capacity(1 + block.bytes.len());
            message.push(0);
            message.extend_from_slice(&block.bytes);
            (self.send)(message.into());
        }
        Feedback::Ok
    }
}

impl Reporter for Chain {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        if let Activity::Finalization(finalization) = activity {
            self.finalized(finalization.proposal.payload, finalization.view().get());
        }
        Feedback::Ok
    }
}
