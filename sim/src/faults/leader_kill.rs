//! Leaders that die young, several in a row: whoever is elected is no longer heard by some, at once or in the middle of its first
//! sentences, goes on listening, and a moment later loses its power. What it had begun to replicate is then on some disks and not
//! on others, in one term after the other; and what it took for replicated need not be for good.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// Without an election nobody dies.
const WAIT: Duration = Duration::from_secs(2);

/// A leader is heard, and then lives on unheard, each at most this long, in microseconds.
const MOMENT_US_MAX: u64 = 30_000;

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
            if luck.chance(50) {
                field.sim.sleep(moment(luck)).await;
            }
            let percent = [50, 100][luck.below(2) as usize];
            let others = field.nodes.iter().filter(|node| node.name != leader.name);
            let mute: Vec<_> = others.filter(|_| luck.chance(percent)).collect();
            for other in &mute {
                field.sim.net().cut(&leader.name, &other.name);
            }
            field.sim.sleep(moment(luck)).await;
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

fn moment(luck: &mut Random) -> Duration {
    Duration::from_micros(log_between(luck, 100, MOMENT_US_MAX))
}
