//! Luck from the operating system: one secret drawn at the start, and a ChaCha stream of it for each that asks.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tenet_seam::{Draw, Entropy, Random};

pub struct SystemEntropy {
    secret: [u8; 32],
    streams: AtomicU64,
}

impl SystemEntropy {
    pub fn new() -> io::Result<SystemEntropy> {
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(SystemEntropy { secret, streams: AtomicU64::new(0) })
    }
}

impl Entropy for SystemEntropy {
    /// The name plays no part here: a counter keeps streams apart.
    fn stream(&self, _name: &str) -> Random {
        let mut chacha = ChaCha12Rng::from_seed(self.secret);
        chacha.set_stream(self.streams.fetch_add(1, Ordering::Relaxed));
        Random::new(Box::new(Stream(chacha)))
    }
}

struct Stream(ChaCha12Rng);

impl Draw for Stream {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}
