//! One event: something that happened to a client, or to the database.

use std::borrow::Cow;
use std::fmt;

use crate::Value;

/// A client: does one thing at a time. Starts at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since some moment before the run, on a clock that all clients share.
    pub time_ns: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A client is about to ask.
    Invoke { process: Process, call: Call },
    /// A client has an answer, or has given up waiting for it.
    Complete { process: Process, completion: Completion },
    /// Something was done to the database, or was ended.
    Fault(Fault),
    /// From here to the next phase.
    Phase { name: String, calm: bool },
    /// What must not happen, whatever the faults: an error that no rule classifies, a row of a wrong shape.
    Alarm(Alarm),
}

/// What a client asks for. Names of functions: [`crate::functions`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub function: Cow<'static, str>,
    /// What it is about, where there is one such thing; otherwise nil.
    pub key: Value,
    pub value: Value,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    pub outcome: Outcome,
    /// The answer. Nil unless `outcome` is `Ok`.
    pub value: Value,
    /// The snapshot that it read at, if the database says so.
    pub read_timestamp: Option<u64>,
    /// The place of its writes in the order of commits, if the database says so.
    pub commit_timestamp: Option<u64>,
    pub sqlstate: Option<String>,
    pub error: Option<String>,
}

impl Completion {
    pub fn ok(value: Value) -> Completion {
        Completion { value, ..Completion::new(Outcome::Ok) }
    }

    pub fn new(outcome: Outcome) -> Completion {
        Completion {
            outcome,
            value: Value::Nil,
            read_timestamp: None,
            commit_timestamp: None,
            sqlstate: None,
            error: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It took effect, between invocation and completion.
    Ok,
    /// It never takes effect.
    Fail,
    /// Nobody can tell: it may have taken effect, or may yet, or never will.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind: `partition`, `kill`.
    pub name: String,
    pub edge: FaultEdge,
    /// Where it struck, for people: `n1 | n2 n3`.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEdge {
    Begin,
    End,
    /// Over in a moment.
    Strike,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub process: Option<Process>,
    pub sqlstate: Option<String>,
    pub message: String,
}
