//! `agent-mesh start`: a validator until it is asked to stop.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consensus::config::SecurityPolicy;
use crypto::memory::MemoryLock;
use node::config::{Config, LogFormat};
use node::home::Home;
use node::{LogControl, Node, NodeOptions};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

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
    let log = start_log(&config);
    lock_memory(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args, log));
    // What is left are readers of standard input and requests that were cut off.
    runtime.shutdown_background();
    outcome
}

/// What is logged, changeable while the node runs.
struct LogFilter {
    shown: Mutex<String>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogControl for LogFilter {
    fn filter(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_filter(&self, filter: &str) -> Result<(), String> {
        let parsed = EnvFilter::try_new(filter).map_err(|error| format!("{filter:?} is not a filter: {error}"))?;
        self.handle.reload(parsed).map_err(|error| error.to_string())?;
        filter.clone_into(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

fn start_log(config: &Config) -> Option<Arc<LogFilter>> {
    let shown =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty() && EnvFilter::try_new(text).is_ok());
    let shown = shown.unwrap_or_else(|| config.log.level.name().to_owned());
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&shown));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let set = match config.log.format {
        LogFormat::Human => {
            tracing_subscriber::registry().with(filter).with(log.with_ansi(std::io::stderr().is_terminal())).try_init()
        }
        LogFormat::Json => tracing_subscriber::registry().with(filter).with(log.json()).try_init(),
    };
    match set {
        Ok(()) => Some(Arc::new(LogFilter { shown: Mutex::new(shown), handle })),
        Err(error) => {
            note(format!("there will be no log: {error}"));
            None
        }
    }
}

/// Security levels above `standard` keep secrets out of swap, where the system allows; /health/quantum tells how that went.
fn lock_memory(config: &Config) {
    if config.quantum_security.security_level == SecurityPolicy::Standard {
        return;
    }
    if let MemoryLock::Refused(why) = crypto::memory::lock() {
        tracing::warn!("security_level {}: memory is not locked: {why}", config.quantum_security.security_level.name());
    }
}

async fn serve(args: &Args, log: Option<Arc<LogFilter>>) -> Outcome {
    // Listens for signals first: one that comes during the start is not lost.
    let mut stop = std::pin::pin!(asked_to_stop());
    if args.wait_for_genesis {
        tokio::select! {
            waited = genesis_there(&args.home) => waited?,
            stopped = &mut stop => return Ok(stopped?),
        }
    }
    let mut options = NodeOptions::new(&args.home);
    options.log = log.map(|log| log as Arc<dyn LogControl>);
    let mut node = Node::initialize(options)?;
    for warning in node.warnings() {
        tracing::warn!("{warning}");
    }
    let parent = if args.exit_with_parent { Some(parent_gone()?) } else { None };
    let handle = tokio::select! {
        started = node.start() => started?,
        stopped = &mut stop => return Ok(stopped?),
    };
    let status = handle.status();
    let api = node.listeners().iter().map(node::http::Listener::url).collect::<Vec<_>>().join(", ");
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
