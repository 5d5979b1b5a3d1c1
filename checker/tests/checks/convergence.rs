use std::collections::BTreeSet;

use proptest::prelude::*;
use tenet_checker::checks::convergence::{Convergence, Options};
use tenet_checker::checks::run;
use tenet_histories::{History, Operation, Outcome, Value};

use crate::random::{NIL, bytes, call, history, kinds, may_precede, precedes, sorted};

/// Reads tell what they have seen, or only a state.
fn random(bytes: &[u8]) -> History {
    history::<i64>(
        bytes,
        3,
        9,
        |next, choices, _| {
            if choices.below(2) == 0 {
                return call("read", NIL, NIL);
            }
            *next += 1;
            call("update", NIL, *next)
        },
        |next, choices, asked| {
            if asked.function == "update" {
                return NIL;
            }
            let seen: Vec<i64> =
                (1..=*next + i64::from(choices.below(20) == 0)).filter(|_| choices.below(5) > 0).collect();
            let state = Value::from(seen.iter().sum::<i64>() + i64::from(choices.below(12) == 0));
            if choices.below(3) == 0 {
                return Value::from(choices.int(0, 1));
            }
            Value::map([("replica", choices.int(1, 2).into()), ("seen", seen.into()), ("state", state)])
        },
    )
}

fn slow(history: &History, quiet_ns: Option<u64>) -> (Vec<&'static str>, bool) {
    let operations = history.operations().unwrap();
    let updates: Vec<_> =
        operations.iter().filter(|o| o.call.function == "update" && o.outcome() != Outcome::Fail).collect();
    let reads: Vec<_> = operations.iter().filter(|o| o.call.function == "read" && o.is_ok()).collect();
    let seen = |read: &Operation<'_>| -> Option<BTreeSet<Value>> {
        Some(read.answer().field("seen")?.as_list()?.iter().cloned().collect())
    };
    let mut found = Vec::new();
    let mut is_undecided = false;
    let is_last = |read: &Operation<'_>| {
        let after = |update: &&Operation<'_>| {
            precedes(update, read) && read.invoke_ns >= update.completed.unwrap().time_ns + quiet_ns.unwrap_or(0)
        };
        quiet_ns.is_some() && updates.iter().filter(|update| update.is_ok()).all(after)
    };
    for one in &reads {
        for update in seen(one).into_iter().flatten() {
            if !updates.iter().any(|u| u.call.value == update && may_precede(u, one)) {
                found.push("invented");
            }
        }
        if is_last(one)
            && let Some(seen) = seen(one)
            && updates.iter().any(|update| update.is_ok() && !seen.contains(&update.call.value))
        {
            found.push("never-seen");
        }
        for two in &reads {
            if let (Some(first), Some(second)) = (seen(one), seen(two)) {
                if first == second && one.answer().field("state") != two.answer().field("state") {
                    found.push("diverged");
                }
                let is_same = one.answer().field("replica") == two.answer().field("replica");
                if is_same && precedes(one, two) && !first.is_subset(&second) {
                    found.push("forgotten");
                }
            }
            let is_untold = seen(one).is_none() && seen(two).is_none();
            if is_untold && is_last(one) && is_last(two) && one.answer() != two.answer() {
                match updates.iter().all(|update| update.is_ok()) {
                    true => found.push("diverged-in-the-end"),
                    false => is_undecided = true,
                }
            }
        }
    }
    (sorted(found), is_undecided)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_all_pairs(bytes in bytes(160), quiet in 0..3u64) {
        let quiet_ns = quiet.checked_sub(1).map(|quiet| quiet * 2_000_000);
        let history = random(&bytes);
        let report = run(Convergence::new(Options { quiet_ns }), &history).unwrap();
        prop_assert_eq!((kinds(&report), !report.undecided.is_empty()), slow(&history, quiet_ns), "{}", report);
    }
}
