//! `bench local`: finality of a lone value, throughput, and costs per decision, with real processes and durable writes.

use std::time::{Duration, Instant};

use crypto::SecurityLevel;

use crate::cluster::{Cluster, RAISED, Sample, get_json};
use crate::floor::{Floor, cores, measure};
use crate::load::Load;
use crate::{option, percentile};

/// `bench local`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let sizes: String = option(args, "--validators", "4,6,10".to_owned())?;
    let seconds: u64 = option(args, "--seconds", 10)?;
    let lone: usize = option(args, "--lone", 200)?;
    let dimension: u32 = option(args, "--level", 768)?;
    let level = SecurityLevel::from_dimension(dimension).map_err(|e| e.to_string())?;
    let floor = measure(level)?;
    println!("machine: {} cores, {}", cores(), cpu_name());
    println!("level {dimension}, separate processes on loopback, every vote and block flushed before it counts");
    println!("raised limits: {RAISED}");
    println!(
        "floor (median µs): sign {:.0}, verify {:.0}, flush {:.0}, hop {:.0}\n",
        floor.sign, floor.verify, floor.flush, floor.hop
    );
    for size in sizes.split(',') {
        let n: u16 = size.trim().parse().map_err(|_| format!("--validators: {size:?} is not a number"))?;
        one_size(n, dimension, seconds, lone, &floor)?;
    }
    Ok(())
}

fn one_size(n: u16, level: u32, seconds: u64, lone: usize, floor: &Floor) -> Result<(), String> {
    let cluster = Cluster::start(n, level)?;
    let quorum = get_json(&format!("{}/v1/status", cluster.urls[0]))?["quorum"].clone();
    let q_fast = quorum["q_fast"].as_f64().unwrap_or(f64::from(n));
    println!(
        "== {n} validators (f={}, c={}, q_min={}, q_fast={})",
        quorum["f"], quorum["c"], quorum["q_min"], quorum["q_fast"]
    );

    let before = cluster.sample()?;
    let (client, inside) = lone_values(&cluster, lone)?;
    let after = cluster.sample()?;
    let path = critical_path(n, q_fast, floor);
    println!(
        "lone value: client p50 {:.2} ms p99 {:.2} ms; inside p50 {:.2} ms p99 {:.2} ms; critical path {:.2} ms; ratio p50 inside/path {:.2}",
        percentile(&client, 50.0),
        percentile(&client, 99.0),
        percentile(&inside, 50.0),
        percentile(&inside, 99.0),
        path,
        percentile(&inside, 50.0) / path
    );
    print_costs("  per decision, lone values", n, &before, &after, floor);

    for size in [32, 512] {
        let load = Load::start(&cluster.urls, size);
        std::thread::sleep(Duration::from_secs(2)); // warm-up; the measured span follows
        let before = cluster.sample()?;
        std::thread::sleep(Duration::from_secs(seconds)); // the measured span
        let after = cluster.sample()?;
        let (accepted, busy) = (&load.accepted, &load.busy);
        let taken = accepted.load(std::sync::atomic::Ordering::Relaxed);
        let refused = busy.load(std::sync::atomic::Ordering::Relaxed);
        load.stop();
        let span = after.at.duration_since(before.at).as_secs_f64();
        println!(
            "{size:>3} B: {:.0} final values/s, {:.1} views/s, {:.0} values per block ({taken} taken and {refused} refused in all); largest resident {:.0} MiB",
            (after.values - before.values) / span,
            (after.view - before.view) / span,
            (after.values - before.values) / (after.height - before.height).max(1.0),
            after.rss_mib
        );
        print_costs("  per decision under load", n, &before, &after, floor);
        drain(&cluster)?;
    }
    println!();
    Ok(())
}

/// Milliseconds: sign, flush, hop, verify, sign, flush, hop, verify the quorum, with the validators' CPU divided by the cores.
fn critical_path(n: u16, q_fast: f64, floor: &Floor) -> f64 {
    let share = |work: f64| work / (cores() as f64).min(f64::from(n));
    let others = f64::from(n) - 1.0;
    let leader = floor.sign + floor.flush + floor.hop;
    let votes = share(others * (floor.verify + floor.sign)).max(floor.verify + floor.sign) + floor.flush + floor.hop;
    let quorum = share(f64::from(n) * (q_fast - 1.0) * floor.verify).max((q_fast - 1.0) * floor.verify);
    (leader + votes + quorum) / 1_000.0
}

fn lone_values(cluster: &Cluster, count: usize) -> Result<(Vec<f64>, Vec<f64>), String> {
    let agent = ureq::Agent::new_with_defaults();
    let (mut client, mut inside) = (Vec::new(), Vec::new());
    for at in 0..count + 20 {
        let url = &cluster.urls[at % cluster.urls.len()];
        let begun = Instant::now();
        let taken = agent
            .post(format!("{url}/v1/proposals"))
            .header("content-type", "application/json")
            .send(format!("{{\"value\":\"lone {at}\"}}"))
            .and_then(|mut r| r.body_mut().read_to_string())
            .map_err(|e| e.to_string())?;
        let taken: serde_json::Value = serde_json::from_str(&taken).map_err(|e| e.to_string())?;
        let id = taken["id"].as_str().ok_or("no id")?;
        let result = agent
            .get(format!("{url}/v1/proposals/{id}?wait_ms=30000"))
            .call()
            .and_then(|mut r| r.body_mut().read_to_string())
            .map_err(|e| e.to_string())?;
        let waited = begun.elapsed().as_secs_f64() * 1e3;
        let result: serde_json::Value = serde_json::from_str(&result).map_err(|e| e.to_string())?;
        if result["state"] != "final" {
            return Err(format!("a lone value is {}", result["state"]));
        }
        if at >= 20 {
            client.push(waited);
            inside.extend(result["phases_ms"]["total"].as_f64());
        }
    }
    client.sort_by(f64::total_cmp);
    inside.sort_by(f64::total_cmp);
    Ok((client, inside))
}

/// Waits until what was taken is final, so that one load does not run into the next.
fn drain(cluster: &Cluster) -> Result<(), String> {
    let begun = Instant::now();
    for url in &cluster.urls {
        while get_json(&format!("{url}/v1/status"))?["mempool"].as_u64() != Some(0) {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("values wait for over 60 s after the load".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50)); // polling, bounded above
        }
    }
    Ok(())
}

fn print_costs(what: &str, n: u16, before: &Sample, after: &Sample, floor: &Floor) {
    let decisions = (after.height - before.height).max(1.0);
    let signatures = after.signatures - before.signatures;
    let verifications = after.received - before.received;
    let cpu_ms = (after.cpu_seconds - before.cpu_seconds) * 1e3 / decisions;
    let pure_ms = (signatures * floor.sign + verifications * floor.verify) / 1e3 / decisions;
    let fast = after.fast - before.fast;
    println!(
        "{what}: {:.2} signatures ({:.2} per validator), {:.0} bytes, CPU {:.2} ms (pure signature cost {:.2} ms, ratio {:.1}), {:.0} % fast",
        signatures / decisions,
        signatures / decisions / f64::from(n),
        (after.bytes - before.bytes) / decisions,
        cpu_ms,
        pure_ms,
        cpu_ms / pure_ms,
        100.0 * fast / (fast + after.slow - before.slow).max(1.0)
    );
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}
