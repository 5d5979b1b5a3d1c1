//! The plug is pulled inside a disk operation: in the middle of a commit, of an append, of a recovery.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};
use crate::boot::Death;

/// The farthest crash point, in disk operations. A checkpoint takes some dozens.
const OPERATIONS_MAX: u64 = 1_024;

/// An idle node may never get there.
const WAIT: Duration = Duration::from_secs(3);

pub(super) struct CrashPoint;

#[async_trait]
impl Fault for CrashPoint {
    fn name(&self) -> &'static str {
        "crash-point"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(node) = field.any_up(luck) else { return };
        let boot = node.boots();
        node.arm_crash_point(log_between(luck, 1, OPERATIONS_MAX));
        tokio::select! {
            biased;
            () = node.down() => {}
            () = field.sim.sleep(WAIT) => node.disarm_crash_point(),
        }
        let died = field.sim.obituary(&node.name, boot);
        if let Some(Death::CrashPoint { operation, path, .. }) = died.map(|obituary| obituary.death) {
            field.struck(self.name(), &format!("{} inside {operation:?} of {path}", node.name));
        }
    }
}
