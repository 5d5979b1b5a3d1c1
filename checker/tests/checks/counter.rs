use proptest::prelude::*;
use tenet_checker::checks::counter::Counter;
use tenet_checker::checks::run;
use tenet_histories::{History, Operation, Outcome, Value};

use crate::random::{NIL, bytes, call, history, may_precede, precedes};

fn random(bytes: &[u8], is_unit: bool) -> History {
    history::<i64>(
        bytes,
        4,
        12,
        |sum, choices, _| match choices.below(4) {
            0 => call("read", NIL, NIL),
            1 => call("inc", NIL, NIL),
            2 if is_unit => call("dec", NIL, NIL),
            2 => call("dec", NIL, choices.int(0, 4)),
            _ => {
                let delta = if is_unit { 1 } else { choices.int(-5, 5) };
                *sum += delta;
                call("add", NIL, delta)
            }
        },
        |sum, choices, _| (*sum + choices.int(-3, 3)).into(),
    )
}

fn delta(operation: &Operation<'_>) -> i64 {
    match (operation.call.function.as_ref(), &operation.call.value) {
        ("inc", Value::Nil) => 1,
        ("dec", Value::Nil) => -1,
        ("dec", value) => -value.as_int().unwrap(),
        (_, value) => value.as_int().unwrap(),
    }
}

/// Reads that no choice of open additions explains.
fn slow(history: &History) -> Vec<usize> {
    let operations = history.operations().unwrap();
    let adds: Vec<_> =
        operations.iter().filter(|o| o.call.function != "read" && o.outcome() != Outcome::Fail).collect();
    let is_wrong = |read: &&Operation<'_>| {
        let certain: i64 = adds.iter().filter(|add| precedes(add, read)).map(|add| delta(add)).sum();
        let open: Vec<i64> =
            adds.iter().filter(|add| !precedes(add, read) && may_precede(add, read)).map(|add| delta(add)).collect();
        let sum =
            |choice: u32| certain + (0..open.len()).filter(|at| choice >> at & 1 == 1).map(|at| open[at]).sum::<i64>();
        (0..1u32 << open.len()).all(|choice| read.answer().as_int() != Some(sum(choice)))
    };
    operations
        .iter()
        .filter(|o| o.call.function == "read" && o.is_ok())
        .filter(is_wrong)
        .map(|read| read.index)
        .collect()
}

proptest! {
    #[test]
    fn agrees_with_all_sums(bytes in bytes(100), is_unit in any::<bool>()) {
        let history = random(&bytes, is_unit);
        let found: Vec<usize> = run(Counter::new(0), &history).unwrap().violations.iter().map(|wrong| wrong.read.number).collect();
        prop_assert_eq!(found, slow(&history));
    }
}
