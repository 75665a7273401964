//! One simulated validator: an engine, its keys, and a disk that may tear.

use consensus::codec::Encode;
use consensus::header::HEADER_TAG;
use consensus::records::Table;
use consensus::replica::SignRequest;
use consensus::types::Timestamp;
use consensus::vote::BUNDLE_TAG;
use crypto::SigningKey;
use engine::records::StoreRecords;
use engine::{Effect, Engine, EngineConfig, Input};
use storage::{ByteStore, MemStore};

use crate::attack::Attack;

/// One simulated validator.
pub(crate) struct Host {
    pub(crate) setup: EngineConfig,
    pub(crate) key: SigningKey,
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
    pub(crate) fn new(setup: EngineConfig, key: SigningKey, attack: Option<Attack>) -> Self {
        let disk = MemStore::new(Table::ALL.len());
        Self { setup, key, disk, engine: None, attack, life: 0, wake_at: None }
    }

    /// Starts the process on what the disk holds; the height it found there, before the rules ran.
    pub(crate) fn boot(&mut self, now: Timestamp) -> Result<(u64, Vec<Effect>), String> {
        let mut effects = Vec::new();
        let records = StoreRecords(self.disk.reader());
        let mut engine = Engine::restore(&self.setup, &records, &mut effects).map_err(|e| e.to_string())?;
        let height = engine.status().last_committed.height.get();
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

    pub(crate) fn sign(&self, request: &SignRequest) -> Result<Vec<u8>, String> {
        let (tag, bytes) = match request {
            SignRequest::Header(header) => (HEADER_TAG, header.to_bytes()),
            SignRequest::Votes(body) => (BUNDLE_TAG, body.to_bytes()),
        };
        self.key.sign(tag, &bytes).map_err(|e| e.to_string())
    }
}
