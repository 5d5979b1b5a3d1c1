//! Oracle `state-hash`: replicas that have applied the same entries are in the same state.

use std::collections::BTreeMap;

use crate::{Oracle, Verdict};

/// What one replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHash {
    /// For people: `n1`.
    pub replica: String,
    pub shard: u64,
    /// The last entry applied.
    pub index: u64,
    pub hash: [u8; 32],
}

pub fn check<'a>(hashes: impl IntoIterator<Item = &'a StateHash>) -> Verdict {
    let mut places: BTreeMap<(u64, u64), Vec<&StateHash>> = BTreeMap::new();
    for hash in hashes {
        places.entry((hash.shard, hash.index)).or_default().push(hash);
    }
    for ((shard, index), hashes) in &places {
        let Some(other) = hashes.iter().find(|other| other.hash != hashes[0].hash) else { continue };
        let explanation = format!(
            "shard {shard} after entry {index}: {} has state {}, {} has {}",
            hashes[0].replica,
            short(&hashes[0].hash),
            other.replica,
            short(&other.hash)
        );
        return Verdict::invalid(Oracle::StateHash, explanation, Vec::new());
    }
    Verdict::valid(Oracle::StateHash)
}

fn short(hash: &[u8; 32]) -> String {
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
