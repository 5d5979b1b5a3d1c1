//! A process that stands still and then goes on, as if nothing had been: a stopped process, a machine that was moved. Its
//! connections stay, what arrives meanwhile waits for it, and all its timers are late.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

pub(super) struct Pause;

#[async_trait]
impl Fault for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(node) = field.any_up(luck) else { return };
        let lasts_ms = log_between(luck, 50, 4_000);
        let detail = format!("{} for {lasts_ms} ms", node.name);
        node.pause();
        field.count(self.name(), 1);
        field.begins(self.name(), &detail);
        field.sim.sleep(Duration::from_millis(lasts_ms)).await;
        node.resume();
        field.ends(self.name(), &detail);
    }
}
