//! The leader schedule of the next epoch, from final headers alone, so that every replica computes the same (PROTOCOL section 4).
//!
//! Votes are not on the ledger; views are. A final header names its own view, which its leader led, and its parent's; every view between was
//! skipped, because a justified header needs their Nullifications (section 2). A leader whose latest turns were all skipped keeps one turn in
//! [`FULL_WEIGHT`] rounds, so that it costs little while it is down and can show that it is back; one good turn after another brings the weight
//! back. Only a closing block may carry a schedule into effect; until then R4's "known to be down" keeps the turn of a crashed leader short.

use std::collections::BTreeMap;

use crate::types::{ValidatorIndex, View};

/// Latest turns of a validator that count.
pub const TURNS: u32 = 10;
/// Weight of a validator that leads all its turns: its turns in one cycle of the schedule.
pub const FULL_WEIGHT: u8 = 16;

/// The latest turns of every validator in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    of: BTreeMap<ValidatorIndex, Latest>,
}

/// The latest turns of one validator, newest last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Latest {
    led: u32,
    count: u32,
}

impl Turns {
    /// Takes the next final header of the chain: its view, its parent's view, and who leads which view under the schedule in force. Headers must
    /// come in the order of the chain, each once. A gap of more than `most_skipped` views counts its newest ones only, which bounds the work.
    pub fn note(&mut self, parent: View, view: View, most_skipped: u64, leader: impl Fn(View) -> ValidatorIndex) {
        let from = (parent.get() + 1).max(view.get().saturating_sub(most_skipped));
        for skipped in from..view.get() {
            self.turn(leader(View::new(skipped)), false);
        }
        self.turn(leader(view), true);
    }

    fn turn(&mut self, validator: ValidatorIndex, led: bool) {
        let latest = self.of.entry(validator).or_default();
        latest.led = ((latest.led << 1) | u32::from(led)) & ((1 << TURNS) - 1);
        latest.count = (latest.count + 1).min(TURNS);
    }

    /// Turns led and turns skipped of a validator, of its latest ten.
    pub fn latest(&self, validator: ValidatorIndex) -> (u32, u32) {
        let latest = self.of.get(&validator).copied().unwrap_or_default();
        let led = latest.led.count_ones();
        (led, latest.count - led)
    }

    /// The weights of the next epoch's schedule, by index: full for a validator without turns, else by the share of its turns that it led, at
    /// least one. If that leaves more than `max_faulty` validators below full weight, the ledger says more about the network than about them, and
    /// all keep full weight: nobody is to be talked out of the schedule by a minority that delays.
    pub fn weights(&self, validators: u16, max_faulty: u32) -> Vec<u8> {
        let weight = |index: u16| {
            let (led, skipped) = self.latest(ValidatorIndex::new(index));
            let turns = led + skipped;
            if turns == 0 {
                return FULL_WEIGHT;
            }
            // At most 16, and at least one.
            u8::try_from(u32::from(FULL_WEIGHT) * led / turns).unwrap_or(FULL_WEIGHT).max(1)
        };
        let weights: Vec<u8> = (0..validators).map(weight).collect();
        let lowered = weights.iter().filter(|weight| **weight < FULL_WEIGHT / 2).count();
        if lowered > max_faulty as usize { vec![FULL_WEIGHT; usize::from(validators)] } else { weights }
    }
}

/// Who leads the `view`-th turn under these weights: a cycle of [`FULL_WEIGHT`] rounds, in each of which the validators take part in order
/// that have weight left for it; rounds are mixed so that a small weight is spread over the cycle. Weights of zero count as one, so there is
/// always a leader. None without validators.
pub fn leader(weights: &[u8], view: View) -> Option<ValidatorIndex> {
    let takes_part = |weight: u8, level: u8| weight.clamp(1, FULL_WEIGHT) >= level;
    let in_round = |level: u8| weights.iter().filter(|weight| takes_part(**weight, level)).count() as u64;
    let cycle: u64 = weights.iter().map(|weight| u64::from((*weight).clamp(1, FULL_WEIGHT))).sum();
    let mut place = view.get().checked_rem(cycle)?;
    for round in 0..FULL_WEIGHT {
        // Bit reversal of four bits: 0, 8, 4, 12 … so that levels alternate between high and low.
        let level = (round.reverse_bits() >> 4) + 1;
        let here = in_round(level);
        if place < here {
            let mut taking = (0u16..).zip(weights).filter(|(_, weight)| takes_part(**weight, level));
            return taking.nth(usize::try_from(place).ok()?).map(|(index, _)| ValidatorIndex::new(index));
        }
        place -= here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_robin(n: u64) -> impl Fn(View) -> ValidatorIndex {
        move |view| ValidatorIndex::new((view.get() % n) as u16)
    }

    /// Final headers of a chain in which these validators lead nothing.
    fn turns(n: u64, down: &[u16], views: u64) -> Turns {
        let (mut turns, mut parent) = (Turns::default(), View::ZERO);
        let leader = round_robin(n);
        for view in (1..=views).map(View::new) {
            if !down.contains(&leader(view).get()) {
                turns.note(parent, view, 1_000, &leader);
                parent = view;
            }
        }
        turns
    }

    #[test]
    fn a_crashed_leader_costs_less_than_one_percent_of_the_turns_after_ten_of_its_own() {
        let weights = turns(6, &[2], 66).weights(6, 2);
        assert_eq!(weights, [16, 16, 1, 16, 16, 16]);
        let cycle: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let led = |index: u16| {
            let of = |view: &u64| leader(&weights, View::new(*view)) == Some(ValidatorIndex::new(index));
            (0..cycle).filter(of).count()
        };
        assert_eq!(led(2), 1, "1 of 81 turns; with R4 such a turn lasts about half a view");
        assert!([0, 1, 3, 4, 5].into_iter().all(|index| led(index) == 16));
    }

    #[test]
    fn every_turn_has_a_leader_and_weights_are_kept_for_any_weights() {
        for weights in [vec![1], vec![16; 4], vec![0, 255, 3], vec![5, 1, 16, 9, 2, 16, 16]] {
            let wanted: Vec<u64> = weights.iter().map(|weight: &u8| u64::from((*weight).clamp(1, 16))).collect();
            let cycle: u64 = wanted.iter().sum();
            let mut got = vec![0; weights.len()];
            for view in 7 * cycle..8 * cycle {
                got[leader(&weights, View::new(view)).unwrap().as_usize()] += 1;
            }
            assert_eq!(got, wanted, "{weights:?}");
        }
        assert_eq!(leader(&[], View::new(3)), None);
    }

    #[test]
    fn a_leader_that_is_back_gets_its_turns_back() {
        let leader_of = round_robin(4);
        let mut turns = turns(4, &[3], 60);
        assert_eq!(turns.latest(ValidatorIndex::new(3)), (0, 10));
        let mut weights = Vec::new();
        for view in (61..=100).map(View::new) {
            turns.note(View::new(view.get() - 1), view, 1_000, &leader_of);
            weights.push(turns.weights(4, 1)[3]);
        }
        assert!(weights.is_sorted() && weights.last() == Some(&FULL_WEIGHT), "{weights:?}");
    }

    #[test]
    fn all_replicas_compute_the_same_wherever_they_stood() {
        // The weights depend on the chain alone: one walk, or one that begins again from any prefix with the same turns.
        let whole = turns(7, &[1, 5], 100);
        let mut again = turns(7, &[1, 5], 50);
        let leader_of = round_robin(7);
        let mut parent = View::new(50);
        for view in (51..=100).map(View::new).filter(|view| ![1, 5].contains(&leader_of(*view).get())) {
            again.note(parent, view, 1_000, &leader_of);
            parent = view;
        }
        assert_eq!(whole, again);
        assert_eq!(whole.weights(7, 2), again.weights(7, 2));
    }

    #[test]
    fn a_minority_cannot_talk_the_majority_out_of_the_schedule() {
        assert_eq!(turns(7, &[0, 1, 2, 3], 100).weights(7, 2), [16; 7]);
        let mut turns = Turns::default();
        turns.note(View::ZERO, View::new(u64::MAX), 10, round_robin(4));
        assert_eq!(
            (0..4)
                .map(|v| {
                    let (a, b) = turns.latest(ValidatorIndex::new(v));
                    a + b
                })
                .sum::<u32>(),
            11,
            "bounded work"
        );
    }
}
