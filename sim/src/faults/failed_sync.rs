//! A sync that fails. What it should have made durable is unknown from then on, so the node must end itself.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field};

/// An idle node may not sync.
const WAIT: Duration = Duration::from_secs(2);

pub(super) struct FailedSync;

#[async_trait]
impl Fault for FailedSync {
    fn name(&self) -> &'static str {
        "failed-sync"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(node) = field.any_up(luck) else { return };
        let before = node.disk.stats().failed_syncs;
        node.disk.fail_syncs(luck.between(1, 3));
        let end = field.sim.now() + WAIT.as_nanos() as u64;
        while field.sim.now() < end && node.disk.stats().failed_syncs == before {
            field.sim.sleep(Duration::from_millis(10)).await;
        }
        node.disk.fail_syncs(0);
        if node.disk.stats().failed_syncs > before {
            field.struck(self.name(), &node.name);
        }
    }
}
