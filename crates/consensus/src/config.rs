//! The epoch configuration: members, keys and every parameter that decides validity.

use std::collections::BTreeSet;
use std::sync::Arc;

use crypto::{Digest, HashAlgorithm, PublicKey, SecurityLevel, SignatureAlgorithm};

use crate::bounds::{
    MAX_ADDRESS_BYTES, MAX_BLOCK_BYTES, MAX_KEY_EPOCHS, MAX_NAME_BYTES, MAX_PUBLIC_KEY_BYTES, MAX_VALIDATORS,
    MAX_VALUE_BYTES,
};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::params::{QuorumParams, Ratio};
use crate::types::{Epoch, ValidatorIndex, View};

/// Domain tag of a configuration's hash.
pub const CONFIG_TAG: &str = "agent-mesh/config/v1";

/// How strictly a network holds its members to the quantum-resistant rules (REQUIREMENTS section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityPolicy {
    /// Post-quantum votes and links.
    Standard,
    /// Also: rotation cannot be switched off.
    High,
    /// Only dimension 1024, the CNSA 2.0 set.
    Cnsa,
}

impl SecurityPolicy {
    /// The name in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::High => "high",
            Self::Cnsa => "cnsa",
        }
    }

    /// The policy with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Standard, Self::High, Self::Cnsa].into_iter().find(|policy| policy.name() == name)
    }

    /// Its byte in the canonical form; a stricter policy has a greater one.
    pub const fn wire_id(self) -> u8 {
        match self {
            Self::Standard => 1,
            Self::High => 2,
            Self::Cnsa => 3,
        }
    }
}

/// A long-term identity key: signs rotations and membership changes (PROTOCOL section 7), never votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityKey {
    /// The scheme's id in the registry of docs/formats.md.
    pub algorithm: u8,
    /// The public key in the scheme's own form.
    pub bytes: Vec<u8>,
}

impl IdentityKey {
    /// Whether `signature` is this identity's over `message` under `domain`.
    pub fn verify(&self, domain: &str, message: &[u8], signature: &[u8]) -> bool {
        SignatureAlgorithm::from_wire_id(self.algorithm)
            .and_then(|algorithm| PublicKey::from_bytes(algorithm, &self.bytes))
            .is_ok_and(|key| key.verify(domain, message, signature).is_ok())
    }
}

impl From<&PublicKey> for IdentityKey {
    fn from(key: &PublicKey) -> Self {
        Self { algorithm: key.algorithm().wire_id(), bytes: key.as_bytes().to_vec() }
    }
}

/// One validator of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The validator's name, unique in the network.
    pub name: String,
    /// Where its links are served: `host:port`.
    pub address: String,
    /// Signs headers and votes.
    pub session_key: PublicKey,
    /// Authenticates its links.
    pub link_key: PublicKey,
    /// Its long-term identity: signs rotations and membership changes. Without one its keys cannot change.
    pub identity_key: Option<IdentityKey>,
    /// The epoch since which the session key is in use.
    pub session_since: Epoch,
}

/// Who leads which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderSchedule {
    /// members[(v + epoch) mod n].
    RoundRobin,
}

/// Sizes and times that decide validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one value.
    pub max_value_bytes: u32,
    /// Bytes of one block's encoded body.
    pub max_block_bytes: u32,
    /// A deadline lies at most this far after its block's time, in milliseconds.
    pub max_timeout_ms: u64,
    /// A block dated further ahead of a replica's clock waits, in milliseconds.
    pub clock_drift_ms_max: u64,
    /// K: views without finality after which leaders fall back to q_min.
    pub finality_lag_views: u64,
    /// Seconds between key rotations.
    pub key_rotation_interval_s: u64,
}

/// The ratios from which thresholds are chosen inside [q_min, q_max].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThresholdRatios {
    /// The middle value of the default rule.
    pub base: Ratio,
    /// The low end of `adaptive_range`.
    pub low: Ratio,
    /// The high end of `adaptive_range`.
    pub high: Ratio,
}

/// Everything that decides validity in one epoch. Its hash is exchanged on every link; a difference is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochConfig {
    /// The epoch's number.
    pub epoch: Epoch,
    /// Algorithms of the epoch.
    pub level: SecurityLevel,
    /// Policy of the network.
    pub policy: SecurityPolicy,
    /// Validators in order; a [`ValidatorIndex`] is a place in this list.
    pub members: Vec<Member>,
    /// Quorum numbers.
    pub quorum: QuorumParams,
    /// Ratios behind them.
    pub ratios: ThresholdRatios,
    /// Whether q_fast votes finalize in one round.
    pub fast_path: bool,
    /// Leader schedule.
    pub schedule: LeaderSchedule,
    /// Sizes and times.
    pub limits: Limits,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Number of members and n differ, or there are too many.
    #[error("the member list has {members} validators, the quorum numbers are for {n}")]
    MemberCount {
        /// Members listed.
        members: usize,
        /// n of the quorum numbers.
        n: u32,
    },
    /// A name or address is empty, too long or has odd characters.
    #[error("validator {index}: {field} {value:?} is not usable: {why}")]
    Text {
        /// Index of the validator.
        index: usize,
        /// Which field.
        field: &'static str,
        /// What was found.
        value: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Two validators share something that must be unique.
    #[error("validators {first} and {second} have the same {what}; each needs its own")]
    Duplicate {
        /// First validator.
        first: usize,
        /// Second validator.
        second: usize,
        /// What they share.
        what: &'static str,
    },
    /// A key's algorithm is not the level's.
    #[error("validator {index}: the {which} key is {found}, level {level} needs {wanted}")]
    KeyAlgorithm {
        /// Index of the validator.
        index: usize,
        /// session or link.
        which: &'static str,
        /// Algorithm of the key.
        found: &'static str,
        /// Algorithm of the level.
        wanted: &'static str,
        /// The level's dimension.
        level: u32,
    },
    /// A limit is outside its range.
    #[error("{name} is {value}, the range is {min} to {max}")]
    Limit {
        /// Name of the limit.
        name: &'static str,
        /// Its value.
        value: u64,
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// The policy and the level exclude each other.
    #[error("security_level {policy} needs lattice_dimension {needed}, the network has {found}")]
    Policy {
        /// The policy.
        policy: &'static str,
        /// Its dimension.
        needed: &'static str,
        /// The dimension found.
        found: u32,
    },
}

impl EpochConfig {
    /// Number of validators.
    pub fn n(&self) -> usize {
        self.members.len()
    }

    /// The validator that leads `view`.
    pub fn leader(&self, view: View) -> ValidatorIndex {
        let LeaderSchedule::RoundRobin = self.schedule;
        let turn = (view.get() % self.n() as u64 + self.epoch.get() % self.n() as u64) % self.n() as u64;
        ValidatorIndex::new(turn as u16)
    }

    /// The member at `index`, if there is one.
    pub fn member(&self, index: ValidatorIndex) -> Option<&Member> {
        self.members.get(index.as_usize())
    }

    /// The index of the validator named `name`.
    pub fn index_of(&self, name: &str) -> Option<ValidatorIndex> {
        self.members.iter().position(|member| member.name == name).map(|at| ValidatorIndex::new(at as u16))
    }

    /// Epochs for which the session key of a validator is in use.
    pub fn key_age(&self, index: ValidatorIndex) -> u64 {
        self.member(index).map_or(0, |member| self.epoch.get().saturating_sub(member.session_since.get()))
    }

    /// Validators whose session key is older than [`MAX_KEY_EPOCHS`] although they have an identity to renew it with: they do not vote
    /// until they rotate. Never more than c of them, the oldest first, so that a quorum always remains (docs/decisions/0011).
    pub fn void(&self) -> BTreeSet<ValidatorIndex> {
        let old = self.indices().filter(|index| {
            self.key_age(*index) > MAX_KEY_EPOCHS && self.member(*index).is_some_and(|m| m.identity_key.is_some())
        });
        let mut old: Vec<ValidatorIndex> = old.collect();
        old.sort_by_key(|index| (std::cmp::Reverse(self.key_age(*index)), *index));
        old.into_iter().take(self.quorum.c() as usize).collect()
    }

    /// All validators' indices.
    pub fn indices(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        (0..self.members.len() as u16).map(ValidatorIndex::new)
    }

    /// The level's hash function.
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        self.level.hash_algorithm()
    }

    /// The configuration's hash.
    pub fn hash(&self) -> Digest {
        self.hash_algorithm().hash(CONFIG_TAG, &[&self.to_bytes()])
    }

    /// Checks everything that the types do not: names, keys, limits, policy.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.members.len() != self.quorum.n() as usize || self.members.len() > MAX_VALIDATORS {
            return Err(ConfigError::MemberCount { members: self.members.len(), n: self.quorum.n() });
        }
        if self.policy == SecurityPolicy::Cnsa && self.level != SecurityLevel::Level1024 {
            return Err(ConfigError::Policy { policy: "cnsa", needed: "1024", found: self.level.dimension() });
        }
        let ThresholdRatios { low, high, .. } = self.ratios;
        if low > high {
            let (name, value, max) = ("adaptive_range low end", low.ten_thousandths(), high.ten_thousandths());
            return Err(ConfigError::Limit { name, value: value.into(), min: 1, max: max.into() });
        }
        self.check_members()?;
        self.check_limits()
    }

    fn check_members(&self) -> Result<(), ConfigError> {
        for (index, member) in self.members.iter().enumerate() {
            check_name(&member.name).map_err(|why| ConfigError::Text {
                index,
                field: "name",
                value: member.name.clone(),
                why,
            })?;
            let address_ok = member.address.len() <= MAX_ADDRESS_BYTES
                && member
                    .address
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
            if !address_ok {
                return Err(ConfigError::Text {
                    index,
                    field: "address",
                    value: member.address.clone(),
                    why: "it must be host:port with at most 256 bytes",
                });
            }
            self.check_key(index, "session", &member.session_key, self.level.signature_algorithm())?;
            self.check_key(index, "link", &member.link_key, self.level.link_signature_algorithm())?;
        }
        self.check_distinct("name", |member| member.name.as_bytes())?;
        self.check_distinct("address", |member| member.address.as_bytes())?;
        self.check_distinct("session key", |member| member.session_key.as_bytes())?;
        self.check_distinct("link key", |member| member.link_key.as_bytes())?;
        for (first, member) in self.members.iter().enumerate() {
            let same = |other: &Member| other.link_key.as_bytes() == member.session_key.as_bytes();
            if let Some(second) = self.members.iter().position(same) {
                return Err(ConfigError::Duplicate { first, second, what: "key for votes and for links" });
            }
        }
        Ok(())
    }

    fn check_key(
        &self,
        index: usize,
        which: &'static str,
        key: &PublicKey,
        wanted: SignatureAlgorithm,
    ) -> Result<(), ConfigError> {
        if key.algorithm() == wanted {
            return Ok(());
        }
        let level = self.level.dimension();
        Err(ConfigError::KeyAlgorithm { index, which, found: key.algorithm().name(), wanted: wanted.name(), level })
    }

    fn check_distinct<'a>(
        &'a self,
        what: &'static str,
        field: impl Fn(&'a Member) -> &'a [u8],
    ) -> Result<(), ConfigError> {
        let mut seen = std::collections::BTreeMap::new();
        for (second, member) in self.members.iter().enumerate() {
            if let Some(first) = seen.insert(field(member), second) {
                return Err(ConfigError::Duplicate { first, second, what });
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let ranges = [
            ("max_value_bytes", u64::from(limits.max_value_bytes), 1, u64::from(MAX_VALUE_BYTES)),
            (
                "max_block_bytes",
                u64::from(limits.max_block_bytes),
                u64::from(limits.max_value_bytes) + crate::body::BODY_OVERHEAD_BYTES as u64,
                u64::from(MAX_BLOCK_BYTES),
            ),
            ("max_timeout_ms", limits.max_timeout_ms, 1_000, 86_400_000),
            ("clock_drift_ms_max", limits.clock_drift_ms_max, 1, 60_000),
            ("finality_lag_views", limits.finality_lag_views, 1, 1_000),
            ("key_rotation_interval", limits.key_rotation_interval_s, 5, 31_536_000),
        ];
        for (name, value, min, max) in ranges {
            if value < min || value > max {
                return Err(ConfigError::Limit { name, value, min, max });
            }
        }
        Ok(())
    }
}

/// Whether `name` can name a validator: 1 to 64 letters, digits, `-`, `_` or `.`, not starting with a dot.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.starts_with('.') || !name.bytes().all(fine) {
        return Err("use 1 to 64 letters, digits, '-', '_' or '.', not starting with a dot");
    }
    Ok(())
}

/// A shared configuration.
pub type SharedConfig = Arc<EpochConfig>;

impl Encode for EpochConfig {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.epoch.get());
        out.u8(self.level.wire_id());
        out.u8(self.policy.wire_id());
        out.count(self.members.len());
        for member in &self.members {
            out.bytes(member.name.as_bytes());
            out.bytes(member.address.as_bytes());
            encode_key(out, &member.session_key);
            encode_key(out, &member.link_key);
            match &member.identity_key {
                None => out.u8(0),
                Some(identity) => {
                    out.u8(identity.algorithm);
                    out.bytes(&identity.bytes);
                }
            }
            if self.epoch > Epoch::ZERO {
                out.u64(member.session_since.get());
            }
        }
        let q = &self.quorum;
        for number in [q.n(), q.f(), q.c(), q.q_min(), q.q_max(), q.q_fast()] {
            out.u32(number);
        }
        for ratio in [self.ratios.base, self.ratios.low, self.ratios.high] {
            out.u32(ratio.ten_thousandths());
        }
        out.bool(self.fast_path);
        let LeaderSchedule::RoundRobin = self.schedule;
        out.u8(0);
        out.u32(self.limits.max_value_bytes);
        out.u32(self.limits.max_block_bytes);
        out.u64(self.limits.max_timeout_ms);
        out.u64(self.limits.clock_drift_ms_max);
        out.u64(self.limits.finality_lag_views);
        out.u64(self.limits.key_rotation_interval_s);
    }
}

impl Decode for EpochConfig {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = input.epoch()?;
        let level = SecurityLevel::from_wire_id(input.u8("level")?).map_err(|_| DecodeError::Invalid("level"))?;
        let policy = match input.u8("policy")? {
            1 => SecurityPolicy::Standard,
            2 => SecurityPolicy::High,
            3 => SecurityPolicy::Cnsa,
            _ => return Err(DecodeError::Invalid("policy")),
        };
        let members = input.list(MAX_VALIDATORS, "members", |input| decode_member(input, epoch))?;
        let mut q = [0; 6];
        for number in &mut q {
            *number = input.u32("quorum number")?;
        }
        let quorum = QuorumParams::checked(q[0], q[1], q[2], q[3], q[4], q[5])
            .map_err(|_| DecodeError::Invalid("quorum numbers"))?;
        let mut ratio = || Ratio::new(input.u32("ratio")?).map_err(|_| DecodeError::Invalid("ratio"));
        let ratios = ThresholdRatios { base: ratio()?, low: ratio()?, high: ratio()? };
        let fast_path = input.bool("fast_path")?;
        if input.u8("schedule")? != 0 {
            return Err(DecodeError::Invalid("schedule"));
        }
        let limits = Limits {
            max_value_bytes: input.u32("max_value_bytes")?,
            max_block_bytes: input.u32("max_block_bytes")?,
            max_timeout_ms: input.number("max_timeout_ms")?,
            clock_drift_ms_max: input.number("clock_drift_ms_max")?,
            finality_lag_views: input.number("finality_lag_views")?,
            key_rotation_interval_s: input.number("key_rotation_interval")?,
        };
        let schedule = LeaderSchedule::RoundRobin;
        Ok(Self { epoch, level, policy, members, quorum, ratios, fast_path, schedule, limits })
    }
}

fn decode_member(input: &mut Reader<'_>, epoch: Epoch) -> Result<Member, DecodeError> {
    let name = input.text(MAX_NAME_BYTES, "name")?;
    let address = input.text(MAX_ADDRESS_BYTES, "address")?;
    let session_key = decode_key(input)?;
    let link_key = decode_key(input)?;
    let identity_key = match input.u8("identity algorithm")? {
        0 => None,
        algorithm => {
            Some(IdentityKey { algorithm, bytes: input.bytes(MAX_PUBLIC_KEY_BYTES, "identity key")?.to_vec() })
        }
    };
    // In the first epoch every key is of this epoch, so that a genesis does not say it.
    let session_since = if epoch > Epoch::ZERO { input.epoch()? } else { Epoch::ZERO };
    if session_since > epoch {
        return Err(DecodeError::Invalid("epoch of the session key"));
    }
    Ok(Member { name, address, session_key, link_key, identity_key, session_since })
}

/// Writes a public key with its algorithm.
pub(crate) fn encode_key(out: &mut Writer, key: &PublicKey) {
    out.u8(key.algorithm().wire_id());
    out.bytes(key.as_bytes());
}

/// Reads a public key with its algorithm.
pub(crate) fn decode_key(input: &mut Reader<'_>) -> Result<PublicKey, DecodeError> {
    let algorithm = SignatureAlgorithm::from_wire_id(input.u8("key algorithm")?)
        .map_err(|_| DecodeError::Invalid("key algorithm"))?;
    let bytes = input.bytes(MAX_PUBLIC_KEY_BYTES, "public key")?;
    PublicKey::from_bytes(algorithm, bytes).map_err(|_| DecodeError::Invalid("public key"))
}
