use proptest::prelude::*;
use tenet_checker::checks::run;
use tenet_checker::checks::set::{Options, Set};
use tenet_histories::{History, Operation, Outcome, Value};

use crate::random::{NIL, bytes, call, history, kinds, precedes, sorted};

/// Reads show most of what was asked for so far.
fn random(bytes: &[u8]) -> History {
    history::<i64>(
        bytes,
        4,
        12,
        |next, choices, _| {
            if choices.below(2) == 0 {
                return call("read", NIL, NIL);
            }
            *next += i64::from(choices.below(4) > 0);
            call("add", NIL, *next)
        },
        |next, choices, _| {
            let mut list: Vec<Value> = (1..=*next).filter(|_| choices.below(5) > 0).map(Value::from).collect();
            match choices.below(30) {
                0 => list.push((*next + 1).into()),
                1 if !list.is_empty() => list.push(list[0].clone()),
                _ => {}
            }
            list.into()
        },
    )
}

fn shows(read: &Operation<'_>, element: &Value) -> bool {
    read.answer().as_list().is_some_and(|list| list.contains(element))
}

fn slow(history: &History) -> Vec<&'static str> {
    let operations = history.operations().unwrap();
    let reads: Vec<_> = operations.iter().filter(|o| o.is_ok() && o.call.function == "read").collect();
    let mut found = Vec::new();
    for element in (0..20).map(Value::from) {
        let adds = |wanted: &'static [Outcome]| {
            let element = element.clone();
            operations
                .iter()
                .filter(move |o| o.call.function == "add" && o.call.value == element && wanted.contains(&o.outcome()))
        };
        let showing: Vec<_> = reads.iter().filter(|read| shows(read, &element)).collect();
        if reads.iter().any(|read| read.answer().as_list().unwrap().iter().filter(|e| **e == element).count() > 1) {
            found.push("duplicated");
        }
        let possible: Vec<_> = adds(&[Outcome::Ok, Outcome::Unknown]).collect();
        if !showing.is_empty() && possible.is_empty() {
            found.push("invented");
            continue;
        }
        if showing.iter().any(|read| possible.iter().all(|add| precedes(read, add))) {
            found.push("read-before-added");
            continue;
        }
        let knowing: Vec<_> = adds(&[Outcome::Ok]).chain(showing.iter().map(|read| **read)).collect();
        let should = |read: &Operation<'_>| knowing.iter().any(|known| precedes(known, read));
        let missing: Vec<_> = reads.iter().filter(|read| should(read) && !shows(read, &element)).collect();
        if missing.iter().any(|read| showing.iter().all(|shown| precedes(shown, read))) {
            found.push("lost");
        } else if !missing.is_empty() {
            found.push("stale");
        }
    }
    sorted(found)
}

proptest! {
    #[test]
    fn agrees_with_each_element(bytes in bytes(200)) {
        let history = random(&bytes);
        let of = |linearizable| run(Set::new(Options { linearizable }), &history).unwrap();
        let found = slow(&history);
        prop_assert_eq!(kinds(&of(true)), found.clone());
        prop_assert_eq!(kinds(&of(false)), found.into_iter().filter(|kind| *kind != "stale").collect::<Vec<_>>());
    }
}
