//! One simulated validator: an engine, its keys, and a disk that may tear.

use std::sync::Arc;

use consensus::codec::Encode;
use consensus::header::HEADER_TAG;
use consensus::records::Table;
use consensus::replica::SignRequest;
use consensus::types::{Epoch, Timestamp};
use consensus::vote::BUNDLE_TAG;
use crypto::PublicKey;
use engine::records::StoreRecords;
use engine::{Effect, Engine, EngineConfig, Input};
use storage::{ByteStore, MemStore};

use crate::attack::Attack;
use crate::keys::Keys;

/// One simulated validator.
pub(crate) struct Host {
    pub(crate) setup: EngineConfig,
    pub(crate) keys: Arc<Keys>,
    /// The epoch that the running process is in.
    pub(crate) epoch: Epoch,
    pub(crate) disk: MemStore,
    /// `None` while the process is down.
    pub(crate) engine: Option<Engine>,
    pub(crate) attack: Option<Attack>,
    /// Counts restarts, so that completions of an earlier life are not taken for this one's.
    pub(crate) life: u64,
    /// The wake-up that is scheduled, if any.
    pub(crate) wake_at: Option<Timestamp>,
}

impl Host {
    pub(crate) fn new(setup: EngineConfig, keys: Arc<Keys>, attack: Option<Attack>) -> Self {
        let disk = MemStore::new(Table::ALL.len());
        Self { setup, keys, epoch: Epoch::ZERO, disk, engine: None, attack, life: 0, wake_at: None }
    }

    /// Starts the process on what the disk holds; the height it found there, before the rules ran.
    pub(crate) fn boot(&mut self, now: Timestamp) -> Result<(u64, Vec<Effect>), String> {
        let mut effects = Vec::new();
        let records = StoreRecords(self.disk.reader());
        let mut engine = Engine::restore(&self.setup, &records, &mut effects).map_err(|e| e.to_string())?;
        let height = engine.status().last_committed.height.get();
        self.epoch = engine.status().epoch;
        engine.start(now, &mut effects);
        self.engine = Some(engine);
        self.wake_at = None;
        Ok((height, effects))
    }

    /// The process dies; what was not flushed is lost or torn.
    pub(crate) fn crash(&mut self, choice: u64) {
        self.engine = None;
        self.life += 1;
        self.wake_at = None;
        self.disk.crash(choice);
    }

    pub(crate) fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(engine) = &mut self.engine {
            engine.handle(now, input, &mut effects);
        }
        effects
    }

    pub(crate) fn sign(&self, request: &SignRequest, key: &PublicKey) -> Result<Vec<u8>, String> {
        let epoch = match request {
            SignRequest::Header(header) => header.epoch,
            SignRequest::Votes(body) => body.epoch,
        };
        if epoch != self.epoch {
            return Err(format!("it is in epoch {} and is asked to sign in epoch {epoch}", self.epoch));
        }
        let (tag, bytes) = match request {
            SignRequest::Header(header) => (HEADER_TAG, header.to_bytes()),
            SignRequest::Votes(body) => (BUNDLE_TAG, body.to_bytes()),
        };
        self.keys.session(key).ok_or("the key is erased")?.sign(tag, &bytes).map_err(|e| e.to_string())
    }
}
