//! A machine that still hears and is not heard, or the other way round.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

pub(super) struct OneWayPartition;

#[async_trait]
impl Fault for OneWayPartition {
    fn name(&self) -> &'static str {
        "one-way-partition"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let node = field.any(luck);
        let mute = luck.chance(50);
        let clients_too = luck.chance(30);
        let nodes = field.nodes.iter().filter(|other| other.name != node.name && luck.chance(80));
        let mut others: Vec<String> = nodes.map(|other| other.name.clone()).collect();
        if clients_too {
            others.extend(field.clients.iter().map(|client| client.name.clone()));
        }
        if others.is_empty() {
            return;
        }
        let wire =
            |other: &String| if mute { (node.name.clone(), other.clone()) } else { (other.clone(), node.name.clone()) };
        let detail = match mute {
            true => format!("{} -> {}", node.name, others.join(" ")),
            false => format!("{} -> {}", others.join(" "), node.name),
        };
        for (source, target) in others.iter().map(wire) {
            field.sim.net().cut(&source, &target);
        }
        field.count(self.name(), 1);
        field.begins(self.name(), &detail);
        let least = log_between(luck, 50, 2_000);
        field.pause_ms(luck, least, least * 2).await;
        for (source, target) in others.iter().map(wire) {
            field.sim.net().heal(&source, &target);
        }
        field.ends(self.name(), &detail);
    }
}
