//! Durable records: what the protocol writes, as tables, keys and values of a byte store.
//!
//! | table | key | value |
//! |---|---|---|
//! | `votes` | highest view ‖ signer ‖ 16 bytes of the vote's hash | vote |
//! | `headers` | view ‖ block hash | signed header |
//! | `bodies` | view ‖ block hash | encoded body |
//! | `finals` | height | final record |

use std::sync::Arc;

use crypto::{Digest, HashAlgorithm};

use crate::body::Body;
use crate::bounds::MAX_PATH_HEADERS;
use crate::certificate::FinalityCertificate;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::header::{Header, SignedHeader};
use crate::types::{Height, View};
use crate::votes::Vote;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Votes of mine, and the votes of certificates that something of mine rests on (D1, D3).
    Votes,
    /// Signed headers (D2).
    Headers,
    /// Encoded bodies (D2).
    Bodies,
    /// Final blocks by height, with their proofs (D4).
    Finals,
    /// Proposal ids of final blocks; the engine's.
    Ids,
    /// Proposals accepted from clients and not yet final; the engine's.
    Pending,
    /// Evidence; the engine's.
    Evidence,
    /// Expired proposals by the height that they expired with, so that they can be forgotten; the engine's.
    Expiries,
    /// Single facts about the store; the engine's.
    Meta,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Votes,
        Self::Headers,
        Self::Bodies,
        Self::Finals,
        Self::Ids,
        Self::Pending,
        Self::Evidence,
        Self::Expiries,
        Self::Meta,
    ];

    /// The table's name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::Headers => "headers",
            Self::Bodies => "bodies",
            Self::Finals => "finals",
            Self::Ids => "ids",
            Self::Pending => "pending",
            Self::Evidence => "evidence",
            Self::Expiries => "expiries",
            Self::Meta => "meta",
        }
    }
}

/// A key and its value, or its removal, in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// Reads records back. A node and the simulator implement it over their stores.
pub trait RecordReader {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RecordError>;

    /// Up to `limit` records from `from` on, below `to` if given, in the order of their keys.
    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<KeyValues, RecordError>;

    /// The record with the greatest key.
    fn last(&self, table: Table) -> Result<Option<KeyValue>, RecordError>;
}

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);
/// Keys and values in order.
pub type KeyValues = Vec<KeyValue>;

/// Why the store cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The store itself failed.
    #[error("{0}")]
    Store(String),
    /// A record is there but is not what it should be.
    #[error(
        "the store is damaged: table {table} holds a record that cannot be ({reason}). Do not start this validator on it again: bring it \
         back as a new validator, or, if an intact copy of the disk as it was at the last stop exists, restore that"
    )]
    Damaged {
        /// Table of the record.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl RecordError {
    /// A damaged record in `table`.
    pub fn damaged(table: Table, reason: impl ToString) -> Self {
        Self::Damaged { table: table.name(), reason: reason.to_string() }
    }
}

/// The key of a vote record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoteKey(Vec<u8>);

impl VoteKey {
    /// The key of `vote`.
    pub fn of(vote: &Vote) -> Self {
        let mut out = Writer::with_capacity(26);
        out.u64(vote.highest_view().get());
        out.u16(vote.signer().get());
        let digest = HashAlgorithm::Sha256.hash("agent-mesh/vote-key/v1", &[&vote.to_bytes()]);
        out.raw(&digest.as_bytes()[..16]);
        Self(out.into_bytes())
    }
}

/// The key of a block in `headers` and `bodies`.
pub fn block_key(view: View, hash: &Digest) -> Vec<u8> {
    let mut out = Writer::with_capacity(56);
    out.u64(view.get());
    out.raw(hash.as_bytes());
    out.into_bytes()
}

/// The key of a height in `finals`.
pub fn height_key(height: Height) -> Vec<u8> {
    height.get().to_be_bytes().to_vec()
}

/// Where the proof of a final block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofPlace {
    /// Here: headers down to the block that the votes name, and the votes.
    Here(Vec<Header>, FinalityCertificate),
    /// In the record of this later height.
    At(Height),
}

/// A final block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalRecord {
    /// Its height.
    pub height: Height,
    /// Its view.
    pub view: View,
    /// Its hash.
    pub hash: Digest,
    /// Where its proof is.
    pub proof: ProofPlace,
}

impl Encode for FinalRecord {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.height.get());
        out.u64(self.view.get());
        out.digest(&self.hash);
        match &self.proof {
            ProofPlace::Here(descendants, certificate) => {
                out.u8(1);
                out.count(descendants.len());
                descendants.iter().for_each(|header| header.encode(out));
                certificate.encode(out);
            }
            ProofPlace::At(height) => {
                out.u8(2);
                out.u64(height.get());
            }
        }
    }
}

impl Decode for FinalRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            height: input.height()?,
            view: input.view()?,
            hash: input.digest("block hash")?,
            proof: match input.u8("proof place")? {
                1 => ProofPlace::Here(
                    input.list(MAX_PATH_HEADERS, "descendants", Header::decode)?,
                    FinalityCertificate::decode(input)?,
                ),
                2 => ProofPlace::At(input.height()?),
                _ => return Err(DecodeError::Invalid("proof place")),
            },
        })
    }
}

/// One durable write of the replica.
#[derive(Clone, Debug)]
pub enum Write {
    /// A vote, mine or of a certificate.
    Vote(Vote),
    /// A header.
    Header(Arc<SignedHeader>),
    /// A body of the block with this view and hash.
    Body(View, Digest, Arc<Body>),
    /// A final block.
    Final(FinalRecord),
    /// A vote that nothing rests on any more.
    DropVote(VoteKey),
    /// A block that did not become final.
    DropBlock(View, Digest),
    /// A record of the engine, or a removal.
    Raw(Record),
}

impl Write {
    /// The records that this write stands for.
    pub fn into_records(self) -> Vec<Record> {
        let put = |table, key, value| vec![Record { table, key, value: Some(value) }];
        match self {
            Self::Vote(vote) => put(Table::Votes, VoteKey::of(&vote).0, vote.to_bytes()),
            Self::Header(header) => {
                put(Table::Headers, block_key(header.header().view, &header.hash()), header.to_bytes())
            }
            Self::Body(view, hash, body) => put(Table::Bodies, block_key(view, &hash), body.encoded().to_vec()),
            Self::Final(record) => put(Table::Finals, height_key(record.height), record.to_bytes()),
            Self::DropVote(key) => vec![Record { table: Table::Votes, key: key.0, value: None }],
            Self::DropBlock(view, hash) => [Table::Headers, Table::Bodies]
                .map(|table| Record { table, key: block_key(view, &hash), value: None })
                .into(),
            Self::Raw(record) => vec![record],
        }
    }
}

/// What a replica finds in its store at start.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// The last committed block with its record.
    pub last: Option<(FinalRecord, Arc<SignedHeader>)>,
    /// Votes above it.
    pub votes: Vec<Vote>,
    /// Headers above it, with bodies where held.
    pub blocks: Vec<(Arc<SignedHeader>, Option<Arc<Body>>)>,
}

impl Durable {
    /// Reads everything that the replica needs; whatever cannot be what it should is an error, never a guess.
    pub fn load(reader: &dyn RecordReader, chain_id: &Digest) -> Result<Self, RecordError> {
        let mut durable = Self::default();
        let mut above = View::ZERO;
        if let Some((key, value)) = reader.last(Table::Finals)? {
            let record = decode::<FinalRecord>(Table::Finals, &value)?;
            if key != height_key(record.height) {
                return Err(RecordError::damaged(Table::Finals, "key and height differ"));
            }
            let header = load_header(reader, record.view, &record.hash)?;
            above = record.view;
            durable.last = Some((record, header));
        }
        for (_, value) in scan_all(reader, Table::Votes)? {
            durable.votes.push(decode(Table::Votes, &value)?);
        }
        let from = block_key(above.next(), &Digest::from_slice(&[0; 32]).unwrap_or(*chain_id));
        let mut start = from[..8].to_vec();
        loop {
            let page = reader.scan(Table::Headers, &start, None, 256)?;
            for (key, value) in &page {
                let header: SignedHeader = decode(Table::Headers, value)?;
                let hash = header.hash();
                if *key != block_key(header.header().view, &hash) {
                    return Err(RecordError::damaged(Table::Headers, "key and header differ"));
                }
                let body = load_body(reader, &header, chain_id)?;
                durable.blocks.push((Arc::new(header), body));
            }
            let Some((key, _)) = page.last().filter(|_| page.len() == 256) else { break };
            start.clone_from(key);
            start.push(0);
        }
        Ok(durable)
    }
}

fn scan_all(reader: &dyn RecordReader, table: Table) -> Result<KeyValues, RecordError> {
    let mut all = Vec::new();
    let mut start = Vec::new();
    loop {
        let page = reader.scan(table, &start, None, 1_024)?;
        let full = page.len() == 1_024;
        all.extend(page);
        let Some((key, _)) = all.last().filter(|_| full) else { return Ok(all) };
        start.clone_from(key);
        start.push(0);
    }
}

/// Decodes a record's value; a failure means a damaged store.
pub fn decode<T: Decode>(table: Table, value: &[u8]) -> Result<T, RecordError> {
    T::from_bytes(value).map_err(|error| RecordError::damaged(table, error))
}

/// The header of a block that must be there.
pub fn load_header(reader: &dyn RecordReader, view: View, hash: &Digest) -> Result<Arc<SignedHeader>, RecordError> {
    let value = reader
        .get(Table::Headers, &block_key(view, hash))?
        .ok_or_else(|| RecordError::damaged(Table::Headers, format!("the header of view {view} is missing")))?;
    let header: SignedHeader = decode(Table::Headers, &value)?;
    if header.hash() != *hash {
        return Err(RecordError::damaged(Table::Headers, format!("the header of view {view} has another hash")));
    }
    Ok(Arc::new(header))
}

/// The body of a block, if held; it must be the one that the header names.
pub fn load_body(
    reader: &dyn RecordReader,
    header: &SignedHeader,
    chain_id: &Digest,
) -> Result<Option<Arc<Body>>, RecordError> {
    let key = block_key(header.header().view, &header.hash());
    let Some(value) = reader.get(Table::Bodies, &key)? else { return Ok(None) };
    let body = Body::decode(value.into(), chain_id).map_err(|error| RecordError::damaged(Table::Bodies, error))?;
    if body.root() != header.header().payload_root {
        return Err(RecordError::damaged(Table::Bodies, "a body does not match its header"));
    }
    Ok(Some(Arc::new(body)))
}

/// A final block by height.
pub fn load_final(reader: &dyn RecordReader, height: Height) -> Result<Option<FinalRecord>, RecordError> {
    let Some(value) = reader.get(Table::Finals, &height_key(height))? else { return Ok(None) };
    let record: FinalRecord = decode(Table::Finals, &value)?;
    if record.height != height {
        return Err(RecordError::damaged(Table::Finals, "key and height differ"));
    }
    Ok(Some(record))
}
