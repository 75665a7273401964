//! `agent-mesh init`: a validator's home, or a whole local network.

use std::path::{Path, PathBuf};

use consensus::types::Timestamp;
use crypto::SecurityLevel;
use node::home::Home;
use node::setup::{self, ConfigSource, PublicFile};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::input::{environment, read_config, read_text};
use crate::output::{Output, note, print, print_document, write_new};
use crate::words;

/// Arguments of `init`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Home directory of the new validator; it must not be in use.
    #[arg(long, requires = "name", required_unless_present = "validators")]
    home: Option<PathBuf>,
    /// Name of the validator, unique in its network.
    #[arg(long, requires = "home")]
    name: Option<String>,
    /// Where the other validators reach it; it listens on that port.
    #[arg(
        long,
        requires = "home",
        value_name = "HOST:PORT",
        default_value_if("home", clap::builder::ArgPredicate::IsPresent, "127.0.0.1:9080")
    )]
    address: Option<String>,
    /// Lattice dimension: 512, 768 or 1024; by default the configuration's, else 768.
    #[arg(long, value_name = "DIMENSION")]
    level: Option<u32>,
    /// Configuration to start from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also write the public file here; `-` prints it.
    #[arg(long, requires = "home", value_name = "FILE")]
    out: Option<PathBuf>,
    /// If the home holds this validator already, leave it as it is and give out its public file again.
    #[arg(long, requires = "home")]
    keep: bool,
    /// Make a local network of this many validators instead.
    #[arg(long, value_name = "N", conflicts_with = "home", requires = "dir")]
    validators: Option<usize>,
    /// Directory of the local network: genesis.json and the homes v0, v1, …
    #[arg(long, requires = "validators")]
    dir: Option<PathBuf>,
    /// HTTP of validator i is on this port + i, its links on port + 1000 + i.
    #[arg(long, requires = "validators", default_value_t = 8080)]
    port: u16,
    /// Name of the local network.
    #[arg(long, requires = "validators", default_value = "local")]
    network: String,
}

/// Runs `init`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let source = source(args)?;
    warn_if_classical(source.config.level());
    match (&args.home, &args.name, args.validators, &args.dir) {
        (_, _, Some(n), Some(dir)) => local_network(args, n, dir, &source, output),
        (Some(home), Some(name), ..) => validator(args, home, name, &source, output),
        _ => Err(Failure::usage(
            "give --home and --name for one validator, or --validators and --dir for a local network",
        )),
    }
}

fn source(args: &Args) -> Outcome<ConfigSource> {
    let source = read_config(args.config.as_deref())?;
    let Some(dimension) = args.level else { return Ok(source) };
    let level = SecurityLevel::from_dimension(dimension).map_err(Failure::usage)?;
    if source.config.level() == SecurityLevel::Classical && level != SecurityLevel::Classical {
        return Err(Failure::usage(
            "QUANTUM_SECURITY=false or lattice_dimension 0 contradicts --level: leave one of them out",
        ));
    }
    Ok(source.with_level(level, &environment)?)
}

/// Says in capitals that a network is not quantum-resistant.
pub(crate) fn warn_if_classical(level: SecurityLevel) {
    if level == SecurityLevel::Classical {
        note("!!! QUANTUM SECURITY IS OFF: this makes classical keys (Ed25519), which a quantum computer breaks.");
        note(
            "!!! For comparison only; such a network cannot be made post-quantum later. Unset QUANTUM_SECURITY for a real one.",
        );
    }
}

fn validator(args: &Args, root: &Path, name: &str, source: &ConfigSource, output: Output) -> Outcome {
    let home = Home::new(root);
    let address = args.address.as_deref().unwrap_or("127.0.0.1:9080");
    let kept = if args.keep { kept(&home, name, address)? } else { None };
    if let Some(out) = args.out.as_ref().filter(|out| *out != Path::new("-") && out.exists()) {
        match &kept {
            Some(public) if read_text(out)? == public.to_json() => return Ok(()),
            _ => return Err(Failure::failed(format!("{} exists already: choose another --out", out.display()))),
        }
    }
    let public = kept.map_or_else(|| setup::make_validator(&home, name, address, source), Ok)?;
    if let Some(out) = &args.out {
        write_new(out, &public.to_json())?;
        if out == Path::new("-") {
            return Ok(());
        }
    }
    let file = args.out.clone().unwrap_or_else(|| home.public());
    if output.json {
        return print_document(&json!({
            "home": root, "name": name, "address": address, "level": public.level.dimension(),
            "public_file": file, "fingerprint": public.fingerprint(),
        }));
    }
    print(format!(
        "validator {name} at {address}, level {}; the secret keys are in {}",
        public.level,
        home.keys().display()
    ))?;
    print(format!("public file: {}  fingerprint {}", file.display(), public.fingerprint()))?;
    print(
        "Give the public file to whoever runs `agent-mesh genesis create *.pub.json`, and compare the fingerprint with them;",
    )?;
    print(format!(
        "then put the genesis into {} and run `agent-mesh start --home {}`.",
        home.genesis().display(),
        root.display()
    ))
}

/// The validator that a home holds; `None` if it is not in use yet.
fn kept(home: &Home, name: &str, address: &str) -> Outcome<Option<PublicFile>> {
    if home.public().symlink_metadata().is_err() {
        return Ok(None);
    }
    let public = PublicFile::from_json(&read_text(&home.public())?)?;
    if (public.name.as_str(), public.address.as_str()) == (name, address) {
        return Ok(Some(public));
    }
    Err(Failure::failed(format!(
        "{} is the home of {} at {}, not of {name} at {address}: give each validator its own home",
        home.root().display(),
        public.name,
        public.address
    )))
}

fn local_network(args: &Args, n: usize, dir: &Path, source: &ConfigSource, output: Output) -> Outcome {
    let network = setup::create_local(dir, n, &args.network, args.port, source, now())?;
    let genesis = &network.genesis;
    if output.json {
        let validators = network.homes.iter().enumerate().map(|(index, home)| {
            json!({"name": genesis.config.members[index].name, "home": home.root(), "api": network.api(index), "links": network.links(index)})
        });
        return print_document(&json!({
            "chain_id": genesis.chain_id(), "genesis": network.genesis_file(), "validators": validators.collect::<Vec<_>>(),
        }));
    }
    print(format!("{} homes in {}, genesis in {}", n, dir.display(), network.genesis_file().display()))?;
    print(format!("chain id {}", genesis.chain_id()))?;
    print(words::guarantee(genesis))?;
    print(format!(
        "Start each with `agent-mesh start --home {}/vI`, or all with `agent-mesh devnet --dir {}`.",
        dir.display(),
        dir.display()
    ))
}

/// The time now, for a genesis.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::new(since.map_or(0, |since| since.as_micros() as u64))
}
