//! The lattice of isolation levels, and what each of them forbids.
//!
//! A level is defined by the cycles that a history of it must not have. The definitions are Adya's (1999), in the form that
//! Cerone and Gotsman ("Analysing Snapshot Isolation", PODC 2016) proved equivalent to those by snapshots and visibility:
//! snapshot isolation forbids exactly the cycles without adjacent anti-dependencies, its parallel form those with at most
//! one. Two levels follow in the same way, by arguments short enough to stand here:
//!
//! - *causal*: let what a transaction sees be closed under read dependencies. A cycle of read dependencies and one
//!   anti-dependency shows a transaction that misses a write it must see; without such a cycle, and without G1c, that
//!   closure and any linear extension of write and read dependencies are a causal execution.
//! - *prefix*: a snapshot is a prefix of the order of commits. If T reads from S and misses a write of U, then S is in T's
//!   prefix and U is not, so S precedes U. Hence write dependencies, read dependencies, and read dependencies followed by
//!   one anti-dependency are all in that order; if they are acyclic, any linear extension of them serves.
//!
//! Levels with the prefix *strong session* also keep the order of each client's transactions, those with *strong* real time.
//! What is not a cycle (an aborted read, say) is forbidden from some level on; see [`super::Anomaly::floor`].
//!
//! Two of Adya's levels ("Weak Consistency", 1999, chapter 4) are told by more than kinds of edges:
//!
//! - *update-serializable* (PL-3U) forbids G-update: a cycle of data among all transactions that write and one that only reads.
//!   So those that only read may disagree on the order of what others wrote, as in a long fork, and each alone sees what some
//!   serial order of all others gives.
//! - *monotonic view* (PL-2L) forbids G-monotonic: what a step of a transaction missed, an earlier step of it (or the same)
//!   depends on. Of a range read, that a key is not there comes before what is there.
//!
//! One is another one to all who see no more than clients: *forward consistent view* (PL-FCV) is consistent view (PL-2+), and
//! a name for it here. It forbids cycles of one anti-dependency with start dependencies besides (G-SIb), and when a
//! transaction starts is for the database to choose: if none starts after another's commit there are no start dependencies.
//!
//! Absent: monotonic snapshot reads (PL-MSR), which ask for one order of all commits in which every *step* has a snapshot:
//! a cycle of it goes through steps, of several transactions at once, and not through transactions, as those of this graph do.
//! PRAM, which is of sessions (see `checks::session`).
//!
//! Invariant
//!  L1  What a level forbids, each stronger level forbids (a test tries all shapes).

use std::fmt;
use std::str::FromStr;

use super::shape::{Family, Order, Shape};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    ReadUncommitted,
    ReadCommitted,
    CursorStability,
    MonotonicAtomicView,
    MonotonicView,
    ReadAtomic,
    Causal,
    Prefix,
    ConsistentView,
    ParallelSnapshotIsolation,
    UpdateSerializable,
    RepeatableRead,
    SnapshotIsolation,
    Serializable,
    StrongSessionReadUncommitted,
    StrongSessionReadCommitted,
    StrongSessionSnapshotIsolation,
    StrongSessionSerializable,
    StrongReadUncommitted,
    StrongReadCommitted,
    StrongSnapshotIsolation,
    StrictSerializable,
}

use Level::*;

impl Level {
    /// Weaker ones first.
    pub const ALL: [Level; 22] = [
        ReadUncommitted,
        ReadCommitted,
        CursorStability,
        MonotonicAtomicView,
        MonotonicView,
        ReadAtomic,
        Causal,
        Prefix,
        ConsistentView,
        ParallelSnapshotIsolation,
        UpdateSerializable,
        RepeatableRead,
        SnapshotIsolation,
        Serializable,
        StrongSessionReadUncommitted,
        StrongSessionReadCommitted,
        StrongSessionSnapshotIsolation,
        StrongSessionSerializable,
        StrongReadUncommitted,
        StrongReadCommitted,
        StrongSnapshotIsolation,
        StrictSerializable,
    ];

    /// The next weaker ones: each history of this level is also of those.
    pub fn implies(self) -> &'static [Level] {
        match self {
            ReadUncommitted => &[],
            ReadCommitted => &[ReadUncommitted],
            CursorStability | MonotonicAtomicView => &[ReadCommitted],
            MonotonicView | ReadAtomic => &[MonotonicAtomicView],
            Causal => &[ReadAtomic],
            Prefix => &[Causal],
            ConsistentView => &[CursorStability, MonotonicView],
            ParallelSnapshotIsolation => &[ConsistentView, Causal],
            UpdateSerializable => &[ConsistentView],
            RepeatableRead => &[CursorStability, MonotonicAtomicView],
            SnapshotIsolation => &[ParallelSnapshotIsolation, Prefix],
            Serializable => &[SnapshotIsolation, RepeatableRead, UpdateSerializable],
            StrongSessionReadUncommitted => &[ReadUncommitted],
            StrongSessionReadCommitted => &[ReadCommitted, StrongSessionReadUncommitted],
            StrongSessionSnapshotIsolation => &[SnapshotIsolation, StrongSessionReadCommitted],
            StrongSessionSerializable => &[Serializable, StrongSessionSnapshotIsolation],
            StrongReadUncommitted => &[StrongSessionReadUncommitted],
            StrongReadCommitted => &[StrongSessionReadCommitted, StrongReadUncommitted],
            StrongSnapshotIsolation => &[StrongSessionSnapshotIsolation, StrongReadCommitted],
            StrictSerializable => &[StrongSessionSerializable, StrongSnapshotIsolation],
        }
    }

    /// Whether each history of this level is also of the other one.
    pub fn is_at_least(self, other: Level) -> bool {
        self == other || self.implies().iter().any(|weaker| weaker.is_at_least(other))
    }

    /// The level without clients, and whose order it keeps.
    fn parts(self) -> (Level, Order) {
        match self {
            StrongSessionReadUncommitted => (ReadUncommitted, Order::Process),
            StrongSessionReadCommitted => (ReadCommitted, Order::Process),
            StrongSessionSnapshotIsolation => (SnapshotIsolation, Order::Process),
            StrongSessionSerializable => (Serializable, Order::Process),
            StrongReadUncommitted => (ReadUncommitted, Order::RealTime),
            StrongReadCommitted => (ReadCommitted, Order::RealTime),
            StrongSnapshotIsolation => (SnapshotIsolation, Order::RealTime),
            StrictSerializable => (Serializable, Order::RealTime),
            data => (data, Order::Data),
        }
    }

    /// Whether no history of this level has a cycle of that shape.
    pub fn forbids(self, shape: &Shape) -> bool {
        let (level, order) = self.parts();
        order >= shape.order
            && (!shape.by_keys || matches!(level, SnapshotIsolation | Serializable))
            && match level {
                ReadUncommitted => shape.family == Family::G0,
                // What further cycles these forbid is told by more than their kinds: lost updates, fractured reads, steps back.
                ReadCommitted | CursorStability | MonotonicAtomicView | MonotonicView | ReadAtomic => {
                    shape.family <= Family::G1c
                }
                Causal => shape.family <= Family::G1c || shape.family == Family::Single && !shape.overwrites,
                Prefix => shape.family <= Family::G1c || shape.after_reads,
                ConsistentView | ParallelSnapshotIsolation => shape.family <= Family::Single,
                UpdateSerializable => shape.updates,
                RepeatableRead => !shape.predicate,
                SnapshotIsolation => shape.family <= Family::Nonadjacent,
                _ => true,
            }
    }

    pub fn name(self) -> &'static str {
        match self {
            ReadUncommitted => "read-uncommitted",
            ReadCommitted => "read-committed",
            CursorStability => "cursor-stability",
            MonotonicAtomicView => "monotonic-atomic-view",
            MonotonicView => "monotonic-view",
            ReadAtomic => "read-atomic",
            Causal => "causal",
            Prefix => "prefix",
            ConsistentView => "consistent-view",
            ParallelSnapshotIsolation => "parallel-snapshot-isolation",
            UpdateSerializable => "update-serializable",
            RepeatableRead => "repeatable-read",
            SnapshotIsolation => "snapshot-isolation",
            Serializable => "serializable",
            StrongSessionReadUncommitted => "strong-session-read-uncommitted",
            StrongSessionReadCommitted => "strong-session-read-committed",
            StrongSessionSnapshotIsolation => "strong-session-snapshot-isolation",
            StrongSessionSerializable => "strong-session-serializable",
            StrongReadUncommitted => "strong-read-uncommitted",
            StrongReadCommitted => "strong-read-committed",
            StrongSnapshotIsolation => "strong-snapshot-isolation",
            StrictSerializable => "strict-serializable",
        }
    }

    /// Those levels that no other one of them is at least.
    pub fn strongest(of: &[Level]) -> Vec<Level> {
        let below = |level: &Level| of.iter().any(|other| other != level && other.is_at_least(*level));
        of.iter().copied().filter(|level| !below(level)).collect()
    }

    /// Those levels that are at least no other one of them.
    pub fn weakest(of: &[Level]) -> Vec<Level> {
        let above = |level: &Level| of.iter().any(|other| other != level && level.is_at_least(*other));
        of.iter().copied().filter(|level| !above(level)).collect()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("isolation level `{name}`, expected one of: {}", Level::ALL.map(Level::name).join(", "))]
pub struct UnknownLevel {
    pub name: String,
}

/// By its name, or by one of those under which Adya and others know it.
impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Level, UnknownLevel> {
        let alias = match name.to_ascii_lowercase().as_str() {
            "pl-1" => ReadUncommitted,
            "pl-2" => ReadCommitted,
            "pl-cs" => CursorStability,
            "pl-2l" => MonotonicView,
            "pl-2+" | "pl-fcv" | "forward-consistent-view" => ConsistentView,
            "pl-3u" => UpdateSerializable,
            "pl-2.99" => RepeatableRead,
            "pl-si" | "si" => SnapshotIsolation,
            "psi" => ParallelSnapshotIsolation,
            "pl-3" | "conflict-serializable" => Serializable,
            "pl-ss" | "strong-serializable" => StrictSerializable,
            _ => {
                let found = Level::ALL.into_iter().find(|level| level.name() == name);
                return found.ok_or_else(|| UnknownLevel { name: name.to_string() });
            }
        };
        Ok(alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::Kind;

    #[test]
    fn what_a_level_forbids_each_stronger_level_forbids() {
        let kinds = {
            use crate::isolation::Kind::*;
            [WriteWrite, WriteRead, ReadWrite, PredicateReadWrite, Process, RealTime]
        };
        for length in 2..=5u32 {
            for number in 0..6usize.pow(length) {
                let kind = |place: u32| kinds[number / 6usize.pow(place) % 6];
                if (0..length).all(|place| kind(place).is_order()) {
                    continue;
                }
                // Who only reads is read from before, and misses something after; then all who may, or none.
                let may_only_read = |place: u32| {
                    let before = kind((place + length - 1) % length);
                    let is_read = before == Kind::WriteRead || before.is_order();
                    is_read && (kind(place).is_anti_dependency() || kind(place).is_order())
                };
                for only_read in [true, false] {
                    let shape = Shape::of((0..length).map(|place| (kind(place), only_read && may_only_read(place))));
                    for shape in [shape, shape.by_keys(Order::Process), shape.by_keys(Order::RealTime)] {
                        for level in Level::ALL {
                            // Whoever promises less does not promise that each key keeps clients' order.
                            let promises_keys = level.is_at_least(StrongSessionSnapshotIsolation);
                            assert!(promises_keys || !shape.by_keys || !level.forbids(&shape), "{level}: {shape:?}");
                            for weaker in level.implies() {
                                let right = !weaker.forbids(&shape) || level.forbids(&shape);
                                assert!(right, "{weaker} forbids {shape:?}, {level} does not");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
        }
        assert_eq!("PL-2.99".parse(), Ok(RepeatableRead));
        assert!("total".parse::<Level>().unwrap_err().to_string().contains("strict-serializable"));
    }

    #[test]
    fn the_lattice_has_one_top_and_one_bottom() {
        assert_eq!(Level::strongest(&Level::ALL), [StrictSerializable]);
        assert_eq!(Level::weakest(&Level::ALL), [ReadUncommitted]);
    }
}
