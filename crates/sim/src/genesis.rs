//! The network of a scenario: its genesis, and keys from fixed seeds.

use std::sync::Arc;

use consensus::config::{EpochConfig, IdentityKey, LeaderSchedule, Limits, Member, SecurityPolicy, ThresholdRatios};
use consensus::genesis::Genesis;
use consensus::params::{Ratio, derive};
use consensus::types::{Epoch, Timestamp};
use crypto::{SecurityLevel, SignatureAlgorithm, SigningKey};

use crate::keys::Keys;
use crate::scenario::{START_US, Scenario};

/// A network for tests: the genesis and the keys, made from fixed seeds at the classical level (fast and repeatable). The bytes
/// of messages are counted at the scenario's level all the same.
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
