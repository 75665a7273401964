//! Delays just under and just over the timers of the others.

use consensus::message::Message;
use consensus::replica::Recipient;

use super::{Attack, Ctx, view_of};

/// How close to the timer, in microseconds.
const MARGIN_US: u64 = 1_000;

/// Sends everything around the moment when a timer runs out.
pub(crate) struct Delay {
    /// Just over instead of just under.
    pub(crate) over: bool,
}

impl Attack for Delay {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        let timers = ctx.timers;
        let watched = [
            timers.hedge_us,
            timers.delta_us / 4,
            timers.delta_us / 2,
            2 * timers.delta_us,
            4 * timers.delta_us,
            timers.timer_floor_us,
            2 * timers.timer_floor_us,
        ];
        // One timer for all messages about a view.
        let plan = view_of(&message).map_or(0, |view| ctx.plan(view));
        let timer = watched[plan as usize % watched.len()];
        let delay = if self.over { timer + MARGIN_US } else { timer.saturating_sub(MARGIN_US) };
        ctx.send_later(delay.max(1), to, message);
    }
}
