//! What we depend on: the rules of deny.toml, held without a tool that would first have to be built.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The quoted strings between `begin` and the end of the list that it opens.
fn list(text: &str, begin: &str) -> BTreeSet<String> {
    let after = text.split_once(begin).unwrap_or_else(|| panic!("deny.toml has no {begin}")).1;
    let body = after.split_once("\n]").or_else(|| after.split_once(']')).unwrap().0;
    let lines = body.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Whether a licence expression can be met with what is allowed: a choice with OR, everything with AND.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    let met = any(&words, &mut at, allowed);
    met && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at, allowed);
    }
    met
}

fn all(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = any(words, at, allowed);
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        let whole = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
        return allowed.contains(&whole);
    }
    allowed.contains(*word)
}

#[test]
fn licence_expressions_are_read() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for yes in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR X) AND ISC", "Apache-2.0 WITH LLVM-exception OR X"] {
        assert!(is_met(yes, &allowed), "{yes}");
    }
    for no in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND X", "Apache-2.0 WITH Other", "MIT ISC", "(X OR Y) OR Z"]
    {
        assert!(!is_met(no, &allowed), "{no}");
    }
}

#[test]
fn dependencies_keep_the_rules_of_deny_toml() {
    let rules = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let (allowed, banned) = (list(&rules, "allow = ["), list(&rules, "deny = ["));
    let registries = list(&rules, "allow-registry = [");
    assert!(
        allowed.contains("MIT") && banned.contains("ring") && registries.len() == 1,
        "{allowed:?} {banned:?} {registries:?}"
    );
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // `cargo tree`, because `cargo metadata` also lists optional packages that no enabled feature pulls in.
    let tree = Command::new(cargo)
        .args(["tree", "--workspace", "--locked", "--edges", "all", "--target", "x86_64-unknown-linux-gnu"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let listed = String::from_utf8(tree.stdout).unwrap();
    // " (*)" marks a package that was listed before.
    let lines = listed.lines().map(|line| line.trim_end_matches(" (*)"));
    let packages: BTreeSet<(&str, &str)> = lines.filter_map(|line| line.split_once('|')).collect();
    let mut broken = Vec::new();
    for (package, licence) in &packages {
        if !is_met(licence, &allowed) {
            broken.push(format!("{package} has the licence {licence:?}"));
        }
        if banned.contains(package.split(' ').next().unwrap()) {
            broken.push(format!("{package} is banned"));
        }
    }
    assert!(packages.len() > 100 && broken.is_empty(), "{broken:#?}");
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for source in lock.lines().filter_map(|line| line.strip_prefix("source = ")) {
        let known = registries.iter().any(|registry| source == format!("\"registry+{registry}\""));
        assert!(known, "a package comes from {source}");
    }
}

#[test]
fn every_locked_package_has_a_checksum() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for package in lock.split("[[package]]").skip(1).filter(|package| package.contains("source = ")) {
        assert!(package.contains("checksum = \""), "without checksum: {package}");
    }
}
