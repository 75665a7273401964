//! What is read from a running node: blocks, status, validators, evidence.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use consensus::Decode;
use consensus::certificate::FinalityCertificate;
use consensus::evidence::Evidence;
use consensus::header::Header;
use consensus::records::{RecordError, RecordReader, Table};
use consensus::types::{Height, ValidatorIndex};
use consensus::votes::Vote;
use engine::serve::{self, StoredBlock};

use super::{NodeError, NodeHandle};
use crate::clock::system_now;
use crate::views::{BlockView, CatchUpView, EvidenceView, QuorumView, StatusView, ValidatorView, ValueView};

impl NodeHandle {
    /// Height of the last block that is final and applied here.
    pub fn height(&self) -> u64 {
        self.0.hub.published()
    }

    /// A final block with its values; `None` if the height is not final here yet.
    pub fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError> {
        self.block_view(height, true)
    }

    /// Up to `limit` final blocks from `from` on, without values.
    pub fn blocks(&self, from: u64, limit: usize) -> Result<Vec<BlockView>, NodeError> {
        let mut views = Vec::new();
        for height in from.max(1)..=self.height() {
            if views.len() >= limit {
                break;
            }
            views.extend(self.block_view(height, false)?);
        }
        Ok(views)
    }

    pub(crate) fn block_view(&self, height: u64, with_values: bool) -> Result<Option<BlockView>, NodeError> {
        if height == 0 || height > self.height() {
            return Ok(None);
        }
        let stored = serve::block(self.0.records.as_ref(), &self.0.chain_id, Height::new(height))?;
        let Some(stored) = stored else { return Ok(None) };
        let (descendants, certificate) = serve::finality(self.0.records.as_ref(), &stored.record)?;
        let header = stored.header.header();
        Ok(Some(BlockView {
            height,
            hash: stored.record.hash.to_string(),
            parent_hash: header.parent_hash.to_string(),
            epoch: header.epoch.get(),
            view: header.view.get(),
            leader: self.leader_name(header)?,
            time_us: header.time.get(),
            threshold: header.threshold,
            path: certificate.path.name().to_owned(),
            finalized_by_height: descendants.last().map_or(height, |last| last.height.get()),
            weight: weight_of(&certificate),
            voters: self.voters(header),
            count: stored.body.ids().len(),
            values: with_values.then(|| values_of(&stored)),
        }))
    }

    fn name(&self, index: ValidatorIndex) -> String {
        self.0.epochs.borrow().config.member(index).map(|member| member.name.clone()).unwrap_or_default()
    }

    /// The name that a block's leader has in the block's epoch.
    fn leader_name(&self, header: &Header) -> Result<String, NodeError> {
        let present = self.0.epochs.borrow().epoch();
        if header.epoch == present {
            return Ok(self.name(header.leader));
        }
        let context = serve::context(self.0.records.as_ref(), &self.0.first, header.epoch)?;
        let member = context.and_then(|context| context.config.member(header.leader).map(|member| member.name.clone()));
        Ok(member.unwrap_or_default())
    }

    /// Who voted for a block before our eyes; of earlier epochs nothing is remembered.
    fn voters(&self, header: &Header) -> Option<Vec<u16>> {
        let present = self.0.epochs.borrow().epoch();
        if header.epoch == present { self.0.hub.witness.voters(header.view.get()) } else { None }
    }

    /// Where this node stands.
    pub fn status(&self) -> StatusView {
        let status = self.0.hub.status();
        let links = self.0.links.status();
        let context = self.0.present();
        let config = &context.config;
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: self.0.genesis.network.clone(),
            chain_id: self.0.chain_id.to_string(),
            name: self.name(self.0.me),
            index: self.0.me.get(),
            level: config.level.dimension(),
            epoch: config.epoch.get(),
            epoch_began_us: context.start.time.get(),
            epoch_ends_us: context.end_time().get(),
            key_age_epochs: config.key_age(self.0.me),
            observes: self.0.keys.lacks_key(&context),
            view: status.view.get(),
            height: self.height(),
            block_hash: status.last_committed.hash.to_string(),
            block_time_us: status.last_committed.time.get(),
            since_final_us: self.0.hub.last_final_at().map(|at| system_now().since_us(at)),
            quorum: QuorumView::of(&config.quorum),
            mempool: status.mempool_len,
            own_proposals: status.own_len,
            peers_connected: links.iter().filter(|link| link.connected).count(),
            peers: links.len(),
            view_timer_us: status.view_timer_us,
            accused: self.0.hub.accused().len(),
            now_us: system_now().get(),
            catch_up: CatchUpView {
                lag: status.catch_up.target.get().saturating_sub(status.last_committed.height.get()),
                peers: status.catch_up.peers,
                asked: status.catch_up.open,
                waiting: status.catch_up.ready,
                reassigned: status.catch_up.reassigned,
            },
        }
    }

    /// All validators as this node sees them.
    pub fn validators(&self) -> Vec<ValidatorView> {
        let links = self.0.links.status();
        let accused = self.0.hub.accused();
        let seen = self.0.hub.witness.seen();
        let context = self.0.present();
        let void = context.config.void();
        let members = context.config.members.iter().enumerate();
        members
            .map(|(at, member)| {
                let index = at as u16;
                let link = links.iter().find(|link| link.peer == index);
                let seen = seen.get(at).copied().unwrap_or_default();
                ValidatorView {
                    index,
                    name: member.name.clone(),
                    address: member.address.clone(),
                    session_key: member.session_key.to_string(),
                    key_since_epoch: member.session_since.get(),
                    key_age_epochs: context.config.key_age(ValidatorIndex::new(index)),
                    key_flagged: member.session_since < context.epoch(),
                    key_overdue: void.contains(&ValidatorIndex::new(index)),
                    this_node: index == self.0.me.get(),
                    connected: link.is_some_and(|link| link.connected),
                    group: link.and_then(|link| link.group.clone()),
                    rtt_us: link.and_then(|link| link.rtt_us),
                    bytes_sent: link.map_or(0, |link| link.bytes_sent),
                    bytes_received: link.map_or(0, |link| link.bytes_received),
                    dropped_frames: link.map_or(0, |link| link.dropped_frames),
                    accused: accused.contains(&index),
                    last_vote_view: seen.last_vote.map(|last| last.view),
                    last_vote_us: seen.last_vote.map(|last| last.at.get()),
                    votes_late: seen.late,
                    votes_missing: seen.missing,
                    verification_rate: self.0.hub.witness.verification_rate(index),
                }
            })
            .collect()
    }

    /// All evidence held.
    pub fn evidence(&self) -> Result<Vec<EvidenceView>, NodeError> {
        let records = self.0.records.scan(Table::Evidence, &[], None, consensus::bounds::MAX_EVIDENCE)?;
        let mut views = Vec::with_capacity(records.len());
        for (_, bytes) in records {
            let evidence: Evidence =
                Evidence::from_bytes(&bytes).map_err(|error| RecordError::damaged(Table::Evidence, error))?;
            views.push(EvidenceView {
                accused: evidence.accused().get(),
                name: self.name(evidence.accused()),
                kind: evidence.kind().name().to_owned(),
                view: evidence.view().get(),
                evidence_b64: BASE64.encode(&bytes),
            });
        }
        Ok(views)
    }
}

/// Distinct validators in a certificate.
fn weight_of(certificate: &FinalityCertificate) -> u32 {
    let signers: BTreeSet<ValidatorIndex> = certificate.votes.iter().map(Vote::signer).collect();
    signers.len() as u32
}

fn values_of(stored: &StoredBlock) -> Vec<ValueView> {
    let pairs = stored.body.ids().iter().zip(stored.body.proposals());
    pairs
        .map(|(id, proposal)| {
            let (value, value_b64) = match std::str::from_utf8(&proposal.value) {
                Ok(text) => (Some(text.to_owned()), None),
                Err(_) => (None, Some(BASE64.encode(&proposal.value))),
            };
            ValueView { id: id.to_string(), value, value_b64 }
        })
        .collect()
}
