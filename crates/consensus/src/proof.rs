//! The proof of a final value: all that a stranger with the genesis needs, years later and offline.

use std::sync::Arc;

use crypto::Digest;

use crate::body::{Proposal, SystemPart, payload_root_of};
use crate::bounds::{MAX_EPOCH_LINKS, MAX_MERKLE_PATH, MAX_PATH_HEADERS};
use crate::certificate::{FinalityCertificate, FinalityPath};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::epoch::{EpochContext, blocks_root};
use crate::genesis::Genesis;
use crate::header::{BlockKind, Header, SignedHeader};
use crate::link::{EpochChain, EpochLink, LinkError};
use crate::merkle;
use crate::types::{Epoch, Height, Timestamp, ValidatorIndex, View};
use crate::verify::{Rejection, Verifier, check_link};

const PROOF_MAGIC: &[u8; 4] = b"AMvp";
const PROOF_VERSION: u16 = 2;

/// The proof of a final value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueProof {
    /// The proposal.
    pub proposal: Proposal,
    /// Its place in the block.
    pub index: u32,
    /// How many values the block has.
    pub count: u32,
    /// Siblings from the id to the values' Merkle root.
    pub siblings: Vec<Digest>,
    /// The block's system transactions, if it has any.
    pub system: Option<SystemPart>,
    /// The block's header, signed by its leader.
    pub header: SignedHeader,
    /// Why the block is final.
    pub finality: Finality,
    /// The first epoch that `links` close: 0 in a proof that needs nothing but the genesis.
    pub first_link: Epoch,
    /// The chain of epochs up to the block's epoch: without the link that closes it if there are votes, with it if there are none.
    pub links: Vec<Arc<EpochLink>>,
}

/// Why a block is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Headers from the block's child to the block whose votes finalized it, empty when direct; and the votes.
    Votes(Vec<Header>, FinalityCertificate),
    /// Its epoch is closed, and its hash is under the closing block's root: the siblings. Empty for the closing block itself.
    Closed(Vec<Digest>),
}

/// What a valid proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenValue {
    /// The proposal's id.
    pub id: Digest,
    /// The proposal.
    pub proposal: Proposal,
    /// Height of its block.
    pub height: Height,
    /// Its place in the block.
    pub index: u32,
    /// The block's hash.
    pub block_hash: Digest,
    /// The block's time.
    pub block_time: Timestamp,
    /// Epoch of the block.
    pub epoch: Epoch,
    /// View of the block.
    pub view: View,
    /// Leader of that view.
    pub leader: ValidatorIndex,
    /// The leader's name in the block's epoch.
    pub leader_name: String,
    /// The block's q_v.
    pub threshold: u16,
    /// Which certificate made it final.
    pub path: FinalityPath,
    /// Height of the block that the certificate names.
    pub finalized_by_height: Height,
    /// Distinct validators in the certificate.
    pub weight: u32,
    /// How many Byzantine validators the finality withstands.
    pub strength: u32,
}

/// Why a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are not a proof.
    #[error("the proof is not readable: {0}")]
    Decode(#[from] DecodeError),
    /// A header, vote or certificate is not valid in the genesis' network.
    #[error("the proof does not hold: {0}")]
    Rejected(#[from] Rejection),
    /// The chain of epochs does not hold.
    #[error("the proof does not hold: {0}")]
    Link(#[from] LinkError),
    /// The links are not those that the block's epoch needs.
    #[error("the proof does not hold: its links are not those from epoch {0} to the block's epoch")]
    Links(Epoch),
    /// The block is not below the closing block of its epoch.
    #[error("the block is not part of its epoch: its path does not lead to the root in the closing block")]
    Block,
    /// The value is not in the block.
    #[error("the value is not in the block: its inclusion path does not lead to the header's payload root")]
    Inclusion,
    /// The block is dated after the proposal's deadline.
    #[error("the block is dated after the proposal's deadline")]
    Deadline,
}

impl ValueProof {
    /// Checks everything against the genesis alone, and returns what the proof shows.
    pub fn verify(&self, genesis: &Genesis) -> Result<ProvenValue, ProofError> {
        self.verify_with(&mut EpochChain::new(genesis))
    }

    /// Like [`Self::verify`] with the epochs known from proofs verified before, of one network: each link is verified once.
    pub fn verify_with(&self, chain: &mut EpochChain) -> Result<ProvenValue, ProofError> {
        let epoch = self.header.header().epoch;
        let closed = u64::from(matches!(self.finality, Finality::Closed(_)));
        let count = self.links.len() as u64;
        if self.first_link.get().checked_add(count) != Some(epoch.get() + closed) {
            return Err(ProofError::Links(self.first_link));
        }
        chain.extend(self.first_link, &self.links)?;
        let context = Arc::clone(chain.context(epoch).ok_or(LinkError::Unknown(epoch))?);
        let verifier = Verifier::new(Arc::clone(&context.config), context.chain_id);
        verifier.header(&self.header)?;
        let proven = self.describe(&context, chain.link(epoch).map(AsRef::as_ref))?;
        if let Finality::Votes(descendants, certificate) = &self.finality {
            for descendant in descendants {
                verifier.header_form(descendant)?;
            }
            for vote in &certificate.votes {
                verifier.vote(vote)?;
            }
        }
        Ok(proven)
    }

    /// What the proof shows if its signatures and its links are valid: everything else is checked. For a node's own store only; a stranger
    /// uses [`Self::verify`]. `link` closes the block's epoch, and is needed if the proof has no votes.
    pub fn describe(&self, context: &EpochContext, link: Option<&EpochLink>) -> Result<ProvenValue, ProofError> {
        let config = &context.config;
        let algorithm = config.hash_algorithm();
        let header = self.header.header();
        let id = self.proposal.id(&header.chain_id);
        let root = merkle::root_of_path(algorithm, id, self.index as usize, self.count as usize, &self.siblings);
        let included = root.is_some_and(|root| {
            payload_root_of(algorithm, self.system.as_ref(), self.count as usize, Some(root)) == header.payload_root
        });
        if !included {
            return Err(ProofError::Inclusion);
        }
        if header.time > self.proposal.deadline {
            return Err(ProofError::Deadline);
        }
        if header.kind == BlockKind::Carrier {
            return Err(ProofError::Block);
        }
        let (target, certificate) = match &self.finality {
            Finality::Votes(descendants, certificate) => {
                let mut last = (self.header.hash(), header.clone());
                for descendant in descendants {
                    check_link(Some(&last), descendant)?;
                    last = (descendant.hash(algorithm), descendant.clone());
                }
                (last, certificate)
            }
            Finality::Closed(siblings) => {
                let link = link.ok_or(LinkError::Unknown(header.epoch))?;
                self.check_in_epoch(context, link, siblings)?;
                let target = link.carriers.last().unwrap_or(&link.closing);
                ((target.hash(algorithm), target.clone()), &link.certificate)
            }
        };
        let weight = certificate.weigh(config, &target.1, &target.0).map_err(Rejection::from)?;
        Ok(ProvenValue {
            id,
            proposal: self.proposal.clone(),
            height: header.height,
            index: self.index,
            block_hash: self.header.hash(),
            block_time: header.time,
            epoch: header.epoch,
            view: header.view,
            leader: header.leader,
            leader_name: config.member(header.leader).map(|member| member.name.clone()).unwrap_or_default(),
            threshold: header.threshold,
            path: certificate.path,
            finalized_by_height: target.1.height,
            weight,
            strength: certificate.strength(config, weight),
        })
    }

    /// Section 7f: the block is the closing one of its epoch, or below its root.
    fn check_in_epoch(&self, context: &EpochContext, link: &EpochLink, siblings: &[Digest]) -> Result<(), ProofError> {
        let (algorithm, hash, height) =
            (context.config.hash_algorithm(), self.header.hash(), self.header.header().height);
        let closing = link.closing.closing().ok_or(ProofError::Block)?;
        if hash == link.closing.hash(algorithm) {
            return if siblings.is_empty() { Ok(()) } else { Err(ProofError::Block) };
        }
        let below = link.closing.height.get().checked_sub(context.start.height.get() + 1).ok_or(ProofError::Block)?;
        let index = height.get().checked_sub(context.start.height.get() + 1).ok_or(ProofError::Block)?;
        let root = merkle::root_of_path(algorithm, hash, index as usize, below as usize, siblings);
        let under = root.is_some_and(|root| blocks_root(algorithm, below, Some(&root)) == closing.blocks_root);
        if under { Ok(()) } else { Err(ProofError::Block) }
    }
}

impl Encode for ValueProof {
    fn encode(&self, out: &mut Writer) {
        out.raw(PROOF_MAGIC);
        out.u16(PROOF_VERSION);
        self.proposal.encode(out);
        out.u32(self.index);
        out.u32(self.count);
        out.count(self.siblings.len());
        self.siblings.iter().for_each(|sibling| out.digest(sibling));
        out.u32(self.system.map_or(0, |part| part.count));
        if let Some(part) = &self.system {
            out.digest(&part.root);
        }
        self.header.encode(out);
        match &self.finality {
            Finality::Votes(descendants, certificate) => {
                out.u8(1);
                out.count(descendants.len());
                descendants.iter().for_each(|header| header.encode(out));
                certificate.encode(out);
            }
            Finality::Closed(siblings) => {
                out.u8(2);
                out.count(siblings.len());
                siblings.iter().for_each(|sibling| out.digest(sibling));
            }
        }
        out.u64(self.first_link.get());
        out.count(self.links.len());
        self.links.iter().for_each(|link| link.encode(out));
    }
}

impl Decode for ValueProof {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.raw(PROOF_MAGIC.len(), "proof magic")? != PROOF_MAGIC {
            return Err(DecodeError::Invalid("proof magic"));
        }
        if input.u16("proof version")? != PROOF_VERSION {
            return Err(DecodeError::Invalid("proof version"));
        }
        Ok(Self {
            proposal: Proposal::decode(input)?,
            index: input.u32("index")?,
            count: input.u32("count")?,
            siblings: input.list(MAX_MERKLE_PATH, "siblings", |r| r.digest("sibling"))?,
            system: match input.u32("system transactions")? {
                0 => None,
                count => Some(SystemPart { count, root: input.digest("system root")? }),
            },
            header: SignedHeader::decode(input)?,
            finality: match input.u8("finality")? {
                1 => Finality::Votes(
                    input.list(MAX_PATH_HEADERS, "descendants", Header::decode)?,
                    FinalityCertificate::decode(input)?,
                ),
                2 => Finality::Closed(input.list(MAX_MERKLE_PATH, "siblings", |r| r.digest("sibling"))?),
                _ => return Err(DecodeError::Invalid("finality")),
            },
            first_link: input.epoch()?,
            links: input.list(MAX_EPOCH_LINKS, "epoch links", |r| EpochLink::decode(r).map(Arc::new))?,
        })
    }
}
