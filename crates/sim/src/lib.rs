//! Deterministic simulator of a network of engines: virtual time, seeded, the shipped core and not a copy.
//!
//! ```text
//! Scenario ──▶ Simulation: events in virtual time ──▶ host::Host (engine + torn store + keys) ──▶ invariants ──▶ Report
//!                                  └─ attack::Attack rewrites what a Byzantine host sends
//! ```

pub mod attack;
mod host;
pub mod invariants;
pub mod keys;
pub mod scenario;
mod simulation;

pub use scenario::{Fault, Scenario, network};
pub use simulation::{Report, Simulation};
