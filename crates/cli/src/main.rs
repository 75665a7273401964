//! The command line `agent-mesh`: one module a verb.

mod admin;
mod ai;
mod audit;
mod client;
mod config;
mod debug;
mod devnet;
mod doctor;
mod evidence;
mod failure;
mod genesis;
mod init;
mod input;
mod keys;
mod log;
mod output;
mod propose;
mod quorum;
mod result;
mod signals;
mod sim;
mod start;
mod status;
mod study;
mod token;
mod values;
mod verify;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Outcome;
use crate::output::Output;

/// Post-quantum Byzantine consensus between organisations that do not trust one another.
///
/// Exit codes: 0 ok, 1 failed or invalid, 2 usage, 3 unreachable, 4 expired, 5 busy.
#[derive(Parser)]
#[command(name = "agent-mesh", version, max_term_width = 110)]
struct Cli {
    /// Print JSON instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    access: client::access::AccessArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a validator's home (keys, configuration, public file), or with --validators a whole local network.
    Init(init::Args),
    /// Make or show the genesis of a network.
    #[command(subcommand)]
    Genesis(genesis::Verb),
    /// Run a validator until SIGINT or SIGTERM.
    Start(start::Args),
    /// Run a network of real validators on this machine.
    Devnet(devnet::Args),
    /// Hand a value, or a file of values, to the network.
    Propose(propose::Args),
    /// Ask for the result of a proposal.
    Result(result::Args),
    /// Check results offline, against nothing but the genesis.
    Verify(verify::Args),
    /// Show where a node stands.
    Status(status::Args),
    /// Show the final blocks.
    Log(log::Args),
    /// Show how many faults a number of validators tolerates.
    Quorum(quorum::Args),
    /// Check, make or show a configuration.
    #[command(subcommand)]
    Config(config::Verb),
    /// Make, list and revoke tokens of a node's HTTP API.
    #[command(subcommand)]
    Token(token::Verb),
    /// Check, or show, a validator's audit log.
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Use the admin verbs of a running node.
    #[command(subcommand)]
    Admin(admin::Verb),
    /// Ask a node's optimizer: recommendations, metrics, parameters, mode.
    #[command(subcommand)]
    Ai(ai::Verb),
    /// Find out what is wrong with nodes, their network or a home, and what to do.
    Doctor(doctor::Args),
    /// Gather what a bug report needs.
    #[command(subcommand)]
    Debug(debug::Verb),
    /// Encrypt, decrypt, sign and verify by name, with quantum-resistant keys.
    Keys(keys::Command),
    /// Check evidence against a validator.
    #[command(subcommand)]
    Evidence(evidence::Verb),
    /// Run a network in virtual time, with faults and attackers, and check that nothing breaks.
    Sim(sim::Args),
}

fn run(cli: Cli) -> Outcome {
    let output = Output { json: cli.json };
    cli.access.keep()?;
    if let Some(file) = std::env::var_os("AGENT_MESH_PASSPHRASE_FILE").filter(|file| !file.is_empty()) {
        // For every key file that this process reads or writes, whichever verb it is.
        let passphrase = crypto::Passphrase::from_file(std::path::Path::new(&file))?;
        crypto::set_key_passphrase(passphrase, crypto::Argon2Cost::DEFAULT);
    }
    match cli.verb {
        Verb::Init(args) => init::run(&args, output),
        Verb::Genesis(verb) => genesis::run(&verb, output),
        Verb::Start(args) => start::run(&args),
        Verb::Devnet(args) => devnet::run(&args, output),
        Verb::Propose(args) => propose::run(&args, output),
        Verb::Result(args) => result::run(&args, output),
        Verb::Verify(args) => verify::run(&args, output),
        Verb::Status(args) => status::run(&args, output),
        Verb::Log(args) => log::run(&args, output),
        Verb::Quorum(args) => quorum::run(&args, output),
        Verb::Config(verb) => config::run(&verb, output),
        Verb::Token(verb) => token::run(&verb, output),
        Verb::Audit(verb) => audit::run(&verb, output),
        Verb::Admin(verb) => admin::run(&verb, output),
        Verb::Ai(verb) => ai::run(&verb, output),
        Verb::Doctor(args) => doctor::run(&args, output),
        Verb::Debug(verb) => debug::run(&verb, output),
        Verb::Keys(command) => keys::run(&command, output),
        Verb::Evidence(verb) => evidence::run(&verb, output),
        Verb::Sim(args) => sim::run(&args, output),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                output::note(format!("agent-mesh: {}", failure.message));
            }
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
