//! Twins: two processes with one identity, both honest in themselves. Each peer hears now the one, now the other; both hear everyone.

use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Attack, Ctx, mix};

/// Peers change between the twins this often, in microseconds.
const TURN_US: u64 = 700_000;

/// One of the two.
pub(crate) struct Twin {
    /// 0 or 1.
    pub(crate) copy: u16,
}

impl Attack for Twin {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let turn = mix(ctx.board.secret ^ (ctx.now.get() / TURN_US));
        let mine = |index: u16| (turn >> (index % 63) & 1) as u16 == self.copy;
        for index in ctx.others() {
            let meant = match to {
                Recipient::All => true,
                Recipient::One(one) => one == index,
            };
            if meant && mine(index.get()) {
                ctx.send(Recipient::One(index), message.clone());
            }
        }
    }
}
