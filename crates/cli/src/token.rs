//! `agent-mesh token`: bearer tokens of a node's HTTP API, made and revoked on the node's own machine.

use std::path::{Path, PathBuf};

use node::home::Home;
use node::http::token_path;
use node::tokens::{Role, Tokens};
use serde_json::json;

use crate::failure::Outcome;
use crate::init::now;
use crate::input::environment;
use crate::output::{Output, note, print, print_json};
use crate::words;

/// The verbs of `token`.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Make a token and print it: it is shown this once, only its hash is kept.
    Create {
        #[command(flatten)]
        place: Place,
        /// Whom or what it is for.
        #[arg(long)]
        name: String,
        /// What it allows: read, propose (and read), admin (and all others).
        #[arg(long, default_value = "read")]
        role: Role,
        /// Days until it is void; never without.
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// Write the token into this new file, for its owner only, instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the tokens, without their secrets.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Make a token void. A running node notices within two seconds.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Its id: the digits between amt_ and the next underscore.
        id: String,
    },
}

/// Whose tokens.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The validator's home.
    #[arg(long)]
    home: PathBuf,
}

impl Place {
    fn path(&self) -> Outcome<PathBuf> {
        let home = Home::new(&self.home);
        let (config, _) = home.read_config(&environment)?;
        Ok(token_path(&config.api, &home))
    }
}

/// Runs `token`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    match verb {
        Verb::Create { place, name, role, days, out } => {
            create(&place.path()?, name, *role, *days, out.as_deref(), output)
        }
        Verb::List { place } => list(&place.path()?, output),
        Verb::Revoke { place, id } => {
            let path = place.path()?;
            let mut tokens = Tokens::read(&path)?;
            let revoked = tokens.revoke(id)?;
            tokens.write(&path)?;
            note(format!("the token {} ({}, {}) is revoked", revoked.id, revoked.name, revoked.role));
            Ok(())
        }
    }
}

fn create(path: &Path, name: &str, role: Role, days: Option<u32>, out: Option<&Path>, output: Output) -> Outcome {
    const DAY_US: u64 = 86_400_000_000;
    let mut tokens = Tokens::read(path)?;
    let now = now().get();
    let expires = days.map(|days| now.saturating_add(u64::from(days) * DAY_US));
    let (record, text) = tokens.create(name, role, now, expires)?;
    tokens.write(path)?;
    if let Some(out) = out {
        node::setup::write_private(out, &format!("{text}\n"))?;
        note(format!("the token {} ({name}, {role}) is in {}", record.id, out.display()));
    }
    if output.json {
        return print_json(&json!({
            "id": record.id, "name": name, "role": role, "expires_us": expires, "token": out.is_none().then_some(&text),
        }));
    }
    if out.is_none() { print(text) } else { Ok(()) }
}

fn list(path: &Path, output: Output) -> Outcome {
    for token in Tokens::read(path)?.list() {
        if output.json {
            print_json(&json!({
                "id": token.id, "name": token.name, "role": token.role, "created_us": token.created_us, "expires_us": token.expires_us,
            }))?;
        } else {
            let expires = token.expires_us.map_or_else(|| "never".to_owned(), words::time);
            print(format!(
                "{}  {:<8} {}  made {}, void {expires}",
                token.id,
                token.role.to_string(),
                token.name,
                words::time(token.created_us)
            ))?;
        }
    }
    Ok(())
}
