//! Which entries a replica holds: one (first index, term) run for each stretch of entries of one term.
//!
//! A log of a million entries written under three leaders is three runs, so that a replica which idles costs a few dozen
//! bytes and every question ("which term has entry 71?", "where do these two logs part?") is a binary search.
//!
//! Invariants
//!  L1  `base.index <= last`; the log holds exactly the entries `base.index + 1 ..= last`.
//!  L2  `runs` is empty exactly if the log is. Otherwise `runs[0].first == base.index + 1`, the firsts ascend to at most
//!      `last`, and the terms ascend from at least `base.term`.
//! Not here: payloads (the host's), what is durable (`tickets`), what is committed (`node`).

use tenet_types::{LogIndex, Term};

use crate::{LogRange, LogState, Run, SnapshotMeta};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    base: SnapshotMeta,
    last: LogIndex,
    runs: Vec<Run>,
}

impl Log {
    pub fn new(state: LogState) -> Log {
        let log = match state.entries {
            None => Log { base: state.base, last: state.base.index, runs: Vec::new() },
            Some(range) => {
                assert!(
                    range.first == state.base.index.next(),
                    "log begins at {}, base {}",
                    range.first,
                    state.base.index
                );
                Log { base: state.base, last: range.last, runs: range.runs }
            }
        };
        log.invariants();
        log
    }

    /// The entry before the first one held.
    pub fn base(&self) -> SnapshotMeta {
        self.base
    }

    /// The last entry; the base when there is none.
    pub fn last(&self) -> SnapshotMeta {
        SnapshotMeta { index: self.last, term: self.runs.last().map_or(self.base.term, |run| run.term) }
    }

    pub fn last_index(&self) -> LogIndex {
        self.last
    }

    /// `None` before the base, where it is not known any more, and after the last entry.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last {
            return None;
        }
        Some(self.runs[run_at(&self.runs, index)].term)
    }

    pub fn holds(&self, entry: SnapshotMeta) -> bool {
        self.term_at(entry.index) == Some(entry.term)
    }

    /// Raft §5.4.1: a log that ends in the later term is more up to date; of two that end in one term, the longer.
    pub fn yields_to(&self, last: SnapshotMeta) -> bool {
        let ours = self.last();
        (last.term, last.index) >= (ours.term, ours.index)
    }

    /// Entries `first ..= last`, which the log must hold.
    pub fn range(&self, first: LogIndex, last: LogIndex) -> LogRange {
        assert!(self.base.index < first && first <= last && last <= self.last, "no entries {first} to {last}");
        let from = run_at(&self.runs, first);
        let until = run_at(&self.runs, last);
        let mut runs = self.runs[from..=until].to_vec();
        runs[0].first = first;
        LogRange { first, last, runs }
    }

    /// Appends `count` entries of `term`.
    pub fn extend(&mut self, term: Term, count: u64) -> LogRange {
        assert!(count > 0, "nothing to append");
        let first = self.last.next();
        let ours = self.last().term;
        assert!(term >= ours, "{term} after {ours}");
        if self.runs.last().is_none_or(|run| run.term < term) {
            self.runs.push(Run { first, term });
        }
        self.last = LogIndex(self.last.0 + count);
        LogRange { first, last: self.last, runs: vec![Run { first, term }] }
    }

    /// The first entry of `range` that the log does not hold in the same term; `None` if it holds them all. `range` begins
    /// right after an entry that the log holds.
    pub fn first_new(&self, range: &LogRange) -> Option<LogIndex> {
        assert!(self.base.index < range.first && range.first <= self.last.next(), "{} leaves a gap", range.first);
        let mut at = range.first;
        while at <= range.last && at <= self.last {
            let theirs = run_at(&range.runs, at);
            let ours = run_at(&self.runs, at);
            if range.runs[theirs].term != self.runs[ours].term {
                return Some(at);
            }
            // Equal up to where the earlier of the two runs ends.
            at = run_end(&range.runs, theirs, range.last).min(run_end(&self.runs, ours, self.last)).next();
        }
        (at <= range.last).then_some(at)
    }

    /// Drops what is there at and after `range.first`, and appends `range`.
    pub fn splice(&mut self, range: &LogRange) {
        assert!(self.base.index < range.first && range.first <= self.last.next(), "{} leaves a gap", range.first);
        let keep = self.runs.partition_point(|run| run.first < range.first);
        self.runs.truncate(keep);
        self.last = range.first.prev();
        let mut runs = &range.runs[..];
        assert!(runs[0].term >= self.last().term, "{} after {}", runs[0].term, self.last().term);
        if self.runs.last().is_some_and(|run| run.term == runs[0].term) {
            runs = &runs[1..];
        }
        self.runs.extend_from_slice(runs);
        self.last = range.last;
    }

    /// The last entry at or before `entry.index` whose term is at most `entry.term`, or the base: the only place, or one
    /// after the only place, up to which a log that has `entry` can equal this one. `None` before the base.
    pub fn meeting_point(&self, entry: SnapshotMeta) -> Option<SnapshotMeta> {
        if entry.index < self.base.index {
            return None;
        }
        let mut index = entry.index.min(self.last);
        while index > self.base.index {
            let run = self.runs[run_at(&self.runs, index)];
            if run.term <= entry.term {
                return Some(SnapshotMeta { index, term: run.term });
            }
            index = run.first.prev();
        }
        Some(self.base)
    }

    /// Entries up to `base`, which the log must hold, are kept no longer.
    pub fn compact(&mut self, base: SnapshotMeta) {
        assert!(self.holds(base), "compacted to {base:?}, which the log does not hold");
        let next = base.index.next();
        self.base = base;
        if next > self.last {
            self.runs.clear();
            return;
        }
        let from = run_at(&self.runs, next);
        self.runs.drain(..from);
        self.runs[0].first = next;
    }

    /// A snapshot takes the place of everything.
    pub fn reset(&mut self, base: SnapshotMeta) {
        *self = Log { base, last: base.index, runs: Vec::new() };
    }

    pub fn invariants(&self) {
        assert!(self.base.index <= self.last, "L1: base {} after last {}", self.base.index, self.last);
        assert!((self.base.index == self.last) == self.runs.is_empty(), "L2: runs {:?}, last {}", self.runs, self.last);
        if let Some(run) = self.runs.first() {
            assert!(run.first == self.base.index.next(), "L2: first run {run:?} after base {:?}", self.base);
            assert!(run.term >= self.base.term, "L2: first run {run:?} after base {:?}", self.base);
        }
        assert!(self.runs.is_empty() || are_runs(&self.runs, self.last), "L2: runs {:?}", self.runs);
    }
}

impl LogRange {
    /// Whether the parts agree with each other, as [`LogRange`] says. The bytes may come from a peer.
    pub fn is_sound(&self) -> bool {
        self.runs.first().is_some_and(|run| run.first == self.first) && are_runs(&self.runs, self.last)
    }

    /// How many entries there are.
    pub fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }

    pub fn last_term(&self) -> Term {
        self.runs.last().expect("a range is never empty").term
    }

    /// `None` outside of the range.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        (self.first <= index && index <= self.last).then(|| self.runs[run_at(&self.runs, index)].term)
    }

    /// The entries from `first` on, of which there must be some.
    pub(crate) fn starting_at(mut self, first: LogIndex) -> LogRange {
        assert!(self.first <= first && first <= self.last, "{first} is not between {} and {}", self.first, self.last);
        let skip = run_at(&self.runs, first);
        self.runs.drain(..skip);
        self.runs[0].first = first;
        self.first = first;
        self
    }
}

/// Position of the run that `index` falls into; `index` is not before the first.
fn run_at(runs: &[Run], index: LogIndex) -> usize {
    runs.partition_point(|run| run.first <= index) - 1
}

/// Last index of the run at `position`.
fn run_end(runs: &[Run], position: usize, last: LogIndex) -> LogIndex {
    runs.get(position + 1).map_or(last, |run| run.first.prev())
}

/// At least one run, ascending in index and term, the last begins at or before `last`.
fn are_runs(runs: &[Run], last: LogIndex) -> bool {
    runs.windows(2).all(|pair| pair[0].first < pair[1].first && pair[0].term < pair[1].term)
        && runs.last().is_some_and(|run| run.first <= last)
}

#[cfg(test)]
mod tests;
