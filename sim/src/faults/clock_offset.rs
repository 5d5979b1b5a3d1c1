//! Wall clocks that are wrong from the beginning.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// Most that a clock is off: a year and more.
const OFFSET_US_MAX: u64 = 40_000_000_000_000;

pub(super) struct ClockOffset;

#[async_trait]
impl Fault for ClockOffset {
    fn name(&self) -> &'static str {
        "clock-offset"
    }

    fn prepare(&self, field: &Field, luck: &mut Random) {
        for node in &field.nodes {
            if luck.chance(30) {
                continue;
            }
            let off = log_between(luck, 1_000, OFFSET_US_MAX) as i64 * if luck.chance(50) { 1 } else { -1 };
            node.clock.jump_wall(off);
            field.struck(self.name(), &format!("{} by {} ms", node.name, off / 1_000));
        }
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        // It is there all the time; in the storm somebody sets a clock right.
        let node = field.any(luck);
        node.clock.jump_wall(-node.clock.wall_offset_us());
        field.struck(self.name(), &format!("{} set right", node.name));
    }
}
