//! A validator's home on this machine: configuration, keys, disk, ports, peers.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use consensus::genesis::Genesis;
use crypto::IdentityError;
use node::config::Config;
use node::home::{Home, HomeError};
use node::keys::KeysError;
use node::setup;

use super::report::Report;
use crate::client::Client;
use crate::input::environment;

/// Longest time to reach a peer's port.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Certificates lie beside the keys and are public.
pub(crate) const PUBLIC_SUFFIX: &str = ".cert.pem";
/// A network of this many validators is tried to see whether thresholds can be safe …
const LARGEST_TRIED: usize = 100;
/// … and of this many to show why not.
const USUAL_VALIDATORS: usize = 6;
/// Free space below which the node will soon stop, and below which it is time to act, bytes.
const LITTLE_SPACE: u64 = 1 << 30;
const MODEST_SPACE: u64 = 10 << 30;

/// Examines a home; the URL of its node, if one answers there.
pub(super) fn examine(root: &Path, report: &mut Report) -> Option<String> {
    let home = Home::new(root);
    if !root.is_dir() {
        report.critical(
            "home",
            root.display(),
            "there is no such directory",
            "give the directory that `agent-mesh init --home` made",
        );
        return None;
    }
    let config = match home.read_config(&environment) {
        Ok((config, warnings)) => {
            for warning in warnings {
                report.warning(
                    "configuration",
                    home.config().display(),
                    warning,
                    "change the key, or leave it if it is meant so",
                );
            }
            report.passed("configuration");
            config
        }
        Err(error) => {
            report.critical(
                "configuration",
                home.config().display(),
                error,
                "correct the file; `agent-mesh config check` tells every problem",
            );
            return None;
        }
    };
    let home = home.with_paths(&config);
    keys(&home, report);
    let genesis = genesis(&home, &config, report);
    disk(&home, report);
    exposure(&config, report);
    let own = ports(&home, &config, genesis.as_ref(), report);
    if let Some(genesis) = genesis {
        peers(&home, &genesis, report);
    }
    own
}

/// Key files and their directory must be the owner's alone.
fn keys(home: &Home, report: &mut Report) {
    let mut well = true;
    let mut paths = vec![home.keys()];
    match fs::read_dir(home.keys()) {
        Ok(entries) => paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path()))),
        Err(error) => {
            let next =
                "restore the directory from where it was, or make a new validator; run doctor as the node's user";
            return report.critical("keys", home.keys().display(), format!("cannot be read: {error}"), next);
        }
    }
    for path in paths {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if path.to_string_lossy().ends_with(PUBLIC_SUFFIX) {
            continue;
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            well = false;
            let wanted = if metadata.is_dir() { "700" } else { "600" };
            report.critical(
                "key-mode",
                path.display(),
                format!("mode {mode:03o}: other users of this machine can get at the keys"),
                format!("chmod {wanted} it; if others may have read it, treat the keys as stolen: rotate them or replace the validator. In \
                         Kubernetes set fsGroupChangePolicy: OnRootMismatch"),
            );
        }
    }
    if well {
        report.passed("key-modes");
    }
}

/// The genesis, and whether keys and configuration fit it.
fn genesis(home: &Home, config: &Config, report: &mut Report) -> Option<Genesis> {
    let genesis = match home.read_genesis() {
        Ok(genesis) => genesis,
        Err(error) => {
            thresholds_alone(config, report);
            let next = "get the network's genesis.json from another member, compare its chain id with a third one, and put it there";
            report.critical("genesis", home.genesis().display(), error, next);
            return None;
        }
    };
    match Home::new(home.root()).open(&environment) {
        // A running node holds its identity, and has checked all this when it started.
        Ok(_) | Err(HomeError::Keys(KeysError::Identity(IdentityError::InUse(_)))) => report.passed("identity"),
        Err(error) => report.critical(
            "identity",
            home.root().display(),
            error,
            "configuration, keys and genesis must belong together: the message names the one that does not",
        ),
    }
    Some(genesis)
}

/// Without a genesis: whether the configuration's numbers can make one, with any number of validators.
fn thresholds_alone(config: &Config, report: &mut Report) {
    match (1..=LARGEST_TRIED).map(|n| setup::quorum_of(config, n)).find_map(Result::ok) {
        Some(_) => report.passed("thresholds"),
        None => {
            if let Err(error) = setup::quorum_of(config, USUAL_VALIDATORS) {
                let next = "choose numbers that are safe: `agent-mesh quorum` shows the arithmetic; the defaults are";
                report.critical(
                    "unsafe-thresholds",
                    "configuration",
                    format!("with {USUAL_VALIDATORS} validators: {error}"),
                    next,
                );
            }
        }
    }
}

fn disk(home: &Home, report: &mut Report) {
    // Before the first start there is no store yet.
    let path = if home.store().exists() { home.store() } else { home.root().to_path_buf() };
    match rustix::fs::statvfs(&path) {
        Ok(space) => {
            let (free, all) = (space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize);
            let evidence = format!("{:.1} GB free of {:.1} GB", free as f64 / 1e9, all as f64 / 1e9);
            let next = "make room or move the store (node.store_path) to a larger disk: a node that cannot write stops, and never guesses";
            if free < LITTLE_SPACE || space.f_favail == 0 && space.f_files > 0 {
                report.critical("disk-space", path.display(), evidence, next);
            } else if free < MODEST_SPACE {
                report.warning("disk-space", path.display(), evidence, next);
            } else {
                report.passed("disk-space");
            }
        }
        Err(error) => report.warning(
            "disk-space",
            path.display(),
            error,
            "the free space cannot be told here; look at it by other means",
        ),
    }
    let writable = rustix::fs::access(&path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    let me = rustix::process::geteuid().as_raw();
    let owner = fs::metadata(&path).map_or(me, |metadata| metadata.uid());
    if let Err(error) = writable {
        let next = format!(
            "run doctor as the node's user; the directory belongs to user {owner}, this is user {me}. If the node runs as {me}: chown -R it"
        );
        report.critical("permission", path.display(), format!("user {me} cannot write: {error}"), next);
    } else if owner != me && me != 0 {
        report.warning(
            "permission",
            path.display(),
            format!("belongs to user {owner}, this is user {me}"),
            "run the node always as the same user",
        );
    } else if me == 0 && owner == 0 {
        report.info(
            "permission",
            path.display(),
            "the store belongs to root",
            "give the node a user of its own: it needs no rights",
        );
    } else {
        report.passed("permissions");
    }
}

fn exposure(config: &Config, report: &mut Report) {
    let listen = config.api.listen;
    if listen.ip().is_loopback() || !config.api.allow_plain_http {
        return report.passed("http-exposure");
    }
    report.info(
        "plain-http",
        listen,
        "HTTP is served unencrypted beyond this machine (api.allow_plain_http)",
        "right only inside a network that is protected otherwise, such as a container's; else listen on 127.0.0.1 or use TLS",
    );
}

/// Who uses the node's ports; the node's URL if it does.
fn ports(home: &Home, config: &Config, genesis: Option<&Genesis>, report: &mut Report) -> Option<String> {
    let (api, guarded) = (reachable(config.api.listen), is_guarded(config));
    let url = format!("{}://{api}", if guarded { "https" } else { "http" });
    let status = Client::new(&url).and_then(|client| Ok(client.status()?));
    if let Ok(status) = status {
        let chain = genesis.map(|genesis| genesis.chain_id().to_string());
        let own = config.node.name.as_ref().is_none_or(|name| *name == status.name)
            && chain.is_none_or(|chain| chain == status.chain_id);
        if own {
            report.passed("running");
            return Some(url);
        }
        report.critical(
            "port",
            config.api.listen,
            format!("is served by validator {} of network {}", status.name, status.network),
            format!("stop that one, or give the validator of {} another api.listen", home.root().display()),
        );
        return None;
    }
    if (guarded || config.api.require_tokens) && TcpStream::connect_timeout(&api, CONNECT_TIMEOUT).is_ok() {
        report.info(
            "protected",
            config.api.listen,
            "HTTP here wants TLS or a token, so the node itself was not examined",
            format!(
                "give --ca-file {} and --token-file (agent-mesh token create --home {} --name doctor)",
                home.keys().join("api.cert.pem").display(),
                home.root().display()
            ),
        );
        return None;
    }
    let mut free = true;
    for (what, address) in [("api.listen", config.api.listen), ("network.listen", config.network.listen)] {
        if let Err(error) = TcpListener::bind(address) {
            free = false;
            let evidence = if error.kind() == ErrorKind::AddrInUse {
                "is in use by another process, which is no node that answers".to_owned()
            } else {
                format!("cannot be listened on: {error}")
            };
            report.critical(
                "port",
                format!("{what} {address}"),
                evidence,
                "find who has it (ss -ltnp), or choose another port",
            );
        }
    }
    if free {
        report.info(
            "not-running",
            home.root().display(),
            "the node does not run; its ports are free",
            "start it: agent-mesh start --home …",
        );
    }
    None
}

/// Whether HTTP is served with TLS.
fn is_guarded(config: &Config) -> bool {
    config.api.tls || !config.api.listen.ip().is_loopback() && !config.api.allow_plain_http
}

/// Where this machine reaches what listens on an address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    let loopback = if listen.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(loopback, listen.port())
}

/// Whether the other validators' ports can be reached from here.
fn peers(home: &Home, genesis: &Genesis, report: &mut Report) {
    let me = own_name(home);
    let members = genesis.config.members.iter().filter(|member| Some(&member.name) != me.as_ref());
    let tried: Vec<(String, Result<(), String>)> = std::thread::scope(|scope| {
        let tries: Vec<_> = members.map(|member| (member, scope.spawn(|| reach(&member.address)))).collect();
        let finished = tries.into_iter().map(|(member, reached)| {
            let reached = reached.join().unwrap_or_else(|_| Err("the attempt was cut off".to_owned()));
            (format!("{} at {}", member.name, member.address), reached)
        });
        finished.collect()
    });
    let failed: Vec<String> =
        tried.iter().filter_map(|(who, reached)| Some(format!("{who} ({})", reached.as_ref().err()?))).collect();
    if failed.is_empty() {
        return report.passed("peers-reachable");
    }
    let (n, q_min) = (genesis.config.n(), genesis.config.quorum.q_min() as usize);
    let evidence = format!("{} of {} peers: {}", failed.len(), n - 1, failed.join("; "));
    let next =
        "see whether they run; then name resolution, firewalls and network policies for their validator port (TCP)";
    if n - failed.len() < q_min {
        report.critical("peers-unreachable", home.root().display(), evidence, next);
    } else {
        report.warning("peers-unreachable", home.root().display(), evidence, next);
    }
}

fn own_name(home: &Home) -> Option<String> {
    let public = setup::PublicFile::from_json(&fs::read_to_string(home.public()).ok()?).ok()?;
    Some(public.name)
}

fn reach(address: &str) -> Result<(), String> {
    let mut last = "the name has no address".to_owned();
    for address in address.to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Names and modes of a directory's files, without their content.
pub(crate) fn listing(path: &Path) -> Vec<(PathBuf, u32, u64)> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((entry.path(), metadata.mode() & 0o7777, metadata.len()))
        })
        .collect();
    files.sort();
    files
}
