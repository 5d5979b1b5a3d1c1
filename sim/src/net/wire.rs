//! One direction between two machines.

use tenet_seam::Random;

use crate::digest::Who;
use crate::entropy::luck;

/// A wire: how long things take on it, and whether it is cut.
pub struct Wire {
    /// How many cuts are on it: each is healed for itself.
    pub(super) cuts: u32,
    pub(super) latency_us: (u64, u64),
    /// What a fault adds.
    pub(super) delay_us: (u64, u64),
    pub(super) luck: Random,
}

impl Wire {
    pub(super) fn new(seed: u64, ends: (u16, u16), latency_us: (u64, u64)) -> Wire {
        let luck = luck(seed, Who::WORLD, &format!("sim/wire/{}/{}", ends.0, ends.1));
        Wire { cuts: 0, latency_us, delay_us: (0, 0), luck }
    }

    /// When something sent now arrives.
    pub(super) fn transit(&mut self, now: u64) -> u64 {
        if self.cuts > 0 {
            return super::HELD;
        }
        let (least, most) = (self.latency_us.0 + self.delay_us.0, self.latency_us.1 + self.delay_us.1);
        now + self.luck.between(least * 1_000, most * 1_000)
    }
}
