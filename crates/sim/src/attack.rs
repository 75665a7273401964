//! Byzantine behaviour: a host with an honest engine whose outgoing messages are rewritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use consensus::Encode;
use consensus::body::{Body, Proposal};
use consensus::config::EpochConfig;
use consensus::header::{HEADER_TAG, Header, SignedHeader};
use consensus::message::Message;
use consensus::replica::Recipient;
use consensus::types::{Epoch, Timestamp, ValidatorIndex, View};
use consensus::vote::{BUNDLE_TAG, Bundle, BundleBody, Statement};
use crypto::{Digest, SigningKey};

use crate::keys::Keys;

/// The kinds of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// What an attacker knows.
pub struct Attack {
    kind: AttackKind,
    me: ValidatorIndex,
    chain_id: Digest,
    config: Arc<EpochConfig>,
    /// Blocks seen, by epoch and view.
    seen: BTreeMap<(Epoch, View), Vec<Digest>>,
}

impl Attack {
    /// An attacker in the place of validator `me`.
    pub const fn new(kind: AttackKind, me: ValidatorIndex, chain_id: Digest, config: Arc<EpochConfig>) -> Self {
        Self { kind, me, chain_id, config, seen: BTreeMap::new() }
    }

    /// Notes a block that was received.
    pub fn saw(&mut self, header: &SignedHeader) {
        let hashes = self.seen.entry((header.header().epoch, header.header().view)).or_default();
        if !hashes.contains(&header.hash()) {
            hashes.push(header.hash());
        }
    }

    /// What is sent instead of `message`.
    pub fn rewrite(&mut self, keys: &Keys, to: Recipient, message: Message) -> Vec<(Recipient, Message)> {
        let key = &keys.present();
        match (self.kind, &message) {
            (AttackKind::Silent, _) | (AttackKind::SilentLeader, Message::Proposal(..)) => Vec::new(),
            (AttackKind::EquivocatingLeader | AttackKind::Both, Message::Proposal(header, _)) => {
                self.two_blocks(key, header.clone(), message)
            }
            (AttackKind::DoubleVoter | AttackKind::Both, Message::Vote(bundle)) => {
                let mut out = vec![(to, message.clone())];
                out.extend(self.all_votes(key, bundle).into_iter().map(|bundle| (to, Message::Vote(bundle))));
                out
            }
            _ => vec![(to, message)],
        }
    }

    fn two_blocks(&mut self, key: &SigningKey, first: SignedHeader, message: Message) -> Vec<(Recipient, Message)> {
        let other_value = Proposal {
            deadline: first.header().time.after_ms(10_000),
            priority: 9,
            nonce: first.header().view.get(),
            value: Bytes::from_static(b"the other block"),
        };
        let body = Body::from_proposals(&self.chain_id, vec![(other_value.id(&self.chain_id), Arc::new(other_value))]);
        let header = Header {
            payload_root: body.root(),
            payload_len: body.encoded().len() as u32,
            time: Timestamp::new(first.header().time.get() + 1),
            ..first.header().clone()
        };
        let Ok(signature) = key.sign(HEADER_TAG, &header.to_bytes()) else { return Vec::new() };
        let second = SignedHeader::new(header, signature);
        self.saw(&first);
        self.saw(&second);
        let second = Message::Proposal(second, Some(body.encoded().clone()));
        let others = self.config.indices().filter(|index| *index != self.me);
        others
            .map(|index| {
                let chosen = if index.get().is_multiple_of(2) { message.clone() } else { second.clone() };
                (Recipient::One(index), chosen)
            })
            .collect()
    }

    fn all_votes(&self, key: &SigningKey, honest: &Bundle) -> Vec<Bundle> {
        let mut statements = Vec::new();
        for view in honest.statements().iter().map(Statement::view) {
            statements.push(Statement::Nullify(view));
            for hash in self.seen.get(&(honest.body().epoch, view)).into_iter().flatten() {
                statements.push(Statement::Notarize(view, *hash));
                statements.push(Statement::Finalize(view, *hash));
            }
        }
        let bundles = statements.into_iter().filter_map(|statement| {
            let body = BundleBody::new(self.chain_id, honest.body().epoch, self.me, vec![statement])?;
            let signature = key.sign(BUNDLE_TAG, &body.to_bytes()).ok()?;
            Some(Bundle::new(body, signature))
        });
        bundles.collect()
    }
}
