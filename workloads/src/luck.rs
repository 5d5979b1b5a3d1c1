//! Random numbers from outside (W5).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
pub struct Luck(Box<dyn FnMut() -> u64 + Send>);

impl Luck {
    /// Numbers from `source`, each uniform over all of u64.
    pub fn new(source: impl FnMut() -> u64 + Send + 'static) -> Luck {
        Luck(Box::new(source))
    }

    /// A stream of its own: the same seed gives the same numbers, on every machine.
    pub fn from_seed(seed: u64) -> Luck {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        Luck::new(move || generator.next_u64())
    }

    pub fn next_u64(&mut self) -> u64 {
        (self.0)()
    }

    /// Uniform in `0..bound`. Panics if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `first..=last`. Panics if there is none, or the range is wider than i64.
    pub fn between(&mut self, first: i64, last: i64) -> i64 {
        let width = last.checked_sub(first).and_then(|width| u64::try_from(width).ok());
        first + self.below(width.expect("a range of numbers") + 1) as i64
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Any one of them. Panics if there is none.
    pub fn pick<'t, T>(&mut self, these: &'t [T]) -> &'t T {
        &these[self.below(these.len() as u64) as usize]
    }
}
