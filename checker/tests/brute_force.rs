//! The clever checkers against slow obvious ones, on histories of a handful of operations.
//!
//! Linearizability: both must agree on every history. Lists: what the checker calls invalid must have no serial order (C1);
//! and if every list is read at the end, so that the order of appends is known, both must agree.

use proptest::prelude::*;
use tenet_checker::linearizable::Options;
use tenet_checker::{Finding, linearizable, lists};
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

/// A transaction drawn before its reads are answered: (appends?, key).
type Plan = Vec<(bool, i64)>;

/// Runs plans against a database that is honest except where `lies` says otherwise: how many versions a read is behind.
fn list_history(shuffle: &[usize], plans: &[(Plan, Outcome, Vec<u8>)], final_read: bool) -> History {
    const KEYS: i64 = 2;
    let mut lists = vec![Vec::<i64>::new(); KEYS as usize];
    let mut calls = vec![(Call::default(), Completion::new(Outcome::Fail)); plans.len()];
    let mut begun = vec![false; plans.len()];
    let mut element = 0;
    let append = |key: i64, element: i64| Value::List(vec!["append".into(), key.into(), element.into()]);
    let read = |key: i64, list: Value| Value::List(vec!["r".into(), key.into(), list]);
    for number in shuffle {
        // It takes effect when it is invoked, or, by its first lie, when it completes.
        let (plan, outcome, lies) = &plans[*number];
        let late = lies[0] % 2 == 1;
        if std::mem::replace(&mut begun[*number], true) != late {
            continue;
        }
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        let mut own = lists.clone();
        for ((appends, key), lie) in plan.iter().zip(lies) {
            let list = &mut own[*key as usize];
            if *appends {
                element += 1;
                list.push(element);
                asked.push(append(*key, element));
                answered.push(append(*key, element));
            } else {
                let behind = if *lie < 200 { 0 } else { usize::from(lie % 3) };
                let seen = list[..list.len() - behind.min(list.len())].to_vec();
                asked.push(read(*key, Value::Nil));
                answered.push(read(*key, seen.into()));
            }
        }
        let applied = *outcome == Outcome::Ok || *outcome == Outcome::Unknown && lies[0] % 4 < 2;
        if applied && lies[0] < 240 {
            lists = own;
        }
        let answer = if *outcome == Outcome::Ok { Value::List(answered) } else { Value::Nil };
        calls[*number] = (
            Call { function: "txn".into(), key: Value::Nil, value: Value::List(asked) },
            Completion { value: answer, ..Completion::new(*outcome) },
        );
    }
    let mut shuffle = shuffle.to_vec();
    if final_read {
        shuffle.extend([plans.len(), plans.len()]);
        let asked = (0..KEYS).map(|key| read(key, Value::Nil)).collect();
        let answered = (0..KEYS).map(|key| read(key, lists[key as usize].clone().into())).collect();
        let call = Call { function: "txn".into(), key: Value::Nil, value: Value::List(asked) };
        calls.push((call, Completion::ok(Value::List(answered))));
    }
    history_of(&shuffle, &calls, &[])
}

fn list_plans() -> impl Strategy<Value = (Vec<usize>, Vec<(Plan, Outcome, Vec<u8>)>)> {
    (1usize..6).prop_flat_map(|count| {
        let plan = prop::collection::vec((any::<bool>(), 0i64..2), 1..4);
        let plans = prop::collection::vec((plan, outcomes(), prop::collection::vec(any::<u8>(), 4)), count);
        (shuffles(count), plans)
    })
}

type Lists = [Vec<Value>; 2];

fn apply_lists(state: &Lists, operation: &Operation<'_>) -> Option<Lists> {
    let mut lists = state.clone();
    let is_ok = operation.outcome() == Outcome::Ok;
    let micros = if is_ok { operation.answer() } else { &operation.call.value };
    for micro in micros.as_list().unwrap() {
        let [name, key, value] = micro.as_list().unwrap() else { panic!("a micro-operation has three parts") };
        let list = &mut lists[key.as_int().unwrap() as usize];
        if name.as_text() == Some("append") {
            list.push(value.clone());
        } else if is_ok && value.as_list().unwrap() != &list[..] {
            return None;
        }
    }
    Some(lists)
}

fn lists_have_order(history: &History) -> bool {
    has_order(history, Lists::default(), apply_lists)
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

    #[test]
    fn lists_called_invalid_have_no_order((shuffle, plans) in list_plans()) {
        let history = list_history(&shuffle, &plans, false);
        let verdict = lists::check(&history).unwrap();
        prop_assert!(verdict.is_valid() || !lists_have_order(&history), "{}", verdict);
    }

    #[test]
    fn lists_all_read_at_the_end_are_judged_as_by_brute_force((shuffle, plans) in list_plans()) {
        let history = list_history(&shuffle, &plans, true);
        let verdict = lists::check(&history).unwrap();
        prop_assert_eq!(verdict.is_valid(), lists_have_order(&history), "{}", verdict);
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
