//! What a script lets a Byzantine validator say.

use std::sync::Arc;

use bytes::Bytes;
use consensus::body::{Body, Proposal};
use consensus::header::{BlockKind, Header, SignedHeader};
use consensus::message::{Answer, Message};
use consensus::types::{Height, Timestamp, ValidatorIndex, View};
use consensus::vote::{Bundle, BundleBody, Statement};
use crypto::Digest;

use super::Lab;

impl Lab {
    /// A block of the leader of `view` on `parent` (genesis, if none), with one value that depends on `variant`.
    pub fn block(&self, view: u64, parent: Option<&SignedHeader>, variant: u64) -> (SignedHeader, Bytes) {
        self.block_with(view, parent, variant, self.now.after_ms(60_000))
    }

    /// The same with a deadline for the value, which the block time may have passed.
    pub fn block_with(
        &self,
        view: u64,
        parent: Option<&SignedHeader>,
        variant: u64,
        deadline: Timestamp,
    ) -> (SignedHeader, Bytes) {
        let value = Proposal {
            deadline,
            priority: 0,
            nonce: variant,
            value: Bytes::from(format!("block {variant} of view {view}")),
        };
        let items = vec![(value.id(&self.chain_id), Arc::new(value))];
        let body = Body::from_proposals(&self.chain_id, items);
        let (parent_view, parent_hash, height) = parent.map_or((View::ZERO, self.chain_id, Height::ZERO), |parent| {
            (parent.header().view, parent.hash(), parent.header().height)
        });
        let header = Header {
            chain_id: self.chain_id,
            epoch: self.config.epoch,
            view: View::new(view),
            leader: self.config.leader(View::new(view)),
            parent_view,
            parent_hash,
            height: height.next(),
            payload_root: body.root(),
            payload_len: body.encoded().len() as u32,
            threshold: self.config.quorum.q_min() as u16,
            time: self.now.after_us(1),
            kind: BlockKind::Ordinary,
        };
        (SignedHeader::new(header, vec![1]), body.encoded().clone())
    }

    /// A vote of `signer`.
    pub fn vote(&self, signer: u16, statements: Vec<Statement>) -> Option<Message> {
        let body = BundleBody::new(self.chain_id, self.config.epoch, ValidatorIndex::new(signer), statements)?;
        Some(Message::Vote(Bundle::new(body, vec![3])))
    }

    /// `signer` says one thing to these validators, after `delay_us`.
    pub fn say(&mut self, signer: u16, to: &[u16], statement: Statement, delay_us: u64) {
        if let Some(message) = self.vote(signer, vec![statement]) {
            to.iter().for_each(|to| self.inject(signer, *to, message.clone(), delay_us));
        }
    }

    /// `leader` shows its block, with its body, to these validators after `delay_us`.
    pub fn show(&mut self, leader: u16, to: &[u16], block: &(SignedHeader, Bytes), delay_us: u64) {
        let message = Message::Proposal(block.0.clone(), Some(block.1.clone()));
        to.iter().for_each(|to| self.inject(leader, *to, message.clone(), delay_us));
    }

    /// `leader` shows only the header of its block.
    pub fn show_header(&mut self, leader: u16, to: &[u16], header: &SignedHeader, delay_us: u64) {
        let message = Message::Proposal(header.clone(), None);
        to.iter().for_each(|to| self.inject(leader, *to, message.clone(), delay_us));
    }
}

/// Whether a message carries the body of a block with this payload root.
pub fn carries_body(message: &Message, root: &Digest, chain_id: &Digest) -> bool {
    let is = |bytes: &Bytes| Body::decode(bytes.clone(), chain_id).is_ok_and(|body| body.root() == *root);
    match message {
        Message::Proposal(_, Some(bytes)) => is(bytes),
        Message::Answer(Answer { bodies, .. }) => bodies.iter().any(is),
        Message::FinalChain(chain) => chain.blocks.iter().any(|(_, bytes)| is(bytes)),
        _ => false,
    }
}

/// The statements that a message carries as votes of its sender.
pub fn statements(message: &Message) -> Vec<Statement> {
    match message {
        Message::Proposal(header, _) => vec![Statement::Notarize(header.header().view, header.hash())],
        Message::Vote(bundle) => bundle.statements().to_vec(),
        _ => Vec::new(),
    }
}
