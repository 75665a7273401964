//! A small network with fixed keys, and blocks and votes in it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use bytes::Bytes;
use consensus::Encode;
use consensus::body::{Body, Proposal};
use consensus::certificate::{FinalityCertificate, FinalityPath};
use consensus::config::{EpochConfig, LeaderSchedule, Limits, Member, SecurityPolicy, ThresholdRatios};
use consensus::genesis::Genesis;
use consensus::header::{BlockKind, HEADER_TAG, Header, SignedHeader};
use consensus::params::{Ratio, derive};
use consensus::proof::{Finality, ValueProof};
use consensus::types::{Epoch, Height, Timestamp, ValidatorIndex, View};
use consensus::vote::{BUNDLE_TAG, Bundle, BundleBody, Statement};
use consensus::votes::Vote;
use crypto::{Digest, SecurityLevel, SigningKey};

pub(crate) const CREATED: u64 = 1_767_225_600_000_000;

pub(crate) struct Network {
    pub(crate) genesis: Genesis,
    pub(crate) keys: Vec<SigningKey>,
}

impl Network {
    pub(crate) fn new(n: u16, level: SecurityLevel) -> Self {
        let (lo, hi) = (Ratio::new(6_000).unwrap(), Ratio::new(8_000).unwrap());
        let quorum = derive(u32::from(n), None, None, lo, hi).unwrap();
        let key = |index: u16, kind: u8| {
            SigningKey::from_seed(level.signature_algorithm(), &[index as u8 * 2 + kind; 32]).unwrap()
        };
        let keys: Vec<SigningKey> = (0..n).map(|index| key(index, 0)).collect();
        let members = keys.iter().enumerate().map(|(index, session)| Member {
            name: format!("v{index}"),
            address: format!("127.0.0.1:{}", 9_000 + index),
            session_key: session.public_key(),
            link_key: key(index as u16, 1).public_key(),
            identity_key: None,
            session_since: Epoch::ZERO,
        });
        let config = EpochConfig {
            epoch: Epoch::ZERO,
            level,
            policy: SecurityPolicy::High,
            members: members.collect(),
            quorum,
            ratios: ThresholdRatios { base: Ratio::new(6_700).unwrap(), low: lo, high: hi },
            fast_path: true,
            schedule: LeaderSchedule::RoundRobin,
            limits: Limits {
                max_value_bytes: 65_536,
                max_block_bytes: 4_194_304,
                max_timeout_ms: 3_600_000,
                clock_drift_ms_max: 500,
                finality_lag_views: 4,
                key_rotation_interval_s: 3_600,
            },
        };
        let genesis =
            Genesis { network: "golden".to_owned(), created: Timestamp::new(CREATED), config: Arc::new(config) };
        genesis.check().unwrap();
        Self { genesis, keys }
    }

    pub(crate) fn chain_id(&self) -> Digest {
        self.genesis.chain_id()
    }

    pub(crate) fn body(&self, values: &[&'static str]) -> Body {
        let items = values.iter().enumerate().map(|(at, value)| {
            let proposal = Proposal {
                deadline: Timestamp::new(CREATED + 30_000_000),
                priority: 4,
                nonce: at as u64,
                value: Bytes::from_static(value.as_bytes()),
            };
            (proposal.id(&self.chain_id()), Arc::new(proposal))
        });
        Body::from_proposals(&self.chain_id(), items.collect())
    }

    pub(crate) fn header(&self, view: u64, parent: Option<&SignedHeader>, body: &Body, threshold: u16) -> SignedHeader {
        let config = &self.genesis.config;
        let (parent_view, parent_hash, height, time) = parent.map_or_else(
            || (View::ZERO, self.chain_id(), Height::ZERO, CREATED),
            |p| (p.header().view, p.hash(), p.header().height, p.header().time.get()),
        );
        let header = Header {
            chain_id: self.chain_id(),
            epoch: Epoch::ZERO,
            view: View::new(view),
            leader: config.leader(View::new(view)),
            parent_view,
            parent_hash,
            height: height.next(),
            payload_root: body.root(),
            payload_len: body.encoded().len() as u32,
            threshold,
            time: Timestamp::new(time + 1_000),
            kind: BlockKind::Ordinary,
        };
        let key = &self.keys[header.leader.as_usize()];
        let signature = key.sign(HEADER_TAG, &header.to_bytes()).unwrap();
        SignedHeader::new(header, signature)
    }

    pub(crate) fn bundle(&self, signer: u16, statements: Vec<Statement>) -> Bundle {
        let body = BundleBody::new(self.chain_id(), Epoch::ZERO, ValidatorIndex::new(signer), statements).unwrap();
        let signature = self.keys[usize::from(signer)].sign(BUNDLE_TAG, &body.to_bytes()).unwrap();
        Bundle::new(body, signature)
    }

    pub(crate) fn vote(&self, signer: u16, statement: Statement) -> Vote {
        Vote::Bundle(Arc::new(self.bundle(signer, vec![statement])))
    }

    /// A proof of value 1 of 3 at height 1, final through the block above it.
    pub(crate) fn proof(&self, path: FinalityPath) -> ValueProof {
        let body = self.body(&["first", "second", "third"]);
        let quorum = &self.genesis.config.quorum;
        let header = self.header(1, None, &body, quorum.q_min() as u16);
        let child = self.header(2, Some(&header), &self.body(&[]), quorum.q_min() as u16);
        let (view, hash) = (View::new(2), child.hash());
        let leader = child.header().leader.get();
        let votes = match path {
            FinalityPath::Fast => (0..quorum.n() as u16)
                .map(|signer| {
                    if signer == leader {
                        Vote::Header(Arc::new(child.clone()))
                    } else {
                        self.vote(signer, Statement::Notarize(view, hash))
                    }
                })
                .take(quorum.q_fast() as usize)
                .collect(),
            FinalityPath::Slow => {
                (0..quorum.q_min() as u16).map(|signer| self.vote(signer, Statement::Finalize(view, hash))).collect()
            }
        };
        ValueProof {
            proposal: body.proposals()[1].as_ref().clone(),
            index: 1,
            count: 3,
            siblings: body.inclusion_path(1).unwrap(),
            header,
            system: None,
            finality: Finality::Votes(vec![child.header().clone()], FinalityCertificate { path, votes }),
            first_link: Epoch::ZERO,
            links: Vec::new(),
        }
    }
}

/// The votes of a proof that has some.
pub(crate) fn certificate(proof: &mut ValueProof) -> &mut FinalityCertificate {
    match &mut proof.finality {
        Finality::Votes(_, certificate) => certificate,
        Finality::Closed(_) => panic!("a proof without votes"),
    }
}
