use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

mod arbitrary;
mod conversions;
mod edn;
mod fuzz;
mod places;
mod round_trips;

const SAMPLE: &str = r#"{"tenet-history":2,"workload":"register","facts":{"initial":0}}
{"time_ns":5,"type":"phase","name":"calm","calm":true}
{"time_ns":10,"type":"invoke","process":0,"f":"write","key":1,"value":7}
{"time_ns":11,"type":"invoke","process":1,"f":"read","key":1}
{"time_ns":20,"type":"ok","process":0,"commit_timestamp":44}
{"time_ns":21,"type":"fault","name":"kill","edge":"strike","value":"n2"}
{"time_ns":22,"type":"phase","name":"faults","calm":false}
{"time_ns":30,"type":"fail","process":1,"sqlstate":"57P03","error":"no leader"}
{"time_ns":31,"type":"alarm","process":1,"sqlstate":"XX000","error":"out of range"}
"#;

fn parse(text: &str) -> Result<Reading, HistoryError> {
    collect(Format::JsonLines.source(Cursor::new(text), "h.jsonl")?.as_mut())
}

fn error_of(text: &str) -> String {
    parse(text).expect_err("must not be read").to_string()
}

#[test]
fn sample_is_read_and_written_back_byte_for_byte() {
    let reading = parse(SAMPLE).unwrap();
    assert!(reading.truncated.is_none());
    let mut written = Vec::new();
    write(&reading.history, &mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), SAMPLE);
}

#[test]
fn version_1_is_read_and_has_no_edn() {
    let text = "{\"tenet-history\":1,\"workload\":\"x\"}\n\
        {\"time_ns\":1,\"type\":\"ok\",\"process\":0,\"value\":{\"$edn\":\":x\"}}\n";
    let value = |text: &str| match &parse(text).unwrap().history.events[0].what {
        What::Complete { completion, .. } => completion.value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(text), Value::map([("$edn", ":x".into())]));
    let text = text.replace("\"tenet-history\":1", "\"tenet-history\":2");
    assert_eq!(value(&text), Value::keyword("x"));
    // The same, spelt by another writer.
    assert_eq!(value(&text.replace('$', "\\u0024")), Value::keyword("x"));
    assert_eq!(
        error_of(&text.replace("\":x\"", "\"[1\"")),
        "h.jsonl:2:47: in the EDN \"[1\", byte 3: the end, expected `]`"
    );
    assert_eq!(
        error_of(&text.replace("\":x\"", "\":x\",\"a\":1")),
        "h.jsonl:2:47: more than a text in an object with `$edn`, expected EDN text alone"
    );
}

#[test]
fn operations_are_paired_in_order_of_invocation() {
    let history = parse(SAMPLE).unwrap().history;
    let operations = history.operations().unwrap();
    assert_eq!(operations.len(), 2);
    assert_eq!((operations[0].process, operations[0].outcome()), (Process(0), Outcome::Ok));
    assert_eq!(operations[0].completed.unwrap().completion.commit_timestamp, Some(44));
    assert_eq!((operations[1].invoke_event, operations[1].return_event()), (2, Some(6)));
    let phases = history.phases();
    assert_eq!(phases.len(), 2);
    assert!(phases[0].contains(5) && phases[0].contains(21) && !phases[0].contains(22));
    assert!(!phases[1].calm && phases[1].contains(u64::MAX - 1));
}

#[test]
fn unknown_and_open_operations_have_no_return() {
    let text = "{\"tenet-history\":1,\"workload\":\"x\"}\n\
        {\"time_ns\":1,\"type\":\"invoke\",\"process\":0,\"f\":\"mine\"}\n\
        {\"time_ns\":2,\"type\":\"unknown\",\"process\":0}\n\
        {\"time_ns\":3,\"type\":\"invoke\",\"process\":0,\"f\":\"mine\"}\n";
    let history = parse(text).unwrap().history;
    let operations = history.operations().unwrap();
    assert_eq!(operations[0].return_event(), None);
    assert_eq!((operations[1].outcome(), operations[1].return_event()), (Outcome::Unknown, None));
}

#[test]
fn pairing_errors_name_event_and_process() {
    let head = "{\"tenet-history\":1,\"workload\":\"x\"}\n";
    let invoke = "{\"time_ns\":1,\"type\":\"invoke\",\"process\":3,\"f\":\"read\"}\n";
    let ok = "{\"time_ns\":2,\"type\":\"ok\",\"process\":3}\n";
    let history = parse(&format!("{head}{ok}")).unwrap().history;
    assert_eq!(
        history.operations().unwrap_err().to_string(),
        "event 0: process 3 completes, expected an invocation of it before"
    );
    let history = parse(&format!("{head}{invoke}{invoke}")).unwrap().history;
    assert_eq!(
        history.operations().unwrap_err().to_string(),
        "event 1: process 3 invokes `read`, expected the completion of its operation from event 0"
    );
}

#[test]
fn a_line_cut_short_at_any_byte_loses_that_line_alone() {
    let lines: Vec<&str> = SAMPLE.split_inclusive('\n').collect();
    let whole = parse(SAMPLE).unwrap().history;
    let head: usize = lines[..8].iter().map(|line| line.len()).sum();
    for end in head..SAMPLE.len() {
        let reading = parse(&SAMPLE[..end]).unwrap();
        let complete = end + 1 == SAMPLE.len();
        assert_eq!(reading.truncated.is_some(), end != head && !complete, "cut at {end}");
        assert_eq!(reading.history.events[..], whole.events[..if complete { 8 } else { 7 }], "cut at {end}");
    }
}

#[test]
fn damage_before_the_last_line_is_an_error_with_its_place() {
    let head = "{\"tenet-history\":1,\"workload\":\"x\"}\n";
    let good = "{\"time_ns\":9,\"type\":\"phase\",\"name\":\"calm\",\"calm\":true}\n";
    let cases = [
        ("", "h.jsonl:1:1: empty input, expected a header line `{\"tenet-history\":2,..}`"),
        ("\n", "h.jsonl:1:1: an empty line, expected the header"),
        ("{\"x\":1}\n", "h.jsonl:1:1: no field `tenet-history`, expected it in the header"),
        (
            "{\"tenet-history\":9,\"new\":1}\n",
            "h.jsonl:1: history format version 9, expected at most 2: read it with the program that wrote it",
        ),
        (
            "{\"tenet-history\":1,\"wrkload\":\"x\"}\n",
            "h.jsonl:1:30: field `wrkload`, expected one of `tenet-history`, `workload`, `facts`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error_of(text), expected);
    }
    let cases = [
        ("{\"time_ns\":1,\"type\":\n", "h.jsonl:2:21: the end, expected a value"),
        (
            "{\"time_ns\":\"1\",\"type\":\"ok\"}\n",
            "h.jsonl:2:12: \"1\" as `time_ns`, expected an unsigned number of 64 bits",
        ),
        (
            "{\"time_ns\":1,\"type\":\"okay\"}\n",
            "h.jsonl:2:21: \"okay\" as `type`, expected one of `invoke`, `ok`, `fail`, `unknown`, `fault`, `phase`, `alarm`",
        ),
        (
            "{\"time_ns\":1,\"type\":\"invoke\",\"process\":1}\n",
            "h.jsonl:2:1: no field `f`, expected it in a line of type `invoke`",
        ),
        (
            "{\"time_ns\":1,\"type\":\"ok\",\"process\":1,\"sqlstate\":\"40001\"}\n",
            "h.jsonl:2:49: field `sqlstate`, expected none in a line of type `ok`",
        ),
        (
            "{\"time_ns\":1,\"type\":\"ok\",\"process\":1,\"value\":1.5}\n",
            "h.jsonl:2:46: number 1.5, expected an integer of 64 bits",
        ),
        (
            "{\"time_ns\":1,\"type\":\"ok\",\"process\":1,\"value\":{\"a\":1,\"a\":2}}\n",
            "h.jsonl:2:53: field `a` twice, expected it once",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(error_of(&format!("{head}{line}{good}")), expected);
        // The same as the last line, but with its line break: not cut short.
        assert_eq!(error_of(&format!("{head}{line}")), expected);
    }
    let back = "{\"time_ns\":8,\"type\":\"phase\",\"name\":\"calm\",\"calm\":true}\n";
    assert_eq!(
        error_of(&format!("{head}{good}{back}")),
        "h.jsonl:3:12: time_ns 8 after 9, expected time not to go back"
    );
}

#[test]
fn an_endless_line_is_refused_without_being_held() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let error = Format::JsonLines.source(endless, "zeros").err().unwrap().to_string();
    assert_eq!(error, format!("zeros:1:1: line longer than {LINE_BYTES_MAX} bytes, expected a history"));
}

#[test]
fn a_missing_file_is_named() {
    let error = read_file(std::path::Path::new("/no/such/history.jsonl")).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/history.jsonl: cannot open the history: "), "{error}");
}

#[test]
fn recorder_keeps_order_and_counts() {
    let time = Arc::new(AtomicU64::new(100));
    let clock = time.clone();
    let recorder = Recorder::new(Header::default(), move || clock.load(Ordering::Relaxed));
    recorder.phase("calm", true);
    recorder.invoke(Process(0), Call::default());
    recorder.invoke(Process(1), Call::default());
    assert_eq!(recorder.counts(), Counts { open: 2, ..Counts::default() });
    time.store(50, Ordering::Relaxed);
    recorder.complete(Process(1), Completion::ok(Value::Int(1)));
    time.store(120, Ordering::Relaxed);
    recorder.clone().complete(Process(0), Completion::new(Outcome::Unknown));
    assert_eq!(recorder.counts(), Counts { ok: 1, unknown: 1, ..Counts::default() });
    let times: Vec<u64> = recorder.history().events.iter().map(|event| event.time_ns).collect();
    assert_eq!(times, [100, 100, 100, 100, 120]);
}

#[test]
#[should_panic(expected = "process 0 invokes read with an operation open")]
fn recorder_refuses_a_second_open_operation() {
    let recorder = Recorder::new(Header::default(), || 0);
    let call = || Call { function: functions::READ.into(), ..Call::default() };
    recorder.invoke(Process(0), call());
    recorder.invoke(Process(0), call());
}
