//! No honest replica signs what R1–R8 forbid: judged when it leaves the process, across restarts, and against everything that was ever
//! signed, which is more than the replica can have known.

use std::collections::{BTreeMap, BTreeSet};

use consensus::config::EpochConfig;
use consensus::epoch::EpochStart;
use consensus::evidence::EvidenceKind;
use consensus::header::BlockKind;
use consensus::types::{ValidatorIndex, View};
use consensus::vote::Statement;
use crypto::Digest;

use super::ledger::Ledger;

/// Statements of honest validators in the order in which they left.
#[derive(Debug, Default)]
pub(super) struct Signing {
    said: BTreeMap<(ValidatorIndex, View), Vec<Statement>>,
    /// Blocks whose place in the chain was judged, once.
    placed: BTreeSet<Digest>,
}

impl Signing {
    /// An honest validator sends these statements together. They are in the ledger already.
    pub(super) fn signed(
        &mut self,
        signer: ValidatorIndex,
        statements: &[Statement],
        ledger: &Ledger,
        config: &EpochConfig,
        start: &EpochStart,
        violations: &mut Vec<String>,
    ) {
        for statement in statements {
            let said = self.said.entry((signer, statement.view())).or_default();
            if said.contains(statement) {
                continue; // resent
            }
            let mut wrong = |why: String| violations.push(format!("signing: v{signer} signed {statement:?} {why}"));
            if let Some(kind) = said.iter().find_map(|earlier| EvidenceKind::of(earlier, statement)) {
                wrong(format!("against its own earlier vote: {}", kind.name()));
            }
            let nulled = said.iter().any(|earlier| matches!(earlier, Statement::Nullify(_)));
            let locked = said.iter().find_map(Statement::notarized);
            said.push(*statement);
            match statement {
                Statement::Notarize(view, hash) => {
                    if nulled {
                        wrong("after its Nullify (R3, R4)".to_owned());
                    }
                    if self.placed.insert(*hash)
                        && let Some(why) = misplaced(ledger, config, start, *view, hash)
                    {
                        wrong(format!("{why} (R3)"));
                    }
                }
                // Its Notarize may have become durable and died with the process before it was sent; Finalize says the same and more.
                Statement::Finalize(view, hash) => {
                    if self.placed.insert(*hash)
                        && let Some(why) = misplaced(ledger, config, start, *view, hash)
                    {
                        wrong(format!("{why} (R3)"));
                    }
                    if !ledger.is_notarized(*view, hash) {
                        wrong("before its Notarization (R6)".to_owned());
                    }
                }
                Statement::Nullify(view) => {
                    if let (Some(lock), true) = (locked, config.fast_path)
                        && !may_release(ledger, config, *view, &lock)
                    {
                        wrong("while its lock may still become final (R5)".to_owned());
                    }
                }
            }
        }
    }
}

/// R5.
fn may_release(ledger: &Ledger, config: &EpochConfig, view: View, lock: &Digest) -> bool {
    let quorum = ledger.quorum();
    let bound = quorum.p() + quorum.f();
    let (all, caught) = ledger.against(view, lock, config.leader(view));
    all > bound || caught.is_some_and(|others| others >= bound)
}

/// Why a block has no justified place, if so (PROTOCOL section 2).
fn misplaced(ledger: &Ledger, config: &EpochConfig, start: &EpochStart, view: View, hash: &Digest) -> Option<String> {
    let Some(header) = ledger.headers.get(hash) else { return Some("which nobody has proposed".to_owned()) };
    if header.view != view || header.leader != config.leader(view) {
        return Some("of another view or leader".to_owned());
    }
    if let Some(open) =
        (header.parent_view.get() + 1..view.get()).map(View::new).find(|skipped| !ledger.is_nullified(*skipped))
    {
        return Some(format!("although view {open} between it and its parent has no Nullification"));
    }
    if header.parent_hash == start.hash {
        let follows = header.parent_view == View::ZERO
            && header.height == start.height.next()
            && header.kind != BlockKind::Carrier;
        return (!follows || header.time <= start.time)
            .then(|| "with a wrong place above the block that the epoch stands on".to_owned());
    }
    let Some(parent) = ledger.headers.get(&header.parent_hash) else {
        return Some("whose parent nobody has proposed".to_owned());
    };
    let sealed = parent.kind != BlockKind::Ordinary;
    let height = if sealed { parent.height } else { parent.height.next() };
    if parent.view != header.parent_view
        || header.height != height
        || header.time <= parent.time
        || sealed != (header.kind == BlockKind::Carrier)
    {
        return Some("that does not follow its parent in view, height, time and kind".to_owned());
    }
    (!ledger.is_notarized(parent.view, &header.parent_hash)).then(|| "whose parent has no Notarization".to_owned())
}
