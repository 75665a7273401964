//! `agent-mesh propose`: one value, or a file of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use node::views::{ResultView, State};
use serde_json::json;

use crate::client::bulk::{Bulk, Fate, Settled, chain_of};
use crate::client::{Client, ClientError, DEFAULT_NODE, MAX_WAIT_MS, Taken};
use crate::failure::{EXPIRED, FAILED, Failure, Outcome, UNREACHABLE};
use crate::init::now;
use crate::input::read_bytes;
use crate::output::{Output, note, print, print_document, print_json};
use crate::signals::Stop;
use crate::values::{Draft, parse};
use crate::words;

/// Deadline of a line of a file that names none; longer than for a single value, because a line may wait for busy nodes.
const BULK_TIMEOUT_MS: u64 = 300_000;
/// How long after its deadline a proposal that is still pending is waited for.
const GRACE: Duration = Duration::from_secs(60);
/// Between two questions to a node that does not answer or is busy.
const PAUSE: Duration = Duration::from_millis(300);

/// Arguments of `propose`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The value; `-` reads it from standard input, byte by byte as it is.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<String>,
    /// Propose every line of a file (`-`: of standard input): a JSON string is a value, an object with "value" or "value_b64" is a
    /// proposal, any other line is a value of its text. Busy nodes are asked again.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The node to propose to; more than one get the same proposal.
    #[arg(long = "node", value_name = "URL", default_value = DEFAULT_NODE)]
    nodes: Vec<String>,
    /// 0 (last) to 9 (first).
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// Milliseconds until it expires; by default the node's timeout_ms, with --file 300000.
    #[arg(long)]
    timeout_ms: Option<u64>,
    /// Makes equal values different proposals, and the same proposal again the same; random by default.
    #[arg(long, conflicts_with = "file")]
    nonce: Option<u64>,
    /// Wait until it is final or expired, and print the result.
    #[arg(long)]
    wait: bool,
    /// With --file: proposals in flight.
    #[arg(long, default_value_t = 100, requires = "file")]
    window: usize,
}

/// Runs `propose`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let clients = args.nodes.iter().map(|url| Client::new(url)).collect::<Result<Vec<_>, _>>()?;
    match (&args.file, &args.value) {
        (Some(file), _) => many(args, &clients, file, output),
        (None, Some(value)) => {
            let value = if value == "-" { read_bytes(Path::new("-"))? } else { value.clone().into_bytes() };
            one(args, &clients, value, output)
        }
        (None, None) => Err(Failure::usage("give a value or --file")),
    }
}

fn one(args: &Args, clients: &[Client], value: Vec<u8>, output: Output) -> Outcome {
    // The nonce is fixed here, the deadline by the first node that takes it: so it is one proposal at all nodes.
    let nonce = args.nonce.map_or_else(crypto::random::u64, Ok)?;
    let mut draft =
        Draft { value, priority: args.priority, timeout_ms: args.timeout_ms, deadline: None, nonce: Some(nonce) };
    let (mut taken, mut last): (Option<Taken>, Option<ClientError>) = (None, None);
    for client in clients {
        match client.propose(&draft.request()) {
            Ok(answer) => {
                draft.deadline = Some(answer.deadline);
                draft.timeout_ms = None;
                taken.get_or_insert(answer);
            }
            Err(error) => {
                if clients.len() > 1 {
                    note(&error);
                }
                last = Some(error);
            }
        }
    }
    let Some(taken) = taken else {
        return Err(last.map_or_else(|| Failure::usage("name at least one --node"), Failure::from));
    };
    if args.wait {
        return report(&wait_for(clients, &taken)?, output);
    }
    if output.json {
        return print_json(&json!({"id": taken.id, "deadline": taken.deadline}));
    }
    print(taken.id)
}

/// Waits until a proposal is final or expired. Pending is not expired, whatever the local clock says: after some grace it is left pending.
fn wait_for(clients: &[Client], taken: &Taken) -> Outcome<ResultView> {
    let left_ms = taken.deadline.saturating_sub(now().get()) / 1_000;
    let until = Instant::now() + Duration::from_millis(left_ms) + GRACE;
    let (mut at, mut seen) = (0, None);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let wait_ms = (left.as_millis() as u64).min(MAX_WAIT_MS / 6);
        match clients[at % clients.len()].result(&taken.id, wait_ms) {
            Ok(Some(view)) if view.state != State::Pending => return Ok(view),
            Ok(Some(view)) => seen = Some(Ok(view)),
            Ok(None) => {
                at += 1;
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                seen = Some(Err(error));
                at += 1;
                std::thread::sleep(PAUSE);
            }
        }
        if left.is_zero() {
            return match seen {
                Some(Ok(view)) => Ok(view),
                Some(Err(error)) => Err(error.into()),
                None => Err(Failure::failed("no node knows the proposal any more")),
            };
        }
    }
}

/// Prints a result; the exit code says how it came out.
pub(crate) fn report(view: &ResultView, output: Output) -> Outcome {
    if output.complete() {
        print_document(view)?;
    } else {
        print(words::result(view))?;
    }
    match view.state {
        State::Final => Ok(()),
        State::Expired => {
            Err(Failure::new(EXPIRED, "the proposal expired: it is not in the log and never will be; propose it again"))
        }
        State::Refused => Err(Failure::failed("the proposal was refused")),
        State::Pending => Err(Failure::failed(
            "the proposal is still pending: the network makes no progress. Ask later with `agent-mesh result`, and look at /health/consensus",
        )),
    }
}

/// Prints lines in the order of the input, whatever the order in which they come.
#[derive(Default)]
struct Ordered {
    next: usize,
    held: BTreeMap<usize, Option<String>>,
}

impl Ordered {
    fn put(&mut self, number: usize, line: Option<String>) -> Outcome {
        self.held.insert(number, line);
        while let Some(line) = self.held.remove(&self.next) {
            self.next += 1;
            if let Some(line) = line {
                print(line)?;
            }
        }
        Ok(())
    }
}

fn many(args: &Args, clients: &[Client], file: &Path, output: Output) -> Outcome {
    let mut drafts = parse(&read_bytes(file)?)?;
    for draft in &mut drafts {
        draft.priority = draft.priority.or(args.priority);
    }
    let total = drafts.len();
    let stop = Stop::watch()?;
    let bulk = Bulk {
        clients,
        chain_id: chain_of(clients)?,
        window: args.window,
        timeout_ms: args.timeout_ms.unwrap_or(BULK_TIMEOUT_MS),
        wait: args.wait,
        stop: &stop,
    };
    let [good, expired, unreachable] = [const { AtomicUsize::new(0) }; 3];
    let (ordered, printing) = (Mutex::new(Ordered::default()), Mutex::new(Ok(())));
    bulk.run(drafts, &|settled| {
        let (line, count) = match &settled.fate {
            Fate::Taken => (Some(taken_line(settled, output)), Some(&good)),
            Fate::Final(view) => (final_line(view, output), Some(&good)),
            Fate::Expired => (problem(settled, "expired"), Some(&expired)),
            Fate::Unreachable => (problem(settled, "no node answers"), Some(&unreachable)),
            Fate::Refused(why) | Fate::GivenUp(why) => (problem(settled, why), None),
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut ordered = ordered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(failure) = ordered.put(settled.number, line) {
            *printing.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Err(failure);
        }
    })?;
    printing.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    let [good, expired, unreachable] = [good, expired, unreachable].map(AtomicUsize::into_inner);
    let word = if args.wait { "final" } else { "taken" };
    note(format!("{good} of {total} {word}"));
    if good == total {
        return Ok(());
    }
    let code = match (expired, unreachable) {
        (_, 1..) => UNREACHABLE,
        (1.., 0) => EXPIRED,
        (0, 0) => FAILED,
    };
    Err(Failure::new(code, format!("{} of {total} lines are not {word}; the lines above say why", total - good)))
}

fn taken_line(settled: &Settled<'_>, output: Output) -> String {
    if output.json {
        json!({"number": settled.number + 1, "id": settled.id, "deadline": settled.proposal.deadline.get()}).to_string()
    } else {
        settled.id.to_string()
    }
}

fn final_line(view: &ResultView, output: Output) -> Option<String> {
    if output.complete() { serde_json::to_string(view).ok() } else { Some(words::result(view)) }
}

fn problem(settled: &Settled<'_>, why: &str) -> Option<String> {
    note(format!("proposal {} ({}): {why}", settled.number + 1, words::short(&settled.id.to_string())));
    None
}
