//! A node with a retention removes what is old, says so, and starts again on what is left.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use consensus::types::Timestamp;
use node::setup::{ConfigSource, create_local};
use node::views::State;
use node::{Node, NodeOptions};

const CONFIG: &str = r#"{
    "quantum_security": {"lattice_dimension": 512},
    "consensus": {"max_timeout_ms": 1000, "timeout_ms": 900, "max_proposals": 1000},
    "storage": {"retention_s": 1, "retention_blocks": 1024}
}"#;

async fn start(home: &std::path::Path) -> Node {
    let mut options = NodeOptions::new(home);
    options.env = Box::new(|_| None);
    options.api_listen = Some("127.0.0.1:0".to_owned());
    options.link_listen = Some("127.0.0.1:0".to_owned());
    let mut node = Node::initialize(options).unwrap();
    node.start().await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_retention_goes() {
    let dir = tempfile::tempdir().unwrap();
    let source = ConfigSource::new(CONFIG, &|_| None).unwrap();
    // A network of today: one whose genesis is older than the rotation interval closes its first epoch at once.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let created = Timestamp::new(since.as_micros() as u64);
    let network = create_local(&dir.path().join("net"), 1, "test", 20_000, &source, created).unwrap();
    let home = network.homes[0].root().to_path_buf();
    let mut node = start(&home).await;
    let handle = node.handle().unwrap();
    let first = node.propose("the first").await.unwrap();
    assert_eq!(node.get_consensus_result(first).await.unwrap().unwrap().state, State::Final);
    // One value at a time makes a block each.
    let mut last = first;
    let mut at = 0;
    while handle.held_from() < 200 {
        at += 1;
        assert!(at < 20_000, "nothing is pruned: {} to {}", handle.held_from(), handle.height());
        last = node.propose(format!("value {at}")).await.unwrap();
        assert_eq!(node.get_consensus_result(last).await.unwrap().unwrap().state, State::Final);
    }
    let (from, to) = (handle.held_from(), handle.height());
    assert!(to - from >= 1_023, "the last blocks stay: {from} to {to}");
    assert!(handle.block(from - 1).unwrap().is_none() && handle.block(from).unwrap().is_some());
    assert!(handle.chain(from - 1, to).unwrap().is_none() && handle.chain(from, to).unwrap().is_some());
    let gone = handle.result(first, Duration::ZERO).await.unwrap();
    assert!(gone.is_none(), "its result is beyond the retention: {gone:?}");
    node.shutdown().await.unwrap();
    drop((node, handle));

    let node = start(&home).await;
    let handle = node.handle().unwrap();
    assert!(handle.held_from() >= from && handle.height() >= to);
    assert_eq!(handle.result(last, Duration::ZERO).await.unwrap().unwrap().state, State::Final);
    assert!(handle.status().voting);
}
