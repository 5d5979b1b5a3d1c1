//! Wires that take their time.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

pub(super) struct Delay;

#[async_trait]
impl Fault for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let node = field.any(luck);
        let most_us = log_between(luck, 2_000, 500_000);
        let others: Vec<String> =
            field.everyone().filter(|other| other.name != node.name).map(|other| other.name.clone()).collect();
        let set = |delay_us| {
            for other in &others {
                field.sim.net().delay(&node.name, other, delay_us);
                field.sim.net().delay(other, &node.name, delay_us);
            }
        };
        set((0, most_us));
        let detail = format!("{} up to {} ms", node.name, most_us / 1_000);
        field.count(self.name(), 1);
        field.begins(self.name(), &detail);
        field.pause_ms(luck, 200, 4_000).await;
        set((0, 0));
        field.ends(self.name(), &detail);
    }
}
