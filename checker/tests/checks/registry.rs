use std::path::Path;

use tenet_checker::models::{self, MODELS};
use tenet_checker::{Finding, judge};
use tenet_histories::History;

fn corpus(folder: &str, name: &str) -> History {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories/corpus");
    let mut history = tenet_histories::read_file(&root.join(folder).join(format!("{name}.jsonl"))).unwrap().history;
    history.header.workload = String::new();
    history
}

#[test]
fn what_a_history_can_be_is_seen_from_its_operations() {
    let cases: [(&str, &str, &[&str]); 7] = [
        ("register", "one_compare_and_set_wins_valid", &["register"]),
        ("list-append", "serial_valid", &["list-append"]),
        ("bank", "map_of_balances_valid", &["bank"]),
        ("set-full", "added_and_read_valid", &["set"]),
        ("counter-bounds", "up_and_down_valid", &["counter"]),
        ("total-queue", "all_come_out_valid", &["queue", "unordered-queue", "total-queue"]),
        ("unique-ids", "all_differ_valid", &["unique-ids"]),
    ];
    for (folder, name, expected) in cases {
        let names: Vec<&str> = models::candidates(&corpus(folder, name)).iter().map(|model| model.name).collect();
        assert_eq!(names, expected, "{folder}/{name}");
    }
}

#[test]
fn a_header_that_names_a_model_decides() {
    for model in MODELS {
        let mut history = corpus("set-full", "added_and_read_valid");
        history.header.workload = model.name.to_string();
        let names: Vec<&str> = models::candidates(&history).iter().map(|model| model.name).collect();
        assert_eq!(names, [model.name]);
        assert_eq!(models::named(model.name).unwrap().name, model.name);
    }
}

/// What a history does not tell, no check claims to know (K4).
#[test]
fn what_cannot_be_told_is_unknown_and_the_reason_is_said() {
    let writes_twice = r#"{"tenet-history":2,"workload":"session"}
{"time_ns":1,"type":"invoke","process":0,"f":"write","key":"x","value":1}
{"time_ns":2,"type":"ok","process":0}
{"time_ns":3,"type":"invoke","process":1,"f":"write","key":"x","value":1}
{"time_ns":4,"type":"ok","process":1}
{"time_ns":5,"type":"invoke","process":1,"f":"read","key":"x"}
{"time_ns":6,"type":"ok","process":1,"value":1}
"#;
    let without_bound = r#"{"tenet-history":2,"workload":"staleness"}
{"time_ns":1,"type":"invoke","process":0,"f":"write","key":"x","value":1}
{"time_ns":2,"type":"ok","process":0}
"#;
    let perhaps_updated = r#"{"tenet-history":2,"workload":"convergence","facts":{"quiet_ns":1}}
{"time_ns":1,"type":"invoke","process":0,"f":"update","value":"a"}
{"time_ns":2,"type":"ok","process":0}
{"time_ns":3,"type":"invoke","process":1,"f":"update","value":"b"}
{"time_ns":4,"type":"unknown","process":1}
{"time_ns":5,"type":"invoke","process":0,"f":"read"}
{"time_ns":6,"type":"ok","process":0,"value":3}
{"time_ns":7,"type":"invoke","process":2,"f":"read"}
{"time_ns":8,"type":"ok","process":2,"value":4}
"#;
    let cases =
        [(writes_twice, "written twice"), (without_bound, "age_ns_max"), (perhaps_updated, "may still have come")];
    for (text, expected) in cases {
        let history = tenet_histories::read(text.as_bytes(), "history").unwrap().history;
        match &judge(&history).unwrap().verdicts[0].finding {
            Finding::Unknown { reason } => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{other:?}, of {text}"),
        }
    }
}
