//! Votes: statements of one replica, bundled under one signature.

use std::fmt;

use crypto::Digest;

use crate::bounds::MAX_BUNDLE_STATEMENTS;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::header::PROTOCOL_VERSION;
use crate::types::{Epoch, ValidatorIndex, View};

/// Domain tag of a bundle's signature.
pub const BUNDLE_TAG: &str = "agent-mesh/votes/v1";

/// One thing a replica says about one view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// I support this block in this view, and no other.
    Notarize(View, Digest),
    /// I give this view up.
    Nullify(View),
    /// I have seen this block notarized and shall never give its view up. Counts as Notarize too.
    Finalize(View, Digest),
}

impl Statement {
    /// The view it is about.
    pub const fn view(&self) -> View {
        match self {
            Self::Notarize(view, _) | Self::Nullify(view) | Self::Finalize(view, _) => *view,
        }
    }

    /// The block that it supports, if any; Finalize counts as Notarize.
    pub const fn notarized(&self) -> Option<Digest> {
        match self {
            Self::Notarize(_, hash) | Self::Finalize(_, hash) => Some(*hash),
            Self::Nullify(_) => None,
        }
    }

    const fn tag(&self) -> u8 {
        match self {
            Self::Notarize(..) => 1,
            Self::Nullify(_) => 2,
            Self::Finalize(..) => 3,
        }
    }

    /// Canonical order inside a bundle: by view, then kind, then hash.
    fn key(&self) -> (View, u8, Option<Digest>) {
        (self.view(), self.tag(), self.notarized())
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notarize(view, hash) => write!(f, "Notarize({view}, {hash:?})"),
            Self::Nullify(view) => write!(f, "Nullify({view})"),
            Self::Finalize(view, hash) => write!(f, "Finalize({view}, {hash:?})"),
        }
    }
}

impl Encode for Statement {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.tag());
        out.u64(self.view().get());
        if let Some(hash) = self.notarized() {
            out.digest(&hash);
        }
    }
}

impl Decode for Statement {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = input.u8("statement tag")?;
        let view = input.view()?;
        match tag {
            1 => Ok(Self::Notarize(view, input.digest("block hash")?)),
            2 => Ok(Self::Nullify(view)),
            3 => Ok(Self::Finalize(view, input.digest("block hash")?)),
            _ => Err(DecodeError::Invalid("statement tag")),
        }
    }
}

/// What the signature of a bundle covers: every statement binds version, chain, epoch and signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleBody {
    /// The network.
    pub chain_id: Digest,
    /// The epoch.
    pub epoch: Epoch,
    /// Who votes.
    pub signer: ValidatorIndex,
    statements: Vec<Statement>,
}

impl BundleBody {
    /// A bundle of `statements`, put in canonical order without repetition. Returns `None` unless 1 to 8 remain.
    pub fn new(chain_id: Digest, epoch: Epoch, signer: ValidatorIndex, mut statements: Vec<Statement>) -> Option<Self> {
        statements.sort_by_key(Statement::key);
        statements.dedup();
        let fits = !statements.is_empty() && statements.len() <= MAX_BUNDLE_STATEMENTS;
        fits.then_some(Self { chain_id, epoch, signer, statements })
    }

    /// The statements in canonical order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

impl Encode for BundleBody {
    fn encode(&self, out: &mut Writer) {
        out.u16(PROTOCOL_VERSION);
        out.digest(&self.chain_id);
        out.u64(self.epoch.get());
        out.u16(self.signer.get());
        out.u8(self.statements.len() as u8);
        for statement in &self.statements {
            statement.encode(out);
        }
    }
}

impl Decode for BundleBody {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.u16("version")? != PROTOCOL_VERSION {
            return Err(DecodeError::Invalid("version"));
        }
        let chain_id = input.digest("chain id")?;
        let epoch = input.epoch()?;
        let signer = input.validator()?;
        let count = usize::from(input.u8("statement count")?);
        if count == 0 || count > MAX_BUNDLE_STATEMENTS {
            return Err(DecodeError::Invalid("statement count"));
        }
        let mut statements: Vec<Statement> = Vec::with_capacity(count);
        for _ in 0..count {
            let statement = Statement::decode(input)?;
            if statements.last().is_some_and(|last| last.key() >= statement.key()) {
                return Err(DecodeError::Invalid("statement order"));
            }
            statements.push(statement);
        }
        Ok(Self { chain_id, epoch, signer, statements })
    }
}

/// A bundle with its signer's signature over the canonical [`BundleBody`] under [`BUNDLE_TAG`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    body: BundleBody,
    signature: Vec<u8>,
}

impl Bundle {
    /// Joins body and signature; nothing is verified here.
    pub const fn new(body: BundleBody, signature: Vec<u8>) -> Self {
        Self { body, signature }
    }

    /// What is signed.
    pub const fn body(&self) -> &BundleBody {
        &self.body
    }

    /// The signer.
    pub const fn signer(&self) -> ValidatorIndex {
        self.body.signer
    }

    /// The statements.
    pub fn statements(&self) -> &[Statement] {
        &self.body.statements
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl Encode for Bundle {
    fn encode(&self, out: &mut Writer) {
        self.body.encode(out);
        out.bytes(&self.signature);
    }
}

impl Decode for Bundle {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let body = BundleBody::decode(input)?;
        Ok(Self { body, signature: input.signature()? })
    }
}
