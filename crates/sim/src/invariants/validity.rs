//! Certificates imply validity: what an honest replica votes for, and what becomes final, is valid by the text of PROTOCOL section 6; and
//! every final block has a proof in the store that holds.

use std::collections::BTreeSet;

use consensus::config::EpochConfig;
use consensus::types::{Height, View};
use consensus::verify::Verifier;
use crypto::Digest;
use engine::records::StoreRecords;
use engine::serve;
use storage::ByteStore as _;

use super::agreement::Agreement;
use super::ledger::Ledger;
use crate::host::Host;

/// Of long runs the signatures of every proof up to this height are checked, then of one in [`SAMPLE`].
const ALL_UP_TO: u64 = 32;
/// One proof in so many is checked with its signatures.
const SAMPLE: u64 = 64;

/// Blocks judged.
#[derive(Debug, Default)]
pub(super) struct Validity {
    judged: BTreeSet<Digest>,
}

impl Validity {
    /// An honest replica votes for a block, or tells that it is final: it must be valid where it stands. Judged once.
    pub(super) fn judge(
        &mut self,
        hash: &Digest,
        ledger: &Ledger,
        agreement: &Agreement,
        config: &EpochConfig,
        genesis: &Digest,
        violations: &mut Vec<String>,
    ) {
        if self.judged.insert(*hash)
            && let Some(why) = unfit(hash, ledger, agreement, config, genesis)
        {
            violations.push(format!("validity: {hash:?} has an honest vote, but {why}"));
        }
    }

    /// A final block was told for the first time: its proof is in the teller's store and holds, by the store's word and by everything
    /// that was ever signed.
    pub(super) fn proven(host: &Host, height: u64, ledger: &Ledger, verifier: &Verifier, violations: &mut Vec<String>) {
        let mut wrong = |why: String| {
            violations.push(format!("validity: v{} told height {height} as final, but {why}", host.validator));
        };
        let records = StoreRecords(host.disk.reader());
        let stored = serve::block(&records, &verifier.chain_id(), Height::new(height));
        let proof = |block: serve::StoredBlock| Ok((serve::finality(&records, &block.record)?, block));
        let ((descendants, certificate), block) = match stored.and_then(|block| block.map(proof).transpose()) {
            Ok(Some(proven)) => proven,
            Ok(None) => return wrong("it is not in its store".to_owned()),
            Err(error) => return wrong(error.to_string()),
        };
        let own = block.header.header();
        let header = descendants.last().unwrap_or(own);
        let hash = header.hash(verifier.config().hash_algorithm());
        let holds = if height <= ALL_UP_TO || height.is_multiple_of(SAMPLE) {
            verifier.finality(&certificate, header, &hash).map(drop).map_err(|error| error.to_string())
        } else {
            let weighed = certificate.weigh(verifier.config(), header, &hash);
            weighed.map(drop).map_err(|error| error.to_string())
        };
        if let Err(error) = holds {
            wrong(format!("its proof does not hold: {error}"));
        }
        if !ledger.is_final(header.view, &hash, u32::from(header.threshold), verifier.config().fast_path) {
            wrong(format!("the votes ever sent do not make {hash:?} of view {} final", header.view));
        }
    }
}

/// Why a block is not valid, if so.
fn unfit(
    hash: &Digest,
    ledger: &Ledger,
    agreement: &Agreement,
    config: &EpochConfig,
    genesis: &Digest,
) -> Option<String> {
    let Some(header) = ledger.headers.get(hash) else { return Some("nobody has proposed it".to_owned()) };
    let Some(body) = ledger.bodies.get(&header.payload_root) else {
        return Some("nobody has sent its body".to_owned());
    };
    let limits = &config.limits;
    let threshold = u32::from(header.threshold);
    if threshold < config.quorum.q_min() || threshold > config.quorum.q_max() {
        return Some(format!("its threshold {threshold} is out of range"));
    }
    if header.view == View::ZERO || body.encoded().len() != header.payload_len as usize {
        return Some("its body has another length than its header says".to_owned());
    }
    if body.encoded().len() > limits.max_block_bytes as usize {
        return Some("its body is too large".to_owned());
    }
    let distinct: BTreeSet<&Digest> = body.ids().iter().collect();
    if distinct.len() != body.ids().len() {
        return Some("a value is in it twice".to_owned());
    }
    for proposal in body.proposals() {
        if proposal.deadline < header.time || proposal.deadline > header.time.after_ms(limits.max_timeout_ms) {
            return Some("it holds a value with an impossible deadline".to_owned());
        }
        if proposal.value.len() > limits.max_value_bytes as usize {
            return Some("it holds a value that is too large".to_owned());
        }
    }
    let mut at = header.parent_hash;
    loop {
        let height = ledger.headers.get(&at).map_or(0, |header| header.height.get());
        if at == *genesis || agreement.chain.get(&height).is_some_and(|told| told.hash == at) {
            let earlier = |id: &&Digest| agreement.values.get(*id).is_some_and(|place| *place <= height);
            return body.ids().iter().find(earlier).map(|id| format!("value {id:?} is in a final block below it"));
        }
        let Some(ancestor) = ledger.headers.get(&at) else {
            return Some(format!("its ancestor {at:?} was never proposed"));
        };
        let Some(held) = ledger.bodies.get(&ancestor.payload_root) else {
            return Some(format!("the body of its ancestor {at:?} was never sent"));
        };
        if let Some(id) = held.ids().iter().find(|id| distinct.contains(id)) {
            return Some(format!("value {id:?} is in its ancestor {at:?}"));
        }
        at = ancestor.parent_hash;
    }
}
