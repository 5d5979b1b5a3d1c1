//! Disks that do nothing for a while: mostly one, now and then several that share a cable. Some machines are reset over it.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// How often a watchdog ends the stall together with the machine.
const RESET_PERCENT: u64 = 50;

pub(super) struct DiskStall;

#[async_trait]
impl Fault for DiskStall {
    fn name(&self) -> &'static str {
        "disk-stall"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(first) = field.any_up(luck) else { return };
        let others_percent = [0, 50][luck.below(2) as usize];
        let hit: Vec<_> =
            field.nodes.iter().filter(|node| node.name == first.name || luck.chance(others_percent)).collect();
        let stalled = || hit.iter().map(|node| node.disk.stats().stalled_works).sum::<u64>();
        let before = stalled();
        let lasts_ms = log_between(luck, 20, 4_000);
        let names: Vec<&str> = hit.iter().map(|node| node.name.as_str()).collect();
        let detail = format!("{} for {lasts_ms} ms", names.join(" "));
        for node in &hit {
            node.disk.stall_until(field.sim.now() + lasts_ms * 1_000_000);
        }
        field.begins(self.name(), &detail);
        if luck.chance(RESET_PERCENT) {
            let before_ms = luck.below(lasts_ms);
            field.sim.sleep(Duration::from_millis(before_ms)).await;
            hit.iter().for_each(|node| node.kill());
            field.sim.sleep(Duration::from_millis(lasts_ms - before_ms)).await;
        } else {
            field.sim.sleep(Duration::from_millis(lasts_ms)).await;
        }
        field.count(self.name(), u64::from(stalled() > before));
        field.ends(self.name(), &detail);
    }
}
