//! Connections that go mute, and nobody is told: something between their ends forgot them.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field};

pub(super) struct Hang;

#[async_trait]
impl Fault for Hang {
    fn name(&self) -> &'static str {
        "hang"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let connections = field.sim.net().connections();
        if connections.is_empty() {
            return;
        }
        let between = &connections[luck.below(connections.len() as u64) as usize];
        field.sim.net().hang(between.connection);
        field.struck(self.name(), &format!("{} - {}", between.from, between.to));
    }
}
