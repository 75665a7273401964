//! Clients that propose all the time and write down everything that they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consensus::genesis::Genesis;
use node::views::{ResultView, State};
use serde_json::json;

use crate::client::{Client, ClientError};

/// Between two proposals of one client.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a client waits for a result before it asks again later.
const WAIT_MS: u64 = 2_000;
/// Proposals a client follows at once; the oldest is asked for first.
const FOLLOWED: usize = 32;

/// What a client was told of one proposal.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// When it was first sent, on the runner's clock.
    pub(super) sent: Instant,
    /// Validators that have said that they took it.
    pub(super) taken_by: Vec<usize>,
    /// Final: when told first, height and place.
    pub(super) finality: Option<(Instant, u64, u32)>,
    /// Told that it can never be final.
    pub(super) expired: bool,
}

/// Everything that all clients were told, and what contradicted itself at once.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) proposals: BTreeMap<String, Told>,
    pub(super) contradictions: Vec<String>,
    pub(super) refused: u64,
    pub(super) unreachable: u64,
}

impl Record {
    fn told(&mut self, id: &str, from: usize, result: &ResultView) {
        let Some(told) = self.proposals.get_mut(id) else { return };
        match result.state {
            State::Final => {
                let place = (result.height.unwrap_or_default(), result.index.unwrap_or_default());
                match told.finality {
                    None => told.finality = Some((Instant::now(), place.0, place.1)),
                    Some((_, height, index)) if (height, index) == place => {}
                    Some((_, height, index)) => self.contradictions.push(format!(
                        "{id}: told final at {height}/{index}, validator {from} says {}/{}",
                        place.0, place.1
                    )),
                }
                if told.expired {
                    self.contradictions.push(format!("{id}: told expired, validator {from} says final"));
                }
            }
            State::Expired => {
                told.expired = true;
                if told.finality.is_some() {
                    self.contradictions.push(format!("{id}: told final, validator {from} says expired"));
                }
            }
            _ => {}
        }
    }
}

/// The clients.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    record: Arc<Mutex<Record>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Two clients for each validator, each proposing to any of them, with deadlines of up to `longest`.
    pub(super) fn start(nodes: &[Client], genesis: &Arc<Genesis>, seed: u64, longest: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let record = Arc::new(Mutex::new(Record::default()));
        let threads = (0..2 * nodes.len())
            .map(|number| {
                let client = One {
                    nodes: nodes.to_vec(),
                    rng: fastrand::Rng::with_seed(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                    record: Arc::clone(&record),
                    stop: Arc::clone(&stop),
                    followed: Vec::new(),
                    number,
                    genesis: Arc::clone(genesis),
                    longest_us: longest.as_micros() as u64,
                };
                std::thread::spawn(move || client.run())
            })
            .collect();
        Self { stop, record, threads }
    }

    /// How many proposals were taken and told final so far.
    pub(super) fn progress(&self) -> (usize, usize) {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        (record.proposals.len(), record.proposals.values().filter(|told| told.finality.is_some()).count())
    }

    /// Stops proposing; what was told.
    pub(super) fn stop(self) -> Record {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct One {
    nodes: Vec<Client>,
    rng: fastrand::Rng,
    record: Arc<Mutex<Record>>,
    stop: Arc<AtomicBool>,
    followed: Vec<String>,
    number: usize,
    genesis: Arc<Genesis>,
    longest_us: u64,
}

impl One {
    fn run(mut self) {
        let mut count = 0_u64;
        while !self.stop.load(Ordering::Relaxed) {
            count += 1;
            self.propose(count);
            if self.followed.len() >= FOLLOWED || self.rng.u8(0..4) == 0 {
                self.ask();
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one proposal to one validator, or the same to several.
    fn propose(&mut self, count: u64) {
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let timeout_us = self.rng.u64(2_000_000..=self.longest_us);
        let request = json!({
            "value": format!("client {} value {count}", self.number),
            "deadline": now_us + timeout_us, "nonce": self.rng.u64(..) >> 12, "priority": self.rng.u8(0..10),
        });
        let copies = if self.rng.u8(0..8) == 0 { 3 } else { 1 };
        let sent = Instant::now();
        for _ in 0..copies {
            let at = self.rng.usize(0..self.nodes.len());
            match self.nodes[at].propose(&request) {
                Ok(taken) => {
                    let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
                    let fresh = Told { sent, taken_by: Vec::new(), finality: None, expired: false };
                    record.proposals.entry(taken.id.clone()).or_insert(fresh).taken_by.push(at);
                    drop(record);
                    if !self.followed.contains(&taken.id) {
                        self.followed.push(taken.id);
                    }
                }
                Err(ClientError::Refused { .. }) => self.lock().refused += 1,
                Err(_) => self.lock().unreachable += 1,
            }
        }
    }

    /// Asks any validator for the oldest proposal that is followed; one that has not heard of it says nothing.
    fn ask(&mut self) {
        let Some(id) = self.followed.first().cloned() else { return };
        let at = self.rng.usize(0..self.nodes.len());
        let answer = self.nodes[at].result(&id, WAIT_MS);
        self.followed.remove(0);
        match answer {
            Ok(Some(result)) => {
                if result.state == State::Final
                    && let Err(error) = result.verify(&self.genesis)
                {
                    self.lock()
                        .contradictions
                        .push(format!("{id}: the result of validator {at} does not verify: {error}"));
                }
                self.lock().told(&id, at, &result);
                if result.state == State::Pending && self.followed.len() < FOLLOWED {
                    self.followed.push(id);
                }
            }
            Ok(None) | Err(_) if self.followed.len() < FOLLOWED => self.followed.push(id),
            _ => {}
        }
    }
}
