//! `agent-mesh log`: the final blocks, once or as they come; [`mod@file`]: as a file.

mod file;

use std::time::Duration;

use node::views::BlockView;

use crate::client::{Client, ClientError, NodeArg};
use crate::failure::Outcome;
use crate::output::{Output, note, print, print_json};
use crate::words;

/// Blocks of one question.
const PAGE: usize = 200;
/// Before a broken stream is opened again: from this, doubled …
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Arguments of `log`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    node: NodeArg,
    /// Go on with new blocks as they come, also when the node restarts; without --from, only new ones.
    #[arg(long)]
    follow: bool,
    /// First height; 1 by default.
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,
    /// At most this many blocks.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Also show the values.
    #[arg(long)]
    values: bool,
}

/// What is done with the log as a file.
#[derive(clap::Subcommand)]
enum Verb {
    /// Write blocks with their certificates to a file, verified on the way.
    Export(file::Export),
    /// Verify an exported file offline, against nothing but the genesis.
    Verify(file::Verify),
}

/// Runs `log`. JSON is one block a line.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    match &args.verb {
        Some(Verb::Export(export)) => return file::export(export, output),
        Some(Verb::Verify(verify)) => return file::verify(verify, output),
        None => {}
    }
    let mut log =
        Log { client: args.node.client()?, values: args.values, left: args.limit.unwrap_or(u64::MAX), output };
    if args.follow { log.follow(args.from) } else { log.pages(args.from.unwrap_or(1).max(1)) }
}

struct Log {
    client: Client,
    values: bool,
    left: u64,
    output: Output,
}

impl Log {
    fn pages(&mut self, mut from: u64) -> Outcome {
        while self.left > 0 {
            let blocks = self.client.blocks(from, PAGE.min(usize::try_from(self.left).unwrap_or(PAGE)))?;
            let Some(last) = blocks.last() else { return Ok(()) };
            from = last.height + 1;
            for block in blocks {
                let block = if self.values { self.client.block(block.height)? } else { block };
                self.print(&block)?;
            }
        }
        Ok(())
    }

    /// Each block once and in order: after a break the stream goes on behind the last one that was printed.
    fn follow(&mut self, from: Option<u64>) -> Outcome {
        let begin = match from {
            Some(from) => from.max(1),
            None => self.client.status()?.height + 1,
        };
        let mut events = self.client.stream(Some(begin), None, self.values)?;
        let (mut last, mut pause) = (None::<u64>, PAUSE_MIN);
        loop {
            match events.next() {
                Ok(Some(event)) => {
                    let block: BlockView = serde_json::from_str(&event.data)?;
                    if last.is_some_and(|last| block.height <= last) {
                        continue;
                    }
                    (last, pause) = (Some(block.height), PAUSE_MIN);
                    self.print(&block)?;
                    if self.left == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Ok(None) => note("the node has closed the stream; connecting again"),
                Err(error) => note(format!("the stream broke ({error}); connecting again")),
            }
            events = loop {
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
                match self.client.stream(last.is_none().then_some(begin), last, self.values) {
                    Ok(events) => break events,
                    Err(ClientError::Refused { status: 404, code, message }) => {
                        return Err(ClientError::Refused { status: 404, code, message }.into());
                    }
                    Err(_) => {}
                }
            };
        }
    }

    fn print(&mut self, block: &BlockView) -> Outcome {
        self.left -= 1;
        if self.output.json {
            return print_json(block);
        }
        print(format!(
            "{:>8}  {}  view {:<8} {:<16} {:>6} values  {} q={:<3} {}…",
            block.height,
            words::time(block.time_us),
            block.view,
            block.leader,
            block.count,
            block.path,
            block.threshold,
            words::short(&block.hash)
        ))?;
        for value in block.values.iter().flatten() {
            let text = words::value(value.value.as_deref(), value.value_b64.as_deref());
            print(format!("            {}…  {text}", words::short(&value.id)))?;
        }
        Ok(())
    }
}
