//! From what a validator sees to advice: network analysis, policies, a learner (docs/optimizer.md).
//!
//! ```text
//!  Observation (consensus) ─▶ rounds ─▶ model (per peer and in total) ─▶ Situation ─▶ Policy ─▶ Advice (clamped by the core)
//!  LinkSample (transport)  ─▶ links ─▶ quality ─▶ threshold                  ▲
//!                             Outcome of a round, whatever was decided ──────┴─▶ learn, scoreboard
//! ```
//!
//! Pure: no clock, no disk, no network; the same observations at the same times give the same advice. Advice may cost time, never safety:
//! the core clamps whatever comes from here (PROTOCOL section 4), so floating-point numbers are allowed here and nowhere in what decides
//! ([decision 0046](../../docs/decisions/0046-floats-in-the-optimizer.md)). Nobody's word is trusted: what is learned is what was seen.

mod delta;
mod hedge;
mod links;
mod loss;
mod math;
mod model;
mod optimizer;
mod parameters;
mod policies;
mod recommend;
mod rounds;
mod score;
mod state;
mod threshold;
mod window;

pub use links::{LinkSample, LinkView, NetworkView, PART_WEIGHTS};
pub use loss::{Outcome, Weights, loss};
pub use model::Situation;
pub use optimizer::{Mode, Optimizer, PolicyChoice, Setup};
pub use parameters::{ParameterError, ParameterUpdate, Parameters, WeightsUpdate};
pub use policies::{Decision, Ewma, FixedHold, LEAST_HOLD_US, Learned, Policy};
pub use recommend::Recommendation;
pub use score::{Counters, Metrics, Skill};
pub use state::{STATE_VERSION, State, StateError};
pub use threshold::rule_ratio;
