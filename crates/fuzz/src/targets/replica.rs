//! A live engine that is told one message after the other, every signature made good: the code behind verification.

use std::sync::Arc;

use consensus::epoch::EpochContext;
use consensus::evidence::EvidenceKind;
use consensus::header::HEADER_TAG;
use consensus::message::Message;
use consensus::replica::{Settings, SignRequest};
use consensus::types::{Timestamp, ValidatorIndex};
use consensus::verify::Verifier;
use consensus::vote::{BUNDLE_TAG, Statement};
use consensus::{Decode as _, Encode as _};
use engine::mempool::MempoolLimits;
use engine::{AcceptAll, AnyKey, Effect, Engine, EngineConfig, Input};

use super::{Network, golden, network};
use crate::Target;

/// Messages, each with one byte for the sender and the time that passes, and two for its length.
pub const TARGET: Target = Target { name: "replica", seeds, run, longest: 1 << 15 };

/// The validator that listens.
const ME: u16 = 0;
/// Steps of effects after which it is taken for one that spins.
const MAX_STEPS: usize = 100_000;

fn seeds() -> Vec<Vec<u8>> {
    // The golden messages are of another chain: the header's and bundle's chain id is put right by `heal`.
    let framed = |from: u8, bytes: &[u8]| [&[from], (bytes.len() as u16).to_be_bytes().as_slice(), bytes].concat();
    let messages = golden("message");
    let mut seeds: Vec<Vec<u8>> = messages.iter().flat_map(|bytes| (1..4).map(|from| framed(from, bytes))).collect();
    seeds.push(messages.iter().zip((1..4).cycle()).flat_map(|(bytes, from)| framed(from, bytes)).collect());
    seeds
}

struct Listener {
    network: &'static Network,
    engine: Engine,
    now: Timestamp,
    said: Vec<Statement>,
}

impl Listener {
    fn new() -> Self {
        let network = network();
        let genesis = &network.genesis;
        let setup = EngineConfig {
            genesis: Arc::new(EpochContext::of_genesis(genesis)),
            name: genesis.config.members.first().map(|member| member.name.clone()),
            keys: Arc::new(AnyKey),
            settings: Settings::default(),
            max_batch_size: 8,
            mempool: MempoolLimits::default(),
            adaptive_forwarding: false,
            application: Arc::new(AcceptAll),
        };
        let mut listener = Self { network, engine: Engine::new(&setup), now: genesis.created, said: Vec::new() };
        let mut effects = Vec::new();
        listener.engine.start(listener.now, &mut effects);
        listener.follow(effects);
        for peer in 1..4 {
            listener.give(Input::LinkUp(ValidatorIndex::new(peer)));
        }
        listener
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.engine.handle(self.now, input, &mut effects);
        self.follow(effects);
    }

    fn follow(&mut self, effects: Vec<Effect>) {
        let mut queue = std::collections::VecDeque::from(effects);
        for step in 0.. {
            assert!(step < MAX_STEPS, "the engine spins");
            let Some(effect) = queue.pop_front() else { break };
            let mut more = Vec::new();
            match effect {
                Effect::Sign { ticket, request, .. } => {
                    let key = &self.network.keys[usize::from(ME)];
                    let (tag, bytes) = match &request {
                        SignRequest::Header(header) => (HEADER_TAG, header.to_bytes()),
                        SignRequest::Votes(body) => (BUNDLE_TAG, body.to_bytes()),
                    };
                    if let Ok(signature) = key.sign(tag, &bytes) {
                        self.engine.handle(self.now, Input::Signed { ticket, signature }, &mut more);
                    }
                }
                Effect::Persist { ticket, .. } => self.engine.handle(self.now, Input::Persisted { ticket }, &mut more),
                Effect::Send { message, .. } => self.sent(&message),
                Effect::Evidence(evidence) => {
                    assert!(evidence.accused().get() != ME, "an honest validator is accused");
                }
                _ => {}
            }
            queue.extend(more);
        }
    }

    /// Nothing it says contradicts what it said.
    fn sent(&mut self, message: &Message) {
        let statements = match message {
            Message::Proposal(header, _) => vec![Statement::Notarize(header.header().view, header.hash())],
            Message::Vote(bundle) => bundle.statements().to_vec(),
            _ => return,
        };
        for statement in statements {
            assert!(
                self.said.iter().all(|earlier| EvidenceKind::of(earlier, &statement).is_none()),
                "it contradicts itself"
            );
            self.said.push(statement);
        }
    }
}

fn run(input: &[u8]) -> String {
    let mut listener = Listener::new();
    let network = listener.network;
    let verifier = Verifier::new(Arc::clone(&network.genesis.config), network.genesis.chain_id());
    let (mut rest, mut taken) = (input, 0_u32);
    let mut names = String::new();
    while let [head, high, low, bytes @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(bytes.len());
        let (bytes, after) = bytes.split_at(len);
        rest = after;
        let from = ValidatorIndex::new(1 + u16::from(*head) % 3);
        listener.now = listener.now.after_ms(u64::from(*head >> 2) * 5);
        if let Ok(message) = Message::from_bytes(bytes) {
            let name = message.name();
            if let Ok(content) = verifier.verify(from, network.signed(network.healed(message, from))) {
                listener.give(Input::Message { from, content });
                names.push_str(&name[..2]);
                taken += 1;
            }
        }
        listener.give(Input::Tick);
        if taken > 24 {
            break;
        }
    }
    let status = listener.engine.status();
    names.truncate(24);
    format!("{names} {} {} {}", status.view, status.last_final.height, listener.said.len())
}

impl Network {
    /// Puts chain, epoch and sender right, so that what a mutation changed elsewhere is looked at.
    fn healed(&self, message: Message, from: ValidatorIndex) -> Message {
        let chain_id = self.genesis.chain_id();
        let config = &self.genesis.config;
        let header = |signed: consensus::header::SignedHeader| {
            let mut header = signed.header().clone();
            header.chain_id = chain_id;
            header.epoch = config.epoch;
            header.leader = config.leader(header.view);
            header.threshold = config.quorum.q_min() as u16;
            if header.parent_view == consensus::types::View::ZERO {
                header.parent_hash = chain_id;
            }
            consensus::header::SignedHeader::new(header, Vec::new())
        };
        let bundle = |bundle: consensus::vote::Bundle, signer: ValidatorIndex| {
            let statements = bundle.statements().to_vec();
            match consensus::vote::BundleBody::new(chain_id, config.epoch, signer, statements) {
                Some(body) => consensus::vote::Bundle::new(body, Vec::new()),
                None => bundle,
            }
        };
        match message {
            Message::Proposal(signed, body) => Message::Proposal(header(signed), body),
            Message::Vote(vote) => Message::Vote(bundle(vote, from)),
            Message::Answer(mut answer) => {
                answer.headers = answer.headers.into_iter().map(header).collect();
                answer.votes = answer
                    .votes
                    .into_iter()
                    .map(|vote| match vote {
                        consensus::votes::Vote::Header(signed) => {
                            consensus::votes::Vote::Header(Arc::new(header(signed.as_ref().clone())))
                        }
                        consensus::votes::Vote::Bundle(vote) => {
                            // Peers only: nobody has this validator's key.
                            let signer = ValidatorIndex::new(1 + vote.signer().get() % 3);
                            consensus::votes::Vote::Bundle(Arc::new(bundle(vote.as_ref().clone(), signer)))
                        }
                    })
                    .collect();
                Message::Answer(answer)
            }
            other => other,
        }
    }
}
