//! The node's clock: wall time that never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use consensus::types::Timestamp;

/// Wall time from a monotonic source. Where the system clock is set forward it follows at once; where it is set back it goes at half
/// speed until both agree again, so that timers never freeze and time never repeats.
#[derive(Debug)]
pub(crate) struct Clock {
    anchor: Instant,
    anchor_us: u64,
    shown_us: u64,
}

/// How far both clocks may differ before this one is corrected, in microseconds.
const TOLERANCE_US: u64 = 20_000;
/// How often the difference is looked at, in microseconds.
const CHECK_EVERY_US: u64 = 1_000_000;

fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The corrected time, `elapsed_us` after an anchor at `anchor_us`, when the wall shows `wall_us`.
fn corrected(anchor_us: u64, elapsed_us: u64, wall_us: u64) -> u64 {
    let mine = anchor_us + elapsed_us;
    if wall_us > mine + TOLERANCE_US {
        wall_us
    } else if mine > wall_us + TOLERANCE_US {
        (anchor_us + elapsed_us / 2).max(wall_us)
    } else {
        mine
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = wall_us();
        Self { anchor: Instant::now(), anchor_us: now, shown_us: now }
    }

    pub(crate) fn now(&mut self) -> Timestamp {
        let elapsed_us = self.anchor.elapsed().as_micros() as u64;
        let mut now = self.anchor_us + elapsed_us;
        if elapsed_us >= CHECK_EVERY_US {
            now = corrected(self.anchor_us, elapsed_us, wall_us());
            self.anchor = Instant::now();
            self.anchor_us = now;
        }
        self.shown_us = self.shown_us.max(now);
        Timestamp::new(self.shown_us)
    }
}

/// The system's wall time, for clients' deadlines.
pub(crate) fn system_now() -> Timestamp {
    Timestamp::new(wall_us())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_forward_and_slows_down_when_ahead() {
        assert_eq!(corrected(1_000_000, 500_000, 1_500_000), 1_500_000);
        assert_eq!(corrected(1_000_000, 500_000, 9_000_000), 9_000_000);
        assert_eq!(corrected(9_000_000, 500_000, 1_500_000), 9_250_000);
    }
}
