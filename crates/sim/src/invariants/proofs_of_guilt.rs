//! Evidence never accuses an honest replica, and convinces a stranger.

use std::collections::BTreeSet;

use consensus::evidence::Evidence;
use consensus::verify::Verifier;
use consensus::vote::Statement;

/// Who was accused by honest validators.
#[derive(Debug, Default)]
pub(super) struct ProofsOfGuilt {
    pub(super) accused: BTreeSet<u16>,
}

impl ProofsOfGuilt {
    /// An honest validator accuses another.
    pub(super) fn accused(
        &mut self,
        evidence: &Evidence,
        honest: bool,
        verifier: &Verifier,
        violations: &mut Vec<String>,
    ) {
        let accused = evidence.accused();
        self.accused.insert(accused.get());
        if honest {
            violations.push(format!("evidence: honest v{accused} was accused of {}", evidence.kind().name()));
        }
        let [first, second] = evidence.votes();
        if let Some(error) = [first, second].into_iter().find_map(|vote| verifier.vote(vote).err()) {
            violations.push(format!("evidence: against v{accused} does not verify: {error}"));
        }
        let (left, right) = (first.statements(), second.statements());
        let convicts = left.iter().any(|a| right.iter().any(|b| contradict(a, b)));
        if !convicts || first.signer() != second.signer() {
            violations.push(format!("evidence: against v{accused} shows nothing forbidden"));
        }
    }
}

/// Section 8: of one view, two blocks supported, or one finalized and the view given up.
fn contradict(a: &Statement, b: &Statement) -> bool {
    let given_up = |x: &Statement, y: &Statement| matches!((x, y), (Statement::Finalize(..), Statement::Nullify(_)));
    let two = matches!((a.notarized(), b.notarized()), (Some(x), Some(y)) if x != y);
    a.view() == b.view() && (two || given_up(a, b) || given_up(b, a))
}
