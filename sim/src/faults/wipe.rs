//! Somebody deletes a node's data folder and starts it again. It must be refused: it has forgotten what it promised.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field};

pub(super) struct Wipe;

#[async_trait]
impl Fault for Wipe {
    fn name(&self) -> &'static str {
        "wipe"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        // A cluster that cannot lose a node loses none.
        if field.nodes.len() < 3 {
            return;
        }
        let Some(node) = field.any_up(luck) else { return };
        if field.may_wipe(&node) {
            node.kill();
            node.disk.wipe();
            field.struck(self.name(), &node.name);
        }
    }
}
