//! The wall clock that a leader proposes commits with, made plausible.
//!
//! Timestamps never go back, so a clock that is years ahead for one second would take its tenant there for ever. A leader
//! therefore measures its wall clock against what it knows: the tenant's last timestamp when its leadership began, and the time
//! that has passed since on its monotonic clock. What is far beyond is not believed, and time counts on from there.

use tenet_seam::Moment;
use tenet_types::{Timestamp, mark};

/// So far beyond what is expected a wall clock is believed, in milliseconds (30 days): tenants sleep, and nodes are switched off.
const AHEAD_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// Of one leadership.
#[derive(Debug)]
pub struct ProposalClock {
    last: Timestamp,
    /// When it was first asked.
    since: Option<Moment>,
    alarmed: bool,
}

impl ProposalClock {
    /// For a leadership that begins after a commit at `last`.
    pub fn new(last: Timestamp) -> ProposalClock {
        ProposalClock { last, since: None, alarmed: false }
    }

    /// The milliseconds to propose with, now that the node's clocks show this.
    pub fn ms(&mut self, now: Moment, wall_ms: u64) -> u64 {
        let since = *self.since.get_or_insert(now);
        let expected_ms = self.last.ms().saturating_add(now.since(since).as_millis() as u64);
        // The first commit of all has nothing to be compared with.
        if self.last == Timestamp::ZERO || wall_ms <= expected_ms.saturating_add(AHEAD_MS_MAX) {
            return wall_ms;
        }
        if !std::mem::replace(&mut self.alarmed, true) {
            mark!("shard: wall clock not believed");
            tracing::error!(
                wall_ms,
                expected_ms,
                "the wall clock is implausibly far ahead: set it; commits count on without it"
            );
        }
        expected_ms
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn at(ms: u64) -> Moment {
        Moment::default().plus(Duration::from_millis(ms))
    }

    #[test]
    fn time_follows_the_wall_after_a_long_sleep() {
        let mut clock = ProposalClock::new(Timestamp::from_ms(100 * DAY_MS));
        assert_eq!(clock.ms(at(5), 103 * DAY_MS), 103 * DAY_MS);
        assert_eq!(clock.ms(at(5 + 60 * DAY_MS), 163 * DAY_MS), 163 * DAY_MS);
        assert_eq!(clock.ms(at(5 + 60 * DAY_MS), 3), 3, "behind is for apply to mend");
        assert_eq!(ProposalClock::new(Timestamp::ZERO).ms(at(5), 20_000 * DAY_MS), 20_000 * DAY_MS);
    }

    #[test]
    fn a_clock_that_is_years_ahead_takes_nobody_along() {
        let mut clock = ProposalClock::new(Timestamp::from_ms(100 * DAY_MS));
        assert_eq!(clock.ms(at(7), 20_000 * DAY_MS), 100 * DAY_MS);
        assert_eq!(clock.ms(at(7 + 1_000), 20_000 * DAY_MS), 100 * DAY_MS + 1_000);
        assert_eq!(clock.ms(at(7 + 2_000), 101 * DAY_MS), 101 * DAY_MS, "it was set right");
    }
}
