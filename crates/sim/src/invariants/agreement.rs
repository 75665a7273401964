//! No two final blocks at one height; heights in order; a value in one block only.

use std::collections::BTreeMap;

use consensus::replica::CommittedBlock;
use consensus::types::{Height, Timestamp};
use crypto::Digest;

/// A final block as the first honest validator told it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) hash: Digest,
    pub(super) time: Timestamp,
    by: u16,
}

/// The one chain that all honest validators tell.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) chain: BTreeMap<u64, Told>,
    /// Where each value became final.
    pub(super) values: BTreeMap<Digest, u64>,
    /// The highest height that each validator has told.
    told: BTreeMap<u16, u64>,
}

impl Agreement {
    /// A validator told of a final block; whether it is the first to tell of this height.
    pub(super) fn published(
        &mut self,
        host: u16,
        held_from: Height,
        block: &CommittedBlock,
        violations: &mut Vec<String>,
    ) -> bool {
        let header = block.header.header();
        let (height, hash) = (header.height.get(), block.header.hash());
        let first = !self.chain.contains_key(&height);
        let told = self.chain.entry(height).or_insert(Told { hash, time: header.time, by: host });
        if told.hash != hash {
            let (by, other) = (told.by, told.hash);
            violations.push(format!("agreement: height {height} is {other:?} for v{by} and {hash:?} for v{host}"));
        }
        if first {
            for id in block.body.ids() {
                if let Some(earlier) = self.values.insert(*id, height) {
                    violations.push(format!("agreement: value {id} is in heights {earlier} and {height}"));
                }
            }
        }
        let before = self.told.insert(host, height).unwrap_or(0);
        // Only one whose store begins there may have skipped what nobody holds any more.
        if height != before + 1 && height != held_from.get() {
            violations.push(format!("agreement: v{host} told height {height} after {before}"));
        }
        first
    }

    /// The highest height that a validator has told.
    pub(super) fn told(&self, host: u16) -> u64 {
        self.told.get(&host).copied().unwrap_or(0)
    }

    /// A validator came back and will go on above `height`; what it had told before must be in its store.
    pub(super) fn restarted(&mut self, host: u16, height: u64, violations: &mut Vec<String>) {
        let told = self.told.insert(host, height).unwrap_or(0);
        if height < told {
            violations.push(format!("durability: v{host} told of height {told} and came back at {height}"));
        }
    }

    /// The latest block time that any honest validator has told as final.
    pub(super) fn chain_time(&self) -> Timestamp {
        self.chain.values().next_back().map_or(Timestamp::ZERO, |told| told.time)
    }
}
