//! Time and luck for workloads on a real machine.

use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use tenet_workloads::Surroundings;

pub struct RealTime {
    start: Instant,
}

impl RealTime {
    pub fn new() -> RealTime {
        RealTime { start: Instant::now() }
    }
}

impl Default for RealTime {
    fn default() -> RealTime {
        RealTime::new()
    }
}

impl Surroundings for RealTime {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// For clients whose run nobody can replay anyway: another one each time.
pub fn any_seed() -> u64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    nanos ^ u64::from(std::process::id()).rotate_left(40)
}
