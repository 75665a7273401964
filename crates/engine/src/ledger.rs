//! The committed chain as far as validity needs it: recent proposal ids and chain time (PROTOCOL section 6).

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::body::Body;
use consensus::config::EpochConfig;
use consensus::records::{RecordError, RecordReader, Table, load_body, load_final, load_header};
use consensus::replica::{CommittedBlock, InvalidBody, Tip};
use consensus::types::{Height, Timestamp};
use crypto::Digest;

use crate::index::IdIndex;
use crate::io::Application;

/// Deadlines are grouped by this many microseconds, so that forgetting costs one look per group.
const BUCKET_US: u64 = 1_000_000;

/// The ids of committed proposals whose deadline chain time has not passed, and chain time itself.
pub(crate) struct Ledger {
    ids: IdIndex<(Height, u32)>,
    by_deadline: BTreeMap<u64, Vec<Digest>>,
    tip_time: Timestamp,
}

impl Ledger {
    pub(crate) fn new(created: Timestamp) -> Self {
        Self { ids: IdIndex::default(), by_deadline: BTreeMap::new(), tip_time: created }
    }

    /// Reads back the ids that a later block could still repeat: those of blocks younger than `max_timeout_ms`.
    pub(crate) fn load(
        reader: &dyn RecordReader,
        config: &EpochConfig,
        chain_id: &Digest,
        tip: Tip,
    ) -> Result<Self, RecordError> {
        let mut ledger = Self::new(tip.time);
        let mut height = tip.height;
        while height > Height::ZERO {
            let Some(record) = load_final(reader, height)? else { break };
            let header = load_header(reader, record.epoch, record.view, &record.hash)?;
            let time = header.header().time;
            if time.after_ms(config.limits.max_timeout_ms) < tip.time {
                break;
            }
            let Some(body) = load_body(reader, &header, chain_id)? else {
                return Err(RecordError::damaged(Table::Bodies, format!("the body of height {height} is missing")));
            };
            ledger.remember(height, &body);
            height = Height::new(height.get() - 1);
        }
        Ok(ledger)
    }

    fn remember(&mut self, height: Height, body: &Body) {
        for (at, (id, proposal)) in body.ids().iter().zip(body.proposals()).enumerate() {
            if proposal.deadline >= self.tip_time {
                self.ids.insert(*id, (height, at as u32));
                self.by_deadline.entry(proposal.deadline.get() / BUCKET_US).or_default().push(*id);
            }
        }
    }

    pub(crate) const fn chain_time(&self) -> Timestamp {
        self.tip_time
    }

    /// Where a proposal was committed, as long as its deadline has not passed.
    pub(crate) fn find(&self, id: &Digest) -> Option<(Height, u32)> {
        self.ids.get(id)
    }

    pub(crate) fn committed(&mut self, block: &CommittedBlock) {
        let header = block.header.header();
        self.tip_time = header.time;
        self.remember(header.height, &block.body);
        let passed = self.tip_time.get() / BUCKET_US;
        let kept = self.by_deadline.split_off(&passed);
        for id in std::mem::replace(&mut self.by_deadline, kept).into_values().flatten() {
            self.ids.remove(&id);
        }
    }

    /// Section 6: whether a body may follow these ancestors in a block of this time.
    pub(crate) fn check(
        &self,
        config: &EpochConfig,
        application: &dyn Application,
        time: Timestamp,
        body: &Body,
        ancestors: &[Arc<Body>],
    ) -> Result<(), InvalidBody> {
        let limits = &config.limits;
        let latest = time.after_ms(limits.max_timeout_ms);
        for (id, proposal) in body.ids().iter().zip(body.proposals()) {
            if proposal.deadline < time {
                return Err(InvalidBody::Expired(*id));
            }
            if proposal.deadline > latest {
                return Err(InvalidBody::FarDeadline(*id));
            }
            if proposal.value.len() > limits.max_value_bytes as usize {
                return Err(InvalidBody::TooLarge(*id));
            }
            if self.ids.contains(id) || ancestors.iter().any(|ancestor| ancestor.contains(id)) {
                return Err(InvalidBody::Repeated(*id));
            }
            application.check(&proposal.value).map_err(|why| InvalidBody::Application(*id, why))?;
        }
        if body.has_repetition() {
            return Err(InvalidBody::Repeated(body.root()));
        }
        Ok(())
    }
}
