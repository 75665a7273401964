//! Proposals, and block bodies made of them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use crypto::{Digest, HashAlgorithm};

use crate::bounds::{MAX_BATCH_SIZE, MAX_PRIORITY, MAX_SYSTEM_TXS, MAX_VALUE_BYTES};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::header::hash_algorithm_of;
use crate::merkle;
use crate::system::SystemTx;
use crate::types::Timestamp;

/// Domain tag of a proposal's id.
pub const PROPOSAL_TAG: &str = "agent-mesh/proposal/v1";
/// Domain tag of a payload root.
pub const PAYLOAD_TAG: &str = "agent-mesh/payload/v1";
/// Bytes of an empty body.
pub const BODY_HEAD_BYTES: usize = 9;
/// Bytes of a body with one empty value.
pub const BODY_OVERHEAD_BYTES: usize = BODY_HEAD_BYTES + PROPOSAL_OVERHEAD_BYTES;
/// Bytes of an encoded proposal beside its value.
pub const PROPOSAL_OVERHEAD_BYTES: usize = 21;
const BODY_VERSION: u8 = 1;

/// A value that a client wants ordered. Its id binds every field, so whoever fixes deadline and nonce fixes the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// It is never committed in a block dated later than this.
    pub deadline: Timestamp,
    /// 0 to 9; higher goes first, without starving the others.
    pub priority: u8,
    /// Makes equal values different proposals.
    pub nonce: u64,
    /// Opaque bytes.
    pub value: Bytes,
}

impl Proposal {
    /// The proposal's id on the chain `chain_id`.
    pub fn id(&self, chain_id: &Digest) -> Digest {
        hash_algorithm_of(chain_id).hash(
            PROPOSAL_TAG,
            &[
                chain_id.as_bytes(),
                &self.deadline.get().to_be_bytes(),
                &[self.priority],
                &self.nonce.to_be_bytes(),
                &self.value,
            ],
        )
    }

    /// Bytes of its canonical form.
    pub fn encoded_len(&self) -> usize {
        PROPOSAL_OVERHEAD_BYTES + self.value.len()
    }
}

impl Encode for Proposal {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.deadline.get());
        out.u8(self.priority);
        out.u64(self.nonce);
        out.bytes(&self.value);
    }
}

impl Decode for Proposal {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let deadline = input.time("deadline")?;
        let priority = input.u8("priority")?;
        if priority > MAX_PRIORITY {
            return Err(DecodeError::Invalid("priority"));
        }
        let nonce = input.u64("nonce")?;
        let value = Bytes::copy_from_slice(input.bytes(MAX_VALUE_BYTES as usize, "value")?);
        Ok(Self { deadline, priority, nonce, value })
    }
}

/// What a payload root commits to beside the values: system transactions, by number and Merkle root over their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemPart {
    /// How many; never 0.
    pub count: u32,
    /// Root of the tree over their hashes.
    pub root: Digest,
}

/// A block's body: the proposals in order, with their ids and the payload root that the header names.
#[derive(Clone, Debug)]
pub struct Body {
    encoded: Bytes,
    system: Vec<Arc<SystemTx>>,
    system_hashes: Vec<Digest>,
    proposals: Vec<Arc<Proposal>>,
    ids: Vec<Digest>,
    root: Digest,
    sorted: OnceLock<Vec<(u64, u32)>>,
    levels: OnceLock<Vec<Vec<Digest>>>,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded && self.root == other.root
    }
}

impl Eq for Body {}

impl Body {
    /// A body of these proposals, whose ids the caller has computed before.
    pub fn from_proposals(chain_id: &Digest, items: Vec<(Digest, Arc<Proposal>)>) -> Self {
        Self::new(chain_id, Vec::new(), items)
    }

    /// A body of these system transactions and proposals, whose ids the caller has computed before.
    pub fn new(chain_id: &Digest, system: Vec<Arc<SystemTx>>, items: Vec<(Digest, Arc<Proposal>)>) -> Self {
        let mut out = Writer::with_capacity(9 + items.iter().map(|(_, p)| p.encoded_len()).sum::<usize>());
        out.u8(BODY_VERSION);
        out.count(system.len());
        system.iter().for_each(|tx| tx.encode(&mut out));
        out.count(items.len());
        for (_, proposal) in &items {
            proposal.encode(&mut out);
        }
        let (ids, proposals) = items.into_iter().unzip();
        Self::made(chain_id, out.into_bytes().into(), system, proposals, ids)
    }

    fn made(
        chain_id: &Digest,
        encoded: Bytes,
        system: Vec<Arc<SystemTx>>,
        proposals: Vec<Arc<Proposal>>,
        ids: Vec<Digest>,
    ) -> Self {
        let system_hashes: Vec<Digest> = system.iter().map(|tx| tx.hash()).collect();
        let algorithm = hash_algorithm_of(chain_id);
        let part = system_part(algorithm, &system_hashes);
        let root = payload_root_of(algorithm, part.as_ref(), ids.len(), merkle::root(algorithm, &ids));
        let (sorted, levels) = (OnceLock::new(), OnceLock::new());
        Self { encoded, system, system_hashes, proposals, ids, root, sorted, levels }
    }

    /// A body without proposals.
    pub fn empty(chain_id: &Digest) -> Self {
        Self::from_proposals(chain_id, Vec::new())
    }

    /// Reads the canonical bytes and computes ids and root; costs about two hashes per value.
    pub fn decode(encoded: Bytes, chain_id: &Digest) -> Result<Self, DecodeError> {
        let mut input = Reader::new(&encoded);
        if input.u8("body version")? != BODY_VERSION {
            return Err(DecodeError::Invalid("body version"));
        }
        let system = input.list(MAX_SYSTEM_TXS, "system transactions", |r| SystemTx::decode(r).map(Arc::new))?;
        let proposals = input.list(MAX_BATCH_SIZE as usize, "proposals", |r| Proposal::decode_in(r, &encoded))?;
        input.finish()?;
        let ids: Vec<Digest> = proposals.iter().map(|proposal| proposal.id(chain_id)).collect();
        let proposals = proposals.into_iter().map(Arc::new).collect();
        Ok(Self::made(chain_id, encoded, system, proposals, ids))
    }

    /// The system transactions in order.
    pub fn system(&self) -> &[Arc<SystemTx>] {
        &self.system
    }

    /// Hashes of the system transactions in order.
    pub fn system_hashes(&self) -> &[Digest] {
        &self.system_hashes
    }

    /// What the payload root says of the system transactions; `None` if there are none.
    pub fn system_part(&self) -> Option<SystemPart> {
        system_part(hash_algorithm_of(&self.root), &self.system_hashes)
    }

    /// The canonical bytes.
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The proposals in order.
    pub fn proposals(&self) -> &[Arc<Proposal>] {
        &self.proposals
    }

    /// The proposals' ids in order.
    pub fn ids(&self) -> &[Digest] {
        &self.ids
    }

    /// Ids by their first eight bytes, so that a look-up touches little memory.
    fn sorted(&self) -> &[(u64, u32)] {
        self.sorted.get_or_init(|| {
            let mut places: Vec<(u64, u32)> =
                self.ids.iter().enumerate().map(|(at, id)| (prefix(id), at as u32)).collect();
            places.sort_unstable();
            places
        })
    }

    /// Whether a proposal is in it.
    pub fn contains(&self, id: &Digest) -> bool {
        let (sorted, wanted) = (self.sorted(), prefix(id));
        let from = sorted.partition_point(|(prefix, _)| *prefix < wanted);
        let same = sorted[from..].iter().take_while(|(prefix, _)| *prefix == wanted);
        same.into_iter().any(|(_, at)| self.ids.get(*at as usize) == Some(id))
    }

    /// Whether a proposal is in it twice.
    pub fn has_repetition(&self) -> bool {
        let same = self.sorted().chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1);
        same.into_iter().any(|same| {
            let mut ids: Vec<&Digest> = same.iter().filter_map(|(_, at)| self.ids.get(*at as usize)).collect();
            ids.sort_unstable();
            ids.windows(2).any(|pair| pair[0] == pair[1])
        })
    }

    /// The payload root.
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Whether it has neither proposals nor system transactions.
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.system.is_empty()
    }

    /// The siblings of proposal `index` up to the values' root.
    pub fn inclusion_path(&self, index: usize) -> Option<Vec<Digest>> {
        let levels = self.levels.get_or_init(|| merkle::levels(hash_algorithm_of(&self.root), &self.ids));
        merkle::path(levels, index)
    }
}

impl Proposal {
    /// Decodes a proposal whose value shares the memory of `whole`, the buffer that `input` reads.
    fn decode_in(input: &mut Reader<'_>, whole: &Bytes) -> Result<Self, DecodeError> {
        let deadline = input.time("deadline")?;
        let priority = input.u8("priority")?;
        if priority > MAX_PRIORITY {
            return Err(DecodeError::Invalid("priority"));
        }
        let nonce = input.u64("nonce")?;
        let len = input.count(MAX_VALUE_BYTES as usize, "value")?;
        let start = whole.len() - input.remaining();
        input.raw(len, "value")?;
        Ok(Self { deadline, priority, nonce, value: whole.slice(start..start + len) })
    }
}

fn prefix(id: &Digest) -> u64 {
    id.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn system_part(algorithm: HashAlgorithm, hashes: &[Digest]) -> Option<SystemPart> {
    let count = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
    merkle::root(algorithm, hashes).map(|root| SystemPart { count, root })
}

/// The payload root from its parts: H(tag ‖ system count ‖ value count ‖ values' Merkle root ‖ system transactions' Merkle root), each
/// root nothing where its count is 0.
pub fn payload_root_of(
    algorithm: HashAlgorithm,
    system: Option<&SystemPart>,
    count: usize,
    values: Option<Digest>,
) -> Digest {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let values = values.as_ref().map_or(&[][..], |root| root.as_bytes());
    let (system_count, system_root) = system.map_or((0, &[][..]), |part| (part.count, part.root.as_bytes()));
    algorithm.hash(PAYLOAD_TAG, &[&system_count.to_be_bytes(), &count.to_be_bytes(), values, system_root])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Digest {
        HashAlgorithm::Sha256.hash("test", &[])
    }

    fn body(values: &[&'static [u8]]) -> Body {
        let items = values.iter().enumerate().map(|(at, value)| {
            let proposal = Proposal {
                deadline: Timestamp::new(5),
                priority: 4,
                nonce: at as u64,
                value: Bytes::from_static(value),
            };
            (proposal.id(&chain()), Arc::new(proposal))
        });
        Body::from_proposals(&chain(), items.collect())
    }

    #[test]
    fn a_body_reads_back_as_itself() {
        for values in [&[][..], &[b"a".as_slice()], &[b"a", b"", b"ccc"]] {
            let made = body(values);
            let read = Body::decode(made.encoded().clone(), &chain()).unwrap();
            assert_eq!(read, made);
        }
    }

    #[test]
    fn truncated_longer_and_foreign_bodies_are_refused() {
        let encoded = body(&[b"abc", b"d"]).encoded().to_vec();
        for len in 0..encoded.len() {
            assert!(Body::decode(Bytes::copy_from_slice(&encoded[..len]), &chain()).is_err());
        }
        let mut longer = encoded.clone();
        longer.push(0);
        assert_eq!(Body::decode(longer.into(), &chain()), Err(DecodeError::Trailing(1)));
        let mut priority = encoded;
        priority[17] = 10;
        assert_eq!(Body::decode(priority.into(), &chain()), Err(DecodeError::Invalid("priority")));
    }

    #[test]
    fn every_field_is_in_the_id() {
        let base = Proposal { deadline: Timestamp::new(5), priority: 4, nonce: 1, value: Bytes::from_static(b"v") };
        let others = [
            Proposal { deadline: Timestamp::new(6), ..base.clone() },
            Proposal { priority: 5, ..base.clone() },
            Proposal { nonce: 2, ..base.clone() },
            Proposal { value: Bytes::from_static(b"w"), ..base.clone() },
        ];
        for other in others {
            assert_ne!(other.id(&chain()), base.id(&chain()));
        }
        assert_ne!(base.id(&HashAlgorithm::Sha256.hash("other", &[])), base.id(&chain()));
    }
}
