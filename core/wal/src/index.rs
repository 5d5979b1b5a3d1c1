//! Everything that the log knows in memory: groups, where their entries are, which segments they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tenet_seam::File;
use tenet_types::{LogIndex, ShardId};

use crate::cache::Cache;
use crate::error::WalError;
use crate::format::{Record, SegmentId};
use crate::group::{Group, GroupState, Slot};
use crate::{Batch, WalStats};

/// A segment file that is kept.
pub(crate) struct SegmentFile {
    pub path: String,
    pub file: Arc<dyn File>,
    pub bytes: u64,
}

pub(crate) struct Index {
    pub groups: BTreeMap<ShardId, Group>,
    pub segments: BTreeMap<SegmentId, SegmentFile>,
    /// By segment, how many groups have their oldest entry in it.
    holders: BTreeMap<SegmentId, u64>,
    cache: Cache,
    pub stats: WalStats,
}

/// A batch that fits the state it will meet.
pub(crate) struct Plan {
    pub records: Vec<(ShardId, Record)>,
    /// What each group will be, in the same order; `None` for one that ends.
    outcomes: Vec<Option<GroupState>>,
}

impl Index {
    pub fn new(cache_bytes: usize) -> Index {
        Index {
            groups: BTreeMap::new(),
            segments: BTreeMap::new(),
            holders: BTreeMap::new(),
            cache: Cache::new(cache_bytes),
            stats: WalStats::default(),
        }
    }

    /// The oldest segment in which somebody needs an entry.
    pub fn floor(&self) -> Option<SegmentId> {
        self.holders.keys().next().copied()
    }

    pub fn states(&self) -> Vec<(ShardId, GroupState)> {
        self.groups.iter().map(|(shard, group)| (*shard, group.state.clone())).collect()
    }

    /// A group whose entries are not yet found (recovery, from a header).
    pub fn insert(&mut self, shard: ShardId, state: GroupState) {
        let group = Group::new(state);
        assert!(group.oldest().is_none_or(|segment| segment == SegmentId::NONE), "a new group's entries have no place");
        self.hold(None, group.oldest());
        self.groups.insert(shard, group);
    }

    /// Checks a batch against the state; changes nothing.
    pub fn plan(&self, batch: &Batch) -> Result<Plan, WalError> {
        let mut plan = Plan { records: Vec::with_capacity(batch.groups.len()), outcomes: Vec::new() };
        let mut shards = BTreeSet::new();
        for (shard, change) in &batch.groups {
            let refused = |why| WalError::Refused { shard: *shard, why };
            if !shards.insert(*shard) {
                return Err(refused("it is twice in one batch"));
            }
            let record = Record::of(change).map_err(refused)?;
            plan.outcomes.push(self.outcome(*shard, &record)?);
            plan.records.push((*shard, record));
        }
        Ok(plan)
    }

    /// What a record makes of its group.
    pub fn outcome(&self, shard: ShardId, record: &Record) -> Result<Option<GroupState>, WalError> {
        let refused = |why| WalError::Refused { shard, why };
        let before = match (self.groups.get(&shard), record.create) {
            (Some(group), Some(replica)) if group.state.replica != replica => {
                return Err(refused("it is there under another replica id"));
            }
            (Some(group), _) => &group.state,
            (None, Some(replica)) => &GroupState::new(replica),
            (None, None) => return Err(WalError::NoGroup { shard }),
        };
        let after = before.after(record).map_err(refused)?;
        Ok((!record.drop).then_some(after))
    }

    /// Takes on a planned batch that is durable. `slots` holds each record's entries.
    pub fn commit(&mut self, plan: Plan, slots: Vec<Vec<Slot>>) {
        for (((shard, record), outcome), slots) in plan.records.into_iter().zip(plan.outcomes).zip(slots) {
            self.commit_one(shard, &record, outcome, slots);
        }
    }

    pub fn commit_one(&mut self, shard: ShardId, record: &Record, outcome: Option<GroupState>, slots: Vec<Slot>) {
        let before = self.groups.get(&shard).and_then(Group::oldest);
        let Some(next) = outcome else {
            self.groups.remove(&shard);
            self.hold(before, None);
            return;
        };
        let first = record.entries.as_ref().map_or(LogIndex::ZERO, |entries| entries.first);
        for (index, slot) in (first.0..).map(LogIndex).zip(&slots) {
            if slot.cached.is_some() {
                self.cache.push(shard, index, slot.place);
            }
        }
        let group = self.groups.entry(shard).or_insert_with(|| Group::new(GroupState::new(next.replica)));
        group.commit(record, next, slots);
        let after = group.oldest();
        self.hold(before, after);
        self.trim_cache();
    }

    fn hold(&mut self, before: Option<SegmentId>, after: Option<SegmentId>) {
        if before == after {
            return;
        }
        if let Some(segment) = before {
            let count = self.holders.get_mut(&segment).expect("a holder is counted");
            *count -= 1;
            if *count == 0 {
                self.holders.remove(&segment);
            }
        }
        if let Some(segment) = after {
            *self.holders.entry(segment).or_default() += 1;
        }
    }

    fn trim_cache(&mut self) {
        while let Some((shard, index, place)) = self.cache.pop_excess() {
            let slot = self.groups.get_mut(&shard).and_then(|group| group.slot_mut(index));
            if let Some(slot) = slot.filter(|slot| slot.place == place) {
                slot.cached = None;
            }
        }
    }

    pub fn stats(&self) -> WalStats {
        WalStats {
            segments: self.segments.len() as u64,
            bytes: self.segments.values().map(|segment| segment.bytes).sum(),
            groups: self.groups.len() as u64,
            cache_bytes: self.cache.bytes() as u64,
            ..self.stats
        }
    }
}
