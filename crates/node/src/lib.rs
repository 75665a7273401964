//! A validator process: clock, sockets, store and tasks around the engine; HTTP API and metrics.
//!
//! ```text
//! links ─▶ peers (decode, verify) ─┐                    ┌─▶ writer ─▶ store
//! HTTP  ─▶ handle ─────────────────┼─▶ core (Engine) ───┼─▶ links
//! clock, optimizer ────────────────┘                    └─▶ hub ─▶ waiting clients, streams, metrics
//! ```
//!
//! One thread drives the engine, one writes the store; everything else is tasks that bring inputs or wait for outcomes.

mod advisor;
pub mod audit;
mod clock;
pub mod config;
mod core;
mod handle;
pub mod home;
pub mod http;
mod hub;
pub mod keys;
mod limits;
mod metrics;
mod node;
mod peers;
mod rotation;
mod serving;
pub mod setup;
pub mod tokens;
pub mod views;
mod witness;
mod writer;

pub use advisor::OptimizerHandle;
pub use handle::{LogControl, NodeError, NodeHandle, ProposalRequest, Submitted};
pub use hub::FinalBlock;
pub use node::{Environment, Node, NodeOptions, StartError};
pub use optimizer;
