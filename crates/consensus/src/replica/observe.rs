//! What a replica tells whoever advises it. Nothing in the replica depends on what is done with it.

use super::{Effect, Replica};
use crate::types::{ValidatorIndex, View};
use crate::vote::Statement;

/// Something that happened in a view, at the time of the input that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// I entered this view.
    Entered(View),
    /// I have a block of this view to vote for: R3, or R2 as its leader.
    Locked {
        /// The view.
        view: View,
        /// Whether I lead it, so that my header is my vote.
        leading: bool,
    },
    /// A vote for a block of this view came from its signer while the view was open.
    Arrived {
        /// The view.
        view: View,
        /// Whose vote it is.
        from: ValidatorIndex,
    },
    /// A vote came for a view that is final already.
    Late {
        /// The view.
        view: View,
        /// Whose vote it is.
        from: ValidatorIndex,
    },
    /// The Notarization of my lock holds: from now on I hold Finalize back (R6). Advice that comes with the next input still counts.
    Notarized(View),
    /// My Finalize goes to be signed.
    Finalizing {
        /// The view.
        view: View,
        /// Whether it needs a signature and a message of its own.
        alone: bool,
    },
    /// The block of this view became the last final one.
    Settled {
        /// The view.
        view: View,
        /// Whether in one round.
        fast: bool,
    },
    /// The Nullification of this view holds.
    Skipped(View),
}

impl Replica {
    pub(super) fn note(&mut self, observation: Observation) {
        self.observed.push(observation);
    }

    /// What a signer says for blocks of open views.
    pub(super) fn note_arrival(&mut self, from: ValidatorIndex, statements: &[Statement]) {
        for statement in statements {
            if let Statement::Notarize(view, _) | Statement::Finalize(view, _) = statement {
                let (view, stale) = (*view, self.is_stale(*view));
                self.note(if stale { Observation::Late { view, from } } else { Observation::Arrived { view, from } });
            }
        }
    }

    /// Finalize statements that are about to be signed.
    pub(super) fn note_finalizing(&mut self, statements: &[Statement]) {
        let alone = statements.iter().all(|statement| matches!(statement, Statement::Finalize(..)));
        for statement in statements {
            if let Statement::Finalize(view, _) = statement {
                self.note(Observation::Finalizing { view: *view, alone });
            }
        }
    }

    /// Hands out what was noted in this step.
    pub(super) fn tell_observed(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.observed.drain(..).map(Effect::Observed));
    }
}
