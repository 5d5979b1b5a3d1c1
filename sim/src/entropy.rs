//! Luck: ChaCha streams, each with a key of its own.
//!
//! A stream's key is `blake3(seed, machine, boot, name, how many streams of that name the boot has opened)`. So a stream that is
//! added somewhere changes no other, and a recorded failure stays a failure after unrelated work. What the simulation itself
//! draws (latencies, what a crash tears, faults) comes from streams of the world, by the same rule, with machine and boot 0 or
//! under names that begin with `sim/`.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tenet_seam::{Draw, Entropy, Random};

use crate::boot::Boot;
use crate::digest::{Kind, Who};

/// The generator of one stream.
fn generator(seed: u64, who: Who, name: &str, count: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("tenet-sim 2026 named stream of luck");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&who.machine.to_le_bytes());
    hasher.update(&who.boot.to_le_bytes());
    hasher.update(&count.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A stream of the simulation itself: its draws show in what it does, so they are not events.
pub(crate) fn luck(seed: u64, who: Who, name: &str) -> Random {
    Random::new(Box::new(Plain(generator(seed, who, name, 0))))
}

struct Plain(ChaCha8Rng);

impl Draw for Plain {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// [`Entropy`] for one boot of a machine.
pub(crate) struct SimEntropy {
    pub(crate) boot: Arc<Boot>,
}

impl Entropy for SimEntropy {
    fn stream(&self, name: &str) -> Random {
        let count = self.boot.count_stream(name);
        let number = self.boot.event(Kind::OpenStream, 0, count, 0, name.as_bytes());
        let rng = generator(self.boot.world.seed, self.boot.who, name, count);
        Random::new(Box::new(Recorded { boot: self.boot.clone(), rng, number }))
    }
}

struct Recorded {
    boot: Arc<Boot>,
    rng: ChaCha8Rng,
    /// Which stream, in the trace: the index of the event that opened it.
    number: u64,
}

impl Draw for Recorded {
    fn next_u64(&mut self) -> u64 {
        let drawn = self.rng.next_u64();
        self.boot.event(Kind::Draw, self.number, drawn, 0, &[]);
        drawn
    }
}
