//! The validators of a devnet as child processes that end with it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::setup::LocalNetwork;

use super::{clients, log_tail};
use crate::failure::{Failure, Outcome};
use crate::output::note;
use crate::signals::Stop;

/// Longest time until all serve.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time for a graceful stop; then they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(50);

struct Validator {
    name: String,
    process: Child,
    log: PathBuf,
    dead: bool,
}

/// All validators. Dropping them stops them; when this process dies, they end because their standard input does.
pub(super) struct Children {
    validators: Vec<Validator>,
}

impl Children {
    /// Starts a process for each home.
    pub(super) fn start(network: &LocalNetwork) -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let mut children = Self { validators: Vec::with_capacity(network.homes.len()) };
        for (index, home) in network.homes.iter().enumerate() {
            let name = network.genesis.config.members[index].name.clone();
            let path = home.root().join("node.log");
            let log = File::options().create(true).append(true).open(&path);
            let log = log.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
            let process = Command::new(&program)
                .args(["start", "--exit-with-parent", "--home"])
                .arg(home.root())
                // One NODE_ID cannot be right for all of them.
                .env_remove("NODE_ID")
                .stdin(Stdio::piped())
                .stdout(log.try_clone()?)
                .stderr(log)
                // Ctrl-C reaches this process alone, which then stops them in order.
                .process_group(0)
                .spawn()
                .map_err(|error| Failure::failed(format!("cannot start validator {name}: {error}")))?;
            children.validators.push(Validator { name, process, log: path, dead: false });
        }
        Ok(children)
    }

    /// The process id of a validator.
    pub(super) fn pid(&self, index: usize) -> u32 {
        self.validators[index].process.id()
    }

    /// Which run, by index.
    pub(super) fn alive(&self) -> Vec<usize> {
        (0..self.validators.len()).filter(|index| !self.validators[*index].dead).collect()
    }

    /// Waits until every validator serves its own network; `false` when asked to stop. A child that ends is an error that shows its log.
    pub(super) fn wait_until_ready(&mut self, network: &LocalNetwork, stop: &Stop) -> Outcome<bool> {
        let (chain_id, begun) = (network.genesis.chain_id().to_string(), Instant::now());
        for (index, client) in clients(network)?.iter().enumerate() {
            while client.live().is_err() {
                if stop.requested() {
                    return Ok(false);
                }
                let validator = &mut self.validators[index];
                if let Some(status) = validator.process.try_wait()? {
                    validator.dead = true;
                    return Err(Failure::failed(format!(
                        "validator {} did not start ({status});\n{}",
                        validator.name,
                        log_tail(&validator.log)
                    )));
                }
                if begun.elapsed() > READY_TIMEOUT {
                    let seconds = READY_TIMEOUT.as_secs();
                    return Err(Failure::failed(format!(
                        "validator {} does not serve {} within {seconds} s;\n{}",
                        validator.name,
                        client.url(),
                        log_tail(&validator.log)
                    )));
                }
                std::thread::sleep(POLL);
            }
            let status = client.status()?;
            if status.chain_id != chain_id || status.name != self.validators[index].name {
                return Err(Failure::failed(format!(
                    "{} is served by validator {} of another network: stop it, or choose another --port",
                    client.url(),
                    status.name
                )));
            }
        }
        Ok(true)
    }

    /// Tells of each child that has ended since the last look.
    pub(super) fn tell_of_deaths(&mut self) {
        for validator in self.validators.iter_mut().filter(|validator| !validator.dead) {
            if let Ok(Some(status)) = validator.process.try_wait() {
                validator.dead = true;
                note(format!(
                    "validator {} has ended ({status}); the others go on.\n{}",
                    validator.name,
                    log_tail(&validator.log)
                ));
            }
        }
    }

    /// Stops all: closing standard input asks them to; those that do not in time are killed.
    pub(super) fn stop(&mut self) {
        for validator in &mut self.validators {
            drop(validator.process.stdin.take());
        }
        let begun = Instant::now();
        for validator in &mut self.validators {
            while matches!(validator.process.try_wait(), Ok(None)) {
                if begun.elapsed() > STOP_TIMEOUT {
                    note(format!("validator {} does not stop and is killed; its store is safe", validator.name));
                    // Both fail only when it has just ended.
                    let _ = validator.process.kill();
                    let _ = validator.process.wait();
                    break;
                }
                std::thread::sleep(POLL);
            }
            validator.dead = true;
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}
