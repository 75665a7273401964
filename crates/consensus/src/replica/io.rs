//! What goes into a replica and what comes out of it.

use std::sync::Arc;

use crypto::Digest;

use super::observe::Observation;
use crate::body::{Body, Proposal};
use crate::epoch::{EpochContext, SystemError};
use crate::evidence::Evidence;
use crate::header::{Header, SignedHeader};
use crate::message::Message;
use crate::records::Write;
use crate::system::SystemTx;
use crate::types::{Height, Timestamp, ValidatorIndex, View};
use crate::verify::{Content, Verified};
use crate::vote::BundleBody;

/// Names one request of the replica, so that its completion can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the replica is told.
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
    /// The writes of [`Effect::Persist`], and all before them, are durable.
    Persisted {
        /// The request.
        ticket: Ticket,
    },
    /// A proposal that no held block has waits for a block.
    Work,
    /// What the optimizer advises.
    Advice(Advice),
    /// A link to this peer is up again: tell it where we are.
    LinkUp(ValidatorIndex),
    /// Time has passed.
    Tick,
}

/// Advice of the optimizer. It may cost time, never safety: everything is clamped before use (PROTOCOL section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Finality threshold for my own next blocks, in votes.
    pub threshold: u32,
    /// How long Finalize is held back for the one-round path, in microseconds.
    pub hedge_us: u64,
    /// Δ as measured, in microseconds; [`Settings::delta_us`] if absent. The least view timer moves with it.
    pub delta_us: Option<u64>,
    /// How long a block of mine may wait to fill, in microseconds; never beyond [`Settings::batch_timeout_us`].
    pub batch_delay_us: u64,
}

/// Measured Δ is at least the configured one divided by this.
pub const DELTA_SHRINKS_AT_MOST: u64 = 5;
/// Measured Δ is at most the configured one times this.
pub const DELTA_GROWS_AT_MOST: u64 = 4;

/// Local settings: they cost or save time and are never part of validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Δ: the assumed bound on message delay, in microseconds.
    pub delta_us: u64,
    /// Least view timer, in microseconds; also its start value.
    pub timer_floor_us: u64,
    /// Greatest view timer, in microseconds.
    pub timer_ceiling_us: u64,
    /// An idle network makes a block this often, in microseconds.
    pub heartbeat_us: u64,
    /// The fixed hedge for Finalize until advice says otherwise, in microseconds.
    pub hedge_us: u64,
    /// Greatest time that a block of mine waits to fill, whatever advice says, in microseconds.
    pub batch_timeout_us: u64,
}

impl Settings {
    /// These settings with Δ as measured, inside its bounds; the least view timer is the same multiple of it. The greatest stays.
    pub fn measured(self, delta_us: Option<u64>) -> Self {
        let Some(delta_us) = delta_us else { return self };
        let least = self.delta_us / DELTA_SHRINKS_AT_MOST;
        let delta_us = delta_us.clamp(least, self.delta_us.saturating_mul(DELTA_GROWS_AT_MOST)).max(1);
        let floor = u128::from(self.timer_floor_us) * u128::from(delta_us) / u128::from(self.delta_us.max(1));
        let timer_floor_us = u64::try_from(floor).unwrap_or(u64::MAX).min(self.timer_ceiling_us);
        Self { delta_us, timer_floor_us, ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let delta_us = 50_000;
        Self {
            delta_us,
            timer_floor_us: 6 * delta_us,
            timer_ceiling_us: 64 * delta_us,
            heartbeat_us: 5_000_000,
            hedge_us: 10_000,
            batch_timeout_us: 50_000,
        }
    }
}

/// What must be signed with the session key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignRequest {
    /// My block.
    Header(Box<Header>),
    /// My votes.
    Votes(BundleBody),
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// All other validators.
    All,
    /// One validator.
    One(ValidatorIndex),
}

/// What the surroundings must do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Sign, and answer with [`Input::Signed`].
    Sign {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// What to sign.
        request: SignRequest,
    },
    /// Write in this order, flush, and answer with [`Input::Persisted`].
    Persist {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// The writes.
        writes: Vec<Write>,
    },
    /// Send to others.
    Send {
        /// To whom.
        to: Recipient,
        /// What.
        message: Message,
    },
    /// Send final blocks above this height from the store, with their proof.
    ServeChain {
        /// To whom.
        to: ValidatorIndex,
        /// Its last committed height.
        above: Height,
    },
    /// A peer is far behind: tell it which final blocks are held here, so that it can fetch them.
    TellHeld(ValidatorIndex),
    /// These blocks are final and durable: results may be told.
    Publish(Vec<CommittedBlock>),
    /// A view was entered.
    Entered {
        /// The view.
        view: View,
        /// Why the one before ended.
        reason: EnterReason,
    },
    /// A validator broke the rules.
    Evidence(Box<Evidence>),
    /// The epoch is over, and that is durable: this replica says nothing more; the next one begins in this epoch.
    Closed(Arc<EpochContext>),
    /// Something that cannot be while fewer validators are Byzantine than the parameters allow: stop.
    Fatal(String),
    /// For whoever advises.
    Observed(Observation),
    /// Something was dropped; a short reason for metrics.
    Dropped(&'static str),
}

/// Why a view was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnterReason {
    /// A block of the view before was notarized.
    Notarization,
    /// The view before was given up.
    Nullification,
    /// A block of the view before, or a later one, became final.
    Finality,
}

impl EnterReason {
    /// A short name for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notarization => "notarization",
            Self::Nullification => "nullification",
            Self::Finality => "finality",
        }
    }
}

/// A block that is final, whose body is held.
#[derive(Clone, Debug)]
pub struct CommittedBlock {
    /// The header.
    pub header: Arc<SignedHeader>,
    /// The body.
    pub body: Arc<Body>,
    /// How it became final.
    pub path: crate::certificate::FinalityPath,
    /// Height of the block that the votes name.
    pub finalized_by: Height,
    /// When its header was first seen here.
    pub seen_at: Timestamp,
}

/// Why a body is invalid (PROTOCOL section 6).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBody {
    /// An id that an ancestor, or the body itself, holds already.
    #[error("proposal {0} is in the chain already")]
    Repeated(Digest),
    /// A deadline before the block time.
    #[error("proposal {0} expired before the block")]
    Expired(Digest),
    /// A deadline too far after the block time.
    #[error("proposal {0} has a deadline more than max_timeout_ms after the block")]
    FarDeadline(Digest),
    /// A value above the network's bound.
    #[error("proposal {0} is larger than max_value_bytes")]
    TooLarge(Digest),
    /// The application's check refuses a value.
    #[error("the application refuses proposal {0}: {1}")]
    Application(Digest, String),
    /// The length in the header is not the body's.
    #[error("the header names another body length")]
    Length,
    /// A system transaction.
    #[error("a system transaction is not valid: {0}")]
    System(#[from] SystemError),
    /// What the header says of the epoch's end.
    #[error("the block errs about the end of the epoch: {0}")]
    Epoch(&'static str),
}

/// What the replica asks about values; the engine answers. `ancestors` are the bodies above the last committed block, newest first.
pub trait Payloads {
    /// Whether proposals wait that no ancestor holds.
    fn has_work(&self, now: Timestamp, ancestors: &[Arc<Body>]) -> bool;

    /// Whether the proposals that wait fill a block with a body of this many bytes.
    fn fills_block(&self, max_bytes: usize) -> bool;

    /// The proposals for a block of this time with a body of at most `max_bytes`, best first. May be none.
    fn build(&mut self, time: Timestamp, ancestors: &[Arc<Body>], max_bytes: usize) -> Vec<(Digest, Arc<Proposal>)>;

    /// System transactions that wait for a block; each passes [`crate::epoch::EpochContext::check`].
    fn system(&self) -> Vec<Arc<SystemTx>>;

    /// Whether a system transaction with this hash was checked before.
    fn is_checked(&self, hash: &Digest) -> bool;

    /// Whether a body may follow these ancestors in a block of this time.
    fn check(&self, time: Timestamp, body: &Body, ancestors: &[Arc<Body>]) -> Result<(), InvalidBody>;

    /// A block with this body has my vote, or is mine: its proposals need no other block unless [`Payloads::excluded`] follows.
    fn included(&mut self, body: &Body);

    /// A block that was included did not become final.
    fn excluded(&mut self, body: &Body);

    /// A block is final and its body held; blocks come in order, each once.
    fn committed(&mut self, block: &CommittedBlock);
}
