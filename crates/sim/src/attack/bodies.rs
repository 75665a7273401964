//! Selective bodies: everyone gets the header, one peer the body at once, one at Δ, the others must pull it, and not from here.

use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Attack, Ctx};

/// Headers for all, bodies for few.
pub(crate) struct SelectiveBodies;

impl Attack for SelectiveBodies {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        match message {
            Message::Proposal(header, Some(body)) => {
                let bare = Message::Proposal(header.clone(), None);
                let whole = Message::Proposal(header.clone(), Some(body));
                let others = ctx.others();
                if others.is_empty() {
                    return;
                }
                let plan = ctx.plan(header.header().view) as usize;
                let (early, late) = (others[plan % others.len()], others[(plan / 64 + 1) % others.len()]);
                ctx.send(Recipient::One(early), whole.clone());
                ctx.send_later(ctx.timers.delta_us, Recipient::One(late), whole);
                for index in others.into_iter().filter(|index| *index != early) {
                    ctx.send(Recipient::One(index), bare.clone());
                }
            }
            Message::Answer(mut answer) => {
                answer.bodies.clear();
                ctx.send(to, Message::Answer(answer));
            }
            message => ctx.send(to, message),
        }
    }
}
