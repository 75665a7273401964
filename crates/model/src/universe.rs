//! What can be said in a run of a small network: its blocks, its statements, and the votes that carry them.

use std::sync::Arc;

use consensus::body::Body;
use consensus::config::SharedConfig;
use consensus::header::{BlockKind, Header, SignedHeader};
use consensus::types::{Height, Timestamp, ValidatorIndex, View};
use consensus::vote::{Bundle, BundleBody, Statement};
use consensus::votes::Vote;
use crypto::Digest;
use sim::Scenario;

/// Blocks of one view that the encoding has room for.
pub const MAX_BLOCKS: usize = 6;
/// Views that the encoding has room for.
pub const MAX_VIEWS: u64 = 6;
/// Honest replicas that the encoding has room for.
pub const MAX_HONEST: usize = 6;

/// When everything happens: a moment after the genesis. Order, not time, is what the search varies.
pub const NOW: Timestamp = Timestamp::new(sim::scenario::START_US + 1_000_000);

/// The network and the bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// n.
    pub validators: u16,
    /// The Byzantine one (f = 1); it has signed everything.
    pub byzantine: u16,
    /// Views 1 to this.
    pub views: u64,
    /// Whether the epoch has the one-round path.
    pub fast_path: bool,
}

/// A block that may be proposed.
#[derive(Clone, Debug)]
pub struct Block {
    /// The header; its signature is empty, because nobody verifies it here.
    pub header: Arc<SignedHeader>,
    /// View and slot of the parent; none for genesis.
    pub parent: Option<(u64, usize)>,
}

/// What one replica has said in one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said {
    /// The slot of the block it stands for, plus one.
    pub lock: u8,
    /// It gave the view up.
    pub nulled: bool,
    /// It said Finalize for its lock.
    pub finalized: bool,
}

impl Said {
    pub(crate) const fn pack(self) -> u64 {
        self.lock as u64 | (self.nulled as u64) << 3 | (self.finalized as u64) << 4
    }

    pub(crate) const fn unpack(bits: u64) -> Self {
        Self { lock: (bits & 7) as u8, nulled: bits & 8 != 0, finalized: bits & 16 != 0 }
    }
}

/// What one replica has said in all views, packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Local(pub u32);

impl Local {
    /// What it said in `view`.
    pub const fn said(self, view: u64) -> Said {
        Said::unpack((self.0 as u64 >> (5 * (view - 1))) & 31)
    }

    /// The same with another entry for `view`.
    pub const fn with(self, view: u64, said: Said) -> Self {
        let shift = 5 * (view - 1);
        Self((self.0 & !(31 << shift)) | ((said.pack() as u32) << shift))
    }
}

/// Everything that can be said.
pub struct Universe {
    /// The bounds.
    pub bounds: Bounds,
    /// The epoch's configuration.
    pub config: SharedConfig,
    /// The chain id.
    pub chain_id: Digest,
    /// The blocks of each view, from view 1 on.
    pub blocks: Vec<Vec<Block>>,
}

impl Universe {
    /// The universe within `bounds`.
    ///
    /// A Byzantine leader proposes a block on every block below, and a rival on the first parent: with the greatest threshold where
    /// the range has more than one value. An honest leader proposes one block, on any parent that the rules let it choose.
    pub fn new(bounds: Bounds) -> Result<Self, String> {
        let scenario = Scenario { validators: bounds.validators, fast_path: bounds.fast_path, ..Scenario::default() };
        let (genesis, _) = sim::network(&scenario)?;
        let chain_id = genesis.chain_id();
        if bounds.views > MAX_VIEWS || usize::from(bounds.validators) > MAX_HONEST + 1 {
            return Err(format!("the encoding has room for {MAX_VIEWS} views and {MAX_HONEST} honest replicas"));
        }
        let mut universe = Self { bounds, config: genesis.config, chain_id, blocks: Vec::new() };
        for view in 1..=bounds.views {
            let blocks = universe.blocks_of(view);
            if blocks.len() > MAX_BLOCKS {
                return Err(format!("view {view} has {} blocks, the encoding has room for {MAX_BLOCKS}", blocks.len()));
            }
            universe.blocks.push(blocks);
        }
        Ok(universe)
    }

    fn blocks_of(&self, view: u64) -> Vec<Block> {
        let quorum = self.config.quorum;
        let mut parents: Vec<Option<(u64, usize)>> = Vec::new();
        for below in (1..view).rev() {
            parents.extend((0..self.blocks[below as usize - 1].len()).map(|slot| Some((below, slot))));
        }
        parents.push(None);
        let mut blocks: Vec<Block> =
            parents.iter().map(|parent| self.block(view, *parent, quorum.q_min() as u16, 0)).collect();
        if self.leader(view) == self.bounds.byzantine {
            blocks.insert(1, self.block(view, parents[0], quorum.q_max() as u16, 1));
        }
        blocks
    }

    fn block(&self, view: u64, parent: Option<(u64, usize)>, threshold: u16, variant: u64) -> Block {
        let (parent_view, parent_hash, height, time) = match parent {
            None => (View::ZERO, self.chain_id, Height::ZERO, NOW),
            Some((view, slot)) => {
                let above = &self.blocks[view as usize - 1][slot].header;
                let header = above.header();
                (header.view, above.hash(), header.height, header.time.after_ms(1))
            }
        };
        let body = Body::empty(&self.chain_id);
        let header = Header {
            chain_id: self.chain_id,
            epoch: self.config.epoch,
            view: View::new(view),
            leader: self.config.leader(View::new(view)),
            parent_view,
            parent_hash,
            height: height.next(),
            payload_root: body.root(),
            payload_len: body.encoded().len() as u32,
            threshold,
            time: time.after_us(variant),
            kind: BlockKind::Ordinary,
        };
        Block { header: Arc::new(SignedHeader::new(header, Vec::new())), parent }
    }

    /// The leader of a view.
    pub fn leader(&self, view: u64) -> u16 {
        self.config.leader(View::new(view)).get()
    }

    /// The honest replicas.
    pub fn honest(&self) -> Vec<u16> {
        (0..self.bounds.validators).filter(|index| *index != self.bounds.byzantine).collect()
    }

    /// The hash of a block.
    pub fn hash(&self, view: u64, slot: usize) -> Digest {
        self.blocks[view as usize - 1][slot].header.hash()
    }

    /// The slot of a block by its hash.
    pub fn slot(&self, view: u64, hash: &Digest) -> Option<usize> {
        self.blocks[view as usize - 1].iter().position(|block| block.header.hash() == *hash)
    }

    /// The slot of an honest leader's block: the one on the same parent.
    pub fn slot_of_proposal(&self, header: &Header) -> Option<usize> {
        let same = |block: &Block| block.header.header().parent_hash == header.parent_hash;
        self.blocks[header.view.get() as usize - 1].iter().position(same)
    }

    /// A vote of one statement; a leader's Notarize is its header.
    pub fn vote(&self, signer: u16, statement: Statement) -> Option<Vote> {
        if let Statement::Notarize(view, hash) = statement
            && self.leader(view.get()) == signer
        {
            let slot = self.slot(view.get(), &hash)?;
            return Some(Vote::Header(Arc::clone(&self.blocks[view.get() as usize - 1][slot].header)));
        }
        let body = BundleBody::new(self.chain_id, self.config.epoch, ValidatorIndex::new(signer), vec![statement])?;
        Some(Vote::Bundle(Arc::new(Bundle::new(body, Vec::new()))))
    }

    /// The statements of an honest replica in one view.
    pub fn statements(&self, view: u64, said: Said) -> Vec<Statement> {
        let at = View::new(view);
        let mut out = Vec::new();
        if said.lock > 0 {
            out.push(Statement::Notarize(at, self.hash(view, usize::from(said.lock) - 1)));
        }
        if said.nulled {
            out.push(Statement::Nullify(at));
        }
        if said.lock > 0 && said.finalized {
            out.push(Statement::Finalize(at, self.hash(view, usize::from(said.lock) - 1)));
        }
        out
    }

    /// Everything that the Byzantine replica has signed in one view: all of it.
    pub fn everything(&self, view: u64) -> Vec<Statement> {
        let at = View::new(view);
        let mut out = vec![Statement::Nullify(at)];
        for slot in 0..self.blocks[view as usize - 1].len() {
            out.push(Statement::Notarize(at, self.hash(view, slot)));
            out.push(Statement::Finalize(at, self.hash(view, slot)));
        }
        out
    }

    /// Whether `(view, slot)` is `of` or one of its ancestors.
    pub fn is_ancestor(&self, (view, slot): (u64, usize), of: (u64, usize)) -> bool {
        let mut at = Some(of);
        while let Some(here) = at {
            if here == (view, slot) {
                return true;
            }
            at = self.blocks[here.0 as usize - 1][here.1].parent;
        }
        false
    }
}
