//! The plug is pulled inside a disk operation: in the middle of a commit, of an append, of a recovery.

use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::Random;

use super::{Fault, Field, log_between};
use crate::boot::{Death, Machine};

/// The farthest crash point, in disk operations. A checkpoint takes some dozens.
const OPERATIONS_MAX: u64 = 1_024;

/// The same after a start, which reads what there is, repairs it, and writes little.
const RECOVERY_OPERATIONS_MAX: u64 = 256;

/// An idle node may never get there, and a dead one may stay so for a while.
const WAIT: Duration = Duration::from_secs(3);

pub(super) struct CrashPoint;

#[async_trait]
impl Fault for CrashPoint {
    fn name(&self) -> &'static str {
        "crash-point"
    }

    async fn strike(&self, field: &Field, luck: &mut Random) {
        let Some(node) = field.any_up(luck) else { return };
        let mut operations_max = OPERATIONS_MAX;
        // Again in the recovery, and perhaps in the one after that.
        loop {
            if !self.strike_once(field, &node, log_between(luck, 1, operations_max)).await || luck.chance(50) {
                return;
            }
            tokio::select! {
                biased;
                () = node.up() => {}
                () = field.sim.sleep(WAIT) => return,
            }
            operations_max = RECOVERY_OPERATIONS_MAX;
        }
    }
}

impl CrashPoint {
    /// False: the node did not come to so many operations.
    async fn strike_once(&self, field: &Field, node: &Machine, operations: u64) -> bool {
        let boot = node.boots();
        node.arm_crash_point(operations);
        tokio::select! {
            biased;
            () = node.down() => {}
            () = field.sim.sleep(WAIT) => node.disarm_crash_point(),
        }
        let died = field.sim.obituary(&node.name, boot).map(|obituary| obituary.death);
        let Some(Death::CrashPoint { operation, path, opening }) = died else { return false };
        let when = if opening { ", just opened" } else { "" };
        field.struck(self.name(), &format!("{} inside {operation:?} of {path}{when}", node.name));
        true
    }
}
