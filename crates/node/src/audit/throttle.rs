//! How often strangers may make the node write: so often in a minute.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);

/// A count that begins anew each minute.
pub(super) struct Throttle {
    most: u32,
    since: Instant,
    taken: u32,
    suppressed: u64,
}

impl Throttle {
    pub(super) const fn new(most: u32, now: Instant) -> Self {
        Self { most, since: now, taken: 0, suppressed: 0 }
    }

    /// Whether one more may pass: then how many have not since the last that did.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= WINDOW {
            (self.since, self.taken) = (now, 0);
        }
        if self.taken >= self.most {
            self.suppressed += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suppressed_is_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::new(2, start);
        assert_eq!([0, 1, 2, 3].map(|_| throttle.take(start)), [Some(0), Some(0), None, None]);
        assert_eq!(throttle.take(start + WINDOW), Some(2));
        assert_eq!(throttle.take(start + WINDOW), Some(0));
        assert_eq!(throttle.take(start + WINDOW), None);
    }
}
