//! How fast the oracle `linearizable` is: `cargo run --release -p tenet-checker --example bench_linearizable [NAME ..]`.
//!
//! Each workload is a history drawn from a seed (always the same), judged five times: median and range of the time on the
//! CPU, and the median by the clock, which says more of the machine's other work. It runs in a process of its own, whose peak
//! memory is told with and without the check. Parsing is not part of it.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Instant;

use tenet_checker::linearizable::{Kind, Options, Proof, check};
use tenet_histories::{Call, Completion, Event, Header, History, Outcome, Process, Value, What};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % sides
    }
}

#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    kind: Kind,
    operations: usize,
    clients: usize,
    keys: u64,
    /// Of a thousand operations so many are unknown.
    unknown: u64,
    /// Values are below this; 0: each is another.
    values: u64,
    /// With compare-and-set; of texts: with put.
    swaps: bool,
    /// One read near the end tells the value written first, or where values are few the next one: that may be possible all the same.
    lie: bool,
    /// So many histories, of which the time is told for one.
    histories: u64,
}

const REGISTER: Workload = Workload {
    name: "register",
    kind: Kind::Register,
    operations: 100_000,
    clients: 10,
    keys: 1,
    unknown: 0,
    values: 0,
    swaps: false,
    lie: false,
    histories: 1,
};

const JEPSEN: Workload = Workload {
    name: "cas-300",
    operations: 300,
    clients: 5,
    unknown: 40,
    values: 5,
    swaps: true,
    histories: 100,
    ..REGISTER
};

const PORCUPINE: Workload = Workload { name: "porcupine-etcd", operations: 85, unknown: 160, ..JEPSEN };

const PORCUPINE_KV: Workload = Workload {
    name: "porcupine-kv-c10",
    kind: Kind::Kv,
    operations: 325,
    keys: 10,
    swaps: true,
    histories: 20,
    ..REGISTER
};

const WORKLOADS: &[Workload] = &[
    REGISTER,
    Workload { name: "register-lie", lie: true, ..REGISTER },
    Workload { name: "register-unknown", unknown: 20, ..REGISTER },
    Workload { name: "register-unknown-lie", unknown: 20, lie: true, ..REGISTER },
    Workload { name: "register-5-values", values: 5, ..REGISTER },
    Workload { name: "register-50-values-lie", values: 50, lie: true, ..REGISTER },
    Workload { name: "cas-register-5-values", values: 5, swaps: true, ..REGISTER },
    Workload { name: "cas-register-50-values-lie", values: 50, swaps: true, lie: true, ..REGISTER },
    Workload { name: "register-100-clients", clients: 100, ..REGISTER },
    Workload { name: "register-100-clients-lie", clients: 100, lie: true, ..REGISTER },
    Workload { name: "cas-register-100-clients", clients: 100, values: 5, swaps: true, ..REGISTER },
    Workload { name: "register-100-keys", keys: 100, operations: 1_000_000, ..REGISTER },
    JEPSEN,
    Workload { name: "cas-300-lie", lie: true, ..JEPSEN },
    Workload { name: "cas-300-many-unknown", unknown: 200, ..JEPSEN },
    Workload { name: "cas-300-many-unknown-lie", unknown: 200, lie: true, ..JEPSEN },
    Workload { name: "cas-1000-many-unknown", operations: 1000, histories: 20, unknown: 200, ..JEPSEN },
    Workload { name: "cas-1000-many-unknown-lie", operations: 1000, histories: 20, unknown: 200, lie: true, ..JEPSEN },
    Workload { name: "cas-10000-many-unknown", operations: 10_000, histories: 5, unknown: 200, ..JEPSEN },
    Workload {
        name: "cas-10000-many-unknown-lie",
        operations: 10_000,
        histories: 5,
        unknown: 200,
        lie: true,
        ..JEPSEN
    },
    Workload { name: "register-100-clients-unknown", clients: 100, unknown: 20, ..REGISTER },
    Workload { name: "register-100-clients-unknown-lie", clients: 100, unknown: 20, lie: true, ..REGISTER },
    Workload { name: "kv-100-keys", kind: Kind::Kv, keys: 100, operations: 20_000, clients: 50, ..REGISTER },
    // Of the size and shape of the histories that Porcupine is tested with: etcd_000.log, kv/c10-ok.txt, kv/c50-ok.txt.
    PORCUPINE,
    Workload { name: "porcupine-etcd-lie", lie: true, ..PORCUPINE },
    PORCUPINE_KV,
    Workload { name: "porcupine-kv-c50", operations: 1_500, clients: 50, ..PORCUPINE_KV },
    Workload { name: "kv-1-key", kind: Kind::Kv, operations: 2_000, clients: 20, ..REGISTER },
    Workload { name: "queue", kind: Kind::Queue, operations: 20_000, ..REGISTER },
    Workload { name: "unordered-queue", kind: Kind::UnorderedQueue, ..REGISTER },
    Workload { name: "set", kind: Kind::Set, operations: 2_000, ..REGISTER },
    Workload { name: "counter", kind: Kind::Counter, ..REGISTER },
    Workload { name: "mutex", kind: Kind::Mutex, unknown: 5, ..REGISTER },
    Workload { name: "log", kind: Kind::Log, operations: 10_000, ..REGISTER },
];

/// The object of one key, honest.
#[derive(Clone, Default)]
struct Object {
    value: i64,
    /// The value that was written first.
    first: i64,
    text: String,
    list: VecDeque<i64>,
    held: bool,
}

impl Object {
    /// The answer; none if it refuses.
    fn apply(&mut self, call: &Call) -> Option<Value> {
        let int = |value: &Value| value.as_int().expect("the generator writes integers");
        Some(match (call.function.as_ref(), &call.value) {
            ("read", _) if !self.list.is_empty() => Value::List(self.list.iter().copied().map(Value::Int).collect()),
            ("read", Value::Bool(true)) => Value::List(Vec::new()),
            ("read", _) => self.value.into(),
            ("write", value) => {
                self.value = int(value);
                self.first = if self.first == 0 { self.value } else { self.first };
                Value::Nil
            }
            ("cas", Value::List(values)) if int(&values[0]) == self.value => {
                self.value = int(&values[1]);
                true.into()
            }
            ("cas", _) => return None,
            ("get", _) => self.text.as_str().into(),
            ("put", Value::Text(text)) => {
                self.text.clone_from(text);
                Value::Nil
            }
            ("append", Value::Text(text)) => {
                self.text.push_str(text);
                Value::Nil
            }
            ("inc", _) => {
                self.value += 1;
                Value::Nil
            }
            ("append" | "add" | "enqueue", value) => {
                self.list.push_back(int(value));
                Value::Nil
            }
            ("dequeue", _) => self.list.pop_front()?.into(),
            ("acquire", _) if !self.held => {
                self.held = true;
                Value::Nil
            }
            ("release", _) if self.held => {
                self.held = false;
                Value::Nil
            }
            _ => return None,
        })
    }
}

impl Workload {
    fn call(&self, dice: &mut Dice, number: usize) -> Call {
        let key = dice.roll(self.keys) as i64;
        let unique = number as i64 + 1;
        let mut value = || if self.values == 0 { unique } else { dice.roll(self.values) as i64 };
        let (value, other) = (value(), value());
        let side = dice.roll(100);
        let (function, value): (&'static str, Value) = match self.kind {
            Kind::Kv if self.swaps && side < 10 => ("put", format!("x{number} ").as_str().into()),
            Kind::Kv if side < 50 => ("append", format!("x{number} ").as_str().into()),
            Kind::Kv => ("get", Value::Nil),
            Kind::Queue | Kind::UnorderedQueue if side < 50 => ("enqueue", value.into()),
            Kind::Queue | Kind::UnorderedQueue => ("dequeue", Value::Nil),
            Kind::Counter if side < 50 => ("inc", Value::Nil),
            Kind::Set if side < 50 => ("add", value.into()),
            Kind::Log if side < 95 => ("append", value.into()),
            Kind::Mutex if side < 50 => ("acquire", Value::Nil),
            Kind::Mutex => ("release", Value::Nil),
            _ if self.swaps && side < 30 => ("cas", vec![value, other].into()),
            Kind::Register if side < 60 => ("write", value.into()),
            _ => ("read", Value::Nil),
        };
        Call { function: function.into(), key: key.into(), value }
    }

    fn history(&self, seed: u64) -> History {
        enum Client {
            Idle,
            Asked(Call),
            Done(Completion),
        }
        let mut dice = Dice(seed);
        let mut objects = vec![Object::default(); self.keys as usize];
        let mut clients: Vec<(Process, Client)> =
            (0..self.clients).map(|n| (Process(n as u32), Client::Idle)).collect();
        let (mut events, mut asked, mut next_process) = (Vec::new(), 0, self.clients as u32);
        let mut lie = self.lie;
        while asked < self.operations {
            let (process, client) = &mut clients[dice.roll(self.clients as u64) as usize];
            let what = match std::mem::replace(client, Client::Idle) {
                Client::Idle => {
                    let call = self.call(&mut dice, asked);
                    asked += 1;
                    *client = Client::Asked(call.clone());
                    What::Invoke { process: *process, call }
                }
                Client::Asked(call) => {
                    let object = &mut objects[call.key.as_int().expect("keys are integers") as usize];
                    let is_unknown = dice.roll(1000) < self.unknown;
                    let completion = if is_unknown && dice.roll(2) == 0 {
                        Completion::new(Outcome::Unknown)
                    } else {
                        let answer = object.apply(&call);
                        match answer {
                            _ if is_unknown => Completion::new(Outcome::Unknown),
                            Some(_) if lie && call.function == "read" && asked * 10 > self.operations * 9 => {
                                lie = false;
                                let another = (object.value + 1) % self.values.max(1) as i64;
                                Completion::ok(if self.values == 0 { object.first.into() } else { another.into() })
                            }
                            Some(Value::Int(0)) if matches!(self.kind, Kind::Set | Kind::Log) => {
                                Completion::ok(Value::List(Vec::new()))
                            }
                            Some(answer) => Completion::ok(answer),
                            None => Completion::new(Outcome::Fail),
                        }
                    };
                    *client = Client::Done(completion);
                    continue;
                }
                Client::Done(completion) => {
                    let own = *process;
                    if completion.outcome == Outcome::Unknown {
                        *process = Process(next_process);
                        next_process += 1;
                    }
                    What::Complete { process: own, completion }
                }
            };
            events.push(Event::new(events.len() as u64 * 1000, what));
        }
        let initial = if self.kind == Kind::Kv { "".into() } else { Value::Int(0) };
        History { header: Header { workload: String::new(), facts: [("initial".to_string(), initial)].into() }, events }
    }

    fn run(&self) {
        let histories: Vec<History> = (0..self.histories).map(|seed| self.history(seed + 1)).collect();
        let before = peak_mib();
        let options = Options { kind: self.kind, ..Options::default() };
        let (mut seconds, mut by_clock) = (Vec::new(), Vec::new());
        let mut verdicts = [0; 3];
        for _ in 0..5 {
            let (cpu, start) = (cpu_seconds(), Instant::now());
            for history in &histories {
                let report = check(history, &options).expect("the generator writes what the model reads");
                verdicts[match report.proof {
                    Proof::Valid(_) => 0,
                    Proof::Invalid(_) => 1,
                    Proof::Unknown { .. } => 2,
                }] += 1;
            }
            by_clock.push(start.elapsed().as_secs_f64() / self.histories as f64);
            seconds.push((cpu_seconds() - cpu) / self.histories as f64);
        }
        seconds.sort_by(f64::total_cmp);
        by_clock.sort_by(f64::total_cmp);
        let [first, _, median, _, last] = seconds[..] else { unreachable!("five runs") };
        let [valid, invalid, unknown] = verdicts.map(|count| count / 5);
        println!(
            "{:<28} {:>8} operations  {median:.6} s ({first:.6} to {last:.6}), {:.6} by the clock  {valid} valid, {invalid} invalid, \
             {unknown} unknown  {} MiB, {} of them the history",
            self.name,
            self.operations,
            by_clock[2],
            peak_mib(),
            before,
        );
    }
}

/// The most that this process ever held.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The time that this thread was on a CPU.
fn cpu_seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = status.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let [name] = &asked[..]
        && let Some(workload) = WORKLOADS.iter().find(|workload| workload.name == name)
    {
        return workload.run();
    }
    let own = std::env::current_exe().expect("this program has a path");
    for workload in
        WORKLOADS.iter().filter(|workload| asked.is_empty() || asked.iter().any(|name| name == workload.name))
    {
        let status = Command::new(&own).arg(workload.name).status().expect("this program runs again");
        if !status.success() {
            println!("{}: {status}", workload.name);
        }
    }
}
