//! The same histories of list-append, as Jepsen's EDN, read and judged by us and by `adya` 0.1.0, in turns, one thread.
//!
//! `cargo run --release --manifest-path checker/against-adya/Cargo.toml -- [transactions] [runs]`

use std::io::Cursor;
use std::time::{Duration, Instant};

use adya::{History, Opts, Valid, Workload};
use tenet_checker::generate::{Generator, Model, Plan};
use tenet_checker::isolation::{Lists, Options};
use tenet_histories::{Format, Header, WriteOptions};

fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let (transactions, runs) = (*arguments.first().unwrap_or(&100_000), *arguments.get(1).unwrap_or(&5));
    let text = history(transactions);
    println!("{transactions} transactions, {} MB of EDN, {runs} runs, seconds: median (from, to)", text.len() >> 20);
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..runs {
        let (parse, check) = ours(&text);
        times[0].push(parse);
        times[1].push(check);
        let (parse, check) = theirs(&text);
        times[2].push(parse);
        times[3].push(check);
    }
    for (name, mut times) in ["tenet: parse", "tenet: check", "adya: parse", "adya: check"].into_iter().zip(times) {
        times.sort();
        let seconds = |place: usize| times[place].as_secs_f64();
        println!("{name:13} {:.3} ({:.3}, {:.3})", seconds(runs / 2), seconds(0), seconds(runs - 1));
    }
}

fn history(transactions: usize) -> String {
    let header = Header { workload: "list-append".to_string(), ..Header::default() };
    let mut text = Vec::new();
    let options = WriteOptions { losses: tenet_histories::Loss::ALL.to_vec(), ..WriteOptions::default() };
    let mut sink = Format::JepsenEdn.sink(&mut text, "memory", &header, &options).expect("EDN can be written");
    for event in Generator::new(Plan::new(Model::Lists, 1, transactions)).expect("no anomaly is asked for") {
        sink.write_event(&event).expect("EDN has a place for it");
    }
    sink.finish().expect("it is memory");
    drop(sink);
    String::from_utf8(text).expect("EDN is text")
}

fn ours(text: &str) -> (Duration, Duration) {
    let begin = Instant::now();
    let mut source = Format::JepsenEdn.source(Cursor::new(text), "memory").expect("we wrote it");
    let mut events = Vec::new();
    while let Some(event) = source.next_event().expect("we wrote it") {
        events.push(event);
    }
    let parse = begin.elapsed();
    let begin = Instant::now();
    let mut lists = Lists::default();
    events.iter().for_each(|event| lists.push(event).expect("a history"));
    let verdict = lists.finish(&Options::default()).verdict();
    let check = begin.elapsed();
    assert!(verdict.is_valid(), "{verdict}");
    (parse, check)
}

fn theirs(text: &str) -> (Duration, Duration) {
    let begin = Instant::now();
    let history = History::from_edn(text).expect("we wrote it");
    let parse = begin.elapsed();
    let options = Opts { models: vec!["strict-serializable".to_string()], ..Opts::default() };
    let begin = Instant::now();
    let report = adya::check(&history, Workload::ListAppend, &options);
    let check = begin.elapsed();
    assert_eq!(report.valid, Valid::True, "{:?}", report.anomaly_types);
    (parse, check)
}
