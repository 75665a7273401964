//! Invalid bodies: each breaks one rule of PROTOCOL section 6. Nobody honest may vote for such a block.

use std::sync::Arc;

use bytes::Bytes;
use consensus::body::{Body, Proposal};
use consensus::header::Header;
use consensus::message::Message;
use consensus::replica::Recipient;
use consensus::types::Timestamp;

use super::{Attack, Ctx};

/// Blocks whose bodies break a rule.
pub(crate) struct InvalidBodies;

impl Attack for InvalidBodies {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let Message::Proposal(honest, Some(_)) = &message else { return ctx.send(to, message) };
        let (time, plan) = (honest.header().time, ctx.plan(honest.header().view));
        let limits = &ctx.config.limits;
        let value = |deadline: Timestamp, bytes: usize| {
            let value = Bytes::from(vec![b'x'; bytes]);
            Arc::new(Proposal { deadline, priority: 9, nonce: plan, value })
        };
        let good = value(time.after_ms(1_000), 4);
        let proposals: Vec<Arc<Proposal>> = match plan % 6 {
            0 => vec![value(Timestamp::new(time.get() - 1), 4)],
            1 => vec![value(time.after_ms(limits.max_timeout_ms + 1), 4)],
            2 => vec![value(time.after_ms(1_000), limits.max_value_bytes as usize + 1)],
            3 => vec![Arc::clone(&good), good],
            4 => ctx.board.body.as_ref().map(|body| body.proposals().to_vec()).unwrap_or_default(),
            _ => vec![good],
        };
        let items = proposals.into_iter().map(|proposal| (proposal.id(&ctx.chain_id), proposal)).collect();
        let body = Body::from_proposals(&ctx.chain_id, items);
        let wrong_length = u32::from(plan % 6 == 5);
        let header = Header {
            payload_root: body.root(),
            payload_len: body.encoded().len() as u32 + wrong_length,
            ..honest.header().clone()
        };
        if let Some(header) = ctx.sign(header) {
            ctx.send(to, Message::Proposal(header, Some(body.encoded().clone())));
        }
    }
}
