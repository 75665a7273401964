//! Setting up: the keys and the public file of a validator, and the genesis of a network.

mod local;
mod public_file;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::bounds::MAX_ADDRESS_BYTES;
use consensus::config::{
    EpochConfig, IdentityKey as NamedIdentity, LeaderSchedule, Limits, Member, ThresholdRatios, check_name,
};
use consensus::genesis::{Genesis, GenesisError};
use consensus::params::{self, ParamError, QuorumParams};
use consensus::types::{Epoch, Timestamp};
use crypto::{
    CryptoError, IdentityError, IdentityKey, IdentityScheme, KeyFile, KeyFileError, KeyKind, SecurityLevel, SigningKey,
};
use serde_json::{Map, Value, json};

use crate::config::{Config, ConfigError, Warning};
use crate::home::Home;

pub use local::{LINK_PORT_OFFSET, LocalNetwork, create_local, local_network, open_local};
pub use public_file::{PUBLIC_TAG, PublicFile, PublicFileError};

/// K of docs/protocol.md section 3: views without finality after which leaders fall back to q_min.
pub const FINALITY_LAG_VIEWS: u64 = 4;

/// Why a validator or a network cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The directory is in use.
    #[error("{0} exists already, and nothing is overwritten: choose another directory, or move this one away")]
    Exists(PathBuf),
    /// The directory belongs to another network.
    #[error("{path} is of another network: {why}")]
    OtherNetwork {
        /// The directory or file.
        path: PathBuf,
        /// What differs, and what to do.
        why: String,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {source}; check the path, its owner and the free space")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The validator's name.
    #[error("the name {0:?} is not usable: {1}")]
    Name(String, &'static str),
    /// The validator's address.
    #[error(
        "the address {0:?} is not usable: give host:port, where the other validators reach this one, for instance v0.example.org:9080"
    )]
    Address(String),
    /// The configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A public file.
    #[error("{0}")]
    Public(#[from] PublicFileError),
    /// Two public files, or a public file and the configuration, have different levels.
    #[error(
        "{first} has level {first_level}, {second} has level {second_level}: all validators of a network have the same lattice_dimension"
    )]
    Levels {
        /// Who.
        first: String,
        /// Its level.
        first_level: SecurityLevel,
        /// Who else.
        second: String,
        /// Its level.
        second_level: SecurityLevel,
    },
    /// The numbers of validators and faults.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// The genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A key.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Too many validators, or ports beyond the last one.
    #[error("{0}")]
    Size(String),
}

/// A configuration file as it was given, and what it means.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    object: Map<String, Value>,
    /// The effective configuration, environment included.
    pub config: Config,
    /// What the operator should know about it.
    pub warnings: Vec<Warning>,
}

impl ConfigSource {
    /// Reads the text of a configuration file; `env` looks up environment variables. `{}` means the defaults.
    pub fn new(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SetupError> {
        let (config, warnings) = Config::load(text, env)?;
        // Only the syntax could be wrong, and Config::load has just read it.
        let object = serde_json::from_str(text).map_err(|error| ConfigError::Json(error.to_string()))?;
        Ok(Self { object, config, warnings })
    }

    /// The same with another security level.
    pub fn with_level(
        mut self,
        level: SecurityLevel,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SetupError> {
        set(&mut self.object, "quantum_security", "lattice_dimension", json!(level.dimension()));
        Self::new(&Value::Object(self.object).to_string(), env)
    }

    /// The text of a home's config.json: what was given, and where this validator differs.
    fn file(&self, name: &str, api: Option<SocketAddr>, links: Option<SocketAddr>) -> String {
        let mut object = self.object.clone();
        set(&mut object, "node", "name", json!(name));
        // Written out, so that the home does not depend on the environment in which it was made.
        let level = self.config.level();
        set(&mut object, "quantum_security", "lattice_dimension", json!(level.dimension()));
        for (section, address) in [("api", api), ("network", links)] {
            if let Some(address) = address {
                set(&mut object, section, "listen", json!(address.to_string()));
            }
        }
        let mut text = format!("{:#}", Value::Object(object));
        text.push('\n');
        text
    }
}

fn set(object: &mut Map<String, Value>, section: &str, key: &str, value: Value) {
    let entry = object.entry(section).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(section) = entry {
        section.insert(key.to_owned(), value);
    }
}

/// Makes a validator: keys (0600 in a directory of 0700), config.json and the public file; refuses a home that is in use.
///
/// `address` is where other validators reach it; it listens on that port.
pub fn make_validator(home: &Home, name: &str, address: &str, source: &ConfigSource) -> Result<PublicFile, SetupError> {
    let links = if source.config.is_explicit("network.listen") { None } else { Some(listen_address(address)?) };
    make_home(home, name, address, source, None, links)
}

fn make_home(
    home: &Home,
    name: &str,
    address: &str,
    source: &ConfigSource,
    api: Option<SocketAddr>,
    links: Option<SocketAddr>,
) -> Result<PublicFile, SetupError> {
    check_name(name).map_err(|why| SetupError::Name(name.to_owned(), why))?;
    port_of(address)?;
    let level = source.config.level();
    refuse_existing(home)?;
    make_directory(home.root())?;
    let session = SigningKey::generate(level.signature_algorithm())?;
    let link = SigningKey::generate(level.link_signature_algorithm())?;
    KeyFile::write(&home.session_key(), KeyKind::Session, name, &session)?;
    let identity = IdentityKey::create(&home.identity_key(), name, IdentityScheme::default())?;
    KeyFile::write(&home.link_key(), KeyKind::Link, name, &link)?;
    let public = PublicFile::sign(name, address, level, &session, &link, &identity.public_key())?;
    write_new(&home.config(), &source.file(name, api, links))?;
    write_new(&home.public(), &public.to_json())?;
    Ok(public)
}

fn refuse_existing(home: &Home) -> Result<(), SetupError> {
    let parts = [home.config(), home.genesis(), home.keys(), home.public(), home.store()];
    match parts.into_iter().find(|part| part.symlink_metadata().is_ok()) {
        Some(part) => Err(SetupError::Exists(part)),
        None => Ok(()),
    }
}

/// Makes the genesis of the network of these validators, in this order. The level is theirs; quorum numbers, sizes and times are the
/// configuration's.
pub fn create_genesis(
    network: &str,
    config: &Config,
    validators: &[PublicFile],
    created: Timestamp,
) -> Result<Genesis, SetupError> {
    let Some(first) = validators.first() else {
        return Err(SetupError::Size("a network needs at least one validator: name their public files".to_owned()));
    };
    for file in validators {
        file.check()?;
        same_level(&first.name, first.level, &file.name, file.level)?;
    }
    if config.is_explicit("quantum_security.lattice_dimension") {
        same_level(&first.name, first.level, "the configuration", config.level())?;
    }
    let consensus = &config.consensus;
    let [low, high] = consensus.adaptive_range;
    let epoch = EpochConfig {
        epoch: Epoch::ZERO,
        level: first.level,
        policy: config.quantum_security.security_level,
        members: validators.iter().map(member_of).collect(),
        quorum: quorum_of(config, validators.len())?,
        ratios: ThresholdRatios { base: consensus.base_threshold, low, high },
        fast_path: consensus.fast_path,
        schedule: LeaderSchedule::RoundRobin,
        limits: Limits {
            max_value_bytes: consensus.max_value_bytes,
            max_block_bytes: consensus.max_block_bytes,
            max_timeout_ms: consensus.max_timeout_ms,
            clock_drift_ms_max: consensus.clock_drift_ms_max,
            finality_lag_views: FINALITY_LAG_VIEWS,
            key_rotation_interval_s: config.quantum_security.key_rotation_interval,
        },
    };
    let genesis = Genesis { network: network.to_owned(), created, config: Arc::new(epoch) };
    genesis.check()?;
    Ok(genesis)
}

/// The quorum numbers of `n` validators with the configuration's `max_byzantine`, `max_crashed` and `adaptive_range`.
pub fn quorum_of(config: &Config, n: usize) -> Result<QuorumParams, ParamError> {
    let consensus = &config.consensus;
    let [low, high] = consensus.adaptive_range;
    let (f, c) = (consensus.max_byzantine.map(u32::from), consensus.max_crashed.map(u32::from));
    params::derive(u32::try_from(n).unwrap_or(u32::MAX), f, c, low, high)
}

fn member_of(file: &PublicFile) -> Member {
    Member {
        name: file.name.clone(),
        address: file.address.clone(),
        session_key: file.session_key.clone(),
        link_key: file.link_key.clone(),
        identity_key: Some(NamedIdentity::from(&file.identity_key)),
        session_since: Epoch::ZERO,
    }
}

fn same_level(
    first: &str,
    first_level: SecurityLevel,
    second: &str,
    second_level: SecurityLevel,
) -> Result<(), SetupError> {
    if first_level == second_level {
        return Ok(());
    }
    let (first, second) = (first.to_owned(), second.to_owned());
    Err(SetupError::Levels { first, first_level, second, second_level })
}

fn port_of(address: &str) -> Result<u16, SetupError> {
    let refused = || SetupError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(refused)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(refused)?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if host.is_empty() || address.len() > MAX_ADDRESS_BYTES || address.contains(odd) {
        return Err(refused());
    }
    Ok(port)
}

/// Where a validator listens that others reach at `address`: on all interfaces, unless the address is this machine's own.
fn listen_address(address: &str) -> Result<SocketAddr, SetupError> {
    let port = port_of(address)?;
    let ip = match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => address.ip(),
        Ok(SocketAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    Ok(SocketAddr::new(ip, port))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SetupError {
    let path = path.to_path_buf();
    move |source| SetupError::Io { action, path, source }
}

/// Only the owner may write there: whoever could, could replace the keys.
fn make_directory(path: &Path) -> Result<(), SetupError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("make", path))
}

/// Writes a file that is not there yet, durably.
pub fn write_new(path: &Path, text: &str) -> Result<(), SetupError> {
    write_with_mode(path, text, 0o666)
}

/// Writes a new file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> Result<(), SetupError> {
    write_with_mode(path, text, 0o600)
}

fn write_with_mode(path: &Path, text: &str, mode: u32) -> Result<(), SetupError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(SetupError::Exists(path.to_path_buf()));
        }
        Err(error) => return Err(failed("write", path)(error)),
    };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", path))
}
