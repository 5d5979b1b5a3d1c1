//! Checks of one promise each, in one pass over a history or nearly so: no search, no graph of transactions.
//!
//! A check takes events one by one through a [`Stream`], keeps what it needs in columns, and ends with a [`Report`]: what
//! is wrong, each with the operations that prove it.
//!
//! Invariants
//!  K1  What is called a violation follows from its own operations, however unknown operations ended (C1, C2).
//!  K2  Time is linear in what the history says, but for sorting and what a file's head names.
//!  K3  Of each kind of violation the first [`KEPT`] are kept and all are counted, so that a broken run stays readable.
//!  K4  What could not be judged is said: it is unknown, never valid.

pub mod accesses;
pub mod bank;
pub mod causal;
pub mod convergence;
pub mod counter;
pub mod leases;
pub mod log;
pub mod queue;
pub mod session;
pub mod set;
pub mod staleness;
pub mod unique_ids;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use tenet_histories::{Call, Completion, Event, Header, History, Outcome, PairingError, Process, Value, What};

use crate::verdict::time;
use crate::{CheckError, Finding, Oracle, Verdict};

/// Violations of one kind that a report holds.
pub const KEPT: usize = 8;

/// No event: what was never returned, or nobody knows whether.
pub const NEVER: usize = usize::MAX;

/// An operation, as proofs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// In the order of invocation, from 0.
    pub number: usize,
    pub process: Process,
    /// The position of its invocation among the events.
    pub invoked: usize,
    pub invoke_ns: u64,
    /// The position after which it can no longer take effect; [`NEVER`] if its outcome is unknown.
    pub returned: usize,
    /// `u64::MAX` if its outcome is unknown.
    pub return_ns: u64,
}

impl Op {
    /// In real time: this one had ended when the other began.
    pub fn precedes(&self, other: &Op) -> bool {
        self.returned < other.invoked
    }
}

/// `operation 12 (process 3, 1.500000 s)`.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {} ({}, {})", self.number, self.process, time(self.invoke_ns))
    }
}

/// An operation that has ended, or never will.
pub struct Done<'e> {
    pub op: Op,
    pub call: &'e Call,
    pub outcome: Outcome,
    /// Nil unless it is ok, and often then.
    pub answer: &'e Value,
}

impl Done<'_> {
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    pub fn function(&self) -> &str {
        &self.call.function
    }

    fn misshapen(&self, found: &Value, expected: &'static str) -> CheckError {
        misshapen(&self.op, self.call, found, expected)
    }

    /// No function of this model.
    fn stranger(&self, expected: &'static str) -> CheckError {
        self.misshapen(&Value::from(self.function()), expected)
    }

    fn int(&self, value: &Value, expected: &'static str) -> Result<i64, CheckError> {
        value.as_int().ok_or_else(|| self.misshapen(value, expected))
    }
}

fn misshapen(op: &Op, call: &Call, found: &Value, expected: &'static str) -> CheckError {
    CheckError::Shape { operation: op.number, function: call.function.to_string(), found: found.to_string(), expected }
}

/// What one file of this folder does with a history.
pub trait Check {
    type Violation: Violation;

    /// In the order of completion; at the end, as unknown, those that never completed.
    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError>;

    fn finish(self) -> Report<Self::Violation>;
}

/// One thing that must not be.
pub trait Violation: fmt::Display + fmt::Debug + Clone {
    /// Its kind: `lost`.
    fn name(&self) -> &'static str;
    /// Those that prove it, by number.
    fn operations(&self) -> Vec<usize>;
}

/// Pairs events to operations for a check, holding only what is open.
pub struct Stream<C> {
    check: C,
    /// Values and answers are pairs `[key, value]`, as of Jepsen's `independent`.
    pairs: bool,
    events: usize,
    operations: usize,
    open: BTreeMap<Process, (Op, Call)>,
}

impl<C: Check> Stream<C> {
    /// Values are pairs if the header's fact `pairs` says so.
    pub fn new(check: C, header: &Header) -> Stream<C> {
        Stream { check, pairs: fact_bool(header, "pairs"), events: 0, operations: 0, open: BTreeMap::new() }
    }

    pub fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        let position = self.events;
        self.events += 1;
        match &event.what {
            What::Invoke { process, call } => {
                if let Some((open, _)) = self.open.get(process) {
                    let (process, function) = (*process, call.function.to_string());
                    return Err(
                        PairingError::StillOpen { event: position, process, function, open: open.invoked }.into()
                    );
                }
                let op = Op {
                    number: self.operations,
                    process: *process,
                    invoked: position,
                    invoke_ns: event.time_ns,
                    returned: NEVER,
                    return_ns: u64::MAX,
                };
                self.operations += 1;
                let mut call = call.clone();
                if self.pairs {
                    let Some([key, value]) = call.value.as_list() else {
                        return Err(misshapen(&op, &call, &call.value, "a pair [key, value]"));
                    };
                    (call.key, call.value) = (key.clone(), value.clone());
                }
                self.open.insert(*process, (op, call));
                Ok(())
            }
            What::Complete { process, completion } => {
                let Some((op, call)) = self.open.remove(process) else {
                    return Err(PairingError::NothingOpen { event: position, process: *process }.into());
                };
                self.complete(op, &call, position, event.time_ns, completion)
            }
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => Ok(()),
        }
    }

    fn complete(
        &mut self,
        mut op: Op,
        call: &Call,
        position: usize,
        time_ns: u64,
        completion: &Completion,
    ) -> Result<(), CheckError> {
        if completion.outcome != Outcome::Unknown {
            (op.returned, op.return_ns) = (position, time_ns);
        }
        let mut answer = &completion.value;
        // Nil may stand for what was asked, pair and all.
        if self.pairs && completion.outcome == Outcome::Ok && !answer.is_nil() {
            answer = match answer.as_list() {
                Some([key, value]) if *key == call.key => value,
                _ => return Err(misshapen(&op, call, answer, "a pair with the key that was asked for")),
            };
        }
        self.check.on_done(&Done { op, call, outcome: completion.outcome, answer })
    }

    pub fn finish(mut self) -> Result<Report<C::Violation>, CheckError> {
        let mut open: Vec<(Op, Call)> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_by_key(|(op, _)| op.number);
        for (op, call) in &open {
            self.check.on_done(&Done { op: *op, call, outcome: Outcome::Unknown, answer: &Value::Nil })?;
        }
        Ok(self.check.finish())
    }
}

/// Runs a check over a history.
pub fn run<C: Check>(check: C, history: &History) -> Result<Report<C::Violation>, CheckError> {
    let mut stream = Stream::new(check, &history.header);
    history.events.iter().try_for_each(|event| stream.push(event))?;
    stream.finish()
}

fn fact_bool(header: &Header, name: &str) -> bool {
    header.facts.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A whole number, from 0.
fn fact_count(header: &Header, name: &str) -> Option<u64> {
    header.facts.get(name).and_then(Value::as_int).and_then(|int| u64::try_from(int).ok())
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<V> {
    pub oracle: Oracle,
    /// Gravest kind first, at most [`KEPT`] of each.
    pub violations: Vec<V>,
    /// How many there are of each kind.
    pub violation_counts: BTreeMap<&'static str, u64>,
    /// What is no violation but worth knowing: how many operations of which kind, elements never read.
    pub counts: BTreeMap<&'static str, u64>,
    /// What could not be judged, and why (K4).
    pub undecided: Vec<String>,
}

impl<V: Violation> Report<V> {
    fn new(oracle: Oracle) -> Report<V> {
        Report {
            oracle,
            violations: Vec::new(),
            violation_counts: BTreeMap::new(),
            counts: BTreeMap::new(),
            undecided: Vec::new(),
        }
    }

    fn violation(&mut self, violation: V) {
        let count = self.violation_counts.entry(violation.name()).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.violations.push(violation);
        }
    }

    fn count(&mut self, name: &'static str, more: u64) {
        *self.counts.entry(name).or_default() += more;
    }

    /// Kinds in this order; those not named come last.
    fn sorted(mut self, gravest_first: &[&str]) -> Report<V> {
        let place = |violation: &V| gravest_first.iter().position(|name| *name == violation.name());
        self.violations.sort_by_key(|violation| place(violation).unwrap_or(usize::MAX));
        self
    }

    /// The first of each kind.
    fn firsts(&self) -> impl Iterator<Item = &V> {
        let is_first = |at: usize| self.violations[..at].iter().all(|v| v.name() != self.violations[at].name());
        (0..self.violations.len()).filter(move |at| is_first(*at)).map(|at| &self.violations[at])
    }

    pub fn finding(&self) -> Finding {
        if self.violations.is_empty() {
            return match self.undecided.is_empty() {
                true => Finding::Valid,
                false => Finding::Unknown { reason: self.undecided.join("; ") },
            };
        }
        let mut operations: Vec<usize> = self.firsts().flat_map(Violation::operations).collect();
        operations.sort_unstable();
        operations.dedup();
        Finding::Invalid { explanation: Explanation(self).to_string(), operations }
    }

    pub fn verdict(&self) -> Verdict {
        Verdict { oracle: self.oracle, finding: self.finding() }
    }
}

struct Explanation<'a, V>(&'a Report<V>);

impl<V: Violation> fmt::Display for Explanation<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, violation) in self.0.firsts().enumerate() {
            let name = violation.name();
            write!(f, "{}{name}: {violation}", if number == 0 { "" } else { "\nalso " })?;
            match self.0.violation_counts[name] {
                1 => {}
                count => write!(f, " (and {} more)", count - 1)?,
            }
        }
        Ok(())
    }
}

/// The verdict, all violations that are kept, and what was counted.
impl<V: Violation> fmt::Display for Report<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finding() {
            Finding::Valid => f.write_str("valid")?,
            Finding::Unknown { reason } => write!(f, "unknown: {reason}")?,
            Finding::Invalid { .. } => f.write_str("INVALID")?,
        }
        for violation in &self.violations {
            write!(f, "\n{}: {violation}", violation.name())?;
        }
        for (name, count) in &self.violation_counts {
            write!(f, "\n{name}: {count}")?;
        }
        for (name, count) in &self.counts {
            write!(f, "\n{name}: {count}")?;
        }
        Ok(())
    }
}

/// Values by number, in the order in which they were first named.
#[derive(Default)]
struct Names {
    numbers: HashMap<Value, u32>,
    values: Vec<Value>,
}

impl Names {
    fn number(&mut self, value: &Value) -> usize {
        if let Some(known) = self.numbers.get(value) {
            return *known as usize;
        }
        let number = self.values.len();
        // A value is at least some 30 bytes: memory ends first.
        self.numbers.insert(value.clone(), u32::try_from(number).expect("fewer than 2^32 distinct values"));
        self.values.push(value.clone());
        number
    }

    fn value(&self, number: usize) -> &Value {
        &self.values[number]
    }
}

/// A state per key, in the order in which the keys were first named.
struct PerKey<T> {
    names: Names,
    states: Vec<T>,
}

impl<T> Default for PerKey<T> {
    fn default() -> PerKey<T> {
        PerKey { names: Names::default(), states: Vec::new() }
    }
}

impl<T: Default> PerKey<T> {
    fn of(&mut self, key: &Value) -> &mut T {
        let number = self.names.number(key);
        if number == self.states.len() {
            self.states.push(T::default());
        }
        &mut self.states[number]
    }

    fn into_iter(self) -> impl Iterator<Item = (Value, T)> {
        self.names.values.into_iter().zip(self.states)
    }
}

/// ` of key 3`, or nothing for nil: a history about one thing names no key.
struct Of<'v>(&'v Value);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nil() { Ok(()) } else { write!(f, " of {}", self.0) }
    }
}

/// The elements of a list, or of a set.
fn elements(value: &Value) -> Option<Box<dyn Iterator<Item = &Value> + '_>> {
    match value {
        Value::List(list) => Some(Box::new(list.iter())),
        Value::Set(set) => Some(Box::new(set.iter())),
        _ => None,
    }
}
