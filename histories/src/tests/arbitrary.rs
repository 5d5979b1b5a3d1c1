//! Anything that the model can hold, for property tests; and histories that hold together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::jepsen::function_of;
use crate::*;

/// A keyword's name.
pub fn any_name() -> impl Strategy<Value = String> {
    "[a-zA-Z*!_?$%&=<>.+-][a-zA-Z0-9*!_?$%&=<>.:#'|+-]{0,5}(/[a-z]{1,3})?"
}

fn any_number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[1-9][0-9]{19,30}",
        "-?(0|[1-9][0-9]{0,3})\\.[0-9]{0,3}([eE][+-]?[0-9]{1,2})?M?",
        "-?(0|[1-9][0-9]{0,3})M",
        "-?[1-9][0-9]{0,2}/[1-9][0-9]{0,2}",
        Just("##NaN".to_string()),
        Just("##-Inf".to_string()),
    ]
}

fn any_symbol() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z*!_?$%&=<>][a-zA-Z0-9*!_?$%&=<>.:#'|+-]{0,5}(/[a-z]{1,3})?"
            .prop_filter("a value", |name| !matches!(name.as_str(), "nil" | "true" | "false")),
        "\\\\([^ \\t\\r\\n\\x0c]|newline|u00e9)",
    ]
}

/// What JSON alone can say.
pub fn any_json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => Just(Value::Nil),
        2 => any::<bool>().prop_map(Value::Bool),
        4 => any::<i64>().prop_map(Value::Int),
        4 => (0i64..5).prop_map(Value::Int),
        4 => any::<String>().prop_map(Value::Text),
        1 => "-?(0|[1-9][0-9]{0,3})\\.[0-9]{1,3}([eE][+-]?[0-9]{1,2})?".prop_map(Value::Number),
        1 => "-?[1-9][0-9]{19,30}".prop_map(Value::Number),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map(any::<String>().prop_map(Value::Text), inner, 0..4).prop_map(Value::Map),
        ]
    })
}

pub fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => any_json_value(),
        1 => Just(Value::map([("$edn", Value::Nil)])),
        2 => any_name().prop_map(Value::Keyword),
        1 => any_symbol().prop_map(Value::Symbol),
        1 => any_number().prop_map(Value::Number),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_set(inner.clone(), 0..4).prop_map(Value::Set),
            prop::collection::btree_map(inner.clone(), inner.clone(), 0..4).prop_map(Value::Map),
            ("[a-z][a-z./]{0,5}", inner).prop_map(|(tag, value)| Value::Tagged(tag, Box::new(value))),
        ]
    })
}

pub fn any_extra() -> impl Strategy<Value = Extra> {
    prop::collection::vec((any::<String>(), any_value()), 0..3).prop_map(extra_of)
}

fn extra_of<N: Into<Cow<'static, str>>>(fields: Vec<(N, Value)>) -> Extra {
    let mut extra = Extra::default();
    for (name, value) in fields {
        extra.insert(name, value);
    }
    extra
}

pub fn any_header() -> impl Strategy<Value = Header> {
    let facts = prop::collection::btree_map(any::<String>(), any_value(), 0..3);
    (any::<String>(), facts).prop_map(|(workload, facts)| Header { workload, facts })
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![3 => Just(Outcome::Ok), 1 => Just(Outcome::Fail), 1 => Just(Outcome::Unknown)]
}

fn any_completion(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Completion> {
    let facts = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
    (any_outcome(), value, facts, any::<Option<String>>(), any::<Option<String>>()).prop_map(
        |(outcome, value, (read_timestamp, commit_timestamp, shard), sqlstate, error)| {
            let failed = outcome != Outcome::Ok;
            Completion {
                outcome,
                value,
                read_timestamp,
                commit_timestamp,
                shard,
                sqlstate: sqlstate.filter(|_| failed),
                error: error.filter(|_| failed),
            }
        },
    )
}

fn any_edge() -> impl Strategy<Value = FaultEdge> {
    prop_oneof![Just(FaultEdge::Begin), Just(FaultEdge::End), Just(FaultEdge::Strike)]
}

pub fn any_what() -> impl Strategy<Value = What> {
    let other = any_beside(any::<String>(), any_value());
    prop_oneof![
        (any::<u32>(), any::<String>(), any_value(), any_value()).prop_map(|(process, function, key, value)| {
            What::Invoke { process: Process(process), call: Call { function: function.into(), key, value } }
        }),
        (any::<u32>(), any_completion(any_value()))
            .prop_map(|(process, completion)| What::Complete { process: Process(process), completion }),
        other,
    ]
}

/// Faults, phases, alarms.
fn any_beside(
    name: impl Strategy<Value = String> + 'static,
    detail: impl Strategy<Value = Value> + 'static,
) -> impl Strategy<Value = What> {
    prop_oneof![
        (name, any_edge(), detail).prop_map(|(name, edge, detail)| What::Fault(Fault { name, edge, detail })),
        (any::<String>(), any::<bool>()).prop_map(|(name, calm)| What::Phase { name, calm }),
        (any::<Option<u32>>(), any::<Option<String>>(), any::<String>()).prop_map(|(process, sqlstate, message)| {
            What::Alarm(Alarm { process: process.map(Process), sqlstate, message })
        }),
    ]
}

/// What kind of history a family of formats can say.
#[derive(Clone)]
pub struct Dialect {
    pub value: BoxedStrategy<Value>,
    pub function: BoxedStrategy<String>,
    pub fault: BoxedStrategy<String>,
    pub process_name: BoxedStrategy<Value>,
    /// Keys, timestamps, extra keys, and texts of errors with their SQLSTATE.
    pub rich: bool,
    pub times: bool,
}

/// A move of a thread: what it asks for if it has nothing open, what it is answered otherwise.
#[derive(Clone, Debug)]
enum Step {
    Move { thread: usize, step_ns: u64, call: Call, completion: Completion, extra: Extra },
    Beside { step_ns: u64, what: What, extra: Extra },
}

/// Histories that hold together: processes have one open operation, and end with an unknown outcome, as Jepsen's do.
pub fn any_sound_history(dialect: Dialect) -> impl Strategy<Value = Vec<Event>> {
    let Dialect { value, function, fault, process_name, rich, times } = dialect;
    let micro = (any_name(), prop::collection::vec(value.clone(), 0..3))
        .prop_map(|(name, rest)| Value::List(std::iter::once(Value::Text(name)).chain(rest).collect()));
    let transaction = prop::collection::vec(micro, 1..4).prop_map(Value::List).boxed();
    let txn = Just(functions::TRANSACTION.to_string());
    let swap = prop::collection::vec(value.clone(), 2).prop_map(Value::List);
    let cas = Just(functions::COMPARE_AND_SET.to_string());
    let calls = prop_oneof![
        3 => (function, value.clone(), value.clone()).boxed(),
        1 => (txn, value.clone(), transaction.clone()).boxed(),
        1 => (cas, value.clone(), swap).boxed(),
    ];
    let calls = calls.prop_map(move |(function, key, value)| Call {
        function: function.into(),
        key: if rich { key } else { Value::Nil },
        value,
    });
    let calls = calls.prop_filter("a transaction's names are text", |call| {
        let named = |item: &Value| matches!(item.as_list(), Some([Value::Keyword(_), ..]));
        call.function != functions::TRANSACTION || !call.value.as_list().unwrap_or_default().iter().any(named)
    });
    let names = any_name().prop_map(|name| Cow::Owned(format!("x{name}")));
    let extra = prop::collection::vec((names, value.clone()), 0..3);
    let extra = extra.prop_map(move |fields| if rich { extra_of(fields) } else { Extra::default() }).boxed();
    let found = any::<bool>().prop_map(Value::Bool);
    let completion = any_completion(prop_oneof![2 => value.clone(), 1 => transaction, 1 => found]);
    let step_ns = if times { (0u64..1000).boxed() } else { Just(1u64).boxed() };
    let moves = (0usize..4, step_ns.clone(), calls, completion, extra.clone());
    let moves = moves.prop_map(move |(thread, step_ns, call, completion, extra)| {
        let completion = if rich {
            completion
        } else {
            Completion { value: completion.value, ..Completion::new(completion.outcome) }
        };
        Step::Move { thread, step_ns, call, completion, extra }
    });
    let beside = (step_ns, any_beside(fault, value), extra);
    let beside = beside.prop_map(|(step_ns, what, extra)| Step::Beside { step_ns, what, extra });
    let beside = beside.prop_filter("a fault that has a name", |step| match step {
        Step::Beside { what: What::Fault(fault), .. } => {
            let function = function_of(&fault.name, fault.edge);
            function.is_some_and(|function| !function.is_empty() && !function.starts_with("tenet/"))
        }
        _ => true,
    });
    let steps = prop::collection::vec(prop_oneof![5 => moves, 1 => beside], 0..16);
    let start = if times { (0u64..u64::MAX / 2).boxed() } else { Just(0).boxed() };
    (steps, start, prop::option::of(process_name)).prop_map(move |(steps, start, name)| play(steps, start, name, rich))
}

fn play(steps: Vec<Step>, start: u64, name: Option<Value>, rich: bool) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut processes: Vec<Process> = (0..4).map(Process).collect();
    // The last thread may have a name instead of a number.
    if name.is_some() {
        processes[3] = Process::NAMED_FIRST;
    }
    let mut open: BTreeMap<Process, Call> = BTreeMap::new();
    for step in steps {
        let (thread, step_ns, what, mut extra) = match step {
            Step::Beside { step_ns, what, extra } => (None, step_ns, what, extra),
            Step::Move { thread, step_ns, call, mut completion, extra } => {
                let process = processes[thread];
                let what = match open.remove(&process) {
                    None => {
                        open.insert(process, call.clone());
                        What::Invoke { process, call }
                    }
                    Some(_) if completion.outcome == Outcome::Unknown && process >= Process::NAMED_FIRST => continue,
                    Some(asked) => {
                        let txn = asked.function == functions::TRANSACTION;
                        let text_names = |item: &Value| !matches!(item.as_list(), Some([Value::Keyword(_), ..]));
                        let plain = completion.value.as_list().unwrap_or_default().iter().all(text_names);
                        // A completion that only repeats what was asked for has no value.
                        if completion.value == asked.value && !(txn && completion.outcome == Outcome::Ok)
                            || txn && !plain
                            || !rich
                                && asked.function == functions::COMPARE_AND_SET
                                && completion.outcome == Outcome::Ok
                        {
                            completion.value = Value::Nil;
                        }
                        if completion.outcome == Outcome::Unknown {
                            processes[thread] = Process(process.0 + 4);
                        }
                        What::Complete { process, completion }
                    }
                };
                (Some(process), step_ns, what, extra)
            }
        };
        if thread == Some(Process::NAMED_FIRST) {
            extra.insert("process", name.clone().unwrap_or_default());
        }
        let time_ns = events.last().map_or(start, |last| last.time_ns + step_ns);
        events.push(Event { time_ns, what, extra });
    }
    events
}
