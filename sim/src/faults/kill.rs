//! The plug is pulled; somebody puts it back after a while.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field};

pub(super) struct Kill;

#[async_trait]
impl Fault for Kill {
    fn name(&self) -> &'static str {
        "kill"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        if let Some(node) = field.any_up(luck) {
            let hit = field.cut_power(&[node], luck).await;
            field.struck(self.name(), &hit);
        }
    }
}
