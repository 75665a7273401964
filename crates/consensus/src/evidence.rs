//! Evidence: two signed objects of one validator that no honest replica signs together (PROTOCOL section 8).

use crypto::Digest;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{Epoch, ValidatorIndex, View};
use crate::vote::Statement;
use crate::votes::Vote;

/// What two signed objects prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceKind {
    /// Two headers of one view, or Notarize for two blocks of it.
    TwoNotarize,
    /// Finalize for two blocks of one view.
    TwoFinalize,
    /// Finalize of one block and Notarize of another.
    FinalizeAndNotarize,
    /// Finalize and Nullify of one view.
    FinalizeAndNullify,
}

impl EvidenceKind {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwoNotarize => "two_notarize",
            Self::TwoFinalize => "two_finalize",
            Self::FinalizeAndNotarize => "finalize_and_notarize",
            Self::FinalizeAndNullify => "finalize_and_nullify",
        }
    }

    /// What the pair of statements proves, if anything. Notarize then Nullify is legal (R5).
    pub fn of(a: &Statement, b: &Statement) -> Option<Self> {
        use Statement::{Finalize, Notarize, Nullify};
        if a.view() != b.view() {
            return None;
        }
        match (a, b) {
            (Notarize(_, x), Notarize(_, y)) if x != y => Some(Self::TwoNotarize),
            (Finalize(_, x), Finalize(_, y)) if x != y => Some(Self::TwoFinalize),
            (Finalize(_, x), Notarize(_, y)) | (Notarize(_, y), Finalize(_, x)) if x != y => {
                Some(Self::FinalizeAndNotarize)
            }
            (Finalize(..), Nullify(_)) | (Nullify(_), Finalize(..)) => Some(Self::FinalizeAndNullify),
            _ => None,
        }
    }
}

/// A self-contained proof that a validator broke the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    first: Vote,
    second: Vote,
    kind: EvidenceKind,
    view: View,
}

impl Evidence {
    /// The evidence that two votes of one signer give, if they do. One bundle may contradict itself: then both are the same.
    pub fn find(first: &Vote, second: &Vote) -> Option<Self> {
        if first.signer() != second.signer() || chain_epoch(first) != chain_epoch(second) {
            return None;
        }
        let (left, right) = (first.statements(), second.statements());
        let (kind, view) =
            left.iter().find_map(|a| right.iter().find_map(|b| EvidenceKind::of(a, b).map(|kind| (kind, a.view()))))?;
        Some(Self { first: first.clone(), second: second.clone(), kind, view })
    }

    /// Who is guilty.
    pub fn accused(&self) -> ValidatorIndex {
        self.first.signer()
    }

    /// What is proven.
    pub const fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// In which epoch.
    pub fn epoch(&self) -> Epoch {
        self.first.epoch()
    }

    /// In which view.
    pub const fn view(&self) -> View {
        self.view
    }

    /// The two signed objects.
    pub const fn votes(&self) -> [&Vote; 2] {
        [&self.first, &self.second]
    }
}

fn chain_epoch(vote: &Vote) -> (Digest, u64) {
    match vote {
        Vote::Header(header) => (header.header().chain_id, header.header().epoch.get()),
        Vote::Bundle(bundle) => (bundle.body().chain_id, bundle.body().epoch.get()),
    }
}

impl Encode for Evidence {
    fn encode(&self, out: &mut Writer) {
        self.first.encode(out);
        self.second.encode(out);
    }
}

impl Decode for Evidence {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first = Vote::decode(input)?;
        let second = Vote::decode(input)?;
        Self::find(&first, &second).ok_or(DecodeError::Invalid("evidence"))
    }
}
