//! One simulated process: an engine, its keys, a disk that may tear, a clock that may drift, processors that may be busy.

use std::sync::Arc;

use consensus::codec::Encode;
use consensus::epoch::EpochContext;
use consensus::header::HEADER_TAG;
use consensus::records::Table;
use consensus::replica::{SignRequest, Ticket};
use consensus::types::{Epoch, Timestamp, ValidatorIndex};
use consensus::vote::BUNDLE_TAG;
use crypto::PublicKey;
use engine::records::StoreRecords;
use engine::{Effect, Engine, EngineConfig, Input};
use storage::{ByteStore, MemStore};

use crate::attack::Attack;
use crate::keys::Keys;
use crate::scenario::{Cpu, START_US};

/// One simulated process.
pub(crate) struct Host {
    pub(crate) validator: ValidatorIndex,
    pub(crate) setup: EngineConfig,
    pub(crate) keys: Arc<Keys>,
    /// The epoch that the running process is in.
    pub(crate) epoch: Epoch,
    pub(crate) disk: MemStore,
    /// `None` while the process is down.
    pub(crate) engine: Option<Engine>,
    pub(crate) attack: Option<Box<dyn Attack>>,
    /// Advises the engine, as in a node; outlives crashes, as its state does there.
    pub(crate) optimizer: Option<optimizer::Optimizer>,
    /// Follows the protocol.
    pub(crate) honest: bool,
    /// Counts restarts, so that completions of an earlier life are not taken for this one's.
    pub(crate) life: u64,
    /// The wake-up that is scheduled, if any, in the simulation's time.
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) clock: Clock,
    pub(crate) flushing: Flushing,
    processors: Processors,
}

/// How a host's clock differs from the simulation's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    pub(crate) offset_us: i64,
    pub(crate) drift_ppm: i64,
}

impl Clock {
    /// The host's time at `now`.
    pub(crate) fn local(self, now: Timestamp) -> Timestamp {
        let passed = now.get().saturating_sub(START_US) as i64;
        Timestamp::new(now.get().saturating_add_signed(self.offset_us + passed * self.drift_ppm / 1_000_000))
    }

    /// The simulation's time at the host's `local`: never so early that the host's clock does not show `local` yet.
    pub(crate) fn global(self, local: Timestamp) -> Timestamp {
        if self.offset_us == 0 && self.drift_ppm == 0 {
            return local;
        }
        let mut guess = local.get().saturating_add_signed(-self.offset_us);
        for _ in 0..3 {
            let shown = self.local(Timestamp::new(guess)).get();
            guess = guess.saturating_add_signed(local.get() as i64 - shown as i64);
        }
        Timestamp::new(guess)
    }
}

/// Flushes of one disk: one at a time, and what comes meanwhile shares the next (group commit).
#[derive(Debug, Default)]
pub(crate) struct Flushing {
    /// Tickets and commits that the flush under way covers.
    pub(crate) under_way: Option<(Vec<Ticket>, u64)>,
    /// Tickets that wait for the next.
    pub(crate) waiting: Vec<Ticket>,
}

/// When processors are free again: verification on any, the core on its own thread.
#[derive(Debug, Default)]
struct Processors {
    verify: Vec<Timestamp>,
    core: Timestamp,
}

impl Host {
    pub(crate) fn new(setup: EngineConfig, validator: ValidatorIndex, keys: Arc<Keys>, clock: Clock) -> Self {
        let disk = MemStore::new(Table::ALL.len());
        Self {
            validator,
            setup,
            keys,
            epoch: Epoch::ZERO,
            disk,
            engine: None,
            attack: None,
            optimizer: None,
            honest: true,
            life: 0,
            wake_at: None,
            clock,
            flushing: Flushing::default(),
            processors: Processors::default(),
        }
    }

    /// Starts the process on what the disk holds; the height it found there, before the rules ran.
    pub(crate) fn boot(&mut self, now: Timestamp) -> Result<(u64, Vec<Effect>), String> {
        let mut effects = Vec::new();
        let records = StoreRecords(self.disk.reader());
        let mut engine = Engine::restore(&self.setup, &records, &mut effects).map_err(|e| e.to_string())?;
        let height = engine.status().last_committed.height.get();
        self.epoch = engine.status().epoch;
        engine.start(self.clock.local(now), &mut effects);
        self.engine = Some(engine);
        self.wake_at = None;
        Ok((height, effects))
    }

    /// The process dies; what was not flushed is lost or torn.
    pub(crate) fn crash(&mut self, choice: u64) {
        self.engine = None;
        self.life += 1;
        self.wake_at = None;
        self.flushing = Flushing::default();
        self.disk.crash(choice);
    }

    pub(crate) fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        if let Some(engine) = &mut self.engine {
            engine.handle(self.clock.local(now), input, effects);
        }
    }

    /// The epoch that the process is in, or was in when it died.
    pub(crate) fn context(&self) -> Arc<EpochContext> {
        let context = self.engine.as_ref().map(|engine| engine.replica().context());
        Arc::clone(context.unwrap_or(&self.setup.genesis))
    }

    /// Tells the optimizer what was seen; its advice is the engine's next input.
    pub(crate) fn advise(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let (Some(optimizer), Some(engine)) = (&mut self.optimizer, &mut self.engine) else { return };
        let (local, mut seen) = (self.clock.local(now), 0);
        loop {
            let mut advice = None;
            for effect in effects.iter().skip(seen) {
                if let Effect::Observed(observation) = effect {
                    advice = optimizer.observe(local, observation).or(advice);
                }
            }
            seen = effects.len();
            let Some(advice) = advice else { return };
            engine.handle(local, Input::Advice(advice), effects);
        }
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

    /// When a message with this many signatures to verify that arrives now has been taken by the core.
    pub(crate) fn compute(&mut self, cpu: &Cpu, now: Timestamp, signatures: u64) -> Timestamp {
        self.processors.verify.resize(cpu.cores.max(1) as usize, Timestamp::ZERO);
        let verified = match self.processors.verify.iter_mut().min() {
            Some(free) if signatures > 0 => {
                *free = now.max(*free).after_us(signatures * cpu.verify_us);
                *free
            }
            _ => now,
        };
        self.processors.core = verified.max(self.processors.core).after_us(cpu.message_us);
        self.processors.core
    }

    /// When the core's thread has signed what it is asked to sign now.
    pub(crate) fn compute_signature(&mut self, cpu: &Cpu, now: Timestamp) -> Timestamp {
        self.processors.core = self.processors.core.max(now).after_us(cpu.sign_us);
        self.processors.core
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_was_waited_for() {
        for clock in [
            Clock::default(),
            Clock { offset_us: 250_000, drift_ppm: 200 },
            Clock { offset_us: -250_000, drift_ppm: -200 },
        ] {
            for local in (START_US..START_US + 100_000_000).step_by(999_983) {
                let global = clock.global(Timestamp::new(local));
                let shown = clock.local(global).get();
                assert!(shown.abs_diff(local) <= 1, "{clock:?}: {shown} for {local}");
            }
        }
    }
}
