//! Keys for people and for programs.

use crypto::security::Entry;

use crate::failure::Outcome;
use crate::output::{Output, print, print_json};

/// One name.
pub(super) fn entry(entry: &Entry, output: Output) -> Outcome {
    if output.json {
        return print_json(entry);
    }
    let Entry { name, level, generation, signature, fingerprint, .. } = entry;
    let encryption = entry.encryption.as_deref().unwrap_or("none");
    print(format!(
        "{name}  {}\n  level {level}, generation {generation}\n  signatures {signature}, encryption {encryption}\n  fingerprint {fingerprint}",
        state(entry)
    ))
}

/// All names, a line each; as JSON an array.
pub(super) fn list(entries: &[Entry], output: Output) -> Outcome {
    if output.json {
        return print_json(&entries);
    }
    if entries.is_empty() {
        return print("no keys yet: make one with `agent-mesh keys generate NAME`");
    }
    for entry in entries {
        let Entry { name, level, generation, fingerprint, .. } = entry;
        print(format!("{name:<24} {:<16} level {level:<5} generation {generation:<4} {fingerprint}", state(entry)))?;
    }
    Ok(())
}

fn state(entry: &Entry) -> &'static str {
    match (entry.own, entry.one_time, entry.used) {
        (true, true, true) => "one-time, used",
        (true, true, false) => "one-time",
        (true, false, _) => "own",
        (false, true, _) => "other's one-time",
        (false, false, _) => "other's",
    }
}
