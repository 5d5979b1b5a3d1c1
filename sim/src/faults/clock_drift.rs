//! Clocks that run fast or slow: timers, too.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// A quarter too fast or too slow, far beyond any real clock.
const DRIFT_PPM_MAX: u64 = 250_000;

pub(super) struct ClockDrift;

#[async_trait]
impl Fault for ClockDrift {
    fn name(&self) -> &'static str {
        "clock-drift"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let node = field.any(luck);
        let ppm = log_between(luck, 50, DRIFT_PPM_MAX) as i64 * if luck.chance(50) { 1 } else { -1 };
        node.clock.set_drift(ppm);
        let detail = format!("{} by {ppm} ppm", node.name);
        field.count(self.name(), 1);
        field.begins(self.name(), &detail);
        field.pause_ms(luck, 500, 8_000).await;
        node.clock.set_drift(0);
        field.ends(self.name(), &detail);
    }
}
