//! Oracle `replica-rows`: two replicas of a shard, looked at as of one timestamp, hold the same rows.
//!
//! State hashes cannot tell: they are hashes of what was to be applied. A row that a snapshot left out, or that a crash took from a
//! store, is missing behind an intact hash.

use std::collections::BTreeMap;

use crate::{Oracle, Verdict};

/// A visible row: its key, and what stands for its value.
pub type Row = (Vec<u8>, [u8; 32]);

/// Compares as replicas are audited.
#[derive(Clone, Debug, Default)]
pub struct ReplicaRows {
    /// By shard and timestamp: who was audited first, and its rows.
    first: BTreeMap<(u64, u64), (String, Vec<Row>)>,
    compared: u64,
    contradiction: Option<String>,
}

impl ReplicaRows {
    /// A replica (a name for people) of a shard holds these rows, in order of key, as of this timestamp.
    pub fn audited(&mut self, replica: &str, shard: u64, timestamp: u64, rows: Vec<Row>) {
        let Some((other, first)) = self.first.get(&(shard, timestamp)) else {
            self.first.insert((shard, timestamp), (replica.to_string(), rows));
            return;
        };
        self.compared += rows.len().max(first.len()) as u64;
        if *first == rows || self.contradiction.is_some() {
            return;
        }
        let (ours, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (rows.into_iter().collect(), first.iter().cloned().collect());
        let differs = |key: &&Vec<u8>| ours.get(*key) != theirs.get(*key);
        let key = ours.keys().chain(theirs.keys()).filter(differs).min();
        let how = match key.map(|key| (key, ours.contains_key(key), theirs.contains_key(key))) {
            Some((key, true, true)) => format!("{other} and {replica} hold different values of key {}", hex(key)),
            Some((key, true, false)) => format!("{replica} holds key {}, and {other} does not", hex(key)),
            Some((key, _, _)) => format!("{other} holds key {}, and {replica} does not", hex(key)),
            None => format!("{other} and {replica} hold the same rows in another order, or twice"),
        };
        self.contradiction = Some(format!("shard {shard} as of {timestamp}: {how}"));
    }

    /// A replica has a store that cannot be read.
    pub fn unreadable(&mut self, replica: &str, reason: &str) {
        self.contradiction.get_or_insert_with(|| format!("{replica} after its last loss of power: {reason}"));
    }

    /// Rows that were held against those of another replica.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    pub fn verdict(&self) -> Verdict {
        Verdict::of(Oracle::ReplicaRows, self.contradiction.clone())
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
