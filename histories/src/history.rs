//! A whole history, and its events paired to operations.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::{Call, Completion, Event, Outcome, Process, Value, What};

/// Names of workloads in a header: they say which oracles judge the history.
pub mod workloads {
    pub const REGISTER: &str = "register";
    pub const BANK: &str = "bank";
    pub const LIST_APPEND: &str = "list-append";
    pub const WRITE_SKEW: &str = "write-skew";
    pub const PREDICATE_SKEW: &str = "predicate-skew";
    pub const TENANTS: &str = "tenants";
    pub const RW_REGISTER: &str = "rw-register";
    /// What etcd's robustness tests record.
    pub const ETCD: &str = "etcd";
}

/// Names of facts in a header that oracles and formats go by.
pub mod facts {
    /// The value of every key at first.
    pub const INITIAL: &str = "initial";
    /// false: only the order of events within a process means anything.
    pub const REAL_TIME: &str = "real_time";
    /// How many threads there are, by which a process that crashed goes on in Jepsen's formats.
    pub const CONCURRENCY: &str = "concurrency";
}

/// Names of functions, and what their values are. `key` is nil where not named.
pub mod functions {
    /// register: reads `key`; answers its value. bank: reads all; answers `[[account, balance], ..]`.
    /// write-skew: reads the pair `key`; answers `[bool, bool]`. predicate-skew: counts the rows of group `key`; answers it.
    pub const READ: &str = "read";
    /// register: `key` becomes `value`.
    pub const WRITE: &str = "write";
    /// register: `key` becomes `value[1]` if it is `value[0]`. Answers whether it was.
    pub const COMPARE_AND_SET: &str = "cas";
    /// bank: `{"from", "to", "amount"}`; answers whether there was enough money.
    pub const TRANSFER: &str = "transfer";
    /// list-append: `[["append", key, element], ["r", key, null], ..]`; the answer has a list in the place of each null.
    pub const TRANSACTION: &str = "txn";
    /// In a transaction.
    pub const MICRO_APPEND: &str = "append";
    /// In a transaction.
    pub const MICRO_READ: &str = "r";
    /// write-skew: turns side `value` of the pair `key` off if both are on. Answers `{"saw": [bool, bool], "done": bool}`.
    pub const TURN_OFF: &str = "turn-off";
    /// write-skew: turns both sides of the pair `key` on unless both are off. Answers as `turn-off`.
    pub const TURN_ON: &str = "turn-on";
    /// predicate-skew: adds row `value` to group `key` if it has none. Answers `{"saw": count, "done": bool}`.
    pub const CLAIM: &str = "claim";
    /// predicate-skew: removes the row of group `key` if it has exactly one. Answers as `claim`.
    pub const RELEASE: &str = "release";
    /// kv: answers the value of `key`.
    pub const GET: &str = "get";
    /// kv: `key` becomes `value`.
    pub const PUT: &str = "put";
    /// kv: `value` is added to the end of `key`'s.
    pub const APPEND: &str = "append";
    /// rw-register: in a transaction.
    pub const MICRO_WRITE: &str = "w";

    pub(crate) const ALL: &[&str] =
        &[READ, WRITE, COMPARE_AND_SET, TRANSFER, TRANSACTION, TURN_OFF, TURN_ON, CLAIM, RELEASE, GET, PUT, APPEND];
}

/// Spares an allocation for each name that we know.
pub(crate) fn well_known(name: String) -> Cow<'static, str> {
    match functions::ALL.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name),
    }
}

/// What a history is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// One of [`workloads`], or anything that the reader understands.
    pub workload: String,
    /// What an oracle must know (`initial`, `total`), and what people may want to (`seed`).
    pub facts: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub header: Header,
    pub events: Vec<Event>,
}

/// A stretch of time under one regime of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    pub name: String,
    /// Nothing is done to the database: operations must succeed.
    pub calm: bool,
    pub first_ns: u64,
    /// The first moment that no longer belongs to it.
    pub end_ns: u64,
}

impl Phase {
    pub fn contains(&self, time_ns: u64) -> bool {
        self.first_ns <= time_ns && time_ns < self.end_ns
    }
}

/// An invocation with its completion.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'h> {
    /// Its number in the order of invocation, from 0: how explanations name it.
    pub index: usize,
    pub process: Process,
    pub call: &'h Call,
    /// The position of its invocation among the events; positions are the real order (H1).
    pub invoke_event: usize,
    pub invoke_ns: u64,
    /// None: the run ended first.
    pub completed: Option<Completed<'h>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Completed<'h> {
    pub event: usize,
    pub time_ns: u64,
    pub completion: &'h Completion,
}

impl<'h> Operation<'h> {
    /// An operation without completion is unknown.
    pub fn outcome(&self) -> Outcome {
        self.completed.map_or(Outcome::Unknown, |completed| completed.completion.outcome)
    }

    pub fn is_ok(&self) -> bool {
        self.outcome() == Outcome::Ok
    }

    /// The answer; nil if there was none.
    pub fn answer(&self) -> &'h Value {
        self.completed.map_or(&Value::Nil, |completed| &completed.completion.value)
    }

    /// The position after which it can no longer take effect; None if there is no such position (H3).
    pub fn return_event(&self) -> Option<usize> {
        self.completed.filter(|completed| completed.completion.outcome != Outcome::Unknown).map(|c| c.event)
    }
}

/// Broken H2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    #[error(
        "event {event}: {process} invokes `{function}`, expected the completion of its operation from event {open}"
    )]
    StillOpen { event: usize, process: Process, function: String, open: usize },
    #[error("event {event}: {process} completes, expected an invocation of it before")]
    NothingOpen { event: usize, process: Process },
}

impl History {
    /// The operations, in the order of invocation.
    pub fn operations(&self) -> Result<Vec<Operation<'_>>, PairingError> {
        let mut operations: Vec<Operation<'_>> = Vec::new();
        let mut open: BTreeMap<Process, usize> = BTreeMap::new();
        for (position, event) in self.events.iter().enumerate() {
            match &event.what {
                What::Invoke { process, call } => {
                    let index = operations.len();
                    if let Some(earlier) = open.insert(*process, index) {
                        return Err(PairingError::StillOpen {
                            event: position,
                            process: *process,
                            function: call.function.to_string(),
                            open: operations[earlier].invoke_event,
                        });
                    }
                    operations.push(Operation {
                        index,
                        process: *process,
                        call,
                        invoke_event: position,
                        invoke_ns: event.time_ns,
                        completed: None,
                    });
                }
                What::Complete { process, completion } => {
                    let Some(index) = open.remove(process) else {
                        return Err(PairingError::NothingOpen { event: position, process: *process });
                    };
                    operations[index].completed =
                        Some(Completed { event: position, time_ns: event.time_ns, completion });
                }
                What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {}
            }
        }
        Ok(operations)
    }

    /// The phases that the history itself names; each lasts to the next, the last one without end.
    pub fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::new();
        for event in &self.events {
            if let What::Phase { name, calm } = &event.what {
                if let Some(previous) = phases.last_mut() {
                    previous.end_ns = event.time_ns;
                }
                phases.push(Phase { name: name.clone(), calm: *calm, first_ns: event.time_ns, end_ns: u64::MAX });
            }
        }
        phases
    }
}
