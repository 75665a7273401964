//! Each item of the must-fail list of PROTOCOL section 9, as a defect by name: a check passes without it and fails with it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod schedules;

use consensus::mutation::{Mutation, with};
use model::search::{Checks, search};
use model::universe::Bounds;

/// The model checker on four validators and two views; `tests/exhaustive.rs` shows that it finds nothing in the sound code.
fn model(byzantine: u16) -> Result<(), String> {
    let bounds = Bounds { validators: 4, byzantine, views: 2, fast_path: true };
    search(bounds, Checks::All, usize::MAX)?.violation.map_or(Ok(()), Err)
}

/// The check that must catch a defect.
fn check(mutation: Mutation) -> Result<(), String> {
    use Mutation as M;
    match mutation {
        M::NotarizeAfterNullify
        | M::NullifyAfterFinalize
        | M::FinalizeAfterNullify
        | M::ReleaseEarly
        | M::NotarizationBelowQuorum
        | M::NullificationBelowQuorum
        | M::FinalizationBelowQuorum => model(2),
        M::FastPathDiffers => model(0),
        M::ProposeAfterNullify => schedules::body_after_the_timer(),
        M::ReleaseAbsent | M::FinalizeBeforeNotarization => schedules::three_way_split(),
        M::ReleaseWithoutSecondClause => schedules::two_two_split(),
        M::NotarizationWithFNotarize => schedules::invalid_body(),
        M::ProgressGatedByThreshold => schedules::high_threshold_and_a_crash(),
        M::NoMixedCertificates => schedules::half_locked_half_nullified(),
        M::EnterUnjustified => schedules::lost_body(),
        M::NoLateNotarize => schedules::one_early_one_late(),
        M::ReceivedVotesForgotten => schedules::restart_after_a_byzantine_vote(false),
        M::OneCertificatePerView => schedules::restart_after_a_byzantine_vote(true),
        M::PullWithoutKinds => schedules::two_certificates_of_one_view(),
        M::BoundWithoutExemptions => schedules::three_blocks(),
        M::AncestorsNotDurable => schedules::restart_above_an_unfinal_chain(),
        M::LeaderWaitsForHeartbeat => schedules::a_vote_in_every_view(),
        M::ThresholdUnreachable => schedules::advice_out_of_reach(),
    }
}

fn caught(mutation: Mutation) {
    // What the model checker finds in the sound code is another test's, and takes longer.
    if !matches!(
        mutation,
        Mutation::NotarizeAfterNullify
            | Mutation::NullifyAfterFinalize
            | Mutation::FinalizeAfterNullify
            | Mutation::ReleaseEarly
            | Mutation::NotarizationBelowQuorum
            | Mutation::NullificationBelowQuorum
            | Mutation::FinalizationBelowQuorum
            | Mutation::FastPathDiffers
    ) {
        check(mutation).unwrap();
    }
    let found = with(Some(mutation), || check(mutation));
    let why = found.expect_err("the defect must be caught");
    assert!(!why.contains("the schedule does not fit"), "{why}");
    println!("{mutation:?}: {}", why.lines().last().unwrap_or_default());
}

macro_rules! matrix {
    ($($name:ident: $mutation:ident,)*) => {
        $(#[test]
        fn $name() {
            caught(Mutation::$mutation);
        })*

        #[test]
        fn every_defect_has_its_test() {
            let tested = [$(Mutation::$mutation),*];
            assert!(Mutation::ALL.iter().all(|mutation| tested.contains(mutation)));
        }
    };
}

matrix! {
    notarize_after_nullify: NotarizeAfterNullify,
    propose_after_nullify: ProposeAfterNullify,
    nullify_after_finalize: NullifyAfterFinalize,
    finalize_after_nullify: FinalizeAfterNullify,
    release_early: ReleaseEarly,
    release_absent: ReleaseAbsent,
    release_without_second_clause: ReleaseWithoutSecondClause,
    notarization_below_quorum: NotarizationBelowQuorum,
    nullification_below_quorum: NullificationBelowQuorum,
    finalization_below_quorum: FinalizationBelowQuorum,
    notarization_with_f_notarize: NotarizationWithFNotarize,
    progress_gated_by_threshold: ProgressGatedByThreshold,
    no_mixed_certificates: NoMixedCertificates,
    finalize_before_notarization: FinalizeBeforeNotarization,
    enter_unjustified: EnterUnjustified,
    no_late_notarize: NoLateNotarize,
    received_votes_forgotten: ReceivedVotesForgotten,
    bound_without_exemptions: BoundWithoutExemptions,
    pull_without_kinds: PullWithoutKinds,
    one_certificate_per_view: OneCertificatePerView,
    ancestors_not_durable: AncestorsNotDurable,
    leader_waits_for_heartbeat: LeaderWaitsForHeartbeat,
    fast_path_differs: FastPathDiffers,
    threshold_unreachable: ThresholdUnreachable,
}
