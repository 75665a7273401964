//! How fast a validator with an empty store catches up, against the speed at which the blocks were made, and what it costs the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, get_json};
use crate::option;

/// Validators of the network.
const VALIDATORS: u16 = 4;
/// Who is emptied.
const LATE: usize = 3;
/// Longest time for catching up.
const PATIENCE: Duration = Duration::from_secs(1_200);
const POLL: Duration = Duration::from_millis(5);

/// Runs the benchmark.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (blocks, level) = (option(args, "--blocks", 5_000_u64)?, option(args, "--level", 768_u32)?);
    let clients = option(args, "--clients", 4_usize)?;
    println!(
        "machine: {} cores; level {level}, {VALIDATORS} validators as processes, {clients} clients",
        crate::floor::cores()
    );
    let mut cluster = Cluster::start(VALIDATORS, level)?;
    let load = Load::start(&cluster.urls, clients);
    let begun = Instant::now();
    while height(&cluster.urls[0])? < blocks {
        std::thread::sleep(Duration::from_millis(50)); // polling, bounded by the making of blocks
    }
    let produced = blocks as f64 / begun.elapsed().as_secs_f64();
    load.stop();
    let bytes = cluster.sample()?.bytes;
    println!(
        "made: {blocks} blocks at {produced:.0} blocks/s by {clients} clients with one value at a time each ({:.0} MB sent in all)",
        bytes / 1e6
    );

    let (seconds, reached) = catch_up(&mut cluster)?;
    let rate = reached as f64 / seconds;
    println!(
        "others idle:    {reached} blocks in {seconds:.2} s, {rate:.0} blocks/s; ratio to making them {:.1}",
        rate / produced
    );

    // The same while clients keep the others busy: what they lose, and what the late one still reaches.
    let load = Load::start(&cluster.urls[..LATE], clients);
    cluster.kill(LATE)?;
    let alone = rate_over(&cluster, Duration::from_secs(5))?;
    let before = height(&cluster.urls[0])?;
    let clock = Instant::now();
    let (seconds, reached) = catch_up(&mut cluster)?;
    let beside = (height(&cluster.urls[0])? - before) as f64 / clock.elapsed().as_secs_f64();
    load.stop();
    let rate = reached as f64 / seconds;
    println!(
        "others at work: {reached} blocks in {seconds:.2} s, {rate:.0} blocks/s; the three make {alone:.0} blocks/s without it and {beside:.0} \
         beside it (same {} cores)",
        crate::floor::cores()
    );
    Ok(())
}

/// Empties the late validator, starts it, and waits until it is where the others were at its start; the time from its first answer.
fn catch_up(cluster: &mut Cluster) -> Result<(f64, u64), String> {
    cluster.kill(LATE)?;
    cluster.empty(LATE)?;
    let target = height(&cluster.urls[0])?;
    cluster.start_again(LATE)?;
    let begun = Instant::now();
    loop {
        let reached = height(&cluster.urls[LATE]).unwrap_or(0);
        if reached >= target {
            return Ok((begun.elapsed().as_secs_f64(), reached));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("the late validator is at {reached} of {target} after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(POLL); // polling, bounded above
    }
}

fn height(url: &str) -> Result<u64, String> {
    get_json(&format!("{url}/v1/status"))?["height"].as_u64().ok_or_else(|| "no height".to_owned())
}

fn rate_over(cluster: &Cluster, time: Duration) -> Result<f64, String> {
    let (before, begun) = (height(&cluster.urls[0])?, Instant::now());
    std::thread::sleep(time); // the measured interval
    Ok((height(&cluster.urls[0])? - before) as f64 / begun.elapsed().as_secs_f64())
}

/// Clients that each wait for their value to be final before they propose the next.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(urls: &[String], clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..clients).map(|at| {
            let (url, stop) = (urls[at % urls.len()].clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let agent = ureq::Agent::new_with_defaults();
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    if let Err(error) = one(&agent, &url, at, number) {
                        eprintln!("client {at}: {error}");
                        std::thread::sleep(Duration::from_millis(50)); // the validator did not answer
                    }
                }
            })
        });
        Self { stop: Arc::clone(&stop), threads: threads.collect() }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn one(agent: &ureq::Agent, url: &str, client: usize, number: u64) -> Result<(), String> {
    let taken = agent
        .post(format!("{url}/v1/proposals"))
        .header("content-type", "application/json")
        .send(format!("{{\"value\":\"client {client} value {number}\"}}"))
        .and_then(|mut r| r.body_mut().read_to_string())
        .map_err(|e| e.to_string())?;
    let taken: serde_json::Value = serde_json::from_str(&taken).map_err(|e| e.to_string())?;
    let id = taken["id"].as_str().ok_or("no id")?;
    get_json(&format!("{url}/v1/proposals/{id}?wait_ms=30000")).map(drop)
}
