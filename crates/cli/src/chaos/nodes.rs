//! The validators under test as processes: started, killed, stopped, starved of disk, given wrong keys, emptied.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use node::setup::LocalNetwork;

use crate::client::Client;
use crate::failure::{Failure, Outcome};

/// Longest time until a validator serves HTTP.
const READY: Duration = Duration::from_secs(60);
/// Longest time in which a validator that cannot run must have ended.
const REFUSAL: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The validators.
pub(super) struct Nodes {
    network: LocalNetwork,
    running: Vec<Option<Child>>,
}

impl Nodes {
    pub(super) fn new(network: LocalNetwork) -> Self {
        let running = network.homes.iter().map(|_| None).collect();
        Self { network, running }
    }

    pub(super) const fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn client(&self, index: usize) -> Outcome<Client> {
        Client::new(&format!("http://{}", self.network.api(index)))
    }

    fn home(&self, index: usize) -> PathBuf {
        self.network.homes[index].root().to_path_buf()
    }

    /// Starts a validator; with `file_kib` no file of its may grow beyond that: to the process the disk is full.
    pub(super) fn start(&mut self, index: usize, file_kib: Option<u64>) -> Outcome {
        let home = self.home(index);
        let child = spawn(&home, &home.join("node.log"), file_kib)?;
        self.running[index] = Some(child);
        Ok(())
    }

    /// Waits until it serves HTTP.
    pub(super) fn wait_ready(&mut self, index: usize) -> Outcome {
        let (client, begun) = (self.client(index)?, Instant::now());
        while client.live().is_err() {
            let ended = match &mut self.running[index] {
                Some(child) => child.try_wait()?,
                None => return Err(Failure::failed(format!("validator {index} was not started"))),
            };
            if let Some(status) = ended {
                let log = self.home(index).join("node.log");
                return Err(Failure::failed(format!("validator {index} ended ({status}); see {}", log.display())));
            }
            if begun.elapsed() > READY {
                return Err(Failure::failed(format!("validator {index} does not serve within {} s", READY.as_secs())));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.running[index].take() {
            // Fails only if it has just ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP or SIGCONT. Sent by the shell's `kill`, because this program has no unsafe code.
    pub(super) fn signal(&self, index: usize, name: &str) -> Outcome {
        let Some(child) = &self.running[index] else { return Ok(()) };
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status()?;
        if status.success() { Ok(()) } else { Err(Failure::failed(format!("SIG{name} was not sent: {status}"))) }
    }

    /// Whether it runs; how it ended if not.
    pub(super) fn ended(&mut self, index: usize) -> Outcome<Option<ExitStatus>> {
        match &mut self.running[index] {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Removes the store of a validator that is down.
    pub(super) fn empty(&self, index: usize) -> Outcome {
        Ok(fs::remove_dir_all(self.network.homes[index].store())?)
    }

    /// A validator that is down is started with the keys of another: it must refuse to run.
    pub(super) fn must_refuse_wrong_keys(&self, index: usize, other: usize) -> Outcome<bool> {
        let home = self.home(index);
        let wrong = home.with_extension("wrong");
        if wrong.exists() {
            fs::remove_dir_all(&wrong)?;
        }
        fs::create_dir_all(wrong.join("keys"))?;
        for name in ["config.json", "genesis.json"] {
            fs::copy(home.join(name), wrong.join(name))?;
        }
        // The session key is its own, the link key another's.
        fs::copy(home.join("keys/session.key.json"), wrong.join("keys/session.key.json"))?;
        fs::copy(self.home(other).join("keys/link.key.json"), wrong.join("keys/link.key.json"))?;
        let mut child = spawn(&wrong, &wrong.join("node.log"), None)?;
        let begun = Instant::now();
        let refused = loop {
            if let Some(status) = child.try_wait()? {
                break !status.success();
            }
            if begun.elapsed() > REFUSAL {
                break false;
            }
            std::thread::sleep(POLL);
        };
        let _ = child.kill();
        let _ = child.wait();
        fs::remove_dir_all(&wrong)?;
        Ok(refused)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for index in 0..self.running.len() {
            let _ = self.signal(index, "CONT");
            self.kill(index);
        }
    }
}

fn spawn(home: &Path, log: &Path, file_kib: Option<u64>) -> Outcome<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let program = std::env::current_exe()?;
    let mut command = match file_kib {
        None => Command::new(&program),
        Some(kib) => {
            // Without the signal a write beyond the limit is an error, like on a full disk. The unit of `ulimit -f` is 512 bytes.
            let mut shell = Command::new("sh");
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
            shell.args(["-c", &script]).arg(&program);
            shell
        }
    };
    command.args(["start", "--exit-with-parent", "--home"]).arg(home).env_remove("NODE_ID");
    let command = command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    Ok(command.spawn()?)
}
