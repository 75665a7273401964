//! Nothing on the hot path asks for memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use consensus::replica::{Observation, Settings};
use consensus::types::{Timestamp, ValidatorIndex, View};
use optimizer::{Mode, Optimizer, Parameters, PolicyChoice, Setup};

const N: u16 = 100;

/// One view as a validator of a hundred sees it: votes until the quorum, the decision, votes until the one-round quorum, stragglers.
fn view(optimizer: &mut Optimizer, number: u64) {
    let at = |us: u64| Timestamp::new(1_767_225_600_000_000 + number * 50_000 + us);
    let view = View::new(number);
    optimizer.observe(at(0), &Observation::Entered(view));
    optimizer.observe(at(1_000), &Observation::Locked { view, leading: false });
    for from in (1..60).map(ValidatorIndex::new) {
        optimizer.observe(at(5_000), &Observation::Arrived { view, from });
    }
    optimizer.observe(at(5_000), &Observation::Notarized(view));
    for from in (60..89).map(ValidatorIndex::new) {
        optimizer.observe(at(8_000 + number % 7 * 1_000), &Observation::Arrived { view, from });
    }
    optimizer.observe(at(15_000), &Observation::Settled { view, fast: true });
    for from in (89..N).map(ValidatorIndex::new) {
        optimizer.observe(at(30_000), &Observation::Late { view, from });
    }
}

#[test]
fn a_view_of_a_hundred_validators_allocates_nothing() {
    let setup = Setup {
        n: N.into(),
        me: 0,
        q_min: 60,
        q_max: 80,
        q_fast: 89,
        base_ten_thousandths: 6_700,
        settings: Settings::default(),
        vote_bytes: 3_437,
        seed: 1,
    };
    let mut optimizer = Optimizer::new(setup, Parameters::default(), Mode::On, PolicyChoice::Learned);
    (1..=300).for_each(|number| view(&mut optimizer, number));
    let used = allocation_counter::measure(|| (301..=600).for_each(|number| view(&mut optimizer, number)));
    assert_eq!(used.count_total, 0, "{used:?}");
    assert_eq!(optimizer.metrics().observations, 600);
}
