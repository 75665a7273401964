//! A load generator: one connection per validator, NDJSON bodies, as fast as the validators take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Values in one body.
const LINES: usize = 2_000;

/// A running load.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) accepted: Arc<AtomicU64>,
    pub(crate) busy: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends values of `size` bytes to every URL until stopped.
    pub(crate) fn start(urls: &[String], size: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (accepted, busy) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let threads = urls
            .iter()
            .map(|url| {
                let url = format!("{url}/v1/proposals");
                let (stop, accepted, busy) = (Arc::clone(&stop), Arc::clone(&accepted), Arc::clone(&busy));
                std::thread::spawn(move || send(&url, size, &stop, &accepted, &busy))
            })
            .collect();
        Self { stop, accepted, busy, threads }
    }

    /// Ends the load.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn send(url: &str, size: usize, stop: &AtomicBool, accepted: &AtomicU64, busy: &AtomicU64) {
    let line = format!("\"{}\"\n", "x".repeat(size));
    let body = line.repeat(LINES);
    let agent = ureq::Agent::new_with_defaults();
    while !stop.load(Ordering::Relaxed) {
        let sent = agent
            .post(url)
            .header("content-type", "application/x-ndjson")
            .send(body.as_str())
            .and_then(|mut response| response.body_mut().read_to_string());
        match sent {
            Ok(text) => {
                let refused = text.matches("\"error\"").count() as u64;
                accepted.fetch_add(LINES as u64 - refused.min(LINES as u64), Ordering::Relaxed);
                busy.fetch_add(refused, Ordering::Relaxed);
                if refused > 0 {
                    std::thread::sleep(Duration::from_millis(5)); // the validator asked for a pause
                }
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)), // the validator is not reachable right now
        }
    }
}
