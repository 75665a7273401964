//! Deliberate defects: each item that PROTOCOL section 9 wants caught, to be switched on by the checks of crate `model` only.
//!
//! A rule asks `mutated(Mutation::X)` where the defect would sit. Without the feature `checking` the answer is a constant `false`, and
//! nothing of this is in the code. The feature comes in by dev-dependencies alone and does not compile without debug assertions.

#[cfg(all(feature = "checking", not(debug_assertions)))]
compile_error!(
    "the feature `checking` makes defects and unverified messages possible: it is never part of a release build"
);

/// A defect. The table in docs/reliability.md says which check catches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// R3 forgets that the view was given up.
    NotarizeAfterNullify,
    /// R2 forgets that the view was given up.
    ProposeAfterNullify,
    /// R5 forgets that Finalize was said.
    NullifyAfterFinalize,
    /// R6 forgets that the view was given up.
    FinalizeAfterNullify,
    /// R5 holds one vote too early.
    ReleaseEarly,
    /// R5 never holds.
    ReleaseAbsent,
    /// R5 lacks its second clause, and the leader's own second header does not count in the first.
    ReleaseWithoutSecondClause,
    /// A Notarization needs q_min − 1 votes.
    NotarizationBelowQuorum,
    /// A Nullification needs q_min − 1 votes.
    NullificationBelowQuorum,
    /// A Finalization needs one vote less than q_v.
    FinalizationBelowQuorum,
    /// A Notarization needs only f Notarize.
    NotarizationWithFNotarize,
    /// A Notarization needs q_v votes instead of q_min.
    ProgressGatedByThreshold,
    /// Nullify does not support a block in a Notarization.
    NoMixedCertificates,
    /// R6 does not wait for the Notarization.
    FinalizeBeforeNotarization,
    /// R1 enters on a Notarization of a block that is neither justified nor held.
    EnterUnjustified,
    /// R3 notarizes in the current view only.
    NoLateNotarize,
    /// A restart brings back only my own votes.
    ReceivedVotesForgotten,
    /// A certificate that was asked for is bounded like any vote.
    BoundWithoutExemptions,
    /// A Status names a view only while no certificate of any kind is held for it.
    PullWithoutKinds,
    /// Only the first certificate of a view is made durable.
    OneCertificatePerView,
    /// Only the block itself is made durable, not its ancestors.
    AncestorsNotDurable,
    /// A leader proposes for proposals of its own and for the heartbeat only.
    LeaderWaitsForHeartbeat,
    /// The replicas with an odd index believe that the epoch has no fast path.
    FastPathDiffers,
    /// q_v follows the advice although too few have been heard from.
    ThresholdUnreachable,
}

impl Mutation {
    /// Every defect.
    pub const ALL: [Self; 24] = [
        Self::NotarizeAfterNullify,
        Self::ProposeAfterNullify,
        Self::NullifyAfterFinalize,
        Self::FinalizeAfterNullify,
        Self::ReleaseEarly,
        Self::ReleaseAbsent,
        Self::ReleaseWithoutSecondClause,
        Self::NotarizationBelowQuorum,
        Self::NullificationBelowQuorum,
        Self::FinalizationBelowQuorum,
        Self::NotarizationWithFNotarize,
        Self::ProgressGatedByThreshold,
        Self::NoMixedCertificates,
        Self::FinalizeBeforeNotarization,
        Self::EnterUnjustified,
        Self::NoLateNotarize,
        Self::ReceivedVotesForgotten,
        Self::BoundWithoutExemptions,
        Self::PullWithoutKinds,
        Self::OneCertificatePerView,
        Self::AncestorsNotDurable,
        Self::LeaderWaitsForHeartbeat,
        Self::FastPathDiffers,
        Self::ThresholdUnreachable,
    ];
}

#[cfg(feature = "checking")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Runs `check` with a defect in every replica of this thread; afterwards the code is sound again.
#[cfg(feature = "checking")]
pub fn with<T>(mutation: Option<Mutation>, check: impl FnOnce() -> T) -> T {
    struct Reset(Option<Mutation>);
    impl Drop for Reset {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let _reset = Reset(ACTIVE.replace(mutation));
    check()
}

/// Whether this defect is switched on in this thread.
#[cfg(feature = "checking")]
#[inline]
pub fn mutated(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Whether this defect is switched on: never, without the feature `checking`.
#[cfg(not(feature = "checking"))]
#[inline]
pub const fn mutated(_: Mutation) -> bool {
    false
}
