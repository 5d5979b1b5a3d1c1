//! Wall clocks that jump, either way.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// Farthest jump: a day.
const JUMP_US_MAX: u64 = 86_400_000_000;

pub(super) struct ClockJump;

#[async_trait]
impl Fault for ClockJump {
    fn name(&self) -> &'static str {
        "clock-jump"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let node = field.any(luck);
        let by = log_between(luck, 1_000, JUMP_US_MAX) as i64 * if luck.chance(50) { 1 } else { -1 };
        node.clock.jump_wall(by);
        field.struck(self.name(), &format!("{} by {} ms", node.name, by / 1_000));
    }
}
