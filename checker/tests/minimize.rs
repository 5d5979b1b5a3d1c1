//! What is left of a history shows the same anomaly, and lacks it as soon as any single operation goes.

use std::fs;
use std::path::{Path, PathBuf};

use tenet_checker::minimize::{Minimal, Shows, minimize};
use tenet_checker::{generate, isolation};
use tenet_histories::{Call, Completion, Event, History, Outcome, Process, Value, What};

fn lists() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories/corpus/list-append");
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    found.sort();
    found
}

/// The gravest anomaly: any other would be one that came only by leaving something out.
fn class(history: &History) -> Option<String> {
    let report = isolation::check_lists(history, &isolation::Options::default()).unwrap();
    report.proof().map(isolation::Anomaly::name)
}

fn shows(class: &Option<String>, of: Option<String>) -> Shows {
    if of == *class { Shows::Yes } else { Shows::No }
}

/// A history without one of its operations.
fn without(history: &History, operation: usize) -> History {
    let gone = history.operations().unwrap()[operation];
    let completed = gone.completed.map(|completed| completed.event);
    let kept = |position: &usize| *position != gone.invoke_event && Some(*position) != completed;
    let events = (0..history.events.len()).filter(kept).map(|position| history.events[position].clone()).collect();
    History { header: history.header.clone(), events }
}

fn assert_minimal(minimal: &Minimal, wanted: &Option<String>) {
    assert!(minimal.minimal);
    assert_eq!(class(&minimal.history), *wanted);
    let count = minimal.history.operations().unwrap().len();
    assert_eq!(count, minimal.operations.len());
    for operation in 0..count {
        assert_ne!(class(&without(&minimal.history, operation)), *wanted, "operation {operation} could go as well");
    }
}

/// Honest transactions on a key of their own, around whatever happens.
fn crowd(history: &History, transactions: usize) -> History {
    let micro = |name: &str, value: Value| Value::List(vec![name.into(), Value::Int(999), value]);
    let mut whole = history.clone();
    whole.events.clear();
    let mut list: Vec<i64> = Vec::new();
    let mut rest = history.events.iter();
    for number in 0..transactions as i64 {
        let asked = vec![micro("append", number.into()), micro("r", Value::Nil)];
        list.push(number);
        let answered = vec![micro("append", number.into()), micro("r", list.clone().into())];
        let process = Process(1000);
        let call = Call { function: "txn".into(), key: Value::Nil, value: Value::List(asked) };
        whole.events.push(Event::new(0, What::Invoke { process, call }));
        if number > 30 {
            whole.events.extend(rest.next().cloned());
        }
        let completion = Completion::ok(Value::List(answered));
        whole.events.push(Event::new(0, What::Complete { process, completion }));
    }
    assert!(rest.next().is_none(), "the crowd is too small");
    whole
}

#[test]
fn every_anomaly_of_the_corpus_becomes_minimal() {
    let mut count = 0;
    for path in lists() {
        let history = tenet_histories::read_file(&path).unwrap().history;
        let Some(wanted) = class(&history) else { continue };
        let wanted = Some(wanted);
        let mut ask = |part: &History| shows(&wanted, class(part));
        assert_minimal(&minimize(&history, &[], &mut ask).unwrap().unwrap(), &wanted);
        count += 1;
    }
    assert!(count >= 15, "only {count} anomalies");
}

#[test]
fn an_anomaly_is_found_in_a_crowd_with_few_questions() {
    let path = lists().into_iter().find(|path| path.ends_with("g_nonadjacent_long_fork.jsonl")).unwrap();
    let small = tenet_histories::read_file(&path).unwrap().history;
    let history = crowd(&small, 200);
    let wanted = class(&small);
    assert_eq!(class(&history), wanted);
    let mut ask = |part: &History| shows(&wanted, class(part));
    let minimal = minimize(&history, &[], &mut ask).unwrap().unwrap();
    assert_minimal(&minimal, &wanted);
    assert!(minimal.asked < 120, "asked {} times", minimal.asked);
}

#[test]
fn a_hint_that_is_enough_spares_questions() {
    let path = lists().into_iter().find(|path| path.ends_with("g_single_read_skew.jsonl")).unwrap();
    let history = crowd(&tenet_histories::read_file(&path).unwrap().history, 200);
    let report = isolation::check_lists(&history, &isolation::Options::default()).unwrap();
    let wanted = class(&history);
    let mut ask = |part: &History| shows(&wanted, class(part));
    let minimal = minimize(&history, &report.proof().unwrap().operations(), &mut ask).unwrap().unwrap();
    assert_minimal(&minimal, &wanted);
    assert!(minimal.asked < 20, "asked {} times", minimal.asked);
}

/// Everything that a reader saw must stay, and what its writers saw: leaving out stretches alone would fail each time.
#[test]
fn who_saw_what_guides_the_search() {
    let mut plan = generate::Plan::new(generate::Model::Lists, 5, 500);
    (plan.keys, plan.processes) = (5, 5);
    let events = generate::Generator::new(plan).unwrap().collect();
    let mut history = History { events, ..History::default() };
    // One late reader saw the last two elements the other way around.
    let reads_long = |item: &Value| item.as_list().unwrap()[2].as_list().is_some_and(|list| list.len() > 20);
    let swapped = history.events.iter_mut().rev().find_map(|event| {
        let What::Complete { completion, .. } = &mut event.what else { return None };
        let Value::List(steps) = &mut completion.value else { return None };
        let Value::List(step) = steps.iter_mut().find(|step| reads_long(step))? else { return None };
        let Value::List(list) = &mut step[2] else { return None };
        let last = list.len() - 1;
        list.swap(last - 1, last);
        Some(())
    });
    assert!(swapped.is_some());
    let report = isolation::check_lists(&history, &isolation::Options::default()).unwrap();
    let wanted = class(&history);
    let mut ask = |part: &History| shows(&wanted, class(part));
    let minimal = minimize(&history, &report.proof().unwrap().operations(), &mut ask).unwrap().unwrap();
    assert_minimal(&minimal, &wanted);
    let (left, asked) = (minimal.operations.len(), minimal.asked);
    assert!(asked < left * 3, "asked {asked} times, {left} are left");
}

#[test]
fn told_to_stop_it_says_that_it_is_not_minimal() {
    let path = lists().into_iter().find(|path| path.ends_with("g_single_read_skew.jsonl")).unwrap();
    let history = crowd(&tenet_histories::read_file(&path).unwrap().history, 50);
    let wanted = class(&history);
    let mut left = 3;
    let mut ask = |part: &History| {
        left -= 1;
        if left == 0 { Shows::Stop } else { shows(&wanted, class(part)) }
    };
    let minimal = minimize(&history, &[], &mut ask).unwrap().unwrap();
    assert!(!minimal.minimal);
    assert_eq!(minimal.asked, 3);
    assert_eq!(class(&minimal.history), wanted);
}

#[test]
fn what_is_not_shown_is_not_made_smaller() {
    let history = tenet_histories::read_file(&lists()[0]).unwrap().history;
    assert_eq!(minimize(&history, &[], &mut |_| Shows::No).unwrap(), None);
    let unknown = Completion::new(Outcome::Unknown);
    let broken = History {
        events: vec![Event::new(0, What::Complete { process: Process(0), completion: unknown })],
        ..History::default()
    };
    assert!(minimize(&broken, &[], &mut |_| Shows::Yes).is_err());
}
