//! What goes into an engine and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::epoch::EpochContext;
use consensus::evidence::Evidence;
use consensus::message::Message;
use consensus::records::Record;
use consensus::replica::{Advice, CommittedBlock, EnterReason, Observation, Recipient, SignRequest, Ticket};
use consensus::system::SystemTx;
use consensus::types::{Height, Timestamp, ValidatorIndex, View};
use consensus::verify::{Content, Verified};
use crypto::{Digest, PublicKey};

/// Names one submission of a client, so that its outcome can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmitTicket(pub u64);

/// What the engine is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A verified message of a peer.
    Message {
        /// The peer.
        from: ValidatorIndex,
        /// What it said.
        content: Verified<Content>,
    },
    /// The signature that [`Effect::Sign`] asked for.
    Signed {
        /// The request.
        ticket: Ticket,
        /// The signature.
        signature: Vec<u8>,
    },
    /// The records of [`Effect::Persist`], and all before them, are durable.
    Persisted {
        /// The request.
        ticket: Ticket,
    },
    /// Proposals of a client, deadline and nonce fixed.
    Submit {
        /// To be repeated in [`Effect::Accepted`].
        ticket: SubmitTicket,
        /// The proposals with their ids.
        proposals: Vec<(Digest, Arc<Proposal>)>,
    },
    /// A message of a peer that is of another epoch than the one the surroundings verify against. Nothing of it is verified.
    Elsewhere {
        /// The peer.
        from: ValidatorIndex,
        /// What it said.
        message: Box<Message>,
    },
    /// A system transaction of this node: my rotation, or a membership change that was handed in.
    System(Arc<SystemTx>),
    /// What the optimizer advises.
    Advice(Advice),
    /// The link to a peer is up.
    LinkUp(ValidatorIndex),
    /// The link to a peer is down.
    LinkDown(ValidatorIndex),
    /// Time has passed.
    Tick,
    /// The node is about to stop: what was held back is sent.
    Stopping,
}

/// What the surroundings must do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Sign with this session key, and answer with [`Input::Signed`].
    Sign {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// What to sign.
        request: SignRequest,
        /// The public half of my session key of the epoch.
        key: PublicKey,
    },
    /// Write in this order, flush, and answer with [`Input::Persisted`]. A failed write stops the node.
    Persist {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// The records.
        records: Vec<Record>,
    },
    /// Write after everything before, without a flush of its own: it can be made again from the rest.
    Index(Vec<Record>),
    /// Send to other validators.
    Send {
        /// To whom.
        to: Recipient,
        /// What.
        message: Message,
    },
    /// Read final blocks with [`crate::serve::answer`] and send what it says.
    ServeChain {
        /// To whom.
        to: ValidatorIndex,
        /// Blocks above this height,
        above: Height,
        /// up to this one, are wanted.
        upto: Height,
    },
    /// The outcome of a submission, one per proposal; what was accepted is durable.
    Accepted {
        /// The submission.
        ticket: SubmitTicket,
        /// For each proposal in order.
        outcomes: Vec<Result<Admission, Refusal>>,
    },
    /// Blocks are final and durable: tell results, call the application.
    Publish(Vec<CommittedBlock>),
    /// These proposals can never be committed: a final block is dated after their deadline.
    Expired(Vec<Digest>),
    /// A view was entered.
    Entered {
        /// The view.
        view: View,
        /// Why the one before ended.
        reason: EnterReason,
    },
    /// A new epoch has begun, durably: messages are verified against it from now on, and secret keys that it does not name may go.
    EpochStarted(Arc<EpochContext>),
    /// A system transaction of this node was refused, or taken and told to the others (`None`).
    SystemTaken(Option<String>),
    /// Something that cannot be while fewer validators are Byzantine than the network tolerates: stop.
    Fatal(String),
    /// A validator broke the rules; the record is durable with the next flush.
    Evidence(Box<Evidence>),
    /// For whoever advises.
    Observed(Observation),
    /// Something was dropped; a short reason for metrics.
    Dropped(&'static str),
}

/// How a proposal was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits for a block now.
    Admitted,
    /// It waits already; its result is the same.
    Known,
    /// It is final already.
    Final(Height),
}

/// Why a proposal is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node has `max_proposals` in flight.
    #[error("{0} proposals are in flight here (max_proposals); try again when some are final")]
    Busy(usize),
    /// The network makes values final more slowly than they come here.
    #[error(
        "the oldest proposal here has waited {waited_ms} ms: more comes than the network makes final; try again in a second"
    )]
    Overloaded {
        /// How long it has waited, in milliseconds.
        waited_ms: u64,
    },
    /// The node's memory for waiting proposals is full.
    #[error("the memory for waiting proposals is full; try again when some are final")]
    BytesFull,
    /// The deadline is over.
    #[error("the deadline has passed")]
    Expired,
    /// The deadline is too far away.
    #[error("the deadline is more than max_timeout_ms = {0} ms away; choose a shorter timeout_ms")]
    FarDeadline(u64),
    /// The value is too large.
    #[error("the value has {found} bytes, the network takes {bound} (max_value_bytes)")]
    TooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        bound: u32,
    },
    /// The application refuses the value.
    #[error("the application refuses the value: {0}")]
    Application(String),
}

/// The session keys that the surroundings can sign with.
pub trait Keyring: Send + Sync {
    /// Whether the secret half of this key is at hand.
    fn holds(&self, key: &PublicKey) -> bool;
}

/// A keyring that claims every key: for tools whose surroundings sign whatever they are asked to.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyKey;

impl Keyring for AnyKey {
    fn holds(&self, _: &PublicKey) -> bool {
        true
    }
}

/// What a Rust application brings: a check of values and the use of final blocks. `check` must be deterministic.
pub trait Application: Send + Sync {
    /// Whether a value may be ordered; the reason if not. Runs before a value is admitted or notarized.
    fn check(&self, value: &[u8]) -> Result<(), String>;

    /// Takes a final block; each comes once, in order, across restarts (see [`Application::last_applied`]).
    fn apply(&self, block: &AppliedBlock);

    /// The height of the last block whose `apply` has taken durable effect. At start the node replays from the next one.
    fn last_applied(&self) -> u64;
}

/// A final block as the application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedBlock {
    /// Its height.
    pub height: u64,
    /// Its time, in microseconds since the Unix epoch.
    pub time: Timestamp,
    /// Its hash.
    pub hash: Digest,
    /// The values in order with their proposals' ids.
    pub values: Vec<(Digest, Bytes)>,
}

/// The application of a network that orders opaque values: accepts all, keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl Application for AcceptAll {
    fn check(&self, _value: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, _block: &AppliedBlock) {}

    fn last_applied(&self) -> u64 {
        u64::MAX
    }
}
