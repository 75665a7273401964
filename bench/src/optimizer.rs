//! What a decision of the optimizer takes: from "the Notarization holds" to the advice.

use std::time::Instant;

use consensus::params::{Ratio, derive};
use consensus::replica::{Observation, Settings};
use consensus::types::{Timestamp, ValidatorIndex, View};
use node::optimizer::{Mode, Optimizer, Parameters, PolicyChoice, Setup};

use crate::{option, percentile};

/// Views before measuring begins.
const WARM_UP: u64 = 500;

/// Runs the benchmark for several network sizes.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let views: u64 = option(args, "--views", 20_000)?;
    println!("decision of the learned policy, microseconds (aim: below 10)");
    println!("{:>10} {:>8} {:>8} {:>8} {:>8}", "validators", "p50", "p99", "max", "observe");
    for n in [4u16, 6, 11, 25, 50, 100] {
        let (mut decisions, observe) = measure(n, views)?;
        decisions.sort_by(f64::total_cmp);
        let [p50, p99, max] = [50.0, 99.0, 100.0].map(|p| percentile(&decisions, p));
        println!("{n:>10} {p50:>8.2} {p99:>8.2} {max:>8.2} {observe:>8.3}");
    }
    println!("observe: mean of one vote's arrival. Allocations: none, see crates/optimizer/tests/allocation.rs");
    Ok(())
}

/// Times of the decisions, and the mean time of taking one vote, in microseconds.
fn measure(n: u16, views: u64) -> Result<(Vec<f64>, f64), String> {
    let ratio = |value| Ratio::new(value).map_err(|error| error.to_string());
    let quorum = derive(n.into(), None, None, ratio(6_000)?, ratio(8_000)?).map_err(|error| error.to_string())?;
    let setup = Setup {
        n: n.into(),
        me: 0,
        q_min: quorum.q_min(),
        q_max: quorum.q_max(),
        q_fast: quorum.q_fast(),
        base_ten_thousandths: 6_700,
        settings: Settings::default(),
        vote_bytes: 3_437,
        seed: 1,
    };
    let mut optimizer = Optimizer::new(setup, Parameters::default(), Mode::On, PolicyChoice::Learned);
    let (mut decisions, mut votes, mut taking) = (Vec::new(), 0u64, 0.0);
    for number in 1..=WARM_UP + views {
        let at = |us: u64| Timestamp::new(1_767_225_600_000_000 + number * 50_000 + us);
        let view = View::new(number);
        optimizer.observe(at(0), &Observation::Entered(view));
        optimizer.observe(at(1_000), &Observation::Locked { view, leading: false });
        let begun = Instant::now();
        for from in (1..quorum.q_min() as u16).map(ValidatorIndex::new) {
            optimizer.observe(at(5_000), &Observation::Arrived { view, from });
        }
        taking += begun.elapsed().as_secs_f64() * 1e6;
        votes += u64::from(quorum.q_min()) - 1;
        let begun = Instant::now();
        optimizer.observe(at(5_000), &Observation::Notarized(view));
        if number > WARM_UP {
            decisions.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        for from in (quorum.q_min() as u16..n).map(ValidatorIndex::new) {
            let us = 6_000 + number % 7 * 1_000 + u64::from(from.get()) * 10;
            optimizer.observe(at(us), &Observation::Arrived { view, from });
        }
        optimizer.observe(at(20_000), &Observation::Settled { view, fast: true });
    }
    Ok((decisions, taking / votes.max(1) as f64))
}
