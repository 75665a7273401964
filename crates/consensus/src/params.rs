//! Quorum parameters: their derivation, and the conditions S1–L2 without which a configuration is refused (PROTOCOL section 1).

use std::fmt;

use crate::bounds::MAX_VALIDATORS;

/// A ratio in ten-thousandths: a decimal of at most four places, so that all quorum arithmetic is on integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

impl Ratio {
    /// One.
    pub const ONE: Self = Self(10_000);

    /// A ratio of `ten_thousandths` / 10,000; refused unless in (0, 1].
    pub fn new(ten_thousandths: u32) -> Result<Self, ParamError> {
        if ten_thousandths == 0 || ten_thousandths > 10_000 {
            return Err(ParamError::Ratio(ten_thousandths));
        }
        Ok(Self(ten_thousandths))
    }

    /// The ratio in ten-thousandths.
    pub const fn ten_thousandths(self) -> u32 {
        self.0
    }

    /// ⌈r·n⌉.
    pub const fn ceil_of(self, n: u32) -> u32 {
        (self.0 as u64 * n as u64).div_ceil(10_000) as u32
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The quorum numbers of an epoch, in votes. Only [`QuorumParams::checked`] and [`derive()`] make one, so that one in hand is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumParams {
    n: u32,
    f: u32,
    c: u32,
    q_min: u32,
    q_max: u32,
    q_fast: u32,
}

/// Why quorum parameters are refused; the message carries the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// n is 0 or too large.
    #[error("validators: {0} is not in 1..={MAX_VALIDATORS}")]
    Validators(u32),
    /// A ratio outside (0, 1].
    #[error("a ratio of {0}/10000 is not in (0, 1]")]
    Ratio(u32),
    /// lo > hi.
    #[error("adaptive_range: the low end {lo} is above the high end {hi}")]
    Range {
        /// The low end.
        lo: Ratio,
        /// The high end.
        hi: Ratio,
    },
    /// Byzantine and crashed validators leave too few to form a quorum.
    #[error(
        "max_byzantine {f} needs q_min = {q_min} votes, but only n - f{with_c} = {n} - {f}{minus_c} = {left} validators are certain to \
         answer (condition L0); lower max_byzantine, lower max_crashed or add validators"
    )]
    TooFewAnswer {
        /// Validators.
        n: u32,
        /// Byzantine validators.
        f: u32,
        /// The quorum needed.
        q_min: u32,
        /// Validators certain to answer (may be negative).
        left: i64,
        /// " - c" where c is named.
        with_c: &'static str,
        /// `" - 1"`, with the number, where c is named.
        minus_c: String,
    },
    /// A condition of the table fails for explicit numbers.
    #[error(
        "{id} fails: {why} ({arithmetic}); the numbers n={n} f={f} c={c} q_min={q_min} q_max={q_max} q_fast={q_fast} are not safe together"
    )]
    Condition {
        /// The condition's id in PROTOCOL section 1.
        id: &'static str,
        /// What it protects.
        why: &'static str,
        /// The comparison with the numbers put in.
        arithmetic: String,
        /// Validators.
        n: u32,
        /// Byzantine validators tolerated.
        f: u32,
        /// Crashed validators tolerated on top.
        c: u32,
        /// Least finality threshold.
        q_min: u32,
        /// Greatest finality threshold.
        q_max: u32,
        /// One-round quorum.
        q_fast: u32,
    },
    /// No fast quorum satisfies the conditions.
    #[error(
        "no q_fast in [{from}, {n}] satisfies S2, S3, L1 and L2 for n={n} f={f} c={c} q_min={q_min}; lower max_byzantine or max_crashed"
    )]
    NoFastQuorum {
        /// Where the search started.
        from: u32,
        /// Validators.
        n: u32,
        /// Byzantine validators tolerated.
        f: u32,
        /// Crashed validators tolerated on top.
        c: u32,
        /// Least finality threshold.
        q_min: u32,
    },
}

impl QuorumParams {
    /// Accepts explicit numbers if S1, S2, S3, L0, L1, L2 hold and q_min ≤ q_max ≤ n − f, q_min ≤ q_fast ≤ n.
    pub fn checked(n: u32, f: u32, c: u32, q_min: u32, q_max: u32, q_fast: u32) -> Result<Self, ParamError> {
        if n == 0 || n as usize > MAX_VALIDATORS {
            return Err(ParamError::Validators(n));
        }
        let params = Self { n, f, c, q_min, q_max, q_fast };
        let [wide_n, wide_f, wide_c, qmin, qmax, qfast] = [n, f, c, q_min, q_max, q_fast].map(i64::from);
        let p = wide_n - qfast;
        let q = wide_n - wide_f - wide_c;
        let conditions: [(&'static str, &'static str, bool, String); 8] = [
            (
                "S1",
                "a finalization must exclude a nullification and a rival",
                2 * qmin > wide_n + wide_f,
                format!("2·q_min > n + f: {} > {}", 2 * qmin, wide_n + wide_f),
            ),
            (
                "S2",
                "a fast finalization must exclude a nullification and a rival",
                qmin > p + wide_f,
                format!("q_min > p + f: {qmin} > {}", p + wide_f),
            ),
            (
                "S3",
                "two fast finalizations must share an honest voter",
                2 * qfast > wide_n + wide_f,
                format!("2·q_fast > n + f: {} > {}", 2 * qfast, wide_n + wide_f),
            ),
            ("L0", "certificates must be able to form", q >= qmin, format!("n − f − c ≥ q_min: {q} ≥ {qmin}")),
            (
                "L1",
                "views must end when the leader is honest or silent",
                q > p + 2 * wide_f,
                format!("n − f − c ≥ p + 2f + 1: {q} ≥ {}", p + 2 * wide_f + 1),
            ),
            (
                "L2",
                "views must end when the leader equivocates",
                q + 1 >= 2 * p + 2 * wide_f,
                format!("n − f − c + 1 ≥ 2p + 2f: {} ≥ {}", q + 1, 2 * p + 2 * wide_f),
            ),
            (
                "range",
                "q_min ≤ q_max ≤ n − f",
                qmin <= qmax && qmax <= wide_n - wide_f,
                format!("{qmin} ≤ {qmax} ≤ {}", wide_n - wide_f),
            ),
            (
                "range",
                "1 ≤ q_min ≤ q_fast ≤ n",
                qmin >= 1 && qmin <= qfast && p >= 0,
                format!("{qmin} ≤ {qfast} ≤ {n}"),
            ),
        ];
        for (id, why, holds, arithmetic) in conditions {
            if !holds {
                return Err(ParamError::Condition { id, why, arithmetic, n, f, c, q_min, q_max, q_fast });
            }
        }
        Ok(params)
    }

    /// n: validators of the epoch, one vote each.
    pub const fn n(&self) -> u32 {
        self.n
    }

    /// f: Byzantine validators tolerated.
    pub const fn f(&self) -> u32 {
        self.f
    }

    /// c: crashed validators tolerated on top of f.
    pub const fn c(&self) -> u32 {
        self.c
    }

    /// q_min: least finality threshold, and the size of a notarization and a nullification.
    pub const fn q_min(&self) -> u32 {
        self.q_min
    }

    /// q_max: greatest finality threshold a leader may choose.
    pub const fn q_max(&self) -> u32 {
        self.q_max
    }

    /// q_fast: votes that finalize in one round.
    pub const fn q_fast(&self) -> u32 {
        self.q_fast
    }

    /// p = n − q_fast.
    pub const fn p(&self) -> u32 {
        self.n - self.q_fast
    }

    /// The explanation that `agent-mesh quorum` prints.
    pub fn explain(&self) -> String {
        let Self { n, f, c, q_min, q_max, q_fast } = *self;
        let mut text = format!(
            "{n} validators tolerate {f} Byzantine and {c} crashed on top. A block is final in one round with {q_fast} votes, in two rounds with \
             {q_min} to {q_max} (the block names its threshold). S1: 2·{q_min} > {n}+{f}. S2: {q_min} > {}+{f}. S3: 2·{q_fast} > {n}+{f}. \
             L0: {} ≥ {q_min}. L1: {} ≥ {}. L2: {} ≥ {}.",
            self.p(),
            n - f - c,
            n - f - c,
            self.p() + 2 * f + 1,
            n - f - c + 1,
            2 * self.p() + 2 * f,
        );
        if f == 0 {
            text.push_str(" No Byzantine validator is tolerated: four or more validators are needed for that.");
        }
        if q_fast == n && n > 1 {
            text.push_str(" The one-round path needs every validator.");
        }
        text
    }
}

/// Derives the quorum numbers for `n` validators (PROTOCOL section 1, "Derivation").
///
/// `f` and `c` are the operator's `max_byzantine` and `max_crashed` where named; `lo` and `hi` are `adaptive_range`.
pub fn derive(n: u32, f: Option<u32>, c: Option<u32>, lo: Ratio, hi: Ratio) -> Result<QuorumParams, ParamError> {
    if n == 0 || n as usize > MAX_VALIDATORS {
        return Err(ParamError::Validators(n));
    }
    if lo > hi {
        return Err(ParamError::Range { lo, hi });
    }
    if let Some(f) = f {
        return derive_with(n, f, c, lo, hi);
    }
    let a = i64::from(lo.ceil_of(n));
    let wide_n = i64::from(n);
    let c0 = i64::from(c.unwrap_or(0));
    let fits = |f: u32| 2 * a > wide_n + i64::from(f) && wide_n - i64::from(f) - c0 >= a;
    let f = (0..=n).rev().find(|f| fits(*f)).unwrap_or(0);
    if f == 0
        && n >= 4
        && c.is_none()
        && let Ok(params) = derive_with(n, 1, Some(0), lo, hi)
    {
        return Ok(params);
    }
    derive_with(n, f, c, lo, hi)
}

fn derive_with(n: u32, f: u32, c: Option<u32>, lo: Ratio, hi: Ratio) -> Result<QuorumParams, ParamError> {
    let majority = u32::try_from(u64::midpoint(n.into(), f.into()) + 1).unwrap_or(u32::MAX);
    let q_min = lo.ceil_of(n).max(majority);
    let left = i64::from(n) - i64::from(f) - i64::from(c.unwrap_or(0));
    if left < i64::from(q_min) {
        let (with_c, minus_c) = c.map_or(("", String::new()), |c| (" - c", format!(" - {c}")));
        return Err(ParamError::TooFewAnswer { n, f, q_min, left, with_c, minus_c });
    }
    let c = c.unwrap_or(n - f - q_min);
    let from = hi.ceil_of(n).max(q_min);
    let q_max = from.min(n - f);
    (from..=n)
        .find_map(|q_fast| QuorumParams::checked(n, f, c, q_min, q_max, q_fast).ok())
        .ok_or(ParamError::NoFastQuorum { from, n, f, c, q_min })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_range() -> (Ratio, Ratio) {
        (Ratio(6_000), Ratio(8_000))
    }

    #[test]
    fn the_table_of_the_protocol() {
        let (lo, hi) = default_range();
        let table = [
            (1, 0, 0, 1, 1),
            (3, 0, 1, 2, 3),
            (4, 1, 0, 3, 4),
            (5, 1, 0, 4, 4),
            (6, 1, 1, 4, 5),
            (7, 2, 0, 5, 7),
            (8, 1, 2, 5, 7),
            (9, 2, 1, 6, 8),
            (10, 1, 3, 6, 8),
            (11, 2, 2, 7, 9),
            (16, 3, 3, 10, 14),
            (100, 19, 21, 60, 89),
        ];
        for (n, f, c, q_min, q_fast) in table {
            let got = derive(n, None, None, lo, hi).unwrap();
            assert_eq!((got.n, got.f, got.c, got.q_min, got.q_fast), (n, f, c, q_min, q_fast));
        }
    }

    #[test]
    fn the_derivation_never_fails_for_legal_f_and_c() {
        let (lo, hi) = default_range();
        for n in 1..=200 {
            derive(n, None, None, lo, hi).unwrap();
            for f in 0..=(n - 1) / 3 {
                let params = derive(n, Some(f), None, lo, hi).unwrap();
                for c in 0..=params.c {
                    let with_c = derive(n, Some(f), Some(c), lo, hi).unwrap();
                    assert_eq!((with_c.f, with_c.c), (f, c));
                }
                assert!(derive(n, Some(f), Some(params.c + 1), lo, hi).is_err());
            }
        }
    }

    #[test]
    fn unsafe_numbers_are_refused_with_the_arithmetic() {
        let error = QuorumParams::checked(4, 1, 0, 2, 3, 4).unwrap_err().to_string();
        assert!(error.contains("S1 fails") && error.contains("4 > 5"), "{error}");
        let error = derive(3, Some(1), None, Ratio(6_000), Ratio(8_000)).unwrap_err().to_string();
        assert!(error.contains("max_byzantine 1") && error.contains("q_min = 3"), "{error}");
        assert!(derive(4, None, None, Ratio(9_000), Ratio(8_000)).is_err());
        assert!(derive(0, None, None, Ratio(6_000), Ratio(8_000)).is_err());
        assert!(derive(u32::MAX, None, None, Ratio(6_000), Ratio(8_000)).is_err());
        assert!(derive(6, Some(u32::MAX), Some(u32::MAX), Ratio(6_000), Ratio(8_000)).is_err());
    }

    #[test]
    fn ratios_print_as_decimals() {
        assert_eq!(Ratio(6_700).to_string(), "0.67");
        assert_eq!(Ratio(10_000).to_string(), "1");
    }
}
