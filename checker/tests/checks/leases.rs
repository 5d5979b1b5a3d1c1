use proptest::prelude::*;
use tenet_checker::checks::leases::{Leases, Options};
use tenet_checker::checks::run;
use tenet_histories::{History, Operation, Outcome, Value};

use crate::random::{NIL, bytes, call, history, kinds, precedes, sorted};

/// Mostly an honest lock whose tokens grow.
fn random(bytes: &[u8]) -> History {
    history::<(Option<u32>, i64)>(
        bytes,
        3,
        10,
        |(holder, token), choices, process| match choices.below(6) {
            0 => call("use", NIL, *token - choices.int(0, 1)),
            1 => call("renew", NIL, NIL),
            2 | 3 if *holder == Some(process.0) => {
                *holder = None;
                call("release", NIL, NIL)
            }
            _ => call(
                "acquire",
                NIL,
                if choices.below(3) == 0 { Value::map([("lease_ns", 4_000_000.into())]) } else { NIL },
            ),
        },
        |(holder, token), choices, asked| match asked.function.as_ref() {
            "acquire" if holder.is_none() || choices.below(6) == 0 => {
                *token += choices.int(0, 4).min(1);
                (*token).into()
            }
            "acquire" => false.into(),
            "renew" => (choices.below(3) == 0).into(),
            _ => NIL,
        },
    )
}

fn slow(history: &History, options: &Options) -> Vec<&'static str> {
    let operations = history.operations().unwrap();
    let is_true = |o: &&Operation<'_>| o.is_ok() && *o.answer() != Value::Bool(false);
    let named =
        |names: &'static [&'static str]| operations.iter().filter(move |o| names.contains(&o.call.function.as_ref()));
    let held_at = |hold: &Operation<'_>, at: usize, ns: u64| {
        let lease = hold.call.value.field("lease_ns").and_then(Value::as_int).map(|ns| ns as u64).or(options.lease_ns);
        let is_over = named(&["acquire", "release"]).any(|end| {
            let is_end = end.call.function == "acquire" || end.outcome() != Outcome::Fail;
            is_end && end.process == hold.process && end.index > hold.index && end.invoke_event <= at
        });
        let in_time = lease.is_none_or(|lease| ns < hold.invoke_ns + lease - options.clock_uncertainty_ns.min(lease));
        hold.completed.unwrap().event <= at && !is_over && in_time
    };
    let holds: Vec<_> = named(&["acquire", "renew"]).filter(is_true).collect();
    let mut found = Vec::new();
    for (at, event) in history.events.iter().enumerate() {
        let holders = holds.iter().filter(|hold| held_at(hold, at, event.time_ns));
        let mut processes: Vec<_> = holders.map(|hold| hold.process).collect();
        processes.sort_unstable();
        processes.dedup();
        if processes.len() > 1 {
            found.push("held-by-two");
        }
    }
    let acquires: Vec<_> = named(&["acquire"]).filter(is_true).collect();
    for (one, two) in acquires.iter().flat_map(|one| acquires.iter().map(move |two| (one, two))) {
        if one.index != two.index && (one.answer() == two.answer() || precedes(one, two) && one.answer() > two.answer())
        {
            found.push("token-not-greater");
        }
    }
    let uses: Vec<_> = named(&["use"]).filter(is_true).collect();
    for (one, two) in uses.iter().flat_map(|one| uses.iter().map(move |two| (one, two))) {
        if precedes(one, two) && one.call.value > two.call.value {
            found.push("stale-token-taken");
        }
    }
    sorted(found)
}

proptest! {
    #[test]
    fn agrees_with_each_moment(bytes in bytes(120), lease in any::<bool>(), uncertain in any::<bool>()) {
        let options = Options {
            lease_ns: lease.then_some(6_000_000),
            clock_uncertainty_ns: if uncertain { 1_500_000 } else { 0 },
        };
        let history = random(&bytes);
        prop_assert_eq!(kinds(&run(Leases::new(options.clone()), &history).unwrap()), slow(&history, &options));
    }
}
