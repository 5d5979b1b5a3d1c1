//! A disk that does nothing for a while.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

pub(super) struct DiskStall;

#[async_trait]
impl Fault for DiskStall {
    fn name(&self) -> &'static str {
        "disk-stall"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(node) = field.any_up(luck) else { return };
        let before = node.disk.stats().stalled_works;
        let lasts_ms = log_between(luck, 20, 4_000);
        let detail = format!("{} for {lasts_ms} ms", node.name);
        node.disk.stall_until(field.sim.now() + lasts_ms * 1_000_000);
        field.begins(self.name(), &detail);
        field.sim.sleep(Duration::from_millis(lasts_ms)).await;
        field.count(self.name(), u64::from(node.disk.stats().stalled_works > before));
        field.ends(self.name(), &detail);
    }
}
