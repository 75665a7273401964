//! Deadlines hold: no value is final after its deadline by chain time, and expired is told only as PROTOCOL section 6 says.

use std::collections::{BTreeMap, BTreeSet};

use consensus::replica::CommittedBlock;
use consensus::types::Timestamp;
use crypto::Digest;

use super::agreement::Agreement;

/// Deadlines of the values submitted, and who was told that one has passed.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    of: BTreeMap<Digest, Timestamp>,
    expired: BTreeSet<Digest>,
}

impl Deadlines {
    pub(super) fn submitted(&mut self, id: Digest, deadline: Timestamp) {
        self.of.insert(id, deadline);
    }

    /// An honest validator tells that these values have expired.
    pub(super) fn expired(&mut self, host: u16, ids: &[Digest], agreement: &Agreement, violations: &mut Vec<String>) {
        for id in ids {
            self.expired.insert(*id);
            if let Some(height) = agreement.values.get(id) {
                violations.push(format!("deadlines: v{host} told {id:?} as expired, it is final at height {height}"));
            }
            if let Some(deadline) = self.of.get(id)
                && agreement.chain_time() <= *deadline
            {
                violations.push(format!("deadlines: v{host} told {id:?} as expired before any final block was later"));
            }
        }
    }

    /// A block is told as final for the first time.
    pub(super) fn published(&self, block: &CommittedBlock, violations: &mut Vec<String>) {
        let header = block.header.header();
        for (id, proposal) in block.body.ids().iter().zip(block.body.proposals()) {
            if proposal.deadline < header.time {
                violations.push(format!("deadlines: {id:?} is final at height {} after its deadline", header.height));
            }
            if self.expired.contains(id) {
                violations.push(format!("deadlines: {id:?} was told expired and is final at height {}", header.height));
            }
        }
    }
}
