//! What one replica can sign next: the real replica, asked for every knowledge that makes a difference.
//!
//! A replica that has said `s` is restored from just that, told a set of messages at once, and what it then wants to sign is the
//! step. Votes of a view matter to the rules only through the predicates of its vote table, so one set of votes per combination
//! of predicates ([`Knowledge`]) is enough.

use std::collections::HashMap;
use std::sync::Arc;

use consensus::body::Body;
use consensus::body::Proposal;
use consensus::header::SignedHeader;
use consensus::records::Durable;
use consensus::replica::{CommittedBlock, Effect, Input, InvalidBody, Payloads, Replica, Settings, SignRequest};
use consensus::system::SystemTx;
use consensus::types::{Timestamp, ValidatorIndex, View};
use consensus::verify::{Content, Verified};
use consensus::vote::Statement;
use consensus::votes::{Vote, VoteTable};
use crypto::Digest;

use crate::universe::{Local, NOW, Said, Universe};

/// Long after every view timer.
const LONG_AFTER_US: u64 = 600_000_000;

/// A mempool without proposals: every block is empty and valid.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoValues;

impl Payloads for NoValues {
    fn has_work(&self, _: Timestamp, _: &[Arc<Body>]) -> bool {
        false
    }
    fn fills_block(&self, _: usize) -> bool {
        false
    }
    fn build(&mut self, _: Timestamp, _: &[Arc<Body>], _: usize) -> Vec<(Digest, Arc<Proposal>)> {
        Vec::new()
    }
    fn check(&self, _: Timestamp, _: &Body, _: &[Arc<Body>]) -> Result<(), InvalidBody> {
        Ok(())
    }
    fn system(&self) -> Vec<Arc<SystemTx>> {
        Vec::new()
    }
    fn is_checked(&self, _: &Digest) -> bool {
        false
    }
    fn included(&mut self, _: &Body) {}
    fn excluded(&mut self, _: &Body) {}
    fn committed(&mut self, _: &CommittedBlock) {}
}

/// What a replica can tell apart about the votes of one view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Knowledge {
    headers: u8,
    notarized: u8,
    fast: u8,
    slow: u8,
    nullified: bool,
    silent: bool,
    caught: bool,
    against: u32,
    against_without_leader: u32,
}

/// What others have said in one view, as far as it may matter who: the leader, and the rest in any order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Heard {
    pub(crate) leader: Option<Said>,
    pub(crate) rest: Vec<Said>,
}

/// What happens beside the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Moment {
    /// Nothing.
    AtOnce,
    /// Somebody hints that it has work: a leader proposes.
    Hinted,
    /// And the view timer runs out.
    TimedOut,
}

/// A statement that was signed, in the universe's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Notarize, or a proposal, for the block in this slot.
    Notarize(u64, usize),
    /// Nullify.
    Nullify(u64),
    /// Finalize.
    Finalize(u64, usize),
}

type ClassKey = (usize, u64, Said);

/// One known combination: what it is, and votes that make it so.
struct Class {
    knowledge: Knowledge,
    votes: Arc<Vec<Vote>>,
}

/// Asks the real replica, and remembers.
pub struct Oracle<'a> {
    universe: &'a Universe,
    /// Honest replicas that lead the same views have the same role; one stands for all.
    roles: Vec<u16>,
    classes: HashMap<ClassKey, Vec<Class>>,
    available: HashMap<(ClassKey, Heard), Arc<Vec<u16>>>,
    bases: HashMap<(usize, Local), (Replica, Vec<SignRequest>)>,
    answers: HashMap<(usize, Local, Vec<u16>, Moment), Vec<Step>>,
    /// How often the real replica was asked.
    pub asked: u64,
}

impl<'a> Oracle<'a> {
    /// An oracle that has not been asked yet; `roles` names one replica for each role.
    pub fn new(universe: &'a Universe, roles: Vec<u16>) -> Self {
        Self {
            universe,
            roles,
            classes: HashMap::new(),
            available: HashMap::new(),
            bases: HashMap::new(),
            answers: HashMap::new(),
            asked: 0,
        }
    }

    /// Every step of a replica in `role` that has said `local`, when the others have said `heard` in each view.
    pub(crate) fn steps(&mut self, role: usize, local: Local, heard: &[Heard]) -> Vec<Vec<Step>> {
        let lists: Vec<Arc<Vec<u16>>> =
            heard.iter().zip(1..).map(|(heard, view)| self.known((role, view, local.said(view)), heard)).collect();
        let leads = (1..=self.universe.bounds.views).any(|view| self.universe.leader(view) == self.roles[role]);
        let moments: &[Moment] = if leads {
            &[Moment::AtOnce, Moment::Hinted, Moment::TimedOut]
        } else {
            &[Moment::AtOnce, Moment::TimedOut]
        };
        let mut found = std::collections::BTreeSet::new();
        let mut places = vec![0_usize; lists.len()];
        loop {
            let chosen: Vec<u16> = places.iter().zip(&lists).map(|(at, list)| list[*at]).collect();
            for moment in moments {
                let steps = self.answer(role, local, &chosen, *moment);
                if !steps.is_empty() {
                    found.insert(steps);
                }
            }
            let Some(next) = (0..places.len()).find(|at| places[*at] + 1 < lists[*at].len()) else { break };
            places[next] += 1;
            places[..next].fill(0);
        }
        found.into_iter().collect()
    }

    /// The combinations of predicates that a selection of what was said can bring about.
    fn known(&mut self, key: ClassKey, heard: &Heard) -> Arc<Vec<u16>> {
        if let Some(list) = self.available.get(&(key, heard.clone())) {
            return Arc::clone(list);
        }
        let (role, view, own) = key;
        let me = self.roles[role];
        let leader = self.universe.leader(view);
        let mut choices: Vec<Vec<Vec<Vote>>> = Vec::new();
        let mut rest = heard.rest.iter();
        for other in (0..self.universe.bounds.validators).filter(|other| *other != me) {
            let statements = if other == self.universe.bounds.byzantine {
                self.universe.everything(view)
            } else if other == leader {
                self.universe.statements(view, heard.leader.unwrap_or_default())
            } else {
                self.universe.statements(view, rest.next().copied().unwrap_or_default())
            };
            choices.push(self.selections(other, &statements));
        }
        let mut list = std::collections::BTreeSet::new();
        let mut places = vec![0_usize; choices.len()];
        loop {
            let votes = places.iter().zip(&choices).flat_map(|(at, sets)| sets[*at].iter().cloned()).collect();
            list.insert(self.class(key, me, own, votes));
            let Some(next) = (0..places.len()).find(|at| places[*at] + 1 < choices[*at].len()) else { break };
            places[next] += 1;
            places[..next].fill(0);
        }
        let list: Arc<Vec<u16>> = Arc::new(list.into_iter().collect());
        self.available.insert((key, heard.clone()), Arc::clone(&list));
        list
    }

    /// Every subset of one replica's votes that can differ in a vote table; Finalize counts as Notarize.
    fn selections(&self, signer: u16, statements: &[Statement]) -> Vec<Vec<Vote>> {
        let mut sets = Vec::new();
        for mask in 0_u32..1 << statements.len() {
            let chosen: Vec<Statement> =
                statements.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, s)| *s).collect();
            let redundant = chosen.iter().any(|s| match s {
                Statement::Notarize(view, hash) => {
                    self.universe.leader(view.get()) != signer && chosen.contains(&Statement::Finalize(*view, *hash))
                }
                _ => false,
            });
            if !redundant {
                sets.push(chosen.into_iter().filter_map(|s| self.universe.vote(signer, s)).collect());
            }
        }
        sets
    }

    fn class(&mut self, key: ClassKey, me: u16, own: Said, votes: Vec<Vote>) -> u16 {
        let knowledge = self.knowledge(key.1, me, own, &votes);
        let classes = self.classes.entry(key).or_default();
        if let Some(at) = classes.iter().position(|class| class.knowledge == knowledge) {
            return at as u16;
        }
        classes.push(Class { knowledge, votes: Arc::new(votes) });
        classes.len() as u16 - 1
    }

    fn knowledge(&self, view: u64, me: u16, own: Said, votes: &[Vote]) -> Knowledge {
        let quorum = &self.universe.config.quorum;
        let leader = ValidatorIndex::new(self.universe.leader(view));
        let mut table = VoteTable::new(View::new(view));
        let mut headers = 0;
        if own.lock > 0 {
            headers |= 1 << (own.lock - 1);
            let hash = self.universe.hash(view, usize::from(own.lock) - 1);
            let header = self.universe.vote(leader.get(), Statement::Notarize(View::new(view), hash));
            header.iter().for_each(|vote| {
                table.insert(vote);
            });
        }
        for statement in self.universe.statements(view, own) {
            self.universe.vote(me, statement).iter().for_each(|vote| {
                table.insert(vote);
            });
        }
        for vote in votes {
            table.insert(vote);
            if let Vote::Header(header) = vote {
                headers |= self.universe.slot(view, &header.hash()).map_or(0, |slot| 1 << slot);
            }
        }
        let bits = |holds: &dyn Fn(usize) -> bool| {
            (0..self.universe.blocks[view as usize - 1].len()).filter(|slot| holds(*slot)).fold(0_u8, |b, s| b | 1 << s)
        };
        let hash = |slot| self.universe.hash(view, slot);
        let threshold =
            |slot: usize| u32::from(self.universe.blocks[view as usize - 1][slot].header.header().threshold);
        let far = quorum.p() + quorum.f() + 1;
        let lock = (own.lock > 0 && !own.nulled).then(|| hash(usize::from(own.lock) - 1));
        Knowledge {
            headers,
            notarized: bits(&|slot| table.is_notarized(&hash(slot), quorum)),
            fast: bits(&|slot| table.is_fast_final(&hash(slot), quorum)),
            slow: bits(&|slot| table.is_final(&hash(slot), quorum, threshold(slot))),
            nullified: table.is_nullified(quorum),
            silent: table.is_empty(),
            caught: table.is_conflicted(leader),
            against: lock.map_or(0, |lock| table.against_count(&lock, None).min(far)),
            against_without_leader: lock.map_or(0, |lock| table.against_count(&lock, Some(leader)).min(far)),
        }
    }

    fn answer(&mut self, role: usize, local: Local, chosen: &[u16], moment: Moment) -> Vec<Step> {
        let key = (role, local, chosen.to_vec(), moment);
        if let Some(steps) = self.answers.get(&key) {
            return steps.clone();
        }
        let mut votes: Vec<Vote> = Vec::new();
        for (view, class) in (1..).zip(chosen) {
            if let Some(classes) = self.classes.get(&(role, view, local.said(view))) {
                votes.extend(classes[usize::from(*class)].votes.iter().cloned());
            }
        }
        let steps = self.ask(role, local, &votes, moment);
        self.answers.insert(key, steps.clone());
        steps
    }

    /// The real replica: restored from what it has said, told `votes` at once.
    fn ask(&mut self, role: usize, local: Local, votes: &[Vote], moment: Moment) -> Vec<Step> {
        self.asked += 1;
        let me = self.roles[role];
        if !self.bases.contains_key(&(role, local)) {
            let base = restored(self.universe, me, local);
            self.bases.insert((role, local), base);
        }
        let Some((base, wanted)) = self.bases.get(&(role, local)) else { return Vec::new() };
        let (mut replica, mut effects) = (base.clone(), Vec::new());
        tell(self.universe, &mut replica, votes, &mut effects);
        let view = replica.view();
        if moment != Moment::AtOnce {
            let content = Verified::assumed(Content::Hint(view));
            let from = ValidatorIndex::new(self.universe.bounds.byzantine);
            replica.handle(NOW, Input::Message { from, content }, &mut NoValues, &mut effects);
        }
        if moment == Moment::TimedOut {
            replica.handle(NOW.after_us(LONG_AFTER_US), Input::Tick, &mut NoValues, &mut effects);
        }
        let asked = effects.iter().filter_map(|effect| match effect {
            Effect::Sign { request, .. } => Some(request),
            _ => None,
        });
        let mut steps: Vec<Step> =
            wanted.iter().chain(asked).flat_map(|request| steps_of(self.universe, request)).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

/// A replica that has said `local` and knows nothing else, and what it wants to sign on waking up.
pub fn restored(universe: &Universe, me: u16, local: Local) -> (Replica, Vec<SignRequest>) {
    let mut replica = fresh(universe, me);
    let mut durable = Durable::empty(Arc::clone(replica.context()));
    for view in 1..=universe.bounds.views {
        let said = local.said(view);
        if said.lock > 0 {
            let block = &universe.blocks[view as usize - 1][usize::from(said.lock) - 1];
            durable.blocks.push((Arc::clone(&block.header), Some(Arc::new(Body::empty(&universe.chain_id)))));
        }
        for statement in universe.statements(view, said) {
            durable.votes.extend(universe.vote(me, statement));
        }
    }
    replica.restore(&durable);
    let mut effects = Vec::new();
    replica.start(NOW, &mut NoValues, &mut effects);
    let peer = ValidatorIndex::new(universe.bounds.byzantine);
    replica.handle(NOW, Input::LinkUp(peer), &mut NoValues, &mut effects);
    let wanted = effects.into_iter().filter_map(|effect| match effect {
        Effect::Sign { request, .. } => Some(request),
        _ => None,
    });
    (replica, wanted.collect())
}

/// A replica at genesis.
pub fn fresh(universe: &Universe, me: u16) -> Replica {
    let created = Timestamp::new(sim::scenario::START_US);
    let settings = Settings { hedge_us: 0, ..Settings::default() };
    Replica::new(Arc::clone(&universe.config), universe.chain_id, created, Some(ValidatorIndex::new(me)), settings)
}

/// Tells a replica these votes and headers at once, as the answer to a Status does.
pub fn tell(universe: &Universe, replica: &mut Replica, votes: &[Vote], effects: &mut Vec<Effect>) {
    let headers: Vec<Arc<SignedHeader>> = votes
        .iter()
        .filter_map(|vote| match vote {
            Vote::Header(header) => Some(Arc::clone(header)),
            Vote::Bundle(_) => None,
        })
        .collect();
    let votes = votes.iter().filter(|vote| matches!(vote, Vote::Bundle(_))).cloned().collect();
    let content = Verified::assumed(Content::Answer { votes, headers, bodies: Vec::new() });
    let from = ValidatorIndex::new(universe.bounds.byzantine);
    replica.handle(NOW, Input::Message { from, content }, &mut NoValues, effects);
}

/// What a request to sign says, in the universe's terms; what lies beyond its views is left out.
pub fn steps_of(universe: &Universe, request: &SignRequest) -> Vec<Step> {
    let inside = |view: View| view.get() <= universe.bounds.views;
    match request {
        SignRequest::Header(header) if inside(header.view) => {
            universe.slot_of_proposal(header).map(|slot| Step::Notarize(header.view.get(), slot)).into_iter().collect()
        }
        SignRequest::Header(_) => Vec::new(),
        SignRequest::Votes(body) => body
            .statements()
            .iter()
            .filter(|statement| inside(statement.view()))
            .filter_map(|statement| match statement {
                Statement::Notarize(view, hash) => {
                    universe.slot(view.get(), hash).map(|slot| Step::Notarize(view.get(), slot))
                }
                Statement::Nullify(view) => Some(Step::Nullify(view.get())),
                Statement::Finalize(view, hash) => {
                    universe.slot(view.get(), hash).map(|slot| Step::Finalize(view.get(), slot))
                }
            })
            .collect(),
    }
}
