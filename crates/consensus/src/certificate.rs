//! Certificates that travel: a kind, a block, and votes that anyone can count again.

use crypto::Digest;

use crate::bounds::MAX_ANSWER_ITEMS;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::config::EpochConfig;
use crate::header::Header;
use crate::votes::{Vote, VoteTable};

/// How a block became final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FinalityPath {
    /// One round: q_fast Notarize.
    Fast,
    /// Two rounds: q_v Finalize.
    Slow,
}

impl FinalityPath {
    /// The name in results: `fast` or `slow`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
        }
    }
}

/// A FastFinalization or a Finalization: proof that one block is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalityCertificate {
    /// Which of the two.
    pub path: FinalityPath,
    /// The votes.
    pub votes: Vec<Vote>,
}

/// Why votes do not make a block final.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Too few distinct voters.
    #[error("{found} of {needed} votes needed for the {} path", path.name())]
    TooFew {
        /// Voters counted.
        found: u32,
        /// Voters needed.
        needed: u32,
        /// Path claimed.
        path: FinalityPath,
    },
    /// The epoch has no fast path.
    #[error("the network has no one-round path, so a fast certificate is not valid in it")]
    NoFastPath,
    /// The votes are not a minimal, ordered set, or hold a vote that supports nothing.
    #[error("vote {0} adds nothing to the certificate")]
    Idle(usize),
}

impl FinalityCertificate {
    /// The weight: distinct validators whose votes count for `header`'s block with hash `hash`. The signatures are not looked at here.
    ///
    /// A vote of a validator that does not count is refused, and so is one that says nothing new.
    pub fn weigh(&self, config: &EpochConfig, header: &Header, hash: &Digest) -> Result<u32, CertificateError> {
        let quorum = &config.quorum;
        if self.votes.len() > 2 * config.n() {
            return Err(CertificateError::Idle(2 * config.n()));
        }
        let mut table = VoteTable::new(header.view);
        for (at, vote) in self.votes.iter().enumerate() {
            if !table.insert_bounded(vote, usize::MAX) || self.votes[..at].contains(vote) {
                return Err(CertificateError::Idle(at));
            }
        }
        let (found, needed) = match self.path {
            FinalityPath::Fast if !config.fast_path => return Err(CertificateError::NoFastPath),
            FinalityPath::Fast => (table.notarize_count(hash), quorum.q_fast()),
            FinalityPath::Slow => (table.finalize_count(hash), u32::from(header.threshold).max(quorum.q_min())),
        };
        if found < needed {
            return Err(CertificateError::TooFew { found, needed, path: self.path });
        }
        for (at, vote) in self.votes.iter().enumerate() {
            let signer = vote.signer();
            let counts = match self.path {
                FinalityPath::Fast => {
                    table.is_conflicted(signer) || table.notarizers(hash).any(|voter| voter == signer)
                }
                FinalityPath::Slow => vote.statements().iter().any(
                    |s| matches!(s, crate::vote::Statement::Finalize(view, at) if *view == header.view && at == hash),
                ),
            };
            if !counts {
                return Err(CertificateError::Idle(at));
            }
        }
        Ok(found)
    }

    /// How many validators would have to be Byzantine, beyond this number, to undo the finality (PROTOCOL section 4).
    pub fn strength(&self, config: &EpochConfig, weight: u32) -> u32 {
        let quorum = &config.quorum;
        match self.path {
            FinalityPath::Fast => quorum.f() + weight.saturating_sub(quorum.q_fast()),
            FinalityPath::Slow => (weight + quorum.q_min()).saturating_sub(quorum.n() + 1),
        }
    }
}

impl Encode for FinalityCertificate {
    fn encode(&self, out: &mut Writer) {
        out.u8(match self.path {
            FinalityPath::Fast => 1,
            FinalityPath::Slow => 2,
        });
        out.count(self.votes.len());
        for vote in &self.votes {
            vote.encode(out);
        }
    }
}

impl Decode for FinalityCertificate {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let path = match input.u8("finality path")? {
            1 => FinalityPath::Fast,
            2 => FinalityPath::Slow,
            _ => return Err(DecodeError::Invalid("finality path")),
        };
        Ok(Self { path, votes: input.list(MAX_ANSWER_ITEMS, "votes", Vote::decode)? })
    }
}
