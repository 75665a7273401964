//! What goes wrong in a scenario: Byzantine validators, crashes, weather on the links.

use serde::{Deserialize, Serialize};

use crate::attack::AttackKind;
use crate::network::weather::Weather;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The validator behaves in this way throughout.
    Byzantine {
        /// Which validator.
        validator: u16,
        /// What it does.
        attack: AttackKind,
    },
    /// The process dies at this time, losing what was not flushed; it comes back later, if at all.
    Crash {
        /// Which validator.
        validator: u16,
        /// When, in microseconds after the start.
        at_us: u64,
        /// When it starts again.
        back_at_us: Option<u64>,
    },
    /// Messages between the two sides are lost for a while.
    Partition {
        /// Validators of one side.
        side: Vec<u16>,
        /// From when, in microseconds after the start.
        from_us: u64,
        /// Until when.
        to_us: u64,
    },
    /// Links change for a while.
    Weather(Weather),
    /// Flushes of this validator (of all, if absent) take longer for a while.
    SlowDisk {
        /// Which validator.
        validator: Option<u16>,
        /// From when, in microseconds after the start.
        from_us: u64,
        /// Until when.
        to_us: u64,
        /// What each flush takes in addition, in microseconds.
        extra_us: u64,
    },
}

impl Fault {
    /// The validators it names.
    pub(crate) fn named(&self) -> Vec<u16> {
        match self {
            Self::Byzantine { validator, .. } | Self::Crash { validator, .. } => vec![*validator],
            Self::Partition { side, .. } => side.clone(),
            Self::Weather(weather) => weather.senders.iter().chain(&weather.receivers).copied().collect(),
            Self::SlowDisk { validator, .. } => validator.iter().copied().collect(),
        }
    }

    /// When it is over, in microseconds after the start; `None` if never, as with a Byzantine validator or a crash for good.
    pub(crate) const fn ends_us(&self) -> Option<u64> {
        match self {
            Self::Byzantine { .. } => None,
            Self::Crash { back_at_us, .. } => *back_at_us,
            Self::Partition { to_us, .. } | Self::SlowDisk { to_us, .. } => Some(*to_us),
            Self::Weather(weather) => Some(weather.to_us),
        }
    }
}
