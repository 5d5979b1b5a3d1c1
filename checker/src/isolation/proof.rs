//! A cycle whose every edge is justified from the history: as data, which anybody can check against the history again, and
//! in words.

use std::fmt;

use tenet_histories::{Process, Value};

use super::graph::Kind;
use super::shape::{Family, Order, Shape};
use crate::verdict::time;

/// A transaction, as explanations name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Its number in the order of invocation.
    pub operation: usize,
    pub process: Process,
    pub invoke_ns: u64,
    /// When it was acknowledged; none if it never was.
    pub return_ns: Option<u64>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {} ({}, {})", self.operation, self.process, time(self.invoke_ns))
    }
}

/// Why one transaction comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// The first appended `first` to a list, and `second` of the second one comes next; without those of transactions that
    /// failed. That operation read both; if none, no read shows `second`, so that it comes after all that reads show.
    Appended { key: Value, first: Value, second: Value, shown_by: Option<usize> },
    /// The first appended that element to a list, and the second read it.
    ReadList { key: Value, element: Value },
    /// The first read a list that ends with `last` (nil: it was empty); the second appended what comes next.
    MissedInList { key: Value, last: Value, next: Value, unread: bool },
    /// The first looked at all keys of a range and this one was not there; the second was the first to write to it.
    MissedInRange { key: Value, low: Value, high: Value, next: Value },
    /// The first wrote a version of a register, and the second a later one.
    Overwrote { key: Value, first: Value, second: Value, order: Vec<Later> },
    /// The first wrote that version of a register, and the second read it.
    ReadRegister { key: Value, value: Value },
    /// The first read a version of a register, and the second wrote a later one.
    MissedInRegister { key: Value, read: Value, next: Value, order: Vec<Later> },
    /// The same client invoked the second after the first had returned.
    SameProcess,
    /// The second was invoked after the first had returned.
    RealTime,
}

impl Because {
    /// The operations that show it, besides the two that it is about.
    pub fn witnesses(&self) -> Vec<usize> {
        match self {
            Because::Appended { shown_by, .. } => shown_by.iter().copied().collect(),
            Because::Overwrote { order, .. } | Because::MissedInRegister { order, .. } => {
                order.iter().flat_map(|later| later.source.operations()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whose order of a register's versions shows it, besides what transactions do.
    fn order(&self) -> Order {
        match self {
            Because::Overwrote { order, .. } | Because::MissedInRegister { order, .. } => {
                order.iter().map(|later| later.source.order()).max().unwrap_or(Order::Data)
            }
            _ => Order::Data,
        }
    }
}

/// Why one version of a register is later than another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    pub earlier: Value,
    pub later: Value,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Each key begins so.
    Initial,
    /// That operation read the one and then wrote the other.
    WroteAfterRead { operation: usize },
    /// A client met the one in the first operation, the other in the second. From strong session snapshot isolation on: were it
    /// the other way round, they would be a cycle with the order of the client.
    SequentialKey { operations: [usize; 2] },
    /// The first operation met the one and returned before the second was invoked, which met the other. From strong snapshot
    /// isolation on, for the same reason.
    LinearizableKey { operations: [usize; 2] },
}

/// From one transaction of a cycle to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: Who,
    pub to: Who,
    pub kind: Kind,
    pub because: Because,
}

/// Transactions that would each have to come before the next one, and the last before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    pub shape: Shape,
    pub edges: Vec<Edge>,
}

impl Cycle {
    /// The last step leads to the first transaction.
    pub(super) fn of(
        steps: Vec<(u32, Kind, Because)>,
        who: impl Fn(u32) -> Who,
        only_reads: impl Fn(u32) -> bool,
    ) -> Cycle {
        let shape = Shape::of(steps.iter().map(|(number, kind, _)| (*kind, only_reads(*number))));
        let shape = steps.iter().fold(shape, |shape, (.., because)| shape.by_keys(because.order()));
        let targets: Vec<u32> = steps.iter().cycle().skip(1).take(steps.len()).map(|(to, ..)| *to).collect();
        let edge = |((from, kind, because), to)| Edge { from: who(from), to: who(to), kind, because };
        Cycle { shape, edges: steps.into_iter().zip(targets).map(edge).collect() }
    }

    /// What it is called by those who never heard of Adya.
    fn alias(&self) -> &'static str {
        let is_ordered = |edge: &Edge| edge.kind.is_order();
        match &self.edges[..] {
            // What was acknowledged is not there later.
            [one, two] if is_ordered(one) != is_ordered(two) && self.shape.family == Family::Single => {
                let read = if is_ordered(one) { two } else { one };
                let is_lost = matches!(read.because, Because::MissedInList { unread: true, .. });
                if is_lost { "lost append" } else { "stale read" }
            }
            _ => self.shape.alias(),
        }
    }
}

impl Cycle {
    /// Its transactions, then those that show its edges.
    pub(super) fn operations(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.edges.iter().map(|edge| edge.from.operation).collect();
        for witness in self.edges.iter().flat_map(|edge| edge.because.witnesses()) {
            if !all.contains(&witness) {
                all.push(witness);
            }
        }
        all
    }
}

/// The name, and a line for each edge.
impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): these transactions cannot be put in any order", self.shape, self.alias())?;
        self.edges.iter().try_for_each(|edge| write!(f, "\n  {edge}"))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (&self.from, self.to.operation);
        match &self.because {
            Because::Appended { key, first, second, shown_by } => {
                write!(f, "{a} appended {first} to list {key} and operation {b} appended {second} after it")?;
                match shown_by {
                    Some(reader) => write!(f, ", as operation {reader} read them")?,
                    None => f.write_str(", which no read shows")?,
                }
            }
            Because::ReadList { key, element } => {
                write!(f, "{a} appended {element} to list {key} and operation {b} read it")?;
            }
            Because::MissedInList { key, last, next, unread: is_unread } => {
                let unread = if *is_unread { ", which no read shows" } else { "" };
                let end = if last.is_nil() { "empty".to_string() } else { format!("up to {last}") };
                write!(f, "{a} read list {key} {end}, without {next}, which operation {b} appended{unread}")?;
            }
            Because::MissedInRange { key, low, high, next } => {
                write!(
                    f,
                    "{a} read all from {low} to {high} and found no {key}, to which operation {b} first wrote {next}"
                )?;
            }
            Because::Overwrote { key, first, second, order } => {
                write!(f, "{a} set {key} to {first} and operation {b} later to {second}{}", Orders(order))?;
            }
            Because::ReadRegister { key, value } => {
                write!(f, "{a} set {key} to {value} and operation {b} read it")?;
            }
            Because::MissedInRegister { key, read, next, order } => {
                let read = version(read);
                write!(f, "{a} read {key} as {read}, which operation {b} later set to {next}{}", Orders(order))?;
            }
            Because::SameProcess => {
                let end = time(a.return_ns.unwrap_or(a.invoke_ns));
                write!(f, "{a} returned at {end}, before its {} invoked operation {b}", a.process)?;
            }
            Because::RealTime => {
                let (end, begin) = (time(a.return_ns.unwrap_or(a.invoke_ns)), time(self.to.invoke_ns));
                write!(f, "{a} returned at {end}, before operation {b} was invoked at {begin}")?;
            }
        }
        write!(f, ", so {} comes before {b}", a.operation)
    }
}

pub(super) fn version(value: &Value) -> String {
    if value.is_nil() { "unset".to_string() } else { value.to_string() }
}

struct Orders<'a>(&'a [Later]);

/// ` (unset comes first; operation 3 read 1 and then set 2)`.
impl fmt::Display for Orders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, later) in self.0.iter().enumerate() {
            write!(f, "{}{later}", if number == 0 { " (" } else { "; " })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [earlier, later] = [&self.earlier, &self.later].map(version);
        match self.source {
            Source::Initial => write!(f, "every key is {earlier} at first, so {later} came later"),
            Source::WroteAfterRead { operation } => {
                write!(f, "operation {operation} read {earlier} and then set {later}, so {later} came later")
            }
            Source::SequentialKey { operations: [one, two] } => {
                write!(f, "one client met {earlier} in operation {one} and then {later} in operation {two}")
            }
            Source::LinearizableKey { operations: [one, two] } => {
                write!(
                    f,
                    "operation {one} met {earlier} and had returned when operation {two} began, which met {later}"
                )
            }
        }
    }
}

impl Source {
    /// Whose order shows it.
    pub(super) fn order(&self) -> Order {
        match self {
            Source::Initial | Source::WroteAfterRead { .. } => Order::Data,
            Source::SequentialKey { .. } => Order::Process,
            Source::LinearizableKey { .. } => Order::RealTime,
        }
    }

    /// The operations that show it.
    pub fn operations(&self) -> Vec<usize> {
        match self {
            Source::Initial => Vec::new(),
            Source::WroteAfterRead { operation } => vec![*operation],
            Source::SequentialKey { operations } | Source::LinearizableKey { operations } => operations.to_vec(),
        }
    }
}
