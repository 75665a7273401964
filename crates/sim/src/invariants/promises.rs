//! What clients were told stays, through every crash: an accepted value waits or is settled, a final one is found where it was told.

use std::collections::BTreeMap;

use consensus::replica::CommittedBlock;
use consensus::types::Height;
use crypto::Digest;
use engine::records::StoreRecords;
use engine::serve::{self, Outcome};
use storage::ByteStore as _;

use crate::host::Host;

/// Results looked up again after a restart and at the end, newest first.
const LOOKED_UP: usize = 512;

/// What each validator has told its clients.
#[derive(Debug, Default)]
pub(super) struct Promises {
    accepted: BTreeMap<u16, Vec<Digest>>,
    told: BTreeMap<u16, Vec<(Digest, Outcome)>>,
}

impl Promises {
    /// A client was told that its value is accepted and durable.
    pub(super) fn accepted(&mut self, host: u16, ids: &[Digest]) {
        self.accepted.entry(host).or_default().extend(ids);
    }

    /// A client may have been told these results.
    pub(super) fn published(&mut self, host: u16, block: &CommittedBlock) {
        let height = block.header.header().height;
        let results = block.body.ids().iter().enumerate().map(|(at, id)| (*id, Outcome::Final(height, at as u32)));
        self.told.entry(host).or_default().extend(results);
    }

    /// A client may have been told that these values expired.
    pub(super) fn expired(&mut self, host: u16, ids: &[Digest]) {
        self.told.entry(host).or_default().extend(ids.iter().map(|id| (*id, Outcome::Expired)));
    }

    /// Looks up what a running validator has told.
    pub(super) fn check(&self, host: &Host, violations: &mut Vec<String>) {
        let index = host.validator.get();
        let Some(engine) = &host.engine else { return };
        let records = StoreRecords(host.disk.reader());
        let held_from = engine.status().held_from;
        for (id, told) in self.told.get(&index).into_iter().flatten().rev().take(LOOKED_UP) {
            match serve::outcome(&records, id) {
                Ok(Some(found)) if found == *told => {}
                // Beyond the retention: forgotten together with its block.
                Ok(None) if matches!(told, Outcome::Final(height, _) if *height < held_from) => {}
                Ok(None) if *told == Outcome::Expired && held_from > Height::new(1) => {}
                other => violations.push(format!("promises: v{index} told {told:?} of {id:?} and now finds {other:?}")),
            }
        }
        for id in self.accepted.get(&index).into_iter().flatten().rev().take(LOOKED_UP) {
            let settled = serve::outcome(&records, id).is_ok_and(|outcome| outcome.is_some());
            if !settled && held_from == Height::new(1) && !engine.is_pending(id) && engine.find_final(id).is_none() {
                violations.push(format!("promises: v{index} accepted {id:?} and does not know it any more"));
            }
        }
    }
}
