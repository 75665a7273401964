//! `bench one`: one workload on one network, its figures as one line of JSON; `bench scale`: the same over sizes, as a table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crypto::SecurityLevel;
use serde_json::{Value, json};

use crate::cluster::{Cluster, RAISED, Sample};
use crate::floor::measure;
use crate::load::Load;
use crate::{option, percentile};

/// Values offered per second in the workload `rate`.
const RATE: u64 = 160;
/// Clients that offer them: each is busy for the time to finality, so that one slow value delays few others.
const RATE_CLIENTS: u64 = 16;

/// `bench one`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let workload: String = option(args, "--workload", "lone".to_owned())?;
    let n: u16 = option(args, "--validators", 4)?;
    let level: u32 = option(args, "--level", 768)?;
    let size: usize = option(args, "--size", 32)?;
    let seconds: u64 = option(args, "--seconds", 8)?;
    println!("{}", figures(&workload, n, level, size, seconds)?);
    Ok(())
}

/// `bench scale`.
pub(crate) fn scale(args: &[String]) -> Result<(), String> {
    let sizes: String = option(args, "--validators", "4,7,10,16,31".to_owned())?;
    let seconds: u64 = option(args, "--seconds", 6)?;
    let level: u32 = option(args, "--level", 768)?;
    let floor = measure(SecurityLevel::from_dimension(level).map_err(|e| e.to_string())?)?;
    println!("level {level}, real processes on {} cores; raised limits: {RAISED}", crate::floor::cores());
    println!(
        "{:>4} {:>9} {:>9} {:>9} {:>12} {:>14} {:>10} {:>12}",
        "n", "lone p50", "lone p99", "views/s", "512 B/s", "bytes/decision", "CPU/dec.", "CPU/floor"
    );
    for size in sizes.split(',') {
        let n: u16 = size.trim().parse().map_err(|_| format!("--validators: {size:?} is not a number"))?;
        let lone = figures("lone", n, level, 32, seconds)?;
        let views = figures("views", n, level, 32, seconds)?;
        let peak = figures("peak", n, level, 512, seconds)?;
        // A decision on the fast path needs n signatures, and each validator verifies those of the others.
        let others = f64::from(n) * (f64::from(n) - 1.0);
        let pure_ms = (f64::from(n) * floor.sign + others * floor.verify) / 1_000.0;
        let get = |figures: &Value, name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "{n:>4} {:>9.2} {:>9.2} {:>9.1} {:>12.0} {:>14.0} {:>10.2} {:>12.2}",
            get(&lone, "p50_ms"),
            get(&lone, "p99_ms"),
            get(&views, "views_per_second"),
            get(&peak, "values_per_second"),
            get(&lone, "bytes_per_decision"),
            get(&lone, "cpu_ms_per_decision"),
            get(&lone, "cpu_ms_per_decision") / pure_ms
        );
    }
    Ok(())
}

fn figures(workload: &str, n: u16, level: u32, size: usize, seconds: u64) -> Result<Value, String> {
    let cluster = Cluster::start(n, level)?;
    let span = Duration::from_secs(seconds);
    let before;
    let mut waits = Vec::new();
    match workload {
        // One value at a time, the validators in turn; or each validator's own client one at a time.
        "lone" | "views" | "rate" => {
            clients(&cluster, workload, size, Duration::from_secs(1)); // warm-up
            before = cluster.sample()?;
            waits = clients(&cluster, workload, size, span);
        }
        "peak" => {
            let load = Load::start(&cluster.urls, size);
            std::thread::sleep(Duration::from_secs(2)); // warm-up; the measured span follows
            before = cluster.sample()?;
            std::thread::sleep(span); // the measured span
            let after = cluster.sample()?;
            load.stop();
            return Ok(report(workload, (n, level, size), &before, &after, waits));
        }
        other => return Err(format!("--workload {other:?}: use lone, views, rate or peak")),
    }
    let after = cluster.sample()?;
    Ok(report(workload, (n, level, size), &before, &after, waits))
}

fn report(
    workload: &str,
    (n, level, size): (u16, u32, usize),
    before: &Sample,
    after: &Sample,
    mut waits: Vec<f64>,
) -> Value {
    waits.sort_by(f64::total_cmp);
    let span = after.at.duration_since(before.at).as_secs_f64();
    let decisions = (after.height - before.height).max(1.0);
    let milliseconds = |p: f64| (!waits.is_empty()).then(|| percentile(&waits, p));
    json!({
        "engine": "agent-mesh", "workload": workload, "validators": n, "level": level, "size": size,
        "p50_ms": milliseconds(50.0), "p99_ms": milliseconds(99.0), "measured": waits.len(),
        "views_per_second": (after.view - before.view) / span,
        "values_per_second": (after.values - before.values) / span,
        "decisions": decisions,
        "all_decisions": after.height,
        "bytes_per_decision": (after.bytes - before.bytes) / decisions,
        "cpu_ms_per_decision": (after.cpu_seconds - before.cpu_seconds) * 1e3 / decisions,
        "signatures_per_decision": (after.signatures - before.signatures) / decisions,
        "fast_share": (after.fast - before.fast) / (after.fast - before.fast + after.slow - before.slow).max(1.0),
        "resident_mib": after.rss_mib,
    })
}

/// Clients over HTTP for a span: milliseconds from sending each value to its final result.
fn clients(cluster: &Cluster, workload: &str, size: usize, span: Duration) -> Vec<f64> {
    let urls = &cluster.urls;
    let (count, pause) = match workload {
        "lone" => (1, None),
        "views" => (urls.len() as u64, None),
        _ => (RATE_CLIENTS, Some(Duration::from_micros(1_000_000 * RATE_CLIENTS / RATE))),
    };
    let waits = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..count)
        .map(|client| {
            let (urls, waits, stop) = (urls.clone(), Arc::clone(&waits), Arc::clone(&stop));
            let first = pause.map(|pause| Instant::now() + pause * client as u32 / count as u32);
            std::thread::spawn(move || {
                let agent = ureq::Agent::new_with_defaults();
                let mut turn = client as usize;
                let mut due = first;
                while !stop.load(Ordering::Relaxed) {
                    if let (Some(at), Some(pause)) = (due.as_mut(), pause) {
                        std::thread::sleep(at.saturating_duration_since(Instant::now())); // the offered rate
                        *at += pause;
                    }
                    let url = &urls[turn % urls.len()];
                    if pause.is_some() || count == 1 {
                        turn += 1;
                    }
                    if let Some(waited) = one_value(&agent, url, size) {
                        waits.lock().unwrap_or_else(PoisonError::into_inner).push(waited);
                    }
                }
            })
        })
        .collect();
    std::thread::sleep(span); // the measured span
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    std::mem::take(&mut *waits.lock().unwrap_or_else(PoisonError::into_inner))
}

fn one_value(agent: &ureq::Agent, url: &str, size: usize) -> Option<f64> {
    let begun = Instant::now();
    let body = format!("{{\"value\":\"{}\"}}", "x".repeat(size));
    let taken = agent
        .post(format!("{url}/v1/proposals"))
        .header("content-type", "application/json")
        .send(body)
        .and_then(|mut r| r.body_mut().read_to_string())
        .ok()?;
    let taken: Value = serde_json::from_str(&taken).ok()?;
    let id = taken["id"].as_str()?;
    let result = agent
        .get(format!("{url}/v1/proposals/{id}?wait_ms=30000"))
        .call()
        .and_then(|mut r| r.body_mut().read_to_string())
        .ok()?;
    let waited = begun.elapsed().as_secs_f64() * 1e3;
    let result: Value = serde_json::from_str(&result).ok()?;
    (result["state"] == "final").then_some(waited)
}
