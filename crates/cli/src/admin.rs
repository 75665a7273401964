//! `agent-mesh admin`: verbs of a node's admin listener.

use serde_json::json;

use crate::client::Client;
use crate::failure::Outcome;
use crate::output::{Output, print, print_document};
use crate::words;

/// The verbs of `admin`. They need `api.admin_listen` in the node's configuration and a token of role admin (--token-file).
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Show, or change, what a running node logs: error, warn, info, debug, trace, or a filter such as info,node=debug.
    LogLevel {
        #[command(flatten)]
        node: AdminArg,
        /// The new level; without one the present one is shown.
        level: Option<String>,
    },
    /// Show the latest entries of the audit log.
    Audit {
        #[command(flatten)]
        node: AdminArg,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
}

/// The admin listener.
#[derive(clap::Args)]
pub(crate) struct AdminArg {
    /// The node's admin listener (api.admin_listen).
    #[arg(long, value_name = "URL", env = "AGENT_MESH_ADMIN")]
    node: String,
}

/// Runs `admin`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    match verb {
        Verb::LogLevel { node, level } => {
            let client = Client::new(&node.node)?;
            let shown = match level {
                None => client.get_json("/admin/log")?,
                Some(level) => client.put_json("/admin/log", &json!({ "level": level }))?,
            };
            if output.json { print_document(&shown) } else { print(shown["level"].as_str().unwrap_or_default()) }
        }
        Verb::Audit { node, limit } => {
            let shown = Client::new(&node.node)?.get_json(&format!("/admin/audit?limit={limit}"))?;
            if output.json {
                return print_document(&shown);
            }
            for entry in shown["entries"].as_array().into_iter().flatten() {
                print(format!(
                    "{:>6}  {}  {:<18} {}",
                    entry["seq"],
                    words::time(entry["time_us"].as_u64().unwrap_or_default()),
                    entry["event"].as_str().unwrap_or_default(),
                    entry["details"]
                ))?;
            }
            match shown["broken"].as_str() {
                Some(why) => Err(crate::failure::Failure::failed(why)),
                None => Ok(()),
            }
        }
    }
}
