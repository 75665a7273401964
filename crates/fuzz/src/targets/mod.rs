//! The targets, one file each, and what they share: a network whose keys are known, and the golden vectors as seeds.

pub mod config;
pub mod evidence;
pub mod genesis;
pub mod http;
pub mod keyfile;
pub mod proof;
pub mod public_file;
pub mod replica;
pub mod store;
pub mod verify;
pub mod wire;

use std::path::Path;
use std::sync::OnceLock;

use consensus::Encode as _;
use consensus::genesis::Genesis;
use consensus::header::{HEADER_TAG, SignedHeader};
use consensus::message::Message;
use consensus::vote::{BUNDLE_TAG, Bundle};
use consensus::votes::Vote;
use crypto::SigningKey;

/// A network of four whose session keys are known.
pub(crate) struct Network {
    pub(crate) genesis: Genesis,
    keys: Vec<SigningKey>,
}

/// The network that all targets share. A failure to make it would be the simulator's, and shows as a panic of every target.
pub(crate) fn network() -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| match sim::network(&sim::Scenario { validators: 4, ..sim::Scenario::default() }) {
        Ok((genesis, keys)) => Network { genesis, keys: keys.iter().map(sim::keys::Keys::present).collect() },
        Err(error) => panic!("no network: {error}"),
    })
}

/// The golden vectors of `consensus` whose name begins with `prefix`.
pub(crate) fn golden(prefix: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consensus/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let named = files.iter().filter(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".hex")
    });
    let text = named.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    text.filter_map(|text| hex::decode(text.split_whitespace().collect::<String>()).ok()).collect()
}

/// Files of docs/vectors whose name begins with `prefix`.
pub(crate) fn vectors(prefix: &str, end: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors");
    let mut files: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let named = files.iter().filter(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(end)
    });
    named.filter_map(|file| std::fs::read(file.path()).ok()).collect()
}

impl Network {
    fn header(&self, header: SignedHeader) -> SignedHeader {
        let Some(key) = self.keys.get(header.header().leader.as_usize()) else { return header };
        match key.sign(HEADER_TAG, &header.header().to_bytes()) {
            Ok(signature) => SignedHeader::new(header.header().clone(), signature),
            Err(_) => header,
        }
    }

    fn bundle(&self, bundle: Bundle) -> Bundle {
        let Some(key) = self.keys.get(bundle.signer().as_usize()) else { return bundle };
        match key.sign(BUNDLE_TAG, &bundle.body().to_bytes()) {
            Ok(signature) => Bundle::new(bundle.body().clone(), signature),
            Err(_) => bundle,
        }
    }

    fn vote(&self, vote: Vote) -> Vote {
        match vote {
            Vote::Header(header) => Vote::Header(self.header(header.as_ref().clone()).into()),
            Vote::Bundle(bundle) => Vote::Bundle(self.bundle(bundle.as_ref().clone()).into()),
        }
    }

    /// The same message with every signature made anew: what a mutation leaves of it gets past the first check.
    pub(crate) fn signed(&self, message: Message) -> Message {
        match message {
            Message::Proposal(header, body) => Message::Proposal(self.header(header), body),
            Message::Vote(bundle) => Message::Vote(self.bundle(bundle)),
            Message::Answer(mut answer) => {
                answer.votes = answer.votes.into_iter().map(|vote| self.vote(vote)).collect();
                answer.headers = answer.headers.into_iter().map(|header| self.header(header)).collect();
                Message::Answer(answer)
            }
            Message::FinalChain(mut chain) => {
                chain.blocks = chain.blocks.into_iter().map(|(header, body)| (self.header(header), body)).collect();
                let votes = std::mem::take(&mut chain.certificate.votes);
                chain.certificate.votes = votes.into_iter().map(|vote| self.vote(vote)).collect();
                Message::FinalChain(chain)
            }
            other => other,
        }
    }
}

/// The beginning of an error's text without its numbers: a word that tells kinds of failure apart.
pub(crate) fn word(prefix: &str, error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut word = prefix.to_owned();
    word.extend(text.chars().filter(|c| !c.is_ascii_digit()).take(60));
    word
}
