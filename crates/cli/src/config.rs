//! `agent-mesh config`: check, make or show a configuration.

use std::path::PathBuf;

use clap::Subcommand;
use node::config::{Config, Key, Warning};
use node::home::Home;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::input::{environment, read_text};
use crate::output::{Output, note, print, print_document};

/// What to do with a configuration.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Check a configuration file as `start` would, environment included.
    Check {
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
    /// Print a complete configuration file with the defaults.
    Example,
    /// Print the effective configuration: file, environment, defaults.
    Show {
        /// Home whose config.json to show; without one, the defaults and the environment.
        #[arg(long)]
        home: Option<PathBuf>,
    },
    /// List all keys with type, unit, default, range and meaning.
    Keys {
        /// As a Markdown table.
        #[arg(long)]
        markdown: bool,
    },
}

/// Runs `config`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    match verb {
        Verb::Check { file } => check(file, output),
        Verb::Example => print(Config::example().trim_end()),
        Verb::Show { home } => {
            let (config, warnings) = match home {
                Some(home) => Home::new(home).read_config(&environment)?,
                None => Config::load("{}", &environment)?,
            };
            tell(&warnings);
            print_document(&config.to_json())
        }
        Verb::Keys { markdown } => {
            let keys = Config::keys();
            if output.json {
                let entry = |key: &Key| {
                    json!({"path": key.path, "type": key.kind, "unit": key.unit, "default": key.default,
                           "range": key.range, "meaning": key.meaning})
                };
                return print_document(&keys.iter().map(entry).collect::<Vec<_>>());
            }
            let text = if *markdown { Key::markdown(&keys) } else { Key::plain(&keys) };
            print(text.trim_end())
        }
    }
}

fn check(file: &std::path::Path, output: Output) -> Outcome {
    match Config::load(&read_text(file)?, &environment) {
        Ok((_, warnings)) if output.json => {
            let warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
            print_document(&json!({"ok": true, "warnings": warnings}))
        }
        Ok((_, warnings)) => {
            tell(&warnings);
            print(format!("{} is fine", file.display()))
        }
        Err(error) => {
            if output.json {
                let problems: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
                print_document(&json!({"ok": false, "problems": problems}))?;
            }
            Err(Failure::failed(format!("{} is not usable:\n{error}", file.display())))
        }
    }
}

fn tell(warnings: &[Warning]) {
    for warning in warnings {
        note(format!("WARNING {warning}"));
    }
}
