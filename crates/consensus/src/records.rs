//! Durable records: what the protocol writes, as tables, keys and values of a byte store.
//!
//! | table | key | value |
//! |---|---|---|
//! | `votes` | epoch ‖ highest view ‖ signer ‖ 16 bytes of the vote's hash | vote |
//! | `headers` | epoch ‖ view ‖ block hash | signed header |
//! | `bodies` | epoch ‖ view ‖ block hash | encoded body |
//! | `finals` | height | final record |
//! | `hashes` | height | block hash |
//! | `epochs` | epoch that is closed | epoch record |
//! | `gathered` | 0 | what the present epoch's chain has gathered; 1 ‖ height: the system transactions of a block |

use std::sync::Arc;

use crypto::{Digest, HashAlgorithm};

use crate::body::Body;
use crate::bounds::{MAX_PATH_HEADERS, MAX_SYSTEM_TXS};
use crate::certificate::FinalityCertificate;
use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::epoch::{EpochContext, Gathered};
use crate::header::{Header, SignedHeader};
use crate::link::EpochLink;
use crate::system::SystemTx;
use crate::types::{Epoch, Height, View};
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
    /// Hashes of final blocks by height: the leaves under the closing blocks' roots.
    Hashes,
    /// Closed epochs, with the proof of their end and the epoch that follows.
    Epochs,
    /// What the chain of the present epoch has gathered.
    Gathered,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Votes,
        Self::Headers,
        Self::Bodies,
        Self::Finals,
        Self::Ids,
        Self::Pending,
        Self::Evidence,
        Self::Hashes,
        Self::Epochs,
        Self::Gathered,
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
            Self::Hashes => "hashes",
            Self::Epochs => "epochs",
            Self::Gathered => "gathered",
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
        let mut out = Writer::with_capacity(34);
        out.u64(vote.epoch().get());
        out.u64(vote.highest_view().get());
        out.u16(vote.signer().get());
        let digest = HashAlgorithm::Sha256.hash("agent-mesh/vote-key/v1", &[&vote.to_bytes()]);
        out.raw(&digest.as_bytes()[..16]);
        Self(out.into_bytes())
    }
}

/// The key of a block in `headers` and `bodies`.
pub fn block_key(epoch: Epoch, view: View, hash: &Digest) -> Vec<u8> {
    let mut out = Writer::with_capacity(64);
    out.u64(epoch.get());
    out.u64(view.get());
    out.raw(hash.as_bytes());
    out.into_bytes()
}

/// The key of a height in `finals` and `hashes`.
pub fn height_key(height: Height) -> Vec<u8> {
    height.get().to_be_bytes().to_vec()
}

/// The key of an epoch in `epochs`.
pub fn epoch_key(epoch: Epoch) -> Vec<u8> {
    epoch.get().to_be_bytes().to_vec()
}

/// The key of what the present epoch has gathered.
const GATHERED_KEY: [u8; 1] = [0];

fn system_key(height: Height) -> Vec<u8> {
    let mut key = vec![1];
    key.extend(height.get().to_be_bytes());
    key
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
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view.
    pub view: View,
    /// Its hash.
    pub hash: Digest,
    /// Where its proof is.
    pub proof: ProofPlace,
}

/// The end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// What proves it.
    pub link: EpochLink,
    /// The epoch that follows.
    pub next: EpochContext,
}

impl Encode for EpochRecord {
    fn encode(&self, out: &mut Writer) {
        self.link.encode(out);
        self.next.encode(out);
    }
}

impl Decode for EpochRecord {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { link: EpochLink::decode(input)?, next: EpochContext::decode(input)? })
    }
}

impl Encode for FinalRecord {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.height.get());
        out.u64(self.epoch.get());
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
            epoch: input.epoch()?,
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
    /// A body of the block with this epoch, view and hash.
    Body(Epoch, View, Digest, Arc<Body>),
    /// A final block.
    Final(FinalRecord),
    /// A vote that nothing rests on any more.
    DropVote(VoteKey),
    /// A block that did not become final.
    DropBlock(Epoch, View, Digest),
    /// What the present epoch's chain has gathered up to the last committed block.
    Gathered(Epoch, Gathered),
    /// System transactions of a committed block of the present epoch.
    System(Height, Vec<Arc<SystemTx>>),
    /// The present epoch is over.
    Epoch(Box<EpochRecord>, Vec<Height>),
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
                let at = header.header();
                put(Table::Headers, block_key(at.epoch, at.view, &header.hash()), header.to_bytes())
            }
            Self::Body(epoch, view, hash, body) => {
                put(Table::Bodies, block_key(epoch, view, &hash), body.encoded().to_vec())
            }
            Self::Final(record) => vec![
                Record {
                    table: Table::Hashes,
                    key: height_key(record.height),
                    value: Some(record.hash.as_bytes().to_vec()),
                },
                Record { table: Table::Finals, key: height_key(record.height), value: Some(record.to_bytes()) },
            ],
            Self::DropVote(key) => vec![Record { table: Table::Votes, key: key.0, value: None }],
            Self::DropBlock(epoch, view, hash) => [Table::Headers, Table::Bodies]
                .map(|table| Record { table, key: block_key(epoch, view, &hash), value: None })
                .into(),
            Self::Gathered(epoch, gathered) => {
                let mut out = Writer::new();
                out.u64(epoch.get());
                gathered.encode(&mut out);
                put(Table::Gathered, GATHERED_KEY.to_vec(), out.into_bytes())
            }
            Self::System(height, txs) => {
                let mut out = Writer::new();
                out.count(txs.len());
                txs.iter().for_each(|tx| tx.encode(&mut out));
                put(Table::Gathered, system_key(height), out.into_bytes())
            }
            Self::Epoch(record, system) => {
                let key = epoch_key(record.link.closing.epoch);
                let mut records = put(Table::Epochs, key, record.to_bytes());
                let gone = std::iter::once(GATHERED_KEY.to_vec()).chain(system.into_iter().map(system_key));
                records.extend(gone.map(|key| Record { table: Table::Gathered, key, value: None }));
                records
            }
            Self::Raw(record) => vec![record],
        }
    }
}

/// What a replica finds in its store at start.
#[derive(Clone, Debug)]
pub struct Durable {
    /// The present epoch.
    pub context: Arc<EpochContext>,
    /// The last committed block of this epoch with its record.
    pub last: Option<(FinalRecord, Arc<SignedHeader>)>,
    /// Votes above it.
    pub votes: Vec<Vote>,
    /// Headers above it, with bodies where held.
    pub blocks: Vec<(Arc<SignedHeader>, Option<Arc<Body>>)>,
    /// What the epoch's chain has gathered up to the last committed block.
    pub gathered: Gathered,
    /// Heights of this epoch whose blocks hold system transactions.
    pub system_heights: Vec<Height>,
}

impl Durable {
    /// An empty store.
    pub fn empty(genesis: Arc<EpochContext>) -> Self {
        Self {
            context: genesis,
            last: None,
            votes: Vec::new(),
            blocks: Vec::new(),
            gathered: Gathered::default(),
            system_heights: Vec::new(),
        }
    }

    /// Reads everything that the replica needs; whatever cannot be what it should is an error, never a guess.
    pub fn load(reader: &dyn RecordReader, genesis: &Arc<EpochContext>) -> Result<Self, RecordError> {
        let mut durable = Self::empty(present(reader, genesis)?);
        let (epoch, chain_id) = (durable.context.epoch(), genesis.chain_id);
        let mut above = View::ZERO;
        if let Some((key, value)) = reader.last(Table::Finals)? {
            let record = decode::<FinalRecord>(Table::Finals, &value)?;
            if key != height_key(record.height) {
                return Err(RecordError::damaged(Table::Finals, "key and height differ"));
            }
            if record.epoch == epoch {
                let header = load_header(reader, record.epoch, record.view, &record.hash)?;
                above = record.view;
                durable.last = Some((record, header));
            } else if record.hash != durable.context.start.hash {
                return Err(RecordError::damaged(
                    Table::Finals,
                    "the last block is not the one on which the epoch stands",
                ));
            }
        }
        for (_, value) in scan_all(reader, Table::Votes)? {
            let vote: Vote = decode(Table::Votes, &value)?;
            if vote.epoch() == epoch {
                durable.votes.push(vote);
            }
        }
        durable.load_gathered(reader)?;
        let mut start = epoch.get().to_be_bytes().to_vec();
        start.extend(above.next().get().to_be_bytes());
        loop {
            let page = reader.scan(Table::Headers, &start, None, 256)?;
            for (key, value) in &page {
                let header: SignedHeader = decode(Table::Headers, value)?;
                let hash = header.hash();
                if *key != block_key(header.header().epoch, header.header().view, &hash) {
                    return Err(RecordError::damaged(Table::Headers, "key and header differ"));
                }
                let body = load_body(reader, &header, &chain_id)?;
                durable.blocks.push((Arc::new(header), body));
            }
            let Some((key, _)) = page.last().filter(|_| page.len() == 256) else { break };
            start.clone_from(key);
            start.push(0);
        }
        Ok(durable)
    }

    fn load_gathered(&mut self, reader: &dyn RecordReader) -> Result<(), RecordError> {
        let damaged = |why: &str| RecordError::damaged(Table::Gathered, why);
        let Some(value) = reader.get(Table::Gathered, &GATHERED_KEY)? else {
            return if self.last.is_some() { Err(damaged("it is missing")) } else { Ok(()) };
        };
        let mut input = Reader::new(&value);
        let read = input.epoch().and_then(|epoch| Ok((epoch, Gathered::decode_hashes(&mut input)?)));
        let (epoch, hashes) = read.map_err(|error| RecordError::damaged(Table::Gathered, error))?;
        let last = self.last.as_ref().map_or(self.context.start.height, |(record, _)| record.height);
        let expected = last.get().saturating_sub(self.context.start.height.get());
        if epoch != self.context.epoch() || hashes.count() != expected {
            return Err(damaged("it is not of the last committed block"));
        }
        let mut system = Vec::new();
        for (key, value) in scan_all(reader, Table::Gathered)?.into_iter().filter(|(key, _)| *key != GATHERED_KEY) {
            let height = key.get(1..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            self.system_heights.push(Height::new(height.ok_or_else(|| damaged("a key"))?));
            let mut input = Reader::new(&value);
            let txs = input
                .list(MAX_SYSTEM_TXS, "system transactions", |r| SystemTx::decode(r).map(Arc::new))
                .and_then(|list| input.finish().map(|()| list));
            system.extend(txs.map_err(|error| RecordError::damaged(Table::Gathered, error))?);
        }
        self.gathered = Gathered::restored(hashes, system);
        Ok(())
    }
}

/// The epoch in which the store is.
pub fn present(reader: &dyn RecordReader, genesis: &Arc<EpochContext>) -> Result<Arc<EpochContext>, RecordError> {
    let Some((key, value)) = reader.last(Table::Epochs)? else { return Ok(Arc::clone(genesis)) };
    let record: EpochRecord = decode(Table::Epochs, &value)?;
    if key != epoch_key(record.link.closing.epoch) || record.next.chain_id != genesis.chain_id {
        return Err(RecordError::damaged(Table::Epochs, "key and epoch differ, or it is of another network"));
    }
    Ok(Arc::new(record.next))
}

/// The record of a closed epoch.
pub fn load_epoch(reader: &dyn RecordReader, epoch: Epoch) -> Result<Option<EpochRecord>, RecordError> {
    let Some(value) = reader.get(Table::Epochs, &epoch_key(epoch))? else { return Ok(None) };
    let record: EpochRecord = decode(Table::Epochs, &value)?;
    if record.link.closing.epoch != epoch {
        return Err(RecordError::damaged(Table::Epochs, "key and epoch differ"));
    }
    Ok(Some(record))
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
pub fn load_header(
    reader: &dyn RecordReader,
    epoch: Epoch,
    view: View,
    hash: &Digest,
) -> Result<Arc<SignedHeader>, RecordError> {
    let value = reader
        .get(Table::Headers, &block_key(epoch, view, hash))?
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
    let key = block_key(header.header().epoch, header.header().view, &header.hash());
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
