//! The store's writer: one thread that takes what is queued, writes it in order, and flushes once.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use consensus::records::Record;
use consensus::replica::Ticket;
use engine::records::batch_of;
use storage::ByteStore;

use crate::core::{CoreInput, CoreSender};
use crate::hub::Hub;
use crate::metrics::Metrics;

/// Something to be written.
pub(crate) enum Job {
    /// Durably; the core is told.
    Persist(Ticket, Vec<Record>),
    /// With the next flush.
    Index(Vec<Record>),
    /// Flush and end.
    Stop,
}

/// The way to the writer. What waits in it is bounded by what the core withholds: nothing new is decided before earlier writes return.
#[derive(Clone)]
pub(crate) struct Writer(Sender<Job>);

impl Writer {
    /// Starts the thread. When a write fails it tells the core, which stops the node.
    pub(crate) fn start(
        mut store: Box<dyn ByteStore>,
        core: CoreSender,
        hub: Arc<Hub>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, jobs) = channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(store.as_mut(), &jobs, &core, &hub.metrics))?;
        Ok((Self(sender), thread))
    }

    pub(crate) fn submit(&self, job: Job) {
        // A writer that is gone has told the core why.
        let _ = self.0.send(job);
    }
}

/// Jobs of one flush, at most; keeps the memory of a group commit bounded.
const GROUP_JOBS: usize = 1_024;

fn run(store: &mut dyn ByteStore, jobs: &Receiver<Job>, core: &CoreSender, metrics: &Metrics) {
    let mut stopping = false;
    while !stopping {
        let Ok(first) = jobs.recv() else { return };
        let mut batches = Vec::new();
        let mut tickets = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Persist(ticket, records) => {
                    batches.push(batch_of(records));
                    tickets.push(ticket);
                }
                Job::Index(records) => batches.push(batch_of(records)),
                Job::Stop => {
                    stopping = true;
                    break;
                }
            }
            next = if batches.len() < GROUP_JOBS { jobs.try_recv().ok() } else { None };
        }
        let durable = !tickets.is_empty() || stopping;
        let begun = Instant::now();
        if let Err(error) = store.commit(&batches, durable) {
            core.urgent(CoreInput::Fatal(error.to_string()));
            return;
        }
        if durable {
            metrics.flush.observe(begun.elapsed().as_secs_f64());
        }
        for ticket in tickets {
            core.urgent(CoreInput::Persisted(ticket));
        }
    }
}
