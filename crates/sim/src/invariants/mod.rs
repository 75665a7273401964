//! What must hold in every run: agreement, promises, and no forbidden pair of votes by an honest replica.

use std::collections::{BTreeMap, BTreeSet};

use consensus::evidence::Evidence;
use consensus::types::ValidatorIndex;
use consensus::votes::Vote;
use crypto::Digest;

/// Watches a run and keeps the violations it sees.
#[derive(Debug, Default)]
pub struct Watch {
    chain: BTreeMap<u64, (Digest, u16)>,
    committed: BTreeMap<u16, u64>,
    values: BTreeMap<Digest, u64>,
    signed: BTreeMap<(u16, u64), Vec<Vote>>,
    accused: BTreeSet<u16>,
    violations: Vec<String>,
}

impl Watch {
    /// A host published a final block.
    pub fn published(&mut self, host: u16, height: u64, hash: Digest, ids: &[Digest]) {
        match self.chain.get(&height) {
            None => {
                self.chain.insert(height, (hash, host));
                for id in ids {
                    if let Some(earlier) = self.values.insert(*id, height) {
                        self.violations.push(format!("value {id} is in heights {earlier} and {height}"));
                    }
                }
            }
            Some((other, first)) if *other != hash => {
                self.violations.push(format!("height {height}: v{first} has {other:?}, v{host} has {hash:?}"));
            }
            Some(_) => {}
        }
        let before = self.committed.insert(host, height).unwrap_or(0);
        if height <= before {
            self.violations.push(format!("v{host} published height {height} after {before}"));
        }
    }

    /// A host restarted: it may publish again what it had not told before the crash, never less than is durable.
    pub fn restarted(&mut self, host: u16, height: u64) {
        let told = self.committed.insert(host, height).unwrap_or(0);
        if height < told {
            self.violations.push(format!("v{host} told of height {told} and came back at {height}"));
        }
    }

    /// An honest host sent something signed.
    pub fn signed(&mut self, host: u16, vote: &Vote) {
        for statement in vote.statements() {
            let key = (host, statement.view().get());
            let earlier = self.signed.entry(key).or_default();
            if let Some(evidence) = earlier.iter().find_map(|other| Evidence::find(other, vote)) {
                self.violations.push(format!(
                    "honest v{host} signed {} in view {}",
                    evidence.kind().name(),
                    evidence.view()
                ));
            }
            if !earlier.contains(vote) {
                earlier.push(vote.clone());
            }
        }
    }

    /// Somebody was accused.
    pub fn accused(&mut self, accused: ValidatorIndex, honest: bool) {
        self.accused.insert(accused.get());
        if honest {
            self.violations.push(format!("honest v{accused} was accused"));
        }
    }

    /// Something else is wrong.
    pub fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    /// What was violated.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Who was accused.
    pub const fn accused_set(&self) -> &BTreeSet<u16> {
        &self.accused
    }

    /// Where each value became final.
    pub const fn values(&self) -> &BTreeMap<Digest, u64> {
        &self.values
    }

    /// The final chain: height to hash.
    pub fn chain(&self) -> impl Iterator<Item = (u64, Digest)> {
        self.chain.iter().map(|(height, (hash, _))| (*height, *hash))
    }
}
