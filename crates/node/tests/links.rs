//! Validators in one process over real links, stores and clocks.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use consensus::types::Timestamp;
use node::setup::{ConfigSource, create_local};
use node::views::State;
use node::{Node, NodeOptions};

/// A base port whose HTTP and link ports are free now.
fn free_base(n: u16) -> u16 {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let free = |at: u16| TcpListener::bind(("127.0.0.1", at)).is_ok();
        if port < 60_000 && (0..n).all(|i| free(port + i) && free(port + 1_000 + i)) {
            return port;
        }
    }
    panic!("no free ports");
}

async fn start(home: &Path) -> Node {
    let mut options = NodeOptions::new(home);
    options.env = Box::new(|_| None);
    let mut node = Node::initialize(options).unwrap();
    node.start().await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_agree_restart_and_prove() {
    let dir = tempfile::tempdir().unwrap();
    let source = ConfigSource::new(r#"{"quantum_security": {"lattice_dimension": 512}}"#, &|_| None).unwrap();
    let created = Timestamp::new(1_767_225_600_000_000);
    let network = create_local(&dir.path().join("net"), 4, "test", free_base(4), &source, created).unwrap();
    let homes: Vec<_> = network.homes.iter().map(|home| home.root().to_path_buf()).collect();
    let mut nodes = Vec::new();
    for home in &homes {
        nodes.push(start(home).await);
    }
    let mut ids = Vec::new();
    for at in 0..20 {
        let id = nodes[at % 4].propose(format!("value {at}")).await.unwrap();
        let result = nodes[at % 4].get_consensus_result(id).await.unwrap().unwrap();
        assert_eq!(result.state, State::Final);
        result.verify(&network.genesis).unwrap();
        assert!(result.phases_ms.is_some());
        ids.push(id);
    }
    // One stops; the others go on; it comes back and has everything.
    nodes[2].shutdown().await.unwrap();
    drop(nodes.remove(2));
    for at in 0..5 {
        let id = nodes[at % 3].propose(format!("without the third {at}")).await.unwrap();
        assert_eq!(nodes[at % 3].get_consensus_result(id).await.unwrap().unwrap().state, State::Final);
        ids.push(id);
    }
    let back = start(&homes[2]).await;
    let mut stream = back.subscribe().unwrap();
    let last = *ids.last().unwrap();
    let handle = back.handle().unwrap();
    loop {
        if let Some(result) = handle.result(last, Duration::ZERO).await.unwrap()
            && result.state == State::Final
        {
            break;
        }
        tokio::time::timeout(Duration::from_secs(30), stream.recv()).await.expect("it catches up").unwrap();
    }
    for id in &ids {
        let result = handle.result(*id, Duration::ZERO).await.unwrap().unwrap();
        result.verify(&network.genesis).unwrap();
        let other = nodes[0].handle().unwrap().result(*id, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!((&result.height, &result.block_hash), (&other.height, &other.block_hash));
    }
    for mut node in nodes.into_iter().chain([back]) {
        node.shutdown().await.unwrap();
    }
}
