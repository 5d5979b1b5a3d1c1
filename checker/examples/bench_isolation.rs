//! How fast histories of transactions are judged, and in how much memory.
//!
//! `cargo run --release -p tenet-checker --example bench_isolation -- [lists|tangled|registers|stamped|stamped-lists] [transactions] [runs]`
//!
//! Events are made in small batches while the clock stands, and given to the checker one by one. Memory is the peak of this
//! process beyond what it had before, so that one run is one process; the runs are children of the first.

use std::time::{Duration, Instant};

use tenet_checker::Verdict;
use tenet_checker::generate::{Generator, Model, Plan};
use tenet_checker::isolation::stamped::{self, Stamped};
use tenet_checker::isolation::{Level, Lists, Options, Registers};
use tenet_histories::{Call, Completion, Event, Process, Value, What};

/// Few enough to stay near the processor, as events do that are read one by one.
const BATCH: usize = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |place: usize, default: &str| arguments.get(place).cloned().unwrap_or(default.to_string());
    let (what, count, runs) = (argument(0, "lists"), argument(1, "1000000"), argument(2, "5"));
    let transactions: usize = count.parse().expect("a number of transactions");
    let runs: usize = runs.parse().expect("a number of runs");
    if runs == 1 {
        let (time, bytes) = run(&what, transactions);
        println!("{} {bytes}", time.as_nanos());
        return;
    }
    let program = std::env::current_exe().expect("the path of this program");
    let mut results: Vec<(u64, u64)> = (0..runs)
        .map(|_| {
            let output = std::process::Command::new(&program).args([&what, &count, "1"]).output().expect("a run");
            let text = String::from_utf8(output.stdout).expect("two numbers");
            let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
            (numbers.next().expect("a time"), numbers.next().expect("bytes"))
        })
        .collect();
    results.sort_unstable();
    let rate = |(ns, _): (u64, u64)| transactions as f64 / (ns as f64 / 1e9);
    let seconds = |(ns, _): (u64, u64)| ns as f64 / 1e9;
    let bytes = results.iter().map(|(_, bytes)| *bytes).max().expect("a run");
    println!(
        "{what}: {transactions} transactions, {runs} runs: median {:.2} s ({:.0} a second), from {:.2} to {:.2} s; {:.0} bytes each",
        seconds(results[runs / 2]),
        rate(results[runs / 2]),
        seconds(results[0]),
        seconds(results[runs - 1]),
        bytes as f64 / transactions as f64
    );
}

fn run(what: &str, transactions: usize) -> (Duration, u64) {
    let events = |model| Generator::new(Plan::new(model, 1, transactions)).expect("no anomaly is asked for");
    let lists = |events: &mut dyn Iterator<Item = Event>, is_valid| {
        let push = |lists: &mut Lists, event: &Event| lists.push(event).expect("a history");
        measure(events, Lists::default(), push, |lists| lists.finish(&Options::default()).verdict(), is_valid)
    };
    let stamped = |model| {
        let plan = Plan { timestamps: true, ..Plan::new(model, 1, transactions) };
        let push = |stamped: &mut Stamped, event: &Event| stamped.push(event).expect("a history");
        let finish = |stamped: Stamped| stamped.finish().verdict(Level::StrictSerializable);
        let new = Stamped::new(&stamped::Options::default());
        measure(&mut Generator::new(plan).expect("no anomaly is asked for"), new, push, finish, true)
    };
    match what {
        "stamped" => stamped(Model::Registers),
        "stamped-lists" => stamped(Model::Lists),
        "lists" => lists(&mut events(Model::Lists), true),
        // What the first transaction appended, the last one does not see: all are in one component, by real time. Besides,
        // every tenth of those that only read one list misses its last element.
        "tangled" => {
            let mut number = 0;
            let stale = events(Model::Lists).map(|event| stale(event, &mut number));
            let first = alone(0, vec!["append".into(), (-1).into(), 1.into()]);
            let last = alone(u64::MAX, vec!["r".into(), (-1).into(), Value::List(Vec::new())]);
            lists(&mut first.into_iter().chain(stale).chain(last), false)
        }
        "registers" => {
            let push = |registers: &mut Registers, event: &Event| registers.push(event).expect("a history");
            let finish = |registers: Registers| registers.finish(&Options::default()).verdict();
            measure(&mut events(Model::Registers), Registers::default(), push, finish, true)
        }
        other => panic!("`{other}`, expected lists, tangled, registers, stamped or stamped-lists"),
    }
}

/// A transaction of one step.
fn alone(time_ns: u64, micro: Vec<Value>) -> [Event; 2] {
    let (process, value) = (Process(u32::MAX), Value::List(vec![Value::List(micro)]));
    let call = Call { function: "txn".into(), key: Value::Nil, value: value.clone() };
    let begin = What::Invoke { process, call };
    [begin, What::Complete { process, completion: Completion::ok(value) }].map(|what| Event::new(time_ns, what))
}

fn stale(mut event: Event, number: &mut usize) -> Event {
    if let What::Complete { completion, .. } = &mut event.what
        && let Value::List(micros) = &mut completion.value
        && let [Value::List(parts)] = &mut micros[..]
        && let [.., Value::List(list)] = &mut parts[..]
    {
        *number += 1;
        if (*number).is_multiple_of(10) {
            list.pop();
        }
    }
    event
}

fn measure<J>(
    events: &mut dyn Iterator<Item = Event>,
    mut judge: J,
    push: impl Fn(&mut J, &Event),
    finish: impl FnOnce(J) -> Verdict,
    is_valid: bool,
) -> (Duration, u64) {
    let mut batch: Vec<Event> = Vec::with_capacity(BATCH);
    let mut time = Duration::ZERO;
    batch.extend(Iterator::take(&mut *events, BATCH));
    let before = memory("VmRSS:");
    while !batch.is_empty() {
        let begin = Clock::now();
        batch.iter().for_each(|event| push(&mut judge, event));
        time += begin.elapsed();
        batch.clear();
        batch.extend(Iterator::take(&mut *events, BATCH));
    }
    let begin = Clock::now();
    let verdict = finish(judge);
    time += begin.elapsed();
    assert_eq!(verdict.is_valid(), is_valid, "{verdict}");
    (time, memory("VmHWM:").saturating_sub(before))
}

/// The processor's time of this thread where the system tells it to the nanosecond, because others may run beside; else
/// that of the wall.
enum Clock {
    Processor(u64),
    Wall(Instant),
}

impl Clock {
    fn now() -> Clock {
        processor_ns().map_or_else(|| Clock::Wall(Instant::now()), Clock::Processor)
    }

    fn elapsed(&self) -> Duration {
        match self {
            Clock::Processor(begin) => Duration::from_nanos(processor_ns().expect("it was told before") - begin),
            Clock::Wall(begin) => begin.elapsed(),
        }
    }
}

fn processor_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().filter(|ns| *ns > 0)
}

/// In bytes; none where there is no /proc.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
