use proptest::prelude::*;
use tenet_checker::checks::run;
use tenet_checker::checks::staleness::{Options, Staleness, Wrong};
use tenet_histories::{Operation, Outcome, Value};

use crate::causal::random;
use crate::random::{NIL, bytes};

struct Access {
    key: Value,
    write: Option<Value>,
    shown: Value,
    begun: (i64, usize),
    ended: Option<(i64, usize)>,
}

/// Whether some order has each read show the last write of its key, and whatever had ended stand before what begins later.
fn has_order(all: &[&Access], placed: &mut Vec<usize>) -> bool {
    // What never ended may be left out, and would help nobody then.
    if (0..all.len()).all(|at| placed.contains(&at) || all[at].ended.is_none()) {
        return true;
    }
    for at in 0..all.len() {
        let is_early =
            |other: usize| !placed.contains(&other) && all[other].ended.is_some_and(|ended| ended < all[at].begun);
        if placed.contains(&at) || (0..all.len()).any(is_early) {
            continue;
        }
        let last = placed.iter().rev().find_map(|other| all[*other].write.clone()).unwrap_or_default();
        if all[at].write.is_none() && all[at].shown != last {
            continue;
        }
        placed.push(at);
        if has_order(all, placed) {
            return true;
        }
        placed.pop();
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_all_orders(bytes in bytes(110), clients in 2..4u32, age_ms in 0..6i64, versions_max in 0..3u64) {
        let history = random(&bytes, clients, 7);
        let age_ns = age_ms * 1_000_000;
        let operations = history.operations().unwrap();
        let is_read = |o: &Operation<'_>| o.call.function == "read";
        let counts = |o: &&Operation<'_>| o.is_ok() || !is_read(o) && o.outcome() == Outcome::Unknown;
        let all: Vec<Access> = operations.iter().filter(counts).map(|o| {
            let sooner = if is_read(o) { age_ns } else { 0 };
            Access {
                key: o.call.key.clone(),
                write: (!is_read(o)).then(|| o.call.value.clone()),
                shown: o.answer().clone(),
                begun: (o.invoke_ns as i64 - sooner, if sooner == 0 { o.invoke_event } else { 0 }),
                ended: o.return_event().map(|event| (o.completed.unwrap().time_ns as i64, event)),
            }
        }).collect();
        let check = |options| run(Staleness::new(options), &history).unwrap();
        let report = check(Options { age_ns_max: Some(age_ns as u64), ..Options::default() });
        if report.violations.iter().any(|wrong| matches!(wrong, Wrong::ThinAir(_))) {
            return Ok(());
        }
        let keys = [Value::from(0), Value::from(1)];
        let of = |key: &Value| all.iter().filter(|access| access.key == *key).collect::<Vec<_>>();
        prop_assert_eq!(report.violations.is_empty(), keys.iter().all(|key| has_order(&of(key), &mut Vec::new())), "{}", report);
        // Versions: those that began after the value was there for sure, and were there for sure before the read began.
        let mut too_many = Vec::new();
        for read in operations.iter().filter(|o| is_read(o) && o.is_ok()) {
            let there = |value: &Value| {
                let shows = |o: &&Operation<'_>| o.is_ok() && o.call.key == read.call.key && if is_read(o) { o.answer() == value } else { o.call.value == *value };
                operations.iter().filter(shows).filter_map(|o| o.return_event()).min()
            };
            let from = if *read.answer() == NIL { None } else { there(read.answer()) };
            let is_newer = |o: &&Operation<'_>| {
                let is_write = !is_read(o) && o.call.key == read.call.key && o.outcome() != Outcome::Fail;
                is_write && from.is_none_or(|from| from < o.invoke_event) && there(&o.call.value).is_some_and(|at| at < read.invoke_event)
            };
            if operations.iter().filter(is_newer).count() as u64 > versions_max {
                too_many.push(read.index);
            }
        }
        let report = check(Options { versions_max: Some(versions_max), ..Options::default() });
        let mut found: Vec<usize> = report.violations.iter().flat_map(tenet_checker::checks::Violation::operations).collect();
        found.sort_unstable();
        prop_assert_eq!(found, too_many);
    }
}
