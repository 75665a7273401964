//! What must hold in a lab, across restarts: agreement, promises, validity, and no forbidden pair of votes by an honest validator.

use std::collections::{BTreeMap, BTreeSet};

use consensus::evidence::{Evidence, EvidenceKind};
use consensus::message::Message;
use consensus::replica::CommittedBlock;
use consensus::vote::Statement;
use crypto::Digest;
use engine::{Admission, Refusal};

use super::disk::Doom;

/// Keeps what was said and told, and the violations seen.
#[derive(Default)]
pub struct Watch {
    chain: BTreeMap<u64, Digest>,
    told: BTreeMap<u16, u64>,
    said: BTreeMap<u16, Vec<Statement>>,
    values: BTreeSet<Digest>,
    expired: BTreeSet<Digest>,
    submitted: BTreeMap<u64, Digest>,
    promised: BTreeSet<Digest>,
    accused: BTreeSet<u16>,
    stops: Vec<(u16, Doom)>,
    violations: Vec<String>,
}

impl Watch {
    /// What has gone wrong.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Validators against which there is evidence.
    pub const fn accused_set(&self) -> &BTreeSet<u16> {
        &self.accused
    }

    /// Processes that ended at a durable operation.
    pub fn stops(&self) -> &[(u16, Doom)] {
        &self.stops
    }

    /// Values that are final.
    pub const fn values(&self) -> &BTreeSet<Digest> {
        &self.values
    }

    /// Values that a client was told are accepted, and that are neither final nor expired.
    pub fn open_promises(&self) -> Vec<Digest> {
        self.promised.iter().filter(|id| !self.values.contains(*id) && !self.expired.contains(*id)).copied().collect()
    }

    pub(super) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    pub(super) fn submitted(&mut self, number: u64, id: Digest) {
        self.submitted.insert(number, id);
    }

    pub(super) fn accepted(&mut self, number: u64, outcomes: &[Result<Admission, Refusal>]) {
        if let (Some(id), Some(Ok(_))) = (self.submitted.get(&number), outcomes.first()) {
            self.promised.insert(*id);
        }
    }

    pub(super) fn expired(&mut self, host: u16, ids: &[Digest]) {
        for id in ids {
            if self.values.contains(id) {
                self.violations.push(format!("v{host} told that {id} expired, and it is final"));
            }
            self.expired.insert(*id);
        }
    }

    pub(super) fn published(&mut self, host: u16, block: &CommittedBlock) {
        let header = block.header.header();
        let (height, hash) = (header.height.get(), block.header.hash());
        if self.chain.insert(height, hash).is_some_and(|earlier| earlier != hash) {
            self.violations.push(format!("two blocks are final at height {height}"));
        }
        let before = self.told.insert(host, height).unwrap_or(0);
        if height != before + 1 {
            self.violations.push(format!("v{host} published height {height} after {before}"));
        }
        for (id, proposal) in block.body.ids().iter().zip(block.body.proposals()) {
            self.values.insert(*id);
            if proposal.deadline < header.time {
                self.violations.push(format!("height {height} is final and holds a proposal that had expired"));
            }
            if self.expired.contains(id) {
                self.violations.push(format!("{id} was told expired and is final"));
            }
        }
    }

    pub(super) fn restarted(&mut self, host: u16, height: u64) {
        let told = self.told.insert(host, height).unwrap_or(0);
        if height < told {
            self.violations.push(format!("v{host} told of height {told} and came back at {height}"));
        }
    }

    pub(super) fn stopped(&mut self, host: u16, doom: &Doom) {
        self.stops.push((host, doom.clone()));
    }

    pub(super) fn accused(&mut self, evidence: &Evidence) {
        self.accused.insert(evidence.accused().get());
    }

    /// An honest validator lets something out: it must go together with all that it ever said.
    pub(super) fn sent(&mut self, host: u16, message: &Message) {
        let statements = match message {
            Message::Proposal(header, _) => vec![Statement::Notarize(header.header().view, header.hash())],
            Message::Vote(bundle) => bundle.statements().to_vec(),
            _ => return,
        };
        let said = self.said.entry(host).or_default();
        let fresh: Vec<Statement> = statements.into_iter().filter(|statement| !said.contains(statement)).collect();
        for statement in &fresh {
            for earlier in said.iter().chain(&fresh) {
                if let Some(kind) = EvidenceKind::of(earlier, statement) {
                    self.violations.push(format!("v{host} said {earlier:?} and {statement:?}: {}", kind.name()));
                }
            }
            let nullified = said.contains(&Statement::Nullify(statement.view()));
            if nullified && matches!(statement, Statement::Notarize(..)) {
                self.violations.push(format!("v{host} said {statement:?} after Nullify"));
            }
        }
        said.extend(fresh);
    }
}
