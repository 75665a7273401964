//! Stale replays: everything that it ever sent may come again, to anyone, at any time.

use consensus::message::{Answer, Message};
use consensus::replica::Recipient;
use consensus::types::ValidatorIndex;
use consensus::verify::Content;
use consensus::votes::Vote;

use super::{Attack, Ctx};

/// Messages kept for later.
const KEPT: usize = 64;

/// Sends old messages again, its own and, as answers, those of others.
#[derive(Default)]
pub(crate) struct Replay {
    mine: Vec<Message>,
    votes: Vec<Vote>,
}

fn keep<T>(list: &mut Vec<T>, item: T, at: usize) {
    if list.len() < KEPT {
        list.push(item);
    } else {
        list[at % KEPT] = item;
    }
}

impl Attack for Replay {
    fn received(&mut self, ctx: &mut Ctx<'_>, from: ValidatorIndex, content: &Content) {
        match content {
            Content::Vote(bundle) => keep(&mut self.votes, Vote::Bundle(bundle.clone()), ctx.rng.usize(..)),
            Content::Proposal(header, _) => keep(&mut self.votes, Vote::Header(header.clone()), ctx.rng.usize(..)),
            Content::Status(_) => {
                let answer = Answer { votes: self.votes.clone(), ..Answer::default() };
                ctx.send(Recipient::One(from), Message::Answer(answer));
            }
            _ => {}
        }
    }

    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        if !self.mine.is_empty() && ctx.once_in(3) {
            let old = self.mine[ctx.rng.usize(..self.mine.len())].clone();
            ctx.send(Recipient::All, old);
        }
        keep(&mut self.mine, message.clone(), ctx.rng.usize(..));
        ctx.send(to, message);
    }
}
