//! Silent: nothing is sent, or no block.

use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Attack, Ctx};

/// Sends nothing, or nothing but its blocks.
pub(crate) struct Silent {
    /// Votes and answers are sent.
    pub(crate) leader_only: bool,
}

impl Attack for Silent {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        if self.leader_only && !matches!(message, Message::Proposal(..)) {
            ctx.send(to, message);
        }
    }
}
