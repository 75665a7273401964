//! The finality threshold of own blocks: the guide's table, and the learner's choice.

/// The guide's table: 0.60 above quality 0.8, 0.75 below 0.5, the base threshold between. Ratios are in ten-thousandths.
pub fn rule_ratio(quality: f64, base_ten_thousandths: u32) -> u32 {
    if quality > 0.8 {
        6_000
    } else if quality < 0.5 {
        7_500
    } else {
        base_ten_thousandths
    }
}

/// ⌈r·n⌉.
pub(crate) fn votes_of(ratio_ten_thousandths: u32, n: usize) -> u32 {
    u32::try_from((u64::from(ratio_ten_thousandths) * n as u64).div_ceil(10_000)).unwrap_or(u32::MAX)
}

/// The rule with its hysteresis, and the learner's threshold with its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Thresholds {
    decided_for: Option<f64>,
    ratio: u32,
    learned: Option<u32>,
    wanted: u32,
}

impl Thresholds {
    /// The rule's ratio; the quality must move by `adaptation_threshold` before it is looked up again.
    pub(crate) fn rule(&mut self, quality: f64, base: u32, adaptation_threshold: f64) -> u32 {
        if self.decided_for.is_none_or(|before| (quality - before).abs() >= adaptation_threshold) {
            self.decided_for = Some(quality);
            self.ratio = rule_ratio(quality, base);
        }
        self.ratio
    }

    /// The learner's threshold: as strong as is free, that is, as many votes as come nearly always and nearly as soon as q_min do
    /// (`prompt`, without mine). A wish must stand twice before it is followed.
    pub(crate) fn learned(&mut self, prompt: usize, q_min: u32, q_max: u32) -> u32 {
        let wish = u32::try_from(prompt + 1).unwrap_or(u32::MAX).clamp(q_min, q_max.max(q_min));
        let now = *self.learned.get_or_insert(q_min);
        if wish == self.wanted || wish < now {
            self.learned = Some(wish);
        }
        self.wanted = wish;
        self.learned.unwrap_or(q_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_guide() {
        let got = [1.0, 0.801, 0.8, 0.5, 0.499, 0.0].map(|quality| rule_ratio(quality, 6_700));
        assert_eq!(got, [6_000, 6_000, 6_700, 6_700, 7_500, 7_500]);
        assert_eq!([(6_000, 6), (6_700, 6), (7_500, 100)].map(|(r, n)| votes_of(r, n)), [4, 5, 75]);
    }

    #[test]
    fn the_rule_does_not_swing_at_a_border() {
        let mut thresholds = Thresholds::default();
        assert_eq!(thresholds.rule(0.81, 6_700, 0.1), 6_000);
        for quality in [0.79, 0.81, 0.78, 0.82] {
            assert_eq!(thresholds.rule(quality, 6_700, 0.1), 6_000);
        }
        assert_eq!(thresholds.rule(0.7, 6_700, 0.1), 6_700);
        assert_eq!(thresholds.rule(0.79, 6_700, 0.0), 6_700);
        assert_eq!(thresholds.rule(0.81, 6_700, 0.0), 6_000);
    }

    #[test]
    fn the_learner_is_as_strong_as_is_free() {
        let mut thresholds = Thresholds::default();
        assert_eq!(thresholds.learned(9, 6, 8), 6, "once may be chance");
        assert_eq!(thresholds.learned(9, 6, 8), 8);
        assert_eq!(thresholds.learned(3, 6, 8), 6, "down at once: waiting for votes that do not come costs time");
    }
}
