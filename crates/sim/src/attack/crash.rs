//! Crash at the worst moment: a message half sent, a write handed over and not flushed. What was told must still hold afterwards.

use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Act, Attack, Ctx};

/// Crashes of one validator in a run.
const MAX_CRASHES: u32 = 4;
/// It stays away for up to this long, in microseconds.
const AWAY_US: u64 = 1_500_000;

/// Follows the protocol and dies again and again.
#[derive(Default)]
pub(crate) struct CrashAtWorst {
    crashes: u32,
}

impl CrashAtWorst {
    fn dies(&mut self, ctx: &mut Ctx<'_>, once_in: u32) -> bool {
        let dies = !ctx.calm && self.crashes < MAX_CRASHES && ctx.once_in(once_in);
        if dies {
            self.crashes += 1;
        }
        dies
    }

    fn crash(ctx: &mut Ctx<'_>) {
        let back_after_us = ctx.rng.u64(1_000..AWAY_US);
        ctx.out.push(Act::Crash { back_after_us });
    }
}

impl Attack for CrashAtWorst {
    fn writing(&mut self, ctx: &mut Ctx<'_>) {
        if self.dies(ctx, 40) {
            Self::crash(ctx);
        }
    }

    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let weighty = matches!(message, Message::Proposal(..) | Message::Vote(_));
        if !weighty || to != Recipient::All || !self.dies(ctx, 20) {
            return ctx.send(to, message);
        }
        for index in ctx.others() {
            if ctx.once_in(2) {
                ctx.send(Recipient::One(index), message.clone());
            }
        }
        Self::crash(ctx);
    }
}
