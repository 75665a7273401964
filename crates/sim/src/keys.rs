//! The keys of one simulated validator: sessions by epoch, and the identity that renews them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use consensus::epoch::EpochContext;
use consensus::system::{ROTATION_TAG, Rotation, SystemTx};
use consensus::types::Epoch;
use crypto::{PublicKey, SignatureAlgorithm, SigningKey};
use engine::Keyring;

/// The keys of one simulated validator. They survive crashes, as key files do.
pub struct Keys {
    index: u16,
    name: String,
    identity: SigningKey,
    state: Mutex<State>,
}

struct State {
    sessions: BTreeMap<PublicKey, SigningKey>,
    present: SigningKey,
    /// The key that waits for the epoch after the present, with its rotation.
    pending: Option<(Epoch, PublicKey, Rotation)>,
}

impl Keys {
    /// Keys of the validator with this index in the genesis.
    pub fn new(index: u16, session: SigningKey, identity: SigningKey) -> Self {
        let sessions = BTreeMap::from([(session.public_key(), session.clone())]);
        let state = Mutex::new(State { sessions, present: session, pending: None });
        Self { index, name: format!("v{index}"), identity, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret half of a session key, unless it is erased.
    pub fn session(&self, key: &PublicKey) -> Option<SigningKey> {
        self.state().sessions.get(key).cloned()
    }

    /// The session key of the present epoch.
    pub fn present(&self) -> SigningKey {
        self.state().present.clone()
    }

    /// An epoch has begun: what it does not name is erased, unless it waits for the next.
    pub fn enter(&self, context: &EpochContext) {
        let mut state = self.state();
        let named = context.config.index_of(&self.name).and_then(|me| context.config.member(me));
        let named = named.map(|member| member.session_key.clone());
        let waits = context.epoch().next();
        let pending = state.pending.take().filter(|(target, ..)| *target >= waits);
        let kept = pending.as_ref().map(|(_, key, _)| key.clone());
        state.sessions.retain(|key, _| Some(key) == named.as_ref() || Some(key) == kept.as_ref());
        state.pending = pending;
        if let Some(key) = named.and_then(|key| state.sessions.get(&key).cloned()) {
            state.present = key;
        }
    }

    /// The rotation to the next epoch; the same again if it was made before. `None` for who is not a member.
    pub fn rotation(&self, context: &EpochContext) -> Result<Option<SystemTx>, String> {
        let Some(me) = context.config.index_of(&self.name) else { return Ok(None) };
        let target = context.epoch().next();
        let mut state = self.state();
        if let Some((epoch, _, rotation)) = &state.pending
            && *epoch == target
        {
            return Ok(Some(SystemTx::Rotation(Box::new(rotation.clone()))));
        }
        let mut seed = [9; 32];
        seed[..2].copy_from_slice(&self.index.to_be_bytes());
        seed[2..10].copy_from_slice(&target.get().to_be_bytes());
        let fresh = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &seed).map_err(|e| e.to_string())?;
        let member = &context.config.members[me.as_usize()];
        let mut rotation = Rotation {
            chain_id: context.chain_id,
            validator: me,
            target,
            previous: context.start.hash,
            old_key: member.session_key.clone(),
            new_key: fresh.public_key(),
            link_key: member.link_key.clone(),
            by_identity: Vec::new(),
            by_new_key: Vec::new(),
        };
        let content = rotation.content();
        rotation.by_identity = self.identity.sign(ROTATION_TAG, &content).map_err(|e| e.to_string())?;
        rotation.by_new_key = fresh.sign(ROTATION_TAG, &content).map_err(|e| e.to_string())?;
        state.pending = Some((target, fresh.public_key(), rotation.clone()));
        state.sessions.insert(fresh.public_key(), fresh);
        Ok(Some(SystemTx::Rotation(Box::new(rotation))))
    }
}

impl Keyring for Keys {
    fn holds(&self, key: &PublicKey) -> bool {
        self.state().sessions.contains_key(key)
    }
}
