//! The house keeps its plan: who may know whom, no clock and no tasks in the pure rooms, and every file says its job.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// docs/architecture.md: a crate knows only what stands below it.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("crypto", vec![]),
        ("storage", vec![]),
        ("optimizer", vec!["consensus"]),
        ("consensus", vec!["crypto"]),
        ("engine", vec!["consensus", "crypto", "storage"]),
        ("transport", vec!["crypto"]),
        ("sim", vec!["engine", "consensus", "crypto", "storage", "optimizer"]),
        ("model", vec!["sim", "engine", "consensus", "crypto", "storage"]),
        ("node", vec!["engine", "consensus", "crypto", "storage", "optimizer", "transport"]),
        ("fuzz", vec!["node", "sim", "engine", "consensus", "crypto", "storage"]),
        ("cli", vec!["node", "sim", "consensus", "crypto"]),
    ])
}

fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_crate_knows_only_what_stands_below_it() {
    let allowed = allowed();
    for (room, below) in &allowed {
        let manifest = std::fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).unwrap();
        let ours = dependencies(&manifest).into_iter().filter(|name| allowed.contains_key(name.as_str()));
        for name in ours {
            assert!(below.contains(&name.as_str()), "crate {room} must not know {name} (docs/architecture.md)");
        }
    }
}

#[test]
fn the_pure_rooms_have_neither_tasks_nor_clock() {
    for room in ["consensus", "engine", "optimizer", "crypto"] {
        let dir = root().join("crates").join(room);
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert!(
            !dependencies(&manifest).iter().any(|name| name.starts_with("tokio")),
            "crate {room} must not use tokio"
        );
        if room == "crypto" {
            continue; // key files carry their time of creation
        }
        for file in sources(&dir.join("src")) {
            if file.ends_with("engine/src/index.rs") {
                continue; // docs/decisions/0005
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for word in ["std::time", "HashMap", "HashSet", "f64", "f32", "std::net", "std::fs"] {
                if room == "optimizer" && word.starts_with('f') {
                    continue; // docs/decisions/0046
                }
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let found =
                    code.filter(|line| line.contains(word)).find(|line| !line.contains("std::time::Instant::now"));
                assert_eq!(found, None, "{}: {word} has no place in crate {room}", file.display());
            }
        }
    }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_file_says_its_job_first() {
    let mut files: Vec<PathBuf> =
        allowed().keys().flat_map(|room| sources(&root().join("crates").join(room))).collect();
    files.extend(sources(&root().join("bench")));
    assert!(files.len() > 50, "the test looks in the right place");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}: the first line says the file's job", file.display());
    }
}
