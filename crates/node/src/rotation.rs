//! The renewal of session keys: in every epoch a new key for the next one, announced through the chain in good time.

use std::sync::Arc;
use std::time::Duration;

use consensus::epoch::EpochContext;
use consensus::types::Timestamp;
use tokio::sync::watch;

use crate::clock::system_now;
use crate::core::{CoreInput, CoreSender};
use crate::keys::SharedKeys;

/// How long to wait after a failure before the next attempt.
const RETRY: Duration = Duration::from_secs(5);

/// When a validator announces its next key: between a quarter and half of the epoch, each at its own time so that blocks stay small.
fn due(context: &EpochContext, keys_place: usize) -> Timestamp {
    let span_us = context.config.limits.key_rotation_interval_s.saturating_mul(1_000_000);
    let n = context.config.n().max(1) as u64;
    context.start.time.after_us(span_us / 4 + span_us / 4 * (keys_place as u64 % n) / n)
}

/// Runs until the node ends: erases keys that an epoch has superseded, and submits a rotation in each.
pub(crate) async fn keep_rotating(
    keys: SharedKeys,
    place: usize,
    core: CoreSender,
    mut epochs: watch::Receiver<Arc<EpochContext>>,
) {
    loop {
        let context = Arc::clone(&epochs.borrow_and_update());
        let (held, present) = (Arc::clone(&keys), Arc::clone(&context));
        match tokio::task::spawn_blocking(move || held.entered(&present)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "an old session key cannot be erased"),
            Err(error) => tracing::error!(%error, "the erasing of old keys was cut off"),
        }
        let mut wait = Duration::from_micros(due(&context, place).since_us(system_now()));
        loop {
            tokio::select! {
                changed = epochs.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = tokio::time::sleep(wait) => {}
            }
            wait = match announce(&keys, &context, &core).await {
                Ok(true) => Duration::from_secs(86_400),
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, epoch = %context.epoch(), "the session key cannot be renewed, trying on");
                    RETRY
                }
            };
        }
    }
}

/// Makes and submits the rotation; false once the core has ended.
async fn announce(keys: &SharedKeys, context: &Arc<EpochContext>, core: &CoreSender) -> Result<bool, String> {
    let (held, present) = (Arc::clone(keys), Arc::clone(context));
    let made = tokio::task::spawn_blocking(move || held.rotation(&present)).await.map_err(|error| error.to_string())?;
    match made.map_err(|error| error.to_string())? {
        Some(tx) => Ok(core.urgent(CoreInput::System(Arc::new(tx), None))),
        None => Ok(true),
    }
}
