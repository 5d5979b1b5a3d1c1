use proptest::prelude::*;
use tenet_checker::checks::log::{Log, Options};
use tenet_checker::checks::run;
use tenet_histories::{History, Operation, Outcome, Process, Value};

use crate::random::{NIL, bytes, call, history, kinds, precedes, sorted};

/// Mostly an honest log of one partition: records are numbers, at offsets from 0.
#[derive(Default)]
struct Honest {
    next: i64,
    log: Vec<i64>,
    at: [usize; 4],
}

fn random(bytes: &[u8]) -> History {
    history::<Honest>(
        bytes,
        4,
        14,
        |honest, choices, Process(process)| match choices.below(9) {
            0 => call("assign", NIL, NIL),
            1 if choices.below(3) == 0 => call("subscribe", NIL, NIL),
            1..5 => call("poll", NIL, i64::from(process)),
            _ => {
                honest.next += i64::from(choices.below(16) > 0);
                honest.log.push(honest.next);
                call("send", "p", honest.next)
            }
        },
        |honest, choices, asked| match asked.function.as_ref() {
            "send" => {
                let at = honest.log.iter().position(|record| asked.value == Value::from(*record)).unwrap() as i64;
                match choices.below(10) {
                    0 => NIL,
                    1 => (at + choices.int(0, 2)).into(),
                    _ => at.into(),
                }
            }
            "poll" => {
                let client = asked.value.as_int().unwrap() as usize;
                let from = (honest.at[client] + choices.below(8) / 6).saturating_sub(choices.below(8) / 7);
                let to = (from + choices.below(4)).min(honest.log.len());
                let mut records = Vec::new();
                for at in from..to.max(from) {
                    if choices.below(10) > 0 {
                        let record = honest.log[at] + i64::from(choices.below(24) == 0);
                        records.push(Value::from(vec![at as i64, record]));
                    }
                }
                honest.at[client] = to.max(from);
                Value::List(vec![Value::List(vec!["p".into(), Value::List(records)])])
            }
            _ => NIL,
        },
    )
}

fn polled(operation: &Operation<'_>) -> Vec<(i64, i64)> {
    if operation.call.function != "poll" || !operation.is_ok() {
        return Vec::new();
    }
    let records = operation.answer().as_list().unwrap()[0].as_list().unwrap()[1].as_list().unwrap();
    let int = |pair: &Value, at: usize| pair.as_list().unwrap()[at].as_int().unwrap();
    records.iter().map(|pair| (int(pair, 0), int(pair, 1))).collect()
}

fn slow(history: &History, options: &Options) -> Vec<&'static str> {
    let operations = history.operations().unwrap();
    let sends: Vec<_> =
        operations.iter().filter(|o| o.call.function == "send" && o.outcome() != Outcome::Fail).collect();
    let acknowledged: Vec<(&Operation<'_>, i64)> =
        sends.iter().filter(|o| o.is_ok()).filter_map(|o| Some((*o, o.answer().as_int()?))).collect();
    // In the order in which they were told: offsets keep what was told first.
    let mut told: Vec<(usize, i64, i64)> = Vec::new();
    for (send, offset) in &acknowledged {
        told.push((send.completed.unwrap().event, *offset, send.call.value.as_int().unwrap()));
    }
    for poll in &operations {
        told.extend(polled(poll).iter().map(|(offset, record)| (poll.completed.unwrap().event, *offset, *record)));
    }
    told.sort_by_key(|(event, _, _)| *event);
    let mut found = Vec::new();
    let holder = |offset: i64| told.iter().find(|(_, at, _)| *at == offset).map(|(_, _, record)| *record);
    if told.iter().any(|(_, offset, record)| holder(*offset) != Some(*record)) {
        found.push("two-records-at-one-offset");
    }
    for record in 0..40 {
        let of = |o: &&&Operation<'_>| o.call.value == Value::from(record);
        let attempts: Vec<_> = sends.iter().filter(of).collect();
        let polls: Vec<_> = operations.iter().filter(|o| polled(o).iter().any(|(_, there)| *there == record)).collect();
        if !polls.is_empty() && attempts.is_empty() {
            found.push("invented");
        } else if polls.iter().any(|poll| attempts.iter().all(|send| precedes(poll, send))) {
            found.push("polled-before-sent");
        } else if (0..40).filter(|offset| holder(*offset) == Some(record)).count() > attempts.len() {
            found.push("duplicated");
        }
    }
    for (one, first) in &acknowledged {
        if acknowledged.iter().any(|(two, second)| precedes(one, two) && first >= second) {
            found.push("sent-out-of-order");
        }
    }
    let is_kept = |(offset, record): &(i64, i64)| holder(*offset) == Some(*record);
    let all: Vec<i64> = operations.iter().flat_map(polled).filter(is_kept).map(|(offset, _)| offset).collect();
    for process in (0..4).map(Process) {
        let (mut last, mut is_subscribed): (Option<i64>, bool) = (None, false);
        for operation in operations.iter().filter(|o| o.process == process) {
            match operation.call.function.as_ref() {
                "assign" | "subscribe" => (last, is_subscribed) = (None, operation.call.function == "subscribe"),
                "poll" if !operation.is_ok() => last = None,
                "poll" => {
                    let mut is_first = !is_subscribed && last.is_none();
                    last = last.filter(|_| !is_subscribed);
                    for (offset, _) in polled(operation) {
                        if last.is_some_and(|last| offset <= last) {
                            found.push("polled-out-of-order");
                        }
                        let from = last.map(|last| last + 1).or((is_first && options.from_start).then_some(0));
                        let passed: Vec<i64> = from.map_or(Vec::new(), |from| (from..offset).collect());
                        let known: Vec<&i64> = passed.iter().filter(|at| holder(**at).is_some()).collect();
                        if known.iter().any(|at| !all.contains(at)) {
                            found.push("lost");
                        } else if !known.is_empty() {
                            found.push("skipped");
                        } else if !passed.is_empty() && options.dense {
                            found.push("gap");
                        }
                        (last, is_first) = (Some(offset), false);
                    }
                }
                _ => {}
            }
        }
    }
    sorted(found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_each_record(bytes in bytes(200), dense in any::<bool>(), from_start in any::<bool>()) {
        let history = random(&bytes);
        let options = Options { dense, from_start };
        let report = run(Log::new(options.clone()), &history).unwrap();
        prop_assert_eq!(kinds(&report), slow(&history, &options), "{}", report);
    }
}
