//! Planted anomalies are found by their names, and nothing is found where nothing was planted.

use std::sync::Arc;

use tenet_checker::Finding;
use tenet_checker::budget::Budget;
use tenet_checker::generate::{Generator, Model, Plan, names};
use tenet_checker::isolation::{Level, Options, Report, check_lists, check_registers};
use tenet_histories::{Completion, Event, Header, History, Process, Value, What};

use crate::small::{append, call, read};
use crate::verify::verify;

fn history(plan: Plan) -> History {
    History { header: Header::default(), events: Generator::new(plan).unwrap().collect() }
}

fn check(model: Model, history: &History) -> Report {
    match model {
        Model::Lists => check_lists(history, &Options::default()).unwrap(),
        Model::Registers => check_registers(history, &Options::default()).unwrap(),
    }
}

#[test]
fn honest_histories_are_valid() {
    for seed in 0..40 {
        for model in [Model::Lists, Model::Registers] {
            let report = check(model, &history(Plan { processes: 1 + seed as u32, ..Plan::new(model, seed, 500) }));
            assert!(report.anomalies.is_empty() && report.verdict().is_valid(), "{report}");
        }
    }
}

#[test]
fn planted_anomalies_are_found_by_name() {
    for model in [Model::Lists, Model::Registers] {
        for name in names(model) {
            for seed in 0..3 {
                let plan = Plan { anomaly: Some(name.to_string()), ..Plan::new(model, seed, 200) };
                let history = history(plan);
                let report = check(model, &history);
                verify(&history, &report);
                let found: Vec<String> = report.anomalies.iter().map(|anomaly| anomaly.name()).collect();
                assert!(found.contains(&name.to_string()), "{name} not among {found:?}\n{report}");
            }
        }
    }
}

#[test]
fn the_same_plan_gives_the_same_history() {
    let plan = || Plan { anomaly: Some("G1c".to_string()), ..Plan::new(Model::Lists, 7, 100) };
    assert_eq!(history(plan()), history(plan()));
    let error = Generator::new(Plan { anomaly: Some("G9".to_string()), ..plan() }).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("G-single"), "{error}");
}

/// What the first transaction appended the last one does not see, and every fifth single read misses an element.
fn tangled(seed: u64, transactions: usize) -> History {
    let mut history = history(Plan::new(Model::Lists, seed, transactions));
    let mut number = 0;
    for event in &mut history.events {
        if let What::Complete { completion, .. } = &mut event.what
            && let Value::List(micros) = &mut completion.value
            && let [Value::List(parts)] = &mut micros[..]
            && let [.., Value::List(list)] = &mut parts[..]
        {
            number += 1;
            if number % 5 == 0 {
                list.pop();
            }
        }
    }
    let alone = |micro: Value| {
        let process = Process(1000);
        let begin = What::Invoke { process, call: call(vec![micro.clone()]) };
        [begin, What::Complete { process, completion: Completion::ok(vec![micro].into()) }]
            .map(|what| Event::new(0, what))
    };
    let last = alone(read(-1, Value::List(Vec::new())));
    history.events = alone(append(-1, 1)).into_iter().chain(history.events).chain(last).collect();
    history
}

#[test]
fn an_enormous_tangle_is_judged_within_bounds() {
    let history = tangled(3, 20_000);
    let check = |steps_max| {
        check_lists(&history, &Options { budget: Budget { steps_max, ..Budget::default() }, ..Options::default() })
            .unwrap()
    };
    let (all, few) = (check(20_000_000), check(10));
    assert!(all.undecided.is_empty(), "{all}");
    verify(&history, &few);
    assert!(!few.verdict().is_valid());
    for level in Level::ALL {
        let (out, known) = (all.ruled_out().contains(&level), few.ruled_out().contains(&level));
        assert!(out == known || few.undecided.contains(&level), "{level}\n{few}");
    }
}

#[test]
fn a_check_that_is_stopped_or_too_large_decides_nothing() {
    let history = tangled(3, 200);
    let check = |budget| check_lists(&history, &Options { budget, ..Options::default() }).unwrap();
    let stopped = check(Budget { stop: Some(Arc::new(|| true)), ..Budget::default() });
    let large = check(Budget { bytes_max: 1000, ..Budget::default() });
    for report in [stopped, large] {
        assert_eq!(report.undecided, Level::ALL);
        assert!(matches!(report.finding(), Finding::Unknown { .. }), "{report}");
    }
}

#[test]
fn without_real_time_only_clients_order_counts() {
    let plan = Plan { anomaly: Some("G-single-realtime".to_string()), ..Plan::new(Model::Lists, 1, 100) };
    let mut history = history(plan);
    assert!(!check(Model::Lists, &history).verdict().is_valid());
    history.header.facts.insert("real_time".to_string(), Value::Bool(false));
    assert!(check(Model::Lists, &history).verdict().is_valid());
}
