//! Deterministic simulator of a network of engines: virtual time, seeded, the shipped core and not a copy.
//!
//! ```text
//! Scenario ──▶ Simulation: events in virtual time ──▶ host::Host (engine + torn store + keys) ──▶ invariants ──▶ Report
//!                  │               └─ network::Network: delays by region, loss, bandwidth, weather
//!                  └─ attack::Attack rewrites what a Byzantine host sends
//! ```

pub mod attack;
mod genesis;
mod host;
pub mod invariants;
pub mod keys;
pub mod network;
pub mod plot;
mod queue;
pub mod report;
pub mod scenario;
mod simulation;
pub mod study;
pub mod sweep;
mod wire;

pub use genesis::network;
pub use report::{Bound, Report, Samples, Spread};
pub use scenario::{Clocks, Cpu, Disk, Fault, Scenario, Timers};
pub use simulation::Simulation;
