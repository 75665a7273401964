//! The double voter: for every block that it has seen, and against the view as well.

use consensus::message::Message;
use consensus::replica::Recipient;
use consensus::vote::Statement;

use super::{Attack, Ctx};

/// Votes for everything.
pub(crate) struct DoubleVote;

impl Attack for DoubleVote {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        if let Message::Vote(honest) = &message {
            for view in honest.statements().iter().map(Statement::view) {
                let mut statements = vec![Statement::Nullify(view)];
                for hash in ctx.board.hashes(view) {
                    statements.extend([Statement::Notarize(view, hash), Statement::Finalize(view, hash)]);
                }
                for statement in statements {
                    if let Some(vote) = ctx.votes(vec![statement]) {
                        ctx.send(to, vote);
                    }
                }
            }
        }
        ctx.send(to, message);
    }
}
