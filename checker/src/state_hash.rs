//! Oracle `state-hash`: replicas that have applied the same entries are in the same state.

use std::collections::BTreeMap;

use crate::{Oracle, Verdict};

/// Compares as replicas speak.
#[derive(Clone, Debug, Default)]
pub struct StateHashes {
    /// By shard and index of the last entry applied: who was there first, in which state.
    first: BTreeMap<(u64, u64), (String, [u8; 32])>,
    compared: u64,
    contradiction: Option<String>,
}

impl StateHashes {
    /// A replica (a name for people) has applied a shard's entries up to this one, and is then in this state.
    pub fn applied(&mut self, replica: &str, shard: u64, index: u64, hash: [u8; 32]) {
        let Some((other, first)) = self.first.get(&(shard, index)) else {
            self.first.insert((shard, index), (replica.to_string(), hash));
            return;
        };
        // The same replica again, after a restart, is worth a look, but compares nobody with anybody.
        self.compared += u64::from(other != replica);
        if *first != hash && self.contradiction.is_none() {
            let (first, second) = (short(first), short(&hash));
            self.contradiction =
                Some(format!("shard {shard} after entry {index}: {other} has state {first}, {replica} has {second}"));
        }
    }

    /// Hashes that were held against another replica's of the same place.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    pub fn verdict(&self) -> Verdict {
        Verdict::of(Oracle::StateHash, self.contradiction.clone())
    }
}

fn short(hash: &[u8; 32]) -> String {
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
