//! `agent-mesh start`: a validator until it is asked to stop.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::config::{Config, LogFormat};
use node::home::Home;
use node::{Node, NodeOptions};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::failure::{FAILED, Failure, Outcome};
use crate::input::environment;
use crate::output::note;
use crate::signals::asked_to_stop;

/// Longest time for a graceful stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two looks for a genesis that is not there yet.
const GENESIS_POLL: Duration = Duration::from_secs(1);

/// Arguments of `start`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The validator's home.
    #[arg(long)]
    home: PathBuf,
    /// If the genesis is not there yet, wait for it: in containers, whose keys come first.
    #[arg(long)]
    wait_for_genesis: bool,
    /// Stop when standard input ends: the parent holds its other end.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// Runs `start`.
pub(crate) fn run(args: &Args) -> Outcome {
    let (config, _) = Home::new(&args.home).read_config(&environment)?;
    start_log(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args));
    // What is left are readers of standard input and requests that were cut off.
    runtime.shutdown_background();
    outcome
}

fn start_log(config: &Config) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.log.level.name()));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match config.log.format {
        LogFormat::Human => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    if let Err(error) = set {
        note(format!("there will be no log: {error}"));
    }
}

async fn serve(args: &Args) -> Outcome {
    // Listens for signals first: one that comes during the start is not lost.
    let mut stop = std::pin::pin!(asked_to_stop());
    if args.wait_for_genesis {
        tokio::select! {
            waited = genesis_there(&args.home) => waited?,
            stopped = &mut stop => return Ok(stopped?),
        }
    }
    let mut node = Node::initialize(NodeOptions::new(&args.home))?;
    for warning in node.warnings() {
        tracing::warn!("{warning}");
    }
    let parent = if args.exit_with_parent { Some(parent_gone()?) } else { None };
    let handle = tokio::select! {
        started = node.start() => started?,
        stopped = &mut stop => return Ok(stopped?),
    };
    let status = handle.status();
    let api = node.api_address().map_or_else(String::new, |address| format!("http://{address}"));
    let links = node.link_address().map_or_else(String::new, |address| address.to_string());
    note(format!(
        "validator {} of network {} serves {api}, links on {links}, height {}",
        status.name, status.network, status.height
    ));
    let ended = tokio::select! {
        stopped = &mut stop => { stopped?; None }
        () = gone(parent) => None,
        error = node.ended() => Some(error),
    };
    tokio::spawn(async {
        if asked_to_stop().await.is_ok() {
            note("stopped at once");
            std::process::exit(i32::from(FAILED));
        }
    });
    if ended.is_none() {
        note("stopping");
    }
    let stopped = tokio::time::timeout(STOP_TIMEOUT, node.shutdown()).await;
    match (ended, stopped) {
        (Some(error), _) => Err(error.into()),
        (None, Ok(stopped)) => Ok(stopped?),
        (None, Err(_)) => Err(Failure::failed(format!(
            "the node did not stop within {} s and was cut off; its store is safe",
            STOP_TIMEOUT.as_secs()
        ))),
    }
}

/// Waits until the genesis file is there; what is in it is not looked at.
async fn genesis_there(root: &Path) -> Outcome {
    let home = Home::new(root);
    let (config, _) = home.read_config(&environment)?;
    let file = home.with_paths(&config).genesis();
    let mut told = false;
    while !file.exists() {
        if !told {
            tracing::warn!(
                "waiting for the genesis {}: make it with `agent-mesh genesis create *.pub.json` and put it there",
                file.display()
            );
            told = true;
        }
        tokio::time::sleep(GENESIS_POLL).await;
    }
    Ok(())
}

/// Fires when standard input ends.
fn parent_gone() -> Outcome<oneshot::Receiver<()>> {
    let (sender, receiver) = oneshot::channel();
    let watch = move || {
        let mut bytes = [0; 256];
        while matches!(std::io::stdin().lock().read(&mut bytes), Ok(1..)) {}
        let _ = sender.send(());
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(watch)?;
    Ok(receiver)
}

async fn gone(parent: Option<oneshot::Receiver<()>>) {
    match parent {
        Some(parent) => drop(parent.await),
        None => std::future::pending().await,
    }
}
