//! The equivocating leader: one block to one half, another to the other half.

use std::sync::Arc;

use bytes::Bytes;
use consensus::body::{Body, Proposal};
use consensus::message::Message;
use consensus::replica::Recipient;

use super::double_vote::DoubleVote;
use super::{Attack, Ctx};

/// Two blocks of each view that it leads.
pub(crate) struct Equivocate;

/// A body that no honest leader made.
pub(crate) fn another_body(ctx: &Ctx<'_>, header: &consensus::header::SignedHeader) -> Body {
    let value = Proposal {
        deadline: header.header().time.after_ms(10_000),
        priority: 9,
        nonce: header.header().view.get(),
        value: Bytes::from_static(b"the other block"),
    };
    Body::from_proposals(&ctx.chain_id, vec![(value.id(&ctx.chain_id), Arc::new(value))])
}

impl Attack for Equivocate {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let Message::Proposal(first, _) = &message else { return ctx.send(to, message) };
        let view = first.header().view;
        let body = another_body(ctx, first);
        let Some(second) = ctx.variant(first, &body, 1) else { return };
        ctx.board.saw(first);
        ctx.board.saw(&second);
        let second = Message::Proposal(second, Some(body.encoded().clone()));
        // Halves by number, or as the coalition has chosen for this view.
        let plan = ctx.plan(view);
        for index in ctx.others() {
            let even = if plan.is_multiple_of(2) {
                index.get().is_multiple_of(2)
            } else {
                plan >> (index.get() % 63) & 1 == 0
            };
            let chosen = if even { &message } else { &second };
            ctx.send(Recipient::One(index), chosen.clone());
        }
    }
}

/// Equivocates as leader and votes for everything.
pub(crate) struct Both;

impl Attack for Both {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        match message {
            Message::Proposal(..) => Equivocate.outgoing(ctx, to, message),
            _ => DoubleVote.outgoing(ctx, to, message),
        }
    }
}
