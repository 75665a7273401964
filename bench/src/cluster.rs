//! Real validators as separate processes on loopback: the benchmark runs itself as each of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consensus::types::Timestamp;
use node::setup::{ConfigSource, create_local};
use node::{Node, NodeOptions};

/// The hidden verb of a validator process.
pub(crate) const NODE_VERB: &str = "__node";

/// A running local network.
pub(crate) struct Cluster {
    children: Vec<Child>,
    pub(crate) urls: Vec<String>,
    dir: tempfile::TempDir,
}

/// Figures of all validators together at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) height: f64,
    pub(crate) view: f64,
    pub(crate) values: f64,
    pub(crate) fast: f64,
    pub(crate) slow: f64,
    pub(crate) signatures: f64,
    pub(crate) received: f64,
    pub(crate) bytes: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_mib: f64,
}

impl Cluster {
    /// Starts `n` validators at `level` with the limits of a bulk benchmark.
    pub(crate) fn start(n: u16, level: u32) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let port = free_ports(n)?;
        // Level 0 is the classical comparison: Ed25519 and X25519.
        let classical = level == 0;
        let env = |name: &str| (classical && name == "QUANTUM_SECURITY").then(|| "false".to_owned());
        let source = ConfigSource::new(&config(level), &env).map_err(|e| e.to_string())?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let net = dir.path().join("net");
        create_local(&net, usize::from(n), "bench", port, &source, Timestamp::new(created))
            .map_err(|e| e.to_string())?;
        let me = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut children = Vec::new();
        for index in 0..n {
            let home = net.join(format!("v{index}"));
            let log = std::fs::File::create(home.join("node.log")).map_err(|e| e.to_string())?;
            let mut command = Command::new(&me);
            if classical {
                command.env("QUANTUM_SECURITY", "false");
            }
            let child = command
                .arg(NODE_VERB)
                .arg(&home)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(|e| e.to_string())?;
            children.push(child);
        }
        let urls = (0..n).map(|index| format!("http://127.0.0.1:{}", port + index)).collect();
        let cluster = Self { children, urls, dir };
        cluster.wait_until_linked(dir_of(&cluster))?;
        Ok(cluster)
    }

    fn wait_until_linked(&self, dir: &Path) -> Result<(), String> {
        let begun = Instant::now();
        for (index, url) in self.urls.iter().enumerate() {
            loop {
                let peers = get_json(&format!("{url}/v1/status")).ok().map(|status| {
                    (status["peers_connected"].as_u64().unwrap_or(0), status["peers"].as_u64().unwrap_or(u64::MAX))
                });
                if peers.is_some_and(|(connected, all)| connected == all) {
                    break;
                }
                if begun.elapsed() > Duration::from_secs(60) {
                    let log = std::fs::read_to_string(dir.join(format!("net/v{index}/node.log"))).unwrap_or_default();
                    return Err(format!("validator {index} does not link up within 60 s; its log:\n{log}"));
                }
                std::thread::sleep(Duration::from_millis(20)); // polling, bounded above
            }
        }
        Ok(())
    }

    /// Reads all validators' figures.
    pub(crate) fn sample(&self) -> Result<Sample, String> {
        let mut total = Sample {
            at: Instant::now(),
            height: 0.0,
            view: 0.0,
            values: 0.0,
            fast: 0.0,
            slow: 0.0,
            signatures: 0.0,
            received: 0.0,
            bytes: 0.0,
            cpu_seconds: 0.0,
            rss_mib: 0.0,
        };
        for (index, url) in self.urls.iter().enumerate() {
            let metrics = metrics(url)?;
            let get = |name: &str| metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, v)| v).sum::<f64>();
            if index == 0 {
                total.height = get("agent_mesh_height");
                total.view = metrics.get("agent_mesh_view").copied().unwrap_or(0.0);
                total.values = get("agent_mesh_final_values_total");
                total.fast = get("agent_mesh_final_blocks_total{path=\"fast\"}");
                total.slow = get("agent_mesh_final_blocks_total{path=\"slow\"}");
            }
            total.signatures += get("agent_mesh_signatures_total");
            total.received += get("agent_mesh_messages_received_total{kind=\"vote\"}")
                + get("agent_mesh_messages_received_total{kind=\"proposal\"}");
            total.bytes += get("agent_mesh_sent_bytes_total");
        }
        for child in &self.children {
            let (cpu, rss) = process_figures(child.id())?;
            total.cpu_seconds += cpu;
            total.rss_mib = total.rss_mib.max(rss);
        }
        Ok(total)
    }
}

fn dir_of(cluster: &Cluster) -> &Path {
    cluster.dir.path()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.stdin.take()); // the validator ends when its input does
        }
        let begun = Instant::now();
        for child in &mut self.children {
            while begun.elapsed() < Duration::from_secs(10) {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20)); // polling, bounded above
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The limits that the benchmark raises, printed with its results.
pub(crate) const RAISED: &str = "max_proposals 1000000, max_batch_size 20000, max_requests_per_second 1000000, mempool_bytes 256 MiB, max_foreign_per_peer 1000000";

fn config(level: u32) -> String {
    let dimension = if level == 0 { 768 } else { level };
    format!(
        r#"{{"quantum_security": {{"lattice_dimension": {dimension}}},
            "consensus": {{"max_proposals": 1000000}},
            "batching": {{"max_batch_size": 20000}},
            "api": {{"max_requests_per_second": 1000000}},
            "node": {{"mempool_bytes": 268435456, "max_foreign_per_peer": 1000000}},
            "log": {{"level": "warn"}}}}"#
    )
}

/// A base port whose HTTP and link ports are free now.
fn free_ports(n: u16) -> Result<u16, String> {
    for _ in 0..100 {
        let probe = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = probe.local_addr().map_err(|e| e.to_string())?.port();
        let free = |at: u16| TcpListener::bind(("127.0.0.1", at)).is_ok();
        drop(probe);
        if port < 60_000 && (0..n).all(|i| free(port + i) && free(port + 1_000 + i)) {
            return Ok(port);
        }
    }
    Err("no free range of ports".to_owned())
}

/// GET as JSON.
pub(crate) fn get_json(url: &str) -> Result<serde_json::Value, String> {
    let text = ureq::get(url).call().and_then(|mut r| r.body_mut().read_to_string()).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

fn metrics(url: &str) -> Result<BTreeMap<String, f64>, String> {
    let text = ureq::get(format!("{url}/metrics"))
        .call()
        .and_then(|mut r| r.body_mut().read_to_string())
        .map_err(|e| e.to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?)))
        .collect())
}

/// CPU seconds and resident MiB of a process.
fn process_figures(pid: u32) -> Result<(f64, f64), String> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|e| e.to_string());
    let stat = read("stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    let status = read("status")?;
    let rss =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    Ok((ticks / 100.0, rss.unwrap_or(0.0) / 1_024.0))
}

/// A validator process: runs until its standard input ends.
pub(crate) fn node_main(args: &[String]) -> Result<(), String> {
    let home = args.first().ok_or("no home")?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::floor::cores().min(4))
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut node = Node::initialize(NodeOptions::new(home)).map_err(|e| e.to_string())?;
        node.start().await.map_err(|e| e.to_string())?;
        let input = tokio::task::spawn_blocking(|| {
            let mut rest = Vec::new();
            std::io::stdin().read_to_end(&mut rest)
        });
        tokio::select! {
            _ = input => node.shutdown().await.map_err(|e| e.to_string()),
            error = node.ended() => Err(error.to_string()),
        }
    })
}
