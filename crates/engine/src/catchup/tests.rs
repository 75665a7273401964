//! Catching up as a table of moves: who is asked, what silence, lies and broken links change.

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds * 1_000_000)
}

const fn v(index: u16) -> ValidatorIndex {
    ValidatorIndex::new(index)
}

fn held(first: u64, last: u64) -> Held {
    Held { first: Height::new(first), last: Height::new(last) }
}

/// At height 0, three peers that hold everything up to `last`.
fn behind(last: u64) -> CatchUp {
    let mut catchup = CatchUp::new(Height::ZERO, 1, 4 << 20);
    (1..4).for_each(|index| catchup.take_held(v(index), held(1, last)));
    catchup
}

/// Ranges asked of each peer.
fn asked(fetches: &[(ValidatorIndex, Fetch)]) -> Vec<(u16, u64, u64)> {
    fetches.iter().map(|(peer, fetch)| (peer.get(), fetch.above.get(), fetch.upto.get())).collect()
}

#[test]
fn pieces_are_spread_over_the_peers_and_bounded() {
    let mut catchup = behind(100_000);
    let fetches = asked(&catchup.plan(at(1)));
    assert_eq!(fetches.len(), 3 * OPEN_EACH);
    for peer in 1..4 {
        assert_eq!(fetches.iter().filter(|(to, ..)| *to == peer).count(), OPEN_EACH);
    }
    let mut next = 0;
    for (_, above, upto) in &fetches {
        assert_eq!((*above, *upto), (next, next + CHUNK_BLOCKS), "no gap and no overlap");
        next = *upto;
    }
    assert_eq!(catchup.plan(at(1)), vec![], "nobody is asked twice");
    assert_eq!(catchup.status().target, Height::new(100_000));
}

#[test]
fn the_window_stands_on_what_is_durable() {
    let mut catchup = CatchUp::new(Height::ZERO, 1, 1 << 10);
    (1..100).for_each(|index| catchup.take_held(v(index), held(1, 1_000_000)));
    let most = catchup.plan(at(1)).iter().map(|(_, fetch)| fetch.upto.get()).max().unwrap();
    assert!(most <= WINDOW_BLOCKS);
    assert_eq!(catchup.open.len(), WINDOW_CHUNKS);
    // Committed but not yet flushed blocks open no new room beyond the window.
    catchup.open.clear();
    catchup.peers.values_mut().for_each(|peer| peer.open = 0);
    catchup.committed(Height::new(WINDOW_BLOCKS));
    assert_eq!(catchup.plan(at(2)), vec![]);
    catchup.durable(Height::new(300));
    assert_eq!(asked(&catchup.plan(at(2)))[0].2, WINDOW_BLOCKS + CHUNK_BLOCKS);
}

#[test]
fn silence_and_a_broken_link_go_to_another() {
    let mut catchup = behind(600);
    let first = asked(&catchup.plan(at(1)));
    assert_eq!(
        first.iter().map(|(_, above, upto)| (*above, *upto)).collect::<Vec<_>>(),
        [(0, 256), (256, 512), (512, 600)]
    );
    let (lost, ..) = first[0];
    catchup.take_link_down(v(lost));
    let again = asked(&catchup.plan(at(1)));
    assert_eq!((again.len(), again[0].1), (1, 0));
    assert_ne!(again[0].0, lost);
    // The rest stays silent: all are asked again of somebody, later and later.
    assert!(catchup.next_deadline() > at(1));
    let late = asked(&catchup.plan(at(5)));
    assert_eq!(late.len(), 3);
    assert!(catchup.status().reassigned >= 4);
    assert!(catchup.next_deadline() >= at(5 + 6), "a silent peer is given twice as long");
}

#[test]
fn a_liar_about_its_height_gains_nothing() {
    let mut catchup = behind(300);
    catchup.take_held(v(0), held(1, 1 << 60));
    assert_eq!(catchup.status().target, Height::new(300), "what one alone claims is no target");
    let fetches = asked(&catchup.plan(at(1)));
    assert!(fetches.iter().any(|(_, above, _)| *above == 0));
    for (peer, above, _) in fetches {
        assert!(above < 300 || peer == 0, "only the liar is asked for what it alone claims");
    }
    // It is silent, and is asked last from then on.
    let again = asked(&catchup.plan(at(10)));
    let lowest = again.iter().find(|(_, above, _)| *above == 0).unwrap();
    assert_ne!(lowest.0, 0);
}

#[test]
fn nobody_is_asked_for_what_it_has_pruned() {
    let mut catchup = CatchUp::new(Height::ZERO, 1, 4 << 20);
    catchup.take_held(v(1), held(500, 1_000));
    catchup.take_held(v(2), held(1, 1_000));
    for (peer, above, _) in asked(&catchup.plan(at(1))) {
        assert!(peer == 2 || above + 1 >= 500);
    }
    // The other prunes too: what it was asked for is open again.
    catchup.take_held(v(2), held(900, 1_000));
    assert!(catchup.open.values().all(|open| open.peer != v(2) || open.upto.get() >= 900));
}

#[test]
fn what_nobody_holds_is_skipped_after_a_while() {
    let mut catchup = CatchUp::new(Height::new(100), 1, 4 << 20);
    catchup.take_held(v(1), held(5_000, 9_000));
    catchup.take_held(v(2), held(4_800, 9_000));
    assert_eq!(catchup.plan(at(1)), vec![]);
    assert_eq!(catchup.next_deadline(), at(6), "somebody may still come who has it");
    let fetches = asked(&catchup.plan(at(6)));
    assert_eq!(fetches[0].1, 4_799, "from the lowest that is held: {fetches:?}");
    // One who has the next block comes before the piece does: no need to skip once the piece is dealt with.
    catchup.take_held(v(2), held(8_000, 9_000));
    catchup.take_held(v(3), held(1, 9_000));
    assert!(asked(&catchup.plan(at(7))).iter().any(|(peer, above, _)| (*peer, *above) == (3, 100)));
}

#[test]
fn done_is_idle() {
    let mut catchup = behind(100);
    assert!(!catchup.is_idle());
    catchup.plan(at(1));
    catchup.committed(Height::new(100));
    catchup.plan(at(1));
    assert!(catchup.is_idle());
    assert_eq!(catchup.next_deadline(), Timestamp::new(u64::MAX));
}
