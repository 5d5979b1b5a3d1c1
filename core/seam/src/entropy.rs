//! Luck: named streams of random numbers, all from one seed in a simulation, from the operating system in production.

/// Where streams come from.
pub trait Entropy: Send + Sync {
    /// A new stream. In simulation its numbers follow from seed, node, boot, `name`, and how many streams of that name the boot
    /// has opened: adding a stream elsewhere does not change this one.
    fn stream(&self, name: &str) -> Random;
}

/// Draws numbers; simulated ones write each draw into the digest.
pub trait Draw: Send {
    fn next_u64(&mut self) -> u64;
}

/// A stream of random numbers (ChaCha, see `rand_chacha`).
pub struct Random(Box<dyn Draw>);

impl Random {
    pub fn new(draw: Box<dyn Draw>) -> Random {
        Random(draw)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    /// Uniform in `0..bound`. Panics if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `first..=last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        assert!(first <= last, "an empty range has no number");
        first + if last - first == u64::MAX { self.next_u64() } else { self.below(last - first + 1) }
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
