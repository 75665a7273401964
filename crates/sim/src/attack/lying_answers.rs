//! Lying pull answers: too few votes, half of what was asked, headers without parents, headers from the future, chains cut short.

use consensus::header::Header;
use consensus::message::{Answer, Message};
use consensus::replica::Recipient;
use consensus::types::{ValidatorIndex, View};
use consensus::verify::Content;
use consensus::vote::{Bundle, Statement};
use consensus::votes::Vote;

use super::{Attack, Ctx};

/// Answers every pull, and never truly.
pub(crate) struct LyingAnswers;

impl LyingAnswers {
    /// A header of mine for a view around `near` that I lead, with an invented parent, dated an hour ahead now and then.
    fn orphan(ctx: &mut Ctx<'_>, near: View) -> Option<consensus::header::SignedHeader> {
        let turns = ctx.config.n() as u64;
        let view = (near.get()..near.get() + turns).map(View::new).find(|view| ctx.config.leader(*view) == ctx.me)?;
        let like = ctx.board.headers.values().next_back()?.first()?.header().clone();
        let ahead_ms = if ctx.once_in(2) { 3_600_000 } else { 1 };
        let parent_hash = ctx.invented();
        ctx.sign(Header {
            view,
            leader: ctx.me,
            parent_view: View::new(view.get() - 1),
            parent_hash,
            time: ctx.now.after_ms(ahead_ms),
            ..like
        })
    }
}

impl Attack for LyingAnswers {
    fn received(&mut self, ctx: &mut Ctx<'_>, from: ValidatorIndex, content: &Content) {
        let Content::Status(status) = content else { return };
        let orphan = Self::orphan(ctx, status.view.next());
        let mut answer = Answer::default();
        for view in status.nullifications.iter().take(4) {
            // One vote is not a certificate.
            if let Some(Message::Vote(bundle)) = ctx.votes(vec![Statement::Nullify(*view)]) {
                answer.votes.push(Vote::Bundle(std::sync::Arc::new(Bundle::clone(&bundle))));
            }
        }
        answer.headers.extend(orphan);
        ctx.send(Recipient::One(from), Message::Answer(answer));
    }

    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        match message {
            Message::Answer(mut answer) => {
                let keep = ctx.rng.usize(0..=answer.votes.len() / 2);
                answer.votes.truncate(keep);
                answer.headers.reverse();
                answer.headers.truncate(1);
                answer.bodies.clear();
                ctx.send(to, Message::Answer(answer));
            }
            Message::FinalChain(mut chain) => {
                if ctx.once_in(2) {
                    chain.blocks.truncate(1);
                } else {
                    chain.certificate.votes.pop();
                }
                ctx.send(to, Message::FinalChain(chain));
            }
            message => ctx.send(to, message),
        }
    }
}
