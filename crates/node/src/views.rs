//! JSON as callers see it (docs/api.md): results, blocks, status, validators, evidence.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use consensus::genesis::Genesis;
use consensus::link::EpochChain;
use consensus::proof::{ProofError, ProvenValue, ValueProof};
use consensus::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Where a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits, whatever the local clock says.
    Pending,
    /// It is in the log for good.
    Final,
    /// A final block is dated after its deadline and it is not in the log up to there.
    Expired,
    /// It was not taken.
    Refused,
}

/// Durations of the guide's three phases, in milliseconds. The node's word: no proof covers them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// From arrival to durable admission.
    pub verification: f64,
    /// From admission until the block with it was seen here.
    pub optimization: f64,
    /// From then until it was final and durable here.
    pub consensus: f64,
    /// All of it.
    pub total: f64,
}

/// The result of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultView {
    /// The proposal's id, hex.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// The value, if it is UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_b64: Option<String>,
    /// Height of its block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Its place in the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The block's hash, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<String>,
    /// The block's epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The block's view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<u64>,
    /// Name of the validator that proposed the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The block's finality threshold q_v, in votes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u16>,
    /// `fast` or `slow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Height of the block that the certificate names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized_by_height: Option<u64>,
    /// Validators in the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// How many Byzantine validators the finality withstands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<u32>,
    /// Durations, the node's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases_ms: Option<Phases>,
    /// The proof's canonical bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_b64: Option<String>,
}

/// Why a result is not what it says.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is nothing to verify.
    #[error("the result is {0:?}: only a final result has a proof")]
    NotFinal(State),
    /// No proof.
    #[error("the result has no proof_b64")]
    NoProof,
    /// Not base64.
    #[error("proof_b64 is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The proof does not hold in the genesis' network.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A field differs from what the proof shows.
    #[error("the field {field} is {found}, but the proof shows {proven}")]
    Field {
        /// The field.
        field: &'static str,
        /// What the result says.
        found: String,
        /// What the proof shows.
        proven: String,
    },
}

impl ResultView {
    /// A result without a block yet, or ever.
    pub fn without_block(id: String, state: State) -> Self {
        Self {
            id,
            state,
            value: None,
            value_b64: None,
            height: None,
            index: None,
            block_hash: None,
            epoch: None,
            view: None,
            leader: None,
            threshold: None,
            path: None,
            finalized_by_height: None,
            weight: None,
            strength: None,
            phases_ms: None,
            proof_b64: None,
        }
    }

    /// The result that a proof shows.
    pub fn proven(proven: &ProvenValue, proof: &ValueProof, phases_ms: Option<Phases>) -> Self {
        let (value, value_b64) = match std::str::from_utf8(&proven.proposal.value) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64.encode(&proven.proposal.value))),
        };
        Self {
            id: proven.id.to_string(),
            state: State::Final,
            value,
            value_b64,
            height: Some(proven.height.get()),
            index: Some(proven.index),
            block_hash: Some(proven.block_hash.to_string()),
            epoch: Some(proven.epoch.get()),
            view: Some(proven.view.get()),
            leader: Some(proven.leader_name.clone()),
            threshold: Some(proven.threshold),
            path: Some(proven.path.name().to_owned()),
            finalized_by_height: Some(proven.finalized_by_height.get()),
            weight: Some(proven.weight),
            strength: Some(proven.strength),
            phases_ms,
            proof_b64: Some(BASE64.encode(proof.to_bytes())),
        }
    }

    /// Recomputes every field but `phases_ms` from proof and genesis, and fails on any difference.
    pub fn verify(&self, genesis: &Genesis) -> Result<ProvenValue, VerifyError> {
        self.verify_with(&mut EpochChain::new(genesis))
    }

    /// Like [`Self::verify`] with the epochs known from results verified before, of one network.
    pub fn verify_with(&self, chain: &mut EpochChain) -> Result<ProvenValue, VerifyError> {
        if self.state != State::Final {
            return Err(VerifyError::NotFinal(self.state));
        }
        let bytes = BASE64.decode(self.proof_b64.as_ref().ok_or(VerifyError::NoProof)?)?;
        let proof = ValueProof::from_bytes(&bytes).map_err(ProofError::from)?;
        let proven = proof.verify_with(chain)?;
        let shown = Self::proven(&proven, &proof, self.phases_ms);
        let (said, shows) = (fields(self), fields(&shown));
        for ((field, found), (_, proven)) in said.into_iter().zip(shows) {
            if found != proven {
                return Err(VerifyError::Field { field, found, proven });
            }
        }
        Ok(proven)
    }
}

fn fields(view: &ResultView) -> Vec<(&'static str, String)> {
    fn show<T: Serialize>(value: &T) -> String {
        serde_json::to_string(value).unwrap_or_default()
    }
    vec![
        ("id", show(&view.id)),
        ("value", show(&view.value)),
        ("value_b64", show(&view.value_b64)),
        ("height", show(&view.height)),
        ("index", show(&view.index)),
        ("block_hash", show(&view.block_hash)),
        ("epoch", show(&view.epoch)),
        ("view", show(&view.view)),
        ("leader", show(&view.leader)),
        ("threshold", show(&view.threshold)),
        ("path", show(&view.path)),
        ("finalized_by_height", show(&view.finalized_by_height)),
        ("weight", show(&view.weight)),
        ("strength", show(&view.strength)),
        ("proof_b64", show(&view.proof_b64)),
    ]
}

/// A final block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// Its height.
    pub height: u64,
    /// Its hash, hex.
    pub hash: String,
    /// Its parent's hash, hex.
    pub parent_hash: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its view.
    pub view: u64,
    /// Name of its leader.
    pub leader: String,
    /// Its time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// Its finality threshold, in votes.
    pub threshold: u16,
    /// `fast` or `slow`.
    pub path: String,
    /// Height of the block that the certificate names.
    pub finalized_by_height: u64,
    /// Validators in the certificate that made it final: the least number that does, as stored.
    pub weight: u32,
    /// Indices of the validators whose vote in its view this node saw; absent for old blocks and those before the node's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<Vec<u16>>,
    /// Number of values.
    pub count: usize,
    /// The values, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<ValueView>>,
}

/// A value of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueView {
    /// The proposal's id, hex.
    pub id: String,
    /// The value, if it is UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_b64: Option<String>,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Version of the program.
    pub version: String,
    /// The network's name.
    pub network: String,
    /// The chain id, hex.
    pub chain_id: String,
    /// This validator's name.
    pub name: String,
    /// This validator's index.
    pub index: u16,
    /// Lattice dimension of the network; 0 is the classical comparison.
    pub level: u32,
    /// Epoch.
    pub epoch: u64,
    /// When the epoch began: the time of the block that it stands on, microseconds since the Unix epoch.
    pub epoch_began_us: u64,
    /// From then on the next block closes the epoch.
    pub epoch_ends_us: u64,
    /// Epochs since this validator's session key came into use; 0 is a key renewed for this epoch.
    pub key_age_epochs: u64,
    /// This home lacks the session key that the network names for it: the node watches and does not vote.
    pub observes: bool,
    /// Current view.
    pub view: u64,
    /// Last final block's height.
    pub height: u64,
    /// Its hash, hex.
    pub block_hash: String,
    /// Its time, microseconds since the Unix epoch.
    pub block_time_us: u64,
    /// Microseconds since the last block became final here; absent before the first since the start.
    pub since_final_us: Option<u64>,
    /// Quorum numbers.
    pub quorum: QuorumView,
    /// Proposals waiting here.
    pub mempool: usize,
    /// Of these, from this node's clients.
    pub own_proposals: usize,
    /// Peers connected.
    pub peers_connected: usize,
    /// Peers in all.
    pub peers: usize,
    /// The view timer, in microseconds.
    pub view_timer_us: u64,
    /// Validators proven faulty.
    pub accused: usize,
    /// The node's clock, microseconds since the Unix epoch.
    #[serde(default)]
    pub now_us: u64,
    /// How this node catches up with the others.
    pub catch_up: CatchUpView,
}

/// How a node catches up with the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUpView {
    /// Final blocks that at least one honest peer says it holds and this node lacks; 0 in step with the network.
    pub lag: u64,
    /// Peers that can serve some of them.
    pub peers: usize,
    /// Pieces asked for.
    pub asked: usize,
    /// Pieces that are here, verified, and wait for one below them.
    pub waiting: usize,
    /// Pieces that had to be asked of another peer.
    pub reassigned: u64,
}

/// Quorum numbers, in votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumView {
    /// Validators.
    pub n: u32,
    /// Byzantine validators tolerated.
    pub f: u32,
    /// Crashed validators tolerated on top.
    pub c: u32,
    /// Least finality threshold.
    pub q_min: u32,
    /// Greatest finality threshold.
    pub q_max: u32,
    /// One-round quorum.
    pub q_fast: u32,
}

impl QuorumView {
    /// The numbers as flat integers.
    pub const fn of(q: &consensus::params::QuorumParams) -> Self {
        Self { n: q.n(), f: q.f(), c: q.c(), q_min: q.q_min(), q_max: q.q_max(), q_fast: q.q_fast() }
    }
}

/// A validator as this node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidatorView {
    /// Its index.
    pub index: u16,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its session key: algorithm and base64.
    pub session_key: String,
    /// The epoch since which the session key is in use.
    pub key_since_epoch: u64,
    /// Epochs since then.
    pub key_age_epochs: u64,
    /// It did not renew its key for this epoch.
    pub key_flagged: bool,
    /// It has not renewed its key for too long: its votes do not count until it does.
    pub key_overdue: bool,
    /// Whether it is this node.
    pub this_node: bool,
    /// Whether its link is up.
    pub connected: bool,
    /// Negotiated key-exchange group of the link.
    pub group: Option<String>,
    /// Smoothed round trip, in microseconds.
    pub rtt_us: Option<u64>,
    /// Bytes sent to it.
    pub bytes_sent: u64,
    /// Bytes received from it.
    pub bytes_received: u64,
    /// Frames dropped because its queue was full or they were stale.
    pub dropped_frames: u64,
    /// Whether evidence against it is held.
    pub accused: bool,
    /// The highest view of which this node saw a vote of it since the start.
    pub last_vote_view: Option<u64>,
    /// When that vote came, microseconds since the Unix epoch.
    pub last_vote_us: Option<u64>,
    /// Its vote messages that came after everything in them was final here, since the start.
    pub votes_late: u64,
    /// Final blocks without a vote of it by the time 16 further blocks were final, since the start.
    pub votes_missing: u64,
    /// Share of its messages that verified in the last five minutes; 1 without messages.
    pub verification_rate: f64,
}

/// Evidence against a validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// Index of the accused.
    pub accused: u16,
    /// Its name.
    pub name: String,
    /// What is proven.
    pub kind: String,
    /// In which view.
    pub view: u64,
    /// The evidence's canonical bytes.
    pub evidence_b64: String,
}

/// An answer of a health endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthView {
    /// Whether it is well.
    pub healthy: bool,
    /// Works, but not as it should in production (the classical comparison).
    pub degraded: bool,
    /// Why, in words.
    pub reason: String,
    /// Figures behind it.
    pub details: serde_json::Value,
}
