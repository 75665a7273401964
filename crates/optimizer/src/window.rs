//! The latest samples of a quantity, and their quantiles. Memory is set aside once.

/// Most samples of one window.
pub(crate) const MAX_SAMPLES: usize = 256;

/// A ring of the latest samples, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    samples: Vec<u32>,
    next: usize,
    capacity: usize,
}

impl Window {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_SAMPLES);
        Self { samples: Vec::with_capacity(capacity), next: 0, capacity }
    }

    pub(crate) fn push(&mut self, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if self.samples.len() < self.capacity {
            self.samples.push(value);
        } else if let Some(slot) = self.samples.get_mut(self.next) {
            *slot = value;
        }
        self.next = (self.next + 1) % self.capacity;
    }

    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The value that `per_mille` of the samples do not exceed; none without samples. Allocates nothing.
    pub(crate) fn quantile(&self, per_mille: usize) -> Option<u64> {
        let len = self.samples.len();
        if len == 0 {
            return None;
        }
        let mut copy = [0u32; MAX_SAMPLES];
        let copy = copy.get_mut(..len)?;
        copy.copy_from_slice(&self.samples);
        let rank = (len * per_mille.min(1_000)).div_ceil(1_000).clamp(1, len) - 1;
        Some(u64::from(*copy.select_nth_unstable(rank).1))
    }

    /// Oldest first.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        let split = if self.samples.len() < self.capacity { 0 } else { self.next };
        self.samples.iter().skip(split).chain(self.samples.iter().take(split)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_latest_samples() {
        let mut window = Window::new(10);
        assert_eq!(window.quantile(500), None);
        (1..=100).for_each(|value| window.push(value));
        assert_eq!(window.in_order().collect::<Vec<_>>(), (91..=100).collect::<Vec<_>>());
        let got = [0, 100, 500, 900, 1_000].map(|q| window.quantile(q));
        assert_eq!(got, [91, 91, 95, 99, 100].map(Some));
        window.push(u64::MAX);
        assert_eq!((window.len(), window.quantile(1_000)), (10, Some(u64::from(u32::MAX))));
    }
}
