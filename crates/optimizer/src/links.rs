//! Network analysis per validator and in total: round trip, delivery rate, loss, stability, and one score.
//!
//! The quality of a link is 0 while it is down, else the weighted mean of four parts in [0, 1] (weights [`PART_WEIGHTS`]):
//!
//! - latency: 1 − rtt / (2 · `latency_threshold_ms`), at least 0, so 0.5 at the threshold;
//! - bandwidth: delivery rate / `bandwidth_threshold_mbps`, at most 1; 1 while the link was never busy, because nothing is known against it;
//! - loss: 1 − loss / (2 · `packet_loss_threshold`), at least 0; loss is the share of votes that were expected of the validator and did not
//!   come at all, and half of those that came after the block was final;
//! - stability: share of the last `stability_window_seconds` that the link was up, times 1 − rtt deviation / (2 · latency threshold).
//!
//! The network's quality is the mean over its links; that of a network without links is 1.

use crate::math::Ewma1;
use crate::parameters::Parameters;
use crate::window::Window;

/// Weights of latency, bandwidth, loss and stability in a link's quality.
pub const PART_WEIGHTS: [f64; 4] = [0.35, 0.15, 0.3, 0.2];
/// Samples of a link's round trip that are kept.
const RTT_SAMPLES: usize = 64;
/// Step of the smoothed round trip and its deviation (RFC 6298).
const RTT_STEP: f64 = 1.0 / 8.0;
/// See RTT_STEP.
const DEVIATION_STEP: f64 = 1.0 / 4.0;

/// What is known of one validator link at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSample {
    /// The validator.
    pub peer: u16,
    /// Whether it is up.
    pub connected: bool,
    /// The latest round trip, in microseconds, once measured.
    pub rtt_us: Option<u64>,
    /// Bytes sent since the start.
    pub bytes_sent: u64,
    /// Bytes that wait to be sent: the link is busy.
    pub queued_bytes: u64,
}

/// The analysis of one link.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LinkView {
    /// The validator.
    pub peer: u16,
    /// Whether the link is up.
    pub connected: bool,
    /// Smoothed round trip.
    pub rtt_us: Option<u64>,
    /// Its mean deviation.
    pub rtt_deviation_us: u64,
    /// Median of the latest round trips.
    pub rtt_p50_us: Option<u64>,
    /// 99th percentile of them.
    pub rtt_p99_us: Option<u64>,
    /// Delivery rate while the link was busy, in Mbit/s; none if it never was.
    pub delivery_mbps: Option<f64>,
    /// Share of expected votes that did not come.
    pub votes_missing: f64,
    /// Share of its votes that came after the block was final.
    pub votes_late: f64,
    /// How long after the Notarization its votes come, on average.
    pub vote_lateness_us: u64,
    /// Share of the stability window that the link was up.
    pub up: f64,
    /// The score.
    pub quality: f64,
}

/// The analysis of the network as seen from here.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NetworkView {
    /// Mean quality of the links.
    pub quality: f64,
    /// Links that are up.
    pub connected: usize,
    /// Mean smoothed round trip of these.
    pub rtt_us: Option<u64>,
    /// Share of expected votes that did not come.
    pub votes_missing: f64,
    /// Delivery rates of links that were busy, added up, in Mbit/s.
    pub delivery_mbps: Option<f64>,
    /// Each link.
    pub links: Vec<LinkView>,
}

#[derive(Clone, Debug)]
struct Link {
    peer: u16,
    connected: bool,
    rtt: Ewma1,
    deviation: Ewma1,
    samples: Window,
    rate_mbps: Ewma1,
    up: Ewma1,
    last: Option<(u64, u64)>,
    busy: bool,
}

/// What votes say of a validator: (share missing, share late, mean lateness in microseconds).
pub(crate) type VoteHabits = (f64, f64, f64);

/// All links.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    links: Vec<Link>,
}

impl Links {
    /// Takes samples of all links, once a second or so.
    pub(crate) fn sample(&mut self, now_us: u64, samples: &[LinkSample], parameters: &Parameters) {
        for sample in samples {
            let known = self.links.iter().position(|link| link.peer == sample.peer);
            let at = known.unwrap_or_else(|| {
                self.links.push(Link::new(sample.peer));
                self.links.len() - 1
            });
            if let Some(link) = self.links.get_mut(at) {
                link.sample(now_us, sample, parameters);
            }
        }
        self.links.retain(|link| samples.iter().any(|sample| sample.peer == link.peer));
    }

    pub(crate) fn quality(&self, habits: impl Fn(u16) -> VoteHabits, parameters: &Parameters) -> f64 {
        if self.links.is_empty() {
            return 1.0;
        }
        self.links.iter().map(|link| link.quality(habits(link.peer), parameters)).sum::<f64>() / self.links.len() as f64
    }

    pub(crate) fn view(&self, habits: impl Fn(u16) -> VoteHabits, parameters: &Parameters) -> NetworkView {
        let links: Vec<LinkView> = self.links.iter().map(|link| link.view(habits(link.peer), parameters)).collect();
        let up: Vec<u64> = links.iter().filter(|link| link.connected).filter_map(|link| link.rtt_us).collect();
        let rates: Vec<f64> = links.iter().filter_map(|link| link.delivery_mbps).collect();
        NetworkView {
            quality: self.quality(&habits, parameters),
            connected: links.iter().filter(|link| link.connected).count(),
            rtt_us: (!up.is_empty()).then(|| up.iter().sum::<u64>() / up.len() as u64),
            votes_missing: links.iter().map(|link| link.votes_missing).sum::<f64>() / links.len().max(1) as f64,
            delivery_mbps: (!rates.is_empty()).then(|| rates.iter().sum()),
            links,
        }
    }
}

impl Link {
    fn new(peer: u16) -> Self {
        Self {
            peer,
            connected: false,
            rtt: Ewma1::default(),
            deviation: Ewma1::default(),
            samples: Window::new(RTT_SAMPLES),
            rate_mbps: Ewma1::default(),
            up: Ewma1::default(),
            last: None,
            busy: false,
        }
    }

    fn sample(&mut self, now_us: u64, sample: &LinkSample, parameters: &Parameters) {
        self.connected = sample.connected;
        let since_us = self.last.map_or(1_000_000, |(at, _)| now_us.saturating_sub(at).max(1));
        let share = since_us as f64 / (parameters.stability_window_seconds as f64 * 1e6);
        self.up.push(f64::from(u8::from(sample.connected)), share.min(1.0));
        if let Some(rtt_us) = sample.rtt_us.filter(|_| sample.connected) {
            let rtt = rtt_us as f64;
            let off = (rtt - self.rtt.or(rtt)).abs();
            self.deviation.push(off, DEVIATION_STEP);
            self.rtt.push(rtt, RTT_STEP);
            self.samples.push(rtt_us);
        }
        // Only a link that had something waiting at both ends of the interval shows what it can carry.
        if let Some((_, bytes)) = self.last
            && self.busy
            && sample.queued_bytes > 0
        {
            self.rate_mbps.push(sample.bytes_sent.saturating_sub(bytes) as f64 * 8.0 / since_us as f64, RTT_STEP);
        }
        self.busy = sample.queued_bytes > 0;
        self.last = Some((now_us, sample.bytes_sent));
    }

    fn quality(&self, (missing, late, _): VoteHabits, p: &Parameters) -> f64 {
        if !self.connected {
            return 0.0;
        }
        let twice_us = 2_000.0 * p.latency_threshold_ms as f64;
        let latency = 1.0 - (self.rtt.or(twice_us / 2.0) / twice_us).min(1.0);
        let bandwidth = (self.rate_mbps.or(f64::INFINITY) / p.bandwidth_threshold_mbps as f64).min(1.0);
        let loss = 1.0 - ((missing + late / 2.0) / (2.0 * p.packet_loss_threshold)).min(1.0);
        let steady = 1.0 - (self.deviation.or(0.0) / twice_us).min(1.0);
        let parts = [latency, bandwidth, loss, self.up.or(1.0) * steady];
        parts.iter().zip(PART_WEIGHTS).map(|(part, weight)| part * weight).sum::<f64>().clamp(0.0, 1.0)
    }

    fn view(&self, habits: VoteHabits, parameters: &Parameters) -> LinkView {
        LinkView {
            peer: self.peer,
            connected: self.connected,
            rtt_us: (self.rtt.seen > 0).then_some(self.rtt.value as u64),
            rtt_deviation_us: self.deviation.value as u64,
            rtt_p50_us: self.samples.quantile(500),
            rtt_p99_us: self.samples.quantile(990),
            delivery_mbps: (self.rate_mbps.seen > 0).then_some(self.rate_mbps.value),
            votes_missing: habits.0,
            votes_late: habits.1,
            vote_lateness_us: habits.2 as u64,
            up: self.up.or(0.0),
            quality: self.quality(habits, parameters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: VoteHabits = (0.0, 0.0, 0.0);

    fn sample(peer: u16, rtt_us: u64) -> LinkSample {
        LinkSample { peer, connected: true, rtt_us: Some(rtt_us), bytes_sent: 0, queued_bytes: 0 }
    }

    fn quality(samples: &[LinkSample], habits: VoteHabits) -> f64 {
        let (mut links, parameters) = (Links::default(), Parameters::default());
        (1..50).for_each(|second| links.sample(second * 1_000_000, samples, &parameters));
        links.quality(|_| habits, &parameters)
    }

    #[test]
    fn each_part_of_the_score_has_its_weight() {
        assert!((quality(&[], WELL) - 1.0).abs() < 1e-9);
        assert!((quality(&[sample(1, 0)], WELL) - 1.0).abs() < 1e-9);
        assert!((quality(&[sample(1, 100_000)], WELL) - (1.0 - 0.175)).abs() < 1e-9, "half the latency part");
        assert!((quality(&[sample(1, 900_000)], WELL) - 0.65).abs() < 1e-9, "none of it");
        assert!((quality(&[sample(1, 0)], (0.05, 0.0, 0.0)) - 0.85).abs() < 1e-9, "loss at its threshold");
        assert!((quality(&[sample(1, 0)], (0.5, 0.0, 0.0)) - 0.7).abs() < 1e-9);
        let down = LinkSample { connected: false, ..sample(2, 0) };
        assert!((quality(&[sample(1, 0), down], WELL) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn rates_are_measured_only_while_something_waits() {
        let (mut links, parameters) = (Links::default(), Parameters::default());
        let mut sent = 0;
        for second in 1..20u64 {
            sent += 250_000; // 2 Mbit/s
            let queued_bytes = if second < 10 { 0 } else { 10_000 };
            links.sample(
                second * 1_000_000,
                &[LinkSample { bytes_sent: sent, queued_bytes, ..sample(3, 1_000) }],
                &parameters,
            );
            if second < 10 {
                assert_eq!(links.view(|_| WELL, &parameters).delivery_mbps, None);
            }
        }
        let view = links.view(|_| WELL, &parameters);
        assert!(view.delivery_mbps.is_some_and(|rate| (rate - 2.0).abs() < 1e-6), "{view:?}");
        assert!(view.quality < 0.9 && view.connected == 1, "2 of 10 Mbit/s: {view:?}");
        assert_eq!(view.links[0].rtt_p99_us, Some(1_000));
    }

    #[test]
    fn an_unsteady_link_is_worse() {
        let (mut links, parameters) = (Links::default(), Parameters::default());
        for second in 1..300u64 {
            let up = second % 2 == 0;
            let one = LinkSample { connected: up, ..sample(1, if second % 4 == 0 { 1_000 } else { 80_000 }) };
            links.sample(second * 1_000_000, &[one], &parameters);
        }
        links.sample(300_000_000, &[sample(1, 40_000)], &parameters);
        let view = &links.view(|_| WELL, &parameters).links[0];
        assert!((view.up - 0.5).abs() < 0.05 && view.rtt_deviation_us > 20_000 && view.quality < 0.9, "{view:?}");
    }
}
