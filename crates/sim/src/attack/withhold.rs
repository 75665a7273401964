//! Withholding: in each view some peers get neither its votes nor its block.

use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Attack, Ctx, mix, view_of};

/// Sends votes, blocks and hints to a part of the network that changes with the view.
pub(crate) struct Withhold;

impl Attack for Withhold {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let Some(view) = view_of(&message).filter(|_| !matches!(message, Message::Status(_))) else {
            return ctx.send(to, message);
        };
        let chosen = ctx.plan(view);
        let favoured = |index: u16| mix(chosen ^ u64::from(index)) % 8 < chosen % 8;
        let peers = ctx.others().into_iter().filter(|index| match to {
            Recipient::All => true,
            Recipient::One(one) => one == *index,
        });
        for index in peers.filter(|index| favoured(index.get())).collect::<Vec<_>>() {
            ctx.send(Recipient::One(index), message.clone());
        }
    }
}
