//! Bytes and signatures of a message as a real network would carry them: the keys of a simulation are classical, the sizes are not.

use consensus::Encode as _;
use consensus::message::Message;
use crypto::{SecurityLevel, SignatureAlgorithm};

/// Beside the encoded message: the frame's length word, and a TLS 1.3 record's header, type and tag.
const FRAME_BYTES: u64 = 4 + 5 + 1 + 16;
/// A TLS record carries at most this much.
const RECORD_BYTES: u64 = 16 * 1024;

/// What a message costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) bytes: u64,
    /// Signatures that a receiver verifies.
    pub(crate) signatures: u64,
}

/// The cost of `message` at `level`.
pub(crate) fn cost(message: &Message, level: SecurityLevel) -> Cost {
    let signatures = match message {
        Message::Proposal(..) | Message::Vote(_) => 1,
        Message::Answer(answer) => answer.votes.len() + answer.headers.len(),
        Message::FinalChain(chain) => chain.blocks.len() + chain.certificate.votes.len(),
        _ => 0,
    } as u64;
    let longer = level.signature_algorithm().signature_len() - SignatureAlgorithm::Ed25519.signature_len();
    let payload = message.to_bytes().len() as u64 + signatures * longer as u64;
    let records = payload.div_ceil(RECORD_BYTES).max(1);
    Cost { bytes: payload + FRAME_BYTES + (records - 1) * (FRAME_BYTES - 4), signatures }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::types::{Epoch, View};

    #[test]
    fn a_hint_has_no_signature_and_a_frame() {
        let cost = cost(&Message::Hint(Epoch::ZERO, View::new(1)), SecurityLevel::Level768);
        assert_eq!(cost, Cost { bytes: 17 + FRAME_BYTES, signatures: 0 });
    }
}
