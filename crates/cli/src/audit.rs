//! `agent-mesh audit`: the audit log of a validator, verified and shown, without the node.

use std::path::PathBuf;

use node::audit;
use node::home::Home;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output::{Output, note, print, print_json};
use crate::words;

/// The verbs of `audit`.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Check every entry's hash and its link to the one before.
    Verify {
        #[command(flatten)]
        place: Place,
        /// The last hash that was seen before (and kept elsewhere): it must still be in the log.
        #[arg(long, value_name = "HASH")]
        contains: Option<String>,
    },
    /// Print the entries, verified.
    Show {
        #[command(flatten)]
        place: Place,
        /// From this entry on.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
}

/// Which log.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// The validator's home.
    #[arg(long)]
    home: Option<PathBuf>,
    /// The directory with the log's files, a copy for instance.
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(&self) -> PathBuf {
        match (&self.dir, &self.home) {
            (Some(dir), _) => dir.clone(),
            (None, home) => Home::new(home.clone().unwrap_or_default()).audit(),
        }
    }
}

/// Runs `audit`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    match verb {
        Verb::Verify { place, contains } => verify(place, contains.as_deref(), output),
        Verb::Show { place, from } => {
            let mut printed = Ok(());
            let report = audit::verify(&place.dir(), |entry| {
                if entry.seq < *from || printed.is_err() {
                    return;
                }
                printed = if output.json {
                    print_json(entry)
                } else {
                    print(format!(
                        "{:>6}  {}  {:<18} {}",
                        entry.seq,
                        words::time(entry.time_us),
                        entry.event,
                        entry.details
                    ))
                };
            });
            printed?;
            report?;
            Ok(())
        }
    }
}

fn verify(place: &Place, contains: Option<&str>, output: Output) -> Outcome {
    let mut found = contains.is_none();
    let report = audit::verify(&place.dir(), |entry| found |= Some(entry.prev.as_str()) == contains)?;
    found |= contains == Some(report.head.as_str());
    if !found {
        return Err(Failure::failed(
            "the hash is not in the log: entries were removed from its end, the whole log was made anew, or the file with the hash is \
             too old and gone",
        ));
    }
    if report.torn {
        note("the last line is cut off, as a crash leaves it; the node removes it at its next start");
    }
    if output.json {
        return print_json(&json!({"valid": true, "log": report}));
    }
    let count = (report.last + 1).saturating_sub(report.first);
    print(format!("VALID: {count} entries in {} files, {} to {}", report.files, report.first, report.last))?;
    print(format!("head   {}", report.head))?;
    print(
        "Keep the head elsewhere: `audit verify --contains HEAD` then also shows that nothing was cut off at the end.",
    )
}
