//! `agent-mesh doctor`: what is wrong, what shows it, and what to do next.

mod home;
mod network;
mod node;
mod report;
mod scrape;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::client::{Client, DEFAULT_NODE};
use crate::failure::{FAILED, Failure, Outcome, UNREACHABLE};
use crate::output::{Output, print_document};
pub(crate) use home::{PUBLIC_SUFFIX, listing};
use node::Snapshot;
pub(crate) use report::Report;

/// Arguments of `doctor`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes to examine, best all of a network: what differs between them shows only there. By default the one on this machine.
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    /// A validator's home on this machine: files, modes, space, ports, peers. Its node is examined too if it answers.
    #[arg(long)]
    home: Option<PathBuf>,
}

/// Runs `doctor`. Exit code 0 if nothing is wrong, 1 if something is, 3 if no node answers.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let mut urls = args.node.clone();
    if urls.is_empty() && args.home.is_none() {
        urls.push(DEFAULT_NODE.to_owned());
    }
    let (report, answered) = examine(&urls, args.home.as_deref())?;
    if output.json {
        print_document(&report.to_json())?;
    } else {
        report.print()?;
    }
    if answered == 0 && !urls.is_empty() && args.home.is_none() {
        return Err(Failure::silent(UNREACHABLE));
    }
    if report.is_well() { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

/// Examines nodes and a home; also says how many nodes answered.
pub(crate) fn examine(urls: &[String], home: Option<&std::path::Path>) -> Outcome<(Report, usize)> {
    let mut report = Report::default();
    let mut urls = urls.to_vec();
    if let Some(root) = home {
        urls.extend(home::examine(root, &mut report).filter(|own| !urls.contains(own)));
    }
    let mut snapshots = Vec::new();
    for url in &urls {
        match Snapshot::take(&Client::new(url)?) {
            Ok(snapshot) => {
                report.passed("reachable");
                snapshots.push(snapshot);
            }
            Err(error) => report.critical(
                "unreachable",
                url,
                error,
                "see whether the process runs and where it listens (api.listen); its log says why it stopped",
            ),
        }
    }
    for snapshot in &snapshots {
        node::examine(snapshot, &mut report);
    }
    network::examine(&snapshots, &mut report);
    report.settle();
    Ok((report, snapshots.len()))
}
