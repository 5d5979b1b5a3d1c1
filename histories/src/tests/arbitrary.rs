//! Anything that the model can hold, for property tests.

use proptest::prelude::*;

use crate::*;

fn any_name() -> impl Strategy<Value = String> {
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
pub fn any_plain_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<String>().prop_map(Value::Text),
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
        4 => any_plain_value(),
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
    prop::collection::vec((any_name(), any_value()), 0..3).prop_map(|fields| {
        let mut extra = Extra::default();
        for (name, value) in fields {
            extra.insert(name, value);
        }
        extra
    })
}

fn any_completion() -> impl Strategy<Value = Completion> {
    let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::Fail), Just(Outcome::Unknown)];
    let facts = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
    (outcome, any_value(), facts, any::<Option<String>>(), any::<Option<String>>()).prop_map(
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

pub fn any_what() -> impl Strategy<Value = What> {
    let edge = prop_oneof![Just(FaultEdge::Begin), Just(FaultEdge::End), Just(FaultEdge::Strike)];
    prop_oneof![
        (any::<u32>(), any::<String>(), any_value(), any_value()).prop_map(|(process, function, key, value)| {
            What::Invoke { process: Process(process), call: Call { function: function.into(), key, value } }
        }),
        (any::<u32>(), any_completion())
            .prop_map(|(process, completion)| What::Complete { process: Process(process), completion }),
        (any::<String>(), edge, any_value()).prop_map(|(name, edge, detail)| What::Fault(Fault { name, edge, detail })),
        (any::<String>(), any::<bool>()).prop_map(|(name, calm)| What::Phase { name, calm }),
        (any::<Option<u32>>(), any::<Option<String>>(), any::<String>()).prop_map(|(process, sqlstate, message)| {
            What::Alarm(Alarm { process: process.map(Process), sqlstate, message })
        }),
    ]
}
