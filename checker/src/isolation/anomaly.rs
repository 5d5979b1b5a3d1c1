//! What can be wrong with a history of transactions: each anomaly with its proof.
//!
//! Besides cycles (see [`super::Shape`]), after Elle:
//!
//! | name | meaning |
//! | --- | --- |
//! | garbage-read | a value was read that nobody wrote |
//! | duplicate-elements | an element was appended once and read twice |
//! | incompatible-order | of two lists read of one key, neither begins with the other |
//! | cyclic-versions | versions of a register would each have to come before the next one |
//! | internal | a transaction contradicts what it has itself read or written |
//! | future-read | a transaction read what it wrote only afterwards |
//! | G1a | what a failed transaction wrote was read |
//! | G1b | what a transaction wrote over itself was read by another |
//! | dirty-update | a transaction that is ok wrote on top of what a failed one had written |
//! | lost-update | two transactions read the same version and both wrote the next one |
//! | write-conflict | two transactions missed each other, and both wrote the same key, nobody knows in which order |
//! | fractured-read | a transaction read one write of another, and missed a second one |
//! | G-monotonic | a transaction saw another, and later missed what that one depends on |

use std::fmt;

use tenet_histories::Value;

use super::level::Level;
use super::proof::{Cycle, Later, Who, version};
use super::shape::{Family, Order};

/// A version as a checker of registers or of lists sees it: a value or, for a list, its last element. Nil: none.
pub type Version = Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    GarbageRead {
        reader: Who,
        key: Value,
        value: Value,
    },
    DuplicateElements {
        reader: Who,
        key: Value,
        element: Value,
    },
    IncompatibleOrder {
        readers: [Who; 2],
        key: Value,
        lists: [Vec<Value>; 2],
    },
    CyclicVersions {
        key: Value,
        order: Vec<Later>,
    },
    Internal {
        who: Who,
        key: Value,
        found: Value,
        expected: Value,
        is_end: bool,
    },
    FutureRead {
        who: Who,
        key: Value,
        value: Value,
    },
    G1a {
        reader: Who,
        writer: Who,
        key: Value,
        value: Value,
    },
    G1b {
        reader: Who,
        writer: Who,
        key: Value,
        value: Value,
    },
    DirtyUpdate {
        failed: Who,
        writer: Who,
        key: Value,
        value: Value,
        next: Value,
    },
    LostUpdate {
        writers: [Who; 2],
        key: Value,
        read: Version,
    },
    /// The cycle is the read dependency, the anti-dependency, and what overwrote up to the second write. If `in_order`, the
    /// miss came after the read.
    FracturedRead {
        in_order: bool,
        cycle: Cycle,
    },
    /// The cycle is how they missed each other.
    WriteConflict {
        key: Value,
        cycle: Cycle,
    },
    /// The cycle is what the transaction saw first, what it missed at that step or later, and the dependencies between.
    Monotonic {
        cycle: Cycle,
    },
    Cycle(Cycle),
}

use Anomaly::*;

impl Anomaly {
    /// As it is listed and asked for.
    pub fn name(&self) -> String {
        match self {
            GarbageRead { .. } => "garbage-read".to_string(),
            DuplicateElements { .. } => "duplicate-elements".to_string(),
            IncompatibleOrder { .. } => "incompatible-order".to_string(),
            CyclicVersions { .. } => "cyclic-versions".to_string(),
            Internal { .. } => "internal".to_string(),
            FutureRead { .. } => "future-read".to_string(),
            G1a { .. } => "G1a".to_string(),
            G1b { .. } => "G1b".to_string(),
            DirtyUpdate { .. } => "dirty-update".to_string(),
            LostUpdate { .. } => "lost-update".to_string(),
            WriteConflict { .. } => "write-conflict".to_string(),
            FracturedRead { .. } => "fractured-read".to_string(),
            Monotonic { .. } => "G-monotonic".to_string(),
            Cycle(cycle) => cycle.shape.to_string(),
        }
    }

    /// The weakest levels that forbid it, of anomalies that are no cycles. What only Adya's well-formed histories exclude
    /// rules out every level.
    pub(super) fn floor(&self) -> &'static [Level] {
        match self {
            GarbageRead { .. } | DuplicateElements { .. } => &[Level::ReadUncommitted],
            // From which level on the order of versions is known, see `register_order`.
            CyclicVersions { order, .. } => match order_of(order) {
                Order::Data => &[Level::ReadCommitted],
                Order::Process => &[Level::StrongSessionSnapshotIsolation],
                Order::RealTime => &[Level::StrongSnapshotIsolation],
            },
            IncompatibleOrder { .. } | FutureRead { .. } | G1a { .. } | G1b { .. } | DirtyUpdate { .. } => {
                &[Level::ReadCommitted]
            }
            Internal { .. } => &[Level::ReadAtomic, Level::RepeatableRead],
            LostUpdate { .. } => &[Level::CursorStability],
            // In either order of their writes it is a G-single.
            WriteConflict { .. } => &[Level::ConsistentView],
            FracturedRead { in_order: true, .. } => &[Level::MonotonicAtomicView],
            FracturedRead { in_order: false, .. } => &[Level::ReadAtomic],
            Monotonic { .. } => &[Level::MonotonicView],
            Cycle(_) => &[],
        }
    }

    pub fn rules_out(&self, level: Level) -> bool {
        let by_cycle = match self {
            Cycle(cycle) | FracturedRead { cycle, .. } | WriteConflict { cycle, .. } | Monotonic { cycle } => {
                level.forbids(&cycle.shape)
            }
            _ => false,
        };
        by_cycle || self.floor().iter().any(|floor| level.is_at_least(*floor))
    }

    /// It is known by the order in which clients met the versions of one key alone.
    pub(super) fn is_by_keys(&self) -> bool {
        match self {
            CyclicVersions { order, .. } => order_of(order) > Order::Data,
            Cycle(cycle) => cycle.shape.by_keys,
            _ => false,
        }
    }

    /// The cycle that proves it, if that is one.
    pub fn cycle(&self) -> Option<&Cycle> {
        match self {
            Cycle(cycle) | FracturedRead { cycle, .. } | WriteConflict { cycle, .. } | Monotonic { cycle } => {
                Some(cycle)
            }
            _ => None,
        }
    }

    /// The transactions that prove it, by their numbers.
    pub fn operations(&self) -> Vec<usize> {
        let of = |all: &[&Who]| all.iter().map(|who| who.operation).collect();
        match self {
            GarbageRead { reader, .. } | DuplicateElements { reader, .. } => of(&[reader]),
            IncompatibleOrder { readers: [one, two], .. } | LostUpdate { writers: [one, two], .. } => of(&[one, two]),
            Internal { who, .. } | FutureRead { who, .. } => of(&[who]),
            G1a { reader, writer, .. } | G1b { reader, writer, .. } => of(&[reader, writer]),
            DirtyUpdate { failed, writer, .. } => of(&[failed, writer]),
            CyclicVersions { order, .. } => order.iter().flat_map(|later| later.source.operations()).collect(),
            FracturedRead { cycle, .. } | WriteConflict { cycle, .. } | Monotonic { cycle } | Cycle(cycle) => {
                cycle.operations()
            }
        }
    }

    /// Gravest first; those that need clients' order to be seen come last.
    pub(super) fn gravity(&self) -> (Order, usize) {
        match self {
            GarbageRead { .. } => (Order::Data, 0),
            DuplicateElements { .. } => (Order::Data, 1),
            CyclicVersions { order, .. } => match order_of(order) {
                Order::Data => (Order::Data, 2),
                // Of what clients' order shows, cycles of transactions are easier to follow.
                keys => (keys, 19),
            },
            IncompatibleOrder { .. } => (Order::Data, 3),
            G1a { .. } => (Order::Data, 4),
            DirtyUpdate { .. } => (Order::Data, 5),
            G1b { .. } => (Order::Data, 6),
            FutureRead { .. } => (Order::Data, 7),
            Internal { .. } => (Order::Data, 8),
            Cycle(cycle) if cycle.shape.family <= Family::G1c => (cycle.shape.order, 9 + cycle.shape.family as usize),
            // It is in a cycle too, and says more.
            LostUpdate { .. } => (Order::Data, 11),
            WriteConflict { .. } => (Order::Data, 12),
            Cycle(cycle) => (cycle.shape.order, 13 + cycle.shape.family as usize),
            FracturedRead { .. } => (Order::Data, 20),
            Monotonic { .. } => (Order::Data, 21),
        }
    }
}

fn order_of(versions: &[Later]) -> Order {
    versions.iter().map(|later| later.source.order()).max().unwrap_or(Order::Data)
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GarbageRead { reader, key, value } => {
                write!(f, "garbage read: {reader} read {value} from {key}, but nobody wrote {value}")
            }
            DuplicateElements { reader, key, element } => {
                write!(f, "duplicate elements: {reader} read {element} twice in list {key}, but it was appended once")
            }
            IncompatibleOrder { readers: [one, two], key, lists } => {
                let [first, second] = lists.clone().map(Value::from);
                write!(
                    f,
                    "incompatible order: {one} read {first} of list {key}, {two} read {second}; neither begins with the other"
                )
            }
            CyclicVersions { key, order } => {
                write!(f, "cyclic versions: the values of {key} cannot be put in any order")?;
                order.iter().try_for_each(|later| {
                    write!(f, "\n  {} comes before {}: {later}", version(&later.earlier), version(&later.later))
                })
            }
            Internal { who, key, found, expected, is_end } => {
                let expected_at = if *is_end { "expected at its end" } else { "expected" };
                write!(
                    f,
                    "internal: {who} read {found} of {key}, {expected_at} {expected}, by what it had itself read and written"
                )
            }
            FutureRead { who, key, value } => {
                write!(f, "future read: {who} read {value} from {key} before it wrote that itself")
            }
            G1a { reader, writer, key, value } => {
                write!(f, "G1a (aborted read): {reader} read {value} from {key}, but {writer}, which wrote it, failed")
            }
            G1b { reader, writer, key, value } => write!(
                f,
                "G1b (intermediate read): {reader} read {value} from {key}, but {writer}, which wrote it, wrote more to {key}"
            ),
            DirtyUpdate { failed, writer, key, value, next } => write!(
                f,
                "dirty update: {writer} wrote {next} to {key} after {value}, but {failed}, which wrote that, failed"
            ),
            LostUpdate { writers: [one, two], key, read } => {
                let read = version(read);
                write!(f, "lost update: {one} and {two} both read {key} at {read} and both wrote what comes next")
            }
            WriteConflict { key, cycle } => {
                write!(f, "write conflict: both wrote {key}, but each missed something of the other")?;
                cycle.edges.iter().try_for_each(|edge| write!(f, "\n  {edge}"))
            }
            FracturedRead { cycle, .. } => write!(f, "fractured read, {cycle}"),
            Monotonic { cycle } => write!(f, "G-monotonic (what was seen is gone), {cycle}"),
            Cycle(cycle) => write!(f, "{cycle}"),
        }
    }
}
