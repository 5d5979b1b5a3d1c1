use std::path::Path;

use tenet_checker::models::{self, MODELS};
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
