//! A validator's home directory: configuration, genesis, keys, store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::config::IdentityKey;
use consensus::genesis::{Genesis, GenesisError};
use consensus::types::ValidatorIndex;
use crypto::{KeyFile, KeyFileError, KeyKind, LoadedKey, SigningKey};
use engine::Keyring as _;

use crate::config::{Config, ConfigError, Warning};
use crate::keys::{KeysError, NodeKeys, SharedKeys};

/// Names of everything in a home directory.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    genesis: PathBuf,
    keys: PathBuf,
    store: PathBuf,
}

/// Why a home directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; {hint}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The configuration is not usable.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// The genesis is not usable.
    #[error("{path}: {source}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: GenesisError,
    },
    /// A key file is not usable.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The session keys or the identity are not usable.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The configuration contradicts the genesis.
    #[error(
        "config.json says {key} = {found}, but the network's genesis has {expected}: {key} is the same for all validators of a network. \
         Remove it from config.json, or make a new network"
    )]
    Contradiction {
        /// The configuration key.
        key: &'static str,
        /// Its value in config.json.
        found: String,
        /// The genesis' value.
        expected: String,
    },
    /// This validator is not in the genesis.
    #[error("{0}")]
    NotAMember(String),
    /// NODE_ID names another validator.
    #[error(
        "NODE_ID (or node.name in config.json) is {node_id:?}, but the keys in this home are those of {name:?}: start each validator on its own home"
    )]
    NodeId {
        /// The environment's name.
        node_id: String,
        /// The keys' name.
        name: String,
    },
}

/// A home directory, read and checked.
pub struct OpenHome {
    /// Its paths.
    pub home: Home,
    /// The effective configuration.
    pub config: Config,
    /// What the operator should know about it.
    pub warnings: Vec<Warning>,
    /// The network.
    pub genesis: Genesis,
    /// This validator's place in it.
    pub index: ValidatorIndex,
    /// The session keys, which sign headers and votes, and the identity that renews them.
    pub keys: SharedKeys,
    /// Authenticates links.
    pub link_key: SigningKey,
}

impl Home {
    /// The home at `root`; nothing is read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { genesis: root.join("genesis.json"), keys: root.join("keys"), store: root.join("store"), root }
    }

    /// The same home with the paths that its configuration names (`node.genesis_path` …), which may lie elsewhere.
    pub fn with_paths(&self, config: &Config) -> Self {
        let node = &config.node;
        Self {
            root: self.root.clone(),
            genesis: self.root.join(&node.genesis_path),
            keys: self.root.join(&node.keys_path),
            store: self.root.join(&node.store_path),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.json`.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.json")
    }

    /// `genesis.json`.
    pub fn genesis(&self) -> PathBuf {
        self.genesis.clone()
    }

    /// The directory of the key files.
    pub fn keys(&self) -> PathBuf {
        self.keys.clone()
    }

    /// The session key file.
    pub fn session_key(&self) -> PathBuf {
        self.keys().join("session.key.json")
    }

    /// The link key file.
    pub fn link_key(&self) -> PathBuf {
        self.keys().join("link.key.json")
    }

    /// The identity's key file.
    pub fn identity_key(&self) -> PathBuf {
        crate::keys::identity_path(&self.keys())
    }

    /// The public file of this validator, to be given to whoever makes the genesis.
    pub fn public(&self) -> PathBuf {
        self.root.join("validator.pub.json")
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        self.store.clone()
    }

    /// The directory of the audit log.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Reads and checks everything; `env` looks up environment variables.
    pub fn open(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<OpenHome, HomeError> {
        let (config, warnings) = self.read_config(env)?;
        let home = self.with_paths(&config);
        let genesis = home.read_genesis()?;
        check_against(&config, &genesis)?;
        let link = KeyFile::read(&home.link_key(), KeyKind::Link)?;
        let keys = NodeKeys::open(&home.keys(), &link.name)?;
        let fresh = !home.store().exists();
        let index = find_member(&genesis, &keys, &link, fresh)?;
        if let Some(node_id) = config.node.name.clone().filter(|id| *id != link.name) {
            return Err(HomeError::NodeId { node_id, name: link.name });
        }
        Ok(OpenHome { home, config, warnings, genesis, index, keys: Arc::new(keys), link_key: link.key })
    }

    /// The effective configuration; a missing file means the defaults.
    pub fn read_config(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Vec<Warning>), HomeError> {
        let path = self.config();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
            Err(source) => return Err(HomeError::Read { path, source, hint: "check the file's owner and mode" }),
        };
        Config::load(&text, env).map_err(|source| HomeError::Config { path, source })
    }

    /// The genesis.
    pub fn read_genesis(&self) -> Result<Genesis, HomeError> {
        let path = self.genesis();
        let text = std::fs::read_to_string(&path).map_err(|source| HomeError::Read {
            path: path.clone(),
            source,
            hint: "make one with `agent-mesh genesis create *.pub.json`, or for a local network with `agent-mesh init --validators N`",
        })?;
        Genesis::from_json(&text).map_err(|source| HomeError::Genesis { path, source })
    }
}

/// The validator of this home. Session keys change with the epochs, so that only one which has not begun (`fresh`) can be compared here.
fn find_member(genesis: &Genesis, keys: &NodeKeys, link: &LoadedKey, fresh: bool) -> Result<ValidatorIndex, HomeError> {
    let name = &link.name;
    let Some(index) = genesis.config.index_of(name) else {
        return Err(HomeError::NotAMember(format!(
            "the genesis of network {} has no validator named {name}",
            genesis.network
        )));
    };
    let member = &genesis.config.members[index.as_usize()];
    let identity = keys.identity().map(|identity| IdentityKey::from(&identity.public_key()));
    let same = [
        ("session", !fresh || keys.holds(&member.session_key)),
        ("link", member.link_key == link.key.public_key()),
        ("identity", member.identity_key.is_none() || identity.is_none() || member.identity_key == identity),
    ];
    for (kind, same) in same {
        if !same {
            return Err(HomeError::NotAMember(format!(
                "the {kind} key in this home is not the one that the genesis names for {name}; use the home whose public file went into \
                 the genesis"
            )));
        }
    }
    Ok(index)
}

/// Network-wide values that config.json names must be the genesis' (INTERFACES, "Identities and genesis").
fn check_against(config: &Config, genesis: &Genesis) -> Result<(), HomeError> {
    let (limits, network) = (&genesis.config.limits, &genesis.config);
    let (consensus, quantum) = (&config.consensus, &config.quantum_security);
    let ratios = &network.ratios;
    let text = |value: &dyn std::fmt::Display| value.to_string();
    let pairs = [
        ("quantum_security.lattice_dimension", text(&config.level().dimension()), text(&network.level.dimension())),
        ("quantum_security.security_level", text(&quantum.security_level.name()), text(&network.policy.name())),
        (
            "quantum_security.key_rotation_interval",
            text(&quantum.key_rotation_interval),
            text(&limits.key_rotation_interval_s),
        ),
        ("consensus.base_threshold", text(&consensus.base_threshold), text(&ratios.base)),
        (
            "consensus.adaptive_range",
            format!("[{}, {}]", consensus.adaptive_range[0], consensus.adaptive_range[1]),
            format!("[{}, {}]", ratios.low, ratios.high),
        ),
        ("consensus.max_value_bytes", text(&consensus.max_value_bytes), text(&limits.max_value_bytes)),
        ("consensus.max_block_bytes", text(&consensus.max_block_bytes), text(&limits.max_block_bytes)),
        ("consensus.max_timeout_ms", text(&consensus.max_timeout_ms), text(&limits.max_timeout_ms)),
        ("consensus.clock_drift_ms_max", text(&consensus.clock_drift_ms_max), text(&limits.clock_drift_ms_max)),
        ("consensus.fast_path", text(&consensus.fast_path), text(&network.fast_path)),
    ];
    let named = [
        ("consensus.max_byzantine", consensus.max_byzantine.map(u32::from), network.quorum.f()),
        ("consensus.max_crashed", consensus.max_crashed.map(u32::from), network.quorum.c()),
    ];
    for (key, found, expected) in pairs {
        if config.is_explicit(key) && found != expected {
            return Err(HomeError::Contradiction { key, found, expected });
        }
    }
    for (key, found, expected) in named {
        if let Some(found) = found.filter(|found| *found != expected) {
            return Err(HomeError::Contradiction { key, found: found.to_string(), expected: expected.to_string() });
        }
    }
    Ok(())
}
