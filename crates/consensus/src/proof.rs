//! The proof of a final value: all that a stranger with the genesis needs, years later and offline.

use crypto::Digest;

use crate::body::{Proposal, payload_root_of};
use crate::bounds::{MAX_EPOCH_LINKS, MAX_MERKLE_PATH, MAX_PATH_HEADERS};
use crate::certificate::{FinalityCertificate, FinalityPath};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::config::EpochConfig;
use crate::genesis::Genesis;
use crate::header::{Header, SignedHeader};
use crate::merkle;
use crate::types::{Epoch, Height, Timestamp, ValidatorIndex, View};
use crate::verify::{Rejection, Verifier, check_link};

const PROOF_MAGIC: &[u8; 4] = b"AMvp";
const PROOF_VERSION: u16 = 1;

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
    /// The block's header, signed by its leader.
    pub header: SignedHeader,
    /// Headers from the block's child to the block whose votes finalized it; empty when direct.
    pub descendants: Vec<Header>,
    /// The votes.
    pub certificate: FinalityCertificate,
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
        let chain_id = genesis.chain_id();
        let verifier = Verifier::new(genesis.config.clone(), chain_id);
        self.verify_with(&verifier)
    }

    /// Like [`Self::verify`] with a verifier made before, for many proofs of one network.
    pub fn verify_with(&self, verifier: &Verifier) -> Result<ProvenValue, ProofError> {
        verifier.header(&self.header)?;
        for descendant in &self.descendants {
            verifier.header_form(descendant)?;
        }
        let proven = self.describe(verifier.config())?;
        for vote in &self.certificate.votes {
            verifier.vote(vote)?;
        }
        Ok(proven)
    }

    /// What the proof shows if its signatures are valid: everything else is checked. For a node's own store only; a stranger uses
    /// [`Self::verify`].
    pub fn describe(&self, config: &EpochConfig) -> Result<ProvenValue, ProofError> {
        let algorithm = config.hash_algorithm();
        let header = self.header.header();
        let id = self.proposal.id(&header.chain_id);
        let root = merkle::root_of_path(algorithm, id, self.index as usize, self.count as usize, &self.siblings);
        let included = root
            .is_some_and(|root| payload_root_of(algorithm, 0, self.count as usize, Some(root)) == header.payload_root);
        if !included {
            return Err(ProofError::Inclusion);
        }
        if header.time > self.proposal.deadline {
            return Err(ProofError::Deadline);
        }
        let mut last = (self.header.hash(), header.clone());
        for descendant in &self.descendants {
            check_link(Some(&last), descendant)?;
            last = (descendant.hash(algorithm), descendant.clone());
        }
        let weight = self.certificate.weigh(config, &last.1, &last.0).map_err(Rejection::from)?;
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
            threshold: header.threshold,
            path: self.certificate.path,
            finalized_by_height: last.1.height,
            weight,
            strength: self.certificate.strength(config, weight),
        })
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
        self.header.encode(out);
        out.count(self.descendants.len());
        self.descendants.iter().for_each(|header| header.encode(out));
        self.certificate.encode(out);
        out.count(0); // epoch links since genesis: reserved (PROTOCOL section 7)
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
        let proof = Self {
            proposal: Proposal::decode(input)?,
            index: input.u32("index")?,
            count: input.u32("count")?,
            siblings: input.list(MAX_MERKLE_PATH, "siblings", |r| r.digest("sibling"))?,
            header: SignedHeader::decode(input)?,
            descendants: input.list(MAX_PATH_HEADERS, "descendants", Header::decode)?,
            certificate: FinalityCertificate::decode(input)?,
        };
        match input.count(MAX_EPOCH_LINKS, "epoch links")? {
            0 => Ok(proof),
            _ => Err(DecodeError::Invalid("epoch links")),
        }
    }
}
