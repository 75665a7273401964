//! What validators send each other, before anything is believed.

use bytes::Bytes;
use crypto::Digest;

use crate::body::Proposal;
use crate::bounds::{
    MAX_ANSWER_ITEMS, MAX_BATCH_SIZE, MAX_BLOCK_BYTES, MAX_CHAIN_BLOCKS, MAX_PATH_HEADERS, MAX_STATUS_ITEMS,
    MAX_SYSTEM_TXS,
};
use crate::certificate::FinalityCertificate;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::header::{Header, SignedHeader};
use crate::system::SystemTx;
use crate::types::{Epoch, Height, View};
use crate::vote::Bundle;
use crate::votes::Vote;

/// What a replica has and lacks (R8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The sender's view.
    pub view: View,
    /// View of its last final block.
    pub final_view: View,
    /// Height of its last committed block: bodies are held and applied up to here.
    pub committed_height: Height,
    /// Views above the last final one whose Nullification it lacks.
    pub nullifications: Vec<View>,
    /// Blocks above the last final view whose Notarization it lacks.
    pub notarizations: Vec<(View, Digest)>,
    /// Headers it lacks, by block hash.
    pub headers: Vec<Digest>,
    /// Bodies it lacks, by block hash.
    pub bodies: Vec<Digest>,
}

/// Votes, headers and bodies that a Status asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Votes of the certificates named, and Finalize votes.
    pub votes: Vec<Vote>,
    /// Headers named, and headers of the blocks named.
    pub headers: Vec<SignedHeader>,
    /// Encoded bodies named.
    pub bodies: Vec<Bytes>,
}

/// Final blocks in order, and one proof that makes the last of them final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalChain {
    /// Headers and encoded bodies of consecutive blocks.
    pub blocks: Vec<(SignedHeader, Bytes)>,
    /// Headers from the child of the last block to the block whose votes finalized it; empty when direct.
    pub descendants: Vec<Header>,
    /// Votes for the last header of all.
    pub certificate: FinalityCertificate,
}

/// A message between two validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The leader's block, with its body unless that travels apart.
    Proposal(SignedHeader, Option<Bytes>),
    /// One bundle of the sender.
    Vote(Bundle),
    /// What the sender has and lacks.
    Status(Status),
    /// What a Status asked for.
    Answer(Answer),
    /// Final blocks for one that is behind.
    FinalChain(FinalChain),
    /// The sender has work for this view of this epoch: wake up.
    Hint(Epoch, View),
    /// Proposals for a coming leader.
    Forward(Vec<Proposal>),
    /// System transactions of this epoch, for whoever leads.
    System(Epoch, Vec<SystemTx>),
    /// The sender is far behind and asks for a piece of the chain.
    Fetch(Fetch),
    /// Which final blocks the sender holds.
    Held(Held),
}

/// Asks for final blocks: those above `above`, up to and with `upto`, or as many of them as one answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The block before the first that is wanted.
    pub above: Height,
    /// The last block that is wanted.
    pub upto: Height,
}

/// The final blocks that the sender can serve; the answer to one who is far behind, and to a [`Fetch`] that cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lowest; blocks below are beyond the sender's retention.
    pub first: Height,
    /// The highest.
    pub last: Height,
}

impl Message {
    /// A short name for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proposal(..) => "proposal",
            Self::Vote(_) => "vote",
            Self::Status(_) => "status",
            Self::Answer(_) => "answer",
            Self::FinalChain(_) => "final_chain",
            Self::Hint(..) => "hint",
            Self::Forward(_) => "forward",
            Self::System(..) => "system",
            Self::Fetch(_) => "fetch",
            Self::Held(_) => "held",
        }
    }

    /// The epoch in which alone it means something, if there is one. Nothing of it is verified.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Proposal(header, _) => Some(header.header().epoch),
            Self::Vote(bundle) => Some(bundle.body().epoch),
            Self::Answer(answer) => {
                let vote = answer.votes.first().map(Vote::epoch);
                vote.or_else(|| answer.headers.first().map(|header| header.header().epoch))
            }
            Self::FinalChain(chain) => chain.blocks.first().map(|(header, _)| header.header().epoch),
            Self::Hint(epoch, _) | Self::System(epoch, _) => Some(*epoch),
            // A Status is for peers of any epoch.
            Self::Status(_) | Self::Forward(_) | Self::Fetch(_) | Self::Held(_) => None,
        }
    }
}

impl Encode for Status {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.epoch.get());
        out.u64(self.view.get());
        out.u64(self.final_view.get());
        out.u64(self.committed_height.get());
        out.count(self.nullifications.len());
        for view in &self.nullifications {
            out.u64(view.get());
        }
        out.count(self.notarizations.len());
        for (view, hash) in &self.notarizations {
            out.u64(view.get());
            out.digest(hash);
        }
        for list in [&self.headers, &self.bodies] {
            out.count(list.len());
            for hash in list {
                out.digest(hash);
            }
        }
    }
}

impl Decode for Status {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: input.epoch()?,
            view: input.view()?,
            final_view: input.view()?,
            committed_height: input.height()?,
            nullifications: input.list(MAX_STATUS_ITEMS, "nullifications", Reader::view)?,
            notarizations: input
                .list(MAX_STATUS_ITEMS, "notarizations", |r| Ok((r.view()?, r.digest("block hash")?)))?,
            headers: input.list(MAX_STATUS_ITEMS, "headers", |r| r.digest("block hash"))?,
            bodies: input.list(MAX_STATUS_ITEMS, "bodies", |r| r.digest("block hash"))?,
        })
    }
}

fn body_bytes(input: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    Ok(Bytes::copy_from_slice(input.bytes(MAX_BLOCK_BYTES as usize, "body")?))
}

impl Encode for Answer {
    fn encode(&self, out: &mut Writer) {
        out.count(self.votes.len());
        self.votes.iter().for_each(|vote| vote.encode(out));
        out.count(self.headers.len());
        self.headers.iter().for_each(|header| header.encode(out));
        out.count(self.bodies.len());
        self.bodies.iter().for_each(|body| out.bytes(body));
    }
}

impl Decode for Answer {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            votes: input.list(MAX_ANSWER_ITEMS, "votes", Vote::decode)?,
            headers: input.list(MAX_ANSWER_ITEMS, "headers", SignedHeader::decode)?,
            bodies: input.list(MAX_ANSWER_ITEMS, "bodies", body_bytes)?,
        })
    }
}

impl Encode for FinalChain {
    fn encode(&self, out: &mut Writer) {
        out.count(self.blocks.len());
        for (header, body) in &self.blocks {
            header.encode(out);
            out.bytes(body);
        }
        out.count(self.descendants.len());
        self.descendants.iter().for_each(|header| header.encode(out));
        self.certificate.encode(out);
    }
}

impl Decode for FinalChain {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            blocks: input.list(MAX_CHAIN_BLOCKS, "blocks", |r| Ok((SignedHeader::decode(r)?, body_bytes(r)?)))?,
            descendants: input.list(MAX_PATH_HEADERS, "descendants", Header::decode)?,
            certificate: FinalityCertificate::decode(input)?,
        })
    }
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Proposal(header, body) => {
                out.u8(1);
                header.encode(out);
                out.bool(body.is_some());
                if let Some(body) = body {
                    out.bytes(body);
                }
            }
            Self::Vote(bundle) => {
                out.u8(2);
                bundle.encode(out);
            }
            Self::Status(status) => {
                out.u8(3);
                status.encode(out);
            }
            Self::Answer(answer) => {
                out.u8(4);
                answer.encode(out);
            }
            Self::FinalChain(chain) => {
                out.u8(5);
                chain.encode(out);
            }
            Self::Hint(epoch, view) => {
                out.u8(6);
                out.u64(epoch.get());
                out.u64(view.get());
            }
            Self::Forward(proposals) => {
                out.u8(7);
                out.count(proposals.len());
                proposals.iter().for_each(|proposal| proposal.encode(out));
            }
            Self::System(epoch, txs) => {
                out.u8(10);
                out.u64(epoch.get());
                out.count(txs.len());
                txs.iter().for_each(|tx| tx.encode(out));
            }
            Self::Fetch(fetch) => {
                out.u8(8);
                out.u64(fetch.above.get());
                out.u64(fetch.upto.get());
            }
            Self::Held(held) => {
                out.u8(9);
                out.u64(held.first.get());
                out.u64(held.last.get());
            }
        }
    }
}

impl Decode for Message {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("message tag")? {
            1 => {
                let header = SignedHeader::decode(input)?;
                let body = if input.bool("has body")? { Some(body_bytes(input)?) } else { None };
                Self::Proposal(header, body)
            }
            2 => Self::Vote(Bundle::decode(input)?),
            3 => Self::Status(Status::decode(input)?),
            4 => Self::Answer(Answer::decode(input)?),
            5 => Self::FinalChain(FinalChain::decode(input)?),
            6 => Self::Hint(input.epoch()?, input.view()?),
            7 => Self::Forward(input.list(MAX_BATCH_SIZE as usize, "proposals", Proposal::decode)?),
            10 => Self::System(input.epoch()?, input.list(MAX_SYSTEM_TXS, "system transactions", SystemTx::decode)?),
            8 => Self::Fetch(Fetch { above: input.height()?, upto: input.height()? }),
            9 => Self::Held(Held { first: input.height()?, last: input.height()? }),
            _ => return Err(DecodeError::Invalid("message tag")),
        })
    }
}
