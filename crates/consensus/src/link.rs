//! The chain of epochs: from the genesis, link by link, to the keys of any epoch (PROTOCOL section 7, e to g).
//!
//! A link closes one epoch: the closing block's header, the votes that made it final, and the system transactions that count. They give
//! the next configuration, whose hash the header carries.

use std::sync::Arc;

use crypto::Digest;

use crate::bounds::{MAX_CARRIERS, MAX_SYSTEM_TXS};
use crate::certificate::FinalityCertificate;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::epoch::{EpochContext, Gathered, SystemError, start_after};
use crate::genesis::Genesis;
use crate::header::Header;
use crate::merkle::Peaks;
use crate::system::{Slot, SystemTx};
use crate::types::Epoch;
use crate::verify::{Rejection, Verifier, check_link};

/// Tag of a link's hash, by which a chain that was verified before is recognised.
const LINK_TAG: &str = "agent-mesh/link/v1";

/// What closes one epoch and gives the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochLink {
    /// The closing block's header.
    pub closing: Header,
    /// Carriers from its child to the block whose votes finalized it; empty when direct.
    pub carriers: Vec<Header>,
    /// The votes.
    pub certificate: FinalityCertificate,
    /// The system transactions that count, in the order of their slots.
    pub system: Vec<Arc<SystemTx>>,
}

/// Why a link, or a chain of them, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A header, vote or certificate does not hold.
    #[error("the link that closes epoch {0}: {1}")]
    Rejected(Epoch, Rejection),
    /// A system transaction does not hold.
    #[error("the link that closes epoch {0}: a system transaction is not valid: {1}")]
    System(Epoch, SystemError),
    /// The parts do not fit together.
    #[error("the link that closes epoch {0}: {1}")]
    Form(Epoch, &'static str),
    /// Links are missing before or between.
    #[error(
        "the chain of epochs is known here up to epoch {known}, the proof's links begin with epoch {first}: fetch a proof with all links"
    )]
    Gap {
        /// The last epoch known.
        known: Epoch,
        /// The first epoch that the links close.
        first: Epoch,
    },
    /// No chain to this epoch.
    #[error("the proof has no link to epoch {0}")]
    Unknown(Epoch),
}

impl EpochLink {
    /// Checks the link against the epoch that it closes; the epoch that follows.
    pub fn verify(&self, context: &EpochContext) -> Result<EpochContext, LinkError> {
        let epoch = context.epoch();
        let next = self.describe(context)?;
        let rejected = |rejection| LinkError::Rejected(epoch, rejection);
        let verifier = Verifier::new(Arc::clone(&context.config), context.chain_id);
        verifier.header_form(&self.closing).map_err(rejected)?;
        for carrier in &self.carriers {
            verifier.header_form(carrier).map_err(rejected)?;
        }
        for tx in &self.system {
            context.check(tx).map_err(|error| LinkError::System(epoch, error))?;
        }
        for vote in &self.certificate.votes {
            verifier.vote(vote).map_err(rejected)?;
        }
        Ok(next)
    }

    /// Like [`Self::verify`] without the signatures, for a node's own store.
    pub fn describe(&self, context: &EpochContext) -> Result<EpochContext, LinkError> {
        let epoch = context.epoch();
        let form = |why| LinkError::Form(epoch, why);
        let rejected = |rejection| LinkError::Rejected(epoch, rejection);
        let closing = self.closing.closing().ok_or_else(|| form("its block is not a closing one"))?;
        if !context.closes(self.closing.height, self.closing.time) || self.closing.height <= context.start.height {
            return Err(form("its block does not reach the epoch's bound of height or time"));
        }
        let algorithm = context.config.hash_algorithm();
        let hash = self.closing.hash(algorithm);
        let mut last = (hash, self.closing.clone());
        for carrier in &self.carriers {
            check_link(Some(&last), carrier).map_err(rejected)?;
            last = (carrier.hash(algorithm), carrier.clone());
        }
        let weight = self.certificate.weigh(&context.config, &last.1, &last.0);
        weight.map_err(|error| rejected(Rejection::Certificate(error)))?;
        if self.system.windows(2).any(|pair| pair[0].slot() >= pair[1].slot()) {
            return Err(form("its system transactions are not in order"));
        }
        let gathered = Gathered::restored(Peaks::default(), self.system.iter().map(Arc::clone));
        let next = gathered.next_config(context);
        next.check().map_err(|error| LinkError::System(epoch, SystemError::Config(error)))?;
        if next.hash() != closing.next_config {
            return Err(form("its system transactions do not give the configuration that the closing block names"));
        }
        Ok(context.followed_by(next, start_after(&self.closing, hash)))
    }

    /// Validators that renewed their keys with their identity at this closing.
    pub fn rotations(&self) -> usize {
        self.system.iter().filter(|tx| matches!(tx.slot(), Slot::Rotation(_))).count()
    }
}

impl Encode for EpochLink {
    fn encode(&self, out: &mut Writer) {
        self.closing.encode(out);
        out.count(self.carriers.len());
        self.carriers.iter().for_each(|header| header.encode(out));
        self.certificate.encode(out);
        out.count(self.system.len());
        self.system.iter().for_each(|tx| tx.encode(out));
    }
}

impl Decode for EpochLink {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            closing: Header::decode(input)?,
            carriers: input.list(MAX_CARRIERS, "carriers", Header::decode)?,
            certificate: FinalityCertificate::decode(input)?,
            system: input.list(MAX_SYSTEM_TXS, "system transactions", |r| SystemTx::decode(r).map(Arc::new))?,
        })
    }
}

/// The epochs of a network as far as they are verified: what verifies many proofs checks each link once.
#[derive(Clone, Debug)]
pub struct EpochChain {
    /// By epoch, from the genesis'.
    contexts: Vec<Arc<EpochContext>>,
    /// The link that closes each, with its hash.
    links: Vec<(Digest, Arc<EpochLink>)>,
}

impl EpochChain {
    /// Knows the genesis only.
    pub fn new(genesis: &Genesis) -> Self {
        Self { contexts: vec![Arc::new(EpochContext::of_genesis(genesis))], links: Vec::new() }
    }

    /// The network.
    pub fn chain_id(&self) -> Digest {
        self.contexts[0].chain_id
    }

    /// The newest epoch known.
    pub fn newest(&self) -> &Arc<EpochContext> {
        &self.contexts[self.contexts.len() - 1]
    }

    /// An epoch, if it is known.
    pub fn context(&self, epoch: Epoch) -> Option<&Arc<EpochContext>> {
        self.contexts.get(usize::try_from(epoch.get()).ok()?)
    }

    /// The link that closes an epoch, if it is known.
    pub fn link(&self, epoch: Epoch) -> Option<&Arc<EpochLink>> {
        self.links.get(usize::try_from(epoch.get()).ok()?).map(|(_, link)| link)
    }

    /// All links known, from the genesis on.
    pub fn links(&self) -> impl Iterator<Item = &Arc<EpochLink>> {
        self.links.iter().map(|(_, link)| link)
    }

    /// Takes consecutive links that begin with the one that closes `first`. Those known are compared, others are verified. A link that
    /// differs from a known one is verified too, and if it holds, the chain of epochs has been forged: that is an error of its own.
    pub fn extend(&mut self, first: Epoch, links: &[Arc<EpochLink>]) -> Result<(), LinkError> {
        self.take(first, links, EpochLink::verify)
    }

    /// Like [`Self::extend`] without signatures, for links from a node's own store.
    pub fn adopt(&mut self, first: Epoch, links: &[Arc<EpochLink>]) -> Result<(), LinkError> {
        self.take(first, links, EpochLink::describe)
    }

    fn take(
        &mut self,
        first: Epoch,
        links: &[Arc<EpochLink>],
        check: fn(&EpochLink, &EpochContext) -> Result<EpochContext, LinkError>,
    ) -> Result<(), LinkError> {
        let mut epoch = first;
        for link in links {
            let Some(context) = self.context(epoch) else {
                return Err(LinkError::Gap { known: self.newest().epoch(), first });
            };
            let hash = context.config.hash_algorithm().hash(LINK_TAG, &[&link.to_bytes()]);
            let known = self.links.get(epoch.get() as usize).map(|(hash, _)| *hash);
            if known != Some(hash) {
                let next = check(link, context)?;
                match self.context(epoch.next()) {
                    // The same closing block under other votes.
                    Some(known) if **known == next => {}
                    Some(_) => {
                        return Err(LinkError::Form(
                            epoch,
                            "it contradicts the one known here: one of the two is forged",
                        ));
                    }
                    None => {
                        self.contexts.push(Arc::new(next));
                        self.links.push((hash, Arc::clone(link)));
                    }
                }
            }
            epoch = epoch.next();
        }
        Ok(())
    }
}
