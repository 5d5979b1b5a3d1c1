//! What the log knows of one group, and how a record changes it: one code for appending and for recovery.

use std::collections::VecDeque;
use std::sync::Arc;

use tenet_types::{LogIndex, ReplicaId, Term};

use crate::format::{Record, SegmentId};

/// The whole state of one group but for its payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub replica: ReplicaId,
    pub term: Term,
    pub vote: Option<ReplicaId>,
    /// The entry before the first one held; (0, 0) if nothing was ever dropped.
    pub base: (LogIndex, Term),
    /// Stretches of one term: the first index of each, ascending in both. Empty when there are no entries.
    pub runs: Vec<(LogIndex, Term)>,
    /// Equal to `base.0` when there are no entries.
    pub last: LogIndex,
    /// The store durably holds everything up to here; never before `base`.
    pub checkpoint: (LogIndex, Term),
}

impl GroupState {
    pub fn new(replica: ReplicaId) -> GroupState {
        GroupState {
            replica,
            term: Term::ZERO,
            vote: None,
            base: (LogIndex::ZERO, Term::ZERO),
            runs: Vec::new(),
            last: LogIndex::ZERO,
            checkpoint: (LogIndex::ZERO, Term::ZERO),
        }
    }

    /// The term of an entry that is held, or of the base.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        if index < self.base.0 || index > self.last {
            return None;
        }
        let after = self.runs.partition_point(|(first, _)| *first <= index);
        Some(self.runs[after - 1].1)
    }

    /// Bounds and runs agree with each other.
    pub(crate) fn is_consistent(&self) -> bool {
        let ascend = self.runs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let joined = match (self.runs.first(), self.runs.last()) {
            (Some(first), Some(last)) => first.0 == self.base.0.next() && first.1 >= self.base.1 && last.0 <= self.last,
            _ => self.last == self.base.0,
        };
        let checkpoint = self.checkpoint.0 >= self.base.0 && self.checkpoint.0 <= self.last;
        ascend && joined && checkpoint && self.term_at(self.checkpoint.0) == Some(self.checkpoint.1)
    }

    /// Entries held.
    pub(crate) fn entry_count(&self) -> u64 {
        self.last.0 - self.base.0.0
    }

    /// The state after a record, or why the two contradict each other.
    pub(crate) fn after(&self, record: &Record) -> Result<GroupState, &'static str> {
        let mut next = self.clone();
        if let Some((term, vote)) = record.hard_state {
            if term < next.term {
                return Err("the term goes back");
            }
            if term == next.term && next.vote.is_some() && vote != next.vote {
                return Err("the vote changes within its term");
            }
            (next.term, next.vote) = (term, vote);
        }
        if let Some(base) = record.reset {
            if base.0 < next.checkpoint.0 {
                return Err("the snapshot is older than the checkpoint");
            }
            next.base = base;
            next.checkpoint = base;
            next.runs.clear();
            next.last = base.0;
        }
        if let Some(entries) = &record.entries {
            next.append(entries.first, &entries.runs)?;
        }
        if let Some(checkpoint) = record.checkpoint
            && checkpoint.0 >= next.checkpoint.0
        {
            if next.term_at(checkpoint.0) != Some(checkpoint.1) {
                return Err("the checkpoint is not an entry of the log");
            }
            next.checkpoint = checkpoint;
        }
        if let Some(base) = record.compact
            && base.0 >= next.base.0
        {
            next.compact(base)?;
        }
        Ok(next)
    }

    fn append(&mut self, first: LogIndex, runs: &[(u32, Term)]) -> Result<(), &'static str> {
        if first <= self.base.0 || first > self.last.next() {
            return Err("the entries do not join the log");
        }
        if first <= self.checkpoint.0 {
            return Err("the entries replace some that are checkpointed");
        }
        let mut term_before = self.term_at(first.prev()).expect("it joins the log, so the one before is held");
        self.runs.retain(|(run_first, _)| *run_first < first);
        let mut next = first;
        for (count, term) in runs {
            if *term < term_before {
                return Err("the terms of the entries go back");
            }
            if self.runs.last().is_none_or(|(_, run_term)| run_term != term) {
                self.runs.push((next, *term));
            }
            term_before = *term;
            next = LogIndex(next.0 + u64::from(*count));
        }
        self.last = next.prev();
        Ok(())
    }

    fn compact(&mut self, base: (LogIndex, Term)) -> Result<(), &'static str> {
        if base.0 > self.checkpoint.0 {
            return Err("the new base is after the checkpoint");
        }
        if self.term_at(base.0) != Some(base.1) {
            return Err("the new base is not an entry of the log");
        }
        let first = base.0.next();
        let before = self.runs.partition_point(|(run_first, _)| *run_first <= first);
        self.runs.drain(..before.saturating_sub(1));
        if base.0 == self.last {
            self.runs.clear();
        } else if let Some(run) = self.runs.first_mut() {
            run.0 = first;
        }
        self.base = base;
        Ok(())
    }
}

/// Where one entry's frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// [`SegmentId::NONE`] during recovery, for an entry that only a header speaks of.
    pub segment: SegmentId,
    pub offset: u64,
    pub payload_bytes: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub place: Place,
    pub cached: Option<Arc<[u8]>>,
}

/// One group in memory.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub state: GroupState,
    /// Entry `base + 1 + i` at `i`.
    slots: VecDeque<Slot>,
}

impl Group {
    pub fn new(state: GroupState) -> Group {
        let nowhere = Slot { place: Place { segment: SegmentId::NONE, offset: 0, payload_bytes: 0 }, cached: None };
        let slots = (0..state.entry_count()).map(|_| nowhere.clone()).collect();
        Group { state, slots }
    }

    /// Takes on a record whose outcome is `next`, with the places (and payloads) of its entries.
    pub fn commit(&mut self, record: &Record, next: GroupState, entries: Vec<Slot>) {
        let mut base = self.state.base.0;
        if let Some((index, _)) = record.reset {
            self.slots.clear();
            base = index;
        }
        if let Some(range) = &record.entries {
            let kept = range.first.0 - base.0 - 1;
            self.slots.truncate(usize::try_from(kept).expect("slots are in memory"));
            self.slots.extend(entries);
        }
        let dropped = usize::try_from(next.base.0.0 - base.0).expect("slots are in memory");
        self.slots.drain(..dropped);
        self.state = next;
        assert_eq!(self.slots.len() as u64, self.state.entry_count(), "the index and the bounds disagree (W2)");
    }

    /// The oldest segment in which the group has an entry.
    pub fn oldest(&self) -> Option<SegmentId> {
        self.slots.front().map(|slot| slot.place.segment)
    }

    pub fn slot(&self, index: LogIndex) -> Option<&Slot> {
        self.slots.get(self.position(index)?)
    }

    pub fn slot_mut(&mut self, index: LogIndex) -> Option<&mut Slot> {
        let position = self.position(index)?;
        self.slots.get_mut(position)
    }

    fn position(&self, index: LogIndex) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.state.base.0.0 + 1)?).ok()
    }
}
