//! `agent-mesh genesis`: the genesis from public files.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use consensus::genesis::Genesis;
use consensus::types::Timestamp;
use node::setup::{PublicFile, create_genesis};
use node::views::QuorumView;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::init::{now, warn_if_classical};
use crate::input::{read_config, read_genesis, read_text};
use crate::output::{Output, note, print, print_document, write_new};
use crate::words;

/// What to do with a genesis.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make the genesis from the validators' public files; their order is the validators' order.
    Create(Create),
    /// Check a genesis file and show what it says.
    Show {
        /// The genesis file; `-` reads standard input.
        file: PathBuf,
    },
}

/// Arguments of `genesis create`.
#[derive(clap::Args)]
pub(crate) struct Create {
    /// The validators' public files.
    #[arg(required = true, value_name = "PUBLIC_FILE")]
    files: Vec<PathBuf>,
    /// Where to write it; `-` prints it.
    #[arg(long, default_value = "genesis.json", value_name = "FILE")]
    out: PathBuf,
    /// Name of the network.
    #[arg(long, default_value = "agent-mesh")]
    network: String,
    /// Byzantine validators to tolerate; by default as many as possible.
    #[arg(long, value_name = "F")]
    max_byzantine: Option<u16>,
    /// Crashed validators to tolerate beside them; by default as many as then fit.
    #[arg(long, value_name = "C")]
    max_crashed: Option<u16>,
    /// Configuration with the network-wide values: sizes, times, thresholds.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// If the file is there already and is of these validators, leave it as it is.
    #[arg(long)]
    keep: bool,
    /// When it was made, microseconds since the Unix epoch; by default now. Whoever repeats it gets the same genesis.
    #[arg(long, value_name = "MICROSECONDS")]
    created_us: Option<u64>,
}

/// Runs `genesis`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    match verb {
        Verb::Create(args) => create(args, output),
        Verb::Show { file } => show(&read_genesis(file)?, output),
    }
}

fn create(args: &Create, output: Output) -> Outcome {
    let mut config = read_config(args.config.as_deref())?.config;
    config.consensus.max_byzantine = args.max_byzantine.or(config.consensus.max_byzantine);
    config.consensus.max_crashed = args.max_crashed.or(config.consensus.max_crashed);
    let read = |path: &PathBuf| {
        PublicFile::from_json(&read_text(path)?).map_err(|error| Failure::failed(error).at(path.display()))
    };
    let files = args.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if args.keep && args.out.exists() {
        return keep(&args.out, &files, output);
    }
    let created = args.created_us.map_or_else(now, Timestamp::new);
    if created.get() > consensus::bounds::MAX_NUMBER {
        return Err(Failure::usage("--created-us is not a time in microseconds since the Unix epoch"));
    }
    let genesis = create_genesis(&args.network, &config, &files, created)?;
    warn_if_classical(genesis.config.level);
    write_new(&args.out, &(genesis.to_json() + "\n"))?;
    made(args, &genesis, output)
}

/// Says what an existing genesis is, and refuses one of other validators.
fn keep(file: &Path, files: &[PublicFile], output: Output) -> Outcome {
    let genesis = read_genesis(file)?;
    let members = &genesis.config.members;
    let same = members.len() == files.len()
        && members.iter().zip(files).all(|(member, file)| {
            (&member.name, &member.address, &member.session_key, &member.link_key)
                == (&file.name, &file.address, &file.session_key, &file.link_key)
        });
    if !same {
        return Err(Failure::failed(format!(
            "{} is the genesis of other validators than these: move it away to make a new network, which the validators of the old one \
             will refuse to join",
            file.display()
        )));
    }
    if output.json {
        return print_document(&json!({"chain_id": genesis.chain_id(), "network": genesis.network, "file": file}));
    }
    print(format!("{} is there already; chain id {}", file.display(), genesis.chain_id()))
}

fn made(args: &Create, genesis: &Genesis, output: Output) -> Outcome {
    if args.out == Path::new("-") {
        note(format!("chain id {}\n{}", genesis.chain_id(), words::guarantee(genesis)));
        return Ok(());
    }
    if output.json {
        let quorum = &genesis.config.quorum;
        return print_document(&json!({
            "chain_id": genesis.chain_id(), "network": genesis.network, "file": args.out,
            "quorum": QuorumView::of(quorum), "why": quorum.explain(),
        }));
    }
    print(format!("genesis of {} with {} validators: {}", genesis.network, genesis.config.n(), args.out.display()))?;
    print(format!("chain id {}", genesis.chain_id()))?;
    print(words::guarantee(genesis))?;
    print("Every validator puts this same file into its home as genesis.json; compare the chain id.")
}

fn show(genesis: &Genesis, output: Output) -> Outcome {
    let (config, limits) = (&genesis.config, &genesis.config.limits);
    let fingerprint = |key: &crypto::PublicKey| hex::encode(&key.as_bytes()[..8.min(key.as_bytes().len())]);
    if output.json {
        let file: Value = serde_json::from_str(&genesis.to_json())?;
        return print_document(&json!({
            "chain_id": genesis.chain_id(), "quorum": QuorumView::of(&config.quorum), "why": config.quorum.explain(), "genesis": file,
        }));
    }
    print(format!("network {}, made {}", genesis.network, words::time(genesis.created.get())))?;
    print(format!("chain id {}", genesis.chain_id()))?;
    print(format!(
        "level {} ({}), security_level {}, rotation every {} s",
        config.level,
        config.level.signature_algorithm(),
        config.policy.name(),
        limits.key_rotation_interval_s
    ))?;
    print(words::guarantee(genesis))?;
    print(format!(
        "thresholds: base {}, range {} to {}; fast path {}",
        config.ratios.base,
        config.ratios.low,
        config.ratios.high,
        if config.fast_path { "on" } else { "off" }
    ))?;
    print(format!(
        "values up to {} bytes, blocks up to {} bytes, deadlines up to {} ms ahead, clocks within {} ms",
        limits.max_value_bytes, limits.max_block_bytes, limits.max_timeout_ms, limits.clock_drift_ms_max
    ))?;
    for (index, member) in config.members.iter().enumerate() {
        print(format!(
            "{index:>4}  {:<20} {:<28} session key {}…  link key {}…",
            member.name,
            member.address,
            fingerprint(&member.session_key),
            fingerprint(&member.link_key)
        ))?;
    }
    Ok(())
}
