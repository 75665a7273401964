//! SIGINT and SIGTERM: asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{FAILED, Outcome};

/// Completes at the first SIGINT or SIGTERM.
pub(crate) async fn asked_to_stop() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Whether a command without a runtime of its own was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Watches from now on. The second signal ends the process at once.
    pub(crate) fn watch() -> Outcome<Self> {
        let stop = Self::default();
        let flag = Arc::clone(&stop.0);
        // Signals without `unsafe` need a runtime; it lives in a thread of its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let watch = move || {
            runtime.block_on(async {
                if asked_to_stop().await.is_ok() {
                    flag.store(true, Ordering::Relaxed);
                    if asked_to_stop().await.is_ok() {
                        std::process::exit(i32::from(FAILED));
                    }
                }
            });
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(stop)
    }

    /// Whether a signal has come.
    pub(crate) fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
