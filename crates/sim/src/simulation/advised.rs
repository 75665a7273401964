//! Runs with an optimizer in every host: the one that ships, fed as a node feeds it.

use consensus::types::Timestamp;
use consensus::verify::Content;
use consensus::vote::Statement;
use engine::Input;
use optimizer::{LinkSample, Metrics, Optimizer, Setup};

use super::{Event, Simulation};
use crate::report::{Report, Samples};
use crate::scenario::{START_US, Scenario};
use crate::study::setup;

/// How often optimizers look at their links: a node does every second, a run lasts seconds.
const SAMPLE_US: u64 = 200_000;

impl Simulation {
    /// A network whose hosts are advised by the optimizers that `make` makes.
    pub fn with_optimizers(scenario: Scenario, make: &dyn Fn(Setup, usize) -> Optimizer) -> Result<Self, String> {
        let mut simulation = Self::new(scenario)?;
        for at in 0..simulation.hosts.len() {
            let setup = setup(&simulation.scenario, &simulation.hosts[at].setup.genesis.config, at);
            simulation.hosts[at].optimizer = Some(make(setup, at));
        }
        simulation.common_numbers = true;
        let first = Timestamp::new(START_US).after_us(SAMPLE_US);
        simulation.queue.plan(first, Event::Sample);
        Ok(simulation)
    }

    /// Runs until the scenario's time is over; what the run has shown, and what the optimizers of hosts that are up at the end have.
    pub fn run_with_optimizers(mut self) -> (Report, Samples, Vec<Metrics>) {
        self.play();
        let up = self.hosts.iter().filter(|host| host.honest && host.engine.is_some());
        let learned = up.filter_map(|host| host.optimizer.as_ref()).map(Optimizer::metrics).collect();
        let (report, samples) = self.report();
        (report, samples, learned)
    }

    /// Pings between hosts that are up, as the links of a node measure them.
    pub(super) fn sample_links(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].optimizer.is_none() || self.hosts[host].engine.is_none() {
                continue;
            }
            let mut samples = Vec::with_capacity(self.hosts.len());
            for peer in (0..self.hosts.len()).filter(|peer| *peer != host) {
                let up = self.hosts[peer].engine.is_some();
                let rtt_us = if up { self.network.ping(&mut self.rng, self.now, host, peer) } else { None };
                samples.push(LinkSample { peer: peer as u16, connected: up, rtt_us, bytes_sent: 0, queued_bytes: 0 });
            }
            let it = &mut self.hosts[host];
            let local = it.clock.local(self.now);
            let advice = it.optimizer.as_mut().and_then(|optimizer| optimizer.sample_links(local, &samples));
            if let Some(advice) = advice {
                self.input(host as u16, Input::Advice(advice));
            }
        }
        self.queue.plan(self.now.after_us(SAMPLE_US), Event::Sample);
    }

    /// Bytes of votes and of requests for votes, for the optimizer's account.
    pub(super) fn count_sent(&mut self, host: u16, name: &str, bytes: u64) {
        if let ("vote" | "status", Some(optimizer)) = (name, &mut self.hosts[usize::from(host)].optimizer) {
            optimizer.count_sent(bytes);
        }
    }

    /// Random numbers for one message on one link, from the seed and from what it says: a vote for a block takes the same time on its way
    /// whether a Finalize was sent before it or not.
    pub(super) fn drawn_for(&self, from: u16, to: u16, content: &Content) -> fastrand::Rng {
        let (kind, view) = match content {
            Content::Proposal(header, _) => (1, header.header().view.get()),
            Content::Vote(bundle) => {
                let notarize = bundle.statements().iter().find(|s| matches!(s, Statement::Notarize(..)));
                let any = notarize.or_else(|| bundle.statements().first());
                (if notarize.is_some() { 2 } else { 3 }, any.map_or(0, |statement| statement.view().get()))
            }
            _ => (4, self.now.get()),
        };
        let mut seed = self.scenario.seed;
        for part in [u64::from(from), u64::from(to), kind, view] {
            // A step of splitmix64 for each part: neighbouring messages get unrelated numbers.
            seed = (seed ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
            seed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            seed = (seed ^ (seed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            seed ^= seed >> 31;
        }
        fastrand::Rng::with_seed(seed)
    }
}
