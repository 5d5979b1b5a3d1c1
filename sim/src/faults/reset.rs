//! Connections that end with a reset, as when something between their ends was started anew.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field};

pub(super) struct Reset;

#[async_trait]
impl Fault for Reset {
    fn name(&self) -> &'static str {
        "reset"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let percent = [10, 50, 100][luck.below(3) as usize];
        let connections = field.sim.net().connections();
        let hit: Vec<_> = connections.into_iter().filter(|_| luck.chance(percent)).collect();
        for between in &hit {
            field.sim.net().reset(between.connection);
        }
        if !hit.is_empty() {
            field.struck(self.name(), &format!("{} connections", hit.len()));
        }
    }
}
