//! One shard's operations in the order of their timestamps, and the newest version of each key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Bound;

use tenet_histories::{Process, Value};

use super::unknown::{Unknown, Write};
use super::violation::{Did, Part, Seen, Violation};
use super::{Names, StampedReport};
use crate::isolation::index::Keys;
use crate::isolation::proof::Who;

/// An operation on its way: what it read of others, and what it wrote. Its vectors are used again.
#[derive(Default)]
pub(super) struct Entry {
    pub who: Who,
    pub read: Option<u64>,
    pub commit: Option<u64>,
    pub is_lists: bool,
    pub reads: Vec<Read>,
    pub values: Vec<i64>,
    pub ranges: Vec<Range>,
    pub writes: Vec<(u32, i64)>,
    pub internal: Option<Box<Violation>>,
}

/// What was found of a key, as a stretch of its entry's values: a list, or the one value of a register.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub key: u32,
    pub first: usize,
    pub count: usize,
}

/// A read of all keys between two.
pub(super) struct Range {
    pub low: Value,
    pub high: Value,
    /// Which of its entry's reads are of this range.
    pub reads: std::ops::Range<usize>,
    /// Keys that its transaction had written before, in order.
    pub own_keys: Vec<u32>,
}

/// The newest version of a key.
#[derive(Default)]
struct State {
    /// The list, or the one value of the register.
    values: Vec<i64>,
    /// The commits of known values, for lists; as long as they.
    commits: Vec<Option<u64>>,
    /// The newest commit, and whose it is.
    commit: u64,
    by: Option<Who>,
    /// A moment above which it was written for sure: a commit, or a snapshot that did not show it yet.
    written_after: Option<u64>,
    /// The highest snapshot that was checked, and how much of a list that showed.
    confirmed: Option<u64>,
    confirmed_count: usize,
    is_named: bool,
    /// A moment at which it was there, and before which nobody knew of it.
    known_at: Option<u64>,
}

/// A write that a snapshot shows, and one of the same transaction that another does not, or must.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Due {
    seen: Write,
    seen_at: u64,
    missed: Write,
    missed_at: Option<u64>,
}

/// A write that a snapshot shows, of a transaction that committed above the one moment, and not above the other.
#[derive(Clone, Copy)]
struct SeenWrite {
    write: Write,
    at: u64,
    above: Option<u64>,
    up_to: u64,
}

#[derive(Clone, Copy, Default)]
struct Top {
    read: Option<(u64, Who)>,
    commit: Option<(u64, Who)>,
}

impl Top {
    fn most(&self) -> u64 {
        let read = self.read.map_or(0, |(read, _)| read);
        read.max(self.commit.map_or(0, |(commit, _)| commit))
    }

    /// What an operation that was invoked later may not have done at those timestamps.
    fn clash(&self, later: Who, [read, commit]: [Option<u64>; 2], is_session: bool) -> Option<Violation> {
        let clashes = [
            (commit, Did::Committed, self.read, Did::Read, true),
            (commit, Did::Committed, self.commit, Did::Committed, true),
            (read, Did::Read, self.read, Did::Read, false),
            (read, Did::Read, self.commit, Did::Committed, false),
        ];
        clashes.into_iter().find_map(|(mine, does, theirs, did, strictly)| {
            let (back, (at, earlier)) = mine.zip(theirs)?;
            let is_back = back < at || strictly && back == at;
            is_back.then_some(Violation::Back { is_session, earlier, did, at, later, does, back })
        })
    }

    /// Whether it is higher now.
    fn raise(&mut self, who: Who, [read, commit]: [Option<u64>; 2]) -> bool {
        let higher = |new: Option<u64>, old: &mut Option<(u64, Who)>| {
            let is_higher = new.is_some_and(|new| old.is_none_or(|(old, _)| new > old));
            if is_higher {
                *old = new.map(|new| (new, who));
            }
            is_higher
        };
        higher(read, &mut self.read) | higher(commit, &mut self.commit)
    }
}

/// Commits come before the snapshots that have them.
const COMMIT: u8 = 0;
const READ: u8 = 1;

#[derive(Default)]
pub(super) struct Sweep {
    /// The highest timestamps of all that had returned, from which event on.
    tops: VecDeque<(u64, Top)>,
    /// The highest timestamps of each client.
    sessions: BTreeMap<Process, Top>,
    waiting: BinaryHeap<Reverse<(u64, u8, u32)>>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    states: Vec<State>,
    /// Keys that exist, in their order; kept only once a range is read.
    ordered: Option<BTreeMap<Value, u32>>,
    /// What keys must have by now, because something else that its transaction wrote was seen.
    due: BTreeMap<u32, Vec<Due>>,
    last_commit: Option<(u64, Who)>,
    swept: (u64, u8),
}

/// What is shared by all shards.
pub(super) struct Shared<'a> {
    pub names: &'a Names,
    /// Whose timestamps these are.
    pub shard: Option<u64>,
    pub unknown: &'a mut Unknown,
    /// Whether an operation that is still open writes that.
    pub is_open: &'a dyn Fn((u32, i64)) -> bool,
    pub report: &'a mut StampedReport,
}

impl Sweep {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// An empty entry.
    pub(super) fn entry(&mut self, who: Who, [read, commit]: [Option<u64>; 2]) -> Entry {
        let mut entry =
            self.free.last().map(|free| std::mem::take(&mut self.entries[*free as usize])).unwrap_or_default();
        entry.reads.clear();
        entry.values.clear();
        entry.ranges.clear();
        entry.writes.clear();
        Entry { who, read, commit, is_lists: false, internal: None, ..entry }
    }

    /// Puts an operation in the line.
    pub(super) fn wait(&mut self, entry: Entry) {
        let (read, commit) = (entry.read, entry.commit);
        let place = match self.free.pop() {
            Some(free) => {
                self.entries[free as usize] = entry;
                free
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        // The later of the two gives the entry back.
        if let Some(read) = read {
            self.waiting.push(Reverse((read, READ, place)));
        }
        if let Some(commit) = commit {
            self.waiting.push(Reverse((commit, COMMIT, place)));
        }
    }

    /// Timestamps of what is invoked later are not lower, of all clients and of each.
    pub(super) fn in_real_time(
        &mut self,
        who: Who,
        invoked: u64,
        returned: u64,
        [read, commit]: [Option<u64>; 2],
        report: &mut StampedReport,
    ) {
        let place = self.tops.partition_point(|(from, _)| *from < invoked);
        let before = place.checked_sub(1).map_or(Top::default(), |place| self.tops[place].1);
        let clash = before.clash(who, [read, commit], false);
        clash.into_iter().for_each(|violation| report.add(violation));
        let own = self.sessions.entry(who.process).or_default();
        let clash = own.clash(who, [read, commit], true);
        clash.into_iter().for_each(|violation| report.add(violation));
        own.raise(who, [read, commit]);
        let mut top = self.tops.back().map_or(Top::default(), |(_, top)| *top);
        if top.raise(who, [read, commit]) {
            self.tops.push_back((returned, top));
        }
    }

    /// The highest timestamp that had been seen when that event came; older ones are forgotten.
    pub(super) fn seen_before(&mut self, event: u64) -> u64 {
        while self.tops.len() > 1 && self.tops[1].0 < event {
            self.tops.pop_front();
        }
        self.tops.front().filter(|(from, _)| *from < event).map_or(0, |(_, top)| top.most())
    }

    /// Does all up to that timestamp.
    pub(super) fn advance(&mut self, until: u64, shared: &mut Shared<'_>) {
        while let Some(Reverse((at, what, place))) = self.waiting.peek().copied().filter(|next| next.0.0 <= until) {
            self.waiting.pop();
            let entry = std::mem::take(&mut self.entries[place as usize]);
            if (at, what) < self.swept {
                let (who, swept) = (entry.who, self.swept.0);
                let reason = format!("{who} is at {at}, and all up to {swept} was done before it returned");
                shared.report.too_late.get_or_insert(reason);
            }
            self.swept = self.swept.max((at, what));
            let is_last = match what {
                COMMIT => {
                    self.on_commit(&entry, at, shared);
                    true
                }
                _ => {
                    self.on_read(&entry, at, shared);
                    entry.commit.is_none_or(|commit| commit <= at)
                }
            };
            // Kept until its commit, and, if that is not above its snapshot, until its read.
            let is_over = is_last && entry.read.is_none_or(|read| what == READ || read < at);
            self.entries[place as usize] = entry;
            if is_over {
                self.free.push(place);
            }
        }
    }

    /// All codes of values that it holds.
    pub(super) fn codes(&mut self) -> impl Iterator<Item = &mut i64> {
        let entries = self.entries.iter_mut();
        let entries =
            entries.flat_map(|entry| entry.values.iter_mut().chain(entry.writes.iter_mut().map(|write| &mut write.1)));
        let due = self.due.values_mut().flatten().flat_map(|due| [&mut due.seen.1, &mut due.missed.1]);
        entries.chain(self.states.iter_mut().flat_map(|state| &mut state.values)).chain(due)
    }

    fn state(&mut self, key: u32) -> &mut State {
        if self.states.len() <= key as usize {
            self.states.resize_with(key as usize + 1, State::default);
        }
        &mut self.states[key as usize]
    }

    fn on_read(&mut self, entry: &Entry, at: u64, shared: &mut Shared<'_>) {
        if let Some(commit) = entry.commit.filter(|commit| *commit <= at) {
            shared.report.add(Violation::CommitBelowSnapshot { who: entry.who, read: at, commit });
            return;
        }
        for read in &entry.reads {
            self.check_read(entry, at, *read, shared);
        }
        for range in &entry.ranges {
            let mut found: Vec<u32> = entry.reads[range.reads.clone()].iter().map(|read| read.key).collect();
            found.extend(&range.own_keys);
            found.sort_unstable();
            for key in self.keys_in(range, &shared.names.keys) {
                let missing = Read { key, first: entry.values.len(), count: 0 };
                if found.binary_search(&key).is_err() {
                    self.check_read(entry, at, missing, shared);
                }
            }
        }
    }

    /// Those that exist. The first range puts all keys in order.
    fn keys_in(&mut self, range: &Range, keys: &Keys) -> Vec<u32> {
        if range.low > range.high {
            return Vec::new();
        }
        let states = self.states.iter().enumerate();
        let is_due = |key: usize| self.due.contains_key(&(key as u32));
        let existing = || states.filter(|(key, state)| !state.values.is_empty() || is_due(*key));
        let named = || existing().map(|(key, _)| (keys.name(key as u32).clone(), key as u32)).collect();
        let ordered = self.ordered.get_or_insert_with(named);
        let bounds = (Bound::Included(&range.low), Bound::Included(&range.high));
        ordered.range::<Value, _>(bounds).map(|(_, key)| *key).collect()
    }

    fn check_read(&mut self, entry: &Entry, at: u64, read: Read, shared: &mut Shared<'_>) {
        let found = &entry.values[read.first..read.first + read.count];
        let is_there = self.state(read.key).values == found;
        let explained = if is_there { Ok(true) } else { self.appears(read.key, found, at, entry.is_lists, shared) };
        let missed = self.due.get(&read.key).and_then(|due| due.iter().find(|due| !found.contains(&due.missed.1)));
        if let (Ok(true), Some(due)) | (Err(due), _) = (explained, missed.copied()) {
            let part = |(key, code): Write, read| {
                let (key, value) = (shared.names.keys.name(key).clone(), shared.names.values.value(code));
                Part { key, value, read }
            };
            let (seen, missed) = (part(due.seen, due.seen_at), part(due.missed, due.missed_at.unwrap_or(at)));
            shared.report.add(Violation::HalfSeen { who: entry.who, seen, missed });
            return;
        }
        if explained == Ok(true) {
            let state = self.state(read.key);
            state.confirmed = state.confirmed.max(Some(at));
            state.confirmed_count = state.values.len();
            return;
        }
        let state = &self.states[read.key as usize];
        let place = state.values.iter().zip(found).take_while(|(one, two)| one == two).count();
        // One that is above the snapshot still waits.
        let waits = |code: &i64| {
            let commits = self.waiting.iter().filter(|Reverse((_, what, _))| *what == COMMIT);
            let mut writes = commits.map(|Reverse((at, _, place))| (at, &self.entries[*place as usize].writes));
            writes.find(|(_, writes)| writes.contains(&(read.key, *code))).map(|(at, _)| *at)
        };
        let seen = |code: &i64| {
            let known = state.values.iter().position(|other| other == code);
            let commit = known.map_or_else(|| waits(code), |place| state.commits[place]);
            Seen { value: shared.names.values.value(*code), commit }
        };
        if found[place..].iter().any(|value| (shared.is_open)((read.key, *value))) {
            let reason = format!("{} found what an operation writes that had not returned yet", entry.who);
            shared.report.too_late.get_or_insert(reason);
        }
        let (found, due) = (found.get(place).map(seen), state.values.get(place).map(seen));
        let key = shared.names.keys.name(read.key).clone();
        shared.report.add(Violation::WrongRead { who: entry.who, key, read: at, found, due });
    }

    /// Whether writes of which nobody knew the time explain what was found; if so, they are there from now on. An error:
    /// they would, but something else that their transaction wrote was not there.
    fn appears(
        &mut self,
        key: u32,
        found: &[i64],
        at: u64,
        is_lists: bool,
        shared: &mut Shared<'_>,
    ) -> Result<bool, Due> {
        let state = &self.states[key as usize];
        // The same snapshot did not have it, or was above it.
        if state.confirmed >= Some(at) {
            return Ok(false);
        }
        let is_new = |code: &i64| shared.unknown.contains((key, *code));
        // What is new, and between which moments it was committed: above the first, up to the second.
        let mut new: Vec<(i64, Option<u64>, u64)> = Vec::new();
        let commits = if is_lists {
            let mut known = state.values.iter().zip(&state.commits).peekable();
            let mut merged = Vec::with_capacity(found.len());
            let mut above = state.confirmed;
            for (place, code) in found.iter().enumerate() {
                match known.next_if(|(known, _)| *known == code) {
                    Some((_, commit)) => {
                        above = above.max(*commit);
                        merged.push(*commit);
                    }
                    None if place >= state.confirmed_count && is_new(code) => {
                        new.push((*code, above, at));
                        merged.push(None);
                    }
                    None => return Ok(false),
                }
            }
            if known.next().is_some() {
                return Ok(false);
            }
            let mut below = at;
            for (place, commit) in merged.iter().enumerate().rev() {
                below = commit.map_or(below, |commit| below.min(commit.saturating_sub(1)));
                if let Some((_, _, up_to)) = new.iter_mut().find(|(code, ..)| *code == found[place]) {
                    *up_to = below;
                }
            }
            merged
        } else {
            let [value] = found else { return Ok(false) };
            if !is_new(value) {
                return Ok(false);
            }
            let above = state.by.map(|_| state.commit);
            new.push((*value, state.confirmed.max(above), at));
            vec![None]
        };
        if new.iter().any(|(_, above, up_to)| *above >= Some(*up_to)) {
            return Ok(false);
        }
        let mut written_after = state.written_after.max(state.confirmed);
        for (code, above, up_to) in new {
            let others = final_writes(shared.unknown.others(shared.shard, (key, code)), is_lists);
            shared.unknown.remove((key, code));
            let seen = SeenWrite { write: (key, code), at, above, up_to };
            written_after = written_after.max(self.see_others(seen, &others, found, is_lists, shared.names)?);
        }
        let state = &mut self.states[key as usize];
        state.known_at = state.known_at.or(Some(at));
        state.values.clear();
        state.values.extend(found);
        state.commits = commits;
        state.written_after = written_after;
        state.by = None;
        self.name(key, &shared.names.keys);
        if let Some(due) = self.due.get_mut(&key) {
            // What a register has may have come after what was due.
            due.retain(|due| is_lists && !found.contains(&due.missed.1));
        }
        Ok(true)
    }

    /// All that a transaction wrote is there once one write of it is; when it committed is told by what was there without.
    /// Returns a moment above which that was.
    fn see_others(
        &mut self,
        seen: SeenWrite,
        others: &[Write],
        found: &[i64],
        is_lists: bool,
        names: &Names,
    ) -> Result<Option<u64>, Due> {
        let due = |missed: Write, missed_at| Due { seen: seen.write, seen_at: seen.at, missed, missed_at };
        let mut above = seen.above;
        let mut is_settled = false;
        while !is_settled {
            is_settled = true;
            for (key, code) in others {
                if *key == seen.write.0 {
                    if !found.contains(code) {
                        return Err(due((*key, *code), Some(seen.at)));
                    }
                    continue;
                }
                let state = self.state(*key);
                if state.confirmed > above && state.is_below(above, is_lists) {
                    above = state.confirmed;
                    is_settled = false;
                    if above >= Some(seen.up_to) {
                        return Err(due((*key, *code), above));
                    }
                }
            }
        }
        for (key, code) in others.iter().filter(|(key, _)| *key != seen.write.0) {
            let state = self.state(*key);
            if state.is_below(above, is_lists) {
                state.written_after = state.written_after.max(above);
                state.known_at = state.known_at.or(Some(seen.at));
                self.due.entry(*key).or_default().push(due((*key, *code), None));
                self.name(*key, &names.keys);
            }
        }
        Ok(above)
    }

    fn on_commit(&mut self, entry: &Entry, at: u64, shared: &mut Shared<'_>) {
        if let Some((commit, other)) = self.last_commit.filter(|(commit, _)| *commit == at) {
            shared.report.add(Violation::SameCommit { whos: [other, entry.who], commit });
        }
        self.last_commit = Some((at, entry.who));
        if let Some(read) = entry.read.filter(|read| *read < at) {
            self.check_since(entry, read, at, shared);
        }
        for (key, value) in &entry.writes {
            let is_lists = entry.is_lists;
            if !is_lists {
                self.due.remove(key);
            }
            let state = self.state(*key);
            if !is_lists {
                state.values.clear();
                state.commits.clear();
            }
            state.known_at = state.known_at.or(Some(at));
            state.values.push(*value);
            state.commits.push(Some(at));
            state.commit = at;
            state.by = Some(entry.who);
            // Any moment below the commit; timestamps are whole numbers.
            state.written_after = state.written_after.max(at.checked_sub(1));
            self.name(*key, &shared.names.keys);
        }
    }

    /// Between a snapshot and a commit nobody wrote what was written, or read.
    fn check_since(&mut self, entry: &Entry, read: u64, at: u64, shared: &mut Shared<'_>) {
        let keys = &shared.names.keys;
        let who = entry.who;
        let other = |state: &State| state.by.map(|by| (by, state.commit));
        // What is there now and was not in a range, which needs no moment at which it was written.
        let mut in_ranges = Vec::new();
        let mut new = Vec::new();
        for range in &entry.ranges {
            let is_found = |key: u32| entry.reads[range.reads.clone()].iter().any(|read| read.key == key);
            for key in self.keys_in(range, keys) {
                in_ranges.push(key);
                let is_later = self.state(key).known_at > Some(read);
                if is_later && range.own_keys.binary_search(&key).is_err() && !is_found(key) {
                    new.push(key);
                }
            }
        }
        for (key, _) in &entry.writes {
            let state = self.state(*key);
            if state.is_written_after(read) || new.contains(key) {
                let (key, other) = (keys.name(*key).clone(), other(state));
                shared.report.add(Violation::Conflict { who, key, read, commit: at, other });
            }
        }
        for key in entry.reads.iter().map(|read| read.key).chain(in_ranges) {
            let state = self.state(key);
            if state.is_written_after(read) || new.contains(&key) {
                let (key, other) = (keys.name(key).clone(), other(state));
                shared.report.add(Violation::Changed { who, key, read, commit: at, other });
            }
        }
    }

    /// A key exists, for ranges.
    fn name(&mut self, key: u32, keys: &Keys) {
        let state = &mut self.states[key as usize];
        if let Some(ordered) = &mut self.ordered
            && !std::mem::replace(&mut state.is_named, true)
        {
            ordered.insert(keys.name(key).clone(), key);
        }
    }
}

impl State {
    /// What was committed above that moment, and is not among these values, would be among them by now: lists only grow, and
    /// a register that was last written at or below it has a newer value.
    fn is_below(&self, moment: Option<u64>, is_lists: bool) -> bool {
        is_lists || self.values.is_empty() || self.by.is_some() && Some(self.commit) <= moment
    }

    fn is_written_after(&self, moment: u64) -> bool {
        self.written_after.is_some_and(|after| after >= moment)
    }
}

/// Those that others may see: of a register the last one.
fn final_writes(writes: &[Write], is_lists: bool) -> Vec<Write> {
    let is_final = |place: usize| !writes[place + 1..].iter().any(|(key, _)| *key == writes[place].0);
    (0..writes.len()).filter(|place| is_lists || is_final(*place)).map(|place| writes[place]).collect()
}
