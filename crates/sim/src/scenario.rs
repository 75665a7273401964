//! What a simulation runs: a network, its links, its faults and its clients.

use std::sync::Arc;

use consensus::config::{EpochConfig, IdentityKey, LeaderSchedule, Limits, Member, SecurityPolicy, ThresholdRatios};
use consensus::genesis::Genesis;
use consensus::params::{Ratio, derive};
use consensus::replica::Settings;
use consensus::types::{Epoch, Timestamp};
use crypto::{SecurityLevel, SignatureAlgorithm, SigningKey};

use crate::attack::AttackKind;
use crate::keys::Keys;

/// Where virtual time starts: 2026-01-01.
pub const START_US: u64 = 1_767_225_600_000_000;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The validator is Byzantine in this way throughout.
    Byzantine {
        /// Which validator.
        validator: u16,
        /// What it does.
        attack: AttackKind,
    },
    /// The process dies at this time, losing what was not flushed; it comes back later, if at all.
    Crash {
        /// Which validator.
        validator: u16,
        /// When, in microseconds after the start.
        at_us: u64,
        /// When it starts again.
        back_at_us: Option<u64>,
    },
    /// Messages between the two sides are lost for a while.
    Partition {
        /// Validators of one side, as a bit set (validators 0 to 63).
        side: u64,
        /// From when, in microseconds after the start.
        from_us: u64,
        /// Until when.
        to_us: u64,
    },
}

/// A run to be simulated; everything follows from it.
#[derive(Clone, Debug)]
pub struct Scenario {
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
    /// Least one-way delay of a message, in microseconds.
    pub delay_min_us: u64,
    /// Greatest one-way delay.
    pub delay_max_us: u64,
    /// Messages lost, in thousandths.
    pub loss_per_mille: u32,
    /// Messages delivered twice, in thousandths.
    pub duplicate_per_mille: u32,
    /// Time of a flush to disk.
    pub flush_us: u64,
    /// Values submitted, each to one validator in turn.
    pub values: u64,
    /// Time between two values.
    pub value_every_us: u64,
    /// `timeout_ms` of the values.
    pub value_timeout_ms: u64,
    /// The advised threshold, in votes; clamped by the core.
    pub advised_threshold: u32,
    /// Seconds of an epoch (`key_rotation_interval`).
    pub rotation_s: u64,
    /// Whether validators renew their session keys in every epoch.
    pub rotate: bool,
    /// Local settings.
    pub settings: Settings,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Virtual time of the run.
    pub duration_us: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            validators: 6,
            seed: 1,
            max_byzantine: None,
            max_crashed: None,
            fast_path: true,
            delay_min_us: 1_000,
            delay_max_us: 10_000,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            flush_us: 200,
            values: 50,
            value_every_us: 20_000,
            value_timeout_ms: 30_000,
            advised_threshold: 0,
            rotation_s: 3_600,
            rotate: true,
            settings: Settings::default(),
            faults: Vec::new(),
            duration_us: 20_000_000,
        }
    }
}

/// A network for tests: the genesis and the session keys, made from fixed seeds at the classical level (fast and repeatable).
pub fn network(scenario: &Scenario) -> Result<(Genesis, Vec<Keys>), String> {
    let lo = Ratio::new(6_000).map_err(|e| e.to_string())?;
    let hi = Ratio::new(8_000).map_err(|e| e.to_string())?;
    let base = Ratio::new(6_700).map_err(|e| e.to_string())?;
    let n = u32::from(scenario.validators);
    let quorum = derive(n, scenario.max_byzantine, scenario.max_crashed, lo, hi).map_err(|e| e.to_string())?;
    let mut members = Vec::new();
    let mut keys = Vec::new();
    for index in 0..scenario.validators {
        let seed = |kind: u8| {
            let mut seed = [kind; 32];
            seed[..2].copy_from_slice(&index.to_be_bytes());
            seed
        };
        let session = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &seed(1)).map_err(|e| e.to_string())?;
        let link = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &seed(2)).map_err(|e| e.to_string())?;
        let identity = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &seed(3)).map_err(|e| e.to_string())?;
        members.push(Member {
            name: format!("v{index}"),
            address: format!("sim:{}", index + 1),
            session_key: session.public_key(),
            link_key: link.public_key(),
            identity_key: Some(IdentityKey::from(&identity.public_key())),
            session_since: Epoch::ZERO,
        });
        keys.push(Keys::new(index, session, identity));
    }
    let config = EpochConfig {
        epoch: Epoch::ZERO,
        level: SecurityLevel::Classical,
        policy: SecurityPolicy::Standard,
        members,
        quorum,
        ratios: ThresholdRatios { base, low: lo, high: hi },
        fast_path: scenario.fast_path,
        schedule: LeaderSchedule::RoundRobin,
        limits: Limits {
            max_value_bytes: 65_536,
            max_block_bytes: 4 * 1024 * 1024,
            max_timeout_ms: 3_600_000,
            clock_drift_ms_max: 500,
            finality_lag_views: 4,
            key_rotation_interval_s: scenario.rotation_s,
        },
    };
    let genesis = Genesis { network: "sim".to_owned(), created: Timestamp::new(START_US), config: Arc::new(config) };
    genesis.check().map_err(|e| e.to_string())?;
    Ok((genesis, keys))
}
