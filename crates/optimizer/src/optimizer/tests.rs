//! The optimizer of one validator of six, fed by hand: q_min 4, q_fast 5.

use consensus::replica::{Advice, Observation, Settings};
use consensus::types::{Timestamp, ValidatorIndex, View};

use super::*;

const START: u64 = 1_767_225_600_000_000;

fn setup() -> Setup {
    Setup {
        n: 6,
        me: 0,
        q_min: 4,
        q_max: 5,
        q_fast: 5,
        base_ten_thousandths: 6_700,
        settings: Settings::default(),
        vote_bytes: 3_400,
        seed: 1,
    }
}

fn optimizer(mode: Mode, choice: PolicyChoice) -> Optimizer {
    let parameters = Parameters { adaptation_frequency: 1, ..Parameters::default() };
    Optimizer::new(setup(), parameters, mode, choice)
}

/// One view of 20 ms per call: votes of 1 to 3 after 8 ms make the quorum; the fifth comes `fifth_us` after it, if at all. Returns the advice
/// that the quorum brought, and whether the vote was saved.
struct Drive {
    optimizer: Optimizer,
    view: u64,
    at: u64,
}

impl Drive {
    fn new(optimizer: Optimizer) -> Self {
        Self { optimizer, view: 0, at: START }
    }

    fn see(&mut self, after_us: u64, observation: Observation) -> Option<Advice> {
        self.optimizer.observe(Timestamp::new(self.at + after_us), &observation)
    }

    fn view(&mut self, fifth_us: Option<u64>) -> bool {
        self.view += 1;
        self.at += 200_000;
        let view = View::new(self.view);
        self.see(0, Observation::Entered(view));
        self.see(1_000, Observation::Locked { view, leading: false });
        for peer in 1..=3 {
            self.see(8_000, Observation::Arrived { view, from: ValidatorIndex::new(peer) });
        }
        self.see(8_000, Observation::Notarized(view));
        let hold = self.optimizer.advice().hedge_us;
        let saved = fifth_us.is_some_and(|fifth| fifth <= hold);
        if !saved {
            self.see(8_000 + hold, Observation::Finalizing { view, alone: true });
        }
        let slow = hold + 10_000;
        if let Some(fifth) = fifth_us.filter(|fifth| *fifth < slow || saved) {
            self.see(8_000 + fifth, Observation::Arrived { view, from: ValidatorIndex::new(4) });
            self.see(8_000 + fifth, Observation::Settled { view, fast: true });
        } else {
            self.see(8_000 + slow, Observation::Settled { view, fast: false });
            if let Some(fifth) = fifth_us {
                self.see(8_000 + fifth, Observation::Late { view, from: ValidatorIndex::new(4) });
            }
        }
        saved
    }

    fn views(&mut self, count: usize, fifth_us: Option<u64>) -> usize {
        (0..count).filter(|_| self.view(fifth_us)).count()
    }
}

#[test]
fn off_and_shadow_advise_the_configured_values() {
    for mode in [Mode::Off, Mode::Shadow] {
        let mut drive = Drive::new(optimizer(mode, PolicyChoice::Learned));
        drive.views(100, Some(30_000));
        let advice = Advice { threshold: 5, hedge_us: 10_000, delta_us: None, batch_delay_us: 0 };
        assert_eq!(drive.optimizer.advice(), advice);
        let metrics = drive.optimizer.metrics();
        assert_eq!((metrics.observations, metrics.counters.holds_wasted), (99, 100));
        assert!(metrics.loss_learned < metrics.loss_rule, "in the shadow it learns: {metrics:?}");
    }
}

#[test]
fn the_rule_acts_until_the_learner_is_better_and_the_learner_waits_for_the_fifth_vote() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Learned));
    assert_eq!(drive.optimizer.metrics().acting, "rule");
    drive.views(100, Some(16_000));
    let metrics = drive.optimizer.metrics();
    assert_eq!(metrics.acting, "learned", "{metrics:#?}");
    let saved = drive.views(100, Some(16_000));
    assert!(saved > 90, "{saved} {:#?}", drive.optimizer.metrics());
    // A rule of 10 ms saves none of these.
    let mut rule = Drive::new(optimizer(Mode::On, PolicyChoice::Rule));
    assert_eq!(rule.views(100, Some(16_000)), 0);
    assert_eq!(rule.optimizer.metrics().acting, "rule");
}

#[test]
fn a_validator_that_goes_silent_is_not_waited_for() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Learned));
    drive.views(200, Some(16_000));
    drive.views(60, None);
    let before = drive.optimizer.counters();
    drive.views(100, None);
    let after = drive.optimizer.counters();
    let at_once = after.sent_at_once - before.sent_at_once;
    assert!(at_once > 80, "{at_once} of 100");
    assert!(drive.optimizer.network().links.is_empty());
    let saved = {
        drive.views(60, Some(5_000));
        drive.views(100, Some(5_000))
    };
    assert!(saved > 80, "it is back: {saved}");
}

#[test]
fn no_hold_is_longer_than_the_cap_and_the_worst_harm_is_counted() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Learned));
    for round in 0..300 {
        // Trains it to wait, then defects, again and again.
        drive.view((round % 40 < 30).then_some(14_000));
        let settings = setup().settings.measured(drive.optimizer.advice().delta_us);
        let cap = (2 * settings.delta_us).min(settings.timer_floor_us / 4);
        assert!(drive.optimizer.advice().hedge_us <= cap);
    }
    let counters = drive.optimizer.counters();
    assert!(counters.wasted_us_max <= 100_000 && counters.holds_wasted > 0, "{counters:?}");
}

#[test]
fn what_was_learned_survives_a_restart_and_nonsense_does_not() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Learned));
    drive.views(200, Some(16_000));
    let text = serde_json::to_string(&drive.optimizer.state()).unwrap();
    let state: State = serde_json::from_str(&text).unwrap();
    let mut next = optimizer(Mode::On, PolicyChoice::Learned);
    next.restore(&state).unwrap();
    assert_eq!(next.state(), state);
    assert_eq!(next.metrics().acting, "learned");
    let mut again = Drive { optimizer: next, view: drive.view, at: drive.at };
    assert!(again.views(10, Some(16_000)) >= 8, "no second apprenticeship");
    for (from, to) in
        [("\"version\":1", "\"version\":2"), ("\"experts\":[", "\"experts\":[0.5,"), ("\"gate\":[", "\"gate\":[1e300,")]
    {
        let broken: State = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
        let mut next = optimizer(Mode::On, PolicyChoice::Learned);
        let before = next.state();
        assert!(next.restore(&broken).is_err(), "{to}");
        assert_eq!(next.state(), before, "unchanged");
    }
}

#[test]
fn it_falls_back_to_the_rule_when_its_skill_stays_below_zero() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Learned));
    drive.views(200, Some(16_000));
    assert_eq!(drive.optimizer.metrics().acting, "learned");
    // A gate that is certain of the opposite, as if the world had turned: skill goes below zero before it has learned otherwise.
    drive.optimizer.update_parameters(&ParameterUpdate { learning_rate: Some(0.000_1), ..Default::default() }).unwrap();
    let mut fell_back = false;
    for round in 0..200 {
        drive.view((round / 2 % 2 == 0).then_some(16_000));
        fell_back |= drive.optimizer.metrics().acting == "rule";
    }
    let metrics = drive.optimizer.metrics();
    assert!(fell_back, "{metrics:#?}");
}

#[test]
fn timers_follow_what_is_measured_only_while_the_learner_acts() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Learned));
    drive.views(200, Some(16_000));
    let advice = drive.optimizer.advice();
    assert_eq!(advice.delta_us, Some(25_000), "23 ms to the fifth vote, and a margin");
    assert_eq!(drive.optimizer.set_mode(Mode::Off).delta_us, None);
    assert_eq!(drive.optimizer.set_mode(Mode::On).delta_us, Some(25_000));
    assert_eq!(drive.optimizer.set_policy(PolicyChoice::Rule).delta_us, None);
}

#[test]
fn recommendations_say_what_and_why() {
    let mut drive = Drive::new(optimizer(Mode::Shadow, PolicyChoice::Rule));
    assert_eq!(drive.optimizer.recommendations()[0].subject, "observations");
    drive.views(200, Some(16_000));
    let list = drive.optimizer.recommendations();
    assert!(list.iter().all(|one| !one.reason.is_empty() && !one.expected_effect.is_empty()));
    let of = |subject: &str| list.iter().find(|one| one.subject == subject).cloned();
    assert_eq!(of("mode").and_then(|one| one.mode), Some("on".to_owned()), "{list:#?}");
    assert_eq!(of("policy").and_then(|one| one.policy), Some("learned".to_owned()));
    assert!(of("finalize_hold").is_some() && of("finality_threshold").is_some() && of("message_delay").is_some());
    for one in &list {
        drive.optimizer.update_parameters(&one.update).unwrap();
    }
}

#[test]
fn bytes_saved_are_counted_against_always_sending() {
    let mut drive = Drive::new(optimizer(Mode::On, PolicyChoice::Rule));
    assert!(drive.optimizer.overhead_reduction_percent().abs() < 1e-9);
    drive.views(101, Some(5_000));
    // One vote to five others in each of the 101 views; the second one was saved in the hundred that are over.
    drive.optimizer.count_sent(101 * 5 * 3_400);
    let percent = drive.optimizer.overhead_reduction_percent();
    assert!((percent - 50.0).abs() < 1.0, "{percent}");
}
