//! Block headers, and their signature by the leader, which is also the leader's Notarize.

use crypto::{Digest, HashAlgorithm};

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{Epoch, Height, Timestamp, ValidatorIndex, View};

/// Domain tag of a header's hash and of its signature.
pub const HEADER_TAG: &str = "agent-mesh/header/v1";
/// Version of headers and bundles.
pub const PROTOCOL_VERSION: u16 = 1;

/// What the closing header of an epoch carries beside (PROTOCOL section 7a).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Closing {
    /// Hash of the next epoch's configuration.
    pub next_config: Digest,
    /// Commits to the hashes of the epoch's blocks below the closing one ([`crate::epoch::blocks_root`]).
    pub blocks_root: Digest,
}

/// What a block is in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// A block with values.
    Ordinary,
    /// The last block of the epoch: the first that reaches the epoch's bound.
    Closing(Closing),
    /// A block above the closing one: empty, of the closing block's height, good for nothing but to help it to finality.
    Carrier,
}

/// A block's header. Its hash is taken over the canonical bytes without the signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Header {
    /// The network.
    pub chain_id: Digest,
    /// The epoch.
    pub epoch: Epoch,
    /// The view in which it was proposed.
    pub view: View,
    /// Who leads that view.
    pub leader: ValidatorIndex,
    /// View of the parent block.
    pub parent_view: View,
    /// Hash of the parent block.
    pub parent_hash: Digest,
    /// The parent's height plus one; a carrier has its parent's.
    pub height: Height,
    /// Commits to the body (see [`crate::body::Body`]).
    pub payload_root: Digest,
    /// Bytes of the encoded body.
    pub payload_len: u32,
    /// q_v: how many Finalize votes this block needs.
    pub threshold: u16,
    /// Block time.
    pub time: Timestamp,
    /// What the block is in its epoch.
    pub kind: BlockKind,
}

impl Header {
    /// The block's hash.
    pub fn hash(&self, algorithm: HashAlgorithm) -> Digest {
        algorithm.hash(HEADER_TAG, &[&self.to_bytes()])
    }

    /// What the epoch's last block carries, if this is it.
    pub const fn closing(&self) -> Option<&Closing> {
        match &self.kind {
            BlockKind::Closing(closing) => Some(closing),
            BlockKind::Ordinary | BlockKind::Carrier => None,
        }
    }

    /// Whether only carriers may follow: this is the closing block or a carrier.
    pub const fn is_sealed(&self) -> bool {
        !matches!(self.kind, BlockKind::Ordinary)
    }

    /// Whether view, height, time and kind let this block follow `parent`; the parent's hash is compared by the caller.
    pub fn follows(&self, parent: &Self) -> Result<(), &'static str> {
        if self.parent_view != parent.view {
            return Err("a header does not name the view of the one before it");
        }
        if parent.is_sealed() != (self.kind == BlockKind::Carrier) {
            return Err("carriers, and nothing else, follow the closing block of an epoch");
        }
        let height = if self.kind == BlockKind::Carrier { parent.height } else { parent.height.next() };
        if self.height != height {
            return Err("heights are not consecutive");
        }
        if self.time <= parent.time {
            return Err("block time does not advance");
        }
        Ok(())
    }
}

impl Encode for Header {
    fn encode(&self, out: &mut Writer) {
        out.u16(PROTOCOL_VERSION);
        out.digest(&self.chain_id);
        out.u64(self.epoch.get());
        out.u64(self.view.get());
        out.u16(self.leader.get());
        out.u64(self.parent_view.get());
        out.digest(&self.parent_hash);
        out.u64(self.height.get());
        out.digest(&self.payload_root);
        out.u32(self.payload_len);
        out.u16(self.threshold);
        out.u64(self.time.get());
        match &self.kind {
            BlockKind::Ordinary => out.u8(0),
            BlockKind::Closing(closing) => {
                out.u8(1);
                out.digest(&closing.next_config);
                out.digest(&closing.blocks_root);
            }
            BlockKind::Carrier => out.u8(2),
        }
    }
}

impl Decode for Header {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.u16("version")? != PROTOCOL_VERSION {
            return Err(DecodeError::Invalid("version"));
        }
        Ok(Self {
            chain_id: input.digest("chain id")?,
            epoch: input.epoch()?,
            view: input.view()?,
            leader: input.validator()?,
            parent_view: input.view()?,
            parent_hash: input.digest("parent hash")?,
            height: input.height()?,
            payload_root: input.digest("payload root")?,
            payload_len: input.u32("payload length")?,
            threshold: input.u16("threshold")?,
            time: input.time("block time")?,
            kind: match input.u8("block kind")? {
                0 => BlockKind::Ordinary,
                1 => BlockKind::Closing(Closing {
                    next_config: input.digest("next config")?,
                    blocks_root: input.digest("blocks root")?,
                }),
                2 => BlockKind::Carrier,
                _ => return Err(DecodeError::Invalid("block kind")),
            },
        })
    }
}

/// A header with its leader's signature over the header's canonical bytes under [`HEADER_TAG`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    header: Header,
    hash: Digest,
    signature: Vec<u8>,
}

impl SignedHeader {
    /// Joins a header and a signature; nothing is verified here. The hash function follows from the chain id's length.
    pub fn new(header: Header, signature: Vec<u8>) -> Self {
        let hash = header.hash(hash_algorithm_of(&header.chain_id));
        Self { header, hash, signature }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The block's hash.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The leader's signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The hash function whose digests are as long as `digest`.
pub fn hash_algorithm_of(digest: &Digest) -> HashAlgorithm {
    if digest.len() == HashAlgorithm::Sha384.digest_len() { HashAlgorithm::Sha384 } else { HashAlgorithm::Sha256 }
}

impl Encode for SignedHeader {
    fn encode(&self, out: &mut Writer) {
        self.header.encode(out);
        out.bytes(&self.signature);
    }
}

impl Decode for SignedHeader {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = Header::decode(input)?;
        Ok(Self::new(header, input.signature()?))
    }
}
