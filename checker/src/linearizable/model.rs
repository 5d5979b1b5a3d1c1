//! What an object does, told operation by operation: what one writes to have a new kind of object judged.
//!
//! A model says how an operation of a history reads (`call`), and what a call does to a state (`step`). That is enough.
//! The rest makes checks faster or explanations better, and has defaults; each promises something that the search relies
//! on, so that a wrong promise makes wrong verdicts.

use std::hash::Hash;

use tenet_histories::{Completion, Extra, Outcome, Process, Value};

use crate::CheckError;
use crate::verdict::time;

/// A position behind all others: of the return of what never returns.
pub const NEVER: u32 = u32::MAX;

pub trait Model {
    type State: Clone + Eq + Hash;
    type Call: Clone + Eq + Hash;

    /// What the operation did: nothing if it tells nothing, one thing mostly. Several each take effect at a moment of
    /// their own between its invocation and its completion. Never asked about operations that failed.
    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Self::Call>) -> Result<(), CheckError>;

    fn initial(&self) -> Self::State;

    /// Adds the states that there may be after `call`, with the answer it got, in `state`: none if it cannot have got
    /// that answer; several if the object has a choice.
    fn step(&self, state: &Self::State, call: &Self::Call, next: &mut Vec<Self::State>);

    /// The call never changes any state. (A write of the value that is there already is no such call: later, it may
    /// bring that value back.)
    fn looks(&self, _call: &Self::Call) -> bool {
        false
    }

    /// Whether operations with different `Call::key` are about different objects.
    fn is_keyed(&self) -> bool {
        true
    }

    /// Splits what belongs to one key into parts that are linearizable if and only if the whole is; leaves out unknown
    /// calls that can serve nobody; writes alike those that differ in nothing that anyone sees.
    fn parts(&self, part: Part<Self::Call>) -> Vec<Part<Self::Call>> {
        vec![part]
    }

    /// What can be known of a part in advance.
    fn ahead<'p>(&'p self, _part: &'p Part<Self::Call>) -> Box<dyn Ahead<Self> + 'p> {
        Box::new(Nothing)
    }

    /// As after "it": `read 3`, `found 0 and changed it to 1`.
    fn did(&self, call: &Self::Call) -> String;

    /// As after "just before": `the value was 3`.
    fn was(&self, state: &Self::State) -> String;

    /// The only state in which the call is possible, if there is one such state.
    fn wanted(&self, _call: &Self::Call) -> Option<Self::State> {
        None
    }

    /// How much memory a state takes beyond its own size.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }
}

/// Foresight. All of it is optional: the defaults promise nothing.
pub trait Ahead<M: Model + ?Sized> {
    /// The last position at which it may still help somebody that the call, if unknown, takes effect.
    fn useful_until(&self, _call: &M::Call) -> u32 {
        NEVER
    }

    /// For a call that leads to one state, whatever the state before: the last position at which an operation is invoked
    /// that might look for that state, `NEVER` if there are operations that go on from it to another. None: the call is not such.
    fn overwrites_for(&self, _call: &M::Call) -> Option<u32> {
        None
    }

    /// No state that the object can ever be in allows the call.
    fn is_impossible(&self, _call: &M::Call) -> bool {
        false
    }

    /// When the object may be in this state, for all to end well.
    fn stay(&self, _state: &M::State) -> Stay {
        Stay::FREE
    }

    /// Whoever leaves the state at position `left`, before `Stay::until`, cannot get past the return at the position that is
    /// answered.
    fn stuck_at(&self, _state: &M::State, _left: u32) -> u32 {
        NEVER
    }
}

/// Positions between which an object must not come into a state, or leave it, as somebody would need another later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Whoever is in the state before is lost. `NEVER`: whoever is in it at all.
    pub from: u32,
    /// Who is lost for that reason cannot get past the return at this position.
    pub stuck_at: u32,
    /// Whoever leaves the state before is lost, as somebody needs it then and it does not come back.
    pub until: u32,
}

impl Stay {
    pub const FREE: Stay = Stay { from: 0, stuck_at: 0, until: 0 };

    /// Whoever comes into the state before `from` does not get past the return at `stuck_at`.
    pub fn from(from: u32, stuck_at: u32) -> Stay {
        Stay { from, stuck_at, until: 0 }
    }
}

/// No foresight.
pub struct Nothing;

impl<M: Model + ?Sized> Ahead<M> for Nothing {}

/// Operations on one object, in the order of invocation.
#[derive(Clone, Debug, Default)]
pub struct Part<C> {
    /// As explanations begin: `key 1`; empty if there is only one object.
    pub name: String,
    pub operations: Vec<Taken<C>>,
}

/// One thing that an operation did, at some moment between two positions.
#[derive(Clone, Debug)]
pub struct Taken<C> {
    /// The number of the operation in the history, in the order of invocation.
    pub number: u32,
    pub invoked: u32,
    /// `NEVER`: it may take effect at any later time, or not at all.
    pub returned: u32,
    pub call: C,
}

impl<C> Taken<C> {
    pub fn is_unknown(&self) -> bool {
        self.returned == NEVER
    }
}

/// An operation as its model reads it. Its value and answer are without key, where pairs of key and value were read.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'h> {
    pub number: usize,
    pub process: Process,
    pub function: &'h str,
    pub key: &'h Value,
    pub value: &'h Value,
    pub answer: &'h Value,
    /// Ok or unknown.
    pub outcome: Outcome,
    /// What else the completion says, for models that know what its timestamps and extra keys mean.
    pub completion: &'h Completion,
    pub extra: &'h Extra,
}

impl<'h> Asked<'h> {
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// `found` is not of the shape that the model knows.
    pub fn misshapen(&self, found: &Value, expected: &'static str) -> CheckError {
        CheckError::Shape {
            operation: self.number,
            function: self.function.to_string(),
            found: found.to_string(),
            expected,
        }
    }

    /// The model knows no such function.
    pub fn stranger(&self, expected: &'static str) -> CheckError {
        self.misshapen(&Value::Text(self.function.to_string()), expected)
    }

    pub fn int(&self, value: &Value, expected: &'static str) -> Result<i64, CheckError> {
        value.as_int().ok_or_else(|| self.misshapen(value, expected))
    }

    pub fn list(&self, value: &'h Value, expected: &'static str) -> Result<&'h [Value], CheckError> {
        value.as_list().ok_or_else(|| self.misshapen(value, expected))
    }
}

/// Who did it, for explanations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub process: Process,
    pub invoke_ns: u64,
    pub is_unknown: bool,
}

impl Who {
    pub(crate) fn text(&self, number: u32) -> String {
        format!("operation {number} ({}, {})", self.process, time(self.invoke_ns))
    }
}
