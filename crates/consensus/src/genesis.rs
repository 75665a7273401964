//! The genesis: what all members of a network agree on before the first block, as JSON for people and bytes for hashing.

use std::sync::Arc;

use crypto::{Digest, PublicKey, SecurityLevel};
use serde::{Deserialize, Serialize};

use crate::bounds::{MAX_NAME_BYTES, MAX_NUMBER, MAX_PUBLIC_KEY_BYTES};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::config::{
    ConfigError, EpochConfig, IdentityKey, LeaderSchedule, Limits, Member, SecurityPolicy, ThresholdRatios, check_name,
};
use crate::params::{ParamError, QuorumParams, Ratio};
use crate::types::{Epoch, Timestamp};

/// Domain tag of the chain id.
pub const GENESIS_TAG: &str = "agent-mesh/genesis/v1";
/// The only format version so far.
pub const GENESIS_FORMAT: u32 = 1;

/// What all members of a network agree on before the first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The network's name.
    pub network: String,
    /// When the genesis was made; the chain time of height 0.
    pub created: Timestamp,
    /// The configuration of epoch 0.
    pub config: Arc<EpochConfig>,
}

/// Why a genesis is refused.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The file is not the JSON form.
    #[error("the genesis file is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A newer or foreign format.
    #[error("the genesis file has format {0}, this build reads format {GENESIS_FORMAT}")]
    Format(u32),
    /// The network's name is not usable.
    #[error("network name {0:?} is not usable: {1}")]
    Network(String, &'static str),
    /// A thresholds entry is not a multiple of 100 ppm in (0, 1,000,000].
    #[error(
        "thresholds.{name} is {ppm} ppm; it must be a multiple of 100 in 100..=1000000 (a decimal of at most four places)"
    )]
    Ppm {
        /// Name of the ratio.
        name: &'static str,
        /// Its value.
        ppm: u32,
    },
    /// The quorum numbers are not safe.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// Something else in the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name in the file is unknown.
    #[error("security_level {0:?} is unknown; use standard, high or cnsa")]
    Policy(String),
    /// Not a time.
    #[error("created_us is {0}, which is not a time in microseconds since the Unix epoch")]
    Created(u64),
    /// A network begins with epoch 0.
    #[error("the genesis has epoch {0}; a network begins with epoch 0")]
    Epoch(Epoch),
    /// Indices are not 0, 1, 2, … in order.
    #[error("validators must be listed with index 0, 1, 2, …; place {place} has index {index}")]
    Index {
        /// Place in the list.
        place: usize,
        /// Index found there.
        index: u16,
    },
    /// The identity key's text is not `id:hex`.
    #[error("validator {0}: identity_key must be null or \"<algorithm id>:<hex>\"")]
    Identity(usize),
}

impl Genesis {
    /// The chain id: the hash of the canonical genesis. It is also the hash of the genesis block.
    pub fn chain_id(&self) -> Digest {
        self.config.hash_algorithm().hash(GENESIS_TAG, &[&self.to_bytes()])
    }

    /// Checks names, keys, limits and policy.
    pub fn check(&self) -> Result<(), GenesisError> {
        check_name(&self.network).map_err(|why| GenesisError::Network(self.network.clone(), why))?;
        if self.created.get() > MAX_NUMBER {
            return Err(GenesisError::Created(self.created.get()));
        }
        if self.config.epoch != Epoch::ZERO {
            return Err(GenesisError::Epoch(self.config.epoch));
        }
        let too_long = |key: &IdentityKey| key.bytes.len() > MAX_PUBLIC_KEY_BYTES;
        if let Some(at) = self.config.members.iter().position(|m| m.identity_key.as_ref().is_some_and(too_long)) {
            return Err(GenesisError::Identity(at));
        }
        Ok(self.config.check()?)
    }

    /// Reads and checks the JSON form.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let genesis = serde_json::from_str::<GenesisFile>(text)?.into_genesis()?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The JSON form, for people.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(&GenesisFile::from_genesis(self));
        text.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }
}

impl Encode for Genesis {
    fn encode(&self, out: &mut Writer) {
        out.u32(GENESIS_FORMAT);
        out.bytes(self.network.as_bytes());
        out.u64(self.created.get());
        self.config.encode(out);
    }
}

impl Decode for Genesis {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.u32("format")? != GENESIS_FORMAT {
            return Err(DecodeError::Invalid("format"));
        }
        let network = input.text(MAX_NAME_BYTES, "network name")?;
        let created = input.time("created")?;
        let config = Arc::new(EpochConfig::decode(input)?);
        Ok(Self { network, created, config })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisFile {
    format: u32,
    network: String,
    /// Microseconds since the Unix epoch.
    created_us: u64,
    level: SecurityLevel,
    security_level: String,
    epoch: u64,
    validators: Vec<ValidatorEntry>,
    max_byzantine: u32,
    max_crashed: u32,
    thresholds: Thresholds,
    fast_path: bool,
    leader_schedule: ScheduleName,
    sizes: Sizes,
    max_timeout_ms: u64,
    clock_drift_ms_max: u64,
    finality_lag_views: u64,
    key_rotation_interval_s: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScheduleName {
    RoundRobin,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorEntry {
    index: u16,
    name: String,
    address: String,
    session_key: PublicKey,
    link_key: PublicKey,
    identity_key: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    base_ppm: u32,
    low_ppm: u32,
    high_ppm: u32,
    q_min: u32,
    q_max: u32,
    q_fast: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    max_value_bytes: u32,
    max_block_bytes: u32,
}

fn ratio_of(name: &'static str, ppm: u32) -> Result<Ratio, GenesisError> {
    if !ppm.is_multiple_of(100) {
        return Err(GenesisError::Ppm { name, ppm });
    }
    Ratio::new(ppm / 100).map_err(|_| GenesisError::Ppm { name, ppm })
}

impl GenesisFile {
    fn into_genesis(self) -> Result<Genesis, GenesisError> {
        if self.format != GENESIS_FORMAT {
            return Err(GenesisError::Format(self.format));
        }
        let policy = SecurityPolicy::from_name(&self.security_level)
            .ok_or_else(|| GenesisError::Policy(self.security_level.clone()))?;
        let t = &self.thresholds;
        let ratios = ThresholdRatios {
            base: ratio_of("base_ppm", t.base_ppm)?,
            low: ratio_of("low_ppm", t.low_ppm)?,
            high: ratio_of("high_ppm", t.high_ppm)?,
        };
        let n = u32::try_from(self.validators.len()).unwrap_or(u32::MAX);
        let quorum = QuorumParams::checked(n, self.max_byzantine, self.max_crashed, t.q_min, t.q_max, t.q_fast)?;
        let mut members = Vec::with_capacity(self.validators.len());
        for (place, entry) in self.validators.into_iter().enumerate() {
            if usize::from(entry.index) != place {
                return Err(GenesisError::Index { place, index: entry.index });
            }
            members.push(entry.into_member(place)?);
        }
        let ScheduleName::RoundRobin = self.leader_schedule;
        let config = EpochConfig {
            epoch: Epoch::new(self.epoch),
            level: self.level,
            policy,
            members,
            quorum,
            ratios,
            fast_path: self.fast_path,
            schedule: LeaderSchedule::RoundRobin,
            limits: Limits {
                max_value_bytes: self.sizes.max_value_bytes,
                max_block_bytes: self.sizes.max_block_bytes,
                max_timeout_ms: self.max_timeout_ms,
                clock_drift_ms_max: self.clock_drift_ms_max,
                finality_lag_views: self.finality_lag_views,
                key_rotation_interval_s: self.key_rotation_interval_s,
            },
        };
        Ok(Genesis { network: self.network, created: Timestamp::new(self.created_us), config: Arc::new(config) })
    }

    fn from_genesis(genesis: &Genesis) -> Self {
        let config = &genesis.config;
        let validators = config
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| ValidatorEntry {
                index: index as u16,
                name: member.name.clone(),
                address: member.address.clone(),
                session_key: member.session_key.clone(),
                link_key: member.link_key.clone(),
                identity_key: member
                    .identity_key
                    .as_ref()
                    .map(|key| format!("{}:{}", key.algorithm, hex::encode(&key.bytes))),
            })
            .collect();
        let ppm = |ratio: Ratio| ratio.ten_thousandths() * 100;
        let (quorum, ratios, limits) = (&config.quorum, &config.ratios, &config.limits);
        Self {
            format: GENESIS_FORMAT,
            network: genesis.network.clone(),
            created_us: genesis.created.get(),
            level: config.level,
            security_level: config.policy.name().to_owned(),
            epoch: config.epoch.get(),
            validators,
            max_byzantine: quorum.f(),
            max_crashed: quorum.c(),
            thresholds: Thresholds {
                base_ppm: ppm(ratios.base),
                low_ppm: ppm(ratios.low),
                high_ppm: ppm(ratios.high),
                q_min: quorum.q_min(),
                q_max: quorum.q_max(),
                q_fast: quorum.q_fast(),
            },
            fast_path: config.fast_path,
            leader_schedule: ScheduleName::RoundRobin,
            sizes: Sizes { max_value_bytes: limits.max_value_bytes, max_block_bytes: limits.max_block_bytes },
            max_timeout_ms: limits.max_timeout_ms,
            clock_drift_ms_max: limits.clock_drift_ms_max,
            finality_lag_views: limits.finality_lag_views,
            key_rotation_interval_s: limits.key_rotation_interval_s,
        }
    }
}

impl ValidatorEntry {
    fn into_member(self, place: usize) -> Result<Member, GenesisError> {
        let identity_key = match self.identity_key {
            None => None,
            Some(text) => {
                let parsed = text.split_once(':').and_then(|(id, hex_text)| {
                    let algorithm = id.parse::<u8>().ok().filter(|id| *id > 0)?;
                    Some(IdentityKey { algorithm, bytes: hex::decode(hex_text).ok()? })
                });
                Some(parsed.ok_or(GenesisError::Identity(place))?)
            }
        };
        Ok(Member {
            name: self.name,
            address: self.address,
            session_key: self.session_key,
            link_key: self.link_key,
            identity_key,
            session_since: Epoch::ZERO,
        })
    }
}
