//! Several machines lose power in the same instant, and come back one after the other: a rack, a room, everything.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field};

pub(super) struct Outage;

#[async_trait]
impl Fault for Outage {
    fn name(&self) -> &'static str {
        "outage"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let spared_percent = [0, 30][luck.below(2) as usize];
        let up = field.nodes.iter().filter(|node| node.is_up() && !field.is_wiped(node));
        let hit: Vec<_> = up.filter(|_| !luck.chance(spared_percent)).cloned().collect();
        if hit.len() >= 2 {
            let hit = field.cut_power(&hit, luck).await;
            field.struck(self.name(), &hit);
        }
    }
}
