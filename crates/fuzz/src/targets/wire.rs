//! Every wire and storage type: what decodes encodes to the same bytes, and nothing else does.

use consensus::body::Body;
use consensus::certificate::FinalityCertificate;
use consensus::config::EpochConfig;
use consensus::evidence::Evidence;
use consensus::genesis::Genesis;
use consensus::header::{Header, SignedHeader};
use consensus::message::Message;
use consensus::proof::ValueProof;
use consensus::records::FinalRecord;
use consensus::vote::Bundle;
use consensus::votes::Vote;
use consensus::{Decode, Encode};

use super::{golden, network, word};
use crate::Target;

/// First byte: the type; the rest: its bytes.
pub const TARGET: Target = Target { name: "wire", seeds, run, longest: 1 << 16 };

/// Reads bytes as one type, and says in a word what became of it.
type Read = fn(&[u8]) -> String;

/// The types, with the golden vectors that are theirs.
const TYPES: &[(&str, Read)] = &[
    ("message", canonical::<Message>),
    ("vote", canonical::<Vote>),
    ("bundle", canonical::<Bundle>),
    ("header", canonical::<SignedHeader>),
    ("header", canonical::<Header>),
    ("final_record", canonical::<FinalRecord>),
    ("evidence", canonical::<Evidence>),
    ("proof", canonical::<ValueProof>),
    ("genesis", canonical::<Genesis>),
    ("config", canonical::<EpochConfig>),
    ("none", canonical::<FinalityCertificate>),
    ("none", body),
];

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (at, (name, _)) in TYPES.iter().enumerate() {
        for bytes in golden(name) {
            seeds.push([&[at as u8], bytes.as_slice()].concat());
        }
    }
    seeds
}

fn run(input: &[u8]) -> String {
    let Some((first, bytes)) = input.split_first() else { return String::new() };
    let at = usize::from(*first) % TYPES.len();
    format!("{at} {}", TYPES[at].1(bytes))
}

fn canonical<T: Decode + Encode>(bytes: &[u8]) -> String {
    match T::from_bytes(bytes) {
        Ok(value) => {
            assert!(value.to_bytes() == bytes, "what was read is written otherwise");
            "ok".to_owned()
        }
        Err(error) => word("", &error),
    }
}

fn body(bytes: &[u8]) -> String {
    match Body::decode(bytes.to_vec().into(), &network().genesis.chain_id()) {
        Ok(body) => {
            assert!(body.encoded() == bytes, "a body keeps its bytes");
            "ok".to_owned()
        }
        Err(error) => word("", &error),
    }
}
