//! Leaders that die young: whoever is elected loses some of its wires, and a moment later its power, several times in a row.
//! What it had begun to replicate is then on some disks and not on others, in one term after the other.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// Without an election nobody dies.
const WAIT: Duration = Duration::from_secs(2);

/// A leader lives at most this long, in microseconds.
const LIFE_US_MAX: u64 = 30_000;

pub(super) struct LeaderKill;

#[async_trait]
impl Fault for LeaderKill {
    fn name(&self) -> &'static str {
        "leader-kill"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let leaders = field.witness.leaders();
        if leaders.is_empty() {
            return;
        }
        let (shard, first) = leaders[luck.below(leaders.len() as u64) as usize];
        let mut leader = field.nodes[first as usize - 1].clone();
        for _ in 0..luck.between(2, 6) {
            let percent = [50, 100][luck.below(2) as usize];
            let others = field.nodes.iter().filter(|node| node.name != leader.name);
            let mute: Vec<_> = others.filter(|_| luck.chance(percent)).collect();
            for other in &mute {
                field.sim.net().cut(&leader.name, &other.name);
            }
            field.sim.sleep(Duration::from_micros(log_between(luck, 100, LIFE_US_MAX))).await;
            if leader.is_up() {
                let hit = field.cut_power(std::slice::from_ref(&leader), luck).await;
                field.struck(self.name(), &format!("{hit} of shard {shard}"));
            }
            for other in &mute {
                field.sim.net().heal(&leader.name, &other.name);
            }
            let next = tokio::select! {
                biased;
                node = field.witness.next_elected(shard) => node,
                () = field.sim.sleep(WAIT) => return,
            };
            leader = field.nodes[next as usize - 1].clone();
        }
    }
}
