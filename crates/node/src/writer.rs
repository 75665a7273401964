//! The way to the store: writes of one step go together, small ones at once on the core's thread, large ones on a thread of their own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use consensus::records::Record;
use consensus::replica::Ticket;
use engine::records::batch_of;
use storage::{Batch, ByteStore, StoreError};

use crate::core::{CoreInput, CoreSender};
use crate::hub::Hub;

/// Records up to this size are flushed where they arise: two changes of thread would cost more than the other work could gain.
const INLINE_BYTES: usize = 128 * 1024;
/// Steps of one flush, at most; keeps the memory of a group commit bounded.
const GROUP_STEPS: usize = 1_024;

/// What one step of the core writes, in order, atomically.
#[derive(Default)]
pub(crate) struct Step {
    records: Vec<Record>,
    tickets: Vec<Ticket>,
    bytes: usize,
}

impl Step {
    pub(crate) fn persist(&mut self, ticket: Ticket, records: Vec<Record>) {
        self.tickets.push(ticket);
        self.index(records);
    }

    pub(crate) fn index(&mut self, records: Vec<Record>) {
        let size = |record: &Record| record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        self.bytes += records.iter().map(size).sum::<usize>();
        self.records.extend(records);
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.tickets.is_empty()
    }
}

enum Job {
    Write(Step),
    Stop,
}

/// The store, shared by the core's thread and the writer's; each writes only when the other has nothing under way.
#[derive(Clone)]
struct SharedStore {
    store: Arc<Mutex<Box<dyn ByteStore>>>,
    hub: Arc<Hub>,
}

impl SharedStore {
    fn commit(&self, batches: &[Batch], durable: bool) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.commit(batches, durable)?;
        if durable {
            self.hub.metrics.flush.observe(begun.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// The way to the store. What waits in it is bounded by what the core withholds: nothing new is decided before earlier writes return.
pub(crate) struct Writer {
    store: SharedStore,
    jobs: Sender<Job>,
    /// Steps handed to the thread and not written yet. While there are any, order demands that later steps follow them.
    under_way: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the thread. When a write fails it tells the core, which stops the node.
    pub(crate) fn start(
        store: Box<dyn ByteStore>,
        core: CoreSender,
        hub: Arc<Hub>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, receiver) = channel();
        let store = SharedStore { store: Arc::new(Mutex::new(store)), hub };
        let under_way = Arc::new(AtomicUsize::new(0));
        let (shared, counter) = (store.clone(), Arc::clone(&under_way));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&shared, &receiver, &core, &counter))?;
        Ok((Self { store, jobs, under_way }, thread))
    }

    /// Writes a step. Returns the tickets that are durable now; those of a large step come to the core as inputs later.
    pub(crate) fn write(&self, step: Step) -> Result<Vec<Ticket>, String> {
        if step.is_empty() {
            return Ok(Vec::new());
        }
        let idle = self.under_way.load(Ordering::Acquire) == 0;
        if idle && step.bytes <= INLINE_BYTES {
            let durable = !step.tickets.is_empty();
            self.store.commit(&[batch_of(step.records)], durable).map_err(|error| error.to_string())?;
            return Ok(step.tickets);
        }
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.jobs.send(Job::Write(step)).map_err(|_| "the store's writer is gone".to_owned())?;
        Ok(Vec::new())
    }

    /// Flushes what is under way and ends the thread.
    pub(crate) fn stop(&self) {
        let _ = self.jobs.send(Job::Stop);
    }
}

fn run(store: &SharedStore, jobs: &Receiver<Job>, core: &CoreSender, under_way: &AtomicUsize) {
    let mut stopping = false;
    while !stopping {
        let Ok(first) = jobs.recv() else { return };
        let mut steps = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(step) => steps.push(step),
                Job::Stop => {
                    stopping = true;
                    break;
                }
            }
            next = if steps.len() < GROUP_STEPS { jobs.try_recv().ok() } else { None };
        }
        let count = steps.len();
        let tickets: Vec<Ticket> = steps.iter().flat_map(|step| step.tickets.iter().copied()).collect();
        let batches: Vec<Batch> = steps.into_iter().map(|step| batch_of(step.records)).collect();
        if let Err(error) = store.commit(&batches, !tickets.is_empty() || stopping) {
            core.urgent(CoreInput::Fatal(error.to_string()));
            return;
        }
        under_way.fetch_sub(count, Ordering::AcqRel);
        for ticket in tickets {
            core.urgent(CoreInput::Persisted(ticket));
        }
    }
}
