//! Many proposals at once: each sent to all nodes as one proposal, a window of them in flight, busy nodes asked again.
//!
//! ```text
//! drafts ─▶ window ─▶ fix deadline, nonce, id ─┬─▶ one sender a node (lines; busy ones again) ─▶ nodes
//!                                              └─▶ collectors (ask for results) ─▶ settled
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consensus::body::Proposal;
use crypto::Digest;
use node::views::{ResultView, State};

use super::{Client, ClientError, LineAnswer};
use crate::failure::{Failure, Outcome};
use crate::init::now;
use crate::signals::Stop;
use crate::values::{Draft, request};

/// Lines of one request, at most.
const CHUNK_LINES: usize = 500;
/// Bytes of one request, about.
const CHUNK_BYTES: usize = 4 << 20;
/// Threads that ask for results.
const COLLECTORS: usize = 4;
/// Waits for a busy node: from this, doubled …
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A node that does not answer for this long is left out.
const NODE_PATIENCE: Duration = Duration::from_secs(15);
/// Without anything settled for this long the rest is given up.
const STALL: Duration = Duration::from_secs(120);
/// How long a node is asked to wait for a result, milliseconds.
const WAIT_MS: u64 = 2_000;

/// How a proposal came out.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// A node has taken it; nobody waited for more.
    Taken,
    /// It is final.
    Final(Box<ResultView>),
    /// It expired.
    Expired,
    /// Every node that answers refuses it.
    Refused(String),
    /// No node answers.
    Unreachable,
    /// Not known: nothing became final for long, or the command was stopped.
    GivenUp(String),
}

/// A proposal that is settled.
pub(crate) struct Settled<'a> {
    /// Its place in the input, from 0.
    pub(crate) number: usize,
    /// Its id.
    pub(crate) id: Digest,
    /// The proposal.
    pub(crate) proposal: &'a Proposal,
    /// How it came out.
    pub(crate) fate: Fate,
}

/// What to do with many drafts.
pub(crate) struct Bulk<'a> {
    /// The nodes; each gets every proposal.
    pub(crate) clients: &'a [Client],
    /// The network, from which the ids follow.
    pub(crate) chain_id: Digest,
    /// Proposals in flight.
    pub(crate) window: usize,
    /// For drafts that name no deadline.
    pub(crate) timeout_ms: u64,
    /// Whether to wait until they are final.
    pub(crate) wait: bool,
    /// Ends it early.
    pub(crate) stop: &'a Stop,
}

/// A proposal on its way.
struct Entry {
    number: usize,
    id: Digest,
    id_text: String,
    proposal: Proposal,
    line: String,
    answers: Mutex<Answers>,
    settled: AtomicBool,
}

#[derive(Default)]
struct Answers {
    taken: usize,
    refused: Option<String>,
    /// Nodes that refused or are gone.
    against: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Run<'a> {
    bulk: &'a Bulk<'a>,
    on_settled: &'a (dyn Fn(&Settled<'_>) + Sync),
    in_flight: Mutex<usize>,
    room: Condvar,
    last_settled: Mutex<Instant>,
}

impl Bulk<'_> {
    /// Sends all drafts, in order, and tells of each when it is settled, in any order and from several threads.
    pub(crate) fn run(&self, drafts: Vec<Draft>, on_settled: &(dyn Fn(&Settled<'_>) + Sync)) -> Outcome {
        let run = Run {
            bulk: self,
            on_settled,
            in_flight: Mutex::new(0),
            room: Condvar::new(),
            last_settled: Mutex::new(Instant::now()),
        };
        std::thread::scope(|scope| {
            let senders: Vec<Sender<Arc<Entry>>> = self
                .clients
                .iter()
                .map(|client| {
                    let (sender, receiver) = channel();
                    let run = &run;
                    scope.spawn(move || run.send_to(client, &receiver));
                    sender
                })
                .collect();
            let (to_collect, collected) = channel::<Arc<Entry>>();
            let collected = Arc::new(Mutex::new(collected));
            for _ in 0..if self.wait { COLLECTORS } else { 0 } {
                let (run, collected) = (&run, Arc::clone(&collected));
                scope.spawn(move || run.collect(&collected));
            }
            for (number, draft) in drafts.into_iter().enumerate() {
                if !run.take_place() {
                    break;
                }
                let entry = Arc::new(self.entry(number, draft)?);
                // A receiver is gone only when its node is; the others go on.
                for sender in &senders {
                    let _ = sender.send(Arc::clone(&entry));
                }
                let _ = to_collect.send(entry);
            }
            Ok(())
        })
    }

    fn entry(&self, number: usize, draft: Draft) -> Outcome<Entry> {
        let proposal = draft.fix(now(), self.timeout_ms)?;
        let id = proposal.id(&self.chain_id);
        Ok(Entry {
            number,
            id,
            id_text: id.to_string(),
            line: request(&proposal),
            proposal,
            answers: Mutex::default(),
            settled: AtomicBool::new(false),
        })
    }
}

impl Run<'_> {
    fn stopped(&self) -> bool {
        self.bulk.stop.requested()
    }

    /// Waits for room in the window; `false` when stopped.
    fn take_place(&self) -> bool {
        let mut in_flight = lock(&self.in_flight);
        while *in_flight >= self.bulk.window.max(1) {
            if self.stopped() {
                return false;
            }
            let waited = self.room.wait_timeout(in_flight, PAUSE_MAX);
            in_flight = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *in_flight += 1;
        !self.stopped()
    }

    fn settle(&self, entry: &Entry, fate: Fate) {
        if entry.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        *lock(&self.last_settled) = Instant::now();
        (self.on_settled)(&Settled { number: entry.number, id: entry.id, proposal: &entry.proposal, fate });
        *lock(&self.in_flight) -= 1;
        self.room.notify_one();
    }

    fn taken(&self, entry: &Entry) {
        lock(&entry.answers).taken += 1;
        if !self.bulk.wait {
            self.settle(entry, Fate::Taken);
        }
    }

    /// A node refuses (with a reason), or is gone.
    fn against(&self, entry: &Entry, reason: Option<String>) {
        let mut answers = lock(&entry.answers);
        answers.against += 1;
        answers.refused = answers.refused.take().or(reason);
        if answers.taken > 0 || answers.against < self.bulk.clients.len() {
            return;
        }
        let fate = answers.refused.take().map_or(Fate::Unreachable, Fate::Refused);
        drop(answers);
        self.settle(entry, fate);
    }

    /// Brings every entry to one node, in order; those for which it is busy again and again.
    fn send_to(&self, client: &Client, entries: &Receiver<Arc<Entry>>) {
        let (mut waiting, mut open) = (VecDeque::new(), true);
        let (mut pause, mut silent_since) = (PAUSE_MIN, None::<Instant>);
        loop {
            // In the log already, or not to be had: other nodes have seen to it.
            waiting.retain(|entry: &Arc<Entry>| !(self.bulk.wait && entry.settled.load(Ordering::Acquire)));
            open = open && gather(&mut waiting, entries);
            if waiting.is_empty() {
                if open {
                    continue;
                }
                return;
            }
            if self.stopped() {
                break;
            }
            let chunk = chunk(&mut waiting);
            let answers = client.propose_lines(chunk.iter().map(|entry| entry.line.as_str()));
            let mut again = Vec::new();
            match answers {
                Ok(answers) => {
                    silent_since = None;
                    for (entry, answer) in chunk.into_iter().zip(answers) {
                        match answer {
                            LineAnswer::Taken(id) if id == entry.id_text => {
                                pause = PAUSE_MIN;
                                self.taken(&entry);
                            }
                            LineAnswer::Taken(id) => self.against(&entry, Some(other_id(client, &id))),
                            LineAnswer::Busy => again.push(entry),
                            LineAnswer::Refused(reason) => self.against(&entry, Some(reason)),
                        }
                    }
                }
                Err(error) if error.is_busy() => again = chunk,
                Err(ClientError::Unreachable(_)) => {
                    again = chunk;
                    if silent_since.get_or_insert_with(Instant::now).elapsed() > NODE_PATIENCE {
                        waiting.extend(again);
                        break;
                    }
                }
                Err(error) => chunk.iter().for_each(|entry| self.against(entry, Some(error.to_string()))),
            }
            if again.is_empty() {
                pause = PAUSE_MIN;
            } else {
                again.into_iter().rev().for_each(|entry| waiting.push_front(entry));
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        // Stopped, or the node is gone: the rest never gets there.
        for entry in waiting.into_iter().chain(entries.iter()) {
            self.leave(&entry);
        }
    }

    fn leave(&self, entry: &Entry) {
        if self.stopped() {
            self.settle(entry, Fate::GivenUp("stopped".to_owned()));
        } else {
            self.against(entry, None);
        }
    }

    /// Asks for the results of entries, one after the other.
    fn collect(&self, entries: &Mutex<Receiver<Arc<Entry>>>) {
        loop {
            let next = lock(entries).recv();
            let Ok(entry) = next else { return };
            let clients = self.bulk.clients;
            let mut at = entry.number % clients.len();
            while !entry.settled.load(Ordering::Acquire) {
                if self.stopped() {
                    self.settle(&entry, Fate::GivenUp("stopped".to_owned()));
                } else if lock(&self.last_settled).elapsed() > STALL {
                    let why = format!("nothing has become final for {} s", STALL.as_secs());
                    self.settle(&entry, Fate::GivenUp(why));
                } else if lock(&entry.answers).taken == 0 {
                    std::thread::sleep(PAUSE_MIN);
                } else if !self.ask(&clients[at], &entry) {
                    at = (at + 1) % clients.len();
                    std::thread::sleep(PAUSE_MIN);
                }
            }
        }
    }

    /// Whether it is worth asking the same node again.
    fn ask(&self, client: &Client, entry: &Entry) -> bool {
        match client.result(&entry.id_text, WAIT_MS) {
            Ok(Some(view)) => {
                match view.state {
                    State::Final => self.settle(entry, Fate::Final(Box::new(view))),
                    State::Expired => self.settle(entry, Fate::Expired),
                    State::Refused => self.settle(entry, Fate::Refused(format!("{} refused it", client.url()))),
                    State::Pending => {}
                }
                true
            }
            Ok(None) | Err(ClientError::Unreachable(_)) => false,
            Err(error) if error.is_busy() => false,
            Err(error) => {
                self.settle(entry, Fate::GivenUp(error.to_string()));
                true
            }
        }
    }
}

fn other_id(client: &Client, id: &str) -> String {
    format!("{} names it {id}: the node is of another network or version", client.url())
}

/// Adds what has come; waits if there is nothing else to do. `false` when nothing more will come.
fn gather(waiting: &mut VecDeque<Arc<Entry>>, entries: &Receiver<Arc<Entry>>) -> bool {
    if waiting.is_empty() {
        match entries.recv() {
            Ok(entry) => waiting.push_back(entry),
            Err(_) => return false,
        }
    }
    while waiting.len() < CHUNK_LINES {
        match entries.try_recv() {
            Ok(entry) => waiting.push_back(entry),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
    true
}

/// The lines of the next request.
fn chunk(waiting: &mut VecDeque<Arc<Entry>>) -> Vec<Arc<Entry>> {
    let (mut bytes, mut count) = (0, 0);
    for entry in waiting.iter().take(CHUNK_LINES) {
        bytes += entry.line.len() + 1;
        if count > 0 && bytes > CHUNK_BYTES {
            break;
        }
        count += 1;
    }
    waiting.drain(..count).collect()
}

/// Fails when `clients` do not agree on the network, and returns its chain id from the first that answers.
pub(crate) fn chain_of(clients: &[Client]) -> Outcome<Digest> {
    let (mut chain, mut last) = (None::<String>, None);
    for client in clients {
        match client.status() {
            Ok(status) if chain.as_ref().is_some_and(|chain| *chain != status.chain_id) => {
                return Err(Failure::failed(format!(
                    "{} is of another network ({}): name nodes of one network",
                    client.url(),
                    status.network
                )));
            }
            Ok(status) => chain = Some(status.chain_id),
            Err(error) => last = Some(error),
        }
    }
    match (chain, last) {
        (Some(chain), _) => Ok(chain.parse()?),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Failure::usage("name at least one --node")),
    }
}
