//! The few functions that are needed, from basic operations only, so that every machine computes the same.

/// e to the power of `x`, relative error below 1e-12 for |x| ≤ 700; clamped there.
pub(crate) fn exp(x: f64) -> f64 {
    const LN_2: f64 = core::f64::consts::LN_2;
    let x = x.clamp(-700.0, 700.0);
    let k = (x / LN_2 + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - k as f64 * LN_2;
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..=14 {
        term *= r / f64::from(i);
        sum += term;
    }
    // 2^k as its bits; |k| ≤ 1010 is a normal number.
    let power = f64::from_bits(((1_023 + k) as u64) << 52);
    sum * power
}

/// The logistic function.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// A mean that forgets: each new value counts for `step`. The first value is taken whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ewma1 {
    pub(crate) value: f64,
    pub(crate) seen: u64,
}

impl Ewma1 {
    pub(crate) fn push(&mut self, value: f64, step: f64) {
        let step = step.max(1.0 / (self.seen as f64 + 1.0));
        self.value += step * (value - self.value);
        self.seen = self.seen.saturating_add(1);
    }

    pub(crate) fn or(&self, otherwise: f64) -> f64 {
        if self.seen == 0 { otherwise } else { self.value }
    }
}

/// A small generator of repeatable numbers (xorshift64*), for drawing among experts.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        // Any odd constant spreads small seeds; zero would stay zero for ever.
        Self((seed ^ 0x9E37_79B9_7F4A_7C15).max(1))
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library() {
        for i in -7_000..=7_000 {
            let x = f64::from(i) / 10.0;
            let want = x.exp();
            assert!((exp(x) - want).abs() <= want * 1e-12, "{x}: {} {want}", exp(x));
        }
        assert!((sigmoid(0.0) - 0.5).abs() < 1e-15 && sigmoid(-800.0) < 1e-300 && sigmoid(800.0) > 0.999);
    }

    #[test]
    fn draws_are_spread_and_repeatable() {
        let mut draw = Draw::new(7);
        let values: Vec<f64> = (0..1_000).map(|_| draw.unit()).collect();
        let mean = values.iter().sum::<f64>() / 1_000.0;
        assert!((mean - 0.5).abs() < 0.05 && values.iter().all(|v| (0.0..1.0).contains(v)), "{mean}");
        let mut again = Draw::new(7);
        assert!(values.iter().all(|v| v.to_bits() == again.unit().to_bits()));
    }

    #[test]
    fn the_first_values_of_a_mean_count_alike() {
        let mut mean = Ewma1::default();
        for value in [10.0, 20.0, 30.0] {
            mean.push(value, 0.01);
        }
        assert!((mean.value - 20.0).abs() < 1e-9);
        assert!((Ewma1::default().or(5.0) - 5.0).abs() < 1e-9);
    }
}
