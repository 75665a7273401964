//! The regimes of the study: what goes wrong, when it changes, and how large the worst harm may be.

use crate::network::weather::{Flap, LinkEffect, Weather};
use crate::scenario::{Cpu, Fault, Scenario};

/// A regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Regime {
    /// 4 to 9 ms one way.
    Healthy,
    /// As healthy, but 15 % of messages take up to 40 ms more.
    HeavyTail,
    /// As healthy; after a quarter of the run 24 % of the validators crash for good.
    Crashed,
    /// As healthy; a quarter of the validators is 60 ms further away for 0.6 of every 1.5 s.
    SlowRegion,
    /// As healthy; a fifth of the validators is cut off in turn, each for 0.5 of every 2 s.
    Flapping,
    /// As healthy; messages of a fifth of the validators always take 25 ms more.
    LateVoters,
    /// As healthy, with one validator down after a quarter; a coalition of f answers promptly for 1.2 s of every 2 s, so that it is relied on,
    /// and withholds everything for 0.8 s.
    Coalition,
    /// As healthy, with values of 200 bytes and every tenth of 48 KiB, on lines of 200 Mbit/s.
    MixedSizes,
}

impl Regime {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Healthy,
        Self::HeavyTail,
        Self::Crashed,
        Self::SlowRegion,
        Self::Flapping,
        Self::LateVoters,
        Self::Coalition,
        Self::MixedSizes,
    ];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::HeavyTail => "heavy_tail",
            Self::Crashed => "crashed_24",
            Self::SlowRegion => "slow_region",
            Self::Flapping => "flapping",
            Self::LateVoters => "late_voters",
            Self::Coalition => "coalition",
            Self::MixedSizes => "mixed_sizes",
        }
    }

    /// Whether the network stays as it is during the run: the aim of −45 % speaks of these.
    pub const fn is_stable(self) -> bool {
        matches!(self, Self::Healthy | Self::MixedSizes)
    }

    /// When the regime changes for good or for the first time, in microseconds after the start.
    pub const fn changes_at_us(self, duration_us: u64) -> Option<u64> {
        match self {
            Self::Crashed | Self::Coalition | Self::SlowRegion | Self::Flapping => Some(duration_us / 4),
            _ => None,
        }
    }

    /// The scenario of one run.
    pub fn scenario(self, validators: u16, seed: u64, duration_us: u64) -> Scenario {
        let mut scenario = Scenario {
            about: format!("study: {}", self.name()),
            validators,
            seed,
            cpu: Cpu::measured_768(),
            values: duration_us / VALUE_EVERY_US,
            value_every_us: VALUE_EVERY_US,
            value_bytes: 200,
            duration_us,
            ..Scenario::default()
        };
        scenario.links.delay_min_us = 4_000;
        scenario.links.delay_max_us = 8_000;
        scenario.links.jitter_us = 1_000;
        let from_us = duration_us / 4;
        let last = |count: u16| -> Vec<u16> { (validators - count..validators).collect() };
        let weather = |senders: Vec<u16>, both_ways, flap, effect| {
            let to_us = duration_us;
            Fault::Weather(Weather { from_us, to_us, senders, receivers: Vec::new(), both_ways, flap, effect })
        };
        let fifth = validators.div_ceil(5);
        match self {
            Self::Healthy => {}
            Self::HeavyTail => {
                scenario.links.spike_per_mille = 150;
                scenario.links.spike_us = 40_000;
            }
            Self::Crashed => {
                let count = (u32::from(validators) * 24 / 100).max(1) as u16;
                let crash = |validator| Fault::Crash { validator, at_us: from_us, back_at_us: None };
                scenario.faults = last(count).into_iter().map(crash).collect();
            }
            Self::SlowRegion => {
                let flap = Some(Flap { period_us: 1_500_000, on_us: 600_000 });
                scenario.faults = vec![weather(last(validators.div_ceil(4)), true, flap, LinkEffect::Delay(60_000))];
            }
            Self::Flapping => {
                let flap = Some(Flap { period_us: 2_000_000, on_us: 500_000 });
                let one = |(turn, validator): (usize, u16)| {
                    let Fault::Weather(cut) = weather(vec![validator], true, flap, LinkEffect::Cut) else {
                        return None;
                    };
                    let from_us = from_us + turn as u64 * 500_000;
                    Some(Fault::Weather(Weather { from_us, ..cut }))
                };
                scenario.faults = last(fifth).into_iter().enumerate().filter_map(one).collect();
            }
            Self::LateVoters => {
                let Fault::Weather(late) = weather(last(fifth), false, None, LinkEffect::Delay(25_000)) else {
                    return scenario;
                };
                scenario.faults = vec![Fault::Weather(Weather { from_us: 0, ..late })];
            }
            Self::Coalition => {
                let flap = Some(Flap { period_us: 2_000_000, on_us: 800_000 });
                let withheld = LinkEffect::Delay(2_000_000);
                let members = tolerated(validators);
                let crash = Fault::Crash { validator: validators - members - 1, at_us: from_us, back_at_us: None };
                scenario.faults = vec![weather(last(members), false, flap, withheld), crash];
            }
            Self::MixedSizes => {
                scenario.large_value_every = 10;
                scenario.large_value_bytes = 48 * 1024;
                scenario.links.uplink_bits_per_s = 200_000_000;
            }
        }
        scenario
    }
}

/// Time between two values.
const VALUE_EVERY_US: u64 = 5_000;

/// f of the network, as derived.
pub(crate) fn tolerated(validators: u16) -> u16 {
    let ratio = |value| consensus::params::Ratio::new(value);
    let (Ok(lo), Ok(hi)) = (ratio(6_000), ratio(8_000)) else { return 1 };
    consensus::params::derive(u32::from(validators), None, None, lo, hi).map_or(1, |quorum| quorum.f() as u16)
}
