//! The clever checkers against slow obvious ones, on histories of a handful of operations.
//!
//! Linearizability: both must agree on every history. Isolation has tests of its own kind in `isolation/`.

use proptest::prelude::*;
use tenet_checker::linearizable::Options;
use tenet_checker::{Finding, linearizable};
use tenet_histories::{Call, Completion, Event, Header, History, Operation, Outcome, Process, Value, What};

/// Intervals from a shuffle: each operation's number occurs twice, first to invoke, then to complete.
fn history_of(shuffle: &[usize], calls: &[(Call, Completion)], facts: &[(&str, Value)]) -> History {
    let mut invoked = vec![false; calls.len()];
    let mut events = Vec::new();
    for number in shuffle {
        let (process, time_ns) = (Process(*number as u32), events.len() as u64);
        let (call, completion) = &calls[*number];
        let what = if std::mem::replace(&mut invoked[*number], true) {
            What::Complete { process, completion: completion.clone() }
        } else {
            What::Invoke { process, call: call.clone() }
        };
        events.push(Event::new(time_ns, what));
    }
    let facts = facts.iter().map(|(name, fact)| (name.to_string(), fact.clone())).collect();
    History { header: Header { workload: String::new(), facts }, events }
}

fn shuffles(count: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..count).chain(0..count).collect::<Vec<_>>()).prop_shuffle()
}

/// Whether some order of the operations, unknown ones left out at will and failed ones left out, keeps real time and lets
/// `apply` accept each.
fn some_order<S: Clone>(
    operations: &[Operation<'_>],
    state: &S,
    apply: &impl Fn(&S, &Operation<'_>) -> Option<S>,
    placed: &mut Vec<bool>,
) -> bool {
    let must = |operation: &Operation<'_>| operation.outcome() == Outcome::Ok;
    if operations.iter().zip(&*placed).all(|(operation, placed)| *placed || !must(operation)) {
        return true;
    }
    for next in 0..operations.len() {
        if placed[next] || operations[next].outcome() == Outcome::Fail {
            continue;
        }
        let overtaken = operations.iter().zip(&*placed).any(|(other, placed)| {
            !placed && must(other) && other.return_event().unwrap() < operations[next].invoke_event
        });
        if overtaken {
            continue;
        }
        if let Some(state) = apply(state, &operations[next]) {
            placed[next] = true;
            if some_order(operations, &state, apply, placed) {
                return true;
            }
            placed[next] = false;
        }
    }
    false
}

fn has_order<S: Clone>(history: &History, initial: S, apply: impl Fn(&S, &Operation<'_>) -> Option<S>) -> bool {
    let operations = history.operations().unwrap();
    some_order(&operations, &initial, &apply, &mut vec![false; operations.len()])
}

fn apply_register(state: &i64, operation: &Operation<'_>) -> Option<i64> {
    let value = &operation.call.value;
    match operation.call.function.as_ref() {
        "read" => (operation.outcome() != Outcome::Ok || operation.answer().as_int() == Some(*state)).then_some(*state),
        "write" => value.as_int(),
        _ => {
            let [from, to] = [0, 1].map(|place| value.as_list().unwrap()[place].as_int().unwrap());
            match operation.answer().as_bool() {
                Some(true) => (from == *state).then_some(to),
                Some(false) => (from != *state).then_some(*state),
                // Unknown: if it happened, either way.
                None => Some(if from == *state { to } else { *state }),
            }
        }
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Outcome::Ok), 1 => Just(Outcome::Fail), 2 => Just(Outcome::Unknown)]
}

/// Many unknown writes of few values, and reads that choose among them.
fn unsure_call() -> impl Strategy<Value = (Call, Completion)> {
    let call = |function: &'static str, value: Value| Call { function: function.into(), key: 1.into(), value };
    prop_oneof![
        3 => (0i64..4).prop_map(move |value| (call("read", Value::Nil), Completion::ok(value.into()))),
        2 => (0i64..4).prop_map(move |value| (call("write", value.into()), Completion::new(Outcome::Unknown))),
        1 => (0i64..4, 0i64..4).prop_map(move |(from, to)| {
            (call("cas", vec![from, to].into()), Completion::new(Outcome::Unknown))
        }),
    ]
}

fn unsure_history() -> impl Strategy<Value = History> {
    (4usize..10).prop_flat_map(move |count| {
        (shuffles(count), prop::collection::vec(unsure_call(), count))
            .prop_map(|(shuffle, calls)| history_of(&shuffle, &calls, &[("initial", Value::Int(0))]))
    })
}

fn register_call(values: i64) -> impl Strategy<Value = (Call, Completion)> {
    let call = move |function: &'static str, value: Value| Call { function: function.into(), key: 1.into(), value };
    prop_oneof![
        3 => (outcomes(), 0..values).prop_map(move |(outcome, value)| {
            let answer = if outcome == Outcome::Ok { value.into() } else { Value::Nil };
            (call("read", Value::Nil), Completion { value: answer, ..Completion::new(outcome) })
        }),
        3 => (outcomes(), 0..values).prop_map(move |(outcome, value)| (call("write", value.into()), Completion::new(outcome))),
        3 => (outcomes(), 0..values, 0..values, any::<bool>()).prop_map(move |(outcome, from, to, done)| {
            let answer = if outcome == Outcome::Ok { done.into() } else { Value::Nil };
            (call("cas", vec![from, to].into()), Completion { value: answer, ..Completion::new(outcome) })
        }),
    ]
}

fn register_history(values: i64) -> impl Strategy<Value = History> {
    (1usize..8).prop_flat_map(move |count| {
        (shuffles(count), prop::collection::vec(register_call(values), count))
            .prop_map(|(shuffle, calls)| history_of(&shuffle, &calls, &[("initial", Value::Int(0))]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn registers_are_judged_as_by_brute_force(history in prop_oneof![register_history(2), register_history(4), unsure_history()]) {
        let verdict = linearizable::check(&history, &Options::default()).unwrap();
        let gave_up = matches!(verdict.finding, Finding::Unknown { .. });
        prop_assert!(!gave_up);
        prop_assert_eq!(verdict.is_valid(), has_order(&history, 0, apply_register), "{}", verdict);
    }
}

#[test]
fn a_search_that_grows_too_large_gives_up() {
    // Unknown writes of values that are all read in the end, but not before hundreds of other reads.
    let write = |value: i64| {
        let call = Call { function: "write".into(), key: 1.into(), value: value.into() };
        (call, Completion::new(Outcome::Unknown))
    };
    let read = |value: i64| {
        let call = Call { function: "read".into(), key: 1.into(), value: Value::Nil };
        (call, Completion::ok(value.into()))
    };
    let calls: Vec<_> = (1..40).map(write).chain((1..40).map(read)).collect();
    let shuffle: Vec<usize> = (0..calls.len()).flat_map(|number| [number, number]).collect();
    let history = history_of(&shuffle, &calls, &[("initial", Value::Int(0))]);
    let check = |configurations_max| {
        linearizable::check(&history, &Options { configurations_max, ..Options::default() }).unwrap().finding
    };
    assert_eq!(check(1000), Finding::Valid);
    assert_eq!(
        check(3),
        Finding::Unknown { reason: "key 1: more than 3 possibilities at operation 39 (process 39, 0.000000 s)".into() }
    );
}

#[test]
fn unknown_writes_that_nobody_read_cost_nothing() {
    let operation = |function: &'static str, value: Value, completion| {
        (Call { function: function.into(), key: 1.into(), value }, completion)
    };
    // A hundred of them, and refusals that one or two of them may explain.
    let unread = (100..200).map(|value| operation("write", value.into(), Completion::new(Outcome::Unknown)));
    let refused = |from: i64| operation("cas", vec![from, 1].into(), Completion::ok(false.into()));
    let written = operation("write", 7.into(), Completion::new(Outcome::Ok));
    let calls: Vec<_> = unread.chain([refused(0), written, refused(7), refused(7)]).collect();
    let shuffle: Vec<usize> = (0..calls.len()).flat_map(|number| [number, number]).collect();
    let history = history_of(&shuffle, &calls, &[("initial", Value::Int(0))]);
    let options = Options { configurations_max: 10, ..Options::default() };
    assert_eq!(linearizable::check(&history, &options).unwrap().finding, Finding::Valid);
}
