//! Real processes whose session keys change every five seconds: nothing is lost, one may be away over a boundary, every proof verifies.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use common::{Network, alone, eventually, run, text};

#[test]
fn keys_rotate_under_load_and_a_validator_is_away_over_a_boundary() {
    let _alone = alone();
    let mut network = Network::new(4, r#"{"quantum_security": {"key_rotation_interval": 5}}"#);
    (0..4).for_each(|index| network.start(index));
    let (dir, genesis) = (network.dir.path().to_owned(), network.genesis());
    let epoch = |network: &Network, index: usize| network.status(index)["epoch"].as_u64().unwrap();
    // One value at a time until the fourth epoch; v3 dies in the first and comes back in the third.
    let (mut results, mut away, mut back) = (Vec::new(), false, false);
    for number in 0.. {
        let at = epoch(&network, 0);
        assert!(number < 10_000, "epoch {at} does not end");
        if at >= 3 {
            break;
        }
        if !away && number == 3 {
            network.kill(3);
            away = true;
        }
        if !back && at >= 2 {
            network.start(3);
            back = true;
        }
        let url = network.url(number % 3);
        let done = run(&["propose", "--wait", "--json", "--node", &url, &format!("value {number}")]);
        let said = done.json();
        assert_eq!(said["state"], "final", "{said}");
        let file = dir.join(format!("result-{number}.json"));
        std::fs::write(&file, &done.out).unwrap();
        results.push((said["epoch"].as_u64().unwrap(), file));
    }
    assert!(back, "v3 was away over a boundary");
    let epochs: std::collections::BTreeSet<u64> = results.iter().map(|(epoch, _)| *epoch).collect();
    assert!(epochs.len() >= 3, "results of {epochs:?}");
    for (_, file) in &results {
        run(&["verify", "--genesis", &genesis, text(file)]).ok();
    }

    // A result told in the first epoch is told again, now proven by the chain of epochs, and still verifies.
    let first: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&results[0].1).unwrap()).unwrap();
    let again = run(&["result", first["id"].as_str().unwrap(), "--json", "--node", &network.url(1)]);
    let file = dir.join("again.json");
    std::fs::write(&file, &again.out).unwrap();
    assert_eq!((&again.json()["block_hash"], &again.json()["height"]), (&first["block_hash"], &first["height"]));
    run(&["verify", "--genesis", &genesis, text(&file)]).ok();

    // Who was away has the same log and goes through the epochs with the others.
    eventually("v3 is in the others' epoch", || (epoch(&network, 3) >= 3).then_some(()));
    let height = eventually("v3 has the log", || {
        let (own, others) = (network.height(3), network.height(0));
        (own > 0 && own + 2 >= others).then_some(own)
    });
    assert_eq!(network.blocks(3, height), network.blocks(0, height));
}
