//! The chaos runner in its short form: four real validators, some seconds of faults, every promise checked.
//!
//! Long: `agent-mesh chaos --validators 6 --minutes 30 --seed S`.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use common::{alone, free_port, run, text};

#[test]
fn no_promise_is_broken_under_faults() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port(4).to_string();
    let net = dir.path().join("net");
    let args = [
        "chaos",
        "--json",
        "--validators",
        "4",
        "--seconds",
        "12",
        "--seed",
        "7",
        "--dir",
        text(&net),
        "--port",
        &port,
    ];
    let ran = run(&args);
    let report = ran.last_json();
    assert_eq!(ran.code, 0, "{report:#}\n{}", ran.err);
    assert_eq!(report["violations"].as_array().unwrap().len(), 0);
    assert!(report["told_final"].as_u64().unwrap() > 20, "clients got somewhere: {report:#}");
    let count = |name: &str| report["faults"][name].as_u64().unwrap();
    assert!(count("killed") + count("stopped") + count("emptied") > 0, "something went wrong on purpose: {report:#}");
    assert!(report["proofs_verified_afterwards"].as_u64().unwrap() > 80, "{report:#}");
}
