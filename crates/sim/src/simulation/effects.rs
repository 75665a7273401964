//! What hosts want done: signing, writing, sending, serving, telling.

use std::sync::Arc;

use consensus::message::Message;
use consensus::replica::{CommittedBlock, Recipient, Ticket};
use consensus::types::{Height, Timestamp, ValidatorIndex};
use consensus::verify::Content;
use crypto::PublicKey;
use engine::records::{StoreRecords, batch_of};
use engine::{Effect, Input, serve};
use storage::ByteStore;

use super::{Event, Sent, Simulation};
use crate::attack::{Act, Attack, Ctx};
use crate::network::sampler::{happens, up_to};
use crate::scenario::{Cpu, Fault, START_US};
use crate::wire;

/// Bytes of final blocks served at once.
const CHAIN_BYTES: usize = 4 * 1024 * 1024;

impl Simulation {
    pub(super) fn apply(&mut self, host: u16, mut effects: Vec<Effect>) {
        let life = self.hosts[usize::from(host)].life;
        for effect in effects.drain(..) {
            if self.hosts[usize::from(host)].life != life {
                break; // it died in the middle
            }
            match effect {
                Effect::Sign { ticket, request, key } => self.sign(host, ticket, &request, &key),
                Effect::EpochStarted(context) => self.in_epoch(host, &context),
                Effect::SystemTaken(Some(why)) => {
                    self.watch.violation(format!("v{host}: its own rotation was refused: {why}"));
                }
                Effect::Fatal(why) => self.watch.violation(format!("v{host} stops: {why}")),
                Effect::Persist { ticket, records } => {
                    self.write(host, records);
                    self.attacked(host, |attack, ctx| attack.writing(ctx));
                    if self.hosts[usize::from(host)].life == life {
                        self.hosts[usize::from(host)].flushing.waiting.push(ticket);
                        self.start_flush(host);
                    }
                }
                Effect::Index(records) => self.write(host, records),
                Effect::Send { to, message } => self.send(host, to, message),
                Effect::ServeChain { to, above, upto } => self.serve_chain(host, to, above, upto),
                Effect::Publish(blocks) => self.published(host, &blocks),
                Effect::Evidence(evidence) => {
                    let honest = self.is_honest(evidence.accused());
                    if self.hosts[usize::from(host)].honest
                        && let Some(verifier) = self.verifiers.get(&evidence.epoch())
                    {
                        self.watch.accused(&evidence, honest, verifier);
                    }
                }
                Effect::Expired(ids) => {
                    if self.hosts[usize::from(host)].honest {
                        self.figures.expired(&ids);
                        self.watch.expired(host, &ids, self.figures.view);
                    }
                }
                Effect::Accepted { ticket, outcomes } => {
                    if let (Some(id), [Ok(_)]) = (self.submissions.remove(&ticket.0), outcomes.as_slice()) {
                        self.watch.accepted(host, &[id], self.figures.view);
                    }
                }
                Effect::Entered { .. } | Effect::Observed(_) | Effect::Dropped(_) | Effect::SystemTaken(None) => {}
            }
        }
        self.spare.push(effects);
    }

    fn is_honest(&self, validator: ValidatorIndex) -> bool {
        self.hosts.iter().filter(|host| host.validator == validator).all(|host| host.honest)
    }

    fn sign(&mut self, host: u16, ticket: Ticket, request: &consensus::replica::SignRequest, key: &PublicKey) {
        let it = &mut self.hosts[usize::from(host)];
        self.figures.signatures += u64::from(it.honest);
        let signature = match it.sign(request, key) {
            Ok(signature) => signature,
            Err(error) => return self.watch.violation(format!("v{host} cannot sign: {error}")),
        };
        if self.scenario.cpu == Cpu::default() {
            return self.input(host, Input::Signed { ticket, signature });
        }
        let (at, life) = (it.compute_signature(&self.scenario.cpu, self.now), it.life);
        self.queue.plan(at, Event::Signed { host, life, ticket, signature: signature.into() });
    }

    fn write(&mut self, host: u16, records: Vec<consensus::records::Record>) {
        if let Err(error) = self.hosts[usize::from(host)].disk.commit(&[batch_of(records)], false) {
            self.watch.violation(format!("v{host} cannot write: {error}"));
        }
    }

    /// Begins the next flush of a disk unless one is under way: it covers what was written until now.
    fn start_flush(&mut self, host: u16) {
        let it = &mut self.hosts[usize::from(host)];
        if it.flushing.under_way.is_some() || it.flushing.waiting.is_empty() {
            return;
        }
        let tickets = std::mem::take(&mut it.flushing.waiting);
        it.flushing.under_way = Some((tickets, it.disk.unflushed()));
        let (validator, life) = (it.validator.get(), it.life);
        let disk = self.scenario.disk;
        let mut us = disk.flush_us + up_to(&mut self.rng, disk.jitter_us);
        if happens(&mut self.rng, disk.stall_per_mille) {
            us += up_to(&mut self.rng, disk.stall_us);
        }
        let passed = self.now.since_us(Timestamp::new(START_US));
        for fault in &self.scenario.faults {
            if let Fault::SlowDisk { validator: slow, from_us, to_us, extra_us } = fault
                && slow.is_none_or(|slow| slow == validator)
                && (*from_us..*to_us).contains(&passed)
            {
                us += extra_us;
            }
        }
        self.queue.plan(self.now.after_us(us), Event::Flushed { host, life });
    }

    /// A flush is done.
    pub(super) fn flushed(&mut self, host: u16) {
        let it = &mut self.hosts[usize::from(host)];
        let Some((tickets, commits)) = it.flushing.under_way.take() else { return };
        it.disk.flush_first(commits);
        self.start_flush(host);
        let life = self.hosts[usize::from(host)].life;
        for ticket in tickets {
            // What the first completion causes may be the host's end.
            if self.hosts[usize::from(host)].life == life {
                self.input(host, Input::Persisted { ticket });
            }
        }
    }

    fn published(&mut self, host: u16, blocks: &[CommittedBlock]) {
        if !self.hosts[usize::from(host)].honest {
            return;
        }
        for block in blocks {
            self.trace.update(block.header.hash().as_bytes());
            if let Some(verifier) = self.verifiers.get(&block.header.header().epoch) {
                self.watch.published(&self.hosts[usize::from(host)], block, verifier);
            }
            self.figures.published(self.now, host, block);
        }
    }

    fn serve_chain(&mut self, host: u16, to: ValidatorIndex, above: Height, upto: Height) {
        let it = &self.hosts[usize::from(host)];
        let records = StoreRecords(it.disk.reader());
        match serve::answer(&records, &self.chain_id, above, upto, CHAIN_BYTES) {
            Ok(Some(message)) => self.send(host, Recipient::One(to), message),
            Ok(None) => {}
            Err(error) => self.watch.violation(format!("v{host} cannot serve final blocks: {error}")),
        }
    }

    /// A host wants to send; an attacker in it may do something else instead.
    pub(super) fn send(&mut self, host: u16, to: Recipient, message: Message) {
        if self.hosts[usize::from(host)].attack.is_some() {
            self.attacked(host, |attack, ctx| attack.outgoing(ctx, to, message));
        } else {
            self.transmit(host, to, message);
        }
    }

    /// Lets the attacker in a host act.
    pub(super) fn attacked(&mut self, host: u16, act: impl FnOnce(&mut dyn Attack, &mut Ctx<'_>)) {
        let calm = self.scenario.calm_at_us.is_some_and(|at| self.now >= Timestamp::new(START_US).after_us(at));
        let it = &mut self.hosts[usize::from(host)];
        let Some(mut attack) = it.attack.take() else { return };
        let (context, key) = (it.context(), it.keys.present());
        let mut ctx = Ctx {
            me: it.validator,
            now: it.clock.local(self.now),
            chain_id: self.chain_id,
            config: &context.config,
            key: &key,
            rng: &mut self.rng,
            board: &mut self.board,
            timers: self.scenario.settings,
            calm,
            out: Vec::new(),
        };
        act(attack.as_mut(), &mut ctx);
        let acts = ctx.out;
        it.attack = Some(attack);
        let life = it.life;
        for act in acts {
            match act {
                Act::Crash { back_after_us } => {
                    self.crash(host);
                    let calm = self.scenario.calm_at_us.map(|us| Timestamp::new(START_US).after_us(us));
                    let back = self.now.after_us(back_after_us);
                    self.queue.plan(calm.map_or(back, |calm| back.min(calm)).max(self.now), Event::Boot { host });
                }
                Act::Send { to, message, delay_us: 0 } => self.transmit(host, to, message),
                Act::Send { to, message, delay_us } => {
                    let message = Box::new(message);
                    self.queue.plan(self.now.after_us(delay_us), Event::Later { host, life, to, message });
                }
            }
        }
    }

    /// Verifies a message once for all its receivers and puts it on their links.
    pub(super) fn transmit(&mut self, host: u16, to: Recipient, message: Message) {
        let (me, honest) = (self.hosts[usize::from(host)].validator, self.hosts[usize::from(host)].honest);
        let (name, cost) = (message.name(), wire::cost(&message, self.level));
        if let (true, Message::Proposal(header, _)) = (honest, &message) {
            self.figures.proposed(self.now, header);
        }
        // What was said of an epoch that the host has left in the meantime is verified against that one.
        let epoch = message.epoch().unwrap_or(self.hosts[usize::from(host)].epoch);
        let Some(verifier) = self.verifiers.get(&epoch) else {
            return self.watch.violation(format!("v{host} speaks in epoch {epoch}, which nobody has entered"));
        };
        let content = match verifier.verify(me, message.clone()) {
            Ok(content) => content,
            Err(error) if honest => {
                return self.watch.violation(format!("honest v{host} sent what does not verify: {error}"));
            }
            Err(error) => return self.figures.refused(error.name()),
        };
        self.watch.sent(me, honest, &content);
        if let Content::Proposal(header, body) = content.get()
            && self.hosts.iter().any(|host| !host.honest)
        {
            self.board.saw(header);
            if let Some(body) = body.as_ref().filter(|body| !body.is_empty()) {
                self.board.body = Some(Arc::clone(body));
            }
        }
        let sent = Arc::new(Sent { content, message, cost });
        let mut receivers = 0;
        for target in 0..self.hosts.len() {
            let validator = self.hosts[target].validator;
            let meant = match to {
                Recipient::All => validator != me,
                Recipient::One(one) => validator == one && one != me,
            };
            if meant {
                receivers += 1;
                self.carry(host, target as u16, me, &sent);
            }
        }
        if honest {
            self.figures.sent(name, cost.bytes * receivers);
            self.count_sent(host, name, cost.bytes * receivers);
        }
    }

    fn carry(&mut self, host: u16, to: u16, from: ValidatorIndex, sent: &Arc<Sent>) {
        let bytes = sent.cost.bytes;
        let mut common = self.common_numbers.then(|| self.drawn_for(host, to, sent.content.get()));
        let rng = common.as_mut().unwrap_or(&mut self.rng);
        let arrivals = self.network.transmit(rng, self.now, usize::from(host), usize::from(to), bytes);
        for at in arrivals.into_iter().flatten() {
            self.queue.plan(at, Event::Deliver { to, from, sent: Arc::clone(sent) });
        }
    }
}
