//! What a cycle is called, after Adya and Elle (Kingsbury and Alvaro, VLDB 2020).
//!
//! | name | a cycle of |
//! | --- | --- |
//! | G0 | write dependencies alone |
//! | G1c | write and read dependencies |
//! | G-single | these and one anti-dependency |
//! | G-nonadjacent | these and several anti-dependencies, no two of which follow each other |
//! | G2-item, G2 | any; G2 if a predicate is in it |
//!
//! `-process` and `-realtime` are added if the cycle needs the order of a client's transactions, or of all clients'. A
//! G-single or a G-nonadjacent that needs a predicate is called `-predicate`: single items do not show it.

use std::fmt;

use super::graph::Kind;

/// By what a cycle is closed besides data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    Data,
    Process,
    RealTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    G0,
    G1c,
    Single,
    Nonadjacent,
    G2,
}

/// All that decides which levels a cycle rules out, and its name. In the order of gravity: what data alone shows before what
/// needs clients, and the fewer anti-dependencies the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    pub order: Order,
    pub family: Family,
    /// It has an anti-dependency by a predicate.
    pub predicate: bool,
    /// It has a write dependency.
    pub overwrites: bool,
    /// Each anti-dependency follows a read dependency.
    pub after_reads: bool,
    /// Of its transactions one at most only reads.
    pub updates: bool,
    /// It holds only where each key alone is as a client, or as all clients, saw it: from snapshot isolation on.
    pub by_keys: bool,
}

impl Shape {
    /// Of the kinds of a cycle's edges, in their order, and whether the transaction that each leads from only reads.
    pub fn of(steps: impl IntoIterator<Item = (Kind, bool)>) -> Shape {
        let (kinds, only_reads): (Vec<Kind>, Vec<bool>) = steps.into_iter().unzip();
        let before = |place: usize| kinds[(place + kinds.len() - 1) % kinds.len()];
        let anti: Vec<usize> = (0..kinds.len()).filter(|place| kinds[*place].is_anti_dependency()).collect();
        let family = match anti.len() {
            0 if kinds.contains(&Kind::WriteRead) => Family::G1c,
            0 => Family::G0,
            1 => Family::Single,
            _ if anti.iter().any(|place| before(*place).is_anti_dependency()) => Family::G2,
            _ => Family::Nonadjacent,
        };
        let order = match () {
            () if kinds.contains(&Kind::RealTime) => Order::RealTime,
            () if kinds.contains(&Kind::Process) => Order::Process,
            () => Order::Data,
        };
        Shape {
            order,
            family,
            predicate: kinds.contains(&Kind::PredicateReadWrite),
            overwrites: kinds.contains(&Kind::WriteWrite),
            after_reads: anti.iter().all(|place| before(*place) == Kind::WriteRead),
            updates: only_reads.iter().filter(|only_reads| **only_reads).count() < 2,
            by_keys: false,
        }
    }

    /// The same cycle, if it is known by that order of a key's versions alone.
    pub(super) fn by_keys(self, order: Order) -> Shape {
        let by_keys = self.by_keys || order > Order::Data;
        Shape { order: self.order.max(order), by_keys, ..self }
    }

    /// What it is called by those who never heard of Adya.
    pub(super) fn alias(&self) -> &'static str {
        match self.family {
            Family::G0 => "write cycle",
            Family::G1c => "circular information flow",
            Family::Single => "read skew",
            Family::Nonadjacent => "long fork",
            Family::G2 => "write skew",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.family, self.predicate) {
            (Family::G0, _) => "G0",
            (Family::G1c, _) => "G1c",
            (Family::Single, false) => "G-single",
            (Family::Single, true) => "G-single-predicate",
            (Family::Nonadjacent, false) => "G-nonadjacent",
            (Family::Nonadjacent, true) => "G-nonadjacent-predicate",
            (Family::G2, false) => "G2-item",
            (Family::G2, true) => "G2",
        })?;
        f.write_str(match self.order {
            Order::Data => "",
            Order::Process => "-process",
            Order::RealTime => "-realtime",
        })
    }
}
