//! Where each reader says that something is wrong, and what it expected.

use std::io::Cursor;

use crate::*;

fn error_of(bytes: &[u8], format: Format) -> (HistoryError, usize) {
    let result = format.source(Cursor::new(bytes), "f");
    let mut source = match result {
        Ok(source) => source,
        Err(error) => return (error, 0),
    };
    let mut count = 0;
    loop {
        match source.next_event() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("no error in {format}: {:?}", String::from_utf8_lossy(bytes)),
            Err(error) => return (error, count),
        }
    }
}

#[test]
fn damage_has_a_line_and_a_column() {
    let edn = "{:type :invoke, :f :read, :process 0}\n";
    let cases = [
        (Format::JepsenEdn, format!("{edn}{{:type :okay}}"), 1, "f:2:8: type :okay, expected invoke, ok, fail or info"),
        (Format::JepsenEdn, format!("{edn}\n  {{:f :read}}"), 1, "f:3:3: no `type`, expected invoke, ok, fail or info"),
        (Format::JepsenEdn, format!("{edn}{{:type :invoke}}"), 1, "f:2:1: no `f` and no micro-operations, expected one of them"),
        (Format::JepsenEdn, format!("{edn}{{:type :ok,\n :value [1 2)}}"), 1, "f:3:13: ')', expected `]`"),
        (Format::JepsenEdn, format!("{edn}{{:type :ok :f 5}}"), 1, "f:2:15: 5 as `f`, expected a name"),
        (Format::JepsenEdn, format!("{edn}{{:type :ok :type :ok}}"), 1, "f:2:12: key :type twice in a map, expected it once"),
        (Format::JepsenEdn, format!("{edn}{{\"type\" :ok}}"), 1, "f:2:2: '\"', expected a keyword as key of an operation"),
        (Format::JepsenEdn, format!("{edn}5 6"), 1, "f:2:1: '5', expected an operation, a map `{:type ..}`"),
        (Format::JepsenEdn, format!("[{edn}] {edn}"), 1, "f:2:3: more after the closing bracket, expected the end"),
        (Format::JepsenEdn, format!("[{edn}"), 1, "f:2:1: the end, expected `]`"),
        (Format::JepsenEdn, format!("{edn}}}"), 1, "f:2:1: '}', expected an operation, a map `{:type ..}`"),
        (Format::JepsenEdn, ";; tenet-history {:workload 5}\n".to_string(), 0, "f:1:18: another map, expected a header `{:workload \"..\", :facts {..}}`"),
        (Format::JepsenEdn, ";; tenet-history {:workload\n".to_string(), 0, "f:1:28: the end, expected the value of :workload"),
        (Format::ElleJson, "[{\"type\":\"invoke\",\"f\":\"read\"},\n {\"type\":\"ok\",}]".to_string(), 1, "f:2:15: '}', expected the name of a field in quotes"),
        (Format::ElleJson, "{\"type\":\"ok\" \"f\":1}".to_string(), 0, "f:1:14: '\"', expected `,` or `}`"),
        (Format::ElleJson, "{\"type\":\"ok\",\n\"value\":[01]}".to_string(), 0, "f:2:10: `01`, expected a number"),
        (Format::ElleJson, "{\"type\":\"ok\",\"a\":nul}".to_string(), 0, "f:1:18: 'n', expected `null`"),
        (Format::ElleJson, "{\"a\":1,\"a\":2}".to_string(), 0, "f:1:8: field `a` twice, expected it once"),
        (
            Format::ElleJson,
            "{\"type\":\"ok\",\"value\":{\"a\":1,\"a\":2}}".to_string(),
            0,
            "f:1:29: field `a` twice, expected it once",
        ),
        (Format::JepsenLog, "noise\nINFO  jepsen.util - starting\nINFO  jepsen.util - 2\t:ok\t:read\t[1".to_string(), 0, "f:3:35: the end, expected `]`"),
        (
            Format::JepsenLog,
            "INFO  jepsen.util - 2\t:okay\t:read\tnil\n".to_string(),
            0,
            "f:1:23: type :okay, expected invoke, ok, fail or info",
        ),
        (Format::JepsenLog, "INFO  jepsen.util - 2\t:ok\t:read\n".to_string(), 0, "f:1:32: the end, expected the value"),
        (Format::JepsenLog, "INFO  jepsen.util - 2\t:ok\t:read\t1\t2\t3\n".to_string(), 0, "f:1:37: a sixth field, expected the end of the line"),
        (Format::PorcupineKv, "{:process 0, :type :invoke, :f :get, :key \"0, :value nil}".to_string(), 0, "f:1:58: the end, expected the closing `\"` of a string"),
        (Format::EtcdJson, "{\"ClientId\":1,\"Call\":5,\"Return\":7,\"Output\":{}}".to_string(), 0, "f:1:1: no `Input`, expected it in an operation of etcd"),
        (Format::EtcdJson, "{\"ClientId\":-1}".to_string(), 0, "f:1:13: -1, expected an unsigned number"),
        (Format::EtcdJson, "\n{\"Clientid\":1}".to_string(), 0, "f:2:13: field `Clientid`, expected none of that name"),
        (
            Format::EtcdJson,
            "{\"ClientId\":1,\"Input\":{\"Type\":\"range\",\"Range\":{\"Start\":\"a\"}},\"Call\":5,\"Output\":{\"Range\":{\"Count\":2}},\"Return\":7}".to_string(),
            0,
            "f:1:80: response {\"Range\":{\"Count\":2}}, expected one to a get of one key",
        ),
        (
            Format::EtcdJson,
            "{\"ClientId\":1,\"Input\":{\"Type\":\"range\"},\"Call\":5,\"Output\":{},\"Return\":4}".to_string(),
            0,
            "f:1:70: return 4, expected none before the call 5",
        ),
        (Format::PolysiText, "w(1,1,0,0)\nx(1,1,0,0)\n".to_string(), 0, "f:2:1: no `r` or `w`, expected r(key,value,session,transaction)"),
        (Format::PolysiText, "w(1,1,0)\n".to_string(), 0, "f:1:8: no `,`, expected r(key,value,session,transaction)"),
        (Format::PolysiText, "w(1,-1,0,0)\n".to_string(), 0, "f:1:5: ``, expected an unsigned number of 64 bits"),
        (Format::PolysiText, "w(1,1,0,0)\nw(1,1,0,1)\nw(1,1,0,0)\nw(1,2,0,2)\n".to_string(), 2, "f:3:1: transaction 0 again, expected all its lines together"),
        (Format::PolysiText, "w(1,1,9999999999,0)\n".to_string(), 0, "f:1:1: session 9999999999, expected a number of 31 bits"),
        (Format::DbcopText, "[x:=1]\n---\n[x==1 y=2]\n".to_string(), 2, "f:3:9: `y=2`, expected `x:=1`, `x==1` or `x==?`"),
        (Format::DbcopText, "[x:=1] y\n".to_string(), 0, "f:1:8: 'y', expected a transaction `[x:=1]`, `---` or `//`"),
        (Format::DbcopText, "// c\n[]\n".to_string(), 0, "f:2:2: ']', expected a variable, as in `[x:=1 y==?]`"),
        (Format::DbcopText, "[x:=1".to_string(), 0, "f:1:6: the end, expected a variable, as in `[x:=1 y==?]`"),
    ];
    for (format, text, before, expected) in cases {
        let (error, count) = error_of(text.as_bytes(), format);
        assert_eq!((error.to_string().as_str(), count), (expected, before), "{format}: {text}");
    }
}

/// Whatever a writer's death left behind: all whole events, and a word about the rest.
#[test]
fn a_file_cut_short_loses_its_last_event_alone() {
    let events = (0..5).map(|number| {
        let call = Call { function: functions::READ.into(), key: number.into(), value: Value::from("x") };
        Event::new(number as u64, What::Invoke { process: Process(number as u32), call })
    });
    let history = History { header: Header::default(), events: events.collect() };
    for format in [Format::JsonLines, Format::JepsenEdn, Format::ElleJson] {
        let mut bytes = Vec::new();
        write_as(&history, format, &mut bytes, "h", &WriteOptions::default()).unwrap();
        let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
        for end in ends[ends.len() - 2] + 1..bytes.len() - 1 {
            let reading = collect(format.source(Cursor::new(&bytes[..end]), "f").unwrap().as_mut()).unwrap();
            let whole = reading.history.events.len();
            let last_is_whole = collect(format.source(Cursor::new(&bytes), "f").unwrap().as_mut()).unwrap();
            assert_eq!(last_is_whole.history, history);
            assert!(whole == 4 || whole == 5, "{format} cut at {end}: {whole} events");
            assert_eq!(reading.history.events[..], history.events[..whole], "{format} cut at {end}");
            let silent = whole == 4 && end == ends[ends.len() - 2] + 1 && format != Format::ElleJson;
            let complete = whole == 5 && format != Format::ElleJson;
            assert_eq!(
                reading.truncated.is_none(),
                silent || complete,
                "{format} cut at {end}: {:?}",
                reading.truncated
            );
        }
    }
}

#[test]
fn a_binary_file_says_where_it_is_damaged() {
    let call = Call { function: "read".into(), ..Call::default() };
    let event = Event::new(3, What::Invoke { process: Process(1), call });
    let history = History { header: Header { workload: "w".into(), facts: Default::default() }, events: vec![event] };
    let mut bytes = Vec::new();
    write_as(&history, Format::Binary, &mut bytes, "h", &WriteOptions::default()).unwrap();
    // Drawn in docs/formats-history.md; a change of these bytes is a new version.
    let expected = concat!(
        "89544e54480d0a1a",
        "01000000",
        "04000000",
        "c36e57f5",
        "01017700",
        "0b000000",
        "25cfc197",
        "0003010104726561640000",
        "0000000000000000"
    );
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
    // Cut anywhere: what is whole is a history, and the rest is owned up to.
    for end in 0..bytes.len() {
        let result =
            Format::Binary.source(Cursor::new(&bytes[..end]), "f").and_then(|mut source| collect(source.as_mut()));
        match result {
            Ok(reading) => {
                let error = reading.truncated.expect("cut short").to_string();
                assert!(error.contains(": cut short, expected"), "{end}: {error}");
                assert_eq!(reading.history.events.len(), usize::from(end >= 43), "{end}");
            }
            Err(error) => assert!(error.is_cut_short() && end < 24, "{end}: {error}"),
        }
    }
    // Flipped anywhere: never another history.
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let result = Format::Binary.source(Cursor::new(&damaged), "f").and_then(|mut source| collect(source.as_mut()));
        match result {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(reading) => assert!(reading.truncated.is_some(), "byte {at}"),
        }
    }
    let mut damaged = bytes.clone();
    damaged[32] ^= 1;
    let error = error_of(&damaged, Format::Binary).0.to_string();
    assert!(error.starts_with("f: byte 24: a block with the checksum "), "{error}");
    damaged = bytes.clone();
    damaged[8] = 2;
    let expected = "f: history format version 2, expected at most 1: read it with the program that wrote it";
    assert_eq!(error_of(&damaged, Format::Binary).0.to_string(), expected);
}

/// Of a line that its writer did not end nothing is guessed: what can be read is read, the rest is left out with a notice.
#[test]
fn a_last_line_without_its_end_is_left_out() {
    let cases = [
        (Format::JepsenLog, "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:re", 1),
        (Format::JepsenLog, "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:inv", 1),
        (Format::PolysiText, "w(1,1,0,0)\nw(1,2,0,", 0),
        (Format::DbcopText, "[x:=1]\n[x==1 y:", 2),
        (Format::PorcupineKv, "{:process 0, :type :invoke, :f :get, :key \"0\", :value nil}\n{:process 0, :ty", 1),
        (
            Format::EtcdJson,
            "{\"ClientId\":0,\"Input\":{\"Type\":\"range\"},\"Call\":1,\"Output\":{},\"Return\":2}\n{\"Cli",
            2,
        ),
    ];
    for (format, text, whole) in cases {
        let reading = collect(format.source(Cursor::new(text), "f").unwrap().as_mut()).unwrap();
        assert_eq!(reading.history.events.len(), whole, "{format}");
        assert!(reading.truncated.is_some(), "{format}");
        let ended = format!("{text}\n");
        let result = format.source(Cursor::new(ended), "f").and_then(|mut source| collect(source.as_mut()));
        let line_based = matches!(format, Format::JepsenLog | Format::PolysiText | Format::DbcopText);
        assert_eq!(result.is_err(), line_based, "{format}");
    } // A number that may have been to become another one.
    let text = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\t14";
    let reading = collect(Format::JepsenLog.source(Cursor::new(text), "f").unwrap().as_mut()).unwrap();
    assert_eq!(reading.history.events.len(), 1);
    assert_eq!(reading.truncated.unwrap().to_string(), "f:2:35: the end, expected a line break after an operation");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let edn = "{:type :invoke, :f :read, :process 0}\n";
    let headed = format!(";; tenet-history {{:workload \"register\", :facts {{}}}}\n{edn}");
    let lines = "{\"tenet-history\":2,\"workload\":\"register\"}\n";
    for text in [edn, &headed, lines] {
        let marked = format!("\u{feff}{text}");
        let history = read(text.as_bytes(), "f").unwrap().history;
        assert_eq!(read(marked.as_bytes(), "f").unwrap().history, history);
    }
    let marked = format!("\u{feff}{edn}");
    assert!(Format::JepsenEdn.source(marked.as_bytes(), "f").unwrap().next_event().unwrap().is_some());
}

#[test]
fn what_is_packed_is_to_be_unpacked() {
    let error = read(&b"\x1f\x8b\x08\x00"[..], "f").unwrap_err().to_string();
    assert!(error.starts_with("f: a file packed by gzip (unpack it first), expected a history"), "{error}");
}
