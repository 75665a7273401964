//! The audit log: key events of a node, each entry bound to the one before by its hash, on disk before the next.
//!
//! ```text
//! core, links, HTTP ─▶ Audit::record ─▶ (bounded queue) ─▶ thread `audit` ─▶ audit/audit-00000001.jsonl
//! ```

mod check;
mod entry;
mod file;
mod throttle;

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use prometheus::IntCounter;
use serde_json::{Value, json};

use crate::clock::system_now;

pub use check::{AuditReport, verify};
pub use entry::{AuditEntry, AuditError};
use file::AuditFile;
use throttle::Throttle;

/// Events that wait to be written; further ones are counted, and the count is written.
const QUEUE: usize = 1_024;
/// Entries about what strangers cause, such as refused connections, in a minute; the rest is counted.
const STRANGERS_PER_MINUTE: u32 = 30;

enum Job {
    Entry { time_us: u64, event: &'static str, details: Value },
    Stop,
}

/// The way to the audit log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Audit {
    jobs: SyncSender<Job>,
    throttle: Arc<Mutex<Throttle>>,
    failures: IntCounter,
}

/// The thread that writes.
pub(crate) struct AuditThread(JoinHandle<()>);

impl Audit {
    /// Opens the log in `dir`, made if it is not there, and goes on behind its last entry.
    pub(crate) fn open(
        dir: &Path,
        entries: IntCounter,
        failures: IntCounter,
    ) -> Result<(Self, AuditThread), AuditError> {
        let mut file = AuditFile::open(dir)?;
        if file.torn_bytes() > 0 {
            let details = json!({"what": "the last entry was cut off and is removed", "bytes": file.torn_bytes()});
            file.append(system_now().get(), "repaired", &details)?;
            entries.inc();
        }
        let (jobs, receiver) = sync_channel(QUEUE);
        let failed = failures.clone();
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || run(file, &receiver, &entries, &failed))
            .map_err(|source| AuditError::Io { path: dir.to_owned(), source })?;
        let throttle = Arc::new(Mutex::new(Throttle::new(STRANGERS_PER_MINUTE, Instant::now())));
        Ok((Self { jobs, throttle, failures }, AuditThread(thread)))
    }

    /// Hands an event over. Never waits: with a full queue the event is lost, which is logged and counted.
    pub(crate) fn record(&self, event: &'static str, details: Value) {
        if self.jobs.try_send(Job::Entry { time_us: system_now().get(), event, details }).is_err() {
            self.failures.inc();
            tracing::error!(event, "the audit log does not keep up, or has ended: an event is missing in it");
        }
    }

    /// Like [`Self::record`], for events that anyone who reaches a port can cause: so many in a minute, then only their number.
    pub(crate) fn record_stranger(&self, event: &'static str, details: impl FnOnce() -> Value) {
        let verdict = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        if let Some(suppressed) = verdict {
            let mut details = details();
            if suppressed > 0
                && let Value::Object(fields) = &mut details
            {
                fields.insert("not_written_before".to_owned(), json!(suppressed));
            }
            self.record(event, details);
        }
    }

    /// Writes what is queued and ends the thread.
    pub(crate) fn stop(&self, thread: AuditThread) {
        let _ = self.jobs.send(Job::Stop);
        if thread.0.join().is_err() {
            tracing::error!("the audit thread panicked");
        }
    }
}

fn run(mut file: AuditFile, jobs: &Receiver<Job>, entries: &IntCounter, failures: &IntCounter) {
    while let Ok(Job::Entry { time_us, event, details }) = jobs.recv() {
        match file.append(time_us, event, &details) {
            Ok(()) => entries.inc(),
            Err(error) => {
                failures.inc();
                tracing::error!(%error, event, "an event cannot be written to the audit log");
            }
        }
    }
}

#[cfg(test)]
mod tests;
