//! Jepsen's operations: what its EDN, its JSON and its log lines have in common.
//!
//! ```text
//! {:type :invoke, :f :txn, :value [[:append 8 1] [:r 9 nil]], :process 0, :time 5, :index 0}   What::Invoke
//! {:type :ok,     :f :txn, :value [[:append 8 1] [:r 9 [3]]], :process 0, :time 9, :index 1}   What::Complete
//! {:type :info,   :f :start-partition, :value {..}, :process :nemesis, :time 7, :index 2}      What::Fault
//! ```
//! | Jepsen | here |
//! | --- | --- |
//! | `:f`, first elements of micro-operations | text without a colon; without `:f`, a list of micro-operations is a `txn` |
//! | `:f` of a completion | as that of its invocation; another is refused |
//! | `:value` of a completion | its answer; nil where it only repeats the invocation's, but never in an ok `txn` |
//! | ok `:cas`, `:fail :cas` with `:answer` | `:answer true`, `:answer false`: the answer, and it was ok |
//! | `:error` | `error` if it is text and the operation failed, otherwise an extra key |
//! | `:process` that is no number | a number from [`Process::NAMED_FIRST`] on, and the extra key `process` |
//! | `:time` that is missing, negative, or goes back | one more than the last; the extra key `time` if it was there |
//! | nemesis `:start-x`, `:stop-x`; any other `:f` | a fault x that begins, that ends; one that strikes |
//! | any other key | an extra key |
//!
//! What the model has beyond Jepsen goes into keys of ours, which Jepsen's checkers overlook: `:key`, `:sqlstate`,
//! `:read-timestamp`, `:commit-timestamp`, `:shard`, `:answer`, and nemesis operations `:tenet/phase` and `:tenet/alarm`.
//!
//! A compare-and-set that found another value is `:fail` for Jepsen, and an ok whose value is no `[from to]` is what Knossos
//! cannot take apart. So its answer stands beside: `:type :fail, :value [from to], :answer false`. To Jepsen's checkers it
//! never happened; to us it was answered. A `:fail` without `:answer` is one that failed, whatever the reason.

mod from_op;
mod reader;
mod to_op;

use crate::{Call, FaultEdge, Value, functions};

pub(crate) use from_op::FromOps;
pub(crate) use reader::OpReader;
pub(crate) use to_op::{ToOps, with_keywords};

pub(crate) const NEMESIS: &str = "nemesis";
const PHASE: &str = "tenet/phase";
const ALARM: &str = "tenet/alarm";
/// The key of the answer to a compare-and-set.
pub(crate) const ANSWER: &str = "answer";

/// `:start-partition` begins a partition; `:kill` strikes.
fn fault_of(function: &str) -> (String, FaultEdge) {
    let edge = |name: &str, edge| (name.to_string(), edge);
    match function.split_once('-') {
        Some(("start", name)) if !name.is_empty() && name != NEMESIS => edge(name, FaultEdge::Begin),
        Some(("stop", name)) if !name.is_empty() && name != NEMESIS => edge(name, FaultEdge::End),
        _ => match function {
            "start" => edge(NEMESIS, FaultEdge::Begin),
            "stop" => edge(NEMESIS, FaultEdge::End),
            _ => edge(function, FaultEdge::Strike),
        },
    }
}

/// None: this fault's name means something else to [`fault_of`].
pub(crate) fn function_of(name: &str, edge: FaultEdge) -> Option<String> {
    let function = match edge {
        FaultEdge::Begin if name == NEMESIS => "start".to_string(),
        FaultEdge::End if name == NEMESIS => "stop".to_string(),
        FaultEdge::Begin => format!("start-{name}"),
        FaultEdge::End => format!("stop-{name}"),
        FaultEdge::Strike => name.to_string(),
    };
    let same = fault_of(&function) == (name.to_string(), edge);
    same.then_some(function)
}

/// `[[:append 8 1] [:r 9 nil]]`.
fn are_micro_operations(value: &Value) -> bool {
    let named = |item: &Value| item.as_list().and_then(|item| item.first()?.as_name()).is_some();
    value.as_list().is_some_and(|list| !list.is_empty() && list.iter().all(named))
}

/// What a compare-and-set was answered: whether it found what it asked for. The answer may be in a pair with its key, if what
/// was asked for is (`[key [from to]]`, as Jepsen's `independent` writes it).
fn answer_of_cas(asked: &Call, answer: &Value) -> Option<bool> {
    if asked.function != functions::COMPARE_AND_SET || asked.value.is_nil() {
        return None;
    }
    match (answer, asked.value.as_list()) {
        (Value::Bool(found), _) => Some(*found),
        (Value::List(pair), Some([key, _])) => match pair.as_slice() {
            [of, Value::Bool(found)] if of == key => Some(*found),
            _ => None,
        },
        _ => None,
    }
}

/// Timestamps are unsigned; the upper half of them has no place in [`Value::Int`].
pub(crate) fn unsigned_value(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Number(number.to_string()), Value::Int)
}

pub(crate) fn unsigned_of(value: &Value) -> Option<u64> {
    match value {
        Value::Int(int) => u64::try_from(*int).ok(),
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}
