//! A disk without room, until somebody makes some.

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};

/// Most room that is left.
const ROOM_BYTES_MAX: u64 = 256 << 10;

pub(super) struct FullDisk;

#[async_trait]
impl Fault for FullDisk {
    fn name(&self) -> &'static str {
        "full-disk"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(node) = field.any_up(luck) else { return };
        let before = node.disk.stats().refused_full;
        let room = if luck.chance(30) { 0 } else { log_between(luck, 512, ROOM_BYTES_MAX) };
        node.disk.set_capacity(Some(node.disk.used_bytes() + room));
        let detail = format!("{} with {room} bytes left", node.name);
        field.begins(self.name(), &detail);
        field.pause_ms(luck, 200, 4_000).await;
        node.disk.set_capacity(None);
        field.count(self.name(), u64::from(node.disk.stats().refused_full > before));
        field.ends(self.name(), &detail);
    }
}
