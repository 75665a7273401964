//! The end of an epoch: which block closes it, what its header must say, and what follows (PROTOCOL section 7, a to e).

use std::sync::Arc;

use crypto::Digest;

use super::{CommittedBlock, InvalidBody, Payloads, Replica, Tip, TipProof};
use crate::body::Body;
use crate::epoch::{EpochContext, Gathered, start_after};
use crate::header::{BlockKind, Header};
use crate::link::EpochLink;
use crate::records::{EpochRecord, Write};
use crate::system::SystemTx;
use crate::types::{Height, Timestamp};

/// What the chain has gathered up to a block above the last committed one; computed when first asked for, because few blocks ask.
pub(super) struct GatheredAt {
    at: Digest,
    found: Option<Gathered>,
}

impl GatheredAt {
    pub(super) const fn new(at: Digest) -> Self {
        Self { at, found: None }
    }

    /// `None` if a header or body is missing on the way.
    fn get(&mut self, replica: &Replica) -> Option<&mut Gathered> {
        if self.found.is_none() {
            let algorithm = replica.config.hash_algorithm();
            let mut gathered = replica.gathered.clone();
            for block in replica.tree.chain(&self.at, &replica.last_committed)?.into_iter().rev() {
                block.body.as_ref()?.system().iter().for_each(|tx| gathered.add(tx));
                gathered.add_block(algorithm, &block.header.hash());
            }
            self.found = Some(gathered);
        }
        self.found.as_mut()
    }
}

impl Replica {
    /// Whether only carriers may follow this block.
    pub(super) fn is_sealed(&self, hash: &Digest) -> bool {
        self.tree.get(hash).is_some_and(|block| block.header.header().is_sealed())
    }

    /// System transactions for my block, which are gathered with it, and the bytes that they take: at most half a block.
    pub(super) fn choose_system(&self, at: &mut GatheredAt, payloads: &dyn Payloads) -> (Vec<Arc<SystemTx>>, usize) {
        let waiting = payloads.system();
        let room = self.config.limits.max_block_bytes as usize / 2;
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        if waiting.is_empty() {
            return (chosen, bytes);
        }
        let Some(gathered) = at.get(self) else { return (chosen, bytes) };
        for tx in waiting {
            let len = tx.encoded_len();
            if bytes + len <= room && gathered.admits(&self.context, &tx).is_ok() {
                bytes += len;
                gathered.add(&tx);
                chosen.push(tx);
            }
        }
        (chosen, bytes)
    }

    /// What my block is: closing iff its height or time reaches the epoch's bound (section 7a). `at` has its system transactions already.
    pub(super) fn kind_for(&self, at: &mut GatheredAt, height: Height, time: Timestamp) -> BlockKind {
        if !self.context.closes(height, time) {
            return BlockKind::Ordinary;
        }
        at.get(self).map_or(BlockKind::Ordinary, |gathered| BlockKind::Closing(gathered.close(&self.context).0))
    }

    /// Judges what a block says of the epoch: its kind, its threshold, its system transactions, what it closes with.
    pub(super) fn judge_epoch(&self, header: &Header, body: &Body, payloads: &dyn Payloads) -> Result<(), InvalidBody> {
        let q_min = self.config.quorum.q_min();
        if header.kind == BlockKind::Carrier {
            // That it is empty and of the closing block's height was checked with its form and its link.
            let fine = u32::from(header.threshold) == q_min;
            return if fine { Ok(()) } else { Err(InvalidBody::Epoch("a carrier's threshold is q_min")) };
        }
        let closes = self.context.closes(header.height, header.time);
        if closes != header.closing().is_some() {
            return Err(InvalidBody::Epoch(
                "a block is closing exactly if its height or time reaches the epoch's bound",
            ));
        }
        if closes && u32::from(header.threshold) != q_min {
            return Err(InvalidBody::Epoch("a closing block's threshold is q_min"));
        }
        if !closes && body.system().is_empty() {
            return Ok(());
        }
        let mut at = GatheredAt::new(header.parent_hash);
        let Some(gathered) = at.get(self) else { return Err(InvalidBody::Epoch("its ancestors are not held")) };
        for (tx, hash) in body.system().iter().zip(body.system_hashes()) {
            if !payloads.is_checked(hash) {
                self.context.check(tx)?;
            }
            gathered.admits(&self.context, tx)?;
            gathered.add(tx);
        }
        if let Some(closing) = header.closing()
            && gathered.close(&self.context).0 != *closing
        {
            return Err(InvalidBody::Epoch("the closing header names another next configuration or other blocks"));
        }
        Ok(())
    }

    /// If a carrier became final, so did the closing block below it, and that is what counts.
    pub(super) fn without_carriers(&self, tip: Tip, mut proof: TipProof) -> (Tip, TipProof) {
        let (mut at, mut path) = (tip.hash, Vec::new());
        while let Some(block) = self.tree.get(&at).filter(|block| block.header.header().kind == BlockKind::Carrier) {
            path.push(block.header.header().clone());
            at = block.header.header().parent_hash;
        }
        let Some(block) = self.tree.get(&at).filter(|_| at != tip.hash) else { return (tip, proof) };
        path.reverse();
        path.append(&mut proof.descendants);
        (Tip::of(&block.header), TipProof { descendants: path, ..proof })
    }

    /// Takes a committed block into what the epoch has gathered.
    pub(super) fn gather(&mut self, block: &CommittedBlock) {
        let header = block.header.header();
        block.body.system().iter().for_each(|tx| self.gathered.add(tx));
        if header.closing().is_some() {
            return;
        }
        self.gathered.add_block(self.config.hash_algorithm(), &block.header.hash());
        if !block.body.system().is_empty() {
            self.system_heights.push(header.height);
            self.unwritten.push(Write::System(header.height, block.body.system().to_vec()));
        }
    }

    /// The closing block is committed: its proof and the epoch that follows are written with it.
    pub(super) fn close(&mut self, block: &CommittedBlock, proof: &TipProof) -> Result<Arc<EpochContext>, String> {
        let header = block.header.header();
        let (computed, config) = self.gathered.close(&self.context);
        if header.closing() != Some(&computed) {
            return Err(format!(
                "the final closing block of epoch {} (height {}) does not follow from the chain held here: next configuration or blocks \
                 differ. Either this store is not what it was, or more validators are Byzantine than the network tolerates. Keep this \
                 home as it is and compare the hash of this height with the other operators",
                header.epoch, header.height
            ));
        }
        let next = self.context.followed_by(config, start_after(header, block.header.hash()));
        let link = EpochLink {
            closing: header.clone(),
            carriers: proof.descendants.clone(),
            certificate: proof.certificate.clone(),
            system: self.gathered.system().map(Arc::clone).collect(),
        };
        let record = EpochRecord { link, next: next.clone() };
        self.unwritten.push(Write::Epoch(Box::new(record), std::mem::take(&mut self.system_heights)));
        Ok(Arc::new(next))
    }
}
