//! `agent-mesh keys`: two parties, files and standard input, and what goes wrong.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::{run, run_with_input, text};

#[test]
fn two_parties_encrypt_sign_rotate_and_restore() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (alice, bob) = (path("alice"), path("bob"));
    let (alice, bob) = (text(&alice), text(&bob));
    let made = run(&["keys", "--keys", alice, "generate", "alice", "--json"]).json();
    assert_eq!((made["level"].as_u64(), made["own"].as_bool()), (Some(768), Some(true)), "{made}");
    run(&["keys", "--keys", bob, "--level", "2048", "generate", "bob"]).ok();
    let (public, content) = (path("bob.pub"), path("content"));
    run(&["keys", "--keys", bob, "export", "bob", "--out", text(&public)]).ok();
    let imported = run(&["keys", "--keys", alice, "import", text(&public), "--as", "partner", "--json"]).json();
    assert_eq!(imported["encryption"], "ml-kem-1024+hqc-256");

    std::fs::write(&content, vec![7; 200_000]).unwrap();
    let (container, plain, signature) = (path("c"), path("plain"), path("s"));
    let encrypt = [
        "keys",
        "--keys",
        alice,
        "encrypt",
        "--to",
        "partner",
        "--aad",
        "order 7",
        text(&content),
        "-o",
        text(&container),
    ];
    assert!(run(&encrypt).ok().contains("200000 bytes"));
    assert!(run(&encrypt).fails(1).contains("nothing is overwritten"));
    let decrypt = |aad: &str| {
        run(&["keys", "--keys", bob, "decrypt", "--aad", aad, text(&container), "-o", text(&plain), "--json"])
    };
    assert!(decrypt("order 8").fails(1).contains("does not decrypt"));
    assert!(!plain.exists(), "what is not genuine does not appear");
    assert_eq!(decrypt("order 7").json()["decrypted_bytes"], 200_000);
    assert_eq!(std::fs::read(&plain).unwrap(), vec![7; 200_000]);
    assert_eq!(std::fs::metadata(&plain).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 6, "no part file is left");
    let stranger = run(&["keys", "--keys", alice, "decrypt", text(&container)]).fails(1);
    assert!(stranger.contains("not here"), "{stranger}");
    let cut = std::fs::read(&container).unwrap();
    std::fs::write(&container, &cut[..cut.len() - 1]).unwrap();
    run(&["keys", "--keys", bob, "decrypt", "--aad", "order 7", text(&container)]).fails(1);

    run(&["keys", "--keys", bob, "sign", "--key", "bob", text(&content), "-o", text(&signature)]).ok();
    let verify = |signature: &str, data: &str| {
        run_with_input(&["keys", "--keys", alice, "verify", "--by", "partner", "--signature", signature, "-"], data)
    };
    let data = String::from_utf8(vec![7; 200_000]).unwrap();
    assert!(verify(text(&signature), &data).ok().contains("VALID"));
    assert!(verify(text(&signature), &data[1..]).fails(1).contains("was changed"));
    assert!(verify(text(&public), &data).fails(1).contains("not an agent-mesh signature"));

    assert_eq!(run(&["keys", "--keys", bob, "rotate", "bob", "--json", "--level", "2048"]).json()["generation"], 1);
    let next = run(&["keys", "--keys", bob, "export", "bob"]).ok();
    let update = ["keys", "--keys", alice, "import", "-", "--as", "partner", "--json"];
    assert_eq!(run_with_input(&update, &next).json()["generation"], 1);
    let listed = run(&["keys", "--keys", alice, "list"]).ok();
    assert!(listed.contains("partner") && listed.contains("generation 1"), "{listed}");
}

#[test]
fn passphrases_seal_and_back_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (keys, other, passphrase, backup) = (path("keys"), path("other"), path("pass"), path("backup"));
    let signed = path("signed");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    let generate =
        ["keys", "--keys", text(&keys), "--passphrase-file", text(&passphrase), "--level", "512", "generate", "a"];
    assert!(run(&generate).fails(1).contains("chmod 600"));
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    run(&generate).ok();
    let file = std::fs::read_to_string(keys.join("a.pair.json")).unwrap();
    assert!(file.contains("argon2id") && !file.contains("\"secret\""));
    let bare = run_with_input(&["keys", "--keys", text(&keys), "sign", "--key", "a", "-"], "m").fails(1);
    assert!(bare.contains("AGENT_MESH_PASSPHRASE_FILE"), "{bare}");

    run(&["keys", "--keys", text(&keys), "one-time", "once"]).ok();
    run(&["keys", "--keys", text(&keys), "backup", "--out", text(&backup)]).fails(2);
    let with = |verb: &[&str]| run(&[&["keys", "--passphrase-file", text(&passphrase), "--json"], verb].concat());
    let report = with(&["--keys", text(&keys), "backup", "--out", text(&backup)]).json();
    assert_eq!(report["left_out"][0], "once.once.json");
    assert_eq!(
        with(&["--keys", text(&other), "restore", text(&backup)]).json()["restored"].as_array().unwrap().len(),
        3
    );
    let once = ["keys", "--keys", text(&keys), "sign", "--key", "once", text(&passphrase), "-o", text(&signed)];
    run(&once).ok();
    assert!(
        run(&["keys", "--keys", text(&keys), "sign", "--key", "once", text(&backup)]).fails(1).contains("has signed")
    );
    assert!(run(&["keys", "--keys", text(&keys), "show", "once"]).ok().contains("used"));

    let nowhere = path("nowhere");
    assert!(run(&["keys", "--keys", text(&nowhere), "list"]).fails(1).contains("no key directory"));
    assert!(run(&["keys", "--keys", text(&keys), "--level", "640", "list"]).fails(2).contains("2048"));
    assert!(run(&["keys", "--keys", text(&keys), "show", "../a"]).fails(1).contains("no name"));
    run(&["keys", "encrypt"]).fails(2);
}
