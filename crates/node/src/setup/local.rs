//! The homes of a network on this machine alone: v0, v1, … beside their genesis.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use consensus::bounds::MAX_VALIDATORS;
use consensus::genesis::Genesis;
use consensus::types::Timestamp;
use serde_json::{Value, json};

use super::{
    ConfigSource, PublicFile, SetupError, create_genesis, failed, make_directory, make_home, port_of, quorum_of,
    write_new,
};
use crate::clock::system_now;
use crate::home::Home;

/// Validator links of a local network are served this far above its HTTP.
pub const LINK_PORT_OFFSET: u16 = 1_000;
/// Name of the genesis beside the homes.
const GENESIS_FILE: &str = "genesis.json";

/// A network on this machine.
#[derive(Clone, Debug)]
pub struct LocalNetwork {
    /// The directory of everything.
    pub dir: PathBuf,
    /// The network.
    pub genesis: Genesis,
    /// A home for each validator, in order.
    pub homes: Vec<Home>,
    /// HTTP of validator i is on this port + i.
    pub port: u16,
}

impl LocalNetwork {
    /// The genesis file.
    pub fn genesis_file(&self) -> PathBuf {
        self.dir.join(GENESIS_FILE)
    }

    /// Where HTTP of validator `index` is served.
    pub fn api(&self, index: usize) -> SocketAddr {
        local(self.port + index as u16)
    }

    /// Where links of validator `index` are served.
    pub fn links(&self, index: usize) -> SocketAddr {
        local(self.port + LINK_PORT_OFFSET + index as u16)
    }

    /// Refuses a configuration whose network-wide values are not this network's.
    pub fn check_same(&self, source: &ConfigSource) -> Result<(), SetupError> {
        let files = self.homes.iter().map(|home| read_public(&home.public())).collect::<Result<Vec<_>, _>>()?;
        let wanted = create_genesis(&self.genesis.network, &source.config, &files, self.genesis.created)?;
        if wanted.chain_id() == self.genesis.chain_id() {
            return Ok(());
        }
        Err(SetupError::OtherNetwork {
            path: self.dir.clone(),
            why: format!(
                "its genesis has {}, the configuration wants {}. Use the configuration that made it, or another directory",
                summary(&self.genesis),
                summary(&wanted)
            ),
        })
    }

    /// Gives every home this configuration; the network-wide values must be those of the genesis.
    pub fn configure(&self, source: &ConfigSource) -> Result<(), SetupError> {
        self.check_same(source)?;
        for (index, home) in self.homes.iter().enumerate() {
            let name = &self.genesis.config.members[index].name;
            let text = source.file(name, Some(self.api(index)), Some(self.links(index)));
            let path = home.config();
            std::fs::write(&path, text).map_err(failed("write", &path))?;
        }
        Ok(())
    }

    /// Has every validator serve HTTP on this address of the machine, unencrypted, from its next start on.
    pub fn serve_http_on(&self, ip: IpAddr) -> Result<(), SetupError> {
        for (index, home) in self.homes.iter().enumerate() {
            let path = home.config();
            let text = std::fs::read_to_string(&path).map_err(failed("read", &path))?;
            let changed = with_http_on(&path, &text, SocketAddr::new(ip, self.port + index as u16))?;
            std::fs::write(&path, changed).map_err(failed("write", &path))?;
        }
        Ok(())
    }
}

/// The text of a configuration file with another address of HTTP; unencrypted beyond this machine.
fn with_http_on(path: &Path, text: &str, address: SocketAddr) -> Result<String, SetupError> {
    let mut source = ConfigSource::new(text, &|_| None).map_err(|error| SetupError::OtherNetwork {
        path: path.to_path_buf(),
        why: format!("its configuration is not usable: {error}"),
    })?;
    super::set(&mut source.object, "api", "listen", json!(address.to_string()));
    super::set(&mut source.object, "api", "allow_plain_http", json!(!address.ip().is_loopback()));
    Ok(format!("{:#}\n", Value::Object(source.object)))
}

fn summary(genesis: &Genesis) -> String {
    let (config, limits) = (&genesis.config, &genesis.config.limits);
    format!(
        "level {}, {}, max_byzantine {}, max_crashed {}, thresholds {} in [{}, {}], fast_path {}, value {} B, block {} B, max_timeout {} ms, \
         drift {} ms, rotation {} s",
        config.level,
        config.policy.name(),
        config.quorum.f(),
        config.quorum.c(),
        config.ratios.base,
        config.ratios.low,
        config.ratios.high,
        config.fast_path,
        limits.max_value_bytes,
        limits.max_block_bytes,
        limits.max_timeout_ms,
        limits.clock_drift_ms_max,
        limits.key_rotation_interval_s
    )
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn home_of(dir: &Path, index: usize) -> Home {
    Home::new(dir.join(format!("v{index}")))
}

/// Makes a network of `n` validators under `dir` for tests and benchmarks: `config` is the text of a configuration file, the
/// environment is left out. See [`create_local`].
pub fn local_network(dir: &Path, n: u16, config: &str, port: u16) -> Result<LocalNetwork, SetupError> {
    let source = ConfigSource::new(config, &|_| None)?;
    create_local(dir, usize::from(n), "local", port, &source, system_now())
}

/// Makes a network of `n` validators under `dir`: genesis.json and the homes v0, v1, …, HTTP on `port` + i of this machine.
pub fn create_local(
    dir: &Path,
    n: usize,
    network: &str,
    port: u16,
    source: &ConfigSource,
    created: Timestamp,
) -> Result<LocalNetwork, SetupError> {
    check_size(n, port)?;
    let genesis_file = dir.join(GENESIS_FILE);
    if genesis_file.exists() {
        return Err(SetupError::Exists(genesis_file));
    }
    // What the genesis would refuse is refused before anything is made.
    quorum_of(&source.config, n)?;
    make_directory(dir)?;
    let homes: Vec<Home> = (0..n).map(|index| home_of(dir, index)).collect();
    let mut files = Vec::with_capacity(n);
    for (index, home) in homes.iter().enumerate() {
        let (api, links) = (local(port + index as u16), local(port + LINK_PORT_OFFSET + index as u16));
        files.push(make_home(home, &format!("v{index}"), &links.to_string(), source, Some(api), Some(links))?);
    }
    let genesis = create_genesis(network, &source.config, &files, created)?;
    let text = genesis.to_json() + "\n";
    for home in &homes {
        write_new(&home.genesis(), &text)?;
    }
    // Last, so that its presence says that the rest is complete.
    write_new(&genesis_file, &text)?;
    Ok(LocalNetwork { dir: dir.to_path_buf(), genesis, homes, port })
}

/// Reads a network that [`create_local`] made; `None` if there is none under `dir`.
pub fn open_local(dir: &Path) -> Result<Option<LocalNetwork>, SetupError> {
    let other = |path: PathBuf, why: String| Err(SetupError::OtherNetwork { path, why });
    let genesis_file = dir.join(GENESIS_FILE);
    if !genesis_file.exists() {
        let first = home_of(dir, 0).root().to_path_buf();
        if first.exists() {
            let why = format!(
                "it has no {GENESIS_FILE} beside it, so its set-up was not completed. Remove it, or use another directory"
            );
            return other(first, why);
        }
        return Ok(None);
    }
    let text = std::fs::read_to_string(&genesis_file).map_err(failed("read", &genesis_file))?;
    let genesis = Genesis::from_json(&text)?;
    let mut ports = genesis.config.members.iter().map(|member| port_of(&member.address));
    let first = ports.next().transpose()?.unwrap_or_default();
    let consecutive = (1..).zip(ports).all(|(i, port)| port.is_ok_and(|port| port == first.saturating_add(i)));
    let (Some(port), true) = (first.checked_sub(LINK_PORT_OFFSET), consecutive) else {
        return other(
            genesis_file,
            "its validators are not on consecutive ports, so it is not a local network of agent-mesh".to_owned(),
        );
    };
    let homes: Vec<Home> = (0..genesis.config.n()).map(|index| home_of(dir, index)).collect();
    for home in &homes {
        let path = home.genesis();
        let text = std::fs::read_to_string(&path).map_err(failed("read", &path))?;
        let found = Genesis::from_json(&text)?;
        if found.chain_id() != genesis.chain_id() {
            return other(
                path,
                format!(
                    "its chain id is {}, that of {} is {}. Use each network's own directory",
                    found.chain_id(),
                    genesis_file.display(),
                    genesis.chain_id()
                ),
            );
        }
    }
    let beyond = home_of(dir, homes.len()).root().to_path_buf();
    if beyond.exists() {
        return other(
            beyond,
            format!("the genesis names {} validators. Remove it, or use another directory", homes.len()),
        );
    }
    Ok(Some(LocalNetwork { dir: dir.to_path_buf(), genesis, homes, port }))
}

fn read_public(path: &Path) -> Result<PublicFile, SetupError> {
    let text = std::fs::read_to_string(path).map_err(failed("read", path))?;
    Ok(PublicFile::from_json(&text)?)
}

fn check_size(n: usize, port: u16) -> Result<(), SetupError> {
    let most = MAX_VALIDATORS.min(usize::from(LINK_PORT_OFFSET));
    if n == 0 || n > most {
        return Err(SetupError::Size(format!("{n} validators: use 1 to {most}")));
    }
    let last = usize::from(port) + usize::from(LINK_PORT_OFFSET) + n - 1;
    if port == 0 || last > usize::from(u16::MAX) {
        return Err(SetupError::Size(format!(
            "HTTP from port {port} on and links from port + {LINK_PORT_OFFSET} on do not fit below 65536 with {n} validators: choose another port"
        )));
    }
    Ok(())
}
