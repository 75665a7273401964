//! Is the search sound? Random runs of real replicas, which forget nothing and take messages in any order, one by one or together, never
//! leave the states that the search has visited.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::fmt::Write as _;

use consensus::replica::{Effect, Input, Replica};
use consensus::types::ValidatorIndex;
use consensus::verify::{Content, Verified};
use consensus::votes::Vote;
use fastrand::Rng;
use model::local::{NoValues, fresh, steps_of, tell};
use model::search::{Checks, Search, apply};
use model::universe::{Bounds, Local, NOW, Universe};

const RUNS: u64 = 200;
const EVENTS: u32 = 50;

struct Run<'a> {
    universe: &'a Universe,
    search: &'a Search<'a>,
    replicas: HashMap<u16, Replica>,
    said: HashMap<u16, Local>,
    way: String,
}

impl Run<'_> {
    /// Gives one input, and everything that follows from it; every step must lead to a visited state.
    fn give(&mut self, who: u16, at_us: u64, input: Input) {
        // What follows happens at the universe's only date: a leader that proposed later would date its block later.
        let mut inputs = vec![(at_us, input)];
        while let Some((at_us, input)) = inputs.pop() {
            let mut effects = Vec::new();
            let replica = self.replicas.get_mut(&who).unwrap();
            replica.handle(NOW.after_us(at_us), input, &mut NoValues, &mut effects);
            self.check(who, &effects);
            for effect in effects {
                match effect {
                    Effect::Sign { ticket, .. } => inputs.push((0, Input::Signed { ticket, signature: Vec::new() })),
                    Effect::Persist { ticket, .. } => inputs.push((0, Input::Persisted { ticket })),
                    _ => {}
                }
            }
        }
    }

    fn check(&mut self, who: u16, effects: &[Effect]) {
        let mut steps: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Sign { request, .. } => Some(steps_of(self.universe, request)),
                _ => None,
            })
            .flatten()
            .collect();
        if steps.is_empty() {
            return;
        }
        steps.sort_unstable();
        writeln!(self.way, "v{who} {steps:?}").unwrap();
        let (local, wrong) = apply(self.said.get(&who).copied().unwrap_or_default(), &steps);
        assert_eq!(wrong, None, "{}", self.way);
        self.said.insert(who, local);
        assert!(self.search.contains(&self.said), "not visited:\n{}", self.way);
    }

    /// Everything that others have said, as far as it is known to anyone.
    fn available(&self, to: u16) -> Vec<Vote> {
        let mut votes = Vec::new();
        for view in 1..=self.universe.bounds.views {
            for other in (0..self.universe.bounds.validators).filter(|other| *other != to) {
                let statements = if other == self.universe.bounds.byzantine {
                    self.universe.everything(view)
                } else {
                    let local = self.said.get(&other).copied().unwrap_or_default();
                    self.universe.statements(view, local.said(view))
                };
                votes.extend(statements.into_iter().filter_map(|statement| self.universe.vote(other, statement)));
            }
        }
        votes
    }

    fn event(&mut self, rng: &mut Rng, honest: &[u16]) {
        let who = honest[rng.usize(..honest.len())];
        let from = ValidatorIndex::new(self.universe.bounds.byzantine);
        match rng.u8(0..10) {
            0 => {
                let view = self.replicas[&who].view();
                let content = Verified::assumed(Content::Hint(view));
                self.give(who, 0, Input::Message { from, content });
            }
            1 => {
                let view = self.replicas[&who].view();
                // A leader that wakes up so late would date its block late, and the universe has one date only.
                if self.universe.config.leader(view).get() != who {
                    self.give(who, 600_000_000, Input::Tick);
                }
            }
            _ => {
                let mut votes = self.available(who);
                rng.shuffle(&mut votes);
                votes.truncate(rng.usize(1..=8));
                if rng.bool() {
                    self.give(who, 0, Input::LinkUp(from));
                    let mut effects = Vec::new();
                    tell(self.universe, self.replicas.get_mut(&who).unwrap(), &votes, &mut effects);
                    self.check(who, &effects);
                    for effect in effects {
                        match effect {
                            Effect::Sign { ticket, .. } => {
                                self.give(who, 0, Input::Signed { ticket, signature: Vec::new() });
                            }
                            Effect::Persist { ticket, .. } => self.give(who, 0, Input::Persisted { ticket }),
                            _ => {}
                        }
                    }
                } else {
                    for vote in votes {
                        let from = vote.signer();
                        let content = match vote {
                            Vote::Header(header) => Content::Proposal(header, None),
                            Vote::Bundle(bundle) => Content::Vote(bundle),
                        };
                        self.give(who, 0, Input::Message { from, content: Verified::assumed(content) });
                    }
                }
            }
        }
    }
}

fn stays_inside(byzantine: u16, fast_path: bool) {
    let universe = Universe::new(Bounds { validators: 4, byzantine, views: 2, fast_path }).unwrap();
    let mut search = Search::new(&universe, Checks::All);
    search.run(usize::MAX);
    let honest = universe.honest();
    let (mut longest, mut stepped) = (0, 0);
    for seed in 0..RUNS {
        let mut rng = Rng::with_seed(seed);
        let replicas = honest.iter().map(|who| (*who, fresh(&universe, *who))).collect();
        let way = format!("seed {seed}, v{byzantine} Byzantine, fast path {fast_path}\n");
        let mut run = Run { universe: &universe, search: &search, replicas, said: HashMap::new(), way };
        for who in &honest {
            let mut effects = Vec::new();
            run.replicas.get_mut(who).unwrap().start(NOW, &mut NoValues, &mut effects);
            run.check(*who, &effects);
        }
        for _ in 0..EVENTS {
            run.event(&mut rng, &honest);
        }
        let steps = run.way.lines().count() - 1;
        stepped += steps;
        longest = longest.max(steps);
    }
    assert!(longest >= 6 && stepped as u64 > 2 * RUNS, "the runs do something: {longest}, {stepped}");
}

#[test]
fn with_a_byzantine_replica_that_never_leads() {
    stays_inside(0, true);
}

#[test]
fn with_a_byzantine_leader_of_the_first_view() {
    stays_inside(1, true);
}

#[test]
fn with_a_byzantine_leader_of_the_second_view_and_no_fast_path() {
    stays_inside(2, false);
}
