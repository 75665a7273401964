//! Parse, then believe: the only place that makes a [`Verified`] message.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crypto::{Digest, HashAlgorithm, PublicKey};

use crate::body::{Body, Proposal};
use crate::bounds::MAX_KEY_EPOCHS;
use crate::certificate::{CertificateError, FinalityCertificate};
use crate::codec::{DecodeError, Encode};
use crate::config::{EpochConfig, SharedConfig};
use crate::header::{BlockKind, HEADER_TAG, Header, SignedHeader};
use crate::message::{Fetch, FinalChain, Held, Message, Status};
use crate::system::SystemTx;
use crate::types::{Epoch, ValidatorIndex, View};
use crate::vote::{BUNDLE_TAG, Bundle};
use crate::votes::Vote;

/// Signatures remembered at most; then the memory begins anew.
const MAX_REMEMBERED: usize = 1 << 18;

/// Something whose signatures, sender and form have been checked. Only this module makes one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    epoch: Epoch,
}

impl<T> Verified<T> {
    /// What was verified.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Takes something for verified: only for the model checker, which makes each signature once and not in every state,
    /// and stays in the first epoch.
    #[cfg(feature = "checking")]
    pub const fn assumed(inner: T) -> Self {
        Self { value: inner, epoch: Epoch::ZERO }
    }

    /// What was verified.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// The epoch against whose configuration it was verified: it means nothing in another.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// A message in the form the core takes.
#[derive(Clone, Debug)]
pub enum Content {
    /// A leader's block.
    Proposal(Arc<SignedHeader>, Option<Arc<Body>>),
    /// A bundle of the sender.
    Vote(Arc<Bundle>),
    /// What the sender has and lacks.
    Status(Status),
    /// What our Status asked for.
    Answer {
        /// Votes, their signatures checked.
        votes: Vec<Vote>,
        /// Headers, their signatures checked.
        headers: Vec<Arc<SignedHeader>>,
        /// Bodies, their roots computed.
        bodies: Vec<Arc<Body>>,
    },
    /// Final blocks, linked and proven.
    FinalChain(Arc<ProvenChain>),
    /// The sender has work for this view.
    Hint(View),
    /// Proposals with their ids.
    Forward(Vec<(Digest, Arc<Proposal>)>),
    /// System transactions with their hashes. Their signatures are not verified here: what is valid depends on the chain of the epoch.
    System(Vec<(Digest, Arc<SystemTx>)>),
    /// The sender asks for a piece of the chain.
    Fetch(Fetch),
    /// What the sender says it can serve; its word only.
    Held(Held),
}

/// Consecutive blocks whose last one is proven final.
#[derive(Clone, Debug)]
pub struct ProvenChain {
    /// Blocks in order; each header names the one before, each body has the root its header names.
    pub blocks: Vec<(Arc<SignedHeader>, Arc<Body>)>,
    /// Headers down to the block that the votes name.
    pub descendants: Vec<Header>,
    /// The votes.
    pub certificate: FinalityCertificate,
}

/// What a peer did that no honest peer does, or the harmless reasons for which a message is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not the canonical form.
    #[error("malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// Another network.
    #[error("{0} of another network")]
    ForeignChain(&'static str),
    /// Another epoch; not a fault, the sender may be ahead or behind.
    #[error("{0} of another epoch")]
    ForeignEpoch(&'static str),
    /// An index that no member has.
    #[error("no validator has index {0}")]
    UnknownSigner(ValidatorIndex),
    /// A validator that has not renewed its session key for too long; it counts as crashed until it does.
    #[error("validator {0} has not renewed its session key for more than {MAX_KEY_EPOCHS} epochs")]
    Overdue(ValidatorIndex),
    /// Someone else's object where only the sender's own is allowed.
    #[error("the {0} is signed by another validator than its sender")]
    NotTheSender(&'static str),
    /// The header names a leader who does not lead its view.
    #[error("the header of view {view} names leader {named}, {scheduled} is scheduled")]
    WrongLeader {
        /// The view.
        view: View,
        /// Leader in the header.
        named: ValidatorIndex,
        /// Leader by schedule.
        scheduled: ValidatorIndex,
    },
    /// q_v outside [q_min, q_max].
    #[error("the header's threshold {found} is outside {min}..={max}")]
    Threshold {
        /// q_v found.
        found: u16,
        /// q_min.
        min: u32,
        /// q_max.
        max: u32,
    },
    /// A header that cannot be: wrong order of views, too large, or a carrier with a payload.
    #[error("the header is not possible: {0}")]
    Header(&'static str),
    /// A signature that does not verify.
    #[error("the {0} has an invalid signature")]
    Signature(&'static str),
    /// Blocks that do not hang together.
    #[error("the chain of final blocks does not hang together: {0}")]
    Chain(&'static str),
    /// Votes that do not make the block final.
    #[error("the finality certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
}

impl Rejection {
    /// Whether only a faulty or hostile peer sends this; the link is then closed.
    pub const fn is_misbehaviour(&self) -> bool {
        !matches!(self, Self::ForeignEpoch(_) | Self::Overdue(_))
    }

    /// A short name for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::ForeignChain(_) => "foreign_chain",
            Self::ForeignEpoch(_) => "foreign_epoch",
            Self::UnknownSigner(_) => "unknown_signer",
            Self::Overdue(_) => "overdue_key",
            Self::NotTheSender(_) => "not_the_sender",
            Self::WrongLeader { .. } => "wrong_leader",
            Self::Threshold { .. } => "threshold",
            Self::Header(_) => "header",
            Self::Signature(_) => "signature",
            Self::Chain(_) => "chain",
            Self::Certificate(_) => "certificate",
        }
    }
}

/// Signatures that were found to hold: a digest over key, tag, message and signature, so that nothing else can pass for one of them.
#[derive(Clone, Debug, Default)]
struct SignatureMemory(Arc<Mutex<BTreeSet<Digest>>>);

impl SignatureMemory {
    fn entry(key: &PublicKey, tag: &str, message: &[u8], signature: &[u8]) -> Digest {
        let len = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
        let (key, tag) = (key.as_bytes(), tag.as_bytes());
        let parts = [&len(key), key, &len(tag), tag, &len(message), message, signature];
        HashAlgorithm::Sha256.hash("agent-mesh/verified/v1", &parts)
    }

    fn holds(&self, entry: &Digest) -> bool {
        self.0.lock().is_ok_and(|known| known.contains(entry))
    }

    fn learn(&self, entry: Digest) -> bool {
        if let Ok(mut known) = self.0.lock() {
            if known.len() >= MAX_REMEMBERED {
                known.clear();
            }
            known.insert(entry);
        }
        true
    }
}

/// Checks messages against one epoch's configuration.
#[derive(Clone, Debug)]
pub struct Verifier {
    config: SharedConfig,
    chain_id: Digest,
    /// Whose votes do not count ([`EpochConfig::void`]).
    void: Arc<BTreeSet<ValidatorIndex>>,
    empty: Arc<Body>,
    memory: Option<SignatureMemory>,
}

impl Verifier {
    /// A verifier for the epoch `config` of the chain `chain_id`.
    pub fn new(config: SharedConfig, chain_id: Digest) -> Self {
        let (void, empty) = (Arc::new(config.void()), Arc::new(Body::empty(&chain_id)));
        Self { config, chain_id, void, empty, memory: None }
    }

    /// Verifies each signature once and remembers that it holds. Clones share the memory.
    pub fn remembering(self) -> Self {
        Self { memory: Some(SignatureMemory::default()), ..self }
    }

    fn signature(&self, key: &PublicKey, tag: &'static str, message: &[u8], signature: &[u8]) -> bool {
        let Some(memory) = &self.memory else { return key.verify(tag, message, signature).is_ok() };
        let entry = SignatureMemory::entry(key, tag, message, signature);
        memory.holds(&entry) || (key.verify(tag, message, signature).is_ok() && memory.learn(entry))
    }

    /// The configuration.
    pub fn config(&self) -> &EpochConfig {
        &self.config
    }

    /// The chain id.
    pub const fn chain_id(&self) -> Digest {
        self.chain_id
    }

    /// Checks a message that came over the authenticated link of `from`.
    pub fn verify(&self, from: ValidatorIndex, message: Message) -> Result<Verified<Content>, Rejection> {
        let content = match message {
            Message::Proposal(header, body) => {
                if header.header().leader != from {
                    return Err(Rejection::NotTheSender("header"));
                }
                self.header(&header)?;
                let body = body.map(|bytes| self.body(bytes)).transpose()?;
                Content::Proposal(Arc::new(header), body)
            }
            Message::Vote(bundle) => {
                if bundle.signer() != from {
                    return Err(Rejection::NotTheSender("vote"));
                }
                self.bundle(&bundle)?;
                Content::Vote(Arc::new(bundle))
            }
            Message::Status(status) => Content::Status(status),
            Message::Answer(answer) => {
                for vote in &answer.votes {
                    self.vote(vote)?;
                }
                for header in &answer.headers {
                    self.header(header)?;
                }
                let headers = answer.headers.into_iter().map(Arc::new).collect();
                let bodies = answer.bodies.into_iter().map(|bytes| self.body(bytes)).collect::<Result<_, _>>()?;
                Content::Answer { votes: answer.votes, headers, bodies }
            }
            Message::FinalChain(chain) => Content::FinalChain(Arc::new(self.chain(chain)?)),
            Message::Hint(epoch, _) | Message::System(epoch, _) if epoch != self.config.epoch => {
                return Err(Rejection::ForeignEpoch("hint or system transaction"));
            }
            Message::Hint(_, view) => Content::Hint(view),
            Message::System(_, txs) => Content::System(txs.into_iter().map(|tx| (tx.hash(), Arc::new(tx))).collect()),
            Message::Forward(proposals) => Content::Forward(self.forwarded(proposals)?),
            Message::Fetch(fetch) if fetch.upto <= fetch.above => {
                return Err(Rejection::Malformed(DecodeError::Invalid("fetch")));
            }
            Message::Fetch(fetch) => Content::Fetch(fetch),
            Message::Held(held) if held.first.get() == 0 || held.last < held.first => {
                return Err(Rejection::Malformed(DecodeError::Invalid("held")));
            }
            Message::Held(held) => Content::Held(held),
        };
        Ok(Verified { value: content, epoch: self.config.epoch })
    }

    /// Checks a vote's signature and form.
    pub fn vote(&self, vote: &Vote) -> Result<(), Rejection> {
        match vote {
            Vote::Header(header) => self.header(header),
            Vote::Bundle(bundle) => self.bundle(bundle),
        }
    }

    /// Checks a header's form and the leader's signature.
    pub fn header(&self, signed: &SignedHeader) -> Result<(), Rejection> {
        self.header_form(signed.header())?;
        let key = self.key(signed.header().leader)?;
        let holds = self.signature(key, HEADER_TAG, &signed.header().to_bytes(), signed.signature());
        if holds { Ok(()) } else { Err(Rejection::Signature("header")) }
    }

    /// Checks what a header says, without its signature.
    pub fn header_form(&self, header: &Header) -> Result<(), Rejection> {
        if header.chain_id != self.chain_id {
            return Err(Rejection::ForeignChain("header"));
        }
        if header.epoch != self.config.epoch {
            return Err(Rejection::ForeignEpoch("header"));
        }
        if header.view == View::ZERO || header.parent_view >= header.view {
            return Err(Rejection::Header("its view is not above its parent's"));
        }
        if header.height.get() == 0 {
            return Err(Rejection::Header("height 0 is the genesis"));
        }
        if header.payload_len > self.config.limits.max_block_bytes {
            return Err(Rejection::Header("its body is larger than max_block_bytes"));
        }
        if header.kind == BlockKind::Carrier && !self.is_empty_payload(header) {
            return Err(Rejection::Header("a carrier is empty"));
        }
        let (named, scheduled) = (header.leader, self.config.leader(header.view));
        if named != scheduled {
            return Err(Rejection::WrongLeader { view: header.view, named, scheduled });
        }
        let (found, quorum) = (header.threshold, &self.config.quorum);
        if u32::from(found) < quorum.q_min() || u32::from(found) > quorum.q_max() {
            return Err(Rejection::Threshold { found, min: quorum.q_min(), max: quorum.q_max() });
        }
        Ok(())
    }

    fn is_empty_payload(&self, header: &Header) -> bool {
        header.payload_root == self.empty.root() && header.payload_len as usize == self.empty.encoded().len()
    }

    /// Checks a bundle's form and signature.
    pub fn bundle(&self, bundle: &Bundle) -> Result<(), Rejection> {
        let body = bundle.body();
        if body.chain_id != self.chain_id {
            return Err(Rejection::ForeignChain("vote"));
        }
        if body.epoch != self.config.epoch {
            return Err(Rejection::ForeignEpoch("vote"));
        }
        if bundle.statements().iter().any(|statement| statement.view() == View::ZERO) {
            return Err(Rejection::Malformed(DecodeError::Invalid("vote view")));
        }
        let key = self.key(body.signer)?;
        let holds = self.signature(key, BUNDLE_TAG, &body.to_bytes(), bundle.signature());
        if holds { Ok(()) } else { Err(Rejection::Signature("vote")) }
    }

    fn key(&self, index: ValidatorIndex) -> Result<&PublicKey, Rejection> {
        if self.void.contains(&index) {
            return Err(Rejection::Overdue(index));
        }
        self.config.member(index).map(|member| &member.session_key).ok_or(Rejection::UnknownSigner(index))
    }

    fn body(&self, bytes: bytes::Bytes) -> Result<Arc<Body>, Rejection> {
        if bytes.len() > self.config.limits.max_block_bytes as usize {
            return Err(Rejection::Malformed(DecodeError::Invalid("body length")));
        }
        Ok(Arc::new(Body::decode(bytes, &self.chain_id)?))
    }

    fn forwarded(&self, proposals: Vec<Proposal>) -> Result<Vec<(Digest, Arc<Proposal>)>, Rejection> {
        if proposals.iter().any(|proposal| proposal.value.len() > self.config.limits.max_value_bytes as usize) {
            return Err(Rejection::Malformed(DecodeError::Invalid("value length")));
        }
        Ok(proposals.into_iter().map(|proposal| (proposal.id(&self.chain_id), Arc::new(proposal))).collect())
    }

    fn chain(&self, chain: FinalChain) -> Result<ProvenChain, Rejection> {
        let mut blocks = Vec::with_capacity(chain.blocks.len());
        let mut last: Option<(Digest, Header)> = None;
        for (header, body) in chain.blocks {
            self.header(&header)?;
            check_link(last.as_ref(), header.header())?;
            let body = self.body(body)?;
            if header.header().kind == BlockKind::Carrier {
                return Err(Rejection::Chain("carriers are not part of the chain"));
            }
            if body.root() != header.header().payload_root
                || body.encoded().len() != header.header().payload_len as usize
            {
                return Err(Rejection::Chain("a body does not match its header"));
            }
            last = Some((header.hash(), header.header().clone()));
            blocks.push((Arc::new(header), body));
        }
        for header in &chain.descendants {
            self.header_form(header)?;
            check_link(last.as_ref(), header)?;
            last = Some((header.hash(self.config.hash_algorithm()), header.clone()));
        }
        let Some((hash, header)) = last.filter(|_| !blocks.is_empty()) else {
            return Err(Rejection::Chain("it has no block"));
        };
        self.finality(&chain.certificate, &header, &hash)?;
        Ok(ProvenChain { blocks, descendants: chain.descendants, certificate: chain.certificate })
    }

    /// Checks a finality certificate for `header`, signatures included, and returns its weight.
    pub fn finality(
        &self,
        certificate: &FinalityCertificate,
        header: &Header,
        hash: &Digest,
    ) -> Result<u32, Rejection> {
        let weight = certificate.weigh(&self.config, header, hash)?;
        for vote in &certificate.votes {
            self.vote(vote)?;
        }
        Ok(weight)
    }
}

/// Checks that `header` is the child of `parent` in hash, view, height and time.
pub fn check_link(parent: Option<&(Digest, Header)>, header: &Header) -> Result<(), Rejection> {
    let Some((hash, parent)) = parent else { return Ok(()) };
    if header.parent_hash != *hash {
        return Err(Rejection::Chain("a header does not name the one before it"));
    }
    header.follows(parent).map_err(Rejection::Chain)
}
