//! Validation: may this transaction commit? Asked of one place per shard, its serving leader, in proposal order.
//!
//! A transaction read everything at one snapshot. It may commit if nothing that it read (single keys, and whole spans, so that
//! rows that were absent count) was written by a transaction that is ordered after that snapshot and before it: those are the
//! writes applied since the snapshot, *and every write proposed but not yet applied*. The leader keeps a bounded window of
//! recent write sets in memory for that and never looks at versions on disk.
//!
//! Invariants
//!  V1  For every key written at a timestamp above `floor`, `writes` knows the latest such write; so a snapshot at or above
//!      `floor` is judged exactly, and one below it is refused.
//!  V2  A proposal in flight conflicts with every reader: its timestamp will be above every snapshot given out so far.
//!  V3  A window is good for one leadership. It begins empty when the leader's no-op is applied (by then every earlier entry
//!      is), with the timestamp of that moment as floor; its verdicts are proposed in that term or never.
//!
//! Source: backward validation, Kung & Robinson (1981), with spans for phantoms.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use tenet_types::{Key, LogIndex, ReadSet, Timestamp};

/// Recent writes of one leadership of one shard.
#[derive(Debug)]
pub struct Window {
    floor: Timestamp,
    /// The latest write of each key: by which entry, and when (`None`: in flight).
    writes: BTreeMap<Key, (LogIndex, Option<Timestamp>)>,
    /// Write sets in log order: the oldest is forgotten first.
    sets: VecDeque<WrittenSet>,
    /// How many of `sets`, at its front, are applied.
    applied: usize,
    /// What the keys of the applied ones take, about.
    bytes: usize,
    bound: WindowBound,
}

/// How much a window remembers of what is applied. What is in flight is kept besides: its owners bound that.
#[derive(Clone, Copy, Debug)]
pub struct WindowBound {
    pub sets_max: usize,
    pub bytes_max: usize,
}

/// What a key costs besides its bytes, kept twice.
const KEY_OVERHEAD_BYTES: usize = 96;

#[derive(Debug)]
struct WrittenSet {
    index: LogIndex,
    at: Option<Timestamp>,
    keys: Vec<Key>,
}

impl Window {
    /// An empty window for a leadership that begins when everything up to `floor` is applied.
    pub fn new(floor: Timestamp, bound: WindowBound) -> Window {
        Window { floor, writes: BTreeMap::new(), sets: VecDeque::new(), applied: 0, bytes: 0, bound }
    }

    /// True if everything in `reads` is still what it was at `snapshot`.
    pub fn admits(&self, snapshot: Timestamp, reads: &ReadSet) -> bool {
        if reads.is_empty() {
            return true;
        }
        if snapshot < self.floor {
            tenet_types::mark!("validate: snapshot older than the window");
            return false;
        }
        let unchanged = |(_, at): &(LogIndex, Option<Timestamp>)| at.is_some_and(|at| at <= snapshot);
        reads.keys.iter().all(|key| self.writes.get(key).is_none_or(unchanged))
            && reads.spans.iter().all(|span| {
                span.is_empty()
                    || self
                        .writes
                        .range::<Key, _>((Bound::Included(&span.start), Bound::Excluded(&span.end)))
                        .all(|(_, write)| unchanged(write))
            })
    }

    /// An admitted transaction was proposed at `index`; calls come in ascending order of it.
    pub fn proposed(&mut self, index: LogIndex, keys: Vec<Key>) {
        assert!(self.sets.back().is_none_or(|last| last.index < index), "proposals are in log order");
        for key in &keys {
            self.writes.insert(key.clone(), (index, None));
        }
        self.sets.push_back(WrittenSet { index, at: None, keys });
    }

    /// The entry at `index` was applied and got its timestamp. Entries that are not ours are ignored.
    pub fn applied(&mut self, index: LogIndex, at: Timestamp) {
        let Ok(place) = self.sets.binary_search_by_key(&index, |set| set.index) else { return };
        let set = &mut self.sets[place];
        assert_eq!(place, self.applied, "{index} was applied out of order");
        assert!(at > self.floor, "{index} got {at}, not after {}", self.floor);
        set.at = Some(at);
        for key in &set.keys {
            let latest = self.writes.get_mut(key).expect("a key of a kept set is kept (V1)");
            if latest.0 == index {
                latest.1 = Some(at);
            }
        }
        self.applied += 1;
        self.bytes += set.keys.iter().map(key_bytes).sum::<usize>();
        while self.applied > 0 && (self.applied > self.bound.sets_max || self.bytes > self.bound.bytes_max) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let WrittenSet { index, at, keys } = self.sets.pop_front().expect("some are applied");
        self.applied -= 1;
        self.bytes -= keys.iter().map(key_bytes).sum::<usize>();
        for key in keys {
            if self.writes.get(&key).is_some_and(|latest| latest.0 == index) {
                self.writes.remove(&key);
            }
        }
        self.floor = at.expect("entries are applied in order");
    }
}

fn key_bytes(key: &Key) -> usize {
    2 * key.0.len() + KEY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests;
