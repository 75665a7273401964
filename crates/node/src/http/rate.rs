//! The rate limit: a token bucket for all clients together.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A second's worth of requests may come at once; after that, as many as the rate refills.
pub(super) struct RateLimit {
    per_second: u64,
    state: Mutex<(u64, Instant)>,
}

const NANOS: u64 = 1_000_000_000;

impl RateLimit {
    /// `per_second` requests; 0 is no limit.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, state: Mutex::new((per_second * NANOS, now)) }
    }

    /// Whether one more request may pass now.
    pub(super) fn take(&self, now: Instant) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, last) = &mut *state;
        // The level counts billionths of a request. After a second the bucket is full, whatever came before.
        let elapsed = now.saturating_duration_since(*last).as_nanos().min(u128::from(NANOS)) as u64;
        *level = level.saturating_add(elapsed.saturating_mul(self.per_second)).min(self.per_second * NANOS);
        *last = now.max(*last);
        if *level < NANOS {
            return false;
        }
        *level -= NANOS;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_at_once_then_the_rate() {
        let start = Instant::now();
        let limit = RateLimit::new(10, start);
        assert_eq!((0..100).filter(|_| limit.take(start)).count(), 10);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..100).filter(|_| limit.take(later)).count(), 2);
        let idle = start + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| limit.take(idle)).count(), 10);
        assert!(!limit.take(start), "time that goes back refills nothing");
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let limit = RateLimit::new(0, now);
        assert_eq!((0..100_000).filter(|_| limit.take(now)).count(), 100_000);
    }
}
