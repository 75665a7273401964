//! The proposals of a devnet: every line to all validators, every certificate checked, all logs compared.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::link::EpochChain;
use node::home::Home;
use node::setup::LocalNetwork;
use node::views::ResultView;
use serde::Serialize;

use super::children::Children;
use super::clients;
use crate::client::Client;
use crate::client::bulk::{Bulk, Fate, Settled};
use crate::failure::{Failure, Outcome};
use crate::input::{environment, read_bytes};
use crate::output::note;
use crate::signals::Stop;
use crate::values::{Draft, parse};
use crate::words;

/// Deadline of a line that names none, if the network allows as much.
const TIMEOUT_MS: u64 = 600_000;
/// Proposals in flight, at most.
const WINDOW_MAX: usize = 10_000;
/// Problems that are told one by one.
const TOLD_MAX: usize = 20;
/// Between two lines of progress.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);
/// Longest time for the slowest validator to reach the last height.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(50);
/// Blocks compared at once.
const PAGE: usize = 500;

/// The values of the file; fails before anything is started.
pub(super) fn read(path: &Path) -> Outcome<Vec<Draft>> {
    parse(&read_bytes(path)?).map_err(|failure| failure.at(path.display()))
}

/// The last line of standard output, in this order.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Counts {
    proposed: usize,
    #[serde(rename = "final")]
    finals: usize,
    verified: usize,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    proposed: usize,
    finals: usize,
    verified: usize,
    same_logs: bool,
}

impl Summary {
    /// The three numbers.
    pub(super) const fn counts(&self) -> Counts {
        Counts { proposed: self.proposed, finals: self.finals, verified: self.verified }
    }

    /// Whether everything is final, verified and the same everywhere.
    pub(super) const fn is_perfect(&self) -> bool {
        self.proposed == self.finals && self.finals == self.verified && self.same_logs
    }
}

/// What is known so far.
struct Tally<'a> {
    children: Mutex<&'a mut Children>,
    /// The epochs verified so far.
    chain: Mutex<EpochChain>,
    total: usize,
    finals: AtomicUsize,
    verified: AtomicUsize,
    told: AtomicUsize,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Highest block with one of the proposals.
    height: u64,
    /// Places in the log that are taken: height and index.
    places: BTreeSet<(u64, u32)>,
    told_at: Instant,
}

impl Tally<'_> {
    fn settled(&self, settled: &Settled<'_>) {
        let why = match &settled.fate {
            Fate::Final(view) => {
                self.finals.fetch_add(1, Ordering::Relaxed);
                self.check(settled, view).err()
            }
            Fate::Expired => Some("it expired".to_owned()),
            Fate::Unreachable => Some("no validator answers".to_owned()),
            Fate::Refused(why) | Fate::GivenUp(why) => Some(why.clone()),
            Fate::Taken => Some("nobody waited for it".to_owned()),
        };
        match why {
            None => {
                self.verified.fetch_add(1, Ordering::Relaxed);
            }
            Some(why) => {
                if self.told.fetch_add(1, Ordering::Relaxed) < TOLD_MAX {
                    note(format!("proposal {} ({}): {why}", settled.number + 1, words::short(&settled.id.to_string())));
                }
            }
        }
        self.progress(false);
    }

    /// Checks the certificate as a stranger would, and that it is for what was proposed.
    fn check(&self, settled: &Settled<'_>, view: &ResultView) -> Result<(), String> {
        // Verified outside the lock, on a copy that shares what is known.
        let known = || self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chain = known().clone();
        let proven = view.verify_with(&mut chain).map_err(|error| error.to_string())?;
        let mut shared = known();
        if chain.newest().epoch() > shared.newest().epoch() {
            *shared = chain;
        }
        drop(shared);
        if proven.id != settled.id || proven.proposal != *settled.proposal {
            return Err("the certificate is for another proposal".to_owned());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.height = seen.height.max(proven.height.get());
        if !seen.places.insert((proven.height.get(), proven.index)) {
            return Err("another proposal has the same place in the log".to_owned());
        }
        Ok(())
    }

    fn progress(&self, last: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if last || seen.told_at.elapsed() >= PROGRESS_PERIOD {
            seen.told_at = Instant::now();
            let (finals, verified) = (self.finals.load(Ordering::Relaxed), self.verified.load(Ordering::Relaxed));
            self.children.lock().unwrap_or_else(PoisonError::into_inner).tell_of_deaths();
            note(format!("{finals} of {} final, {verified} certificates verified offline", self.total));
        }
    }
}

/// Proposes everything and waits for it.
pub(super) fn run(
    network: &LocalNetwork,
    drafts: Vec<Draft>,
    stop: &Stop,
    children: &mut Children,
) -> Outcome<Summary> {
    let (genesis, clients) = (&network.genesis, clients(network)?);
    let tally = Tally {
        children: Mutex::new(children),
        chain: Mutex::new(EpochChain::new(genesis)),
        total: drafts.len(),
        finals: AtomicUsize::new(0),
        verified: AtomicUsize::new(0),
        told: AtomicUsize::new(0),
        seen: Mutex::new(Seen { height: 0, places: BTreeSet::new(), told_at: Instant::now() }),
    };
    let bulk = Bulk {
        clients: &clients,
        chain_id: genesis.chain_id(),
        window: window(&network.homes)?,
        // A little less than allowed: the bound counts from the block's time, which may be a bit behind.
        timeout_ms: TIMEOUT_MS.min(genesis.config.limits.max_timeout_ms / 10 * 9),
        wait: true,
        stop,
    };
    note(format!("proposing {} values to {} validators, {} in flight", tally.total, clients.len(), bulk.window));
    let begun = Instant::now();
    bulk.run(drafts, &|settled| tally.settled(settled))?;
    tally.progress(true);
    let seconds = begun.elapsed().as_secs_f64();
    let height = tally.seen.lock().unwrap_or_else(PoisonError::into_inner).height;
    let alive = tally.children.into_inner().unwrap_or_else(PoisonError::into_inner).alive();
    let running: Vec<Client> = alive.iter().map(|index| clients[*index].clone()).collect();
    let same_logs = match compare(&running, height, stop) {
        Ok(()) => {
            let which = if running.len() == clients.len() { "all" } else { "the still running" };
            let n = running.len();
            note(format!(
                "the logs of {which} {n} validators are the same up to height {height}; {seconds:.1} s for the proposals"
            ));
            true
        }
        Err(failure) => {
            note(&failure.message);
            false
        }
    };
    let (finals, verified) = (tally.finals.into_inner(), tally.verified.into_inner());
    Ok(Summary { proposed: tally.total, finals, verified, same_logs })
}

/// As many in flight as one validator takes.
fn window(homes: &[Home]) -> Outcome<usize> {
    let Some(home) = homes.first() else { return Ok(1) };
    let (config, _) = home.read_config(&environment)?;
    Ok((config.consensus.max_proposals as usize).min(WINDOW_MAX))
}

/// Fails unless all validators have the same blocks up to `height`.
fn compare(clients: &[Client], height: u64, stop: &Stop) -> Outcome {
    for client in clients {
        let begun = Instant::now();
        while client.status()?.height < height {
            if stop.requested() || begun.elapsed() > CATCH_UP_TIMEOUT {
                return Err(Failure::failed(format!(
                    "{} does not reach height {height} within {} s",
                    client.url(),
                    CATCH_UP_TIMEOUT.as_secs()
                )));
            }
            std::thread::sleep(POLL);
        }
    }
    let Some((first, others)) = clients.split_first() else {
        return Err(Failure::failed("no validator runs any more: there is no log to compare"));
    };
    let mut from = 1;
    while from <= height {
        let limit = PAGE.min(usize::try_from(height - from + 1).unwrap_or(PAGE));
        let expected = hashes(first, from, limit)?;
        for other in others {
            let found = hashes(other, from, limit)?;
            if let Some((at, _)) = expected.iter().zip(&found).find(|(a, b)| a != b) {
                return Err(Failure::failed(format!("{} and {} DIFFER at height {}", first.url(), other.url(), at.0)));
            }
            if found.len() != limit {
                return Err(Failure::failed(format!(
                    "{} has {} of {limit} blocks from height {from} on",
                    other.url(),
                    found.len()
                )));
            }
        }
        if expected.len() != limit {
            return Err(Failure::failed(format!(
                "{} has {} of {limit} blocks from height {from} on",
                first.url(),
                expected.len()
            )));
        }
        from += limit as u64;
    }
    Ok(())
}

fn hashes(client: &Client, from: u64, limit: usize) -> Outcome<Vec<(u64, String)>> {
    Ok(client.blocks(from, limit)?.into_iter().map(|block| (block.height, block.hash)).collect())
}
