//! Checks of the shipped core: every order of events for small networks, defects by name, crash at every write.
//!
//! - `universe`, `local`, `search`: the model checker. The real [`consensus::replica::Replica`] decides what a replica signs; the
//!   search decides what it has been told. Why that covers every run: docs/reliability.md.
//! - `lab`: a few real engines on torn disks, with a network that a check scripts message by message.
//!
//! All of it needs the feature `checking`, which only tests and examples switch on.

#[cfg(feature = "checking")]
pub mod lab;
#[cfg(feature = "checking")]
pub mod local;
#[cfg(feature = "checking")]
pub mod search;
#[cfg(feature = "checking")]
pub mod universe;
