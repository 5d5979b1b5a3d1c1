use std::collections::BTreeSet;

use proptest::prelude::*;
use tenet_checker::checks::queue::{Options, Queue};
use tenet_checker::checks::run;
use tenet_histories::{History, Operation, Outcome, Value};

use crate::random::{NIL, bytes, call, history, kinds, precedes, sorted};

/// Mostly an honest queue that now and then forgets, repeats and invents.
fn random(bytes: &[u8]) -> History {
    history::<Vec<i64>>(
        bytes,
        4,
        12,
        |inside, choices, _| match choices.below(6) {
            0 => call("drain", NIL, NIL),
            1 | 2 => call("dequeue", NIL, NIL),
            _ => {
                let element = choices.int(1, 6);
                inside.push(element);
                call("enqueue", NIL, element)
            }
        },
        |inside, choices, asked| match asked.function.as_ref() {
            "dequeue" if choices.below(20) == 0 => choices.int(1, 6).into(),
            "dequeue" => inside.pop().map_or(NIL, Value::from),
            "drain" => {
                inside.truncate(inside.len() - usize::from(choices.below(4) == 0 && !inside.is_empty()));
                std::mem::take(inside).into()
            }
            _ => NIL,
        },
    )
}

fn taken<'h>(operation: &Operation<'h>) -> Vec<&'h Value> {
    match (operation.is_ok(), operation.call.function.as_ref()) {
        (true, "dequeue") if !operation.answer().is_nil() => vec![operation.answer()],
        (true, "drain") => operation.answer().as_list().unwrap().iter().collect(),
        _ => Vec::new(),
    }
}

fn slow(history: &History) -> (Vec<&'static str>, bool) {
    let operations = history.operations().unwrap();
    let mut found = Vec::new();
    let enqueues = |element: &Value| -> Vec<&Operation<'_>> {
        let is_one = |o: &&Operation<'_>| {
            o.call.function == "enqueue" && o.call.value == *element && o.outcome() != Outcome::Fail
        };
        operations.iter().filter(is_one).collect()
    };
    let takes = |element: &Value| operations.iter().flat_map(|o| taken(o)).filter(|e| *e == element).count();
    for (operation, element) in operations.iter().flat_map(|o| taken(o).into_iter().map(move |e| (o, e))) {
        let enqueues = enqueues(element);
        if enqueues.is_empty() {
            found.push("invented");
        } else if enqueues.iter().all(|enqueue| precedes(operation, enqueue)) {
            found.push("taken-before-enqueued");
        }
    }
    let all: BTreeSet<Value> = (0..8).map(Value::from).collect();
    for element in &all {
        let early =
            operations.iter().any(|o| taken(o).contains(&element) && enqueues(element).iter().all(|e| precedes(o, e)));
        if !early && takes(element) > enqueues(element).len() {
            found.push("duplicated");
        }
    }
    let count = |function: &str| {
        operations.iter().filter(|o| o.call.function == function && o.outcome() == Outcome::Unknown).count()
    };
    let drains: Vec<_> = operations.iter().filter(|o| o.call.function == "drain" && o.is_ok()).collect();
    let left = |is_in: &dyn Fn(&Operation<'_>) -> bool| -> usize {
        let inside = |element: &Value| enqueues(element).into_iter().filter(|e| e.is_ok() && is_in(e)).count();
        all.iter().map(|element| inside(element).saturating_sub(takes(element))).sum()
    };
    if count("drain") == 0 && drains.iter().any(|drain| left(&|enqueue| precedes(enqueue, drain)) > count("dequeue")) {
        found.push("lost");
    }
    (sorted(found), drains.is_empty() && left(&|_| true) > 0)
}

proptest! {
    #[test]
    fn agrees_with_counting(bytes in bytes(120)) {
        let history = random(&bytes);
        let report = run(Queue::new(Options::default()), &history).unwrap();
        prop_assert_eq!((kinds(&report), !report.undecided.is_empty()), slow(&history));
    }
}
