//! Every state of four validators in two views; the long form is the example `check`.

#![allow(clippy::unwrap_used, reason = "tests")]

use model::search::{Checks, search};
use model::universe::Bounds;

/// States with the one-round path and without it. A change of the rules that changes the numbers is told, not hidden:
/// docs/reliability.md names them.
fn all_is_well(byzantine: u16, with_fast: usize, without: usize) {
    for (fast_path, states) in [(true, with_fast), (false, without)] {
        let bounds = Bounds { validators: 4, byzantine, views: 2, fast_path };
        let found = search(bounds, Checks::All, usize::MAX).unwrap();
        assert_eq!(found.violation, None);
        assert!(!found.cut_short && found.with_final > 0);
        assert_eq!(found.states, states, "{bounds:?}");
    }
}

#[test]
fn a_byzantine_replica_that_never_leads() {
    all_is_well(0, 1_311, 3_644);
}

#[test]
fn a_byzantine_leader_of_the_first_view() {
    all_is_well(1, 6_587, 15_636);
}

#[test]
fn a_byzantine_leader_of_the_second_view() {
    all_is_well(2, 5_646, 13_576);
}
