//! When things happen: the view timer, hints, the heartbeat, the hedge (PROTOCOL section 3, "Timers and idleness").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crypto::Digest;

use super::{Advice, Effect, Payloads, Recipient, Replica, Settings};
use crate::body::Body;
use crate::message::Message;
use crate::mutation::{Mutation, mutated};
use crate::types::{Timestamp, View};

/// The clockwork of the current view.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pub(super) entered_at: Timestamp,
    /// When the view timer was armed.
    pub(super) armed_at: Option<Timestamp>,
    /// T.
    pub(super) timer_us: u64,
    /// The timer of this view has run out.
    pub(super) expired: bool,
    /// Proposals wait for a block here.
    pub(super) work: bool,
    /// Views inside the window for which a peer has told of work.
    pub(super) hints: BTreeSet<View>,
    told_leader: bool,
    told_all: bool,
    /// Bodies of blocks that are being signed.
    pub(super) proposal_bodies: BTreeMap<Digest, Arc<Body>>,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            entered_at: Timestamp::ZERO,
            armed_at: None,
            timer_us: settings.timer_floor_us,
            expired: false,
            work: false,
            hints: BTreeSet::new(),
            told_leader: false,
            told_all: false,
            proposal_bodies: BTreeMap::new(),
        }
    }

    /// A new view begins.
    pub(super) fn enter(&mut self, now: Timestamp) {
        self.entered_at = now;
        self.armed_at = None;
        self.expired = false;
        self.told_leader = false;
        self.told_all = false;
    }

    /// T doubles: my own timer ended a view, or nothing became final for K views.
    pub(super) fn slow_down(&mut self, settings: &Settings) {
        self.timer_us = self.timer_us.saturating_mul(2).min(settings.timer_ceiling_us);
    }

    /// T halves on finality.
    pub(super) fn speed_up(&mut self, settings: &Settings) {
        self.timer_us = (self.timer_us / 2).max(settings.timer_floor_us);
    }

    pub(super) fn timer_deadline(&self) -> Option<Timestamp> {
        self.armed_at.map(|at| at.after_us(self.timer_us))
    }
}

impl Replica {
    /// The hedge of R6, never longer than min(2Δ, T/4).
    pub(super) fn hedge_us(&self) -> u64 {
        self.advice.hedge_us.min(2 * self.settings.delta_us).min(self.pace.timer_us / 4)
    }

    /// Advice counts from now on; a view timer that stood at its floor goes with it.
    pub(super) fn take_advice(&mut self, advice: Advice) {
        let before = self.settings.timer_floor_us;
        self.settings = self.configured.measured(advice.delta_us);
        self.advice = advice;
        let floor = self.settings.timer_floor_us;
        if self.pace.timer_us == before || self.pace.timer_us < floor {
            self.pace.timer_us = floor;
        }
    }

    /// Δ for asking others and for the size of blocks, where a small one would cost bytes: never below the configured one.
    pub(super) fn pull_delta_us(&self) -> u64 {
        self.settings.delta_us.max(self.configured.delta_us)
    }

    fn heartbeat_at(&self) -> Timestamp {
        self.pace.entered_at.after_us(self.settings.heartbeat_us)
    }

    /// Whether a header or a vote of the current view was seen.
    fn view_is_alive(&self) -> bool {
        self.views.get(&self.view).is_some_and(|state| !state.headers.is_empty() || !state.votes.is_empty())
    }

    /// Whether a leader has a reason to propose now, even an empty block: a hint, a vote of the view, the heartbeat.
    pub(super) fn must_propose(&self, now: Timestamp) -> bool {
        if mutated(Mutation::LeaderWaitsForHeartbeat) {
            return now >= self.heartbeat_at();
        }
        self.pace.hints.contains(&self.view) || self.must_propose_now(now)
    }

    /// Whether it must not wait for company either: others are voting, or time is up.
    pub(super) fn must_propose_now(&self, now: Timestamp) -> bool {
        self.view_is_alive() || now >= self.heartbeat_at() || (now >= self.settle_at() && self.is_unsettled())
    }

    /// When values in blocks that are not final count as waiting: finality should have come by then.
    pub(super) fn settle_at(&self) -> Timestamp {
        self.pace.entered_at.after_us(2 * self.settings.delta_us)
    }

    /// A block with values that has my vote, or is notarized, is not final yet: its proposals are pending (section 6).
    fn is_unsettled(&self) -> bool {
        let has_values = |hash: &Digest| {
            self.tree.get(hash).is_some_and(|block| {
                block.header.header().is_sealed() || block.body.as_ref().is_some_and(|body| !body.is_empty())
            })
        };
        self.views.values().any(|state| state.lock.iter().chain(&state.notarized).any(has_values))
    }

    fn has_trigger(&self, now: Timestamp) -> bool {
        let armed_all_the_same = mutated(Mutation::LeaderWaitsForHeartbeat)
            && (self.pace.hints.contains(&self.view) || self.view_is_alive());
        self.pace.work || self.must_propose(now) || armed_all_the_same
    }

    /// On entering a view: whether proposals wait that the chain to build on does not hold.
    pub(super) fn look_for_work(&mut self, now: Timestamp, payloads: &dyn Payloads) {
        let parent = self.best_parent(self.view).unwrap_or(self.last_final);
        let ancestors = self.tree.bodies(&parent.hash, &self.last_committed).unwrap_or_default();
        self.pace.work = payloads.has_work(now, &ancestors);
    }

    /// Arms the view timer when there is a reason, and tells who must know.
    pub(super) fn update_pace(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(at) = self.pace.timer_deadline() {
            self.pace.expired |= now >= at;
        }
        let header_seen = self.views.get(&self.view).is_some_and(|state| !state.headers.is_empty());
        if self.pace.armed_at.is_none() && self.has_trigger(now) {
            self.pace.armed_at = Some(now);
        }
        let Some(me) = self.me else { return };
        let message = Message::Hint(self.config.epoch, self.view);
        let signing = !self.pace.proposal_bodies.is_empty();
        if header_seen || signing {
            return;
        }
        if self.pace.armed_at.is_some() && !self.pace.told_leader {
            // Armed by anything but the header: hint the leader at once.
            self.pace.told_leader = true;
            let leader = self.config.leader(self.view);
            if leader != me {
                effects.push(Effect::Send { to: Recipient::One(leader), message: message.clone() });
            }
        }
        if self.tell_all_at().is_some_and(|at| now >= at) {
            // A replica with pending proposals tells all; not before the leader has had a moment to answer with its block.
            self.pace.told_all = true;
            effects.push(Effect::Send { to: Recipient::All, message });
        }
    }

    /// When the others are told of work here, unless the leader's header comes first.
    fn tell_all_at(&self) -> Option<Timestamp> {
        let waits = self.pace.work && !self.pace.told_all && self.me.is_some();
        let since = self.pace.armed_at.filter(|_| waits)?;
        let alive = self.views.get(&self.view).is_some_and(|state| !state.headers.is_empty());
        let at = since.after_us(self.settings.delta_us / 4).max(self.batch_deadline().unwrap_or_default());
        (!alive && self.pace.proposal_bodies.is_empty()).then_some(at)
    }

    /// When the replica wants [`super::Input::Tick`] next, if nothing else happens before.
    pub fn next_deadline(&self) -> Timestamp {
        if self.closed {
            return self.next_pull();
        }
        let mut next = self.heartbeat_at();
        if self.pace.armed_at.is_some() {
            next = Timestamp::new(u64::MAX);
        } else if self.is_unsettled() {
            next = next.min(self.settle_at());
        }
        if self.settle_at() > self.seen_now && self.leads(self.view) && self.is_unsettled() {
            next = next.min(self.settle_at()); // a carrier may be due then
        }
        if let Some(at) = self.pace.timer_deadline().filter(|_| !self.pace.expired) {
            next = next.min(at);
        }
        if let Some(at) = self.batch_deadline() {
            next = next.min(at);
        }
        if let Some(at) = self.tell_all_at() {
            next = next.min(at);
        }
        let hedge = self.hedge_us();
        let drift_us = self.config.limits.clock_drift_ms_max * 1_000;
        for state in self.views.values() {
            if let Some(since) = state.hedge_since.filter(|_| !state.finalized && !state.nulled) {
                next = next.min(since.after_us(hedge));
            }
            if state.lock.is_none() && !state.nulled {
                // A block dated ahead waits until in range.
                for block in state.headers.iter().filter_map(|hash| self.tree.get(hash)) {
                    let ready = Timestamp::new(block.header.header().time.get().saturating_sub(drift_us));
                    if ready > self.seen_now && !block.late {
                        next = next.min(ready);
                    }
                }
            }
        }
        next.min(self.next_pull())
    }
}
