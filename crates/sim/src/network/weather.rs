//! What happens to links for a while: cuts, delays and losses, for all messages or between named validators, steadily or in bursts.

use serde::{Deserialize, Serialize};

/// Something that changes links for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// From when, in microseconds after the start.
    pub from_us: u64,
    /// Until when.
    pub to_us: u64,
    /// Whose messages; empty for everyone's.
    #[serde(default)]
    pub senders: Vec<u16>,
    /// Messages to whom; empty for everyone.
    #[serde(default)]
    pub receivers: Vec<u16>,
    /// Whether the way back is concerned too.
    #[serde(default)]
    pub both_ways: bool,
    /// On and off; steady if absent.
    #[serde(default)]
    pub flap: Option<Flap>,
    /// What happens to the messages.
    pub effect: LinkEffect,
}

/// On for a part of each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flap {
    /// Length of a period, in microseconds.
    pub period_us: u64,
    /// How long it is on at the beginning of each.
    pub on_us: u64,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LinkEffect {
    /// It is lost.
    Cut,
    /// It takes longer by this many microseconds.
    Delay(u64),
    /// It takes longer by up to this many microseconds.
    Jitter(u64),
    /// It is lost this many times in a thousand.
    Loss(u32),
}

impl Weather {
    /// A symmetric partition: nothing passes between `side` and the others.
    pub fn partition(side: Vec<u16>, validators: u16, from_us: u64, to_us: u64) -> Self {
        let others = (0..validators).filter(|index| !side.contains(index)).collect();
        let effect = LinkEffect::Cut;
        Self { from_us, to_us, senders: side, receivers: others, both_ways: true, flap: None, effect }
    }

    /// Whether it concerns a message from `from` to `to` at `after_us` after the start.
    pub(crate) fn concerns(&self, after_us: u64, from: u16, to: u16) -> bool {
        let named = |list: &[u16], index| list.is_empty() || list.contains(&index);
        let way = |a, b| named(&self.senders, a) && named(&self.receivers, b);
        let now = (self.from_us..self.to_us).contains(&after_us)
            && self.flap.is_none_or(|flap| (after_us - self.from_us) % flap.period_us.max(1) < flap.on_us);
        now && (way(from, to) || (self.both_ways && way(to, from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_cut_both_ways_and_only_across() {
        let cut = Weather::partition(vec![0, 2], 4, 10, 20);
        for (from, to, apart) in [(0, 1, true), (1, 0, true), (0, 2, false), (1, 3, false), (3, 2, true)] {
            assert_eq!(cut.concerns(10, from, to), apart, "{from} to {to}");
        }
        assert!(!cut.concerns(9, 0, 1) && !cut.concerns(20, 0, 1));
    }

    #[test]
    fn one_way_and_flapping_links() {
        let one_way = Weather {
            senders: vec![1],
            receivers: vec![],
            both_ways: false,
            flap: Some(Flap { period_us: 100, on_us: 30 }),
            ..Weather::partition(vec![], 4, 1_000, 2_000)
        };
        assert!(one_way.concerns(1_000, 1, 3) && one_way.concerns(1_229, 1, 0));
        assert!(!one_way.concerns(1_030, 1, 3), "off");
        assert!(!one_way.concerns(1_000, 3, 1), "the way back is open");
    }
}
