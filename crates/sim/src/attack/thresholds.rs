//! Threshold games: the leader asks for any number of Finalize votes, legal or not.

use consensus::header::Header;
use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Attack, Ctx, mix};

/// Blocks with a threshold of the attacker's choice; one block per view, so that nothing else is wrong with them.
pub(crate) struct Thresholds;

impl Attack for Thresholds {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let Message::Proposal(honest, body) = &message else { return ctx.send(to, message) };
        let quorum = &ctx.config.quorum;
        let (low, high) = (quorum.q_min(), quorum.q_max());
        // The same view always gets the same choice: what is resent is the same block.
        let choice = mix(ctx.plan(honest.header().view));
        let threshold = match choice % 8 {
            0 => 0,
            1 => low.saturating_sub(1),
            2 => high + 1,
            3 => u32::from(u16::MAX),
            4 => high,
            _ => low + (choice >> 8) as u32 % (high - low + 1),
        };
        let header = Header { threshold: threshold as u16, ..honest.header().clone() };
        if let Some(header) = ctx.sign(header) {
            ctx.send(to, Message::Proposal(header, body.clone()));
        }
    }
}
