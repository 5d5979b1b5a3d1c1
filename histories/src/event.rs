//! One event: something that happened to a client, or to the database.
//!
//! What foreign formats say beyond the model stands in [`Extra`], so that it survives a conversion; no oracle reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Value;

/// A client: does one thing at a time. Starts at 0.
///
/// In Jepsen's histories a process ends with its first operation of unknown outcome; the thread that played it goes on as
/// process + concurrency, so [`Process::thread`] tells who was who. Ours may go on under their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

impl Process {
    /// Processes that a foreign format calls by a name have numbers from here on, in the order of their first event. The
    /// name is kept as the extra key `process` of each of their events.
    pub const NAMED_FIRST: Process = Process(u32::MAX / 2 + 1);

    /// The thread that plays this process, by Jepsen's rule; `concurrency` is the number of threads.
    pub fn thread(self, concurrency: NonZeroU32) -> u32 {
        self.0 % concurrency
    }
}

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
    pub extra: Extra,
}

impl Event {
    pub fn new(time_ns: u64, what: What) -> Event {
        Event { time_ns, what, extra: Extra::default() }
    }
}

/// What else a foreign format says of an event, by name: Jepsen's `index`, `node`, `debug`. Almost always empty or short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra(Vec<(Cow<'static, str>, Value)>);

impl Extra {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.position(name).ok().map(|position| &self.0[position].1)
    }

    /// Gives back what stood there before.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: Value) -> Option<Value> {
        let name = name.into();
        match self.position(&name) {
            Ok(position) => Some(std::mem::replace(&mut self.0[position].1, value)),
            Err(position) => {
                self.0.insert(position, (name, value));
                None
            }
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.position(name).ok().map(|position| self.0.remove(position).1)
    }

    /// In the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_ref().cmp(name))
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Extra, D::Error> {
        let fields = BTreeMap::<String, Value>::deserialize(deserializer)?;
        Ok(Extra(fields.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect()))
    }
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
    /// The answer. Nil unless `outcome` is `Ok`; nil too where a foreign format only repeats what was asked for.
    pub value: Value,
    /// The snapshot that it read at, if the database says so.
    pub read_timestamp: Option<u64>,
    /// The place of its writes in the order of commits, if the database says so.
    pub commit_timestamp: Option<u64>,
    /// The shard whose timestamps these are, if there are several and the database says so.
    pub shard: Option<u64>,
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
            shard: None,
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
    /// Where it struck: text for people (`n1 | n2 n3`), or what the nemesis said; nil if nothing.
    pub detail: Value,
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
