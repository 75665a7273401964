//! A validator without its surroundings: mempool, block building, validity, catch-up, results; sans-IO.
//!
//! ```text
//! Input ──▶ Engine::handle(now, input, &mut effects) ──▶ Effect
//!              ├─ mempool   proposals that wait
//!              ├─ catchup   who is asked for which piece of a long chain
//!              ├─ ledger    ids of committed proposals, chain time
//!              └─ Replica   the protocol (crate consensus)
//! ```
//!
//! Nothing here reads a clock, a disk or a socket; [`serve`] reads records through a trait that the surroundings implement.

#![deny(clippy::float_arithmetic)]

mod catchup;
mod engine;
mod epochs;
mod index;
mod io;
mod ledger;
pub mod mempool;
pub mod records;
pub mod serve;

pub use catchup::{CHUNK_BLOCKS, CHUNK_BYTES, CatchUpStatus};
pub use engine::{Engine, EngineConfig, EngineStatus};
pub use io::{AcceptAll, Admission, AnyKey, Application, AppliedBlock, Effect, Input, Keyring, Refusal, SubmitTicket};
