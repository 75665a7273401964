//! The command line without a network: set-up, arithmetic, checks, exit codes.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{finish, program, run, run_with_input, text};
use consensus::Encode as _;
use consensus::evidence::Evidence;
use consensus::genesis::Genesis;
use consensus::types::{ValidatorIndex, View};
use consensus::vote::{BUNDLE_TAG, Bundle, BundleBody, Statement};
use consensus::votes::Vote;
use crypto::{KeyFile, KeyKind};

#[test]
fn organisations_make_a_network_from_public_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for i in 0..4 {
        let home = dir.path().join(format!("org{i}"));
        let (name, address) = (format!("org-{i}"), format!("10.1.1.{i}:9080"));
        let args = ["init", "--home", text(&home), "--name", &name, "--address", &address, "--json"];
        let made = run(&args);
        let shown = made.json();
        assert_eq!((shown["name"].as_str(), shown["level"].as_u64()), (Some(name.as_str()), Some(768)), "{shown}");
        let mode = |path: &str| std::fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("keys"), mode("keys/session.key.json"), mode("keys/link.key.json")), (0o700, 0o600, 0o600));
        let again = run(&args).fails(1);
        assert!(again.contains("nothing is overwritten"), "{again}");
        files.push(home.join("validator.pub.json"));
    }
    let files: Vec<&str> = files.iter().map(|file| text(file)).collect();
    let create = |out: &str, more: &[&str]| {
        let mut args =
            vec!["genesis", "create", "--network", "trade", "--created-us", "1700000000000000", "--out", out];
        args.extend(more);
        run(&args)
    };
    let out = dir.path().join("genesis.json");
    let said = create(text(&out), &files).ok();
    assert!(said.contains("chain id ") && said.contains("tolerate 1 Byzantine"), "{said}");
    let genesis = Genesis::from_json(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(genesis.config.members[3].name, "org-3");
    assert!(said.contains(&genesis.chain_id().to_string()));
    // The same files at the same time make the same network; an existing file is not overwritten.
    let printed = create("-", &files).ok();
    assert_eq!(Genesis::from_json(&printed).unwrap().chain_id(), genesis.chain_id());
    assert!(create(text(&out), &files).fails(1).contains("exists already"));
    let shown = run(&["genesis", "show", "--json", text(&out)]).json();
    assert_eq!(shown["chain_id"], genesis.chain_id().to_string());
    assert!(run(&["genesis", "show", text(&out)]).ok().contains("org-2"));

    // Unsafe numbers, a file twice, a mangled file.
    let refused = create("-", &[&files[..], &["--max-byzantine", "2"]].concat()).fails(1);
    assert!(refused.contains("max_byzantine 2"), "{refused}");
    let refused = create("-", &[&files[..], &files[..1]].concat()).fails(1);
    assert!(refused.contains("the same name"), "{refused}");
    let mangled = dir.path().join("mangled.pub.json");
    std::fs::write(&mangled, std::fs::read_to_string(files[0]).unwrap().replace("org-0", "org-9")).unwrap();
    let refused = create("-", &[text(&mangled), files[1]]).fails(1);
    assert!(refused.contains("changed after it was made"), "{refused}");
    let refused = create("-", &[text(&out)]).fails(1);
    assert!(refused.contains("not a validator's public file"), "{refused}");
}

#[test]
fn a_container_may_repeat_its_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let (home, out, genesis) =
        (dir.path().join("home"), dir.path().join("a.pub.json"), dir.path().join("genesis.json"));
    let init = |name: &str, more: &[&str]| {
        run(&[&["init", "--home", text(&home), "--name", name, "--address", "a.mesh:9080", "--level", "512"][..], more]
            .concat())
    };
    let first = init("a", &["--keep", "--out", "-"]).ok();
    let key = std::fs::read(home.join("keys/session.key.json")).unwrap();
    assert_eq!(init("a", &["--keep", "--out", "-"]).ok(), first);
    init("a", &["--keep", "--out", text(&out)]).ok();
    init("a", &["--keep", "--out", text(&out)]).ok();
    assert_eq!(std::fs::read(home.join("keys/session.key.json")).unwrap(), key, "the keys are the same ones");
    assert!(init("b", &["--keep"]).fails(1).contains("is the home of a at a.mesh:9080"));
    assert!(init("a", &[]).fails(1).contains("nothing is overwritten"));
    std::fs::write(&out, "something else").unwrap();
    assert!(init("a", &["--keep", "--out", text(&out)]).fails(1).contains("exists already"));

    std::fs::write(&out, &first).unwrap();
    let create = |files: &[&str]| {
        run(&[&["genesis", "create", "--keep", "--json", "--out", text(&genesis)][..], files].concat())
    };
    let made = create(&[text(&out)]).json();
    assert_eq!(create(&[text(&out)]).json()["chain_id"], made["chain_id"]);
    let other = dir.path().join("b.pub.json");
    let home = dir.path().join("other");
    run(&["init", "--home", text(&home), "--name", "b", "--level", "512", "--out", text(&other)]).ok();
    assert!(create(&[text(&other)]).fails(1).contains("of other validators"));
}

#[test]
fn public_files_can_be_printed_and_levels_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    let init = |name: &str, more: &[&str]| {
        let home = home(name);
        run(&[&["init", "--home", text(&home), "--name", name][..], more].concat())
    };
    let printed = init("a", &["--level", "512", "--out", "-"]).ok();
    let file = node::setup::PublicFile::from_json(&printed).unwrap();
    assert_eq!((file.level.dimension(), file.name.as_str(), file.address.as_str()), (512, "a", "127.0.0.1:9080"));
    assert!(init("b", &["--level", "700"]).fails(2).contains("512"));
    assert!(init("b", &["--address", "nowhere"]).fails(1).contains("host:port"));
    assert!(init("b c", &[]).fails(1).contains("not usable"));
    init("b", &["--out", text(&home("b.pub.json"))]).ok();
    let mixed =
        run(&["genesis", "create", text(&home("b.pub.json")), text(&home("a/validator.pub.json")), "--out", "-"])
            .fails(1);
    assert!(mixed.contains("same lattice_dimension"), "{mixed}");
    let without_home = run(&["init"]).fails(2);
    assert!(without_home.contains("--home"), "{without_home}");
    run(&["init", "--validators", "4"]).fails(2);
}

#[test]
fn without_quantum_security_there_is_a_loud_warning() {
    let dir = tempfile::tempdir().unwrap();
    let classical = dir.path().join("c");
    let args = ["init", "--validators", "1", "--dir", text(&classical)];
    let ran = finish(program().args(args).env("QUANTUM_SECURITY", "false"), "");
    assert!(ran.err.contains("QUANTUM SECURITY IS OFF"), "{}", ran.err);
    ran.ok();
    let genesis = Genesis::from_json(&std::fs::read_to_string(classical.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(genesis.config.level.dimension(), 0);
    // It does not mix: a home of the one kind does not start as the other.
    let post_quantum = dir.path().join("q");
    run(&["init", "--validators", "1", "--dir", text(&post_quantum)]).ok();
    let home = post_quantum.join("v0");
    let refused =
        finish(program().args(["start", "--home", text(&home)]).env("QUANTUM_SECURITY", "false"), "").fails(1);
    assert!(refused.contains("quantum_security.lattice_dimension"), "{refused}");
}

#[test]
fn quorum_numbers_are_flat_integers() {
    let shown = run(&["quorum", "--validators", "6", "--json"]).json();
    let numbers: Vec<u64> =
        ["n", "f", "c", "q_min", "q_max", "q_fast"].iter().map(|key| shown[key].as_u64().unwrap()).collect();
    assert_eq!(numbers, [6, 1, 1, 4, 5, 5]);
    assert!(shown["why"].as_str().unwrap().contains("S1"));
    let shown = run(&["--json", "quorum", "--validators", "10", "--max-byzantine", "2", "--max-crashed", "1"]).json();
    assert_eq!((shown["f"].as_u64(), shown["c"].as_u64()), (Some(2), Some(1)));
    let refused = run(&["quorum", "--validators", "3", "--max-byzantine", "1"]).fails(1);
    assert!(refused.contains("q_min = 3") && refused.contains("condition L0"), "{refused}");
    run(&["quorum", "--validators", "0"]).fails(1);
    run(&["quorum"]).fails(2);
    run(&["quorum", "--validators", "many"]).fails(2);
    assert!(run(&["quorum", "--validators", "4"]).ok().contains("q_fast = 4"));
}

#[test]
fn configurations_are_checked_and_shown() {
    let example = run(&["config", "example"]).ok();
    assert!(run_with_input(&["config", "check", "-"], &example).ok().contains("fine"));
    let refused = run_with_input(&["config", "check", "-"], r#"{"consensus": {"max_proposal": 5}}"#).fails(1);
    assert!(refused.contains("max_proposals"), "{refused}");
    let checked = run_with_input(&["config", "check", "--json", "-"], r#"{"consensus": 3}"#);
    assert_eq!((checked.json()["ok"].as_bool(), checked.code), (Some(false), 1));
    run(&["config", "check", "/nowhere/config.json"]).fails(1);
    let shown = finish(program().args(["config", "show"]).env("AI_OPTIMIZATION", "false"), "").json();
    assert_eq!(shown["ai_optimization"]["mode"], "off");
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("h");
    run(&["init", "--home", text(&home), "--name", "h7"]).ok();
    assert_eq!(run(&["config", "show", "--home", text(&home)]).json()["node"]["name"], "h7");
    assert!(run(&["config", "keys"]).ok().contains("consensus.max_proposals"));
}

#[test]
fn nobody_there_is_exit_code_3() {
    let nowhere = format!("127.0.0.1:{}", common::free_port(1));
    let id = "0".repeat(64);
    for args in [
        vec!["status"],
        vec!["log"],
        vec!["log", "--follow"],
        vec!["propose", "x"],
        vec!["propose", "--file", "-"],
        vec!["result", &id],
    ] {
        let told = run_with_input(&[&args[..], &["--node", &nowhere]].concat(), "\"x\"\n").fails(3);
        assert!(told.contains("is the node running there?"), "{told}");
    }
    run(&["status", "--node", "https://127.0.0.1"]).fails(2);
    run(&["result", "not-an-id"]).fails(2);
    run(&["propose"]).fails(2);
    run(&["propose", "x", "--file", "y"]).fails(2);
    run(&["propose", "x", "--priority", "10"]).fails(2);
    run(&["nonsense"]).fails(2);
    run(&["devnet", "--exit"]).fails(2);
    run(&["--help"]).ok();
}

#[test]
fn what_is_no_result_does_not_verify() {
    let dir = tempfile::tempdir().unwrap();
    run(&["init", "--validators", "1", "--dir", text(dir.path())]).ok();
    let genesis = dir.path().join("genesis.json");
    let verify = |input: &str| run_with_input(&["verify", "--genesis", text(&genesis), "-"], input).fails(1);
    let pending = format!(r#"{{"id": "{}", "state": "pending"}}"#, "a".repeat(64));
    assert!(verify(&pending).contains("only a final result has a proof"));
    assert!(verify(&pending.replace("pending", "final")).contains("no proof_b64"));
    assert!(verify(&format!("[{pending}]\n{pending}")).contains("2 of 2 results"));
    assert!(verify(r#"{"id": "x", "state": "final", "colour": 1}"#).contains("not a result"));
    assert!(verify(r#"{"id": "x", "state": "final", "proof_b64": "AAAA"}"#).contains("not readable"));
    assert!(verify("").contains("nothing in it"));
    assert!(verify("hello").contains("not JSON"));
    let missing = run_with_input(&["verify", "--genesis", "/nowhere", "-"], &pending).fails(1);
    assert!(missing.contains("cannot read /nowhere"), "{missing}");
}

/// Evidence that v0 signed both a Nullify and a Finalize of one view.
fn evidence(dir: &std::path::Path, signer: u16) -> Evidence {
    let genesis = Genesis::from_json(&std::fs::read_to_string(dir.join("genesis.json")).unwrap()).unwrap();
    let key = KeyFile::read(&dir.join("v0/keys/session.key.json"), KeyKind::Session).unwrap().key;
    let (chain, view) = (genesis.chain_id(), View::new(3));
    let vote = |statement: Statement| {
        let body = BundleBody::new(chain, genesis.config.epoch, ValidatorIndex::new(signer), vec![statement]).unwrap();
        let signature = key.sign(BUNDLE_TAG, &body.to_bytes()).unwrap();
        Vote::Bundle(Bundle::new(body, signature).into())
    };
    Evidence::find(&vote(Statement::Nullify(view)), &vote(Statement::Finalize(view, chain))).unwrap()
}

#[test]
fn evidence_is_checked_offline() {
    let dir = tempfile::tempdir().unwrap();
    run(&["init", "--validators", "2", "--dir", text(dir.path())]).ok();
    let genesis = dir.path().join("genesis.json");
    let verify = |input: &str| run_with_input(&["evidence", "verify", "--genesis", text(&genesis), "-"], input);
    let good = BASE64.encode(evidence(dir.path(), 0).to_bytes());
    let said = verify(&good).ok();
    assert!(said.contains("v0") && said.contains("finalize_and_nullify"), "{said}");
    let view = |name: &str| {
        format!(
            r#"[{{"accused": 0, "name": "{name}", "kind": "finalize_and_nullify", "view": 3, "evidence_b64": "{good}"}}]"#
        )
    };
    verify(&view("v0")).ok();
    let lied = verify(&view("v1")).fails(1);
    assert!(lied.contains("the field name is v1"), "{lied}");
    // Signed by v0, but naming v1.
    let framed = BASE64.encode(evidence(dir.path(), 1).to_bytes());
    assert!(verify(&framed).fails(1).contains("INVALID"));
    verify("AAAA").fails(1);
    let shown = run_with_input(&["evidence", "verify", "--json", "--genesis", text(&genesis), "-"], &good).json();
    assert_eq!((shown["valid"].as_bool(), shown["accused"].as_u64()), (Some(true), Some(0)));
}
