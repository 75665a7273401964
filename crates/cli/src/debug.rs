//! `agent-mesh debug`: what a bug report needs, and nothing secret.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Subcommand;
use node::home::Home;
use serde_json::{Map, Value, json};

use crate::client::{Client, DEFAULT_NODE};
use crate::doctor;
use crate::failure::{Failure, Outcome};
use crate::init::now;
use crate::input::environment;
use crate::output::{Output, note, print, print_document, write_new};

/// Blocks whose headers are gathered; values are left out.
const BLOCKS: u64 = 100;
/// The end of a log that is gathered.
const LOG_BYTES: usize = 1 << 20;
/// Strings of a key file that are at least so long may be secret.
const SECRET_CHARS: usize = 16;
/// What a key file says that is not secret.
const PUBLIC_FIELDS: [&str; 6] = ["format", "kind", "name", "algorithm", "public_key", "protection"];
/// What takes the place of a secret.
const REDACTED: &str = "(removed)";
/// Words in the names of configuration keys whose values are not given away.
const SECRET_WORDS: [&str; 4] = ["token", "password", "secret", "private"];

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Write a bundle for a bug report: what nodes and a home say about themselves, without keys, tokens and values.
    Dump(Dump),
}

/// Arguments of `debug dump`.
#[derive(clap::Args)]
pub(crate) struct Dump {
    /// The new file, JSON; `-` prints it.
    file: PathBuf,
    /// Nodes to ask; by default the one on this machine.
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    /// A validator's home on this machine.
    #[arg(long)]
    home: Option<PathBuf>,
    /// A log of the node; its end is added.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Runs `debug`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    let Verb::Dump(args) = verb;
    let mut urls = args.node.clone();
    if urls.is_empty() && args.home.is_none() {
        urls.push(DEFAULT_NODE.to_owned());
    }
    let (report, answered) = doctor::examine(&urls, args.home.as_deref())?;
    let mut nodes = Map::new();
    for url in &urls {
        nodes.insert(url.clone(), of_node(&Client::new(url)?));
    }
    let mut bundle = json!({
        "format": "agent-mesh debug bundle 1",
        "made_us": now().get(),
        "version": env!("CARGO_PKG_VERSION"),
        "machine": machine(),
        "doctor": report.to_json(),
        "nodes": nodes,
    });
    let mut secrets = Vec::new();
    if let Some(root) = &args.home {
        bundle["home"] = of_home(root);
        secrets = secrets_of(root)?;
    }
    if let Some(log) = &args.log {
        bundle["log"] = Value::from(end_of(log)?);
    }
    let mut text = serde_json::to_string_pretty(&bundle)?;
    let removed = redact(&mut text, &secrets);
    if removed > 0 {
        note(format!(
            "WARNING {removed} pieces of key material were in it (a log?) and have been removed: rotate these keys"
        ));
    }
    write_new(&args.file, &(text + "\n"))?;
    if args.file == Path::new("-") {
        return Ok(());
    }
    let nodes = format!("{answered} nodes answered");
    if output.json {
        return print_document(&json!({"file": args.file, "nodes": answered, "removed": removed}));
    }
    print(format!(
        "{}: {nodes}. It holds names, addresses, public keys and figures; no secret keys, no tokens, no values.",
        args.file.display()
    ))?;
    print("Look through it before you pass it on.")
}

/// What one node says, or why it says nothing.
fn of_node(client: &Client) -> Value {
    let mut said = Map::new();
    let paths = [
        "/v1/status",
        "/v1/validators",
        "/v1/evidence",
        "/v1/genesis",
        "/health/consensus",
        "/health/quantum",
        "/health/ai",
    ];
    let height = client.status().map(|status| status.height).unwrap_or_default();
    let blocks = format!("/v1/blocks?from={}&limit={BLOCKS}", (height + 1).saturating_sub(BLOCKS).max(1));
    for path in paths.into_iter().chain([blocks.as_str(), "/metrics"]) {
        let answer = match client.look(path) {
            Ok((status, body)) => {
                let text = String::from_utf8_lossy(&body).into_owned();
                json!({"status": status, "body": serde_json::from_str::<Value>(&text).unwrap_or(Value::from(text))})
            }
            Err(error) => json!({"error": error.to_string()}),
        };
        said.insert(path.split('?').next().unwrap_or(path).to_owned(), answer);
    }
    Value::Object(said)
}

/// What a home holds beside its keys.
fn of_home(root: &Path) -> Value {
    let home = Home::new(root);
    let (home, config) = match home.read_config(&environment) {
        Ok((config, _)) => (home.with_paths(&config), without_secrets(config.to_json())),
        Err(error) => (home, json!({"error": error.to_string()})),
    };
    let read = |path: PathBuf| match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).unwrap_or(Value::from(text)),
        Err(error) => json!({"error": error.to_string()}),
    };
    let files = |path: &Path| -> Vec<Value> {
        let list = doctor::listing(path);
        list.iter()
            .map(|(path, mode, bytes)| json!({"path": path, "mode": format!("{mode:o}"), "bytes": bytes}))
            .collect()
    };
    json!({
        "root": root, "config": config, "genesis": read(home.genesis()), "public": read(home.public()),
        "files": files(root), "keys": files(&home.keys()), "store": files(&home.store()),
    })
}

/// A configuration without the values of keys that sound secret.
fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| {
                    let named = SECRET_WORDS.iter().any(|word| key.to_lowercase().contains(word));
                    // A path or a switch gives nothing away.
                    let secret = named && !key.ends_with("_path") && !value.is_boolean();
                    let value = if secret && !value.is_null() { Value::from(REDACTED) } else { without_secrets(value) };
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    }
}

fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().lines().take(4).collect::<Vec<_>>().join("; ");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({"kernel": read("/proc/version"), "memory": read("/proc/meminfo"), "load": read("/proc/loadavg"), "cores": cores})
}

/// The end of a file, from the beginning of a line.
fn end_of(path: &Path) -> Outcome<String> {
    let bytes = crate::input::read_bytes(path)?;
    let from = bytes.len().saturating_sub(LOG_BYTES);
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    Ok(match (from, text.split_once('\n')) {
        (1.., Some((_, rest))) => rest.to_owned(),
        _ => text,
    })
}

/// Every form in which the key files' secrets could turn up. They are looked for, so that nothing can slip in by another way.
fn secrets_of(root: &Path) -> Outcome<Vec<String>> {
    let home = Home::new(root);
    let home = home.read_config(&environment).map(|(config, _)| home.with_paths(&config)).unwrap_or(home);
    let mut secrets = Vec::new();
    for (path, ..) in doctor::listing(&home.keys()) {
        if path.is_dir() || path.to_string_lossy().ends_with(doctor::PUBLIC_SUFFIX) {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| {
            Failure::failed(format!(
                "cannot read {} to see that nothing of it gets into the bundle: {error}; run it as the node's user",
                path.display()
            ))
        })?;
        let Ok(text) = String::from_utf8(bytes.clone()) else {
            secrets.extend([hex::encode(&bytes), BASE64.encode(&bytes)]);
            continue;
        };
        if let Ok(Value::Object(fields)) = serde_json::from_str(&text) {
            let hidden = fields.iter().filter(|(field, _)| !PUBLIC_FIELDS.contains(&field.as_str()));
            hidden.for_each(|(_, value)| collect(value, &mut secrets));
        } else {
            // PEM, or a form that is not known here: every line but the frame may be secret.
            let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
            lines.for_each(|line| collect(&Value::from(line), &mut secrets));
        }
    }
    Ok(secrets)
}

fn collect(value: &Value, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= SECRET_CHARS => {
            let bytes = hex::decode(text).or_else(|_| BASE64.decode(text));
            if let Ok(bytes) = bytes {
                secrets.extend([hex::encode(&bytes), hex::encode_upper(&bytes), BASE64.encode(&bytes)]);
            }
            secrets.push(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, secrets)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, secrets)),
        _ => {}
    }
}

/// Removes secrets from a text; how many there were.
fn redact(text: &mut String, secrets: &[String]) -> usize {
    let mut removed = 0;
    for secret in secrets {
        let found = text.matches(secret.as_str()).count();
        if found > 0 {
            removed += found;
            *text = text.replace(secret.as_str(), REDACTED);
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_in_every_form() {
        let seed = [7_u8; 32];
        let mut secrets = Vec::new();
        collect(&json!({"a": [hex::encode(seed)], "short": "0123"}), &mut secrets);
        let mut text = format!("x {} y {} z {} 0123", hex::encode(seed), hex::encode_upper(seed), BASE64.encode(seed));
        // Digits look the same in both cases, so the first form takes the second with it.
        assert!(redact(&mut text, &secrets) >= 3, "{text}");
        assert_eq!(text, "x (removed) y (removed) z (removed) 0123");
    }

    #[test]
    fn keys_that_sound_secret_lose_their_values() {
        let shown = without_secrets(
            json!({"api": {"admin_token_hash": "abc", "listen": "x"}, "tokens": ["t"], "token": null, "tokens_path": "p"}),
        );
        assert_eq!(
            shown,
            json!({"api": {"admin_token_hash": REDACTED, "listen": "x"}, "tokens": REDACTED, "token": null, "tokens_path": "p"})
        );
    }
}
