//! Commit timestamps: one sequence per tenant.
//!
//! 48 bits of milliseconds since the Unix epoch, 16 bits of sequence. They order the commits of one tenant and mean
//! nothing between tenants. The wall clock only keeps them readable: a timestamp is always greater than the one before
//! it, whatever the clock says (§5 of the design).

use std::fmt;

/// The wall clock's last millisecond, in the year 6429. It is half of what fits, so that a timestamp after it always does.
const WALL_MS_MAX: u64 = (1 << 47) - 1;

/// The time of a commit, or of a snapshot, in one tenant's order.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every commit.
    pub const ZERO: Timestamp = Timestamp(0);
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    pub fn from_ms(ms: u64) -> Timestamp {
        Timestamp(ms << 16)
    }

    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The timestamp of the commit after `self`, proposed when the wall clock showed `wall_ms`: `max(self + 1, wall)`.
    /// Deterministic: replicas agree. Whether a wall clock is plausible is for the proposer to say.
    pub fn after(self, wall_ms: u64) -> Timestamp {
        Timestamp(self.0 + 1).max(Timestamp(wall_ms.min(WALL_MS_MAX) << 16))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.0 & 0xffff)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
