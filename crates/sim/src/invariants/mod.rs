//! What must hold in every run, one file each. All of it is judged from what leaves the hosts, not from their inside.
//!
//! - [`agreement`]: no two final blocks at one height.
//! - [`validity`]: certificates imply validity; final blocks have proofs that hold.
//! - [`signing`]: no honest replica signs what R1–R8 forbid.
//! - [`promises`]: what clients were told stays, through crashes.
//! - [`deadlines`]: no value is final after its deadline, none told expired too early.
//! - [`proofs_of_guilt`]: evidence never accuses an honest replica.
//! - [`liveness`]: after faults stop, what waits becomes final within a stated number of views.
//!
//! [`ledger`] keeps everything that was ever sent, for judging.

mod agreement;
mod deadlines;
mod ledger;
pub mod liveness;
mod promises;
mod proofs_of_guilt;
mod signing;
mod validity;

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus::body::Body;
use consensus::config::SharedConfig;
use consensus::epoch::{EpochContext, EpochStart};
use consensus::evidence::Evidence;
use consensus::header::SignedHeader;
use consensus::replica::CommittedBlock;
use consensus::types::{Epoch, Height, Timestamp, ValidatorIndex, View};
use consensus::verify::{Content, Verified, Verifier};
use consensus::vote::Statement;
use consensus::votes::Vote;
use crypto::Digest;

use self::agreement::Agreement;
use self::deadlines::Deadlines;
use self::ledger::Ledger;
use self::liveness::{Liveness, bound_in_views};
use self::promises::Promises;
use self::proofs_of_guilt::ProofsOfGuilt;
use self::signing::Signing;
use self::validity::Validity;
use crate::host::Host;

/// Violations kept of one run; the first ones say most.
const MAX_VIOLATIONS: usize = 32;

/// Watches a run and keeps the violations it sees.
pub(crate) struct Watch {
    scenes: BTreeMap<Epoch, Scene>,
    /// The epoch that each host was seen in last.
    epochs: BTreeMap<u16, Epoch>,
    agreement: Agreement,
    promises: Promises,
    deadlines: Deadlines,
    guilt: ProofsOfGuilt,
    liveness: Liveness,
    violations: Vec<String>,
}

/// What is judged within one epoch: views begin anew with each.
struct Scene {
    config: SharedConfig,
    start: EpochStart,
    ledger: Ledger,
    validity: Validity,
    signing: Signing,
}

impl Scene {
    fn new(context: &EpochContext) -> Self {
        Self {
            ledger: Ledger::new(context.config.quorum),
            config: SharedConfig::clone(&context.config),
            start: context.start,
            validity: Validity::default(),
            signing: Signing::default(),
        }
    }
}

impl Watch {
    pub(crate) fn new(first: &EpochContext) -> Self {
        Self {
            scenes: BTreeMap::from([(first.epoch(), Scene::new(first))]),
            epochs: BTreeMap::new(),
            agreement: Agreement::default(),
            promises: Promises::default(),
            deadlines: Deadlines::default(),
            guilt: ProofsOfGuilt::default(),
            liveness: Liveness::default(),
            violations: Vec::new(),
        }
    }

    /// A host is in an epoch; it never comes back to an earlier one.
    pub(crate) fn entered_epoch(&mut self, host: u16, context: &EpochContext) {
        let epoch = context.epoch();
        self.scenes.entry(epoch).or_insert_with(|| Scene::new(context));
        let before = self.epochs.insert(host, epoch).unwrap_or_default();
        if epoch < before {
            self.violations.push(format!("epochs: host {host} was in epoch {before} and is in epoch {epoch} again"));
        }
    }

    /// Something verified leaves a validator.
    pub(crate) fn sent(&mut self, from: ValidatorIndex, honest: bool, content: &Verified<Content>) {
        let (epoch, content) = (content.epoch(), content.get());
        let Some(scene) = self.scenes.get_mut(&epoch) else { return };
        let told = |it: &Content| matches!(it, Content::Proposal(..) | Content::Vote(_));
        if honest && !told(content) {
            return; // what honest validators pass on was sent before
        }
        scene.ledger.sent(content);
        if !honest {
            return;
        }
        let statements = match content {
            Content::Proposal(header, _) => vec![Statement::Notarize(header.header().view, header.hash())],
            Content::Vote(bundle) => bundle.statements().to_vec(),
            _ => return,
        };
        let (ledger, config, start) = (&scene.ledger, &scene.config, &scene.start);
        scene.signing.signed(from, &statements, ledger, config, start, &mut self.violations);
        for hash in statements.iter().filter_map(Statement::notarized) {
            scene.validity.judge(&hash, ledger, &self.agreement, config, &start.hash, &mut self.violations);
        }
    }

    /// A client hands a value to a validator.
    pub(crate) fn submitted(&mut self, id: Digest, deadline: Timestamp) {
        self.deadlines.submitted(id, deadline);
    }

    /// An honest validator has told a client that its values are accepted.
    pub(crate) fn accepted(&mut self, host: u16, ids: &[Digest], view: View) {
        self.promises.accepted(host, ids);
        let open: Vec<Digest> = ids.iter().filter(|id| !self.agreement.values.contains_key(*id)).copied().collect();
        self.liveness.accepted(host, &open, view);
    }

    /// An honest validator has told that a block is final.
    pub(crate) fn published(&mut self, host: &Host, block: &CommittedBlock, verifier: &Verifier) {
        let index = host.validator.get();
        let held_from = host.engine.as_ref().map_or(Height::ZERO, |engine| engine.status().held_from);
        self.promises.published(index, block);
        if !self.agreement.published(index, held_from, block, &mut self.violations) {
            return;
        }
        let header = block.header.header();
        self.deadlines.published(block, &mut self.violations);
        let Some(scene) = self.scenes.get_mut(&header.epoch) else { return };
        let (ledger, config, start) = (&scene.ledger, &scene.config, &scene.start);
        scene.validity.judge(&block.header.hash(), ledger, &self.agreement, config, &start.hash, &mut self.violations);
        Validity::proven(host, header.height.get(), ledger, verifier, &mut self.violations);
        let bound = bound_in_views(config.n() as u16);
        for id in block.body.ids() {
            self.liveness.settled(id, header.view, bound, &mut self.violations);
        }
    }

    /// An honest validator has told that values expired.
    pub(crate) fn expired(&mut self, host: u16, ids: &[Digest], view: View) {
        self.promises.expired(host, ids);
        self.deadlines.expired(host, ids, &self.agreement, &mut self.violations);
        for id in ids {
            self.liveness.settled(id, view, u64::MAX, &mut self.violations);
        }
    }

    /// What an honest validator finds in its store: signed and durable, and perhaps never sent. It counts as if it had been.
    pub(crate) fn held(&mut self, header: &Arc<SignedHeader>, body: Option<&Arc<Body>>) {
        let Some(scene) = self.scenes.get_mut(&header.header().epoch) else { return };
        scene.ledger.header(header);
        if let Some(body) = body {
            scene.ledger.body(body);
        }
    }

    /// A vote that an honest validator finds in its store.
    pub(crate) fn held_vote(&mut self, vote: &Vote) {
        if let Some(scene) = self.scenes.get_mut(&vote.epoch()) {
            scene.ledger.vote(vote);
        }
    }

    /// The highest height that a validator has told.
    pub(crate) fn told(&self, host: u16) -> u64 {
        self.agreement.told(host)
    }

    /// An honest validator came back and found this height in its store.
    pub(crate) fn restarted(&mut self, host: &Host, height: u64) {
        self.agreement.restarted(host.validator.get(), height, &mut self.violations);
        self.promises.check(host, &mut self.violations);
    }

    /// An honest validator accuses another.
    pub(crate) fn accused(&mut self, evidence: &Evidence, honest: bool, verifier: &Verifier) {
        self.guilt.accused(evidence, honest, verifier, &mut self.violations);
    }

    /// The faults that can end have ended.
    pub(crate) fn calm(&mut self, view: View) {
        self.liveness.calm(view);
    }

    /// Something else is wrong.
    pub(crate) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    /// The run is over.
    pub(crate) fn finish(&mut self, hosts: &[Host]) {
        for host in hosts.iter().filter(|host| host.honest && host.engine.is_some()) {
            self.promises.check(host, &mut self.violations);
        }
        let running = |index: u16| hosts.get(usize::from(index)).is_some_and(|host| host.engine.is_some());
        self.liveness.finish(running, &mut self.violations);
        self.violations.truncate(MAX_VIOLATIONS);
    }

    /// What was violated.
    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Who was accused by honest validators.
    pub(crate) fn accused_set(&self) -> Vec<u16> {
        self.guilt.accused.iter().copied().collect()
    }

    /// Who is provably guilty when everything that was sent to anyone is put together, and of what.
    pub(crate) fn guilty(&self) -> BTreeMap<u16, String> {
        let all = self.scenes.values().flat_map(|scene| &scene.ledger.guilty);
        all.map(|(index, what)| (index.get(), what.clone())).collect()
    }

    /// The most views that a value took after the faults had ended.
    pub(crate) const fn longest_wait_in_views(&self) -> u64 {
        self.liveness.longest
    }
}
