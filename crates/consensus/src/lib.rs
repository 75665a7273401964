//! The protocol core: types, codec, verification, replica.
//!
//! ```text
//! bytes → codec → message → verify → Verified<Content> → replica.handle(now, input) → effects
//! ```
//!
//! Everything here is synchronous and deterministic: no clock, randomness, disk, network, async or floats. The rules are those
//! of docs/protocol.md; code cites them by id (R1, S1, D2 …).

#![deny(clippy::float_arithmetic)]

pub mod body;
pub mod bounds;
pub mod certificate;
pub mod codec;
pub mod config;
pub mod epoch;
pub mod evidence;
pub mod genesis;
pub mod header;
pub mod link;
pub mod merkle;
pub mod message;
pub mod mutation;
pub mod params;
pub mod proof;
pub mod records;
pub mod replica;
pub mod schedule;
pub mod system;
pub mod types;
pub mod verify;
pub mod vote;
pub mod votes;

pub use codec::{Decode, Encode};
