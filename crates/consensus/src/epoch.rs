//! One epoch: where it starts, when it ends, what its chain gathers, and the configuration that follows (PROTOCOL section 7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crypto::{Digest, HashAlgorithm, PublicKey};

use crate::bounds::{KEY_MEMORY_EPOCHS, MAX_EPOCH_BLOCKS, MAX_VALIDATORS};
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::config::{ConfigError, EpochConfig, Limits, Member, SharedConfig};
use crate::genesis::Genesis;
use crate::header::{Closing, Header};
use crate::merkle::Peaks;
use crate::system::{APPROVAL_TAG, JOINING_TAG, MembershipChange, ROTATION_TAG, Rotation, Slot, SystemTx};
use crate::types::{Epoch, Height, Timestamp, ValidatorIndex};

/// Tag of the commitment to an epoch's block hashes.
pub const BLOCKS_TAG: &str = "agent-mesh/blocks/v1";

/// The block on which an epoch stands: the closing block of the epoch before, or the genesis. It is the epoch's view 0 and final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: Digest,
    /// Its time.
    pub time: Timestamp,
}

/// The first 16 bytes of a key's hash: enough to recognise a key that was in use.
type KeyMark = [u8; 16];

/// Keys that were in use until recently, by the epoch in which they were retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Retired(VecDeque<(Epoch, Arc<BTreeSet<KeyMark>>)>);

fn mark(key: &PublicKey) -> KeyMark {
    let digest = HashAlgorithm::Sha256.hash("agent-mesh/key-mark/v1", &[&[key.algorithm().wire_id()], key.as_bytes()]);
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl Retired {
    fn contains(&self, key: &PublicKey) -> bool {
        let mark = mark(key);
        self.0.iter().any(|(_, marks)| marks.contains(&mark))
    }
}

/// An epoch: its configuration and where it starts. All that decides validity in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochContext {
    /// The network.
    pub chain_id: Digest,
    /// Members, keys, parameters.
    pub config: SharedConfig,
    /// The block below its first.
    pub start: EpochStart,
    retired: Retired,
}

/// Why a system transaction is not valid in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    /// Another network, epoch or branch.
    #[error("it is for another {0}: make it anew for the present epoch")]
    Elsewhere(&'static str),
    /// One of its kind is in the chain of this epoch.
    #[error("the chain of this epoch has one for {0:?} already; the first counts")]
    Second(Slot),
    /// No such validator.
    #[error("no validator of this epoch has index {0}")]
    Unknown(ValidatorIndex),
    /// The validator has no identity.
    #[error("validator {0} has no identity key in the configuration, so its keys cannot change")]
    NoIdentity(ValidatorIndex),
    /// The session key that it replaces is not the one in use.
    #[error("it replaces a session key that validator {0} does not have")]
    OldKey(ValidatorIndex),
    /// A new key is, or was, somebody's.
    #[error("the new {0} key is in use, or was; each key is used once")]
    KeyUsed(&'static str),
    /// A signature does not verify.
    #[error("the signature {0} does not verify")]
    Signature(&'static str),
    /// The next configuration would not be valid.
    #[error("the next configuration is not valid: {0}")]
    Config(#[from] ConfigError),
    /// A rule of membership changes.
    #[error("the membership change is refused: {0}")]
    Change(String),
}

impl EpochContext {
    /// The first epoch of a network.
    pub fn genesis(config: SharedConfig, chain_id: Digest, created: Timestamp) -> Self {
        let start = EpochStart { height: Height::ZERO, hash: chain_id, time: created };
        Self { chain_id, config, start, retired: Retired::default() }
    }

    /// The first epoch of the network of this genesis.
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self::genesis(genesis.config.clone(), genesis.chain_id(), genesis.created)
    }

    /// The epoch's number.
    pub fn epoch(&self) -> Epoch {
        self.config.epoch
    }

    /// Whether a block of this height and time is the epoch's last, if no ancestor is.
    pub fn closes(&self, height: Height, time: Timestamp) -> bool {
        let span_us = self.config.limits.key_rotation_interval_s.saturating_mul(1_000_000);
        height.get() >= self.start.height.get().saturating_add(MAX_EPOCH_BLOCKS)
            || time >= self.start.time.after_us(span_us)
    }

    /// When the epoch ends by time.
    pub fn end_time(&self) -> Timestamp {
        self.start.time.after_us(self.config.limits.key_rotation_interval_s.saturating_mul(1_000_000))
    }

    /// The epoch that follows when a block with this hash, height and time has closed this one.
    #[must_use]
    pub fn followed_by(&self, next: EpochConfig, start: EpochStart) -> Self {
        let mut retired = self.retired.clone();
        let used = keys_of(&next);
        let gone = keys_of(&self.config).into_iter().filter(|key| !used.contains(key)).map(|key| mark(&key)).collect();
        retired.0.push_back((self.config.epoch, Arc::new(gone)));
        while retired.0.len() > KEY_MEMORY_EPOCHS {
            retired.0.pop_front();
        }
        Self { chain_id: self.chain_id, config: Arc::new(next), start, retired }
    }

    /// Checks a system transaction as far as this epoch alone decides, signatures included. What the chain has gathered decides the rest
    /// ([`Gathered::admits`]).
    pub fn check(&self, tx: &SystemTx) -> Result<(), SystemError> {
        match tx {
            SystemTx::Rotation(rotation) => self.check_rotation(rotation),
            SystemTx::Change(change) => self.check_change(change),
        }
    }

    fn check_binding(&self, chain_id: &Digest, target: Epoch, previous: &Digest) -> Result<(), SystemError> {
        if *chain_id != self.chain_id {
            return Err(SystemError::Elsewhere("network"));
        }
        if target != self.config.epoch.next() {
            return Err(SystemError::Elsewhere("epoch"));
        }
        if *previous != self.start.hash {
            return Err(SystemError::Elsewhere("closing block"));
        }
        Ok(())
    }

    fn check_rotation(&self, rotation: &Rotation) -> Result<(), SystemError> {
        self.check_binding(&rotation.chain_id, rotation.target, &rotation.previous)?;
        let index = rotation.validator;
        let member = self.config.member(index).ok_or(SystemError::Unknown(index))?;
        let identity = member.identity_key.as_ref().ok_or(SystemError::NoIdentity(index))?;
        if rotation.old_key != member.session_key {
            return Err(SystemError::OldKey(index));
        }
        if self.knows(&rotation.new_key) {
            return Err(SystemError::KeyUsed("session"));
        }
        if rotation.link_key != member.link_key && self.knows(&rotation.link_key) {
            return Err(SystemError::KeyUsed("link"));
        }
        let content = rotation.content();
        if !identity.verify(ROTATION_TAG, &content, &rotation.by_identity) {
            return Err(SystemError::Signature("of the identity"));
        }
        rotation
            .new_key
            .verify(ROTATION_TAG, &content, &rotation.by_new_key)
            .map_err(|_| SystemError::Signature("of the new session key"))
    }

    /// Whether a key is anyone's now, or was lately.
    fn knows(&self, key: &PublicKey) -> bool {
        keys_of(&self.config).contains(key) || self.retired.contains(key)
    }

    fn check_change(&self, change: &MembershipChange) -> Result<(), SystemError> {
        let next = &change.next;
        self.check_binding(&change.chain_id, next.epoch, &change.previous)?;
        next.check()?;
        self.check_parameters(change)?;
        let content = change.content();
        self.check_joinings(change, &content)?;
        let mut last = None;
        for (index, signature) in &change.approvals {
            if last.is_some_and(|last| last >= *index) {
                return Err(SystemError::Change("approvals are not in ascending order".to_owned()));
            }
            last = Some(*index);
            let member = self.config.member(*index).ok_or(SystemError::Unknown(*index))?;
            let identity = member.identity_key.as_ref().ok_or(SystemError::NoIdentity(*index))?;
            if !identity.verify(APPROVAL_TAG, &content, signature) {
                return Err(SystemError::Signature("of an approving identity"));
            }
        }
        let (found, needed) = (change.approvals.len(), self.config.quorum.q_min() as usize);
        if found < needed {
            return Err(SystemError::Change(format!("{found} present members approve it, {needed} (q_min) must")));
        }
        Ok(())
    }

    fn check_parameters(&self, change: &MembershipChange) -> Result<(), SystemError> {
        let (now, next) = (&self.config, &change.next);
        let refuse = |why: String| Err(SystemError::Change(why));
        if next.level.wire_id() < now.level.wire_id() {
            return refuse(format!(
                "level {} is below the present {}; a level is never lowered",
                next.level, now.level
            ));
        }
        if next.level.hash_algorithm() != now.level.hash_algorithm() {
            return refuse(format!(
                "level {} hashes with another function than level {}; the chain of one network has one hash function",
                next.level, now.level
            ));
        }
        if next.policy.wire_id() < now.policy.wire_id() {
            return refuse("security_level is never lowered".to_owned());
        }
        let kept = Limits { key_rotation_interval_s: next.limits.key_rotation_interval_s, ..now.limits };
        if next.limits != kept {
            return refuse("of the limits only key_rotation_interval_s may change".to_owned());
        }
        let (f_now, f_next) = (now.quorum.f(), next.quorum.f());
        if (f_next < f_now) != change.lowers_f {
            return refuse(format!(
                "max_byzantine goes from {f_now} to {f_next}: a change that lowers it says so, and only then"
            ));
        }
        let staying = next.members.iter().filter(|member| self.stays(member)).count();
        let needed = (next.quorum.q_min() + next.quorum.f()) as usize;
        if staying < needed {
            return refuse(format!(
                "{staying} of the {} members stay, q_min + f = {needed} must, so that they carry the chain over; change fewer at once",
                now.n()
            ));
        }
        Ok(())
    }

    /// Whether a member of the next configuration is one now: same name, same identity.
    fn stays(&self, member: &Member) -> bool {
        member.identity_key.is_some()
            && self.config.members.iter().any(|m| m.name == member.name && m.identity_key == member.identity_key)
    }

    /// Everyone whose entry is not word for word the present one has agreed to it.
    fn check_joinings(&self, change: &MembershipChange, content: &[u8]) -> Result<(), SystemError> {
        let mut joinings = change.joinings.iter();
        for (at, member) in change.next.members.iter().enumerate() {
            if self.config.members.contains(member) {
                continue;
            }
            let Some(joining) = joinings.next().filter(|joining| joining.index.as_usize() == at) else {
                return Err(SystemError::Change(format!(
                    "{} is new or has new keys, and has not agreed to it (or agreements are not in order)",
                    member.name
                )));
            };
            let present = self.config.members.iter().find(|m| m.name == member.name);
            let same = |of: fn(&Member) -> &PublicKey| present.is_some_and(|present| of(present) == of(member));
            let since = present.filter(|_| same(|m| &m.session_key)).map_or(change.next.epoch, |m| m.session_since);
            if member.session_since != since {
                return Err(SystemError::Change(format!("{}: its session key is of epoch {since}", member.name)));
            }
            if !same(|m| &m.session_key) && self.knows(&member.session_key) {
                return Err(SystemError::KeyUsed("session"));
            }
            if !same(|m| &m.link_key) && self.knows(&member.link_key) {
                return Err(SystemError::KeyUsed("link"));
            }
            let Some(identity) = &member.identity_key else {
                return Err(SystemError::Change(format!("{} has no identity key; who joins needs one", member.name)));
            };
            if !identity.verify(JOINING_TAG, content, &joining.by_identity) {
                return Err(SystemError::Signature("of a joining identity"));
            }
            member
                .session_key
                .verify(JOINING_TAG, content, &joining.by_session)
                .map_err(|_| SystemError::Signature("of a joining session key"))?;
        }
        if joinings.next().is_some() {
            return Err(SystemError::Change("somebody agrees who need not".to_owned()));
        }
        Ok(())
    }
}

fn keys_of(config: &EpochConfig) -> BTreeSet<PublicKey> {
    config.members.iter().flat_map(|member| [member.session_key.clone(), member.link_key.clone()]).collect()
}

/// The commitment to the hashes of an epoch's blocks below the closing one: their number and the root of the tree over them, if any.
pub fn blocks_root(algorithm: HashAlgorithm, count: u64, root: Option<&Digest>) -> Digest {
    algorithm.hash(BLOCKS_TAG, &[&count.to_be_bytes(), root.map_or(&[][..], |root| root.as_bytes())])
}

/// What the chain of one epoch has gathered up to a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    hashes: Peaks,
    system: BTreeMap<Slot, Arc<SystemTx>>,
}

impl Gathered {
    /// What a store holds: the hashes so far, and the transactions in chain order.
    pub fn restored(hashes: Peaks, system: impl IntoIterator<Item = Arc<SystemTx>>) -> Self {
        let mut gathered = Self { hashes, system: BTreeMap::new() };
        system.into_iter().for_each(|tx| gathered.add(&tx));
        gathered
    }

    /// The hashes so far.
    pub const fn hashes(&self) -> &Peaks {
        &self.hashes
    }

    /// The transactions that count.
    pub fn system(&self) -> impl Iterator<Item = &Arc<SystemTx>> {
        self.system.values()
    }

    /// Whether a transaction that passes [`EpochContext::check`] may come next.
    pub fn admits(&self, context: &EpochContext, tx: &Arc<SystemTx>) -> Result<(), SystemError> {
        if self.system.contains_key(&tx.slot()) {
            return Err(SystemError::Second(tx.slot()));
        }
        let mut with = Self { hashes: Peaks::default(), system: self.system.clone() };
        with.add(tx);
        Ok(with.next_config(context).check()?)
    }

    /// Adds a transaction; of each kind the first counts.
    pub fn add(&mut self, tx: &Arc<SystemTx>) {
        self.system.entry(tx.slot()).or_insert_with(|| Arc::clone(tx));
    }

    /// Adds the hash of a block that does not close the epoch.
    pub fn add_block(&mut self, algorithm: HashAlgorithm, hash: &Digest) {
        self.hashes.push(algorithm, *hash);
    }

    /// The next configuration, as a function of this one and the transactions alone.
    pub fn next_config(&self, context: &EpochContext) -> EpochConfig {
        let now = &context.config;
        let change = self.system.get(&Slot::Change).and_then(|tx| match tx.as_ref() {
            SystemTx::Change(change) => Some(change),
            SystemTx::Rotation(_) => None,
        });
        let mut next = change.map_or_else(|| EpochConfig::clone(now), |change| change.next.clone());
        next.epoch = now.epoch.next();
        for tx in self.system.values() {
            let SystemTx::Rotation(rotation) = tx.as_ref() else { continue };
            let Some(old) = now.member(rotation.validator) else { continue };
            // Who gets other keys by the change keeps those.
            let same = next.members.iter_mut().find(|m| m.name == old.name && m.session_key == old.session_key);
            if let Some(member) = same.filter(|_| next.level == now.level) {
                member.session_key = rotation.new_key.clone();
                member.session_since = next.epoch;
                if member.link_key == old.link_key {
                    member.link_key = rotation.link_key.clone();
                }
            }
        }
        next
    }

    /// What the closing header carries, with the configuration that it names.
    pub fn close(&self, context: &EpochContext) -> (Closing, EpochConfig) {
        let algorithm = context.config.hash_algorithm();
        let next = self.next_config(context);
        let root = self.hashes.root(algorithm);
        let blocks_root = blocks_root(algorithm, self.hashes.count(), root.as_ref());
        (Closing { next_config: next.hash(), blocks_root }, next)
    }
}

impl Encode for Gathered {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.hashes.count());
        let roots: Vec<&Digest> = self.hashes.roots().collect();
        out.count(roots.len());
        roots.into_iter().for_each(|root| out.digest(root));
    }
}

impl Gathered {
    /// Reads back the hashes; the transactions are stored apart, each once.
    pub fn decode_hashes(input: &mut Reader<'_>) -> Result<Peaks, DecodeError> {
        let count = input.number("blocks")?;
        let roots = input.list(64, "roots", |r| r.digest("root"))?;
        Peaks::restored(count, &roots).ok_or(DecodeError::Invalid("roots"))
    }
}

impl Encode for EpochContext {
    fn encode(&self, out: &mut Writer) {
        out.digest(&self.chain_id);
        self.config.encode(out);
        self.start.encode(out);
        out.count(self.retired.0.len());
        for (epoch, marks) in &self.retired.0 {
            out.u64(epoch.get());
            out.count(marks.len());
            marks.iter().for_each(|mark| out.raw(mark));
        }
    }
}

impl Decode for EpochContext {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let chain_id = input.digest("chain id")?;
        let config = Arc::new(EpochConfig::decode(input)?);
        let start = EpochStart::decode(input)?;
        let retired = input.list(KEY_MEMORY_EPOCHS, "retired keys", |r| {
            let epoch = r.epoch()?;
            let marks = r.list(4 * MAX_VALIDATORS, "key marks", |r| {
                r.raw(16, "key mark")?.first_chunk().copied().ok_or(DecodeError::Invalid("key mark"))
            })?;
            Ok((epoch, Arc::new(marks.into_iter().collect())))
        })?;
        Ok(Self { chain_id, config, start, retired: Retired(retired.into()) })
    }
}

/// Where an epoch stands after `closing`, its last block's header.
pub fn start_after(closing: &Header, hash: Digest) -> EpochStart {
    EpochStart { height: closing.height, hash, time: closing.time }
}

impl Encode for EpochStart {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.height.get());
        out.digest(&self.hash);
        out.u64(self.time.get());
    }
}

impl Decode for EpochStart {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { height: input.height()?, hash: input.digest("block hash")?, time: input.time("block time")? })
    }
}
