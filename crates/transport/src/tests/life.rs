//! The life of links: delivery, bounds, misbehaviour, replacement, restart, farewell.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::{BAD_FRAME, LEVEL, Node, config, dial_by_hand, key, limits, listen, lone_second, pair, pair_with, vote};
use crate::dial::Backoff;
use crate::tls::Tls;
use crate::{Class, Frame};

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_all_sizes_arrive_in_order() {
    let (mut one, mut two) = pair(LEVEL).await;
    let lengths = [1, 100, 16_383, 16_384, 16_385, 65_536, 1_000_000, 4 << 20, 5];
    for (number, len) in (0_u8..).zip(lengths) {
        one.links.send(2, vote(vec![number; len]));
        two.links.broadcast(vote(vec![number; len]));
    }
    for (number, len) in (0_u8..).zip(lengths) {
        for node in [&mut one, &mut two] {
            let frame = node.frame().await;
            assert_eq!(frame.len(), len);
            assert!(frame.iter().all(|byte| *byte == number));
        }
    }
    let status = one.links.status().remove(0);
    let total: usize = lengths.iter().map(|len| len + 4).sum();
    assert_eq!((status.frames_sent, status.bytes_sent), (9, total as u64));
    assert_eq!((status.frames_received, status.bytes_received), (9, total as u64));
    assert_eq!((status.queued_frames, status.dropped_frames, status.connected), (0, 0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_validator_hears_every_other_under_its_index() {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..4 {
        let (listener, address) = listen().await;
        listeners.push(listener);
        addresses.push(address);
    }
    let start = |(index, listener)| Node::start(config(LEVEL, index, &addresses), listener);
    let mut nodes: Vec<Node> = (1_u16..).zip(listeners).map(start).collect();
    for (index, node) in (1_u16..).zip(&nodes) {
        node.links.broadcast(vote(index.to_be_bytes().to_vec()));
    }
    for (index, node) in (1_u16..).zip(&mut nodes) {
        let mut heard = Vec::new();
        for _ in 0..3 {
            let (peer, frame) = node.frame_from().await;
            assert_eq!(frame, peer.to_be_bytes().to_vec());
            heard.push(peer);
        }
        heard.sort_unstable();
        let others: Vec<u16> = (1..=4).filter(|other| *other != index).collect();
        assert_eq!(heard, others);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_lengths_are_not_sent() {
    let (one, mut two) = pair(LEVEL).await;
    one.links.send(2, vote(Bytes::new()));
    one.links.send(2, vote(vec![0; (4 << 20) + 1]));
    one.links.send(77, vote("nobody"));
    one.links.send(2, vote("fine"));
    assert_eq!(two.frame().await, "fine");
    assert_eq!(one.links.status()[0].dropped_frames, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_wait_for_an_absent_peer_within_bounds() {
    let (listener, address) = listen().await;
    let (later, later_address) = listen().await;
    drop(later);
    let mut bounded = config(LEVEL, 1, &[address, later_address]);
    bounded.limits.queue_frames = 3;
    let one = Node::start(bounded, listener);
    let frame = |class, view, name: &'static str| Frame { class, view, bytes: Bytes::from_static(name.as_bytes()) };
    one.links.send(2, frame(Class::Bulk, 4, "old bulk"));
    one.links.discard_below(5);
    one.links.send(2, frame(Class::Vote, 4, "stale vote"));
    one.links.send(2, frame(Class::Bulk, 5, "bulk"));
    one.links.send(2, frame(Class::Vote, 5, "vote 1"));
    one.links.send(2, frame(Class::Vote, 6, "vote 2"));
    one.links.send(2, frame(Class::Vote, 7, "vote 3"));
    let status = one.links.status().remove(0);
    assert_eq!((status.connected, status.queued_frames, status.queued_bytes), (false, 3, 18));
    assert_eq!(status.dropped_frames, 3);
    let listener = TcpListener::bind(later_address).await.unwrap();
    let mut two = Node::start(config(LEVEL, 2, &[address, later_address]), listener);
    for name in ["vote 1", "vote 2", "vote 3"] {
        assert_eq!(two.frame().await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_is_dialled_again() {
    let (first, first_address) = listen().await;
    let (second, second_address) = listen().await;
    let addresses = [first_address, second_address];
    let mut one = Node::start(config(LEVEL, 1, &addresses), first);
    let mut two = Node::start(config(LEVEL, 2, &addresses), second);
    for round in 0..3 {
        one.connected().await;
        two.connected().await;
        two.links.send(1, vote(format!("farewell {round}")));
        two.links.shutdown().await;
        // What was queued at the shutdown still arrives.
        assert_eq!(one.frame().await, format!("farewell {round}"));
        assert!(one.disconnected().await.contains("closed"));
        let listener = TcpListener::bind(second_address).await.unwrap();
        two = Node::start(config(LEVEL, 2, &addresses), listener);
    }
    one.connected().await;
    // The other direction: the dialling side restarts.
    one.links.shutdown().await;
    two.connected().await;
    assert!(two.disconnected().await.contains("closed"));
    let listener = TcpListener::bind(first_address).await.unwrap();
    let mut one = Node::start(config(LEVEL, 1, &addresses), listener);
    one.connected().await;
    two.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_all_clones_ends_the_links() {
    let (one, mut two) = pair(LEVEL).await;
    drop(one);
    two.disconnected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_takes_the_place_of_the_old_one() {
    let (mut node, address) = lone_second().await;
    let tls = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
    let _old = dial_by_hand(address, &tls, 1).await.unwrap_or_else(|reason| panic!("{reason}"));
    node.connected().await;
    let mut new = dial_by_hand(address, &tls, 1).await.unwrap_or_else(|reason| panic!("{reason}"));
    assert!(node.disconnected().await.contains("new connection"));
    node.connected().await;
    new.writer.write_all(&[0, 0, 0, 2, b'o', b'k']).await.unwrap();
    new.writer.flush().await.unwrap();
    assert_eq!(node.frame().await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_frame_closes_the_link() {
    for word in [u32::MAX >> 1, (4 << 20) + 1, 0] {
        let (mut node, address) = lone_second().await;
        let tls = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
        let mut link = dial_by_hand(address, &tls, 1).await.unwrap_or_else(|reason| panic!("{reason}"));
        node.connected().await;
        link.writer.write_all(&word.to_be_bytes()).await.unwrap();
        link.writer.flush().await.unwrap();
        let reason = node.disconnected().await;
        assert!(reason.contains("misbehaved") && reason.contains("bytes"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_misbehaved_stays_away_for_a_while() {
    // The listening side judges.
    let (mut node, address) = lone_second().await;
    let tls = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
    let mut link = dial_by_hand(address, &tls, 1).await.unwrap_or_else(|reason| panic!("{reason}"));
    link.writer.write_all(&[0, 0, 0, 3, b'b', b'a', b'd']).await.unwrap();
    link.writer.flush().await.unwrap();
    assert!(node.disconnected().await.contains("a bad frame"));
    let mut refused = 0;
    while dial_by_hand(address, &tls, 1).await.is_err() {
        assert!(node.refused().await.contains("misbehaved"));
        refused += 1;
    }
    assert!(refused > 0);
    node.connected().await;

    // The dialling side judges.
    let (mut one, two) = pair(LEVEL).await;
    let judged = std::time::Instant::now();
    two.links.send(1, vote(BAD_FRAME));
    assert!(one.disconnected().await.contains("a bad frame"));
    one.connected().await;
    assert!(judged.elapsed() >= limits().backoff_max);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_link_is_replaced_by_one_with_fresh_keys_without_loss() {
    let (mut one, mut two) = pair_with(LEVEL, |_, config| {
        config.limits.max_link_age = Duration::from_secs(1);
    })
    .await;
    one.connected().await;
    two.connected().await;
    let sender = two.links.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        let mut number = 0_u32;
        while stopped.try_recv().is_err() {
            sender.send(1, vote(number.to_be_bytes().to_vec()));
            number += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        number
    });
    assert!(two.disconnected().await.contains("closed"));
    two.connected().await;
    stop.send(()).unwrap();
    let sent = sending.await.unwrap();
    for number in 0..sent {
        assert_eq!(one.frame().await, number.to_be_bytes().to_vec());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_given_up() {
    let (listener, address) = listen().await;
    let mut impatient = config(LEVEL, 2, &[address, address]);
    impatient.limits.ping_period = Duration::from_millis(20);
    let mut node = Node::start(impatient, listener);
    let tls = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
    let _silent = dial_by_hand(address, &tls, 1).await.unwrap_or_else(|reason| panic!("{reason}"));
    node.connected().await;
    assert!(node.disconnected().await.contains("nothing arrived for 70 ms"));
}

#[test]
fn waiting_doubles_up_to_the_longest_with_jitter() {
    let ms = Duration::from_millis;
    let mut backoff = Backoff::new(ms(50), ms(5000));
    for longest in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        let wait = backoff.wait();
        assert!(wait >= ms(longest / 2) && wait <= ms(longest), "{wait:?} for {longest} ms");
    }
    backoff.reset();
    assert!(backoff.wait() <= ms(50));
}
