//! What the tests of the command line share: running it, free ports, waiting for conditions.
#![allow(dead_code, clippy::unwrap_used, reason = "tests, and each binary of them uses a part of it")]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Upper bound of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a condition.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// How a command came out.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// The last line of standard output as JSON.
    pub(crate) fn last_json(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// Standard output, after checking that all went well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }

    /// Standard error, after checking the exit code.
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }
}

/// The built program, without the environment that it reads.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-mesh"));
    for name in ["QUANTUM_SECURITY", "AI_OPTIMIZATION", "NODE_ID", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Ran {
    finish(program().args(args), "")
}

/// Runs the program with something on standard input.
pub(crate) fn run_with_input(args: &[&str], input: &str) -> Ran {
    finish(program().args(args), input)
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that fails early does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Tests that start processes run one at a time: there are few cores, and ports are looked up before they are used.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A base port such that the HTTP and link ports of `n` validators are free, below the range from which the system picks ports for
/// outgoing connections.
pub(crate) fn free_port(n: u16) -> u16 {
    for _ in 0..200 {
        let random = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = 12_000 + random % 18_000;
        let free = |at: u16| TcpListener::bind(("127.0.0.1", at)).is_ok();
        if (0..n).all(|i| free(port + i) && free(port + 1_000 + i)) {
            return port;
        }
    }
    panic!("no free range of ports");
}

/// Waits until a condition holds.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// A local network whose validators are started one by one. They end with the test.
pub(crate) struct Network {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) nodes: Vec<Option<Child>>,
}

impl Network {
    /// Makes the homes; nothing is started. `config` may be empty.
    pub(crate) fn new(n: u16, config: &str) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port(n));
        let (n_text, port_text) = (n.to_string(), port.to_string());
        let root = dir.path().to_str().unwrap();
        let mut args = vec!["init", "--validators", &n_text, "--dir", root, "--port", &port_text];
        let file = dir.path().join("config.json");
        if !config.is_empty() {
            std::fs::write(&file, config).unwrap();
            args.extend(["--config", file.to_str().unwrap()]);
        }
        run(&args).ok();
        Self { dir, port, nodes: (0..n).map(|_| None).collect() }
    }

    pub(crate) fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", usize::from(self.port) + index)
    }

    pub(crate) fn home(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("v{index}"))
    }

    pub(crate) fn genesis(&self) -> String {
        self.dir.path().join("genesis.json").to_str().unwrap().to_owned()
    }

    /// Starts a validator and waits until it answers.
    pub(crate) fn start(&mut self, index: usize) {
        let log = std::fs::File::options().create(true).append(true).open(self.home(index).join("node.log")).unwrap();
        let child = program()
            .args(["start", "--exit-with-parent", "--home"])
            .arg(self.home(index))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.nodes[index] = Some(child);
        let url = self.url(index);
        eventually("the node serves", || {
            let ended = self.nodes[index].as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(self.home(index).join("node.log")).unwrap());
            (run(&["status", "--node", &url]).code == 0).then_some(())
        });
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut child = self.nodes[index].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn status(&self, index: usize) -> Value {
        run(&["status", "--json", "--node", &self.url(index)]).json()
    }

    pub(crate) fn height(&self, index: usize) -> u64 {
        self.status(index)["height"].as_u64().unwrap()
    }

    /// Heights and hashes of a validator's blocks up to `height`.
    pub(crate) fn blocks(&self, index: usize, height: u64) -> Vec<(u64, String)> {
        let out = run(&["log", "--json", "--limit", &height.to_string(), "--node", &self.url(index)]).ok();
        out.lines().map(|line| block(&serde_json::from_str(line).unwrap())).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Height and hash of a block.
pub(crate) fn block(view: &Value) -> (u64, String) {
    (view["height"].as_u64().unwrap(), view["hash"].as_str().unwrap().to_owned())
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
