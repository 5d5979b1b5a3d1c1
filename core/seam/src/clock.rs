use std::time::Duration;

use futures::future::BoxFuture;

/// A point of a node's monotonic time, in nanoseconds since some moment before the node began. Means nothing elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Time from `earlier` to `self`; zero if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Time as one node sees it.
///
/// What may go wrong: the wall clock may be wrong by any amount, jump, and go backwards; the monotonic clock may run fast or
/// slow; a sleep may last longer than asked, never shorter by the node's own monotonic clock.
pub trait Clock: Send + Sync {
    /// Never goes back within one boot.
    fn now(&self) -> Moment;

    /// Microseconds since the Unix epoch, as this node believes.
    fn wall_us(&self) -> u64;

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}
