//! Serving final blocks to peers that are behind, away from the core and within a budget, so that the network keeps its speed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus::Encode;
use consensus::types::{Height, ValidatorIndex};
use crypto::Digest;
use engine::records::StoreRecords;
use engine::{CHUNK_BYTES, PruneOrder, serve};
use tokio::sync::Semaphore;
use transport::{Class, Frame, Links};

use crate::core::{CoreInput, CoreSender};
use crate::hub::Hub;

/// Pieces read at once, for all peers together.
const SERVED_AT_ONCE: usize = 2;
/// Pieces that one peer may wait for: as many as an honest one asks for at once, and one after a Status.
const SERVED_EACH: usize = 3;
/// Unused budget is kept for at most this long.
const BURST: Duration = Duration::from_secs(1);

/// What serves.
#[derive(Clone)]
pub(crate) struct Serving(Arc<Inner>);

struct Inner {
    records: Arc<StoreRecords>,
    links: Links,
    hub: Arc<Hub>,
    chain_id: Digest,
    chunk_bytes: usize,
    bytes_per_s: u64,
    runtime: tokio::runtime::Handle,
    at_once: Semaphore,
    waiting: Mutex<BTreeMap<ValidatorIndex, usize>>,
    /// When the bytes sent so far are paid for.
    paid_until: Mutex<Instant>,
}

impl Serving {
    /// Serves from `records` over `links`, at most `bytes_per_s` (0: no bound). Needs a runtime around it.
    pub(crate) fn new(
        records: Arc<StoreRecords>,
        links: Links,
        hub: Arc<Hub>,
        chain_id: Digest,
        max_block_bytes: usize,
        bytes_per_s: u64,
    ) -> Self {
        Self(Arc::new(Inner {
            records,
            links,
            hub,
            chain_id,
            chunk_bytes: CHUNK_BYTES.min(max_block_bytes),
            bytes_per_s,
            runtime: tokio::runtime::Handle::current(),
            at_once: Semaphore::new(SERVED_AT_ONCE),
            waiting: Mutex::default(),
            paid_until: Mutex::new(Instant::now()),
        }))
    }

    /// Reads the blocks above `above` up to `upto` and sends them to a peer; what is too much at once is dropped, and asked for again.
    pub(crate) fn serve(&self, to: ValidatorIndex, above: Height, upto: Height) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = waiting.entry(to).or_default();
        if *mine >= SERVED_EACH {
            self.0.hub.metrics.dropped.with_label_values(&["serve_busy"]).inc();
            return;
        }
        *mine += 1;
        drop(waiting);
        let serving = self.clone();
        self.0.runtime.spawn(async move {
            serving.run(to, above, upto).await;
            let mut waiting = serving.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mine) = waiting.get_mut(&to) {
                *mine = mine.saturating_sub(1);
            }
        });
    }

    /// Reads what is beyond the retention and hands it to the core. If the store cannot be read, nothing is pruned and the log says so.
    pub(crate) fn read_prunable(&self, order: PruneOrder, core: CoreSender) {
        let (records, chain_id) = (Arc::clone(&self.0.records), self.0.chain_id);
        self.0.runtime.spawn_blocking(move || {
            let read = serve::prunable(records.as_ref(), &chain_id, order);
            let (first, records) = read.unwrap_or_else(|error| {
                tracing::error!(%error, "old blocks cannot be read, so they are not pruned");
                (Height::new(1), Vec::new())
            });
            core.urgent(CoreInput::Prunable { first, records });
        });
    }

    async fn run(&self, to: ValidatorIndex, above: Height, upto: Height) {
        let inner = &self.0;
        let Ok(_permit) = inner.at_once.acquire().await else { return };
        tokio::time::sleep(self.debt()).await;
        let (records, chain_id, most) = (Arc::clone(&inner.records), inner.chain_id, inner.chunk_bytes);
        let read = tokio::task::spawn_blocking(move || {
            let message = serve::answer(records.as_ref(), &chain_id, above, upto, most)?;
            Ok::<_, consensus::records::RecordError>(message.map(|m| (m.name(), Bytes::from(m.to_bytes()))))
        });
        match read.await {
            Ok(Ok(Some((name, bytes)))) => {
                self.pay(bytes.len() as u64);
                inner.hub.metrics.sent.with_label_values(&[name]).inc();
                inner.hub.metrics.sent_bytes.with_label_values(&[name]).inc_by(bytes.len() as u64);
                inner.links.send(to.get(), Frame { class: Class::Bulk, view: u64::MAX, bytes });
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::error!(%error, "final blocks cannot be read for a peer"),
            Err(error) => tracing::error!(%error, "the reading of final blocks was cut off"),
        }
    }

    /// How long until what was sent is paid for.
    fn debt(&self) -> Duration {
        let paid = *self.0.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        paid.saturating_duration_since(Instant::now())
    }

    fn pay(&self, bytes: u64) {
        if self.0.bytes_per_s == 0 {
            return;
        }
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / self.0.bytes_per_s);
        let mut paid = self.0.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid = (*paid).max(earliest) + cost;
    }
}
