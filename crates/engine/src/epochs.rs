//! What an engine keeps between epochs: early messages of the next one, peers left behind, system transactions that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consensus::codec::Encode;
use consensus::epoch::{EpochContext, SystemError};
use consensus::message::Message;
use consensus::system::{Slot, SystemTx};
use consensus::types::{Epoch, Timestamp, ValidatorIndex};
use crypto::Digest;

/// Messages of later epochs kept for one peer until this one is left.
const EARLY_MESSAGES: usize = 32;
/// Bytes of such messages kept for one peer: some blocks and votes.
const EARLY_BYTES: usize = 16 * 1024 * 1024;
/// System transactions of one peer whose signatures are checked in one epoch, for each validator of the network.
const CHECKS_PER_MEMBER: usize = 4;

/// Messages of later epochs: a peer that has left this one a moment before me speaks in the next already, and pieces of the chain that
/// were asked for may be of any. Nothing of them is verified.
#[derive(Default)]
pub(crate) struct Early {
    messages: BTreeMap<Epoch, Vec<(ValidatorIndex, Message)>>,
    /// Bytes and messages kept for each peer.
    kept: BTreeMap<ValidatorIndex, (usize, usize)>,
}

impl Early {
    /// Keeps a message if there is room for it.
    pub(crate) fn keep(&mut self, from: ValidatorIndex, epoch: Epoch, message: Message) -> bool {
        let (bytes, count) = self.kept.entry(from).or_default();
        let len = message.to_bytes().len();
        let room = *count < EARLY_MESSAGES && *bytes + len <= EARLY_BYTES;
        if room {
            *bytes += len;
            *count += 1;
            self.messages.entry(epoch).or_default().push((from, message));
        }
        room
    }

    /// Those of `epoch`, in the order in which they came; earlier ones are dropped.
    pub(crate) fn take(&mut self, epoch: Epoch) -> Vec<(ValidatorIndex, Message)> {
        let later = self.messages.split_off(&epoch.next());
        let now = self.messages.remove(&epoch).unwrap_or_default();
        self.messages = later;
        self.kept.clear();
        for (from, message) in self.messages.values().flatten() {
            let (bytes, count) = self.kept.entry(*from).or_default();
            *bytes += message.to_bytes().len();
            *count += 1;
        }
        now
    }
}

/// Peers that still speak in an epoch that is over. Most find its end by themselves a moment later; the others are told.
#[derive(Default)]
pub(crate) struct Laggards {
    due: BTreeMap<ValidatorIndex, (Epoch, Timestamp)>,
}

impl Laggards {
    /// A peer has spoken in an older epoch.
    pub(crate) fn noticed(&mut self, from: ValidatorIndex, epoch: Epoch, due: Timestamp) {
        self.due.entry(from).or_insert((epoch, due)).0 = epoch;
    }

    /// A peer has spoken in the present epoch.
    pub(crate) fn present(&mut self, from: ValidatorIndex) {
        self.due.remove(&from);
    }

    /// The peers to be told now, with the epoch they were heard in.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<(ValidatorIndex, Epoch)> {
        let due: Vec<_> = self.due.iter().filter(|(_, (_, at))| *at <= now).map(|(peer, (e, _))| (*peer, *e)).collect();
        for (peer, _) in &due {
            self.due.remove(peer);
        }
        due
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.values().map(|(_, at)| *at).min()
    }
}

/// System transactions that wait for a block of this epoch, one of each kind.
#[derive(Default)]
pub(crate) struct SystemPool {
    waiting: BTreeMap<Slot, (Digest, Arc<SystemTx>)>,
    settled: BTreeSet<Slot>,
    checks: BTreeMap<ValidatorIndex, usize>,
}

/// How a system transaction was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    Known,
    Refused(SystemError),
    TooMany,
}

impl SystemPool {
    /// Checks and keeps a transaction. `from` is the peer that sent it; none for my own.
    pub(crate) fn take(
        &mut self,
        context: &EpochContext,
        from: Option<ValidatorIndex>,
        hash: Digest,
        tx: Arc<SystemTx>,
    ) -> Taken {
        let slot = tx.slot();
        if self.settled.contains(&slot) || self.waiting.contains_key(&slot) {
            return Taken::Known;
        }
        if let Some(from) = from {
            let checks = self.checks.entry(from).or_default();
            if *checks >= CHECKS_PER_MEMBER * context.config.n() {
                return Taken::TooMany;
            }
            *checks += 1;
        }
        if let Err(error) = context.check(&tx) {
            return Taken::Refused(error);
        }
        self.waiting.insert(slot, (hash, tx));
        Taken::New
    }

    /// A committed block holds one of this kind: no other counts in this epoch.
    pub(crate) fn settle(&mut self, slot: Slot) {
        self.waiting.remove(&slot);
        self.settled.insert(slot);
    }

    /// Those that wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Arc<SystemTx>> {
        self.waiting.values().map(|(_, tx)| tx)
    }

    /// Hash of each that waits.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = (Slot, &Digest)> {
        self.waiting.iter().map(|(slot, (hash, _))| (*slot, hash))
    }

    /// A new epoch begins.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
