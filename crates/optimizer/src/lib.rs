//! Policies that turn a measured network into advice.
//!
//! Only the seam so far: a quality from the links' round trips, and the guide's table from quality to threshold ratio. Advice may cost
//! time, never safety: the core clamps whatever comes from here (docs/protocol.md, "What the optimizer may move").

/// What is known of one validator link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSample {
    /// Whether it is up.
    pub connected: bool,
    /// Smoothed round trip, in microseconds, once measured.
    pub rtt_us: Option<u64>,
}

/// Quality of the network in thousandths, 0 to 1000: the mean over links of 0 for a link that is down, and for one that is up
/// 1000 · (1 − rtt / (2 · threshold)), at least 0. A link without a measurement counts as a round trip of the threshold. A network
/// without links has quality 1000.
pub fn quality(links: &[LinkSample], latency_threshold_ms: u64) -> u32 {
    if links.is_empty() {
        return 1_000;
    }
    let twice_us = latency_threshold_ms.saturating_mul(2_000).max(1);
    let score = |link: &LinkSample| {
        let rtt_us = link.rtt_us.unwrap_or(twice_us / 2).min(twice_us);
        if link.connected { 1_000 - (1_000 * u128::from(rtt_us) / u128::from(twice_us)) as u64 } else { 0 }
    };
    (links.iter().map(score).sum::<u64>() / links.len() as u64) as u32
}

/// The guide's table: 0.60 above quality 0.8, 0.75 below 0.5, the base threshold between. Ratios are in ten-thousandths.
pub const fn rule(quality_per_mille: u32, base_ten_thousandths: u32) -> u32 {
    match quality_per_mille {
        801.. => 6_000,
        0..500 => 7_500,
        _ => base_ten_thousandths,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_guide() {
        assert_eq!([1_000, 801, 800, 500, 499, 0].map(|q| rule(q, 6_700)), [6_000, 6_000, 6_700, 6_700, 7_500, 7_500]);
    }

    #[test]
    fn quality_falls_with_latency_and_lost_links() {
        let up = |rtt_us| LinkSample { connected: true, rtt_us: Some(rtt_us) };
        let down = LinkSample { connected: false, rtt_us: Some(10) };
        assert_eq!(quality(&[], 100), 1_000);
        assert_eq!(quality(&[up(0)], 100), 1_000);
        assert_eq!(quality(&[up(100_000)], 100), 500);
        assert_eq!(quality(&[up(900_000)], 100), 0);
        assert_eq!(quality(&[up(0), down], 100), 500);
        assert_eq!(quality(&[LinkSample { connected: true, rtt_us: None }], 100), 500);
        assert_eq!(quality(&[up(5)], 0), 0);
    }
}
