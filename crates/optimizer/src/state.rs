//! What has been learned, in a form that survives a restart.

use serde::{Deserialize, Serialize};

use crate::math::Ewma1;
use crate::model::{Model, PeerModel};
use crate::policies::{EXPERTS, FEATURES, Learned};

/// Version of the form.
pub const STATE_VERSION: u32 = 1;

/// What has been learned. Serializable; holds no secrets and nothing that decides validity: to lose it costs some rounds of learning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    observations: u64,
    experts: Vec<f64>,
    gate: Vec<f64>,
    peers: Vec<PeerModel>,
    memories: [Ewma1; 7],
    fast_us: Vec<u32>,
    delta_us: Option<u64>,
    learned_acts: bool,
}

/// Why a state is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Of another version.
    #[error("the optimizer's state has version {0}, this program reads {STATE_VERSION}; it starts without it")]
    Version(u32),
    /// Of another network, or damaged.
    #[error("the optimizer's state does not fit ({0}); it starts without it")]
    Shape(&'static str),
}

impl State {
    pub(crate) fn of(
        model: &Model,
        learned: &Learned,
        delta_us: Option<u64>,
        observations: u64,
        learned_acts: bool,
    ) -> Self {
        let m = model;
        Self {
            version: STATE_VERSION,
            observations,
            experts: learned.hedge.weights.to_vec(),
            gate: learned.gate.weights.to_vec(),
            peers: m.peers.clone(),
            memories: [
                m.fast_rate,
                m.fast_rate_long,
                m.fast_us,
                m.fast_deviation_us,
                m.slow_us,
                m.quorum_us,
                m.final_us,
            ],
            fast_us: m.fast_window.in_order().collect(),
            delta_us,
            learned_acts,
        }
    }

    /// Puts it in the place of what is there; nothing changes unless all of it is sound.
    pub(crate) fn restore(
        &self,
        model: &mut Model,
        learned: &mut Learned,
    ) -> Result<(u64, Option<u64>, bool), StateError> {
        if self.version != STATE_VERSION {
            return Err(StateError::Version(self.version));
        }
        let experts: [f64; EXPERTS] =
            self.experts.as_slice().try_into().map_err(|_| StateError::Shape("another number of experts"))?;
        let gate: [f64; FEATURES] =
            self.gate.as_slice().try_into().map_err(|_| StateError::Shape("another number of features"))?;
        if self.peers.len() != model.peers.len() {
            return Err(StateError::Shape("another number of validators"));
        }
        let sum: f64 = experts.iter().sum();
        let sound = |mean: &Ewma1| mean.value.is_finite() && mean.value >= 0.0 && mean.value < 1e15;
        let peers_sound = self
            .peers
            .iter()
            .all(|peer| [peer.alive, peer.late_us, peer.deviation_us, peer.after_final].iter().all(sound));
        if !(experts.iter().all(|weight| (0.0..=1.0).contains(weight))
            && (sum - 1.0).abs() < 1e-3
            && gate.iter().all(|weight| weight.is_finite() && weight.abs() <= 100.0)
            && self.memories.iter().all(sound)
            && peers_sound)
        {
            return Err(StateError::Shape("numbers out of range"));
        }
        learned.hedge.weights = experts;
        learned.gate.weights = gate;
        model.peers.clone_from(&self.peers);
        [
            model.fast_rate,
            model.fast_rate_long,
            model.fast_us,
            model.fast_deviation_us,
            model.slow_us,
            model.quorum_us,
            model.final_us,
        ] = self.memories;
        self.fast_us.iter().for_each(|us| model.fast_window.push(u64::from(*us)));
        Ok((self.observations, self.delta_us, self.learned_acts))
    }
}
