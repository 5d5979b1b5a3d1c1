//! The page holds the history that it was made of, stays small, and refers to nothing outside of itself.

use std::path::Path;

use serde_json::Value as Json;
use tenet_checker::html::{PAGE_BYTES, Shown, page};
use tenet_checker::{isolation, linearizable};
use tenet_histories::{Call, Completion, Event, Fault, FaultEdge, Header, History, Outcome, Process, Value, What};

const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn corpus(name: &str) -> History {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories/corpus").join(name);
    tenet_histories::read_file(&path).unwrap().history
}

fn lists(history: &History) -> String {
    let report = isolation::check_lists(history, &isolation::Options::default()).unwrap();
    page(history, "a history", "list-append", &Shown::of_isolation(&report)).unwrap()
}

fn register(history: &History) -> (linearizable::Report, String) {
    let report = linearizable::check(history, &linearizable::Options::default()).unwrap();
    let page = page(history, "a history", "register", &Shown::of_linearizable(&report)).unwrap();
    (report, page)
}

fn data(page: &str) -> Json {
    let (_, rest) = page.split_once("<script id=\"data\" type=\"application/json\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn numbers(digits: &Json) -> Vec<u64> {
    let (mut numbers, mut number, mut place) = (Vec::new(), 0, 1);
    for char in digits.as_str().unwrap().chars() {
        let digit = DIGITS.find(char).unwrap() as u64;
        number += digit % 32 * place;
        place *= 32;
        if digit < 32 {
            numbers.push(std::mem::take(&mut number));
            place = 1;
        }
    }
    numbers
}

fn sums(numbers: Vec<u64>) -> Vec<u64> {
    let add = |sum: &mut u64, number: u64| {
        *sum += number;
        Some(*sum)
    };
    numbers.into_iter().scan(0, add).collect()
}

fn order(digits: &Json) -> Vec<i64> {
    let step = |number: u64| if number.is_multiple_of(2) { number as i64 / 2 } else { -(number as i64 + 1) / 2 };
    let add = |sum: &mut i64, number: u64| {
        *sum += step(number);
        Some(*sum)
    };
    numbers(digits).into_iter().scan(0, add).collect()
}

/// All that a browser would fetch, run from elsewhere, or follow.
fn assert_alone(page: &str) {
    let page = page.to_lowercase();
    for outside in
        ["http:", "https:", "src=", "href=", "@import", "url(", "<link", "<base", "<iframe", "fetch(", "xmlhttp"]
    {
        assert!(!page.contains(outside), "the page contains `{outside}`");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn page_of_a_cycle_explains_each_step() {
    let page = lists(&corpus("list-append/g_single_read_skew.jsonl"));
    assert_alone(&page);
    let data = data(&page);
    let steps = data["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    let texts: Vec<&str> = steps.iter().map(|step| step[3].as_str().unwrap()).collect();
    assert!(
        texts.iter().any(|text| text.contains("read list 1 empty, without 1, which operation 1 appended")),
        "{texts:?}"
    );
    assert!(steps.iter().any(|step| step[2] == "rw"));
    for (step, next) in steps.iter().zip(steps.iter().cycle().skip(1)) {
        assert_eq!(step[1], next[0], "each step goes on where the one before ended");
    }
    assert!(page.contains("<span id=\"verdict\" class=\"INVALID\">INVALID</span>"));
    assert!(page.contains("G-single (read skew)"));
}

#[test]
fn page_of_a_stale_read_shows_prefix_window_and_what_blocks() {
    let (report, page) = register(&corpus("register/read_of_overwritten_value.jsonl"));
    let linearizable::Proof::Invalid(violation) = report.proof else { panic!("the history is invalid") };
    assert_alone(&page);
    let data = data(&page);
    assert_eq!(data["window"]["blocked"], violation.window.blocked);
    assert_eq!(data["window"]["until"], violation.window.until);
    let prefix: Vec<i64> = violation.prefix.iter().map(|operation| *operation as i64).collect();
    assert!(!prefix.is_empty());
    assert_eq!(order(&data["orders"][0][1]), prefix);
}

#[test]
fn page_of_a_valid_history_shows_its_order() {
    let (report, page) = register(&corpus("register/keys_are_independent_valid.jsonl"));
    let linearizable::Proof::Valid(orders) = report.proof else { panic!("the history is valid") };
    let data = data(&page);
    for (shown, found) in data["orders"].as_array().unwrap().iter().zip(&orders) {
        assert_eq!(shown[0], found.part);
        assert_eq!(order(&shown[1]), found.operations.iter().map(|operation| *operation as i64).collect::<Vec<_>>());
    }
    assert_eq!(data["orders"].as_array().unwrap().len(), orders.len());
}

#[test]
fn columns_say_what_the_history_says() {
    for name in ["register/unknown_write_flickers.jsonl", "register/open_write_seen_valid.jsonl"] {
        let history = corpus(name);
        let data = data(&register(&history).1);
        let operations = history.operations().unwrap();
        let invoked = sums(numbers(&data["invoked"]));
        let lasted = numbers(&data["lasted"]);
        let functions: Vec<&Json> =
            numbers(&data["function"]).iter().map(|at| &data["functions"][*at as usize]).collect();
        let clients: Vec<&Json> = numbers(&data["client"]).iter().map(|row| &data["clients"][*row as usize]).collect();
        let texts: Vec<&str> = data["texts"].as_str().unwrap().split('\n').collect();
        assert_eq!(texts.len(), operations.len());
        for (number, operation) in operations.iter().enumerate() {
            assert_eq!(invoked[number], operation.invoke_event as u64);
            let completed = operation.completed.map_or(0, |completed| completed.event - operation.invoke_event);
            assert_eq!(lasted[number], completed as u64);
            assert_eq!(functions[number], operation.call.function.as_ref());
            assert_eq!(*clients[number], operation.process.to_string());
            let letter = data["outcome"].as_str().unwrap().as_bytes()[number];
            assert_eq!(letter == b'o', operation.is_ok());
            assert_eq!(letter == b'u', operation.outcome() == Outcome::Unknown);
            assert!(texts[number].starts_with(&operation.call.key.to_string()), "{}", texts[number]);
        }
        let times = sums(numbers(&data["times"]));
        assert_eq!(times, history.events.iter().map(|event| event.time_ns).collect::<Vec<_>>());
    }
}

fn invoke(process: u32, function: &'static str, value: Value) -> What {
    What::Invoke { process: Process(process), call: Call { function: function.into(), key: Value::Int(1), value } }
}

fn history(whats: Vec<What>) -> History {
    let events = whats.into_iter().enumerate().map(|(time, what)| Event::new(time as u64 * 1000, what)).collect();
    History { header: Header::default(), events }
}

#[test]
fn nothing_of_a_history_becomes_markup() {
    let evil = "</script><script>alert(1)</script><!--<img onerror=x>&\"'\u{2028}\n{{data}}";
    let ok = |value: &str| What::Complete { process: Process(0), completion: Completion::ok(value.into()) };
    let mut failed = Completion::new(Outcome::Unknown);
    failed.error = Some(evil.to_string());
    let history = history(vec![
        What::Fault(Fault { name: evil.to_string(), edge: FaultEdge::Begin, detail: evil.into() }),
        invoke(0, "write", evil.into()),
        ok(evil),
        invoke(0, "read", Value::Nil),
        ok("<b>"),
        invoke(0, "write", Value::Keyword(evil.to_string())),
        What::Complete { process: Process(0), completion: failed },
    ]);
    let report = linearizable::check(&history, &linearizable::Options::default()).unwrap();
    let page = page(&history, evil, "<model>", &Shown::of_linearizable(&report)).unwrap();
    let template = register(&corpus("register/write_then_read_valid.jsonl")).1;
    let count = |page: &str, what: &str| page.matches(what).count();
    for mark in ["<script", "</script", "<!--", "<img", "<b>", "<model>", "{{data}}"] {
        // The name of a placeholder is no markup, and is not replaced in what was put in place of another.
        let expected = if mark == "{{data}}" { count(&page, mark) } else { count(&template, mark) };
        assert_eq!(count(&page, mark), expected, "{mark}");
    }
    let data = data(&page);
    assert!(data["texts"].as_str().unwrap().contains("alert(1)"));
    assert_eq!(data["texts"].as_str().unwrap().split('\n').count(), 3);
    assert_eq!(data["faults"][0][0], evil);
    assert!(page.contains("&lt;/script&gt;"));
}

#[test]
fn faults_phases_and_alarms_are_bands() {
    let fault = |edge, detail: &str| What::Fault(Fault { name: "partition".to_string(), edge, detail: detail.into() });
    let history = history(vec![
        What::Phase { name: "storm".to_string(), calm: false },
        fault(FaultEdge::Begin, "a | b"),
        fault(FaultEdge::Begin, "b | c"),
        fault(FaultEdge::End, "a | b"),
        fault(FaultEdge::Strike, "once"),
    ]);
    let data = data(&register(&history).1);
    assert_eq!(
        data["faults"],
        serde_json::json!([["partition", "a | b", 1, 3], ["partition", "b | c", 2, null], ["partition", "once", 4, 4]])
    );
    assert_eq!(data["phases"], serde_json::json!([["storm", false, 0]]));
}

/// Transactions with long answers, none like another.
fn long(transactions: usize) -> History {
    let mut events = Vec::new();
    for number in 0..transactions as i64 {
        let process = Process((number % 30) as u32);
        let time_ns = number as u64 * 1_234_567;
        let micro = |name: &str, key: i64, value: Value| Value::List(vec![name.into(), key.into(), value]);
        let list: Vec<i64> = (number - number % 40..=number).collect();
        let asked = vec![micro("append", number / 40, number.into()), micro("r", number / 40, Value::Nil)];
        let answered = vec![micro("append", number / 40, number.into()), micro("r", number / 40, list.into())];
        let call = Call { function: "txn".into(), key: Value::Nil, value: Value::List(asked) };
        events.push(Event::new(time_ns, What::Invoke { process, call }));
        let completion = Completion::ok(Value::List(answered));
        events.push(Event::new(time_ns + 999_999, What::Complete { process, completion }));
    }
    History { header: Header::default(), events }
}

#[test]
fn page_of_a_hundred_thousand_transactions_is_small() {
    let page = lists(&long(100_000));
    assert!(page.len() <= PAGE_BYTES, "the page has {} bytes", page.len());
    let data = data(&page);
    assert_eq!(data["texts"].as_str().unwrap().split('\n').count(), 100_000);
    assert!(data["texts"].as_str().unwrap().contains('…'));
    assert_eq!(data["unit_ns"], 1000);
}
