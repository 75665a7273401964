//! Votes for the far future: to the edge of the window and far beyond it.

use consensus::bounds::{MAX_NUMBER, VIEW_WINDOW};
use consensus::header::Header;
use consensus::message::Message;
use consensus::replica::Recipient;
use consensus::types::View;
use consensus::vote::Statement;

use super::{Attack, Ctx};

/// Votes, headers and hints for views that nobody has entered.
pub(crate) struct FarFuture;

impl Attack for FarFuture {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        if let Message::Vote(honest) = &message {
            let view = honest.statements().iter().map(Statement::view).max().unwrap_or_default();
            let ahead = [1, 2, VIEW_WINDOW - 1, VIEW_WINDOW, VIEW_WINDOW + 1, 1_000_000, MAX_NUMBER / 2];
            let target = View::new(view.get() + ahead[ctx.rng.usize(..ahead.len())]);
            let hash = ctx.invented();
            let statement = match ctx.rng.u32(0..3) {
                0 => Statement::Notarize(target, hash),
                1 => Statement::Nullify(target),
                _ => Statement::Finalize(target, hash),
            };
            if let Some(vote) = ctx.votes(vec![statement]) {
                ctx.send(Recipient::All, vote);
            }
            ctx.send(Recipient::All, Message::Hint(ctx.config.epoch, target));
        }
        if let Message::Proposal(honest, body) = &message {
            // The same block once more, for the next view that it leads.
            let ahead = View::new(honest.header().view.get() + ctx.config.n() as u64);
            if let Some(header) = ctx.sign(Header { view: ahead, ..honest.header().clone() }) {
                ctx.send(Recipient::All, Message::Proposal(header, body.clone()));
            }
        }
        ctx.send(to, message);
    }
}
