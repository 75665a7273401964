//! What must hold afterwards: one log, every promise in it, nothing twice, in the order in which clients saw it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use consensus::genesis::Genesis;
use node::views::State;

use super::clients::Record;
use super::nodes::Nodes;
use crate::client::Client;
use crate::failure::Outcome;

/// Longest time until all validators have one height and everything taken is settled, after the faults.
const SETTLE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);
const PAGE: usize = 1_000;
/// Results that every validator is asked for, with their proofs.
const SAMPLED: usize = 200;
/// Violations that are told one by one.
const SHOWN: usize = 50;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) violations: Vec<String>,
    pub(super) height: u64,
    pub(super) values: usize,
    pub(super) told_final: usize,
    pub(super) told_expired: usize,
    pub(super) settled_later: usize,
    pub(super) verified: usize,
    pub(super) settle_seconds: f64,
}

impl Findings {
    fn wrong(&mut self, what: String) {
        if self.violations.len() < SHOWN {
            self.violations.push(what);
        }
    }
}

/// Waits until all is settled, then checks everything.
pub(super) fn check(nodes: &Nodes, record: &Record, genesis: &Genesis, emptied: Option<usize>) -> Outcome<Findings> {
    let clients = (0..nodes.len()).map(|index| nodes.client(index)).collect::<Outcome<Vec<Client>>>()?;
    let mut findings = Findings { violations: record.contradictions.clone(), ..Findings::default() };
    let begun = Instant::now();
    let states = settle(&clients, record, emptied, &mut findings)?;
    findings.settle_seconds = begun.elapsed().as_secs_f64();
    let places = logs(&clients, &mut findings)?;
    findings.values = places.len();
    promises(record, &places, &states, &mut findings);
    order(record, &places, &mut findings);
    sample(&clients, record, genesis, &places, &mut findings)?;
    for (index, client) in clients.iter().enumerate() {
        let accused = client.status()?.accused;
        if accused > 0 {
            findings.wrong(format!("validator {index} accuses {accused} validators, and none is Byzantine"));
        }
    }
    Ok(findings)
}

/// What became of the proposals whose outcome no client was told.
fn settle(
    clients: &[Client],
    record: &Record,
    emptied: Option<usize>,
    findings: &mut Findings,
) -> Outcome<BTreeMap<String, State>> {
    let until = Instant::now() + SETTLE;
    let mut states = BTreeMap::new();
    let open = record.proposals.iter().filter(|(_, told)| told.finality.is_none() && !told.expired);
    for (id, told) in open {
        // Whoever lost its store may have lost what it took; any other must still know.
        let Some(at) = told.taken_by.iter().find(|at| Some(**at) != emptied) else { continue };
        loop {
            let result = clients[*at].result(id, 1_000).ok().flatten();
            match result.map(|result| result.state) {
                Some(state @ (State::Final | State::Expired)) => {
                    states.insert(id.clone(), state);
                    break;
                }
                state if Instant::now() > until => {
                    findings.wrong(format!("{id}: taken by validator {at}, is {state:?} {} s after", SETTLE.as_secs()));
                    break;
                }
                _ => std::thread::sleep(POLL),
            }
        }
    }
    findings.settled_later = states.len();
    let target = heights(clients)?.into_iter().max().unwrap_or(0);
    while heights(clients)?.into_iter().any(|height| height < target) {
        if Instant::now() > until {
            findings.wrong(format!("not all validators have reached height {target}: {:?}", heights(clients)?));
            break;
        }
        std::thread::sleep(POLL);
    }
    findings.height = target;
    Ok(states)
}

fn heights(clients: &[Client]) -> Outcome<Vec<u64>> {
    clients.iter().map(|client| Ok(client.status()?.height)).collect()
}

/// All logs are one; where each value is.
fn logs(clients: &[Client], findings: &mut Findings) -> Outcome<BTreeMap<String, (u64, u32)>> {
    let (mut from, mut places) = (1, BTreeMap::new());
    while from <= findings.height {
        let limit = PAGE.min((findings.height - from + 1) as usize);
        let mine = clients[0].blocks(from, limit)?;
        for (index, client) in clients.iter().enumerate().skip(1) {
            let theirs = client.blocks(from, limit)?;
            for (a, b) in mine.iter().zip(&theirs).filter(|(a, b)| a.hash != b.hash || a.height != b.height) {
                findings.wrong(format!("height {}: validators 0 and {index} have {} and {}", a.height, a.hash, b.hash));
            }
            if theirs.len() != mine.len() {
                findings.wrong(format!(
                    "from height {from}: validator {index} has {} of {} blocks",
                    theirs.len(),
                    mine.len()
                ));
            }
        }
        let Some(last) = mine.last() else { break };
        for block in mine.iter().filter(|block| block.count > 0) {
            for (at, value) in clients[0].block(block.height)?.values.into_iter().flatten().enumerate() {
                if let Some((height, _)) = places.insert(value.id.clone(), (block.height, at as u32)) {
                    findings.wrong(format!("{} is final at heights {height} and {}", value.id, block.height));
                }
            }
        }
        from = last.height + 1;
    }
    Ok(places)
}

/// Nothing that was told is taken back.
fn promises(
    record: &Record,
    places: &BTreeMap<String, (u64, u32)>,
    states: &BTreeMap<String, State>,
    findings: &mut Findings,
) {
    for (id, told) in &record.proposals {
        let place = places.get(id);
        if let Some((_, height, index)) = told.finality {
            findings.told_final += 1;
            if place != Some(&(height, index)) {
                findings.wrong(format!("{id}: told final at {height}/{index}, the log says {place:?}"));
            }
        }
        let expired = told.expired || states.get(id) == Some(&State::Expired);
        findings.told_expired += usize::from(expired);
        if expired && place.is_some() {
            findings.wrong(format!("{id}: told expired, the log has it at {place:?}"));
        }
        if states.get(id) == Some(&State::Final) && place.is_none() {
            findings.wrong(format!("{id}: said to be final afterwards, but not in the log"));
        }
    }
}

/// Linearizable: what was told final before another was sent stands before it.
fn order(record: &Record, places: &BTreeMap<String, (u64, u32)>, findings: &mut Findings) {
    let mut told: Vec<(Instant, (u64, u32))> =
        record.proposals.values().filter_map(|told| told.finality.map(|(at, h, i)| (at, (h, i)))).collect();
    told.sort_unstable();
    let sent = record.proposals.iter().filter_map(|(id, told)| Some((told.sent, id, *places.get(id)?)));
    let mut sent: Vec<(Instant, &String, (u64, u32))> = sent.collect();
    sent.sort_unstable();
    let (mut known, mut highest) = (0, (0, 0));
    for (at, id, place) in sent {
        while let Some((_, earlier)) = told.get(known).filter(|(when, _)| *when < at) {
            highest = highest.max(*earlier);
            known += 1;
        }
        if place <= highest {
            findings
                .wrong(format!("{id} is at {place:?}, before {highest:?}, which was told final before it was sent"));
        }
    }
}

/// Every validator has the proof of what was told.
fn sample(
    clients: &[Client],
    record: &Record,
    genesis: &Genesis,
    places: &BTreeMap<String, (u64, u32)>,
    findings: &mut Findings,
) -> Outcome {
    let ids: Vec<&String> = record.proposals.keys().filter(|id| places.contains_key(*id)).collect();
    let step = (ids.len() / SAMPLED).max(1);
    for id in ids.into_iter().step_by(step) {
        for (index, client) in clients.iter().enumerate() {
            match client.result(id, 0)? {
                Some(result) if result.state == State::Final => match result.verify(genesis) {
                    Ok(_) => findings.verified += 1,
                    Err(error) => findings.wrong(format!("{id}: the proof of validator {index} fails: {error}")),
                },
                other => {
                    let state = other.map(|result| result.state);
                    findings.wrong(format!("{id} is in the log, validator {index} says {state:?}"));
                }
            }
        }
    }
    Ok(())
}
