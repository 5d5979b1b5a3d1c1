//! The fixtures of each format, read and compared; conversions, and what they refuse.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use crate::*;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/formats")
}

/// Every fixture and the format that its folder names.
pub fn fixtures() -> Vec<(Format, PathBuf)> {
    let mut fixtures = Vec::new();
    for format in Format::ALL {
        let Ok(entries) = fs::read_dir(folder().join(format.name())) else { continue };
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_fixture = |path: &PathBuf| path.extension().is_none_or(|kind| kind != "read" && kind != "expected");
        fixtures.extend(paths.filter(is_fixture).map(|path| (format, path)));
    }
    fixtures.sort();
    fixtures
}

fn text_of(history: &History, format: Format) -> String {
    let mut bytes = Vec::new();
    write_as(history, format, &mut bytes, "h", &WriteOptions::default()).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn history_of(bytes: &[u8], format: Format) -> History {
    let reading = collect(format.source(Cursor::new(bytes), "h").unwrap().as_mut()).unwrap();
    assert!(reading.truncated.is_none());
    reading.history
}

/// `BLESS=1 cargo test -p tenet-histories fixtures` writes what is read; then read the diff.
#[test]
fn fixtures_are_read_as_expected_and_written_again() {
    let fixtures = fixtures();
    let formats: Vec<Format> =
        Format::ALL.into_iter().filter(|format| fixtures.iter().any(|(of, _)| of == format)).collect();
    assert_eq!(formats.len(), 7, "fixtures of {formats:?}");
    for (format, path) in fixtures {
        let reading = read_file(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(reading.truncated.is_none(), "{}", path.display());
        let history = reading.history;
        let lines = text_of(&history, Format::JsonLines);
        let beside = path.with_added_extension("read");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&beside, &lines).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
        assert!(lines == expected, "{}\nexpected:\n{expected}\nfound:\n{lines}", path.display());
        assert_eq!(history_of(lines.as_bytes(), Format::JsonLines), history, "{}", path.display());
        assert_eq!(history_of(text_of(&history, format).as_bytes(), format), history, "{}", path.display());
        if path.is_file() {
            assert_eq!(recognise(&fs::read(&path).unwrap(), "f").unwrap(), format, "{}", path.display());
        }
    }
}

#[test]
fn a_conversion_there_and_back_loses_nothing() {
    for (format, path) in fixtures() {
        let original = read_file(&path).unwrap().history;
        for between in [Format::JsonLines, Format::Binary, Format::JepsenEdn] {
            let mut there = Vec::new();
            let options = WriteOptions::default();
            let converted = convert(open(&path).unwrap().as_mut(), between, &mut there, "there", &options).unwrap();
            assert_eq!(converted.events, original.events.len());
            let mut back = Vec::new();
            let mut source = source(Cursor::new(there), "there").unwrap();
            convert(source.as_mut(), format, &mut back, "back", &options).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(history_of(&back, format), original, "{} by {between}", path.display());
        }
    }
}

fn lines(text: &str) -> History {
    let text = format!("{{\"tenet-history\":2,\"workload\":\"\",\"facts\":{{}}}}\n{text}");
    history_of(text.as_bytes(), Format::JsonLines)
}

fn refusal(history: &History, format: Format) -> String {
    let result = write_as(history, format, &mut Vec::new(), "h", &WriteOptions::default());
    result.expect_err("must be refused").to_string()
}

#[test]
fn what_the_target_cannot_say_is_named_with_its_place() {
    let invoke = r#"{"time_ns":0,"type":"invoke","process":0,"f":"write","value":1}
"#;
    let with = |event: &str| lines(&format!("{invoke}{event}"));
    let cases = [
        (
            with(r#"{"time_ns":9,"type":"ok","process":0}"#),
            Format::JepsenLog,
            "event 1: time 9 ns, which jepsen-log cannot say; `time` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"ok","process":0,"commit_timestamp":7}"#),
            Format::JepsenLog,
            "event 1: `commit-timestamp`, which jepsen-log cannot say; `timestamps` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"fail","process":0,"sqlstate":"40001"}"#),
            Format::JepsenLog,
            "event 1: sqlstate \"40001\", which jepsen-log cannot say; `errors` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"ok","process":0,"extra":{"node":1}}"#),
            Format::JepsenLog,
            "event 1: extra key `node`, which jepsen-log cannot say; `extra` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"ok","process":0,"value":{"$edn":"[:x]"}}"#),
            Format::ElleJson,
            "event 1: `value` with :x, no value of JSON, which elle-json cannot say; `values` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"ok","process":0,"extra":{"f":1,"type":2}}"#),
            Format::JepsenEdn,
            "event 1: extra key `type`, a name with a meaning of its own, which jepsen-edn cannot say; `extra` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"fault","name":"start-x","edge":"strike"}"#),
            Format::JepsenEdn,
            "event 1: Strike of the fault `start-x`, which jepsen-edn cannot say; `faults` would have to be lost",
        ),
        (
            with(""),
            Format::PorcupineKv,
            "event 0: function `write`, neither get, put nor append, which porcupine-kv cannot say; `values` would have to be lost",
        ),
        (
            with(""),
            Format::PolysiText,
            "the header: the order of operations of different processes, which polysi-text cannot say; `order` would have to be lost",
        ),
        (
            with(r#"{"time_ns":1,"type":"ok","process":0}"#),
            Format::EtcdJson,
            "event 1: function `write` with key null and value 1, no request of etcd, which etcd-json cannot say; `values` would have to be lost",
        ),
    ];
    for (history, format, expected) in cases {
        assert_eq!(refusal(&history, format), expected);
    }
    let header = Header { workload: "register".into(), facts: [("initial".to_string(), 0.into())].into() };
    let history = History { header, events: Vec::new() };
    assert_eq!(
        refusal(&history, Format::ElleJson),
        "the header: workload `register` and its facts, which elle-json cannot say; `header` would have to be lost"
    );
}

#[test]
fn what_may_be_lost_is_left_out() {
    let history = lines(concat!(
        r#"{"time_ns":5,"type":"phase","name":"calm","calm":true}"#,
        "\n",
        r#"{"time_ns":7,"type":"invoke","process":0,"f":"put","key":"a","value":"1","extra":{"index":1}}"#,
        "\n",
        r#"{"time_ns":9,"type":"ok","process":0,"commit_timestamp":4}"#,
    ));
    let losses = vec![Loss::Time, Loss::Faults, Loss::Extra, Loss::Timestamps];
    let mut bytes = Vec::new();
    write_as(
        &history,
        Format::PorcupineKv,
        &mut bytes,
        "h",
        &WriteOptions { losses: losses.clone(), concurrency: None },
    )
    .unwrap();
    let expected = "{:process 0, :type :invoke, :f :put, :key \"a\", :value \"1\"}\n{:process 0, :type :ok, :f :put, :key \"a\", :value \"1\"}\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    for missing in losses.iter() {
        let fewer = losses.iter().copied().filter(|loss| loss != missing).collect();
        let options = WriteOptions { losses: fewer, concurrency: None };
        let error = write_as(&history, Format::PorcupineKv, &mut Vec::new(), "h", &options).unwrap_err();
        assert!(matches!(error, HistoryError::Inexpressible { loss, .. } if loss == *missing), "{error}");
    }
}

/// Jepsen's rule: a process ends with an unknown outcome, and its thread goes on as process + concurrency.
#[test]
fn a_crashed_process_moves_on() {
    let history = lines(concat!(
        r#"{"time_ns":0,"type":"invoke","process":1,"f":"write","value":1}"#,
        "\n",
        r#"{"time_ns":1,"type":"unknown","process":1}"#,
        "\n",
        r#"{"time_ns":2,"type":"invoke","process":1,"f":"write","value":2}"#,
        "\n",
        r#"{"time_ns":3,"type":"unknown","process":1}"#,
        "\n",
        r#"{"time_ns":4,"type":"invoke","process":1,"f":"write","value":3}"#,
        "\n",
        r#"{"time_ns":5,"type":"ok","process":1}"#,
    ));
    assert_eq!(
        refusal(&history, Format::JepsenEdn),
        "event 2: process 1 that goes on after an unknown outcome, and no concurrency above its number, \
         which jepsen-edn cannot say; `processes` would have to be lost"
    );
    let processes = |history: &History, concurrency| {
        let mut bytes = Vec::new();
        write_as(history, Format::JepsenEdn, &mut bytes, "h", &WriteOptions { losses: Vec::new(), concurrency })
            .unwrap();
        let read = history_of(&bytes, Format::JepsenEdn);
        let operations = read.operations().unwrap();
        operations.iter().map(|operation| operation.process).collect::<Vec<_>>()
    };
    let expected = [Process(1), Process(6), Process(11)];
    assert_eq!(processes(&history, Some(5)), expected);
    let five = std::num::NonZeroU32::new(5).unwrap();
    assert!(expected.iter().all(|process| process.thread(five) == 1));
    let facts = [("concurrency".to_string(), 5.into())].into();
    let told = History { header: Header { facts, ..Header::default() }, ..history };
    assert_eq!(processes(&told, None), expected);
}

/// For Jepsen a compare-and-set that found another value is `:fail`, and every `:value` of one is `[from to]`.
#[test]
fn the_answer_of_a_cas_stands_beside_what_was_asked() {
    let answered = |asked: &str, answer: &str| {
        let invoke = format!(r#"{{"time_ns":0,"type":"invoke","process":0,"f":"cas","value":{asked}}}"#);
        lines(&format!("{invoke}\n{{\"time_ns\":1,{answer},\"process\":0}}"))
    };
    let last = |history: &History, format| text_of(history, format).trim_end().lines().last().unwrap().to_string();
    let cases = [
        (
            "[1,2]",
            r#""type":"ok","value":false"#,
            "{:type :fail, :f :cas, :value [1 2], :answer false, :process 0, :time 1}",
        ),
        (
            "[1,2]",
            r#""type":"ok","value":true"#,
            "{:type :ok, :f :cas, :value [1 2], :answer true, :process 0, :time 1}",
        ),
        ("[1,2]", r#""type":"ok""#, "{:type :ok, :f :cas, :value [1 2], :process 0, :time 1}"),
        ("[1,2]", r#""type":"fail""#, "{:type :fail, :f :cas, :value [1 2], :process 0, :time 1}"),
        ("[1,2]", r#""type":"fail","value":false"#, "{:type :fail, :f :cas, :value false, :process 0, :time 1}"),
        (
            "[7,[1,2]]",
            r#""type":"ok","value":[7,false]"#,
            "{:type :fail, :f :cas, :value [7 [1 2]], :answer [7 false], :process 0, :time 1}",
        ),
        (
            "[7,[1,2]]",
            r#""type":"ok","value":[8,false]"#,
            "{:type :ok, :f :cas, :value [8 false], :process 0, :time 1}",
        ),
    ];
    for (asked, answer, expected) in cases {
        let history = answered(asked, answer);
        assert_eq!(last(&history, Format::JepsenEdn), expected);
        for format in [Format::JepsenEdn, Format::ElleJson] {
            assert_eq!(history_of(text_of(&history, format).as_bytes(), format), history, "{format}: {answer}");
        }
    }
    // Whoever writes the answer as the value is understood.
    let theirs = "{:type :invoke, :f :cas, :value [1 2], :process 0, :time 0}\n{:type :ok, :f :cas, :value false, :process 0, :time 1}";
    assert_eq!(history_of(theirs.as_bytes(), Format::JepsenEdn), answered("[1,2]", r#""type":"ok","value":false"#));
    // A log has no other keys: an ok says that it found the value, and a `:fail` not that it did not.
    let refused = answered("[1,2]", r#""type":"ok","value":false"#);
    assert_eq!(
        refusal(&refused, Format::JepsenLog),
        "event 1: that cas found another value, and did not only fail, which jepsen-log cannot say; `refusals` would have to be lost"
    );
    let mut bytes = Vec::new();
    let options = WriteOptions { losses: vec![Loss::Refusals], concurrency: None };
    write_as(&refused, Format::JepsenLog, &mut bytes, "h", &options).unwrap();
    let log = String::from_utf8(bytes).unwrap();
    assert!(log.ends_with("INFO  jepsen.util - 0\t:fail\t:cas\t[1 2]\n"), "{log}");
    assert_eq!(history_of(log.as_bytes(), Format::JepsenLog), answered("[1,2]", r#""type":"fail""#));
    let found = answered("[1,2]", r#""type":"ok","value":true"#);
    assert_eq!(last(&found, Format::JepsenLog), "INFO  jepsen.util - 0\t:ok\t:cas\t[1 2]");
    // An extra key that would be read as the answer.
    let failed = answered("[1,2]", r#""type":"fail","extra":{"answer":false}"#);
    assert!(refusal(&failed, Format::JepsenEdn).contains("extra key `answer`, a name with a meaning of its own"));
}

/// H1, whatever the file says: the order stands, and a time that is none is kept beside and written again.
#[test]
fn a_time_that_goes_back_is_kept_beside() {
    let times = ["5", "3", "-1", "6", "6", "9"];
    let op = |time: &&str| format!("{{:type :info, :f :kill, :value nil, :process :nemesis, :time {time}}}\n");
    let text: String = times.iter().map(op).collect();
    let history = history_of(text.as_bytes(), Format::JepsenEdn);
    let found: Vec<_> = history.events.iter().map(|event| (event.time_ns, event.extra.get("time").cloned())).collect();
    let beside = |time: i64| Some(Value::Int(time));
    let expected = [(5, None), (6, beside(3)), (7, beside(-1)), (8, beside(6)), (9, beside(6)), (9, None)];
    assert_eq!(found, expected);
    assert_eq!(text_of(&history, Format::JepsenEdn), text);
}

/// Whatever a nemesis does, it is called the same when it is written again.
#[test]
fn what_a_nemesis_does_keeps_its_name() {
    for function in ["start", "stop", "start-x", "stop-x", "start-nemesis", "stop-nemesis", "start-", "stop-", "kill"] {
        let text = format!("{{:type :info, :f :{function}, :value nil, :process :nemesis, :time 0}}\n");
        let history = history_of(text.as_bytes(), Format::JepsenEdn);
        assert_eq!(text_of(&history, Format::JepsenEdn), text);
    }
}

/// As for Porcupine: operations of which one returns when the other is called are concurrent.
#[test]
fn calls_come_before_returns_of_the_same_moment() {
    let operation = |client: u32, call: u64, end: u64| {
        let input = "{\"Type\":\"range\",\"Range\":{\"Start\":\"a\"}}";
        format!("{{\"ClientId\":{client},\"Input\":{input},\"Call\":{call},\"Output\":{{}},\"Return\":{end}}}\n")
    };
    let text = operation(0, 10, 20) + &operation(1, 20, 30) + &operation(2, 5, 40);
    let history = history_of(text.as_bytes(), Format::EtcdJson);
    let found: Vec<(u64, bool)> =
        history.events.iter().map(|event| (event.time_ns, matches!(event.what, What::Invoke { .. }))).collect();
    assert_eq!(found, [(5, true), (10, true), (20, true), (20, false), (30, false), (40, false)]);
    // The other way round they would be in order, which the format cannot say.
    let mut events = history.events;
    events.swap(2, 3);
    let history = History { header: Header::default(), events };
    assert_eq!(
        refusal(&history, Format::EtcdJson),
        "event 3: a call at the time of a return before it, which etcd-json cannot say; `order` would have to be lost"
    );
}

#[test]
fn formats_are_told_apart_by_their_content() {
    let name = |text: &str| recognise(text.as_bytes(), "f").map(Format::name).map_err(|error| error.to_string());
    assert_eq!(name(r#"{"tenet-history":1}"#), Ok("json-lines"));
    assert_eq!(name(" [ {:type :invoke"), Ok("jepsen-edn"));
    assert_eq!(name("; a comment\n#a.B{:type :ok}"), Ok("jepsen-edn"));
    assert_eq!(name("()"), Ok("jepsen-edn"));
    assert_eq!(name("{:process 0, :type :invoke, :f :get, :key \"0\", :value nil}"), Ok("porcupine-kv"));
    assert_eq!(name(r#"[{"type":"invoke","#), Ok("elle-json"));
    assert_eq!(name(r#"{"ClientId":1,"#), Ok("etcd-json"));
    assert_eq!(name("\n\nr(1,2,3,4)\n"), Ok("polysi-text"));
    assert_eq!(name("// x\n---\n [ x:=1 y==?]!\n"), Ok("dbcop-text"));
    assert_eq!(name("Loading\nINFO  jepsen.util - 0 :invoke :read nil\n"), Ok("jepsen-log"));
    assert_eq!(name("[]").unwrap_err(), "f: could be any of the formats jepsen-edn, elle-json: say which");
    assert_eq!(
        name("").unwrap_err(),
        "f: an empty file, expected a history in one of the formats json-lines, binary, jepsen-edn, jepsen-log, \
         porcupine-kv, elle-json, etcd-json, polysi-text, dbcop-text"
    );
    assert!(name("{\"x\":1}").unwrap_err().starts_with("f: a file that begins with \"{\\\"x\\\":1}\", expected"));
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert!(
        "csv"
            .parse::<Format>()
            .unwrap_err()
            .to_string()
            .starts_with("no history format `csv`, expected one of json-lines")
    );
}
