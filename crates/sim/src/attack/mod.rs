//! Byzantine behaviour: a host with an honest engine whose messages are rewritten, dropped, delayed and invented. One file per attack.
//!
//! All Byzantine validators of a run are one coalition: what one has seen, all know ([`Board`]).

mod bad_server;
mod bodies;
mod coalition;
mod crash;
mod delay;
mod double_vote;
mod equivocate;
mod far_future;
mod invalid_body;
mod lying_answers;
mod replay;
mod silent;
mod spam;
mod thresholds;
mod twins;
mod withhold;

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::Encode;
use consensus::body::Body;
use consensus::config::EpochConfig;
use consensus::header::{HEADER_TAG, Header, SignedHeader};
use consensus::message::Message;
use consensus::replica::Recipient;
use consensus::types::{Timestamp, ValidatorIndex, View};
use consensus::verify::Content;
use consensus::vote::{BUNDLE_TAG, Bundle, BundleBody, Statement};
use crypto::{Digest, SigningKey};
use serde::{Deserialize, Serialize};

use crate::scenario::Timers;

/// The kinds of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackKind {
    /// Sends nothing at all.
    Silent,
    /// Never sends its blocks, but votes.
    SilentLeader,
    /// As leader, one block to one half and another to the other half.
    EquivocatingLeader,
    /// Votes for every block it sees, and nullifies and finalizes as well.
    DoubleVoter,
    /// Equivocates as leader, and votes for everything.
    Both,
    /// Follows the protocol but dies at the worst moments: half a message sent, or a write not flushed. It comes back.
    CrashAtWorst,
    /// As leader, any threshold, in range and out of range.
    Thresholds,
    /// Withholds votes and blocks from some peers, others in each view.
    Withhold,
    /// As leader, sends the body to one peer early, to another late, to the rest never.
    SelectiveBodies,
    /// As leader, bodies that break a rule of validity.
    InvalidBodies,
    /// Sends old messages again.
    Replay,
    /// Votes, headers and hints for views far ahead.
    FarFuture,
    /// Fills every bound: invented blocks, crowded Status, hints, forwarded values.
    Spam,
    /// Answers pulls with wrong, partial, orphan and future-dated things.
    LyingAnswers,
    /// Two processes with one identity, each talking to a part of the network that changes.
    Twins,
    /// Sends everything just before a timer of the others runs out.
    DelayUnder,
    /// Sends everything just after a timer of the others has run out.
    DelayOver,
    /// Picks one of the others anew for each view, the same for the whole coalition.
    Coalition,
    /// Claims to hold every block there will ever be, and never serves any.
    Unserving,
    /// Serves one block where many are asked for.
    Dripping,
}

impl AttackKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Silent,
        Self::SilentLeader,
        Self::EquivocatingLeader,
        Self::DoubleVoter,
        Self::Both,
        Self::CrashAtWorst,
        Self::Thresholds,
        Self::Withhold,
        Self::SelectiveBodies,
        Self::InvalidBodies,
        Self::Replay,
        Self::FarFuture,
        Self::Spam,
        Self::LyingAnswers,
        Self::Twins,
        Self::DelayUnder,
        Self::DelayOver,
        Self::Coalition,
        Self::Unserving,
        Self::Dripping,
    ];

    /// Whether it follows the protocol: such a validator counts as honest, and nothing may ever accuse it.
    pub const fn is_faithful(self) -> bool {
        matches!(self, Self::CrashAtWorst)
    }

    /// An attacker of this kind; `copy` tells twins apart.
    pub(crate) fn attacker(self, copy: u16) -> Box<dyn Attack> {
        match self {
            Self::Silent => Box::new(silent::Silent { leader_only: false }),
            Self::SilentLeader => Box::new(silent::Silent { leader_only: true }),
            Self::EquivocatingLeader => Box::new(equivocate::Equivocate),
            Self::DoubleVoter => Box::new(double_vote::DoubleVote),
            Self::Both => Box::new(equivocate::Both),
            Self::CrashAtWorst => Box::new(crash::CrashAtWorst::default()),
            Self::Thresholds => Box::new(thresholds::Thresholds),
            Self::Withhold => Box::new(withhold::Withhold),
            Self::SelectiveBodies => Box::new(bodies::SelectiveBodies),
            Self::InvalidBodies => Box::new(invalid_body::InvalidBodies),
            Self::Replay => Box::new(replay::Replay::default()),
            Self::FarFuture => Box::new(far_future::FarFuture),
            Self::Spam => Box::new(spam::Spam),
            Self::LyingAnswers => Box::new(lying_answers::LyingAnswers),
            Self::Twins => Box::new(twins::Twin { copy }),
            Self::DelayUnder => Box::new(delay::Delay { over: false }),
            Self::DelayOver => Box::new(delay::Delay { over: true }),
            Self::Coalition => Box::new(coalition::Coalition::default()),
            Self::Unserving => Box::new(bad_server::Unserving),
            Self::Dripping => Box::new(bad_server::Dripping),
        }
    }
}

/// What all Byzantine validators of a run know together.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// What the coalition has agreed on beforehand.
    pub(crate) secret: u64,
    /// Headers seen, by view.
    pub(crate) headers: BTreeMap<View, Vec<SignedHeader>>,
    /// The last body with values that was seen.
    pub(crate) body: Option<Arc<Body>>,
}

/// Views behind the newest that the board still remembers.
const BOARD_VIEWS: u64 = 256;

impl Board {
    /// Notes a header.
    pub(crate) fn saw(&mut self, header: &SignedHeader) {
        let held = self.headers.entry(header.header().view).or_default();
        if held.iter().all(|known| known.hash() != header.hash()) {
            held.push(header.clone());
        }
        let newest = self.headers.keys().next_back().map_or(0, |view| view.get());
        self.headers = self.headers.split_off(&View::new(newest.saturating_sub(BOARD_VIEWS)));
    }

    /// The blocks seen of a view.
    pub(crate) fn hashes(&self, view: View) -> Vec<Digest> {
        self.headers.get(&view).into_iter().flatten().map(SignedHeader::hash).collect()
    }
}

/// One attacker's place, means and time.
pub(crate) struct Ctx<'a> {
    pub(crate) me: ValidatorIndex,
    pub(crate) now: Timestamp,
    pub(crate) chain_id: Digest,
    pub(crate) config: &'a Arc<EpochConfig>,
    pub(crate) key: &'a SigningKey,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) board: &'a mut Board,
    pub(crate) timers: Timers,
    /// Whether faults that end have ended.
    pub(crate) calm: bool,
    /// What is to be done.
    pub(crate) out: Vec<Act>,
}

/// Something an attacker does.
#[derive(Debug)]
pub(crate) enum Act {
    /// Sends a message after a while.
    Send { to: Recipient, message: Message, delay_us: u64 },
    /// The process dies now and starts again after a while.
    Crash { back_after_us: u64 },
}

impl Ctx<'_> {
    /// Sends at once.
    pub(crate) fn send(&mut self, to: Recipient, message: Message) {
        self.out.push(Act::Send { to, message, delay_us: 0 });
    }

    /// Sends later.
    pub(crate) fn send_later(&mut self, delay_us: u64, to: Recipient, message: Message) {
        self.out.push(Act::Send { to, message, delay_us });
    }

    /// Whether chance has it, once in `times`.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(0..times) == 0
    }

    /// The coalition's choice for a view: the same for all of its members.
    pub(crate) const fn plan(&self, view: View) -> u64 {
        mix(self.board.secret ^ view.get())
    }

    /// A digest that is nobody's block.
    pub(crate) fn invented(&mut self) -> Digest {
        self.config.hash_algorithm().hash("agent-mesh/sim/invented", &[&self.rng.u64(..).to_be_bytes()])
    }

    /// A bundle of mine under these statements.
    pub(crate) fn votes(&self, statements: Vec<Statement>) -> Option<Message> {
        let body = BundleBody::new(self.chain_id, self.config.epoch, self.me, statements)?;
        let signature = self.key.sign(BUNDLE_TAG, &body.to_bytes()).ok()?;
        Some(Message::Vote(Bundle::new(body, signature)))
    }

    /// A header signed by me, whatever it says.
    pub(crate) fn sign(&self, header: Header) -> Option<SignedHeader> {
        let signature = self.key.sign(HEADER_TAG, &header.to_bytes()).ok()?;
        Some(SignedHeader::new(header, signature))
    }

    /// A header like `like` over another body and time.
    pub(crate) fn variant(&self, like: &SignedHeader, body: &Body, later_us: u64) -> Option<SignedHeader> {
        self.sign(Header {
            payload_root: body.root(),
            payload_len: body.encoded().len() as u32,
            time: like.header().time.after_us(later_us),
            ..like.header().clone()
        })
    }

    /// The other validators.
    pub(crate) fn others(&self) -> Vec<ValidatorIndex> {
        self.config.indices().filter(|index| *index != self.me).collect()
    }
}

/// A well-mixed number from a number (splitmix64).
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The view that a message is about, if any.
pub(crate) fn view_of(message: &Message) -> Option<View> {
    match message {
        Message::Proposal(header, _) => Some(header.header().view),
        Message::Vote(bundle) => bundle.statements().iter().map(Statement::view).max(),
        Message::Hint(_, view) => Some(*view),
        Message::Status(status) => Some(status.view),
        _ => None,
    }
}

/// A way to misbehave.
pub(crate) trait Attack: Send {
    /// A message has come, before the honest engine sees it.
    fn received(&mut self, _ctx: &mut Ctx<'_>, _from: ValidatorIndex, _content: &Content) {}

    /// The honest engine has handed records to the disk; they are not flushed yet.
    fn writing(&mut self, _ctx: &mut Ctx<'_>) {}

    /// What is done instead of sending what the honest engine wants to send.
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message);
}
