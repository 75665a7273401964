//! System transactions: what validators say about keys and membership in blocks (PROTOCOL section 7, c and d).
//!
//! A *rotation* gives one validator a new session key (and link key) from the next epoch on; its identity and the new key sign it. A
//! *membership change* is the whole configuration of the next epoch; identities of q_min current members and every joiner sign it.
//! Whether one is valid in an epoch is judged in [`crate::epoch`].

use crypto::{Digest, PublicKey};

use crate::bounds::MAX_VALIDATORS;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::config::{EpochConfig, decode_key, encode_key};
use crate::header::hash_algorithm_of;
use crate::types::{Epoch, ValidatorIndex};

/// Domain of both signatures of a rotation.
pub const ROTATION_TAG: &str = "agent-mesh/rotation/v1";
/// Domain of a current member's approval of a membership change.
pub const APPROVAL_TAG: &str = "agent-mesh/approval/v1";
/// Domain of both signatures of a validator that joins, or comes back with other keys.
pub const JOINING_TAG: &str = "agent-mesh/joining/v1";
/// Tag of a system transaction's hash.
pub const SYSTEM_TAG: &str = "agent-mesh/system/v1";

/// A validator's new keys for the next epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The network.
    pub chain_id: Digest,
    /// Whose keys, in the present epoch's order.
    pub validator: ValidatorIndex,
    /// The epoch from which the new keys hold: the one after the present.
    pub target: Epoch,
    /// The block on which the present epoch stands: the closing block before, or the genesis.
    pub previous: Digest,
    /// The session key in use.
    pub old_key: PublicKey,
    /// The session key from then on.
    pub new_key: PublicKey,
    /// The link key from then on; may be the one in use.
    pub link_key: PublicKey,
    /// By the validator's identity.
    pub by_identity: Vec<u8>,
    /// By the new session key.
    pub by_new_key: Vec<u8>,
}

impl Rotation {
    /// What both signatures cover, under [`ROTATION_TAG`].
    pub fn content(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode_content(&mut out);
        out.into_bytes()
    }

    fn encode_content(&self, out: &mut Writer) {
        out.digest(&self.chain_id);
        out.u16(self.validator.get());
        out.u64(self.target.get());
        out.digest(&self.previous);
        encode_key(out, &self.old_key);
        encode_key(out, &self.new_key);
        encode_key(out, &self.link_key);
    }
}

impl Encode for Rotation {
    fn encode(&self, out: &mut Writer) {
        self.encode_content(out);
        out.bytes(&self.by_identity);
        out.bytes(&self.by_new_key);
    }
}

impl Decode for Rotation {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain_id: input.digest("chain id")?,
            validator: input.validator()?,
            target: input.epoch()?,
            previous: input.digest("previous closing block")?,
            old_key: decode_key(input)?,
            new_key: decode_key(input)?,
            link_key: decode_key(input)?,
            by_identity: input.signature()?,
            by_new_key: input.signature()?,
        })
    }
}

/// A validator whose keys in the next epoch are not the ones in use now agrees to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Its place in the next epoch.
    pub index: ValidatorIndex,
    /// By its identity.
    pub by_identity: Vec<u8>,
    /// By its session key.
    pub by_session: Vec<u8>,
}

/// The next epoch's members and parameters, with the signatures that allow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipChange {
    /// The network.
    pub chain_id: Digest,
    /// The block on which the present epoch stands.
    pub previous: Digest,
    /// Says so when f falls; otherwise false.
    pub lowers_f: bool,
    /// The whole next configuration, as it is without rotations of the present epoch.
    pub next: EpochConfig,
    /// Identity signatures of present members under [`APPROVAL_TAG`], in ascending order.
    pub approvals: Vec<(ValidatorIndex, Vec<u8>)>,
    /// Agreement of those whose keys are new, in ascending order.
    pub joinings: Vec<Joining>,
}

impl MembershipChange {
    /// What approvals and joinings cover.
    pub fn content(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode_content(&mut out);
        out.into_bytes()
    }

    fn encode_content(&self, out: &mut Writer) {
        out.digest(&self.chain_id);
        out.digest(&self.previous);
        out.bool(self.lowers_f);
        self.next.encode(out);
    }
}

impl Encode for MembershipChange {
    fn encode(&self, out: &mut Writer) {
        self.encode_content(out);
        out.count(self.approvals.len());
        for (index, signature) in &self.approvals {
            out.u16(index.get());
            out.bytes(signature);
        }
        out.count(self.joinings.len());
        for joining in &self.joinings {
            out.u16(joining.index.get());
            out.bytes(&joining.by_identity);
            out.bytes(&joining.by_session);
        }
    }
}

impl Decode for MembershipChange {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain_id: input.digest("chain id")?,
            previous: input.digest("previous closing block")?,
            lowers_f: input.bool("lowers f")?,
            next: EpochConfig::decode(input)?,
            approvals: input.list(MAX_VALIDATORS, "approvals", |r| Ok((r.validator()?, r.signature()?)))?,
            joinings: input.list(MAX_VALIDATORS, "joinings", |r| {
                Ok(Joining { index: r.validator()?, by_identity: r.signature()?, by_session: r.signature()? })
            })?,
        })
    }
}

/// A system transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemTx {
    /// New keys of one validator.
    Rotation(Box<Rotation>),
    /// New members or parameters.
    Change(Box<MembershipChange>),
}

/// Of each kind the first in the chain of an epoch counts, and no second one may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// The rotation of this validator.
    Rotation(ValidatorIndex),
    /// The membership change.
    Change,
}

impl SystemTx {
    /// The transaction's hash, which covers its signatures.
    pub fn hash(&self) -> Digest {
        let chain_id = match self {
            Self::Rotation(rotation) => &rotation.chain_id,
            Self::Change(change) => &change.chain_id,
        };
        hash_algorithm_of(chain_id).hash(SYSTEM_TAG, &[&self.to_bytes()])
    }

    /// Its kind.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Rotation(rotation) => Slot::Rotation(rotation.validator),
            Self::Change(_) => Slot::Change,
        }
    }

    /// The epoch that it shapes.
    pub fn target(&self) -> Epoch {
        match self {
            Self::Rotation(rotation) => rotation.target,
            Self::Change(change) => change.next.epoch,
        }
    }

    /// Bytes of its canonical form.
    pub fn encoded_len(&self) -> usize {
        self.to_bytes().len()
    }
}

impl Encode for SystemTx {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Rotation(rotation) => {
                out.u8(1);
                rotation.encode(out);
            }
            Self::Change(change) => {
                out.u8(2);
                change.encode(out);
            }
        }
    }
}

impl Decode for SystemTx {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8("system transaction tag")? {
            1 => Ok(Self::Rotation(Box::new(Rotation::decode(input)?))),
            2 => Ok(Self::Change(Box::new(MembershipChange::decode(input)?))),
            _ => Err(DecodeError::Invalid("system transaction tag")),
        }
    }
}
