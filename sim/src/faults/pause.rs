//! A process that stands still and then goes on, as if nothing had been: a stopped process, a machine that was moved. Its
//! connections stay, what arrives meanwhile waits for it, and all its timers are late. The wires to the other nodes of one that was
//! moved may find it again a little after it woke: until then nobody can tell it that it was deposed.

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
        let found_ms = if luck.chance(50) { log_between(luck, 10, 500) } else { 0 };
        let others: Vec<_> = field.nodes.iter().filter(|other| found_ms > 0 && other.name != node.name).collect();
        let detail = match found_ms {
            0 => format!("{} for {lasts_ms} ms", node.name),
            _ => format!("{} for {lasts_ms} ms, cut off for {found_ms} ms more", node.name),
        };
        let net = field.sim.net();
        for other in &others {
            net.cut(&node.name, &other.name);
            net.cut(&other.name, &node.name);
        }
        node.pause();
        field.count(self.name(), 1);
        field.begins(self.name(), &detail);
        field.sim.sleep(Duration::from_millis(lasts_ms)).await;
        node.resume();
        field.sim.sleep(Duration::from_millis(found_ms)).await;
        for other in &others {
            net.heal(&node.name, &other.name);
            net.heal(&other.name, &node.name);
        }
        field.ends(self.name(), &detail);
    }
}
