//! Everything that anyone has ever signed or sent in a run: what certificates could exist, judged from the text of PROTOCOL section 2 and
//! apart from the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consensus::body::Body;
use consensus::evidence::Evidence;
use consensus::header::{Header, SignedHeader};
use consensus::params::QuorumParams;
use consensus::types::{ValidatorIndex, View};
use consensus::verify::Content;
use consensus::vote::Statement;
use consensus::votes::Vote;
use crypto::Digest;

/// Signed objects of one validator and view that are kept to find evidence; more of them prove nothing more.
const KEPT_VOTES: usize = 8;

/// What one validator has said of one view.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Blocks supported; Finalize counts too.
    pub(super) notarize: BTreeSet<Digest>,
    pub(super) nullify: bool,
    pub(super) finalize: BTreeSet<Digest>,
    votes: Vec<Vote>,
}

/// The statements and blocks of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    quorum: QuorumParams,
    pub(super) views: BTreeMap<View, BTreeMap<ValidatorIndex, Said>>,
    pub(super) headers: BTreeMap<Digest, Header>,
    /// Bodies by payload root.
    pub(super) bodies: BTreeMap<Digest, Arc<Body>>,
    /// Who is provably guilty, and of what: by everything that was sent to anyone, put together.
    pub(super) guilty: BTreeMap<ValidatorIndex, String>,
}

impl Ledger {
    pub(super) const fn new(quorum: QuorumParams) -> Self {
        Self {
            quorum,
            views: BTreeMap::new(),
            headers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            guilty: BTreeMap::new(),
        }
    }

    /// Takes in what is sent.
    pub(super) fn sent(&mut self, content: &Content) {
        match content {
            Content::Proposal(header, body) => {
                self.header(header);
                if let Some(body) = body {
                    self.body(body);
                }
            }
            Content::Vote(bundle) => self.vote(&Vote::Bundle(Arc::clone(bundle))),
            Content::Answer { votes, headers, bodies } => {
                votes.iter().for_each(|vote| self.vote(vote));
                headers.iter().for_each(|header| self.header(header));
                bodies.iter().for_each(|body| self.body(body));
            }
            Content::FinalChain(chain) => {
                for (header, body) in &chain.blocks {
                    self.header(header);
                    self.body(body);
                }
                chain.certificate.votes.iter().for_each(|vote| self.vote(vote));
            }
            _ => {}
        }
    }

    pub(super) fn header(&mut self, header: &Arc<SignedHeader>) {
        if self.headers.insert(header.hash(), header.header().clone()).is_none() {
            self.vote(&Vote::Header(Arc::clone(header)));
        }
    }

    pub(super) fn body(&mut self, body: &Arc<Body>) {
        self.bodies.entry(body.root()).or_insert_with(|| Arc::clone(body));
    }

    pub(super) fn vote(&mut self, vote: &Vote) {
        let signer = vote.signer();
        for statement in vote.statements() {
            let said = self.views.entry(statement.view()).or_default().entry(signer).or_default();
            match statement {
                Statement::Notarize(_, hash) => drop(said.notarize.insert(hash)),
                Statement::Nullify(_) => said.nullify = true,
                Statement::Finalize(_, hash) => {
                    said.notarize.insert(hash);
                    said.finalize.insert(hash);
                }
            }
            if said.votes.len() < KEPT_VOTES && !said.votes.contains(vote) {
                if let Some(evidence) = said.votes.iter().find_map(|other| Evidence::find(other, vote)) {
                    let what = format!("{} in view {}", evidence.kind().name(), evidence.view());
                    self.guilty.entry(signer).or_insert(what);
                }
                said.votes.push(vote.clone());
            }
        }
    }

    pub(super) fn said(&self, view: View, signer: ValidatorIndex) -> Said {
        self.views.get(&view).and_then(|said| said.get(&signer)).cloned().unwrap_or_default()
    }

    fn count(&self, view: View, test: impl Fn(&Said) -> bool) -> u32 {
        self.views.get(&view).map_or(0, |said| said.values().filter(|said| test(said)).count() as u32)
    }

    /// Notarize(v,h): signers of h, and signers of two blocks of the view, who count for every block.
    fn supports(said: &Said, hash: &Digest) -> bool {
        said.notarize.contains(hash) || said.notarize.len() > 1
    }

    /// Whether Notarization(v,h) could be shown by anyone who holds everything.
    pub(super) fn is_notarized(&self, view: View, hash: &Digest) -> bool {
        self.count(view, |said| Self::supports(said, hash)) > self.quorum.f()
            && self.count(view, |said| Self::supports(said, hash) || said.nullify) >= self.quorum.q_min()
    }

    /// Whether Nullification(v) could be shown.
    pub(super) fn is_nullified(&self, view: View) -> bool {
        self.count(view, |said| said.nullify) >= self.quorum.q_min()
    }

    /// Whether FastFinalization or Finalization of this block could be shown.
    pub(super) fn is_final(&self, view: View, hash: &Digest, threshold: u32, fast_path: bool) -> bool {
        (fast_path && self.count(view, |said| Self::supports(said, hash)) >= self.quorum.q_fast())
            || self.count(view, |said| said.finalize.contains(hash)) >= threshold.max(self.quorum.q_min())
    }

    /// |E(v,x)|, and the same without the leader when the leader has signed two blocks.
    pub(super) fn against(&self, view: View, hash: &Digest, leader: ValidatorIndex) -> (u32, Option<u32>) {
        let against = |said: &Said| said.nullify || said.notarize.iter().any(|other| other != hash);
        let all = self.count(view, against);
        let leader_said = self.said(view, leader);
        let caught = leader_said.notarize.len() > 1;
        (all, caught.then(|| all - u32::from(against(&leader_said))))
    }

    /// The conditions of the epoch.
    pub(super) const fn quorum(&self) -> &QuorumParams {
        &self.quorum
    }
}
