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
    let offsets: Vec<i64> = (0..40).filter(|offset| holder(*offset).is_some()).collect();
    let untold = |low: i64, high: i64| (low..high).filter(|offset| holder(*offset).is_none()).count();
    let homeless = |record: i64| {
        let attempts = sends.iter().filter(|o| o.call.value == Value::from(record)).count();
        attempts.saturating_sub(offsets.iter().filter(|offset| holder(**offset) == Some(record)).count())
    };
    let homeless: usize = (0..40).map(homeless).sum();
    if options.dense && offsets.first().is_some_and(|first| untold(*first, *offsets.last().unwrap()) > homeless) {
        found.push("gap");
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

/// Kafka's partitions are numbers, which JSON cannot have as keys.
#[test]
fn a_partition_that_is_the_key_of_a_map_in_json_is_its_number() {
    let text = |polled: i64| {
        format!(
            r#"{{"type":"invoke","f":"send","value":[["send",0,1]],"process":0}}
{{"type":"ok","f":"send","value":[["send",0,[0,1]]],"process":0}}
{{"type":"invoke","f":"poll","value":[["poll"]],"process":1}}
{{"type":"ok","f":"poll","value":[["poll",{{"0":[[0,{polled}]]}}]],"process":1}}
"#
        )
    };
    for (polled, kinds_found) in [(1, vec![]), (2, vec!["invented", "two-records-at-one-offset"])] {
        let history = tenet_histories::read(text(polled).as_bytes(), "history").unwrap().history;
        let report = run(Log::new(Options::default()), &history).unwrap();
        assert_eq!(kinds(&report), kinds_found, "{report}");
    }
}

#[test]
fn offsets_that_nobody_can_have_got_are_a_gap_where_offsets_are_dense() {
    let text = |unknown: usize| {
        let mut text = String::from(
            r#"{"tenet-history": 2, "workload": "partition-log"}
{"time_ns": 10, "type": "invoke", "process": 0, "f": "send", "key": "p", "value": "a"}
{"time_ns": 20, "type": "ok", "process": 0, "value": 0}
{"time_ns": 30, "type": "invoke", "process": 0, "f": "send", "key": "p", "value": "b"}
{"time_ns": 40, "type": "ok", "process": 0, "value": 5}
"#,
        );
        for process in 1..=unknown {
            let value = format!(r#""f": "send", "key": "p", "value": "c{process}""#);
            text.push_str(&format!(r#"{{"time_ns": 50, "type": "invoke", "process": {process}, {value}}}"#));
            text.push('\n');
        }
        text
    };
    let options = Options { dense: true, from_start: false };
    for (unknown, kinds_found) in [(0, vec!["gap"]), (3, vec!["gap"]), (4, vec![])] {
        let history = tenet_histories::read(text(unknown).as_bytes(), "history").unwrap().history;
        let report = run(Log::new(options.clone()), &history).unwrap();
        assert_eq!(kinds(&report), kinds_found, "{unknown}: {report}");
    }
}
