//! The votes of one view: who said what, and the predicates over it (PROTOCOL section 2, "Certificates").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crypto::Digest;

use crate::bounds::MAX_BLOCKS_PER_SIGNER;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::header::SignedHeader;
use crate::mutation::{Mutation, mutated};
use crate::params::QuorumParams;
use crate::types::{Epoch, ValidatorIndex, View};
use crate::vote::{Bundle, Statement};

/// A signed object that says something about views: the leader's header is its Notarize.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote {
    /// A header: the leader's Notarize of its own block.
    Header(Arc<SignedHeader>),
    /// A bundle of statements.
    Bundle(Arc<Bundle>),
}

impl Vote {
    /// Who signed it.
    pub fn signer(&self) -> ValidatorIndex {
        match self {
            Self::Header(header) => header.header().leader,
            Self::Bundle(bundle) => bundle.signer(),
        }
    }

    /// The epoch that it names.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Header(header) => header.header().epoch,
            Self::Bundle(bundle) => bundle.body().epoch,
        }
    }

    /// What it says.
    pub fn statements(&self) -> Vec<Statement> {
        match self {
            Self::Header(header) => vec![Statement::Notarize(header.header().view, header.hash())],
            Self::Bundle(bundle) => bundle.statements().to_vec(),
        }
    }

    /// The highest view it speaks of.
    pub fn highest_view(&self) -> View {
        self.statements().iter().map(Statement::view).max().unwrap_or(View::ZERO)
    }
}

impl Encode for Vote {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Header(header) => {
                out.u8(1);
                header.encode(out);
            }
            Self::Bundle(bundle) => {
                out.u8(2);
                bundle.encode(out);
            }
        }
    }
}

impl Decode for Vote {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8("vote tag")? {
            1 => Ok(Self::Header(Arc::new(SignedHeader::decode(input)?))),
            2 => Ok(Self::Bundle(Arc::new(Bundle::decode(input)?))),
            _ => Err(DecodeError::Invalid("vote tag")),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SignerVotes {
    /// Notarize, Finalize counted as one, by block; in the order of arrival.
    notarize: Vec<(Digest, Vote)>,
    nullify: Option<Vote>,
    finalize: Vec<(Digest, Vote)>,
}

impl SignerVotes {
    fn conflicted(&self) -> bool {
        self.notarize.len() > 1
    }

    fn notarizes(&self, hash: &Digest) -> bool {
        self.conflicted() || self.direct(hash).is_some()
    }

    fn direct(&self, hash: &Digest) -> Option<&Vote> {
        self.notarize.iter().find(|(at, _)| at == hash).map(|(_, vote)| vote)
    }

    /// The votes that show Notarize for `hash`: one, or two conflicting ones.
    fn shown(&self, hash: &Digest) -> Vec<&Vote> {
        match self.direct(hash) {
            Some(vote) => vec![vote],
            None => self.notarize.iter().take(2).map(|(_, vote)| vote).collect(),
        }
    }
}

/// The votes of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteTable {
    view: View,
    signers: BTreeMap<ValidatorIndex, SignerVotes>,
}

impl VoteTable {
    /// An empty table for `view`.
    pub const fn new(view: View) -> Self {
        Self { view, signers: BTreeMap::new() }
    }

    /// Whether nobody has said anything.
    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }

    /// The view.
    pub const fn view(&self) -> View {
        self.view
    }

    /// Takes what `vote` says about this view; at most two blocks per signer are kept, which suffices for every predicate, because a
    /// signer of two blocks counts for all. Returns whether anything new was said.
    pub fn insert(&mut self, vote: &Vote) -> bool {
        self.insert_bounded(vote, MAX_BLOCKS_PER_SIGNER)
    }

    /// Like [`Self::insert`] with another bound; a certificate or proof that was asked for is exempt from the usual one.
    pub fn insert_bounded(&mut self, vote: &Vote, bound: usize) -> bool {
        let mut new = false;
        for statement in vote.statements().iter().filter(|statement| statement.view() == self.view) {
            let votes = self.signers.entry(vote.signer()).or_default();
            let mut add = |list: &mut Vec<(Digest, Vote)>, hash: Digest| {
                if list.len() < bound && list.iter().all(|(at, _)| *at != hash) {
                    list.push((hash, vote.clone()));
                    new = true;
                }
            };
            match statement {
                Statement::Notarize(_, hash) => add(&mut votes.notarize, *hash),
                Statement::Finalize(_, hash) => {
                    add(&mut votes.finalize, *hash);
                    add(&mut votes.notarize, *hash);
                }
                Statement::Nullify(_) => {
                    if votes.nullify.is_none() {
                        votes.nullify = Some(vote.clone());
                        new = true;
                    }
                }
            }
        }
        new
    }

    /// |Notarize(v,h)|: signers of h, and signers of two other blocks of the view.
    pub fn notarize_count(&self, hash: &Digest) -> u32 {
        self.count(|votes| votes.notarizes(hash))
    }

    /// Validators that have said anything.
    pub fn signers(&self) -> u32 {
        self.signers.len() as u32
    }

    /// |Nullify(v)|.
    pub fn nullify_count(&self) -> u32 {
        self.count(|votes| votes.nullify.is_some())
    }

    /// |Finalize(v,h)|: direct statements only.
    pub fn finalize_count(&self, hash: &Digest) -> u32 {
        self.count(|votes| votes.finalize.iter().any(|(at, _)| at == hash))
    }

    /// |E(v,x)|: signers of Nullify or of a block other than x, optionally without one validator.
    pub fn against_count(&self, hash: &Digest, without: Option<ValidatorIndex>) -> u32 {
        let against = |votes: &SignerVotes| votes.nullify.is_some() || votes.notarize.iter().any(|(at, _)| at != hash);
        let counted = self.signers.iter().filter(|(signer, votes)| Some(**signer) != without && against(votes));
        counted.count() as u32
    }

    /// Notarization(v,h) holds.
    pub fn is_notarized(&self, hash: &Digest, quorum: &QuorumParams) -> bool {
        let needed = quorum.q_min() - u32::from(mutated(Mutation::NotarizationBelowQuorum));
        let support =
            if mutated(Mutation::NoMixedCertificates) { self.notarize_count(hash) } else { self.support_count(hash) };
        let least = quorum.f() + u32::from(!mutated(Mutation::NotarizationWithFNotarize));
        self.notarize_count(hash) >= least && support >= needed
    }

    /// |Notarize(v,h) ∪ Nullify(v)|: a replica that gave the view up is locked on nothing else, so it supports every block of it.
    pub(crate) fn support_count(&self, hash: &Digest) -> u32 {
        self.count(|votes| votes.notarizes(hash) || votes.nullify.is_some())
    }

    /// Nullification(v) holds.
    pub fn is_nullified(&self, quorum: &QuorumParams) -> bool {
        self.nullify_count() >= quorum.q_min() - u32::from(mutated(Mutation::NullificationBelowQuorum))
    }

    /// FastFinalization(v,h) holds, in an epoch that has the fast path.
    pub fn is_fast_final(&self, hash: &Digest, quorum: &QuorumParams) -> bool {
        self.notarize_count(hash) >= quorum.q_fast()
    }

    /// Finalization(v,h) holds for a block of this threshold.
    pub fn is_final(&self, hash: &Digest, quorum: &QuorumParams, threshold: u32) -> bool {
        self.finalize_count(hash) + u32::from(mutated(Mutation::FinalizationBelowQuorum))
            >= threshold.max(quorum.q_min())
    }

    /// Blocks that anyone has voted for, in order of their hash.
    pub fn hashes(&self) -> BTreeSet<Digest> {
        self.signers.values().flat_map(|votes| votes.notarize.iter().map(|(hash, _)| *hash)).collect()
    }

    /// Whether `signer` has signed two blocks of this view.
    pub fn is_conflicted(&self, signer: ValidatorIndex) -> bool {
        self.signers.get(&signer).is_some_and(SignerVotes::conflicted)
    }

    /// The signers that notarized `hash` themselves.
    pub fn notarizers(&self, hash: &Digest) -> impl Iterator<Item = ValidatorIndex> {
        let hash = *hash;
        self.signers.iter().filter(move |(_, votes)| votes.direct(&hash).is_some()).map(|(signer, _)| *signer)
    }

    /// The signers that finalized any block of the view.
    pub fn finalizers(&self) -> impl Iterator<Item = ValidatorIndex> {
        self.signers.iter().filter(|(_, votes)| !votes.finalize.is_empty()).map(|(signer, _)| *signer)
    }

    /// A minimal set of votes that shows Notarization(v,h), if it holds.
    pub fn notarization_votes(&self, hash: &Digest, quorum: &QuorumParams) -> Option<Vec<Vote>> {
        if !self.is_notarized(hash, quorum) {
            return None;
        }
        let (mut chosen, mut picked, mut counted) = (Vec::new(), 0, BTreeSet::new());
        for votes_kind in 0..3_u8 {
            for (signer, votes) in &self.signers {
                let show = match votes_kind {
                    0 => votes.direct(hash).map(|vote| vec![vote]),
                    1 => votes.conflicted().then(|| votes.shown(hash)),
                    _ => votes.nullify.as_ref().map(|vote| vec![vote]),
                };
                // Notarize fills the set first; Nullify only tops it up, which keeps at least f+1 Notarize in it.
                if let Some(show) = show
                    && picked < quorum.q_min()
                    && counted.insert(*signer)
                {
                    picked += 1;
                    push_distinct(&mut chosen, show);
                }
            }
        }
        Some(chosen)
    }

    /// A minimal set of votes that shows Nullification(v), if it holds.
    pub fn nullification_votes(&self, quorum: &QuorumParams) -> Option<Vec<Vote>> {
        let votes = self.signers.values().filter_map(|votes| votes.nullify.as_ref());
        self.is_nullified(quorum).then(|| take_distinct(votes, quorum.q_min()))
    }

    /// A minimal set of votes that shows FastFinalization(v,h), if it holds.
    pub fn fast_votes(&self, hash: &Digest, quorum: &QuorumParams) -> Option<Vec<Vote>> {
        if !self.is_fast_final(hash, quorum) {
            return None;
        }
        let direct = self.signers.values().filter(|votes| votes.direct(hash).is_some());
        let others = self.signers.values().filter(|votes| votes.direct(hash).is_none() && votes.conflicted());
        let mut chosen = Vec::new();
        for votes in direct.chain(others).take(quorum.q_fast() as usize) {
            push_distinct(&mut chosen, votes.shown(hash));
        }
        Some(chosen)
    }

    /// A minimal set of votes that shows Finalization(v,h) for a block of this threshold, if it holds.
    pub fn finalization_votes(&self, hash: &Digest, quorum: &QuorumParams, threshold: u32) -> Option<Vec<Vote>> {
        let votes = self
            .signers
            .values()
            .filter_map(|votes| votes.finalize.iter().find(|(at, _)| at == hash).map(|(_, vote)| vote));
        self.is_final(hash, quorum, threshold).then(|| take_distinct(votes, threshold.max(quorum.q_min())))
    }

    /// Every Finalize vote of the view.
    pub fn all_finalize_votes(&self) -> Vec<Vote> {
        let votes = self.signers.values().flat_map(|votes| votes.finalize.iter().map(|(_, vote)| vote));
        take_distinct(votes, u32::MAX)
    }

    /// Everything `signer` has said in this view.
    pub fn votes_of(&self, signer: ValidatorIndex) -> Vec<Vote> {
        let mut chosen = Vec::new();
        if let Some(votes) = self.signers.get(&signer) {
            push_distinct(&mut chosen, votes.notarize.iter().map(|(_, vote)| vote).collect());
            push_distinct(&mut chosen, votes.nullify.iter().collect());
            push_distinct(&mut chosen, votes.finalize.iter().map(|(_, vote)| vote).collect());
        }
        chosen
    }

    fn count(&self, said: impl Fn(&SignerVotes) -> bool) -> u32 {
        self.signers.values().filter(|votes| said(votes)).count() as u32
    }
}

fn push_distinct(chosen: &mut Vec<Vote>, votes: Vec<&Vote>) {
    for vote in votes {
        if !chosen.contains(vote) {
            chosen.push(vote.clone());
        }
    }
}

fn take_distinct<'a>(votes: impl Iterator<Item = &'a Vote>, most: u32) -> Vec<Vote> {
    let mut chosen = Vec::new();
    for vote in votes.take(most as usize) {
        push_distinct(&mut chosen, vec![vote]);
    }
    chosen
}
