//! Spam to the bounds: invented blocks in every view of the window, crowded Status, hints, forwarded values.

use std::collections::BTreeSet;

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::bounds::{MAX_STATUS_ITEMS, VIEW_WINDOW};
use consensus::message::{Message, Status};
use consensus::replica::Recipient;
use consensus::types::View;
use consensus::vote::Statement;

use super::{Attack, Ctx};

/// Values forwarded at once.
const FORWARDED: u64 = 32;

/// Fills every bound that it can reach.
pub(crate) struct Spam;

impl Spam {
    /// Two invented blocks in each of eight views of the window: all that is kept of one signer.
    fn votes(ctx: &mut Ctx<'_>, view: View) {
        let first = view.get() + ctx.rng.u64(0..VIEW_WINDOW - 8);
        for _ in 0..2 {
            let statements = (first..first + 8).map(|at| Statement::Notarize(View::new(at), ctx.invented())).collect();
            if let Some(vote) = ctx.votes(statements) {
                ctx.send(Recipient::All, vote);
            }
        }
    }

    fn status(ctx: &mut Ctx<'_>, view: View) {
        let items = MAX_STATUS_ITEMS as u64;
        let status = Status {
            epoch: ctx.config.epoch,
            view,
            nullifications: (1..=items).map(|at| View::new(view.get() + at)).collect(),
            notarizations: (0..items).map(|at| (View::new(view.get() + at % 8), ctx.invented())).collect(),
            headers: (0..items).map(|_| ctx.invented()).collect(),
            bodies: (0..items).map(|_| ctx.invented()).collect::<BTreeSet<_>>().into_iter().collect(),
            ..Status::default()
        };
        ctx.send(Recipient::All, Message::Status(status));
    }

    fn values(ctx: &mut Ctx<'_>) {
        let deadline = ctx.now.after_ms(20_000);
        let mut values = Vec::new();
        for _ in 0..FORWARDED {
            let nonce = ctx.rng.u64(..);
            values.push(Proposal { deadline, priority: 9, nonce, value: Bytes::from_static(b"spam") });
        }
        ctx.send(Recipient::All, Message::Forward(values));
    }
}

impl Attack for Spam {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        if let Message::Vote(honest) = &message {
            let view = honest.statements().iter().map(Statement::view).max().unwrap_or_default();
            match ctx.rng.u32(0..4) {
                0 | 1 => Self::votes(ctx, view),
                2 => Self::status(ctx, view),
                _ if ctx.once_in(4) => Self::values(ctx),
                _ => ctx.send(Recipient::All, Message::Hint(ctx.config.epoch, View::new(view.get() + 1))),
            }
        }
        ctx.send(to, message);
    }
}
