//! A validator that dies or whose disk fails at the k-th durable operation, for every k of a run, and comes back.
//!
//! `CRASH_BLOCKS=200 cargo nextest run -p model --test crash` is the long form. A failure prints k and the trouble; both are fixed by the
//! test's name and `CRASH_ONLY=k`.

#![allow(clippy::unwrap_used, reason = "tests")]

use consensus::replica::Settings;
use engine::Engine;
use engine::records::StoreRecords;
use model::lab::Lab;
use model::lab::disk::{Doom, Trouble, Unreadable};

/// The one whose disk is in trouble.
const VICTIM: u16 = 2;
const HOSTS: [u16; 4] = [0, 1, 2, 3];
/// Blocks that the victim must commit after its return.
const AFTERWARDS: u64 = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn blocks() -> u64 {
    number("CRASH_BLOCKS").unwrap_or(24)
}

fn network() -> Lab {
    let mut lab = Lab::new(4, Settings::default(), 2_000).unwrap();
    lab.boot_all(&HOSTS).unwrap();
    lab
}

/// One round: a value, and a little time; a victim that is down starts again.
fn round(lab: &mut Lab, at: u64) {
    let host = HOSTS[at as usize % HOSTS.len()];
    if lab.is_up(host) {
        lab.submit(host, 20_000);
    }
    lab.run_ms(12);
    if !lab.is_up(VICTIM) {
        lab.boot(VICTIM).unwrap();
    }
}

fn operations() -> u64 {
    let mut lab = network();
    for at in 0.. {
        if lab.height(VICTIM) >= blocks() {
            break;
        }
        round(&mut lab, at);
    }
    lab.hosts[usize::from(VICTIM)].disk.operations()
}

/// Runs until the victim has stopped and has committed some blocks after its return.
fn survives(k: u64, trouble: Trouble) -> Vec<(u16, Doom)> {
    let mut lab = network();
    lab.hosts[usize::from(VICTIM)].disk.plan(k, trouble);
    let (mut at, mut goal) = (0, None);
    while goal.is_none_or(|goal| lab.height(VICTIM) < goal) {
        round(&mut lab, at);
        at += 1;
        if goal.is_none() && !lab.watch.stops().is_empty() {
            goal = Some(lab.top() + AFTERWARDS);
        }
        assert!(at < 4_000, "k = {k}, {trouble:?}: the victim does not get on, height {}", lab.height(VICTIM));
    }
    // What a client was told is accepted becomes final, or expires, with everybody up.
    lab.run_ms(3_000);
    assert_eq!(lab.watch.violations(), Vec::<String>::new(), "k = {k}, {trouble:?}");
    assert_eq!(lab.watch.open_promises(), vec![], "k = {k}, {trouble:?}: accepted and lost");
    assert!(lab.watch.accused_set().is_empty(), "k = {k}, {trouble:?}: an honest validator is accused");
    lab.watch.stops().to_vec()
}

fn at_every_write(trouble: impl Fn(u64) -> Trouble) -> Vec<(u16, Doom)> {
    let last = operations();
    assert!(last > 3 * blocks(), "{last} durable operations in {} blocks", blocks());
    let only = number("CRASH_ONLY");
    (1..=last).filter(|k| only.is_none_or(|only| only == *k)).flat_map(|k| survives(k, trouble(k))).collect()
}

#[test]
fn dies_before_every_write() {
    let stops = at_every_write(|_| Trouble::DiesBefore);
    assert!(stops.iter().all(|(host, doom)| *host == VICTIM && matches!(doom, Doom::Dies { .. })));
}

#[test]
fn dies_in_every_write() {
    at_every_write(Trouble::Torn);
}

#[test]
fn dies_after_every_write() {
    at_every_write(|_| Trouble::DiesAfter);
}

#[test]
fn every_write_fails_once() {
    for (_, doom) in at_every_write(|_| Trouble::Fails) {
        let Doom::Fails { message } = doom else { panic!("{doom:?}") };
        assert!(message.contains("free space on the disk or replace it, then start again"), "{message}");
    }
}

#[test]
fn the_disk_is_full_at_every_write() {
    let stops = at_every_write(|_| Trouble::Full { attempts: 3 });
    assert!(stops.len() as u64 >= 2 * blocks(), "the node tried more than once");
}

#[test]
fn what_cannot_be_read_at_the_start_is_an_error_and_no_guess() {
    let mut lab = network();
    for at in 0..40 {
        round(&mut lab, at);
    }
    lab.crash(VICTIM, 7);
    let it = &lab.hosts[usize::from(VICTIM)];
    let mut failed = 0;
    for fail_at in 1.. {
        let reader: &'static Unreadable = Box::leak(Box::new(Unreadable::new(it.disk.reader(), fail_at)));
        let records = StoreRecords(Box::new(reader));
        let Err(error) = Engine::restore(&it.setup, &records, &mut Vec::new()) else {
            assert!(reader.reads() < fail_at, "read {fail_at} failed and was ignored");
            break;
        };
        let text = error.to_string();
        assert!(text.contains("input/output error"), "read {fail_at}: {text}");
        failed += 1;
    }
    assert!(failed > 10, "{failed} reads at the start");
    lab.boot(VICTIM).unwrap();
    lab.run_ms(1_000);
    assert_eq!(lab.watch.violations(), Vec::<String>::new());
    assert_eq!(lab.height(VICTIM), lab.top());
}
