//! What a simulation runs: a network, its links, its faults and its clients; readable from a JSON file.
//!
//! - [`faults`]: what goes wrong.
//! - [`random`]: scenarios drawn from a seed.

mod faults;
mod random;

use std::collections::BTreeSet;

use consensus::replica::Settings;
use crypto::SecurityLevel;
use serde::{Deserialize, Serialize};

pub use self::faults::Fault;
use crate::attack::AttackKind;
use crate::network::Links;
use crate::network::weather::Weather;
use crate::report::Bound;

/// Where virtual time starts: 2026-01-01.
pub const START_US: u64 = 1_767_225_600_000_000;

/// How long flushes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// One flush, in microseconds.
    pub flush_us: u64,
    /// Up to this much is added to each.
    pub jitter_us: u64,
    /// Flushes that stall, in thousandths.
    pub stall_per_mille: u32,
    /// A stall adds up to this much.
    pub stall_us: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self { flush_us: 200, jitter_us: 0, stall_per_mille: 0, stall_us: 0 }
    }
}

/// What computing costs. All zero by default: then computing takes no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cpu {
    /// One signature, in microseconds, on the thread of the core.
    pub sign_us: u64,
    /// One verification, on any of the processors. Messages that came too late to matter are not verified.
    pub verify_us: u64,
    /// Taking one message, on the thread of the core.
    pub message_us: u64,
    /// Processors of each validator; 0 counts as 1.
    pub cores: u32,
}

impl Cpu {
    /// Level 768 on two cores, by the figures of docs/benchmarks.md.
    pub const fn measured_768() -> Self {
        Self { sign_us: 110, verify_us: 36, message_us: 10, cores: 2 }
    }
}

/// How far clocks are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clocks {
    /// Each clock is off by up to this much either way, in microseconds.
    pub offset_us: u64,
    /// Each clock runs faster or slower by up to this many millionths.
    pub drift_ppm: u64,
}

/// Local settings of the replicas: the view timer and its kin. See [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timers {
    /// Δ: the assumed bound on message delay, in microseconds.
    pub delta_us: u64,
    /// Least view timer.
    pub timer_floor_us: u64,
    /// Greatest view timer.
    pub timer_ceiling_us: u64,
    /// An idle network makes a block this often.
    pub heartbeat_us: u64,
    /// The hedge for Finalize.
    pub hedge_us: u64,
}

impl Default for Timers {
    fn default() -> Self {
        let Settings { delta_us, timer_floor_us, timer_ceiling_us, heartbeat_us, hedge_us, .. } = Settings::default();
        Self { delta_us, timer_floor_us, timer_ceiling_us, heartbeat_us, hedge_us }
    }
}

impl Timers {
    /// The replica's settings.
    #[allow(clippy::needless_update, reason = "settings that a scenario does not name keep their defaults")]
    pub(crate) fn settings(self) -> Settings {
        let Self { delta_us, timer_floor_us, timer_ceiling_us, heartbeat_us, hedge_us } = self;
        Settings { delta_us, timer_floor_us, timer_ceiling_us, heartbeat_us, hedge_us, ..Settings::default() }
    }
}

/// A run to be simulated; everything follows from it. Read from JSON strictly: an unknown field is an error, an absent one has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What the scenario shows, for people.
    pub about: String,
    /// Number of validators.
    pub validators: u16,
    /// Seed of all randomness.
    pub seed: u64,
    /// `max_byzantine`, derived if absent.
    pub max_byzantine: Option<u32>,
    /// `max_crashed`, derived if absent.
    pub max_crashed: Option<u32>,
    /// Whether the epoch has the one-round path.
    pub fast_path: bool,
    /// `lattice_dimension` whose signature sizes are counted and sent: 0, 512, 768 or 1024.
    pub level: u32,
    /// The links.
    pub links: Links,
    /// The disks.
    pub disk: Disk,
    /// The processors.
    pub cpu: Cpu,
    /// The clocks.
    pub clocks: Clocks,
    /// Values submitted, each to one validator in turn.
    pub values: u64,
    /// Time between two values.
    pub value_every_us: u64,
    /// Bytes of each value, at least.
    pub value_bytes: u32,
    /// Every so-manieth value has `large_value_bytes` instead; 0 for none.
    pub large_value_every: u64,
    /// Bytes of these, at least.
    pub large_value_bytes: u32,
    /// `timeout_ms` of the values.
    pub value_timeout_ms: u64,
    /// Values in one block, at most.
    pub max_batch_size: usize,
    /// The advised threshold, in votes; clamped by the core.
    pub advised_threshold: u32,
    /// Seconds of an epoch (`key_rotation_interval`).
    pub rotation_s: u64,
    /// Whether validators renew their session keys in every epoch.
    pub rotate: bool,
    /// Local settings.
    pub settings: Timers,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// From then on, in microseconds after the start, links neither lose nor double, and every fault that can end is over; the run then
    /// ends as soon as everything submitted is settled, and the liveness bound in views is checked.
    pub calm_at_us: Option<u64>,
    /// Virtual time of the run.
    pub duration_us: u64,
    /// The run ends when an honest replica reaches this view.
    pub stop_at_view: Option<u64>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            about: String::new(),
            validators: 6,
            seed: 1,
            max_byzantine: None,
            max_crashed: None,
            fast_path: true,
            level: 768,
            links: Links::default(),
            disk: Disk::default(),
            cpu: Cpu::default(),
            clocks: Clocks::default(),
            values: 50,
            value_every_us: 20_000,
            value_bytes: 0,
            large_value_every: 0,
            large_value_bytes: 0,
            value_timeout_ms: 30_000,
            max_batch_size: 100,
            advised_threshold: 0,
            rotation_s: 3_600,
            rotate: true,
            settings: Timers::default(),
            faults: Vec::new(),
            calm_at_us: None,
            duration_us: 20_000_000,
            stop_at_view: None,
        }
    }
}

impl Scenario {
    /// Reads a scenario file.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let scenario: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Refuses what cannot be run.
    pub fn check(&self) -> Result<(), String> {
        if self.validators == 0 || self.validators > 1_000 {
            return Err(format!("validators: {} is not in 1..=1000", self.validators));
        }
        SecurityLevel::from_dimension(self.level).map_err(|error| format!("level: {error}"))?;
        let named: Vec<u16> = self.faults.iter().flat_map(Fault::named).collect();
        if let Some(unknown) = named.iter().find(|index| **index >= self.validators) {
            return Err(format!("faults: validator {unknown} does not exist, there are {}", self.validators));
        }
        if let Some(calm) = self.calm_at_us {
            let late = self.faults.iter().filter_map(Fault::ends_us).find(|end| *end > calm);
            if let Some(end) = late {
                return Err(format!("faults: one lasts until {end} µs, after calm_at_us = {calm}"));
            }
        }
        self.links.layout.regions().map(drop)
    }

    /// The validators that are Byzantine. One that only crashes at the worst moment follows the protocol and is not.
    pub fn byzantine(&self) -> BTreeSet<u16> {
        let attackers = self.faults.iter().filter_map(|fault| match fault {
            Fault::Byzantine { validator, attack } if !attack.is_faithful() => Some(*validator),
            _ => None,
        });
        attackers.collect()
    }

    /// The honest validators that crash and never come back.
    pub fn gone(&self) -> BTreeSet<u16> {
        let gone = self.faults.iter().filter_map(|fault| match fault {
            Fault::Crash { validator, back_at_us: None, .. } => Some(*validator),
            _ => None,
        });
        gone.filter(|index| !self.byzantine().contains(index)).collect()
    }

    /// The attack of a validator, if any.
    pub(crate) fn attack_of(&self, index: u16) -> Option<AttackKind> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Byzantine { validator, attack } if *validator == index => Some(*attack),
            _ => None,
        })
    }

    /// What the network withstands, and whether this scenario stays within it: f Byzantine validators, and c crashed ones, and those of
    /// the f that are not Byzantine may be crashed as well.
    pub fn bound(&self) -> Bound {
        let Ok((genesis, _)) = crate::genesis::network(self) else { return Bound::default() };
        let quorum = &genesis.config.quorum;
        let (byzantine, gone) = (self.byzantine().len() as u32, self.gone().len() as u32);
        let kept = byzantine <= quorum.f() && byzantine + gone <= quorum.f() + quorum.c();
        Bound { max_byzantine: quorum.f(), max_crashed: quorum.c(), kept }
    }

    /// Everything that happens to links, partitions included.
    pub(crate) fn weather(&self) -> Vec<Weather> {
        let weather = self.faults.iter().filter_map(|fault| match fault {
            Fault::Weather(weather) => Some(weather.clone()),
            Fault::Partition { side, from_us, to_us } => {
                Some(Weather::partition(side.clone(), self.validators, *from_us, *to_us))
            }
            _ => None,
        });
        weather.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_reads_back_as_itself() {
        let scenario = Scenario {
            faults: vec![
                Fault::Partition { side: vec![1], from_us: 1, to_us: 2 },
                Fault::Crash { validator: 2, at_us: 3, back_at_us: None },
            ],
            ..Scenario::default()
        };
        let text = serde_json::to_string(&scenario).unwrap();
        assert_eq!(Scenario::from_json(&text).unwrap(), scenario);
        assert_eq!(Scenario::from_json("{}").unwrap(), Scenario::default());
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (text, place) in [
            (r#"{"validatorz": 4}"#, "validatorz"),
            (r#"{"validators": 0}"#, "validators"),
            (r#"{"level": 700}"#, "level"),
            (r#"{"links": {"layout": "mars"}}"#, "layout"),
            (r#"{"faults": [{"crash": {"validator": 6, "at_us": 1, "back_at_us": null}}]}"#, "validator 6"),
            (r#"{"calm_at_us": 5, "faults": [{"partition": {"side": [1], "from_us": 1, "to_us": 9}}]}"#, "calm_at_us"),
        ] {
            let error = Scenario::from_json(text).unwrap_err();
            assert!(error.contains(place), "{text}: {error}");
        }
    }
}
