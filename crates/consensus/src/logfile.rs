//! The exported log: pieces of the chain, each with its certificate, verified one after another in constant memory.
//!
//! ```text
//! file  = raw "AMlg" ‖ u16 1 ‖ digest chain id ‖ number first height ‖ piece …  ‖ end
//! piece = u8 1 ‖ u32 length ‖ final chain
//! end   = u8 0 ‖ number last height ‖ digest last block's hash
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crypto::Digest;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::genesis::Genesis;
use crate::header::Header;
use crate::message::{FinalChain, Message};
use crate::types::{Height, Timestamp, ValidatorIndex, View};
use crate::verify::{Content, Rejection, Verifier, check_link};

const MAGIC: &[u8; 4] = b"AMlg";
const VERSION: u16 = 1;
/// Marks a piece.
pub const PIECE: u8 = 1;
/// Marks the end.
pub const END: u8 = 0;
/// Bytes of the longest head, and of the longest end without its mark.
pub const MAX_HEAD_BYTES: usize = 4 + 2 + 1 + 64 + 8;
/// Bytes of the longest piece: one block of the largest size, and the votes of the largest network.
pub const MAX_PIECE_BYTES: u32 = 1 << 30;

/// The beginning of an exported log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The network.
    pub chain_id: Digest,
    /// Height of the first block.
    pub from: Height,
}

impl Encode for LogHead {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC);
        out.u16(VERSION);
        out.digest(&self.chain_id);
        out.u64(self.from.get());
    }
}

impl Decode for LogHead {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.raw(MAGIC.len(), "log magic")? != MAGIC {
            return Err(DecodeError::Invalid("log magic"));
        }
        if input.u16("log version")? != VERSION {
            return Err(DecodeError::Invalid("log version"));
        }
        Ok(Self { chain_id: input.digest("chain id")?, from: input.height()? })
    }
}

/// Why an exported log is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not the format.
    #[error("the file is not an exported log of this version, or is cut off: {0}")]
    Decode(#[from] DecodeError),
    /// Another network.
    #[error("the log is of another network: its chain id is {0}")]
    OtherNetwork(Digest),
    /// A piece that does not verify.
    #[error("after height {after}: {why}")]
    Piece {
        /// Height of the last block that is sound.
        after: Height,
        /// What is wrong with what follows.
        why: Rejection,
    },
    /// A block whose values break the rules of PROTOCOL section 6.
    #[error("height {height}: {why}")]
    Values {
        /// The block.
        height: Height,
        /// What is wrong.
        why: String,
    },
    /// The end does not name the last block.
    #[error("the end of the file names height {named}, its last block has {found}")]
    End {
        /// Height named.
        named: Height,
        /// Height found.
        found: Height,
    },
}

/// What was verified so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Blocks.
    pub blocks: u64,
    /// Values in them.
    pub values: u64,
    /// Pieces, each with one certificate.
    pub pieces: u64,
}

/// Verifies an exported log piece by piece. It keeps the last header, and the ids whose deadline chain time has not passed.
pub struct LogVerifier {
    verifier: Verifier,
    genesis: Genesis,
    from: Height,
    last: Option<(Digest, Header)>,
    ids: BTreeSet<Digest>,
    by_deadline: BTreeMap<Timestamp, Vec<Digest>>,
    summary: LogSummary,
}

impl LogVerifier {
    /// A verifier of a log that begins with `head`.
    pub fn new(genesis: &Genesis, head: &LogHead) -> Result<Self, LogError> {
        let chain_id = genesis.chain_id();
        if head.chain_id != chain_id {
            return Err(LogError::OtherNetwork(head.chain_id));
        }
        Ok(Self {
            verifier: Verifier::new(genesis.config.clone(), chain_id),
            genesis: genesis.clone(),
            from: head.from,
            last: None,
            ids: BTreeSet::new(),
            by_deadline: BTreeMap::new(),
            summary: LogSummary::default(),
        })
    }

    /// What was verified so far.
    pub const fn summary(&self) -> LogSummary {
        self.summary
    }

    /// The last block verified.
    pub fn last(&self) -> Option<(Height, Digest)> {
        self.last.as_ref().map(|(hash, header)| (header.height, *hash))
    }

    /// Checks the next piece: its certificate, every header's link, signature and body, every value.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let after = self.last.as_ref().map_or(Height::new(self.from.get().saturating_sub(1)), |(_, last)| last.height);
        let wrong = |why| LogError::Piece { after, why };
        let chain = FinalChain::from_bytes(bytes)?;
        // The sender of a chain plays no part in its verification.
        let sender = ValidatorIndex::new(0);
        let verified = self.verifier.verify(sender, Message::FinalChain(chain)).map_err(wrong)?;
        let Content::FinalChain(chain) = verified.into_inner() else { return Ok(()) };
        for (header, body) in &chain.blocks {
            let plain = header.header();
            match &self.last {
                Some(_) => check_link(self.last.as_ref(), plain).map_err(wrong)?,
                None if plain.height != self.from => {
                    return Err(wrong(Rejection::Chain("it does not begin at the height that the file names")));
                }
                None if self.from == Height::new(1)
                    && (plain.parent_hash != self.verifier.chain_id() || plain.parent_view != View::ZERO) =>
                {
                    return Err(wrong(Rejection::Chain("the first block is not the genesis' child")));
                }
                None => {}
            }
            self.values(plain, body)?;
            self.last = Some((header.hash(), plain.clone()));
            self.summary.blocks += 1;
        }
        self.summary.pieces += 1;
        Ok(())
    }

    fn values(&mut self, header: &Header, body: &crate::body::Body) -> Result<(), LogError> {
        let wrong = |why: String| LogError::Values { height: header.height, why };
        let limits = &self.genesis.config.limits;
        let passed = self.by_deadline.split_off(&header.time);
        for id in std::mem::replace(&mut self.by_deadline, passed).into_values().flatten() {
            self.ids.remove(&id);
        }
        for (id, proposal) in body.ids().iter().zip(body.proposals()) {
            if proposal.deadline < header.time || proposal.deadline > header.time.after_ms(limits.max_timeout_ms) {
                return Err(wrong(format!(
                    "the deadline of {id} is not between the block's time and max_timeout_ms after it"
                )));
            }
            if proposal.value.len() > limits.max_value_bytes as usize {
                return Err(wrong(format!("the value of {id} is longer than max_value_bytes")));
            }
            if !self.ids.insert(*id) {
                return Err(wrong(format!("{id} is in the log twice")));
            }
            self.by_deadline.entry(proposal.deadline).or_default().push(*id);
            self.summary.values += 1;
        }
        Ok(())
    }

    /// Checks the end of the file: what follows [`END`].
    pub fn end(&self, bytes: &[u8]) -> Result<(), LogError> {
        let mut input = Reader::new(bytes);
        let (named, hash) = (input.height()?, input.digest("last hash")?);
        input.finish()?;
        let (found, mine) = self.last().unwrap_or((Height::ZERO, self.verifier.chain_id()));
        if named == found && hash == mine { Ok(()) } else { Err(LogError::End { named, found }) }
    }
}

/// The end of a file, mark included.
pub fn end_bytes(height: Height, hash: &Digest) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(END);
    out.u64(height.get());
    out.digest(hash);
    out.into_bytes()
}
