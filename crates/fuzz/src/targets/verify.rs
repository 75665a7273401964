//! Verification: a message from a peer, as it came, and with its signatures made good.

use std::sync::Arc;

use consensus::Decode as _;
use consensus::message::Message;
use consensus::types::ValidatorIndex;
use consensus::verify::Verifier;

use super::{golden, network, word};
use crate::Target;

/// First byte: the sender; the rest: the message.
pub const TARGET: Target = Target { name: "verify", seeds, run, longest: 1 << 14 };

fn seeds() -> Vec<Vec<u8>> {
    golden("message")
        .into_iter()
        .flat_map(|bytes| (0..4).map(move |from| [&[from], bytes.as_slice()].concat()))
        .collect()
}

fn run(input: &[u8]) -> String {
    let Some((from, bytes)) = input.split_first() else { return String::new() };
    let message = match Message::from_bytes(bytes) {
        Ok(message) => message,
        Err(error) => return word("", &error),
    };
    let (network, name) = (network(), message.name());
    let verifier = Verifier::new(Arc::clone(&network.genesis.config), network.genesis.chain_id());
    let from = ValidatorIndex::new(u16::from(*from));
    let said = |result: Result<_, consensus::verify::Rejection>| match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => word("", &error),
    };
    let as_it_came = said(verifier.verify(from, message.clone()).map(drop));
    let signed = said(verifier.verify(from, network.signed(message)).map(drop));
    format!("{name}: {as_it_came} / {signed}")
}
