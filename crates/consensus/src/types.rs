//! Quantities of the protocol as types of their own: view, height, epoch, validator, time.

use std::fmt;

macro_rules! quantity {
    ($(#[$meta:meta])* $name:ident, $inner:ty) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name($inner);

        impl $name {
            /// The zero of this quantity.
            pub const ZERO: Self = Self(0);

            /// Wraps a plain number; there is no `From`, so that every place that does it is visible.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The plain number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

quantity!(
    /// A view: one leader's turn. The genesis block has view 0, the first view is 1.
    View,
    u64
);
quantity!(
    /// The number of a block in the chain; genesis is 0.
    Height,
    u64
);
quantity!(
    /// An epoch: a period with fixed members, keys and parameters.
    Epoch,
    u64
);
quantity!(
    /// A validator's place in the epoch's member list.
    ValidatorIndex,
    u16
);
quantity!(
    /// Microseconds since the Unix epoch.
    Timestamp,
    u64
);

impl View {
    /// The next view. Decoded views are bounded by [`crate::bounds::MAX_NUMBER`], so this cannot wrap.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Epoch {
    /// The next epoch.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Height {
    /// The next height.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl ValidatorIndex {
    /// The index as a `usize`, for the member list.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl Timestamp {
    /// The later time by `micros` microseconds, saturating at the end of time.
    pub const fn after_us(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The microseconds from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The later time by `millis` milliseconds.
    pub const fn after_ms(self, millis: u64) -> Self {
        self.after_us(millis.saturating_mul(1_000))
    }
}
