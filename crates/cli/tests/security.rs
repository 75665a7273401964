//! A protected validator from the command line: tokens, TLS with a pinned certificate, the admin verbs, the audit log.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::process::Stdio;

use common::{Network, Ran, alone, eventually, free_port, program, run, text};

#[test]
fn a_protected_validator_is_used_and_audited() {
    let _alone = alone();
    let admin_port = free_port(1);
    let config = format!(r#"{{"api":{{"tls":true,"require_tokens":true,"admin_listen":"127.0.0.1:{admin_port}"}}}}"#);
    let mut network = Network::new(1, &config);
    let home = network.home(0);
    let home = text(&home).to_owned();
    let token = |name: &str, role: &str| {
        let path = network.dir.path().join(format!("{name}.token"));
        let path = text(&path).to_owned();
        run(&["token", "create", "--home", &home, "--name", name, "--role", role, "--out", &path]).ok();
        path
    };
    let (reader, writer, admin) = (token("reader", "read"), token("writer", "propose"), token("admin", "admin"));
    let log = std::fs::File::create(network.home(0).join("node.log")).unwrap();
    let mut start = program();
    start.args(["start", "--exit-with-parent", "--home", &home]);
    network.nodes[0] = Some(start.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap());

    let url = network.url(0).replace("http://", "https://");
    let ca = network.home(0).join("keys/api.cert.pem");
    let ask = |args: &[&str], token: &str| -> Ran {
        let mut all = args.to_vec();
        all.extend(["--node", &url, "--ca-file", text(&ca), "--token-file", token]);
        run(&all)
    };
    let status =
        eventually("the node serves", || Some(ask(&["status", "--json"], &reader)).filter(|ran| ran.code == 0));
    assert_eq!(status.json()["name"], "v0");

    // Without the certificate, without a token, in the clear, with too small a role.
    assert!(run(&["status", "--node", &url]).fails(2).contains("--ca-file"));
    assert!(run(&["status", "--node", &url, "--ca-file", text(&ca)]).fails(1).contains("token"));
    run(&["status", "--node", &network.url(0)]).fails(3);
    assert!(ask(&["propose", "x"], &reader).fails(1).contains("needs propose"));
    let result = ask(&["propose", "--wait", "--json", "guarded"], &writer).json();
    assert_eq!(result["state"], "final");

    let door = format!("https://127.0.0.1:{admin_port}");
    let admin_verb = |args: &[&str], token: &str| {
        let mut all = vec!["admin"];
        all.extend(args);
        all.extend(["--node", &door, "--ca-file", text(&ca), "--token-file", token]);
        run(&all)
    };
    assert_eq!(admin_verb(&["log-level"], &admin).ok().trim(), "info");
    assert_eq!(admin_verb(&["log-level", "trace"], &admin).ok().trim(), "trace");
    assert!(admin_verb(&["log-level", "debug"], &writer).fails(1).contains("needs admin"));
    assert!(admin_verb(&["log-level", "a=b=c"], &admin).fails(1).contains("not a filter"));
    assert!(admin_verb(&["audit"], &admin).ok().contains("\"verb\":\"log\""));
    let logged = || std::fs::read_to_string(network.home(0).join("node.log")).unwrap();
    eventually("the level has changed", || logged().contains("TRACE").then_some(()));

    // A revoked token is void while the node runs.
    let id = std::fs::read_to_string(&reader).unwrap().split('_').nth(1).unwrap().to_owned();
    run(&["token", "revoke", "--home", &home, &id]).ok();
    eventually("the token is void", || (ask(&["status"], &reader).code == 1).then_some(()));
    assert_eq!(run(&["token", "list", "--home", &home, "--json"]).ok().lines().count(), 2);

    network.kill(0);
    let report = run(&["audit", "verify", "--home", &home, "--json"]).json();
    let head = report["log"]["head"].as_str().unwrap();
    run(&["audit", "verify", "--home", &home, "--contains", head]).ok();
    let shown = run(&["audit", "show", "--home", &home]).ok();
    assert!(shown.contains("start") && shown.contains("access_denied"), "{shown}");
    let file = network.home(0).join("audit/audit-00000001.jsonl");
    let sound = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, sound.replacen("\"verb\":\"log\"", "\"verb\":\"dog\"", 1)).unwrap();
    assert!(run(&["audit", "verify", "--home", &home]).fails(1).contains("was changed"));
    // The last line cut off, as if it had never been: only the head that was kept tells.
    let shorter = &sound[..=sound.trim_end().rfind('\n').unwrap()];
    std::fs::write(&file, shorter).unwrap();
    run(&["audit", "verify", "--home", &home]).ok();
    assert!(run(&["audit", "verify", "--home", &home, "--contains", head]).fails(1).contains("not in the log"));
}
