//! The coalition: for each view its members agree on one of the other attacks, by chance.

use consensus::message::Message;
use consensus::replica::Recipient;
use consensus::types::{ValidatorIndex, View};
use consensus::verify::Content;

use super::{Attack, AttackKind, Ctx, mix, view_of};

/// The attacks that it chooses from; what is not about one view keeps to the last choice.
const CHOICES: [AttackKind; 13] = [
    AttackKind::Both,
    AttackKind::Both,
    AttackKind::DoubleVoter,
    AttackKind::EquivocatingLeader,
    AttackKind::Thresholds,
    AttackKind::Withhold,
    AttackKind::SelectiveBodies,
    AttackKind::InvalidBodies,
    AttackKind::Silent,
    AttackKind::LyingAnswers,
    AttackKind::Spam,
    AttackKind::FarFuture,
    AttackKind::DelayOver,
];

/// A member of the coalition.
#[derive(Default)]
pub(crate) struct Coalition {
    view: View,
}

impl Coalition {
    fn choice(ctx: &Ctx<'_>, view: View) -> AttackKind {
        CHOICES[mix(ctx.plan(view)) as usize % CHOICES.len()]
    }
}

impl Attack for Coalition {
    fn received(&mut self, ctx: &mut Ctx<'_>, from: ValidatorIndex, content: &Content) {
        Self::choice(ctx, self.view).attacker(0).received(ctx, from, content);
    }

    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        if let Some(view) = view_of(&message) {
            self.view = view;
        }
        Self::choice(ctx, self.view).attacker(0).outgoing(ctx, to, message);
    }
}
