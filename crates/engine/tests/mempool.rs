//! The mempool against a naive model, without starvation, within its bounds, at speed.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use bytes::Bytes;
use consensus::body::Proposal;
use consensus::types::Timestamp;
use crypto::Digest;
use engine::Refusal;
use engine::mempool::{ENTRY_OVERHEAD_BYTES, Inserted, Mempool, MempoolLimits, Origin, VISITS_MIN};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const SECOND: u64 = 1_000_000;

/// An id for a number; numbers equal modulo 50 share their first eight bytes.
fn id(n: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(n % 50).to_be_bytes());
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    Digest::from_slice(&bytes).unwrap()
}

fn proposal(n: u64, priority: u8, deadline: u64, bytes: usize) -> Arc<Proposal> {
    let deadline = Timestamp::new(deadline);
    Arc::new(Proposal { deadline, priority, nonce: n, value: Bytes::from(vec![n as u8; bytes]) })
}

fn numbers(selected: &[(Digest, Arc<Proposal>)]) -> Vec<u64> {
    selected.iter().map(|(_, p)| p.nonce).collect()
}

fn at(time: u64) -> Timestamp {
    Timestamp::new(time)
}

#[test]
fn a_priority_level_counts_like_an_earlier_arrival() {
    let mut pool = Mempool::new(MempoolLimits::default());
    for (n, priority, arrival) in [(1, 4, 0), (2, 5, SECOND - 1), (3, 5, SECOND), (4, 9, 5 * SECOND + 1), (5, 0, 2)] {
        pool.insert(id(n), proposal(n, priority, u64::MAX, 1), Origin::Own, at(arrival)).unwrap();
    }
    // 3 arrived a second after 1 and is one level above it: a tie, which the sequence decides.
    assert_eq!(numbers(&pool.select(9, 9999, at(0), &|_| false)), [2, 1, 3, 4, 5]);

    let mut fifo = Mempool::new(MempoolLimits { priority_queuing: false, ..MempoolLimits::default() });
    for (n, priority) in [(1, 0), (2, 9), (3, 4)] {
        fifo.insert(id(n), proposal(n, priority, u64::MAX, 1), Origin::Own, at(n)).unwrap();
    }
    assert_eq!(numbers(&fifo.select(9, 9999, at(0), &|_| false)), [1, 2, 3]);
}

#[test]
fn a_stream_of_high_priority_does_not_starve_the_lowest() {
    let limits = MempoolLimits { max_proposals: 10_000, ..MempoolLimits::default() };
    let mut pool = Mempool::new(limits);
    pool.insert(id(0), proposal(0, 0, u64::MAX, 1), Origin::Own, at(0)).unwrap();
    // Two of priority 9 come each tenth of a second, one leaves: the queue only grows.
    let mut n = 0;
    for tick in 0..200 {
        let now = at(tick * SECOND / 10);
        for _ in 0..2 {
            n += 1;
            pool.insert(id(n), proposal(n, 9, u64::MAX, 1), Origin::Own, now).unwrap();
        }
        let best = pool.select(1, 9999, now, &|_| false);
        pool.remove(&best[0].0);
        if best[0].1.nonce == 0 {
            assert!(tick > 90, "nine levels are nine seconds");
            return;
        }
    }
    panic!("starved");
}

#[test]
fn known_and_own() {
    let mut pool =
        Mempool::new(MempoolLimits { max_proposals: 2, max_foreign_per_peer: 2, ..MempoolLimits::default() });
    let mut insert = |n, origin| pool.insert(id(n), proposal(n, 4, 100, 10), origin, at(100));
    assert_eq!(insert(1, Origin::Peer(7)), Ok(Inserted::New));
    assert_eq!(insert(1, Origin::Peer(8)), Ok(Inserted::Known));
    assert_eq!(insert(2, Origin::Peer(7)), Ok(Inserted::New));
    assert!(matches!(insert(3, Origin::Peer(7)), Err(Refusal::Busy(2))));
    assert_eq!(insert(1, Origin::Own), Ok(Inserted::Adopted), "a client of ours brings it too");
    assert_eq!(insert(3, Origin::Peer(7)), Ok(Inserted::New), "it counts as ours from then on");
    assert_eq!(insert(4, Origin::Own), Ok(Inserted::New));
    assert!(matches!(insert(5, Origin::Own), Err(Refusal::Busy(2))));
    assert!(matches!(insert(2, Origin::Own), Err(Refusal::Busy(2))), "a peer's does not become ours beyond the bound");
    assert!(matches!(pool.insert(id(6), proposal(6, 4, 99, 1), Origin::Own, at(100)), Err(Refusal::Expired)));
    assert_eq!((pool.len(), pool.own_len()), (4, 2));
    assert_eq!(pool.bytes(), 4 * (10 + ENTRY_OVERHEAD_BYTES));
    let sent: Vec<u64> = pool.unforwarded(3, 9999).iter().map(|p| p.nonce).collect();
    assert_eq!(sent, [1, 4], "in the order in which they became ours");
}

#[test]
fn peers_cannot_take_the_room_of_clients() {
    let max_bytes = 160_000;
    let mut pool = Mempool::new(MempoolLimits { max_bytes, ..MempoolLimits::default() });
    let mut n = 0;
    for peer in 0..10 {
        let mut taken = 0;
        loop {
            n += 1;
            match pool.insert(id(n), proposal(n, 9, u64::MAX, 600), Origin::Peer(peer), at(0)) {
                Ok(_) => taken += 1,
                Err(refusal) => break assert_eq!(refusal, Refusal::BytesFull),
            }
        }
        assert!(taken <= 20, "one peer has an eighth");
    }
    assert_eq!(pool.len(), 80, "all peers have half");
    for _ in 0..80 {
        n += 1;
        pool.insert(id(n), proposal(n, 0, u64::MAX, 600), Origin::Own, at(0)).unwrap();
    }
    assert_eq!(pool.bytes(), max_bytes);
    let full = pool.insert(id(0), proposal(0, 0, u64::MAX, 600), Origin::Own, at(0));
    assert_eq!(full, Err(Refusal::BytesFull));
}

#[test]
fn a_block_is_filled_by_count_and_bytes_and_passes_over() {
    let mut pool = Mempool::new(MempoolLimits::default());
    for (n, deadline, bytes) in [(1, 50, 10), (2, 90, 500), (3, 90, 10), (4, 90, 10), (5, 70, 10)] {
        pool.insert(id(n), proposal(n, 4, deadline, bytes), Origin::Own, at(n)).unwrap();
    }
    let small = proposal(3, 4, 90, 10).encoded_len();
    let select = |count, bytes, time| numbers(&pool.select(count, bytes, at(time), &|held| *held == id(4)));
    assert_eq!(select(9, 9999, 50), [1, 2, 3, 5]);
    assert_eq!(select(9, 9999, 51), [2, 3, 5], "the first would be late, but stays");
    assert_eq!(select(2, 9999, 51), [2, 3]);
    assert_eq!(select(9, 2 * small, 51), [3, 5], "the second is too large");
    assert_eq!(select(9, small - 1, 0), [0; 0]);
    assert!(pool.has_eligible(at(90), &|_| false));
    assert!(!pool.has_eligible(at(90), &|_| true));
    assert!(!pool.has_eligible(at(91), &|_| false));
    assert_eq!(pool.expire(at(50)), [], "a block of its last moment may hold it");
    assert_eq!(pool.expire(at(71)), [id(1), id(5)]);
    assert!(!pool.contains(&id(1)) && pool.get(&id(2)).is_some());
    assert_eq!(pool.len(), 3);
}

#[test]
fn work_is_bounded_and_doubt_means_work() {
    let limits = MempoolLimits { max_proposals: 20_000, max_bytes: 1 << 30, ..MempoolLimits::default() };
    let mut pool = Mempool::new(limits);
    for n in 0..20_000 {
        pool.insert(id(n), proposal(n, 4, u64::MAX, 1), Origin::Own, at(n)).unwrap();
    }
    let visits = std::cell::Cell::new(0);
    let skip = |_: &Digest| {
        visits.set(visits.get() + 1);
        true
    };
    assert!(pool.has_eligible(at(0), &skip), "it did not look at all of them");
    assert_eq!(visits.replace(0), VISITS_MIN);
    assert!(pool.select(10, 9999, at(0), &skip).is_empty());
    assert_eq!(visits.get(), VISITS_MIN);
}

#[test]
fn forwarding_goes_on_where_it_stopped() {
    let mut pool = Mempool::new(MempoolLimits::default());
    for n in 1..=5 {
        pool.insert(id(n), proposal(n, n as u8, u64::MAX, 100), Origin::Own, at(0)).unwrap();
    }
    pool.insert(id(6), proposal(6, 9, u64::MAX, 1), Origin::Peer(1), at(0)).unwrap();
    let bytes = proposal(1, 1, 0, 100).encoded_len();
    let sent = |pool: &mut Mempool, peer, bytes| -> Vec<u64> {
        pool.unforwarded(peer, bytes).iter().map(|p| p.nonce).collect()
    };
    assert_eq!(sent(&mut pool, 1, 2 * bytes), [1, 2]);
    assert_eq!(sent(&mut pool, 2, 1), [1], "at least one");
    pool.remove(&id(3));
    assert_eq!(sent(&mut pool, 1, 2 * bytes), [4, 5]);
    assert_eq!(sent(&mut pool, 1, 2 * bytes), [0; 0]);
    pool.insert(id(7), proposal(7, 0, u64::MAX, 1), Origin::Own, at(0)).unwrap();
    assert_eq!(sent(&mut pool, 1, 9999), [7]);
    assert_eq!(sent(&mut pool, 2, 9999), [2, 4, 5, 7]);
    pool.reset_peer(1);
    assert_eq!(sent(&mut pool, 1, 9999), [1, 2, 4, 5, 7]);
}

#[derive(Clone, Debug)]
enum Step {
    Insert { n: u64, peer: Option<u16> },
    Remove(u64),
    Expire,
    Select { count: usize, bytes: usize, ahead: u64, skip: u64 },
    Forward { peer: u16, bytes: usize },
    Reset(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..120_u64, prop::option::of(0..3_u16)).prop_map(|(n, peer)| Step::Insert { n, peer }),
        4 => (0..120_u64).prop_map(Step::Remove),
        1 => Just(Step::Expire),
        3 => (0..20_usize, 0..2000_usize, 0..60_u64, 1..6_u64)
            .prop_map(|(count, bytes, ahead, skip)| Step::Select { count, bytes, ahead, skip }),
        2 => (0..3_u16, 0..600_usize).prop_map(|(peer, bytes)| Step::Forward { peer, bytes }),
        1 => (0..3_u16).prop_map(Step::Reset),
    ]
}

/// What the model knows of a proposal: when it came, and as whose.
#[derive(Clone, Debug)]
struct Waiting {
    n: u64,
    proposal: Arc<Proposal>,
    arrival: u64,
    sequence: usize,
    peer: Option<u16>,
    own: Option<usize>,
}

/// Each number has its priority, size and time to live.
fn sample(n: u64, now: u64) -> Arc<Proposal> {
    proposal(n, (n * 7 % 10) as u8, now + 5 + n % 40, (n * 13 % 200) as usize)
}

proptest! {
    #[test]
    fn it_does_what_the_naive_model_does(steps in prop::collection::vec(step(), 1..200)) {
        let limits = MempoolLimits {
            max_proposals: 20, max_foreign_per_peer: 8, max_bytes: 24_000, aging_us_per_priority: 3, priority_queuing: true,
        };
        let mut pool = Mempool::new(limits);
        let mut model: Vec<Waiting> = Vec::new();
        let mut cursors: BTreeMap<u16, usize> = BTreeMap::new();
        for (now, step) in steps.into_iter().enumerate() {
            let (sequence, now) = (now + 1, now as u64);
            match step {
                Step::Insert { n, peer } => {
                    let origin = peer.map_or(Origin::Own, Origin::Peer);
                    let proposal = sample(n, now);
                    let result = pool.insert(id(n), Arc::clone(&proposal), origin, at(now));
                    let own_full = model.iter().filter(|w| w.own.is_some()).count() >= 20;
                    let cost = |w: &Waiting| w.proposal.value.len() + ENTRY_OVERHEAD_BYTES;
                    let need = proposal.value.len() + ENTRY_OVERHEAD_BYTES;
                    let bytes = |of: &dyn Fn(&Waiting) -> bool| model.iter().filter(|w| of(w)).map(cost).sum::<usize>() + need;
                    let expected = if let Some(known) = model.iter().position(|w| w.n == n) {
                        let upgrade = peer.is_none() && model[known].own.is_none();
                        if upgrade && own_full {
                            Err(Refusal::Busy(20))
                        } else {
                            if upgrade {
                                (model[known].own, model[known].peer) = (Some(sequence), None);
                            }
                            Ok(if upgrade { Inserted::Adopted } else { Inserted::Known })
                        }
                    } else if peer.is_none() && own_full {
                        Err(Refusal::Busy(20))
                    } else if peer.is_some() && model.iter().filter(|w| w.peer == peer).count() >= 8 {
                        Err(Refusal::Busy(8))
                    } else if bytes(&|_| true) > 24_000
                        || peer.is_some() && (bytes(&|w| w.peer.is_some()) > 12_000 || bytes(&|w| w.peer == peer) > 3_000)
                    {
                        Err(Refusal::BytesFull)
                    } else {
                        let own = peer.is_none().then_some(sequence);
                        model.push(Waiting { n, proposal, arrival: now, sequence, peer, own });
                        Ok(Inserted::New)
                    };
                    prop_assert_eq!(result, expected);
                }
                Step::Remove(n) => {
                    let waits = model.iter().any(|w| w.n == n);
                    prop_assert_eq!(pool.remove(&id(n)), waits);
                    model.retain(|w| w.n != n);
                }
                Step::Expire => {
                    let mut expected: Vec<u64> =
                        model.iter().filter(|w| w.proposal.deadline < at(now)).map(|w| w.n).collect();
                    let mut expired: Vec<Digest> = pool.expire(at(now));
                    model.retain(|w| w.proposal.deadline >= at(now));
                    expected.sort_by_key(|n| id(*n));
                    expired.sort();
                    prop_assert_eq!(expired, expected.into_iter().map(id).collect::<Vec<_>>());
                }
                Step::Select { count, bytes, ahead, skip } => {
                    let time = at(now + ahead);
                    let skipped = |n: u64| n % skip == 1;
                    let chosen = pool.select(count, bytes, time, &|held| (0..120).any(|n| skipped(n) && id(n) == *held));
                    let mut order = model.clone();
                    order.sort_by_key(|w| (w.arrival + 3 * (9 - u64::from(w.proposal.priority)), w.sequence));
                    order.retain(|w| w.proposal.deadline >= time && !skipped(w.n));
                    let eligible = pool.has_eligible(time, &|held| (0..120).any(|n| skipped(n) && id(n) == *held));
                    prop_assert_eq!(eligible, !order.is_empty());
                    let (mut room, mut expected) = (bytes, Vec::new());
                    for waiting in order {
                        let size = waiting.proposal.encoded_len();
                        if expected.len() < count && size <= room {
                            room -= size;
                            expected.push(waiting.n);
                        }
                    }
                    prop_assert_eq!(numbers(&chosen), expected);
                }
                Step::Forward { peer, bytes } => {
                    let from = cursors.entry(peer).or_default();
                    let mut own: Vec<&Waiting> = model.iter().filter(|w| w.own > Some(*from)).collect();
                    own.sort_by_key(|w| w.own);
                    let (mut used, mut expected) = (0, Vec::new());
                    for waiting in own {
                        used += waiting.proposal.encoded_len();
                        if used > bytes && !expected.is_empty() {
                            break;
                        }
                        *from = waiting.own.unwrap();
                        expected.push(waiting.n);
                    }
                    let sent: Vec<u64> = pool.unforwarded(peer, bytes).iter().map(|p| p.nonce).collect();
                    prop_assert_eq!(sent, expected);
                }
                Step::Reset(peer) => {
                    pool.reset_peer(peer);
                    cursors.remove(&peer);
                }
            }
            prop_assert_eq!(pool.len(), model.len());
            prop_assert_eq!(pool.is_empty(), model.is_empty());
            prop_assert_eq!(pool.own_len(), model.iter().filter(|w| w.own.is_some()).count());
            prop_assert_eq!(pool.bytes(), model.iter().map(|w| w.proposal.value.len() + ENTRY_OVERHEAD_BYTES).sum::<usize>());
        }
        pool.expire(at(u64::MAX));
        prop_assert!(pool.is_empty() && pool.bytes() == 0 && pool.own_len() == 0);
    }
}

/// `cargo test --release -p engine --test mempool -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    for waiting in [1_000_u64, 20_000, 200_000, 1_000_000] {
        let total = 2_000_000_u64;
        let limits = MempoolLimits { max_proposals: 4_000_000, max_bytes: 8 << 30, ..MempoolLimits::default() };
        let items: Vec<(Digest, Arc<Proposal>)> = (0..waiting + total)
            .map(|n| {
                let mut bytes = [0; 32];
                for (i, part) in bytes.chunks_exact_mut(8).enumerate() {
                    let spread = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32 * 16);
                    part.copy_from_slice(&spread.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
                }
                (Digest::from_slice(&bytes).unwrap(), proposal(n, (n % 10) as u8, 60 * SECOND + n, 40))
            })
            .collect();
        let mut pool = Mempool::new(limits);
        let mut items = items.into_iter().enumerate();
        for (n, (id, proposal)) in items.by_ref().take(waiting as usize) {
            pool.insert(id, proposal, Origin::Own, at(n as u64)).unwrap();
        }
        #[allow(clippy::disallowed_types, reason = "it measures")]
        let start = std::time::Instant::now();
        let mut done = 0;
        while done < total {
            for (n, (id, proposal)) in items.by_ref().take(1000) {
                pool.insert(id, proposal, Origin::Own, at(n as u64)).unwrap();
            }
            let block = pool.select(1000, 4 << 20, at(0), &|_| false);
            assert_eq!(block.len(), 1000);
            for (id, _) in block {
                assert!(pool.remove(&id));
            }
            done += 1000;
        }
        let per_second = u128::from(total) * 1_000_000 / start.elapsed().as_micros();
        println!("{waiting} waiting: {per_second} inserted, selected and removed per second");
    }
}

#[test]
fn a_line_that_hardly_moves_grows_no_longer() {
    use engine::mempool::{OVERLOAD_MIN, OVERLOAD_WAIT_US};
    let mut pool = Mempool::new(MempoolLimits { max_proposals: 100_000, ..MempoolLimits::default() });
    let start = at(SECOND);
    let mut number = 0;
    let mut put = |pool: &mut Mempool, now| {
        number += 1;
        pool.insert(id(number), proposal(number, 4, u64::MAX, 1), Origin::Own, now)
    };
    put(&mut pool, start).unwrap();
    let late = start.after_us(OVERLOAD_WAIT_US + 1);
    while pool.own_len() < OVERLOAD_MIN {
        assert!(put(&mut pool, late).is_ok(), "a short line is always taken");
    }
    assert!(matches!(put(&mut pool, late), Err(Refusal::Overloaded { waited_ms: 1_000 })));
    pool.remove(&id(1));
    assert!(put(&mut pool, late).is_ok(), "the oldest has not waited long now");
}
