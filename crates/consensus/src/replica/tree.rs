//! Blocks above the last committed one: headers, bodies, and which are justified.

use std::collections::BTreeMap;
use std::sync::Arc;

use crypto::Digest;

use crate::body::Body;
use crate::header::SignedHeader;
use crate::types::{Height, Timestamp, View};

/// A block whose header is held.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) header: Arc<SignedHeader>,
    pub(super) body: Option<Arc<Body>>,
    pub(super) seen_at: Timestamp,
    /// Dated too far behind the clock at first arrival: never notarized by me.
    pub(super) late: bool,
    /// Every ancestor link, certificate and nullification that "Justified" asks for is held. Once true it stays, until finality moves.
    pub(super) justified: bool,
    /// The body's validity, once it could be judged.
    pub(super) valid: Option<bool>,
    /// Its proposals are set aside.
    pub(super) included: bool,
    pub(super) header_stored: bool,
    pub(super) body_stored: bool,
}

/// A block known to be final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its view.
    pub view: View,
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: Digest,
    /// Its time.
    pub time: Timestamp,
}

impl Tip {
    pub(super) fn of(header: &SignedHeader) -> Self {
        let h = header.header();
        Self { view: h.view, height: h.height, hash: header.hash(), time: h.time }
    }
}

/// The tree of blocks above the last committed one, by hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    blocks: BTreeMap<Digest, Block>,
}

impl Tree {
    pub(super) fn get(&self, hash: &Digest) -> Option<&Block> {
        self.blocks.get(hash)
    }

    pub(super) fn get_mut(&mut self, hash: &Digest) -> Option<&mut Block> {
        self.blocks.get_mut(hash)
    }

    pub(super) fn contains(&self, hash: &Digest) -> bool {
        self.blocks.contains_key(hash)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Digest, &Block)> {
        self.blocks.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Digest, &mut Block)> {
        self.blocks.iter_mut()
    }

    pub(super) fn insert(&mut self, header: Arc<SignedHeader>, seen_at: Timestamp, late: bool) {
        let block = Block {
            body: None,
            seen_at,
            late,
            justified: false,
            valid: None,
            included: false,
            header_stored: false,
            body_stored: false,
            header,
        };
        self.blocks.entry(block.header.hash()).or_insert(block);
    }

    /// Attaches a body to every block that names it; returns whether any did.
    pub(super) fn attach(&mut self, body: &Arc<Body>) -> bool {
        let mut used = false;
        for block in self.blocks.values_mut() {
            if block.body.is_none() && block.header.header().payload_root == body.root() {
                block.body = Some(Arc::clone(body));
                used = true;
            }
        }
        used
    }

    /// Gives one block its body, whose root the caller has compared.
    pub(super) fn attach_to(&mut self, hash: &Digest, body: &Arc<Body>) {
        if let Some(block) = self.blocks.get_mut(hash) {
            block.body.get_or_insert_with(|| Arc::clone(body));
        }
    }

    /// The blocks from `hash` down to, and without, `base`, newest first; `None` if a header is missing on the way or `base` is not met.
    pub(super) fn chain(&self, hash: &Digest, base: &Tip) -> Option<Vec<&Block>> {
        let mut chain = Vec::new();
        let mut at = *hash;
        while at != base.hash {
            let block = self.blocks.get(&at)?;
            if block.header.header().view <= base.view {
                return None;
            }
            chain.push(block);
            at = block.header.header().parent_hash;
        }
        Some(chain)
    }

    /// The bodies from `hash` down to, and without, `base`, newest first; `None` unless all are held.
    pub(super) fn bodies(&self, hash: &Digest, base: &Tip) -> Option<Vec<Arc<Body>>> {
        self.chain(hash, base)?.into_iter().map(|block| block.body.clone()).collect()
    }

    /// Removes the blocks at or below `view` and returns them.
    pub(super) fn prune(&mut self, view: View) -> Vec<Block> {
        let gone: Vec<Digest> =
            self.blocks.iter().filter(|(_, b)| b.header.header().view <= view).map(|(hash, _)| *hash).collect();
        gone.iter().filter_map(|hash| self.blocks.remove(hash)).collect()
    }
}
