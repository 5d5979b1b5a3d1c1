//! `read(write(h)) == h`, for histories that the format can say; and each is recognised for what it is.

use std::io::Cursor;

use proptest::prelude::*;

use super::arbitrary::*;
use crate::*;

fn written(history: &History, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_as(history, format, &mut bytes, "h", &WriteOptions::default())
        .unwrap_or_else(|error| panic!("{format}: {error}\n{history:?}"));
    bytes
}

fn check(history: &History, format: Format) -> Result<(), TestCaseError> {
    let bytes = written(history, format);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let reading = format.source(Cursor::new(&bytes), "h").and_then(|mut source| collect(source.as_mut()));
    let reading = reading.unwrap_or_else(|error| panic!("{error}\n{text}"));
    prop_assert!(reading.truncated.is_none(), "{:?}\n{}", reading.truncated, text);
    prop_assert_eq!(&reading.history.header, &history.header, "{}", &text);
    for (position, (found, expected)) in reading.history.events.iter().zip(&history.events).enumerate() {
        prop_assert_eq!(found, expected, "event {} of\n{}", position, &text);
    }
    prop_assert_eq!(reading.history.events.len(), history.events.len(), "{}", &text);
    if !history.events.is_empty() {
        prop_assert_eq!(recognise(&bytes, "h").unwrap(), format, "{}", &text);
    }
    Ok(())
}

fn any_history() -> impl Strategy<Value = History> {
    let events = prop::collection::vec((0u64..1000, any_what(), any_extra()), 0..8);
    (any_header(), events, 0..u64::MAX / 2).prop_map(|(header, steps, start)| {
        let mut time_ns = start;
        let event = |(step, what, extra)| {
            time_ns += step;
            Event { time_ns, what, extra }
        };
        History { header, events: steps.into_iter().map(event).collect() }
    })
}

fn any_text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("a name", |name| !name.is_empty())
}

fn edn() -> Dialect {
    Dialect {
        value: any_value().boxed(),
        function: any_text().boxed(),
        fault: any_text().boxed(),
        process_name: prop_oneof![any_name().prop_map(Value::Keyword), Just(Value::Nil), Just(Value::Int(-1))].boxed(),
        rich: true,
        times: true,
    }
}

fn elle() -> Dialect {
    let process_name = any_text().prop_filter("no nemesis", |name| name != "nemesis").prop_map(Value::Text);
    Dialect { value: any_json_value().boxed(), process_name: process_name.boxed(), ..edn() }
}

fn log() -> Dialect {
    let value = any_value().prop_filter("no error", |value| !matches!(value, Value::Keyword(_)));
    Dialect {
        value: value.boxed(),
        function: any_name().boxed(),
        fault: any_name().boxed(),
        process_name: any_name().prop_map(Value::Keyword).boxed(),
        rich: false,
        times: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn json_lines(history in any_history()) {
        check(&history, Format::JsonLines)?;
        let bytes = written(&history, Format::JsonLines);
        prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), history.events.len() + 1);
    }

    #[test]
    fn binary(history in any_history()) {
        check(&history, Format::Binary)?;
    }

    #[test]
    fn jepsen_edn(header in any_header(), events in any_sound_history(edn())) {
        check(&History { header, events }, Format::JepsenEdn)?;
    }

    #[test]
    fn elle_json(events in any_sound_history(elle())) {
        check(&History { header: Header::default(), events }, Format::ElleJson)?;
    }

    #[test]
    fn jepsen_log(events in any_sound_history(log()), errors in prop::collection::vec(any_name(), 16)) {
        let mut events = events;
        for (event, error) in events.iter_mut().zip(errors) {
            let What::Complete { completion, .. } = &mut event.what else { continue };
            if completion.outcome != Outcome::Ok && error.len() > 2 {
                // As Jepsen writes errors, and as we do.
                if error.len() > 4 {
                    completion.error = Some(error);
                } else {
                    event.extra.insert("error", Value::Keyword(error));
                }
            }
        }
        check(&History { header: Header::default(), events }, Format::JepsenLog)?;
    }

    #[test]
    fn porcupine_kv(steps in prop::collection::vec((0u32..4, 0u8..3, "[^\"\\\\\\p{Cc}]{0,4}", "[^\"\\\\\\p{Cc}]{0,4}"), 0..16)) {
        let mut open = std::collections::BTreeSet::new();
        let mut functions_of = std::collections::BTreeMap::new();
        let mut events = Vec::new();
        for (process, function, key, value) in steps {
            let process = Process(process);
            let function = [functions::GET, functions::PUT, functions::APPEND][function as usize];
            let what = if open.insert(process) {
                functions_of.insert(process, function);
                let value = if function == functions::GET { Value::Nil } else { value.into() };
                What::Invoke { process, call: Call { function: function.into(), key: key.into(), value } }
            } else {
                open.remove(&process);
                let get = functions_of[&process] == functions::GET;
                What::Complete { process, completion: Completion::ok(if get { value.into() } else { Value::Nil }) }
            };
            events.push(Event::new(events.len() as u64, what));
        }
        let header = Header { workload: String::new(), facts: [("initial".to_string(), "".into())].into() };
        check(&History { header, events }, Format::PorcupineKv)?;
    }

    #[test]
    fn etcd_json(history in any_etcd_history()) {
        check(&history, Format::EtcdJson)?;
    }

    #[test]
    fn polysi_text(history in any_polysi_history()) {
        check(&history, Format::PolysiText)?;
    }

    #[test]
    fn dbcop_text(history in any_dbcop_history()) {
        check(&history, Format::DbcopText)?;
    }
}

/// Each client asks and is answered at times of its own; one that got no answer is not heard of again.
fn any_etcd_history() -> impl Strategy<Value = History> {
    let stored = prop_oneof![
        any::<String>().prop_map(Value::Text),
        (1i64..100).prop_map(|hash| Value::Tagged("etcd/hash".into(), Box::new(Value::Int(hash)))),
    ];
    let raw = Value::map([("LeaseGrant", Value::map([("LeaseID", 7.into())]))]);
    let step = (0usize..3, 0u8..4, any::<String>(), stored, 0u8..8, 1u64..100);
    prop::collection::vec(step, 0..16).prop_map(move |steps| {
        let mut clients = [0u32, 1, 2].map(Process);
        let mut open: [Option<String>; 3] = [None, None, None];
        let mut events: Vec<Event> = Vec::new();
        for (client, function, key, value, outcome, revision) in steps {
            let (process, time_ns) = (clients[client], events.len() as u64 * 10);
            let function = [functions::GET, functions::PUT, "delete", "etcd-leaseGrant"][function as usize];
            let Some(asked) = open[client].take() else {
                let key = if function == "etcd-leaseGrant" { Value::Nil } else { key.as_str().into() };
                let value = match function {
                    functions::PUT => value,
                    "etcd-leaseGrant" => raw.clone(),
                    _ => Value::Nil,
                };
                let call = Call { function: function.into(), key, value };
                events.push(Event::new(time_ns, What::Invoke { process, call }));
                if outcome == 0 {
                    // Unknown as soon as it was asked, by a client that is another one from now on.
                    let completion = Completion { error: Some("gone".into()), ..Completion::new(Outcome::Unknown) };
                    let mut event = Event::new(time_ns, What::Complete { process, completion });
                    if revision > 90 {
                        event.extra.insert("Persisted", Value::Bool(true));
                    }
                    events.push(event);
                    clients[client] = Process(process.0 + 3);
                } else {
                    open[client] = Some(function.to_string());
                }
                continue;
            };
            let mut event = Event::new(time_ns, What::Phase { name: String::new(), calm: true });
            let completion = match (outcome, asked.as_str()) {
                (1, _) => Completion { error: Some("no such revision".into()), ..Completion::new(Outcome::Fail) },
                (2, functions::GET) => Completion { read_timestamp: Some(revision), ..Completion::ok(Value::Nil) },
                (_, functions::GET) => {
                    event.extra.insert("mod_revision", Value::Int(revision as i64));
                    Completion { read_timestamp: Some(revision), ..Completion::ok(value) }
                }
                (_, functions::PUT) => Completion { commit_timestamp: Some(revision), ..Completion::ok(Value::Nil) },
                (2, "delete") => Completion { read_timestamp: Some(revision), ..Completion::ok(Value::Int(0)) },
                (_, "delete") => Completion { commit_timestamp: Some(revision), ..Completion::ok(Value::Int(1)) },
                _ => Completion::ok(Value::map([("Revision", Value::Int(revision as i64))])),
            };
            event.what = What::Complete { process, completion };
            events.push(event);
        }
        // Who is never answered has no place in this format.
        let unanswered: Vec<Process> =
            (0..3).filter(|client| open[*client].is_some()).map(|client| clients[client]).collect();
        for process in unanswered {
            let time_ns = events.len() as u64 * 10;
            let completion = Completion { error: Some("late".into()), ..Completion::new(Outcome::Fail) };
            events.push(Event::new(time_ns, What::Complete { process, completion }));
        }
        History { header: Header { workload: workloads::ETCD.into(), ..Header::default() }, events }
    })
}

fn any_polysi_history() -> impl Strategy<Value = History> {
    let number = prop_oneof![
        (0i64..5).prop_map(Value::Int),
        any::<u64>().prop_map(|number| i64::try_from(number).map_or(Value::Number(number.to_string()), Value::Int)),
    ];
    let micro = (any::<bool>(), number.clone(), number);
    let transaction = (0u32..4, prop::collection::vec(micro, 1..4));
    prop::collection::vec(transaction, 0..8).prop_map(|transactions| {
        let mut events = Vec::new();
        for (txn, (session, micros)) in transactions.into_iter().enumerate() {
            let process = Process(session);
            let list = |answered: bool| {
                let micro = |(write, key, value): &(bool, Value, Value)| {
                    let known = *write || answered;
                    let name = Value::from(if *write { "w" } else { "r" });
                    Value::List(vec![name, key.clone(), if known { value.clone() } else { Value::Nil }])
                };
                Value::List(micros.iter().map(micro).collect())
            };
            let call = Call { function: functions::TRANSACTION.into(), key: Value::Nil, value: list(false) };
            let mut invoke = Event::new(events.len() as u64, What::Invoke { process, call });
            invoke.extra.insert("txn", Value::Int(txn as i64 * 3));
            events.push(invoke);
            let completion = Completion::ok(list(true));
            events.push(Event::new(events.len() as u64, What::Complete { process, completion }));
        }
        let facts = [("initial".to_string(), Value::Int(0)), ("real_time".to_string(), Value::Bool(false))];
        History { header: Header { workload: "rw-register".into(), facts: facts.into() }, events }
    })
}

fn any_dbcop_history() -> impl Strategy<Value = History> {
    let number = (any::<u64>(), 0u64..5, any::<bool>());
    let number =
        number.prop_map(|(any, small, take_small)| crate::jepsen::unsigned_value(if take_small { small } else { any }));
    let micro = (any::<bool>(), "[a-zA-Z_][a-zA-Z0-9_]{0,3}", prop::option::of(number));
    let transaction = (prop::collection::vec(micro, 1..4), any::<bool>());
    prop::collection::vec(prop::collection::vec(transaction, 0..3), 0..4).prop_map(|sessions| {
        let mut events = Vec::new();
        for (session, transactions) in sessions.into_iter().enumerate() {
            let process = Process(session as u32);
            for (micros, committed) in transactions {
                let list = |answered: bool| {
                    let micro = |(write, name, value): &(bool, String, Option<Value>)| {
                        let value = value.clone().unwrap_or_default();
                        // What was never written cannot be written: a number is, and nil is read.
                        let value = if *write && value.is_nil() { Value::Int(7) } else { value };
                        let known = *write || answered;
                        let letter = Value::from(if *write { "w" } else { "r" });
                        Value::List(vec![letter, name.as_str().into(), if known { value } else { Value::Nil }])
                    };
                    Value::List(micros.iter().map(micro).collect())
                };
                let call = Call { function: functions::TRANSACTION.into(), key: Value::Nil, value: list(false) };
                events.push(Event::new(events.len() as u64, What::Invoke { process, call }));
                let completion = if committed {
                    Completion::ok(list(true))
                } else {
                    let value = if list(true) == list(false) { Value::Nil } else { list(true) };
                    Completion { value, ..Completion::new(Outcome::Fail) }
                };
                events.push(Event::new(events.len() as u64, What::Complete { process, completion }));
            }
        }
        let facts = [(facts::REAL_TIME.to_string(), Value::Bool(false))];
        History { header: Header { workload: "rw-register".into(), facts: facts.into() }, events }
    })
}
