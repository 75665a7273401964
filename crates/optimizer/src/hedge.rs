//! Exponential weights over experts with a fixed share: Freund and Schapire's Hedge, and Herbster and Warmuth's share for changing times.
//!
//! With K experts, losses in [0, 1] and N rounds the expected loss exceeds the best expert's by at most ln K / η + η·N / 8. That is least
//! for η = √(8·ln K / N); twice this η is taken, because losses rarely differ by more than a half here: the bound is a quarter higher, and
//! a change is followed twice as fast. The share α = 1/(4N) per round adds what is needed to follow a best expert that changes.

use crate::math::{Draw, exp};

/// Weights over `K` experts.
#[derive(Clone, Debug)]
pub(crate) struct Hedge<const K: usize> {
    pub(crate) weights: [f64; K],
    eta: f64,
    share: f64,
    horizon: f64,
}

/// ln of a small whole number, from the series of atanh: no library function decides here.
fn ln(x: f64) -> f64 {
    let y = (x - 1.0) / (x + 1.0);
    let (mut power, mut sum) = (y, 0.0);
    for i in 0..200u32 {
        sum += power / f64::from(2 * i + 1);
        power *= y * y;
    }
    2.0 * sum
}

impl<const K: usize> Hedge<K> {
    pub(crate) fn new(horizon: usize) -> Self {
        let mut hedge = Self { weights: [1.0 / K as f64; K], eta: 0.0, share: 0.0, horizon: 1.0 };
        hedge.set_horizon(horizon);
        hedge
    }

    /// `learning_history_size`: the number of rounds that the bound speaks of, and after which the past is half forgotten.
    pub(crate) fn set_horizon(&mut self, rounds: usize) {
        self.horizon = rounds.max(1) as f64;
        self.eta = (2.0 * (8.0 * ln(K as f64) / self.horizon).sqrt()).min(2.0);
        self.share = (0.25 / self.horizon).min(0.5);
    }

    pub(crate) fn update(&mut self, losses: &[f64; K]) {
        let mut sum = 0.0;
        for (weight, loss) in self.weights.iter_mut().zip(losses) {
            *weight *= exp(-self.eta * loss.clamp(0.0, 1.0));
            sum += *weight;
        }
        for weight in &mut self.weights {
            *weight = (1.0 - self.share) * (*weight / sum) + self.share / K as f64;
        }
    }

    /// Draws an expert by weight: the bound holds for the draw, also against whoever chooses the losses beforehand.
    pub(crate) fn draw(&self, draw: &mut Draw) -> usize {
        let mut at = draw.unit();
        for (index, weight) in self.weights.iter().enumerate() {
            at -= weight;
            if at < 0.0 {
                return index;
            }
        }
        self.best()
    }

    pub(crate) fn best(&self) -> usize {
        let best = self.weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(index, _)| index)
    }

    /// ln K / η + η·N / 8: the most that the expected loss of N rounds exceeds the best expert's, without the share's part.
    pub(crate) fn bound(&self) -> f64 {
        ln(K as f64) / self.eta + self.eta * self.horizon / 8.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regret_stays_below_the_bound_whatever_comes() {
        // Three adversaries: one expert good; the good one changes; the loss follows the heaviest expert.
        for kind in 0..3 {
            let mut hedge = Hedge::<4>::new(400);
            let (mut expected, mut total) = (0.0, [0.0; 4]);
            for round in 0..400usize {
                let mut losses = [1.0; 4];
                match kind {
                    0 => losses[2] = 0.2,
                    1 => losses[if round < 200 { 0 } else { 3 }] = 0.0,
                    _ => {
                        losses = [0.0; 4];
                        losses[hedge.best()] = 1.0;
                    }
                }
                expected += hedge.weights.iter().zip(&losses).map(|(w, l)| w * l).sum::<f64>();
                total.iter_mut().zip(&losses).for_each(|(t, l)| *t += l);
                hedge.update(&losses);
            }
            let best = total.into_iter().fold(f64::INFINITY, f64::min);
            // Following one change costs at most about ln(4NK) / η more.
            let allowed = hedge.bound() + ln(4.0 * 1_600.0) / hedge.eta;
            assert!(expected - best <= allowed, "{kind}: {expected} {best} {allowed}");
        }
    }

    #[test]
    fn a_change_is_followed() {
        let mut hedge = Hedge::<3>::new(100);
        (0..500).for_each(|_| hedge.update(&[0.0, 1.0, 1.0]));
        assert_eq!(hedge.best(), 0);
        let rounds = (1..1_000).find(|_| {
            hedge.update(&[1.0, 1.0, 0.0]);
            hedge.best() == 2
        });
        assert!(rounds.is_some_and(|rounds| rounds < 40), "{rounds:?}");
        assert!((hedge.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((ln(6.0) - 6f64.ln()).abs() < 1e-12);
    }
}
