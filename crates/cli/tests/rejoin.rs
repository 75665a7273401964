//! Real processes: a validator that lost its store comes back as a follower, and its log can be exported and verified.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use common::{Network, alone, eventually, run, text};

/// Blocks come quickly, so that the one who comes back is far behind.
const CONFIG: &str = r#"{"quantum_security": {"lattice_dimension": 512}, "network": {"heartbeat_ms": 100}}"#;

#[test]
fn an_emptied_validator_catches_up_follows_and_exports() {
    let _alone = alone();
    let mut network = Network::new(4, CONFIG);
    (0..4).for_each(|index| network.start(index));
    for at in 0..8 {
        run(&["propose", "--node", &network.url(at % 4), "--wait", &format!("value {at}")]).ok();
    }
    eventually("it is worth catching up", || (network.height(0) > 90).then_some(()));
    network.kill(2);
    std::fs::remove_dir_all(network.home(2).join("store")).unwrap();
    network.start(2);
    let head = network.height(0);
    eventually("it catches up", || (network.height(2) >= head).then_some(()));
    assert_eq!(network.blocks(2, head), network.blocks(0, head));
    let status = network.status(2);
    assert_eq!(status["voting"], false, "it may have forgotten votes: {status:#}");
    assert_eq!(network.status(0)["voting"], true);
    // The others need no fourth vote, and the follower takes proposals all the same.
    run(&["propose", "--node", &network.url(2), "--wait", "from the follower"]).ok();
    assert_eq!(network.status(0)["accused"], 0);

    let file = network.dir.path().join("log.amlg");
    let (url, genesis) = (network.url(2), network.genesis());
    run(&["log", "export", "--node", &url, text(&file)]).ok();
    let verified = run(&["--json", "log", "verify", "--genesis", &genesis, text(&file)]).json();
    assert!(verified["blocks"].as_u64().unwrap() >= head && verified["values"].as_u64().unwrap() >= 9, "{verified:#}");
    let good = std::fs::read(&file).unwrap();
    for at in [good.len() / 3, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        run(&["log", "verify", "--genesis", &genesis, text(&file)]).fails(1);
    }
    std::fs::write(&file, &good[..good.len() - 40]).unwrap();
    run(&["log", "verify", "--genesis", &genesis, text(&file)]).fails(1);
}
