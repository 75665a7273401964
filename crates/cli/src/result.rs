//! `agent-mesh result`: where a proposal stands, with its certificate once it is final.

use std::path::PathBuf;

use crypto::Digest;
use node::views::State;

use crate::client::{MAX_WAIT_MS, NodeArg};
use crate::failure::{EXPIRED, Failure, Outcome};
use crate::output::{Output, print, print_document, write_new};
use crate::words;

/// Arguments of `result`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The proposal's id.
    id: Digest,
    #[command(flatten)]
    node: NodeArg,
    /// Wait at most this many milliseconds while it is pending.
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_ms: u64,
    /// Write the result here, for `agent-mesh verify`; the file must not exist.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs `result`. On a terminal it prints words, into a file or pipe the complete JSON.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let client = args.node.client()?;
    let id = args.id.to_string();
    let mut left_ms = args.wait_ms;
    let view = loop {
        let wait_ms = left_ms.min(MAX_WAIT_MS);
        left_ms -= wait_ms;
        let Some(view) = client.result(&id, wait_ms)? else {
            return Err(Failure::failed(format!(
                "{} does not know {id}: it was not proposed there and is in no block that is final there. Ask the node that took it",
                client.url()
            )));
        };
        if view.state != State::Pending || left_ms == 0 {
            break view;
        }
    };
    if let Some(out) = &args.out {
        write_new(out, &(serde_json::to_string_pretty(&view)? + "\n"))?;
        print(words::result(&view))?;
    } else if output.complete() {
        print_document(&view)?;
    } else {
        print(words::result(&view))?;
    }
    match view.state {
        State::Final | State::Pending => Ok(()),
        State::Expired => {
            Err(Failure::new(EXPIRED, "the proposal expired: it is not in the log and never will be; propose it again"))
        }
        State::Refused => Err(Failure::failed("the proposal was refused")),
    }
}
