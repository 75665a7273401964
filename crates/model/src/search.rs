//! Every state that a small network can reach, breadth first, and what must hold in each.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use consensus::types::View;
use consensus::vote::Statement;
use consensus::votes::VoteTable;

use crate::local::{Heard, Oracle, Step};
use crate::universe::{Bounds, Local, MAX_HONEST, Said, Universe};

/// What the honest replicas have said; replicas of one role in ascending order, because they are interchangeable.
pub type State = [Local; MAX_HONEST];

/// What a search looks for beside agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Agreement, what a final block excludes, and the pairs of votes that R1 to R6 forbid.
    All,
    /// Agreement alone: no two conflicting final blocks.
    Agreement,
}

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Found {
    /// States visited.
    pub states: usize,
    /// Steps between them.
    pub steps: u64,
    /// Times that the real replica was asked.
    pub asked: u64,
    /// States in which some block is final.
    pub with_final: usize,
    /// What is wrong, with the way there; the search stops at the first.
    pub violation: Option<String>,
    /// Whether the search ended before it had seen everything.
    pub cut_short: bool,
}

/// The members of each role, and where they stand in a [`State`].
struct Roles {
    /// Replicas in the order of the state.
    order: Vec<u16>,
    /// The role of each.
    of: Vec<usize>,
    /// One replica of each role.
    speakers: Vec<u16>,
}

impl Roles {
    fn new(universe: &Universe) -> Self {
        let led = |index: u16| -> Vec<u64> {
            (1..=universe.bounds.views).filter(|view| universe.leader(*view) == index).collect()
        };
        let mut order = universe.honest();
        order.sort_by_key(|index| led(*index));
        let mut speakers: Vec<u16> = Vec::new();
        let mut of = Vec::new();
        for index in &order {
            let role = speakers.iter().position(|speaker| led(*speaker) == led(*index)).unwrap_or_else(|| {
                speakers.push(*index);
                speakers.len() - 1
            });
            of.push(role);
        }
        Self { order, of, speakers }
    }

    fn canonical(&self, mut state: State) -> State {
        for role in 0..self.speakers.len() {
            let from = self.of.iter().position(|of| *of == role).unwrap_or(0);
            let to = from + self.of.iter().filter(|of| **of == role).count();
            state[from..to].sort_unstable();
        }
        state
    }

    fn heard(&self, universe: &Universe, state: &State, at: usize) -> Vec<Heard> {
        let views = 1..=universe.bounds.views;
        views
            .map(|view| {
                let leader = universe.leader(view);
                let others = (0..self.order.len()).filter(|other| *other != at);
                let (mut lead, mut rest) = (None, Vec::new());
                for other in others {
                    let said = state[other].said(view);
                    if self.order[other] == leader {
                        lead = Some(said);
                    } else {
                        rest.push(said);
                    }
                }
                rest.sort_unstable();
                Heard { leader: lead, rest }
            })
            .collect()
    }
}

/// What votes prove about one view, with everything that the Byzantine replica could add.
#[derive(Clone, Debug, Default)]
struct Proven {
    last: Vec<usize>,
    notarized: Vec<usize>,
    nullified: bool,
}

/// One replica's situation: its role, what it has said, what the others have said.
type Situation = (usize, Local, Vec<Heard>);

/// A search in progress.
pub struct Search<'a> {
    universe: &'a Universe,
    checks: Checks,
    roles: Roles,
    oracle: Oracle<'a>,
    seen: HashMap<State, u32>,
    /// States in the order of discovery, with where each came from.
    states: Vec<(State, u32)>,
    proven: HashMap<(u64, Vec<Said>), Arc<Proven>>,
    nexts: HashMap<Situation, Arc<Vec<Vec<Step>>>>,
}

impl<'a> Search<'a> {
    /// A search that has not begun.
    pub fn new(universe: &'a Universe, checks: Checks) -> Self {
        let roles = Roles::new(universe);
        let oracle = Oracle::new(universe, roles.speakers.clone());
        Self {
            universe,
            checks,
            roles,
            oracle,
            seen: HashMap::new(),
            states: Vec::new(),
            proven: HashMap::new(),
            nexts: HashMap::new(),
        }
    }

    /// Visits every state, at most `limit`; stops at the first violation.
    pub fn run(&mut self, limit: usize) -> Found {
        let honest = self.roles.order.len();
        let start = State::default();
        self.seen.insert(start, 0);
        self.states.push((start, 0));
        let (mut at, mut steps, mut with_final, mut violation, mut cut_short) = (0, 0, 0, None, false);
        'search: while at < self.states.len() {
            let state = self.states[at].0;
            for place in 0..honest {
                if place > 0 && self.roles.of[place] == self.roles.of[place - 1] && state[place] == state[place - 1] {
                    continue; // the one before is in the same place
                }
                for said in self.next_of(&state, place).iter() {
                    steps += 1;
                    let (local, wrong) = apply(state[place], said);
                    if let Some(why) = wrong.filter(|_| self.checks == Checks::All) {
                        let who = self.roles.order[place];
                        violation = Some(format!("{}v{who} signs {said:?}: {why}", self.way_to(at)));
                        break 'search;
                    }
                    let mut next = state;
                    next[place] = local;
                    let next = self.roles.canonical(next);
                    if self.seen.contains_key(&next) {
                        continue;
                    }
                    if self.states.len() >= limit {
                        cut_short = true;
                        break 'search;
                    }
                    let number = self.states.len();
                    self.seen.insert(next, number as u32);
                    self.states.push((next, at as u32));
                    match self.judge(&next) {
                        Ok(last) => with_final += usize::from(last),
                        Err(why) => {
                            violation = Some(format!("{}{why}", self.way_to(number)));
                            break 'search;
                        }
                    }
                }
            }
            at += 1;
        }
        Found { states: self.states.len(), steps, asked: self.oracle.asked, with_final, violation, cut_short }
    }

    /// Whether a state, given by what each honest replica has said, was visited.
    pub fn contains(&self, said: &HashMap<u16, Local>) -> bool {
        let mut state = State::default();
        for (place, index) in self.roles.order.iter().enumerate() {
            state[place] = said.get(index).copied().unwrap_or_default();
        }
        self.seen.contains_key(&self.roles.canonical(state))
    }

    fn next_of(&mut self, state: &State, place: usize) -> Arc<Vec<Vec<Step>>> {
        let heard = self.roles.heard(self.universe, state, place);
        let key = (self.roles.of[place], state[place], heard);
        if let Some(list) = self.nexts.get(&key) {
            return Arc::clone(list);
        }
        let list = Arc::new(self.oracle.steps(key.0, key.1, &key.2));
        self.nexts.insert(key, Arc::clone(&list));
        list
    }

    /// Whether some block is final; an error if the state contradicts itself.
    fn judge(&mut self, state: &State) -> Result<bool, String> {
        let mut finals: Vec<(u64, usize)> = Vec::new();
        for view in 1..=self.universe.bounds.views {
            let proven = self.proven(view, state);
            finals.extend(proven.last.iter().map(|slot| (view, *slot)));
            if let Some(slot) = proven.last.first().filter(|_| self.checks == Checks::All) {
                if proven.nullified {
                    return Err(format!("view {view}: block {slot} is final and the view can be nullified"));
                }
                if let Some(rival) = proven.notarized.iter().find(|rival| *rival != slot) {
                    return Err(format!("view {view}: block {slot} is final and block {rival} can be notarized"));
                }
            }
        }
        for (at, low) in finals.iter().enumerate() {
            for high in &finals[at + 1..] {
                if !self.universe.is_ancestor(*low, *high) {
                    return Err(format!("two final blocks conflict: {low:?} and {high:?} (view, slot)"));
                }
            }
        }
        Ok(!finals.is_empty())
    }

    fn proven(&mut self, view: u64, state: &State) -> Arc<Proven> {
        let said: Vec<Said> = (0..self.roles.order.len()).map(|place| state[place].said(view)).collect();
        if let Some(known) = self.proven.get(&(view, said.clone())) {
            return Arc::clone(known);
        }
        let universe = self.universe;
        let mut table = VoteTable::new(View::new(view));
        let mut add = |signer: u16, statement: Statement| {
            if let Some(vote) = universe.vote(signer, statement) {
                table.insert_bounded(&vote, usize::MAX);
            }
        };
        for (said, index) in said.iter().zip(&self.roles.order) {
            universe.statements(view, *said).into_iter().for_each(|statement| add(*index, statement));
        }
        universe.everything(view).into_iter().for_each(|statement| add(universe.bounds.byzantine, statement));
        let quorum = &universe.config.quorum;
        let mut proven = Proven { nullified: table.is_nullified(quorum), ..Proven::default() };
        for (slot, block) in universe.blocks[view as usize - 1].iter().enumerate() {
            let (hash, threshold) = (block.header.hash(), u32::from(block.header.header().threshold));
            let fast = universe.config.fast_path && table.is_fast_final(&hash, quorum);
            if fast || table.is_final(&hash, quorum, threshold) {
                proven.last.push(slot);
            }
            if table.is_notarized(&hash, quorum) {
                proven.notarized.push(slot);
            }
        }
        let proven = Arc::new(proven);
        self.proven.insert((view, said), Arc::clone(&proven));
        proven
    }

    /// How a state was reached: what each honest replica has said, state by state.
    fn way_to(&self, mut at: usize) -> String {
        let mut way = Vec::new();
        while at != 0 {
            way.push(at);
            at = self.states[at].1 as usize;
        }
        let mut text = String::new();
        for at in way.into_iter().rev() {
            for (place, index) in self.roles.order.iter().enumerate() {
                let _ = write!(text, "v{index}:");
                for view in 1..=self.universe.bounds.views {
                    let said = self.states[at].0[place].said(view);
                    let lock = if said.lock > 0 { char::from(b'A' + said.lock - 1) } else { '-' };
                    let end = if said.finalized { "f" } else { "" };
                    let _ = write!(text, " {lock}{}{end}", if said.nulled { "n" } else { "" });
                }
                text.push_str("  ");
            }
            text.push('\n');
        }
        text
    }
}

/// What a replica has said after it has signed `steps`, and what is wrong with that for an honest one.
pub fn apply(mut local: Local, steps: &[Step]) -> (Local, Option<&'static str>) {
    let before = local;
    let mut wrong = None;
    // What is signed together counts as signed in the order Notarize, Nullify, Finalize.
    let mut steps: Vec<Step> = steps.to_vec();
    steps.sort_unstable();
    for step in steps {
        let (Step::Notarize(view, _) | Step::Nullify(view) | Step::Finalize(view, _)) = step;
        let (mut said, earlier) = (local.said(view), before.said(view));
        match step {
            Step::Notarize(_, slot) => {
                if earlier.nulled {
                    wrong = Some("Notarize after Nullify");
                }
                if said.lock != 0 && usize::from(said.lock) != slot + 1 {
                    wrong = Some("Notarize for two blocks of one view");
                }
                said.lock = slot as u8 + 1;
            }
            Step::Nullify(_) => {
                if said.finalized {
                    wrong = Some("Nullify after Finalize");
                }
                said.nulled = true;
            }
            Step::Finalize(_, slot) => {
                if said.nulled {
                    wrong = Some("Finalize after Nullify");
                }
                if usize::from(said.lock) != slot + 1 {
                    wrong = Some("Finalize for another block than the lock");
                }
                said.finalized = true;
            }
        }
        local = local.with(view, said);
    }
    (local, wrong)
}

/// Searches within `bounds`.
pub fn search(bounds: Bounds, checks: Checks, limit: usize) -> Result<Found, String> {
    let universe = Universe::new(bounds)?;
    Ok(Search::new(&universe, checks).run(limit))
}

/// Every place of the Byzantine replica that makes a difference: the leader of each view, and one that leads none.
pub fn byzantine_places(validators: u16, views: u64) -> Vec<u16> {
    let leads = |index: u16| (1..=views).any(|view| view % u64::from(validators) == u64::from(index));
    let mut places: BTreeSet<u16> = (0..validators).filter(|index| leads(*index)).collect();
    places.extend((0..validators).find(|index| !leads(*index)));
    places.into_iter().collect()
}
