//! What is read from the store for others: chains of final blocks, and proofs of values.

use std::sync::Arc;

use bytes::Bytes;
use consensus::body::Body;
use consensus::bounds::MAX_CHAIN_BLOCKS;
use consensus::certificate::FinalityCertificate;
use consensus::codec::{Encode, Reader};
use consensus::epoch::EpochContext;
use consensus::header::{Header, SignedHeader};
use consensus::link::EpochLink;
use consensus::merkle;
use consensus::message::{FinalChain, Held, Message};
use consensus::proof::{Finality, ValueProof};
use consensus::records::{
    FinalRecord, ProofPlace, Record, RecordError, RecordReader, Table, height_key, load_body, load_epoch, load_final,
    load_header,
};
use consensus::types::{Epoch, Height};
use crypto::Digest;

/// Where an id's outcome is: final in a block.
const OUTCOME_FINAL: u8 = 1;
/// Expired: a final block is dated after its deadline.
const OUTCOME_EXPIRED: u8 = 2;

/// A final block read back.
#[derive(Clone, Debug)]
pub struct StoredBlock {
    /// Its record.
    pub record: FinalRecord,
    /// Its header.
    pub header: Arc<SignedHeader>,
    /// Its body.
    pub body: Arc<Body>,
}

/// The durable outcome of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Final: height and place in the block.
    Final(Height, u32),
    /// Expired.
    Expired,
}

/// A final block by height, if it is there.
pub fn block(reader: &dyn RecordReader, chain_id: &Digest, height: Height) -> Result<Option<StoredBlock>, RecordError> {
    let Some(record) = load_final(reader, height)? else { return Ok(None) };
    let header = load_header(reader, record.epoch, record.view, &record.hash)?;
    let Some(body) = load_body(reader, &header, chain_id)? else {
        return Err(RecordError::damaged(Table::Bodies, format!("the body of height {height} is missing")));
    };
    Ok(Some(StoredBlock { record, header, body }))
}

/// The proof of a final block: headers from its child to the block that the votes name, and the votes.
pub fn finality(
    reader: &dyn RecordReader,
    record: &FinalRecord,
) -> Result<(Vec<Header>, FinalityCertificate), RecordError> {
    let (at, descendants, certificate) = match &record.proof {
        ProofPlace::Here(descendants, certificate) => return Ok((descendants.clone(), certificate.clone())),
        ProofPlace::At(height) => {
            let Some(FinalRecord { proof: ProofPlace::Here(descendants, certificate), .. }) =
                load_final(reader, *height)?
            else {
                return Err(RecordError::damaged(Table::Finals, format!("the proof of height {height} is missing")));
            };
            (*height, descendants, certificate)
        }
    };
    let mut path = Vec::new();
    for height in record.height.get() + 1..=at.get() {
        let Some(next) = load_final(reader, Height::new(height))? else {
            return Err(RecordError::damaged(Table::Finals, format!("height {height} is missing")));
        };
        path.push(load_header(reader, next.epoch, next.view, &next.hash)?.header().clone());
    }
    path.extend(descendants);
    Ok((path, certificate))
}

/// The final blocks that the store holds: an unbroken range, lowest and highest; `None` if there are none.
pub fn held(reader: &dyn RecordReader) -> Result<Option<Held>, RecordError> {
    let height = |key: &[u8]| {
        let bytes = key.try_into().map_err(|_| RecordError::damaged(Table::Finals, "a key"))?;
        Ok(Height::new(u64::from_be_bytes(bytes)))
    };
    let first = reader.scan(Table::Finals, &[0], None, 1)?;
    let (Some((first, _)), Some((last, _))) = (first.first(), reader.last(Table::Finals)?) else { return Ok(None) };
    Ok(Some(Held { first: height(first)?, last: height(&last)? }))
}

/// What a peer is sent that wants the blocks above `above` up to `upto`: a piece of the chain that begins there, or, if the store does
/// not hold it, what it does hold. `None` while the store is empty.
pub fn answer(
    reader: &dyn RecordReader,
    chain_id: &Digest,
    above: Height,
    upto: Height,
    max_bytes: usize,
) -> Result<Option<Message>, RecordError> {
    match final_chain(reader, chain_id, above, upto, max_bytes)? {
        Some(chain) => Ok(Some(Message::FinalChain(chain))),
        None => Ok(held(reader)?.map(Message::Held)),
    }
}

/// Final blocks above `above` up to `upto`, as many as fit `max_bytes` (at least one), with one proof; `None` if the first is not held.
pub fn final_chain(
    reader: &dyn RecordReader,
    chain_id: &Digest,
    above: Height,
    upto: Height,
    max_bytes: usize,
) -> Result<Option<FinalChain>, RecordError> {
    let mut blocks: Vec<StoredBlock> = Vec::new();
    let mut bytes = 0;
    while blocks.len() < MAX_CHAIN_BLOCKS {
        let height = Height::new(above.get() + 1 + blocks.len() as u64);
        if height > upto {
            break;
        }
        let Some(next) = block(reader, chain_id, height)? else { break };
        if blocks.first().is_some_and(|first| first.record.epoch != next.record.epoch) {
            break; // one proof is of one epoch
        }
        bytes += next.body.encoded().len() + next.header.signature().len() + 512;
        if bytes > max_bytes && !blocks.is_empty() {
            break;
        }
        blocks.push(next);
    }
    // Prefer to end where a proof is, unless that is far from the end: then no path of headers is needed.
    let direct = blocks.iter().rposition(|block| matches!(block.record.proof, ProofPlace::Here(..)));
    if let Some(at) = direct.filter(|at| *at >= blocks.len() / 2) {
        blocks.truncate(at + 1);
    }
    let Some(last) = blocks.last() else { return Ok(None) };
    let (descendants, certificate) = finality(reader, &last.record)?;
    let blocks: Vec<(SignedHeader, Bytes)> =
        blocks.iter().map(|block| (block.header.as_ref().clone(), block.body.encoded().clone())).collect();
    Ok(Some(FinalChain { blocks, descendants, certificate }))
}

/// A final block with the proof of its finality: all that the proofs of its values need.
#[derive(Clone, Debug)]
pub struct ProvenBlock {
    /// The block.
    pub block: StoredBlock,
    /// Why it is final.
    pub finality: Finality,
    /// The chain of epochs from the genesis, as far as the proof needs it.
    pub links: Vec<Arc<EpochLink>>,
    /// The block's epoch.
    pub context: Arc<EpochContext>,
}

/// The epoch with this number, if the store has come so far.
pub fn context(
    reader: &dyn RecordReader,
    genesis: &Arc<EpochContext>,
    epoch: Epoch,
) -> Result<Option<Arc<EpochContext>>, RecordError> {
    match epoch.get().checked_sub(1) {
        None => Ok(Some(Arc::clone(genesis))),
        Some(before) => Ok(load_epoch(reader, Epoch::new(before))?.map(|record| Arc::new(record.next))),
    }
}

/// The links that close the epochs from `first` up to, and without, `end`.
pub fn links(reader: &dyn RecordReader, first: Epoch, end: Epoch) -> Result<Vec<Arc<EpochLink>>, RecordError> {
    let mut links = Vec::new();
    for epoch in first.get()..end.get() {
        let Some(record) = load_epoch(reader, Epoch::new(epoch))? else {
            return Err(RecordError::damaged(Table::Epochs, format!("epoch {epoch} is missing")));
        };
        links.push(Arc::new(record.link));
    }
    Ok(links)
}

/// The siblings of a block's hash under the root of the block that closed its epoch; none for the closing block itself.
pub fn path_in_epoch(
    reader: &dyn RecordReader,
    context: &EpochContext,
    closing: Height,
    height: Height,
) -> Result<Vec<Digest>, RecordError> {
    if height == closing {
        return Ok(Vec::new());
    }
    let first = context.start.height.next();
    let mut hashes = Vec::new();
    let end = height_key(closing);
    let mut from = height_key(first);
    loop {
        let page = reader.scan(Table::Hashes, &from, Some(&end), 4_096)?;
        for (_, value) in &page {
            hashes.push(Digest::from_slice(value).map_err(|error| RecordError::damaged(Table::Hashes, error))?);
        }
        let Some((key, _)) = page.last().filter(|_| page.len() == 4_096) else { break };
        from.clone_from(key);
        from.push(0);
    }
    let expected = closing.get().saturating_sub(first.get());
    if hashes.len() as u64 != expected {
        return Err(RecordError::damaged(
            Table::Hashes,
            format!("epoch {} has {} hashes", context.epoch(), hashes.len()),
        ));
    }
    let levels = merkle::levels(context.config.hash_algorithm(), &hashes);
    let path = merkle::path(&levels, (height.get().saturating_sub(first.get())) as usize);
    path.ok_or_else(|| {
        RecordError::damaged(Table::Hashes, format!("height {height} is not of epoch {}", context.epoch()))
    })
}

/// A final block with its proof, if it is there: votes in the present epoch, inclusion below the closing block in one that is over.
pub fn proven_block(
    reader: &dyn RecordReader,
    genesis: &Arc<EpochContext>,
    height: Height,
) -> Result<Option<ProvenBlock>, RecordError> {
    let Some(block) = block(reader, &genesis.chain_id, height)? else { return Ok(None) };
    let epoch = block.record.epoch;
    let Some(context) = context(reader, genesis, epoch)? else {
        return Err(RecordError::damaged(Table::Epochs, format!("epoch {epoch} is missing")));
    };
    let mut links = links(reader, Epoch::ZERO, epoch)?;
    let finality = match load_epoch(reader, epoch)? {
        None => {
            let (descendants, certificate) = finality(reader, &block.record)?;
            Finality::Votes(descendants, certificate)
        }
        Some(closed) => {
            let siblings = path_in_epoch(reader, &context, closed.link.closing.height, height)?;
            links.push(Arc::new(closed.link));
            Finality::Closed(siblings)
        }
    };
    Ok(Some(ProvenBlock { block, finality, links, context }))
}

impl ProvenBlock {
    /// The proof of the value at `index`; `None` if there is none.
    pub fn value_proof(&self, index: u32) -> Option<ValueProof> {
        let body = &self.block.body;
        Some(ValueProof {
            proposal: body.proposals().get(index as usize)?.as_ref().clone(),
            index,
            count: body.ids().len() as u32,
            siblings: body.inclusion_path(index as usize)?,
            system: body.system_part(),
            header: self.block.header.as_ref().clone(),
            finality: self.finality.clone(),
            first_link: Epoch::ZERO,
            links: self.links.clone(),
        })
    }
}

/// The durable outcome of a proposal, if there is one.
pub fn outcome(reader: &dyn RecordReader, id: &Digest) -> Result<Option<Outcome>, RecordError> {
    let Some(value) = reader.get(Table::Ids, id.as_bytes())? else { return Ok(None) };
    let mut input = Reader::new(&value);
    let parsed = (|| {
        let outcome = match input.u8("outcome")? {
            OUTCOME_FINAL => Outcome::Final(input.height()?, input.u32("index")?),
            OUTCOME_EXPIRED => Outcome::Expired,
            _ => return Err(consensus::codec::DecodeError::Invalid("outcome")),
        };
        input.finish()?;
        Ok(outcome)
    })();
    parsed.map(Some).map_err(|error| RecordError::damaged(Table::Ids, error))
}

/// The record of an outcome.
pub(crate) fn outcome_record(id: &Digest, outcome: Outcome) -> Record {
    let mut out = consensus::codec::Writer::with_capacity(13);
    match outcome {
        Outcome::Final(height, index) => {
            out.u8(OUTCOME_FINAL);
            out.u64(height.get());
            out.u32(index);
        }
        Outcome::Expired => out.u8(OUTCOME_EXPIRED),
    }
    Record { table: Table::Ids, key: id.as_bytes().to_vec(), value: Some(out.into_bytes()) }
}

/// The records that index a block's ids.
pub(crate) fn index_records(height: Height, body: &Body) -> impl Iterator<Item = Record> {
    let outcome = move |(at, id)| outcome_record(id, Outcome::Final(height, at as u32));
    body.ids().iter().enumerate().map(outcome)
}

/// The record of a batch of proposals that was accepted from a client.
pub(crate) fn pending_record(sequence: u64, proposals: &[&consensus::body::Proposal]) -> Record {
    let mut out = consensus::codec::Writer::new();
    out.count(proposals.len());
    proposals.iter().for_each(|proposal| proposal.encode(&mut out));
    Record { table: Table::Pending, key: sequence.to_be_bytes().to_vec(), value: Some(out.into_bytes()) }
}
