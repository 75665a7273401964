//! Single rules of one replica, driven by hand; the network in virtual time (crate sim) drives them together.

use std::sync::Arc;

use bytes::Bytes;
use crypto::{Digest, SecurityLevel, SignatureAlgorithm, SigningKey};

use super::{Advice, CommittedBlock, Effect, Input, InvalidBody, Observation, Payloads, Replica, Settings};
use crate::body::{Body, Proposal};
use crate::codec::Encode;
use crate::config::{EpochConfig, LeaderSchedule, Limits, Member, SecurityPolicy, ThresholdRatios};
use crate::header::{BlockKind, HEADER_TAG, Header, SignedHeader};
use crate::message::{Answer, Message};
use crate::params::{Ratio, derive};
use crate::system::SystemTx;
use crate::types::{Epoch, Timestamp, ValidatorIndex, View};
use crate::verify::{Content, Verifier};
use crate::vote::{BUNDLE_TAG, Bundle, BundleBody, Statement};
use crate::votes::Vote;

struct Nothing;

impl Payloads for Nothing {
    fn has_work(&self, _: Timestamp, _: &[Arc<Body>]) -> bool {
        false
    }
    fn fills_block(&self, _: usize) -> bool {
        false
    }
    fn build(&mut self, _: Timestamp, _: &[Arc<Body>], _: usize) -> Vec<(Digest, Arc<Proposal>)> {
        Vec::new()
    }
    fn system(&self) -> Vec<Arc<SystemTx>> {
        Vec::new()
    }
    fn is_checked(&self, _: &Digest) -> bool {
        false
    }
    fn check(&self, _: Timestamp, _: &Body, _: &[Arc<Body>]) -> Result<(), InvalidBody> {
        Ok(())
    }
    fn included(&mut self, _: &Body) {}
    fn excluded(&mut self, _: &Body) {}
    fn committed(&mut self, _: &CommittedBlock) {}
}

const START: Timestamp = Timestamp::new(1_767_225_600_000_000);

fn config(n: u16) -> Arc<EpochConfig> {
    let (low, high) = (Ratio::new(6_000).unwrap(), Ratio::new(8_000).unwrap());
    let key = |seed: u8| SigningKey::from_seed(SignatureAlgorithm::Ed25519, &[seed; 32]).unwrap().public_key();
    let members = (0..n).map(|index| Member {
        name: format!("v{index}"),
        address: format!("h:{}", index + 1),
        session_key: key(index as u8 * 2),
        link_key: key(index as u8 * 2 + 1),
        identity_key: None,
        session_since: Epoch::ZERO,
    });
    Arc::new(EpochConfig {
        epoch: Epoch::ZERO,
        level: SecurityLevel::Classical,
        policy: SecurityPolicy::Standard,
        members: members.collect(),
        quorum: derive(n.into(), None, None, low, high).unwrap(),
        ratios: ThresholdRatios { base: low, low, high },
        fast_path: true,
        schedule: LeaderSchedule::RoundRobin,
        limits: Limits {
            max_value_bytes: 1_024,
            max_block_bytes: 65_536,
            max_timeout_ms: 3_600_000,
            clock_drift_ms_max: 500,
            finality_lag_views: 4,
            key_rotation_interval_s: 3_600,
        },
    })
}

fn replica(n: u16, me: u16) -> (Replica, Verifier) {
    let config = config(n);
    let chain_id = config.hash();
    let mut replica =
        Replica::new(Arc::clone(&config), chain_id, START, Some(ValidatorIndex::new(me)), Settings::default());
    replica.start(START, &mut Nothing, &mut Vec::new());
    (replica, Verifier::new(config, chain_id))
}

fn say(replica: &mut Replica, verifier: &Verifier, now: Timestamp, from: u16, message: Message) -> Vec<Effect> {
    let from = ValidatorIndex::new(from);
    let content = verifier.verify(from, message).unwrap();
    assert!(!matches!(content.get(), Content::Forward(_)));
    let mut effects = Vec::new();
    replica.handle(now, Input::Message { from, content }, &mut Nothing, &mut effects);
    effects
}

fn signs(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Sign { .. }))
}

#[test]
fn a_hint_wakes_the_leader_of_its_view_only() {
    // View 1 is led by validator 1. A hint for a far view is a lie or a mistake; it must not keep an idle network busy for ever.
    let (mut leader, verifier) = replica(4, 1);
    assert!(!signs(&say(&mut leader, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1 << 60)))));
    assert!(!signs(&say(&mut leader, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(3)))));
    assert!(
        signs(&say(&mut leader, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1)))),
        "an empty block, at once"
    );
    let (mut other, verifier) = replica(4, 3);
    let effects = say(&mut other, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1)));
    assert!(!signs(&effects) && other.is_armed(), "the others arm their timers");
}

#[test]
fn a_view_claimed_beyond_the_window_is_not_believed() {
    let (mut replica, verifier) = replica(4, 0);
    say(&mut replica, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1 << 60)));
    let status = replica.status();
    assert!(status.nullifications.len() as u64 <= crate::bounds::VIEW_WINDOW + 1, "{status:?}");
}

#[test]
fn invented_blocks_do_not_crowd_out_of_a_status_what_is_missing() {
    // Four liars (f = 4) name two blocks each in every view of the window: as many as the lists hold.
    let (mut replica, verifier) = replica(22, 0);
    assert!(replica.config().quorum.f() >= 4);
    let invented = |signer: u16, view: u64, which: u64| {
        crypto::HashAlgorithm::Sha256.hash("invented", &[&signer.to_be_bytes(), &(2 * view + which).to_be_bytes()])
    };
    for signer in 1..=4 {
        for first in (1..=32).step_by(8) {
            for which in 0..2 {
                let statements =
                    (first..first + 8).map(|view| Statement::Notarize(View::new(view), invented(signer, view, which)));
                let Vote::Bundle(vote) = bundle(&verifier, signer, statements.collect()) else { unreachable!() };
                say(&mut replica, &verifier, START, signer, Message::Vote(Bundle::clone(&vote)));
            }
        }
    }
    // A block whose parent of view 8 never came.
    let parent_hash = crypto::HashAlgorithm::Sha256.hash("parent", &[]);
    let leader = verifier.config().leader(View::new(9));
    let header = Header {
        chain_id: verifier.chain_id(),
        epoch: Epoch::ZERO,
        view: View::new(9),
        leader,
        parent_view: View::new(8),
        parent_hash,
        height: crate::types::Height::new(2),
        payload_root: Body::empty(&verifier.chain_id()).root(),
        payload_len: Body::empty(&verifier.chain_id()).encoded().len() as u32,
        threshold: verifier.config().quorum.q_min() as u16,
        time: START.after_us(1),
        kind: BlockKind::Ordinary,
    };
    let key = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &[leader.get() as u8 * 2; 32]).unwrap();
    let signature = key.sign(HEADER_TAG, &header.to_bytes()).unwrap();
    say(&mut replica, &verifier, START, leader.get(), Message::Proposal(SignedHeader::new(header, signature), None));
    let status = replica.status();
    assert!(status.notarizations.len() == crate::bounds::MAX_STATUS_ITEMS, "{}", status.notarizations.len());
    assert!(status.notarizations.contains(&(View::new(8), parent_hash)));
    assert!(status.headers.contains(&parent_hash));
}

fn bundle(verifier: &Verifier, signer: u16, statements: Vec<Statement>) -> Vote {
    let key = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &[signer as u8 * 2; 32]).unwrap();
    let body = BundleBody::new(verifier.chain_id(), Epoch::ZERO, ValidatorIndex::new(signer), statements).unwrap();
    let signature = key.sign(BUNDLE_TAG, &body.to_bytes()).unwrap();
    Vote::Bundle(Arc::new(Bundle::new(body, signature)))
}

fn invented(number: u64) -> Digest {
    crypto::HashAlgorithm::Sha256.hash("invented", &[&number.to_be_bytes()])
}

/// An answer that completes a nullification of view 5 and brings thousands of statements beside, about that view and far ones.
fn poisoned_answer(verifier: &Verifier) -> Message {
    let mut votes: Vec<Vote> = (0..3).map(|i| bundle(verifier, i, vec![Statement::Nullify(View::new(5))])).collect();
    for i in 0..300 {
        let about_5 = (0..8).map(|j| Statement::Finalize(View::new(5), invented(i * 8 + j)));
        votes.push(bundle(verifier, 3, about_5.collect()));
        let mut far = vec![Statement::Nullify(View::new(5))];
        far.extend((0..7).map(|j| Statement::Nullify(View::new(1_000_000 + i * 7 + j))));
        votes.push(bundle(verifier, 3, far));
    }
    Message::Answer(Answer { votes, ..Answer::default() })
}

#[test]
fn an_answer_that_nobody_asked_for_is_dropped() {
    let (mut replica, verifier) = replica(4, 0);
    let effects = say(&mut replica, &verifier, START, 3, poisoned_answer(&verifier));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Dropped("answer_unasked"))));
    assert!(replica.views.is_empty() || replica.views.keys().all(|view| view.get() <= 1));
}

#[test]
fn an_answer_brings_its_certificate_and_nothing_beside() {
    let (mut replica, verifier) = replica(4, 0);
    replica.handle(START, Input::LinkUp(ValidatorIndex::new(3)), &mut Nothing, &mut Vec::new()); // asks
    say(&mut replica, &verifier, START, 3, poisoned_answer(&verifier));
    assert_eq!(replica.view(), View::new(6), "R1: the nullification of view 5 counts, wherever we stand");
    assert!(replica.views.keys().all(|view| view.get() <= 6 + crate::bounds::VIEW_WINDOW), "far views are not kept");
    let kept = replica.views[&View::new(5)].votes.hashes().len();
    assert!(kept <= crate::bounds::MAX_BLOCKS_PER_SIGNER, "{kept} invented blocks are kept");
}

#[test]
fn a_block_dated_ahead_makes_nobody_spin() {
    let (mut replica, verifier) = replica(4, 0);
    let leader = 2; // of view 2
    let key = SigningKey::from_seed(SignatureAlgorithm::Ed25519, &[leader * 2; 32]).unwrap();
    let body = Body::empty(&verifier.chain_id());
    let header = Header {
        chain_id: verifier.chain_id(),
        epoch: Epoch::ZERO,
        view: View::new(2),
        leader: ValidatorIndex::new(leader.into()),
        parent_view: View::new(1),
        parent_hash: invented(1),
        height: crate::types::Height::new(2),
        payload_root: body.root(),
        payload_len: body.encoded().len() as u32,
        threshold: 3,
        time: START.after_ms(600),
        kind: BlockKind::Ordinary,
    };
    let signature = key.sign(HEADER_TAG, &header.to_bytes()).unwrap();
    let message = Message::Proposal(SignedHeader::new(header, signature), None);
    say(&mut replica, &verifier, START, leader.into(), message);
    let (mut now, mut wakes) = (START, 0);
    while now < START.after_ms(3_000) {
        now = replica.next_deadline().max(now.after_us(1));
        replica.handle(now, Input::Tick, &mut Nothing, &mut Vec::new());
        wakes += 1;
    }
    assert!(wakes < 200, "{wakes} wake-ups in three seconds");
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let (mut leader, verifier) = replica(4, 1);
    let effects = say(&mut leader, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1)));
    let Some(Effect::Sign { ticket, .. }) = effects.iter().find(|e| matches!(e, Effect::Sign { .. })) else {
        panic!("{effects:?}");
    };
    let mut effects = Vec::new();
    leader.handle(START, Input::Signed { ticket: *ticket, signature: vec![1] }, &mut Nothing, &mut effects);
    let sent =
        |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Send { message: Message::Proposal(..), .. }));
    assert!(!sent(&effects), "D1: withheld");
    let Some(Effect::Persist { ticket, .. }) = effects.iter().find(|e| matches!(e, Effect::Persist { .. })) else {
        panic!("{effects:?}");
    };
    let ticket = *ticket;
    let mut effects = Vec::new();
    leader.handle(START, Input::Persisted { ticket }, &mut Nothing, &mut effects);
    assert!(sent(&effects));
}

#[test]
fn the_view_timer_gives_the_view_up_and_doubles() {
    let (mut replica, verifier) = replica(4, 0);
    say(&mut replica, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1)));
    let before = replica.view_timer_us();
    let mut effects = Vec::new();
    let late = START.after_us(before);
    replica.handle(late, Input::Tick, &mut Nothing, &mut effects);
    assert!(signs(&effects), "R4: Nullify");
    assert_eq!(replica.view_timer_us(), 2 * before);
    assert!(replica.next_deadline() > late, "no deadline stays in the past");
    let proposal = Proposal { deadline: START, priority: 0, nonce: 0, value: Bytes::new() };
    assert_eq!(proposal.encoded_len(), 21);
}

#[test]
fn measured_delta_stays_inside_its_bounds_and_moves_the_timer() {
    let (mut replica, _) = replica(4, 0);
    let advise = |replica: &mut Replica, delta_us| {
        let advice = Advice { threshold: 1_000, hedge_us: u64::MAX, delta_us, batch_delay_us: 0 };
        replica.handle(START, Input::Advice(advice), &mut Nothing, &mut Vec::new());
        (replica.view_timer_us(), replica.hedge_us())
    };
    assert_eq!(advise(&mut replica, None), (300_000, 75_000), "6 Δ; min(2 Δ, T/4)");
    assert_eq!(advise(&mut replica, Some(20_000)), (120_000, 30_000));
    assert_eq!(advise(&mut replica, Some(0)), (60_000, 15_000), "never below a fifth of the configured Δ");
    assert_eq!(advise(&mut replica, Some(u64::MAX)), (1_200_000, 300_000), "never above four times it");
    assert_eq!(advise(&mut replica, None), (300_000, 75_000));
}

#[test]
fn what_happens_is_told() {
    let (mut leader, verifier) = replica(4, 1);
    let effects = say(&mut leader, &verifier, START, 2, Message::Hint(Epoch::ZERO, View::new(1)));
    let observed = |effects: &[Effect]| -> Vec<Observation> {
        effects.iter().filter_map(|e| if let Effect::Observed(o) = e { Some(*o) } else { None }).collect()
    };
    let view = View::new(1);
    assert_eq!(observed(&effects), [Observation::Locked { view, leading: true }]);
    let Vote::Bundle(vote) = bundle(&verifier, 2, vec![Statement::Notarize(view, invented(1))]) else { panic!() };
    let vote = Message::Vote(Bundle::clone(&vote));
    let from = ValidatorIndex::new(2);
    let effects = say(&mut leader, &verifier, START, 2, vote.clone());
    assert_eq!(observed(&effects), [Observation::Arrived { view, from }]);
    assert_eq!(observed(&say(&mut leader, &verifier, START, 2, vote)), [], "what is known is no news");
}

#[test]
fn a_leader_whose_turn_failed_gets_no_proposals_until_it_finishes_one() {
    let (mut replica, verifier) = replica(4, 0);
    let indices = |list: Vec<ValidatorIndex>| list.into_iter().map(ValidatorIndex::get).collect::<Vec<_>>();
    assert_eq!(indices(replica.promising_leaders(2)), [1, 2]);
    for signer in 1..4 {
        let Vote::Bundle(vote) = bundle(&verifier, signer, vec![Statement::Nullify(View::new(1))]) else { panic!() };
        say(&mut replica, &verifier, START, signer, Message::Vote(Bundle::clone(&vote)));
    }
    assert_eq!(replica.view(), View::new(2));
    assert_eq!(indices(replica.promising_leaders(4)), [2, 3, 0, 1], "the one that failed comes last");
}

#[test]
fn a_block_waits_to_fill_as_advised_and_no_longer_than_the_operator_allows() {
    let advice = |batch_delay_us| Advice { threshold: 3, hedge_us: 0, delta_us: None, batch_delay_us };
    let hint = || Message::Hint(Epoch::ZERO, View::new(1));
    let advised = |delay_us| {
        let (mut leader, verifier) = replica(4, 1);
        leader.handle(START, Input::Advice(advice(delay_us)), &mut Nothing, &mut Vec::new());
        (leader, verifier)
    };
    for (asked_us, allowed_us) in [(20_000, 20_000), (10_000_000, 50_000)] {
        let (mut leader, verifier) = advised(asked_us);
        assert!(!signs(&say(&mut leader, &verifier, START, 2, hint())), "it waits");
        assert_eq!(leader.next_deadline(), START.after_us(allowed_us));
        let mut effects = Vec::new();
        leader.handle(START.after_us(allowed_us), Input::Tick, &mut Nothing, &mut effects);
        assert!(signs(&effects), "it waits no longer");
    }
    let (mut leader, verifier) = advised(20_000);
    say(&mut leader, &verifier, START, 2, hint());
    let Vote::Bundle(vote) = bundle(&verifier, 2, vec![Statement::Nullify(View::new(1))]) else { unreachable!() };
    assert!(
        signs(&say(&mut leader, &verifier, START, 2, Message::Vote(vote.as_ref().clone()))),
        "a vote ends the wait"
    );
}

#[test]
fn a_remembered_signature_vouches_for_nothing_else() {
    let (_, verifier) = replica(4, 0);
    let verifier = verifier.remembering();
    let Vote::Bundle(good) = bundle(&verifier, 1, vec![Statement::Nullify(View::new(3))]) else { unreachable!() };
    for _ in 0..2 {
        verifier.bundle(&good).unwrap();
    }
    let mut flipped = good.signature().to_vec();
    flipped[7] ^= 1;
    verifier.bundle(&Bundle::new(good.body().clone(), flipped)).unwrap_err();
    let other = |signer: u16, view: u64| {
        let statements = vec![Statement::Nullify(View::new(view))];
        BundleBody::new(verifier.chain_id(), Epoch::ZERO, ValidatorIndex::new(signer), statements).unwrap()
    };
    verifier.bundle(&Bundle::new(other(1, 4), good.signature().to_vec())).unwrap_err();
    verifier.bundle(&Bundle::new(other(2, 3), good.signature().to_vec())).unwrap_err();
    verifier.bundle(&Bundle::new(other(1, 3), good.signature().to_vec())).unwrap();
}
