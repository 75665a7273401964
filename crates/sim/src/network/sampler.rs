//! Random delays from integers alone, so that a seed gives the same run on every machine.

/// Lanes of 16 bits that are summed: their variance, 12 · (1/12), is 1 in units of 2^16.
const LANES: u32 = 12;
const UNIT: i64 = 1 << 16;

/// A standard normal deviate in units of 1/65536: the sum of twelve uniform numbers less its mean (Irwin–Hall). It stays within six
/// standard deviations, and up to three of them its distribution function is within 0.25 % of the normal one.
fn deviate(rng: &mut fastrand::Rng) -> i64 {
    let mut sum = 0;
    for _ in 0..LANES / 4 {
        let bits = rng.u64(..);
        sum += (0..4).map(|lane| (bits >> (16 * lane) & 0xffff) as i64).sum::<i64>();
    }
    // The mean of a lane is (2^16 - 1) / 2.
    sum - i64::from(LANES) * (UNIT - 1) / 2
}

/// A delay of Normal(mean, deviation), never below `floor`; microseconds.
pub(crate) fn normal_us(rng: &mut fastrand::Rng, mean_us: u64, deviation_us: u64, floor_us: u64) -> u64 {
    let offset = deviate(rng) * deviation_us as i64 / UNIT;
    u64::try_from(mean_us as i64 + offset).unwrap_or(0).max(floor_us)
}

/// Whether something that happens `per_mille` times in a thousand happens now. Draws nothing when it never does.
pub(crate) fn happens(rng: &mut fastrand::Rng, per_mille: u32) -> bool {
    per_mille > 0 && rng.u32(0..1_000) < per_mille
}

/// A number from zero to `most`; draws nothing when that is zero.
pub(crate) fn up_to(rng: &mut fastrand::Rng, most: u64) -> u64 {
    if most == 0 { 0 } else { rng.u64(0..=most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_deviation_and_tail_are_those_of_a_normal_distribution() {
        let mut rng = fastrand::Rng::with_seed(7);
        let drawn: Vec<i64> = (0..200_000).map(|_| normal_us(&mut rng, 100_000, 10_000, 1) as i64).collect();
        let mean = drawn.iter().sum::<i64>() / drawn.len() as i64;
        assert!((99_900..100_100).contains(&mean), "{mean}");
        let variance = drawn.iter().map(|x| (x - mean).pow(2)).sum::<i64>() / drawn.len() as i64;
        assert!((98_000_000..102_000_000).contains(&variance), "{variance}");
        // The 90th percentile of a normal distribution is 1.2816 deviations above its mean.
        let above = drawn.iter().filter(|x| **x > 112_816).count();
        assert!((19_400..20_600).contains(&above), "{above}");
    }

    #[test]
    fn delays_never_fall_below_the_floor() {
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..10_000).all(|_| normal_us(&mut rng, 100, 1_000, 50) >= 50));
    }
}
