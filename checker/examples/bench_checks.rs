//! How fast the checks of one promise each are: `cargo run --release -p tenet-checker --example bench_checks [NAME ..]`.
//!
//! Each workload is a history of an honest database, drawn from a seed (always the same), at one size and at four times that
//! size, judged five times: median and range. What is linear takes four times as long. Making the history is not part of it.

use std::collections::VecDeque;
use std::time::Instant;

use tenet_checker::Finding;
use tenet_checker::generate::Luck;
use tenet_checker::models::{self, Options};
use tenet_histories::{Call, Completion, Event, Header, Outcome, Process, Value, What};

const RUNS: usize = 5;

struct Workload {
    model: &'static str,
    operations: usize,
    clients: usize,
    facts: &'static [(&'static str, i64)],
}

const WORKLOADS: [Workload; 13] = [
    Workload { model: "session", operations: 250_000, clients: 10, facts: &[] },
    Workload { model: "session", operations: 25_000, clients: 1000, facts: &[] },
    Workload { model: "causal", operations: 250_000, clients: 10, facts: &[] },
    Workload { model: "causal", operations: 25_000, clients: 1000, facts: &[] },
    Workload { model: "causal-convergence", operations: 250_000, clients: 10, facts: &[] },
    Workload { model: "staleness", operations: 250_000, clients: 10, facts: &[("age_ns_max", 0)] },
    Workload { model: "set-full", operations: 5_000, clients: 10, facts: &[] },
    Workload { model: "counter-bounds", operations: 250_000, clients: 10, facts: &[] },
    Workload { model: "total-queue", operations: 250_000, clients: 10, facts: &[] },
    Workload { model: "unique-ids", operations: 250_000, clients: 10, facts: &[] },
    Workload { model: "bank", operations: 100_000, clients: 10, facts: &[("total", 1000)] },
    Workload { model: "partition-log", operations: 100_000, clients: 10, facts: &[("dense", 1), ("from-start", 1)] },
    Workload { model: "leases", operations: 250_000, clients: 10, facts: &[] },
];

/// What all clients share.
#[derive(Default)]
struct Database {
    registers: [i64; 20],
    elements: Vec<i64>,
    queue: VecDeque<i64>,
    count: i64,
    accounts: [i64; 10],
    /// The holder of the lock.
    holder: Option<usize>,
    /// By client: what it has read of the log.
    offsets: Vec<usize>,
}

impl Database {
    fn ask(&self, model: &str, luck: &mut Luck, client: usize, number: i64) -> Call {
        let is_even = luck.below(2) == 0;
        let call = |function: &'static str, key: Value, value: Value| Call { function: function.into(), key, value };
        let key = Value::Int(luck.below(20) as i64);
        match model {
            "set-full" if luck.below(50) > 0 => call("add", Value::Nil, number.into()),
            "set-full" => call("read", Value::Nil, Value::Nil),
            "counter-bounds" if is_even => call("inc", Value::Nil, Value::Nil),
            "counter-bounds" => call("read", Value::Nil, Value::Nil),
            "total-queue" if is_even => call("enqueue", Value::Nil, number.into()),
            "total-queue" => call("dequeue", Value::Nil, Value::Nil),
            "unique-ids" => call("generate", Value::Nil, Value::Nil),
            "bank" if is_even => {
                let amount = luck.below(5) as i64;
                let [from, to] = [0, 1].map(|_| Value::Int(luck.below(10) as i64));
                call("transfer", Value::Nil, Value::map([("from", from), ("to", to), ("amount", amount.into())]))
            }
            "bank" => call("read", Value::Nil, Value::Nil),
            "partition-log" if self.offsets[client] == usize::MAX => {
                call("assign", Value::Nil, vec![Value::Int(0)].into())
            }
            "partition-log" if is_even => call("send", Value::Int(0), number.into()),
            "partition-log" => call("poll", Value::Nil, Value::Nil),
            "leases" if self.holder == Some(client) => call("release", Value::Nil, Value::Nil),
            "leases" => call("acquire", Value::Nil, Value::Nil),
            _ if is_even => call("write", key, number.into()),
            _ => call("read", key, Value::Nil),
        }
    }

    /// None: it is refused.
    fn answer(&mut self, model: &str, client: usize, call: &Call) -> Option<Value> {
        let int = |value: &Value| value.as_int().expect("an integer");
        Some(match (model, call.function.as_ref()) {
            (_, "add") => {
                self.elements.push(int(&call.value));
                Value::Nil
            }
            ("set-full", "read") => self.elements.clone().into(),
            (_, "inc") => {
                self.count += 1;
                Value::Nil
            }
            ("counter-bounds", "read") => self.count.into(),
            (_, "enqueue") => {
                self.queue.push_back(int(&call.value));
                Value::Nil
            }
            (_, "dequeue") => self.queue.pop_front()?.into(),
            (_, "generate") => {
                self.count += 1;
                self.count.into()
            }
            (_, "transfer") => {
                let [from, to, amount] = ["from", "to", "amount"].map(|name| call.value.field(name).map(int));
                let (from, to, amount) = (from? as usize, to? as usize, amount?);
                if self.accounts[from] < amount {
                    return None;
                }
                self.accounts[from] -= amount;
                self.accounts[to] += amount;
                Value::Nil
            }
            ("bank", "read") => {
                let balances = self.accounts.iter().enumerate();
                Value::Map(balances.map(|(account, balance)| (Value::Int(account as i64), (*balance).into())).collect())
            }
            (_, "assign") => {
                self.offsets[client] = 0;
                Value::Nil
            }
            (_, "send") => {
                self.elements.push(int(&call.value));
                (self.elements.len() as i64 - 1).into()
            }
            (_, "poll") => {
                let from = self.offsets[client];
                let to = self.elements.len().min(from + 20);
                self.offsets[client] = to;
                let records = (from..to).map(|at| vec![at as i64, self.elements[at]].into());
                Value::Map([(Value::Int(0), records.collect::<Vec<Value>>().into())].into())
            }
            (_, "acquire") if self.holder.is_some() => return None,
            (_, "acquire") => {
                self.holder = Some(client);
                self.count += 1;
                Value::map([("token", self.count.into())])
            }
            (_, "release") => {
                self.holder = None;
                Value::Nil
            }
            (_, function) => {
                let key = int(&call.key) as usize;
                if function == "write" {
                    self.registers[key] = int(&call.value);
                    return Some(Value::Nil);
                }
                self.registers[key].into()
            }
        })
    }
}

/// Operations take effect as they complete.
fn events(workload: &Workload, operations: usize) -> Vec<Event> {
    let mut luck = Luck(1);
    let mut database =
        Database { accounts: [100; 10], offsets: vec![usize::MAX; workload.clients], ..Database::default() };
    let mut asked: Vec<Option<Call>> = vec![None; workload.clients];
    let (mut events, mut number) = (Vec::new(), 0);
    while number < operations || asked.iter().any(Option::is_some) {
        let client = luck.below(workload.clients as u64) as usize;
        let process = Process(client as u32);
        let what = match asked[client].take() {
            None if number == operations => continue,
            None => {
                number += 1;
                let call = database.ask(workload.model, &mut luck, client, number as i64);
                asked[client] = Some(call.clone());
                What::Invoke { process, call }
            }
            Some(call) => {
                let answer = database.answer(workload.model, client, &call);
                let completion = answer.map_or_else(|| Completion::new(Outcome::Fail), Completion::ok);
                What::Complete { process, completion }
            }
        };
        events.push(Event::new(events.len() as u64 * 1000, what));
    }
    if workload.model == "total-queue" {
        let left: Vec<i64> = database.queue.into_iter().collect();
        let call = Call { function: "drain".into(), key: Value::Nil, value: Value::Nil };
        let drain = What::Invoke { process: Process(0), call };
        let drained = What::Complete { process: Process(0), completion: Completion::ok(left.into()) };
        events.extend([drain, drained].map(|what| Event::new(u64::MAX, what)));
    }
    events
}

fn measure(workload: &Workload, operations: usize) {
    let model = models::named(workload.model).expect("a model of that name");
    let flag =
        |name: &str, value: i64| if name.contains("ns") || name == "total" { value.into() } else { Value::Bool(true) };
    let mut facts: std::collections::BTreeMap<String, Value> =
        workload.facts.iter().map(|(name, value)| (name.to_string(), flag(name, *value))).collect();
    facts.insert("initial".to_string(), Value::Int(0));
    let header = Header { workload: workload.model.to_string(), facts };
    let events = events(workload, operations);
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let mut stream = model.stream(&header, &Options::default());
            events.iter().for_each(|event| stream.push(event).expect("a history of the model"));
            let told = stream.finish().expect("a history of the model");
            let seconds = start.elapsed().as_secs_f64();
            assert!(told.verdict().finding == Finding::Valid, "{told}");
            seconds
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "{:<20} {:>5} clients {:>9} operations  {:.3} s ({:.3} to {:.3}), {:.0} a second",
        workload.model,
        workload.clients,
        operations,
        seconds[RUNS / 2],
        seconds[0],
        seconds[RUNS - 1],
        operations as f64 / seconds[RUNS / 2],
    );
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |workload: &&Workload| asked.is_empty() || asked.iter().any(|name| name == workload.model);
    for workload in WORKLOADS.iter().filter(is_asked) {
        measure(workload, workload.operations);
        measure(workload, workload.operations * 4);
    }
}
