//! Simplex validators as separate processes on loopback, and the workloads driven through them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chain::Filling;
use crate::simplex::{self, Settings};

/// The hidden verb of a validator process.
pub const NODE_VERB: &str = "__simplex";

/// Values per second offered in the workload `rate`.
const RATE: u64 = 160;

/// Values per block in the workload `peak`: blocks of about a megabyte.
const fn peak_values(size: usize) -> usize {
    (1 << 20) / (size + 12)
}

/// A validator process.
pub fn node_main(args: &[String]) -> Result<(), String> {
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok()).ok_or("bad arguments");
    simplex::run(Settings {
        index: number(0)?,
        validators: number(1)?,
        port: number(2)? as u16,
        dir: PathBuf::from(args.get(3).ok_or("no directory")?),
        filling: Filling { size: number(4)? as usize, count: number(5)? as usize },
    });
    Ok(())
}

struct Validator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Validator {
    fn say(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).map_err(|e| e.to_string())
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err("a simplex validator has ended".to_owned()),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn figures(&mut self) -> Result<Value, String> {
        self.say("figures")?;
        serde_json::from_str(&self.answer()?).map_err(|e| e.to_string())
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Sample {
    at: Instant,
    view: f64,
    blocks: f64,
    values: f64,
    cpu_seconds: f64,
    resident_mib: f64,
}

/// One workload over `seconds`.
pub fn figures(workload: &str, n: u64, size: usize, seconds: u64) -> Result<Value, String> {
    let dir = std::env::temp_dir().join(format!("bench-peers-{}", std::process::id()));
    let filling = Filling { size, count: if workload == "peak" { peak_values(size) } else { 0 } };
    let mut validators = start(n, filling, &dir)?;
    let result = drive(&mut validators, workload, size, seconds);
    drop(validators);
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn start(n: u64, filling: Filling, dir: &std::path::Path) -> Result<Vec<Validator>, String> {
    let port = free_ports(n)?;
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    (0..n)
        .map(|index| {
            let home = dir.join(index.to_string());
            std::fs::create_dir_all(&home).map_err(|e| e.to_string())?;
            let mut child = Command::new(&me)
                .arg(NODE_VERB)
                .args([index, n, u64::from(port)].map(|number| number.to_string()))
                .arg(&home)
                .args([filling.size, filling.count].map(|number| number.to_string()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|e| e.to_string())?;
            let input = child.stdin.take().ok_or("no standard input")?;
            let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
            Ok(Validator { child, input, output })
        })
        .collect()
}

fn drive(validators: &mut [Validator], workload: &str, size: usize, seconds: u64) -> Result<Value, String> {
    let begun = Instant::now();
    loop {
        let blocks = validators.first_mut().ok_or("no validators")?.figures()?["blocks"].as_u64().unwrap_or(0);
        if blocks >= 20 {
            break;
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("simplex makes nothing final within 60 s".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50)); // polling, bounded above
    }
    std::thread::sleep(Duration::from_secs(1)); // warm-up; the measured span follows
    let before = sample(validators)?;
    let span = Duration::from_secs(seconds);
    let mut waits: Vec<f64> = Vec::new();
    match workload {
        "lone" => {
            let (begun, mut turn) = (Instant::now(), 0);
            while begun.elapsed() < span {
                let at = turn % validators.len();
                turn += 1;
                validators[at].say(&format!("value {size}"))?;
                let answer = validators[at].answer()?;
                waits.push(answer.parse::<f64>().map_err(|_| format!("a value is {answer}"))? / 1_000.0);
            }
        }
        "rate" => {
            let period = 1_000_000 * validators.len() as u64 / RATE;
            for validator in validators.iter_mut() {
                validator.say(&format!("offer {size} {period} {seconds}"))?;
            }
            for validator in validators.iter_mut() {
                validator.answer()?;
            }
            std::thread::sleep(Duration::from_millis(500)); // the last values become final
            for validator in validators.iter_mut() {
                let figures = validator.figures()?;
                let list = figures["waits_us"].as_array().cloned().unwrap_or_default();
                waits.extend(list.iter().filter_map(Value::as_f64).map(|us| us / 1_000.0));
            }
        }
        _ => std::thread::sleep(span), // the measured span: simplex makes views all the time
    }
    let after = sample(validators)?;
    waits.sort_by(f64::total_cmp);
    let at = |p: f64| (!waits.is_empty()).then(|| waits[((waits.len() - 1) as f64 * p).round() as usize]);
    let took = after.at.duration_since(before.at).as_secs_f64();
    let decisions = (after.blocks - before.blocks).max(1.0);
    Ok(json!({
        "engine": "simplex", "workload": workload, "validators": validators.len(), "size": size,
        "p50_ms": at(0.5), "p99_ms": at(0.99), "measured": waits.len(),
        "views_per_second": (after.view - before.view) / took,
        "values_per_second": (after.values - before.values) / took,
        "decisions": decisions,
        "all_decisions": after.blocks,
        "cpu_ms_per_decision": (after.cpu_seconds - before.cpu_seconds) * 1e3 / decisions,
        "resident_mib": after.resident_mib,
    }))
}

fn sample(validators: &mut [Validator]) -> Result<Sample, String> {
    let figures = validators.first_mut().ok_or("no validators")?.figures()?;
    let get = |name: &str| figures[name].as_f64().unwrap_or(0.0);
    let (view, blocks, values) = (get("view"), get("blocks"), get("values"));
    let (mut cpu_seconds, mut resident_mib) = (0.0, 0.0_f64);
    for validator in validators.iter() {
        let (cpu, resident) = process_figures(validator.child.id())?;
        cpu_seconds += cpu;
        resident_mib = resident_mib.max(resident);
    }
    Ok(Sample { at: Instant::now(), view, blocks, values, cpu_seconds, resident_mib })
}

/// CPU seconds and resident MiB of a process.
fn process_figures(pid: u32) -> Result<(f64, f64), String> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|e| e.to_string());
    let stat = read("stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    let status = read("status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok((ticks / 100.0, kib.unwrap_or(0.0) / 1_024.0))
}

/// A base port from which `n` ports are free now.
fn free_ports(n: u64) -> Result<u16, String> {
    for _ in 0..100 {
        let probe = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = probe.local_addr().map_err(|e| e.to_string())?.port();
        drop(probe);
        let free = |at: u16| TcpListener::bind(("127.0.0.1", at)).is_ok();
        if port < 60_000 && (0..n as u16).all(|i| free(port + i)) {
            return Ok(port);
        }
    }
    Err("no free range of ports".to_owned())
}
