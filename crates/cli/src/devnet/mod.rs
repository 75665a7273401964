//! `agent-mesh devnet`: real validators on this machine, each a process of its own.

mod children;
mod load;

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::setup::{self, LocalNetwork};
use node::views::QuorumView;
use serde_json::json;

use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::init::{now, warn_if_classical};
use crate::input::read_config;
use crate::output::{Output, note, print, print_json};
use crate::signals::Stop;
use crate::words;
use children::Children;

/// Validators of a new network, unless said otherwise.
const DEFAULT_VALIDATORS: usize = 6;
/// First HTTP port, unless said otherwise.
const DEFAULT_PORT: u16 = 8080;
/// Between two looks at the children.
const WATCH_PERIOD: Duration = Duration::from_millis(200);

/// Arguments of `devnet`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of validators; 6, or those of the directory that is continued.
    #[arg(long, value_name = "N")]
    validators: Option<usize>,
    /// Configuration of all validators.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the network lives; one that is there is continued.
    #[arg(long, default_value = "./devnet")]
    dir: PathBuf,
    /// HTTP of validator i is on this port + i, its links on port + 1000 + i; 8080, or that of the directory that is continued.
    #[arg(long)]
    port: Option<u16>,
    /// HTTP on this address instead of this machine's own, for a container whose port is published. It is not encrypted: protect it otherwise.
    #[arg(long, value_name = "IP")]
    http_ip: Option<IpAddr>,
    /// Propose every line of this file to all validators, and check every certificate (see `propose --file`); `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    propose: Option<PathBuf>,
    /// Stop when that is done; the last line of standard output tells how it went.
    #[arg(long, requires = "propose")]
    exit: bool,
}

/// Runs `devnet`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let drafts = args.propose.as_deref().map(load::read).transpose()?;
    let network = open(args)?;
    if let Some(ip) = args.http_ip {
        if !ip.is_loopback() {
            note(format!(
                "WARNING HTTP on {ip} is neither encrypted nor protected by a password: for trying out, or behind a proxy"
            ));
        }
        network.serve_http_on(ip)?;
    }
    check_ports(&network)?;
    let stop = Stop::watch()?;
    let mut children = Children::start(&network)?;
    if !children.wait_until_ready(&network, &stop)? {
        return Ok(());
    }
    show(&network, &children, output)?;
    let summary = match drafts {
        None => None,
        Some(drafts) => Some(load::run(&network, drafts, &stop, &mut children)?),
    };
    if let (Some(summary), false) = (&summary, args.exit) {
        print_json(&summary.counts())?;
    }
    if !args.exit {
        watch(&mut children, &stop)?;
        note("stopping the validators");
    }
    children.stop();
    match summary.filter(|_| args.exit) {
        None => Ok(()),
        Some(summary) => {
            print_json(&summary.counts())?;
            if summary.is_perfect() {
                return Ok(());
            }
            Err(Failure::failed("not every proposal is final and verified, or the logs differ; see above"))
        }
    }
}

/// Continues the network in the directory, or makes one.
fn open(args: &Args) -> Outcome<LocalNetwork> {
    let Some(network) = setup::open_local(&args.dir)? else {
        let source = read_config(args.config.as_deref())?;
        warn_if_classical(source.config.level());
        let (n, port) = (args.validators.unwrap_or(DEFAULT_VALIDATORS), args.port.unwrap_or(DEFAULT_PORT));
        return Ok(setup::create_local(&args.dir, n, "devnet", port, &source, now())?);
    };
    let n = network.homes.len();
    let refuse = |what: String| {
        Failure::failed(format!(
            "{} holds another network: {what}. Leave the option out to continue it, or choose another --dir",
            args.dir.display()
        ))
    };
    if let Some(wanted) = args.validators.filter(|wanted| *wanted != n) {
        return Err(refuse(format!("it has {n} validators, --validators says {wanted}")));
    }
    if let Some(wanted) = args.port.filter(|wanted| *wanted != network.port) {
        return Err(refuse(format!("its addresses begin at port {}, --port says {wanted}", network.port)));
    }
    if let Some(path) = &args.config {
        network.configure(&read_config(Some(path))?)?;
    } else {
        // The environment may contradict it too: QUANTUM_SECURITY=false for a post-quantum network.
        let (config, level) = (read_config(None)?.config, network.genesis.config.level);
        if config.is_explicit("quantum_security.lattice_dimension") && config.level() != level {
            let wanted = config.level();
            return Err(refuse(format!("its level is {level}, QUANTUM_SECURITY in the environment wants {wanted}")));
        }
    }
    warn_if_classical(network.genesis.config.level);
    note(format!("continuing the network in {}", args.dir.display()));
    Ok(network)
}

/// Says which port is taken before any process is started.
fn check_ports(network: &LocalNetwork) -> Outcome {
    for index in 0..network.homes.len() {
        for (what, address) in [("HTTP", network.api(index)), ("links", network.links(index))] {
            match TcpListener::bind(address) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    return Err(Failure::failed(format!(
                        "{address} ({what} of validator {index}) is in use: stop what uses it (perhaps another devnet), or choose another \
                         --port with another --dir"
                    )));
                }
                Err(error) => {
                    return Err(Failure::failed(format!(
                        "cannot listen on {address} ({what} of validator {index}): {error}; choose another --port"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The URL of a validator's HTTP.
fn url(network: &LocalNetwork, index: usize) -> String {
    format!("http://{}", network.api(index))
}

/// Clients of all validators.
fn clients(network: &LocalNetwork) -> Outcome<Vec<Client>> {
    (0..network.homes.len()).map(|index| Client::new(&url(network, index))).collect()
}

fn show(network: &LocalNetwork, children: &Children, output: Output) -> Outcome {
    let (genesis, members) = (&network.genesis, &network.genesis.config.members);
    let entries = network
        .homes
        .iter()
        .enumerate()
        .map(|(index, home)| (index, &members[index].name, url(network, index), home.root()));
    if output.json {
        let validators: Vec<_> = entries
            .map(|(index, name, url, home)| json!({"index": index, "name": name, "url": url, "home": home, "pid": children.pid(index)}))
            .collect();
        return print_json(&json!({
            "network": genesis.network, "chain_id": genesis.chain_id(), "genesis": network.genesis_file(),
            "level": genesis.config.level.dimension(), "quorum": QuorumView::of(&genesis.config.quorum), "validators": validators,
        }));
    }
    print(format!("{:<10} {:<26} home", "validator", "URL"))?;
    for (_, name, url, home) in entries {
        print(format!("{name:<10} {url:<26} {}", home.display()))?;
    }
    print(format!("chain id {}, level {}", genesis.chain_id(), genesis.config.level))?;
    print(words::guarantee(genesis))?;
    let (node, file) = (url(network, 0), network.genesis_file());
    print("\nTry, in another terminal:")?;
    print(format!("  agent-mesh propose --node {node} --wait 'hello' > result.json"))?;
    print(format!("  agent-mesh verify --genesis {} result.json", file.display()))?;
    print(format!("  agent-mesh log --node {node} --follow --values"))?;
    print("Ctrl-C stops all validators; the same command continues them.\n")
}

/// Until a signal comes or no child is left.
fn watch(children: &mut Children, stop: &Stop) -> Outcome {
    while !stop.requested() {
        children.tell_of_deaths();
        if children.alive().is_empty() {
            return Err(Failure::failed("no validator runs any more; the logs above say why"));
        }
        std::thread::sleep(WATCH_PERIOD);
    }
    Ok(())
}

/// The end of a log file, indented.
fn log_tail(path: &Path) -> String {
    const LINES: usize = 12;
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    if tail.is_empty() {
        return format!("  (its log {} is empty)", path.display());
    }
    let indented: Vec<String> = tail.iter().map(|line| format!("  {line}")).collect();
    format!("  the end of its log {}:\n{}", path.display(), indented.join("\n"))
}
