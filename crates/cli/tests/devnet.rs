//! Real processes: a devnet from start to end, and validators that are killed and come back.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::{Network, alone, block, eventually, free_port, program, run, run_with_input, text};
use serde_json::Value;

/// 1,200 orders of a fleet of agents.
const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/orders.jsonl");

#[test]
fn a_devnet_finalizes_and_verifies_a_file_and_is_continued() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (net, port) = (dir.path().join("net"), free_port(4).to_string());
    let devnet = |more: &[&str]| run(&[&["devnet", "--dir", text(&net)][..], more].concat());
    let first = devnet(&["--validators", "4", "--port", &port, "--propose", ORDERS, "--exit"]);
    let lines = std::fs::read_to_string(ORDERS).unwrap().lines().count();
    assert_eq!(
        first.out.lines().last(),
        Some(format!(r#"{{"proposed":{lines},"final":{lines},"verified":{lines}}}"#).as_str()),
        "{}",
        first.err
    );
    assert!(first.err.contains("the logs of all 4 validators are the same"), "{}", first.err);
    let table = first.ok();
    assert!(table.contains(&format!("http://127.0.0.1:{port}")) && table.contains("tolerate 1 Byzantine"), "{table}");

    // It is continued, with lines of every kind.
    let kinds =
        "\"a string\"\n{\"value\": \"a proposal\", \"priority\": 9}\n{\"value_b64\": \"AAEC\"}\n[1, 2]\nplain text\n\n";
    let second = run_with_input(&["devnet", "--dir", text(&net), "--propose", "-", "--exit", "--json"], kinds);
    assert!(second.err.contains("continuing the network"), "{}", second.err);
    assert_eq!(second.last_json()["verified"], 5, "{}", second.err);
    second.ok();

    // Another network is refused, and so are files that cannot be meant so; nothing is started then.
    assert!(devnet(&["--validators", "6"]).fails(1).contains("has 4 validators"));
    assert!(devnet(&["--port", "19999"]).fails(1).contains("--port says 19999"));
    let config = dir.path().join("config.json");
    std::fs::write(&config, r#"{"consensus": {"max_value_bytes": 77}}"#).unwrap();
    let refused = devnet(&["--config", text(&config)]).fails(1);
    assert!(refused.contains("of another network") && refused.contains("77"), "{refused}");
    let refused =
        run_with_input(&["devnet", "--dir", text(&net), "--propose", "-", "--exit"], "{\"value\": 1}\n").fails(1);
    assert!(refused.contains("line 1"), "{refused}");
    let home = net.join("v1/config.json");
    let good = std::fs::read_to_string(&home).unwrap();
    std::fs::write(&home, r#"{"consensus": {"colour": "red"}}"#).unwrap();
    let refused = devnet(&[]).fails(1);
    assert!(refused.contains("validator v1 did not start") && refused.contains("colour"), "{refused}");
    std::fs::write(&home, good).unwrap();
    let _taken = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let refused = devnet(&[]).fails(1);
    assert!(refused.contains("is in use") && refused.contains("validator 0"), "{refused}");
}

/// Starts a devnet and reads its first line of JSON.
fn devnet_process(dir: &Path, said: &Path) -> (std::process::Child, Vec<i64>) {
    let port = free_port(2).to_string();
    let mut devnet = program()
        .args(["devnet", "--json", "--validators", "2", "--dir", text(dir), "--port", &port])
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(said).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(devnet.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let shown: Value = serde_json::from_str(&line).unwrap();
    let pids = shown["validators"].as_array().unwrap().iter().map(|validator| validator["pid"].as_i64().unwrap());
    (devnet, pids.collect())
}

fn signal(name: &str, pid: i64) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
}

/// Whether a process has ended, reaped or not.
fn has_ended(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn the_validators_end_with_their_devnet() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let (mut killed, pids) = devnet_process(&dir.path().join("a"), &said);
    assert!(pids.len() == 2 && pids.iter().all(|pid| !has_ended(*pid)));
    killed.kill().unwrap();
    killed.wait().unwrap();
    eventually("the children of a killed devnet end", || pids.iter().all(|pid| has_ended(*pid)).then_some(()));

    let (mut stopped, pids) = devnet_process(&dir.path().join("b"), &said);
    signal("KILL", pids[1]);
    eventually("the devnet tells of the death of v1", || {
        std::fs::read_to_string(&said).unwrap().contains("validator v1 has ended").then_some(())
    });
    assert!(!has_ended(pids[0]) && stopped.try_wait().unwrap().is_none());
    signal("TERM", stopped.id().into());
    let status = eventually("the devnet stops", || stopped.try_wait().unwrap());
    assert!(status.success() && pids.iter().all(|pid| has_ended(*pid)));
    let log = std::fs::read_to_string(dir.path().join("b/v0/node.log")).unwrap();
    assert!(log.contains("stopping"), "{log}");
}

#[test]
fn a_killed_validator_catches_up_and_its_followers_too() {
    let _alone = alone();
    let mut network = Network::new(6, "");
    (0..6).for_each(|index| network.start(index));
    run(&["status", "--health", "--node", &network.url(0)]).ok();
    let (dir, genesis) = (network.dir.path().to_owned(), network.genesis());
    // Follows the validator that will be killed.
    let mut follower = program()
        .args(["log", "--follow", "--json", "--values", "--from", "1", "--node", &network.url(5)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (lines, sink) = (BufReader::new(follower.stdout.take().unwrap()).lines(), Arc::clone(&seen));
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            sink.lock().unwrap().push(block(&serde_json::from_str(&line).unwrap()));
        }
    });

    let propose = |network: &Network, index: usize, value: &str| {
        let result = run(&["propose", "--node", &network.url(index), "--wait", "--timeout-ms", "60000", value]);
        assert_eq!(result.json()["value"], value);
        result.ok()
    };
    let first = propose(&network, 5, "before");
    network.kill(5);
    // The same proposal to two nodes, one of which is gone, is taken; then one by one and many at once.
    let (gone, there) = (network.url(5), network.url(1));
    let both = run(&["propose", "--node", &gone, "--node", &there, "--wait", "while one is dead"]).ok();
    for round in 0..5 {
        propose(&network, round % 5, &format!("round {round}"));
    }
    let orders: String = std::fs::read_to_string(ORDERS).unwrap().split_inclusive('\n').take(300).collect();
    let bulk =
        ["propose", "--file", "-", "--window", "250", "--wait", "--node", &network.url(0), "--node", &network.url(3)];
    let many = run_with_input(&bulk, &orders).ok();
    assert_eq!(many.lines().count(), 300);

    network.start(5);
    let height = network.height(0);
    eventually("the restarted validator catches up", || (network.height(5) >= height).then_some(()));
    let expected = network.blocks(0, height);
    assert_eq!(expected.len() as u64, height);
    for index in 1..6 {
        assert_eq!(network.blocks(index, height), expected, "validator {index}");
    }
    eventually("the follower comes along", || (seen.lock().unwrap().len() as u64 >= height).then_some(()));
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(seen.lock().unwrap()[..expected.len()], expected[..]);

    // Every result, from whomever, is checked with the genesis alone.
    let file = dir.join("results.json");
    std::fs::write(&file, format!("{first}{both}{many}")).unwrap();
    let shown = run(&["verify", "--json", "--genesis", &genesis, text(&file)]).ok();
    assert_eq!(shown.lines().filter(|line| line.contains("\"valid\":true")).count(), 302);
}

#[test]
fn results_are_verified_and_mangled_ones_refused() {
    let _alone = alone();
    let mut network = Network::new(1, "");
    network.start(0);
    let (url, genesis) = (network.url(0), network.genesis());
    let taken =
        run_with_input(&["propose", "--json", "--node", &url, "--nonce", "7", "-"], "from standard input\n").json();
    let id = taken["id"].as_str().unwrap();
    let file = network.dir.path().join("result.json");
    let words = run(&["result", id, "--node", &url, "--wait-ms", "30000", "--out", text(&file)]).ok();
    assert!(words.contains("final") && words.contains("from standard input"), "{words}");
    let said = run(&["verify", "--genesis", &genesis, text(&file)]).ok();
    assert!(said.contains("VALID") && said.contains("phases_ms is the node's word"), "{said}");
    let result: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(result["value"], "from standard input\n");
    for (field, lie) in
        [("height", 9.into()), ("value", "other".into()), ("leader", "v1".into()), ("strength", Value::Null)]
    {
        let mut mangled = result.clone();
        mangled[field] = lie;
        let refused = run_with_input(&["verify", "--genesis", &genesis, "-"], &mangled.to_string()).fails(1);
        assert!(refused.contains(&format!("the field {field} is")), "{refused}");
    }
    let other = tempfile::tempdir().unwrap();
    run(&["init", "--validators", "1", "--dir", text(other.path())]).ok();
    run(&["verify", "--genesis", text(&other.path().join("genesis.json")), text(&file)]).fails(1);
    let unknown = run(&["result", &"0".repeat(64), "--node", &url]).fails(1);
    assert!(unknown.contains("does not know"), "{unknown}");
    assert!(run(&["status", "--node", &url]).ok().contains("v0"));
    assert!(run(&["log", "--values", "--node", &url]).ok().contains("from standard input"));
    // A second process on the same home is refused.
    run(&["start", "--home", text(&network.home(0))]).fails(1);
}

#[test]
fn busy_and_expired_have_exit_codes_of_their_own() {
    let _alone = alone();
    let mut network = Network::new(4, r#"{"consensus": {"max_proposals": 1}}"#);
    // Two of four cannot make progress, and v1, which leads the first view, makes no block dated before the deadline.
    network.start(0);
    network.start(3);
    let url = network.url(0);
    let taken = run(&["propose", "--json", "--node", &url, "--timeout-ms", "100", "soon too late"]).json();
    let (id, deadline) = (taken["id"].as_str().unwrap(), taken["deadline"].as_u64().unwrap());
    let busy = run(&["propose", "--node", &url, "one too many"]).fails(5);
    assert!(busy.contains("max_proposals"), "{busy}");
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    eventually("the deadline passes", || (now() > deadline + 1_000_000).then_some(()));
    // Nothing is final after the deadline, so it is pending, whatever the clock says.
    let pending = run(&["result", id, "--node", &url]);
    assert_eq!(pending.json()["state"], "pending");
    pending.ok();
    network.start(1);
    network.start(2);
    let expired = run(&["result", id, "--node", &url, "--wait-ms", "100000"]);
    assert_eq!(expired.json()["state"], "expired");
    expired.fails(4);
}

#[test]
fn the_doctor_and_the_dump_look_at_real_nodes() {
    let _alone = alone();
    let mut network = Network::new(2, "");
    (0..2).for_each(|index| network.start(index));
    let (urls, home) = ([network.url(0), network.url(1)], network.home(0));
    eventually("values become final", || (network.height(0) > 0 && network.height(1) > 0).then_some(()));
    let well = run(&["doctor", "--json", "--node", &urls[0], "--node", &urls[1], "--home", text(&home)]);
    let said = well.json();
    let checks = |said: &Value| -> Vec<String> {
        let findings = said["findings"].as_array().unwrap().iter();
        findings
            .filter(|found| found["severity"] != "info")
            .map(|found| found["check"].as_str().unwrap().to_owned())
            .collect()
    };
    // Two validators have nobody to spare, and the disk of a test machine is what it is.
    let ignored = |check: &String| check.starts_with("disk") || check.starts_with("slow");
    assert!(checks(&said).iter().all(ignored), "{said:#}");
    let passed = said["passed"].to_string();
    for check in
        ["reachable", "same-log", "clocks", "key-modes", "identity", "running", "peers-reachable", "verification"]
    {
        assert!(passed.contains(check), "{check} is not in {passed}");
    }

    // A key that others may read, a peer that is gone, a node that does not answer.
    let key = home.join("keys/session.key.json");
    Command::new("chmod").arg("644").arg(&key).status().unwrap();
    network.kill(1);
    eventually("the loss is found", || {
        let ran = run(&["doctor", "--json", "--node", &urls[0], "--node", &urls[1], "--home", text(&home)]);
        let found = checks(&ran.json());
        let all = ["unreachable", "key-mode", "no-reserve", "peers-unreachable", "identity"];
        (ran.code == 1 && all.iter().all(|check| found.iter().any(|found| found == check))).then_some(())
    });
    Command::new("chmod").arg("600").arg(&key).status().unwrap();
    assert!(run(&["doctor", "--node", &urls[1]]).fails(3).is_empty());

    // The bundle holds no secret, even if a log does.
    let seed =
        serde_json::from_slice::<Value>(&std::fs::read(&key).unwrap()).unwrap()["seed"].as_str().unwrap().to_owned();
    let (log, bundle) = (network.dir.path().join("leaky.log"), network.dir.path().join("bundle.json"));
    std::fs::write(&log, format!("something went wrong\nseed {seed}\n")).unwrap();
    let dump = ["debug", "dump", text(&bundle), "--node", &urls[0], "--home", text(&home), "--log", text(&log)];
    let ran = run(&dump);
    assert!(ran.err.contains("1 pieces of key material"), "{}", ran.err);
    ran.ok();
    let written = std::fs::read_to_string(&bundle).unwrap();
    for name in ["session.key.json", "link.key.json"] {
        let file: Value = serde_json::from_slice(&std::fs::read(home.join("keys").join(name)).unwrap()).unwrap();
        let secret = file["seed"].as_str().unwrap();
        assert!(secret.len() >= 32 && !written.contains(secret), "{name} is in the bundle");
    }
    let parsed: Value = serde_json::from_str(&written).unwrap();
    assert!(parsed["log"].as_str().unwrap().contains("something went wrong"));
    assert_eq!(parsed["nodes"][&urls[0]]["/v1/status"]["body"]["name"], "v0");
    assert!(parsed["nodes"][&urls[0]]["/metrics"]["body"].as_str().unwrap().contains("agent_mesh_height"));
    assert_eq!(parsed["home"]["genesis"]["network"], "local");
    assert!(run(&dump).fails(1).contains("exists already"));
}
