//! Byzantine behaviour: a host with an honest engine whose messages are rewritten, dropped, delayed and invented. One file per attack.
//!
//! All Byzantine validators of a run are one coalition: what one has seen, all know ([`Board`]).

mod bad_server;
mod double_vote;
mod equivocate;
mod silent;

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
    /// Claims to hold every block there will ever be, and never serves any.
    Unserving,
    /// Serves one block where many are asked for.
    Dripping,
}

impl AttackKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::SilentLeader,
        Self::EquivocatingLeader,
        Self::DoubleVoter,
        Self::Both,
        Self::Unserving,
        Self::Dripping,
    ];

    /// Whether it follows the protocol: such a validator counts as honest, and nothing may ever accuse it.
    pub const fn is_faithful(self) -> bool {
        false
    }

    /// An attacker of this kind.
    pub(crate) fn attacker(self) -> Box<dyn Attack> {
        match self {
            Self::Silent => Box::new(silent::Silent { leader_only: false }),
            Self::SilentLeader => Box::new(silent::Silent { leader_only: true }),
            Self::EquivocatingLeader => Box::new(equivocate::Equivocate),
            Self::DoubleVoter => Box::new(double_vote::DoubleVote),
            Self::Both => Box::new(equivocate::Both),
            Self::Unserving => Box::new(bad_server::Unserving),
            Self::Dripping => Box::new(bad_server::Dripping),
        }
    }
}

/// What all Byzantine validators of a run know together.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Headers seen, by view.
    pub(crate) headers: BTreeMap<View, Vec<SignedHeader>>,
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
    #[expect(dead_code, reason = "the next attacks use it")]
    pub(crate) now: Timestamp,
    pub(crate) chain_id: Digest,
    pub(crate) config: &'a Arc<EpochConfig>,
    pub(crate) key: &'a SigningKey,
    #[expect(dead_code, reason = "the next attacks use it")]
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) board: &'a mut Board,
    /// What is to be done.
    pub(crate) out: Vec<Act>,
}

/// Something an attacker does.
#[derive(Debug)]
pub(crate) enum Act {
    /// Sends a message after a while.
    Send { to: Recipient, message: Message, delay_us: u64 },
}

impl Ctx<'_> {
    /// Sends at once.
    pub(crate) fn send(&mut self, to: Recipient, message: Message) {
        self.out.push(Act::Send { to, message, delay_us: 0 });
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

/// A way to misbehave.
pub(crate) trait Attack: Send {
    /// A message has come, before the honest engine sees it.
    fn received(&mut self, _ctx: &mut Ctx<'_>, _from: ValidatorIndex, _content: &Content) {}

    /// What is done instead of sending what the honest engine wants to send.
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message);
}
