//! Links between validators: delay by place, jitter, spikes, loss, duplication, order, bandwidth, weather.
//!
//! - [`regions`]: where validators stand, from a table of measured round trips.
//! - [`sampler`]: random delays from integers alone.
//! - [`weather`]: partitions and the like.

pub mod regions;
pub(crate) mod sampler;
pub mod weather;

use consensus::types::Timestamp;
use serde::{Deserialize, Serialize};

use self::regions::{Layout, OneWay, one_way_delays};
use self::sampler::{happens, normal_us, up_to};
use self::weather::{LinkEffect, Weather};

/// No message is faster, whatever is drawn, in microseconds.
const LEAST_DELAY_US: u64 = 50;
/// Messages above this many bytes wait behind everything; smaller ones overtake them at the sender, as in a node's queues.
const BULK_BYTES: u64 = 16 * 1024;

/// How links behave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// Where the validators stand.
    pub layout: Layout,
    /// Least one-way delay in the uniform layout, in microseconds.
    pub delay_min_us: u64,
    /// Greatest one-way delay in the uniform layout.
    pub delay_max_us: u64,
    /// Up to this much is added to each delay.
    pub jitter_us: u64,
    /// Messages that meet a spike, in thousandths.
    pub spike_per_mille: u32,
    /// A spike adds up to this much.
    pub spike_us: u64,
    /// Messages lost, in thousandths.
    pub loss_per_mille: u32,
    /// A lost message arrives this much later instead, as over TCP; 0 means that it is lost for good.
    pub retransmit_us: u64,
    /// Messages delivered twice, in thousandths.
    pub duplicate_per_mille: u32,
    /// Whether a link keeps the order of messages. Without it they overtake each other freely.
    pub in_order: bool,
    /// What a validator can send, in bits per second; 0 for no limit. One message to all takes its bytes once for each receiver.
    pub uplink_bits_per_s: u64,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            layout: Layout::uniform(),
            delay_min_us: 1_000,
            delay_max_us: 10_000,
            jitter_us: 0,
            spike_per_mille: 0,
            spike_us: 0,
            loss_per_mille: 0,
            retransmit_us: 0,
            duplicate_per_mille: 0,
            in_order: false,
            uplink_bits_per_s: 0,
        }
    }
}

/// When one validator's line is free again.
#[derive(Clone, Copy, Debug, Default)]
struct Uplink {
    small: Timestamp,
    bulk: Timestamp,
}

/// The links of a running simulation. Hosts are counted apart from validators, because an attacker may run two hosts as one validator.
pub(crate) struct Network {
    links: Links,
    weather: Vec<Weather>,
    start: Timestamp,
    /// From then on nothing is lost, doubled or struck by a spike.
    calm: Option<Timestamp>,
    /// The validator of each host.
    validator_of: Vec<u16>,
    /// The region of each validator; empty in the uniform layout.
    region_of: Vec<usize>,
    delays: Vec<Vec<OneWay>>,
    uplinks: Vec<Uplink>,
    last_arrival: Vec<Timestamp>,
}

impl Network {
    pub(crate) fn new(
        links: Links,
        weather: Vec<Weather>,
        start: Timestamp,
        calm: Option<Timestamp>,
        validator_of: Vec<u16>,
    ) -> Result<Self, String> {
        if links.delay_min_us > links.delay_max_us {
            return Err("links: delay_min_us is above delay_max_us".to_owned());
        }
        let regions = links.layout.regions()?;
        let delays = one_way_delays(&regions)?;
        let validators = usize::from(validator_of.iter().max().copied().unwrap_or(0)) + 1;
        let region_of =
            if regions.is_empty() { Vec::new() } else { (0..validators).map(|v| v % regions.len()).collect() };
        let hosts = validator_of.len();
        let (uplinks, last_arrival) = (vec![Uplink::default(); hosts], vec![Timestamp::ZERO; hosts * hosts]);
        Ok(Self { links, weather, start, calm, validator_of, region_of, delays, uplinks, last_arrival })
    }

    /// When the copies of a message arrive: none if it is lost, two if it is doubled.
    pub(crate) fn transmit(
        &mut self,
        rng: &mut fastrand::Rng,
        now: Timestamp,
        from: usize,
        to: usize,
        bytes: u64,
    ) -> [Option<Timestamp>; 2] {
        let left = self.leaves(now, from, bytes);
        let calm = self.calm.is_some_and(|at| now >= at);
        let copies = if !calm && happens(rng, self.links.duplicate_per_mille) { 2 } else { 1 };
        let mut arrivals = [None, None];
        for arrival in arrivals.iter_mut().take(copies) {
            *arrival = self.delay(rng, now, from, to, calm).map(|delay| {
                let mut at = left.after_us(delay);
                if self.links.in_order {
                    let last = &mut self.last_arrival[from * self.uplinks.len() + to];
                    at = at.max(*last);
                    *last = at;
                }
                at
            });
        }
        arrivals
    }

    /// A round trip of a small message; none if either way loses it.
    pub(crate) fn ping(&self, rng: &mut fastrand::Rng, now: Timestamp, a: usize, b: usize) -> Option<u64> {
        let calm = self.calm.is_some_and(|at| now >= at);
        Some(self.delay(rng, now, a, b, calm)? + self.delay(rng, now, b, a, calm)?)
    }

    /// When the last byte has left the sender.
    fn leaves(&mut self, now: Timestamp, from: usize, bytes: u64) -> Timestamp {
        if self.links.uplink_bits_per_s == 0 {
            return now;
        }
        let us = (bytes * 8_000_000).div_ceil(self.links.uplink_bits_per_s);
        let line = &mut self.uplinks[from];
        line.bulk = line.bulk.max(now).after_us(us);
        if bytes > BULK_BYTES {
            return line.bulk;
        }
        line.small = line.small.max(now).after_us(us);
        line.small
    }

    /// The delay on the way; `None` if the message is lost.
    fn delay(&self, rng: &mut fastrand::Rng, now: Timestamp, from: usize, to: usize, calm: bool) -> Option<u64> {
        let links = &self.links;
        let (from, to) = (self.validator_of[from], self.validator_of[to]);
        let place = |v: u16| self.region_of.get(usize::from(v)).copied();
        let base = match (place(from), place(to)) {
            (Some(a), Some(b)) => {
                let way = self.delays[a][b];
                normal_us(rng, way.mean_us, way.deviation_us, LEAST_DELAY_US)
            }
            _ => links.delay_min_us + up_to(rng, links.delay_max_us - links.delay_min_us),
        };
        let mut delay = base + up_to(rng, links.jitter_us);
        if !calm {
            if happens(rng, links.spike_per_mille) {
                delay += up_to(rng, links.spike_us);
            }
            if happens(rng, links.loss_per_mille) {
                if links.retransmit_us == 0 {
                    return None;
                }
                delay += links.retransmit_us;
            }
        }
        let after = now.since_us(self.start);
        for weather in &self.weather {
            if !weather.concerns(after, from, to) {
                continue;
            }
            match weather.effect {
                LinkEffect::Cut => return None,
                LinkEffect::Delay(us) => delay += us,
                LinkEffect::Jitter(us) => delay += up_to(rng, us),
                LinkEffect::Loss(per_mille) if happens(rng, per_mille) => return None,
                LinkEffect::Loss(_) => {}
            }
        }
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(links: Links) -> Network {
        Network::new(links, Vec::new(), Timestamp::ZERO, None, vec![0, 1, 2]).unwrap()
    }

    #[test]
    fn a_line_sends_one_message_after_the_other_and_small_ones_overtake() {
        let links = Links { delay_min_us: 0, delay_max_us: 0, uplink_bits_per_s: 8_000_000, ..Links::default() };
        let mut net = network(links);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut send = |bytes| net.transmit(&mut rng, Timestamp::ZERO, 0, 1, bytes)[0].unwrap().get();
        assert_eq!(send(100_000), 100_000, "8 Mbit/s is a byte per microsecond");
        assert_eq!(send(100_000), 200_000);
        assert_eq!(send(1_000), 1_000);
        assert_eq!(send(100_000), 301_000);
    }

    #[test]
    fn links_in_order_never_reorder() {
        let mut net = network(Links { delay_min_us: 1, delay_max_us: 100_000, in_order: true, ..Links::default() });
        let mut rng = fastrand::Rng::with_seed(2);
        let arrivals: Vec<_> =
            (0..100).map(|at| net.transmit(&mut rng, Timestamp::new(at), 0, 1, 1)[0].unwrap()).collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn calm_ends_loss_and_duplication() {
        let links = Links { loss_per_mille: 500, duplicate_per_mille: 500, ..Links::default() };
        let mut net = network(links);
        net.calm = Some(Timestamp::new(10));
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let [first, second] = net.transmit(&mut rng, Timestamp::new(10), 0, 1, 1);
            assert!(first.is_some() && second.is_none());
        }
    }
}
