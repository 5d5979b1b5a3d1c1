//! Histories with a known verdict: for tests, for benchmarks, and for people who learn what an anomaly looks like.
//!
//! An honest database, in which every transaction takes effect at once at some moment between its invocation and its
//! completion, serves clients that read and write at random. If an anomaly is asked for, a few transactions that show it, and
//! nothing else, happen somewhere in the middle, on keys of their own ([`scripts`]). The same plan gives the same events.

mod script;
mod scripts;

use std::collections::VecDeque;

use tenet_histories::{Call, Completion, Event, Outcome, Process, Value, What, functions};

use script::Base;

pub use scripts::names;

/// Where the keys of an anomaly begin: nobody else gets so far.
const SCRIPT_KEY: i64 = 1 << 40;

/// What transactions do to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Append elements to lists and read them.
    Lists,
    /// Write values to registers and read them; each value once per key.
    Registers,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub model: Model,
    pub seed: u64,
    pub transactions: usize,
    pub processes: u32,
    /// How many keys are in use at a time, and after how many writes one is replaced by a new one.
    pub keys: usize,
    pub writes_per_key: usize,
    pub micros_max: usize,
    /// Of each hundred transactions, how many fail and of how many nobody is told.
    pub fail_percent: u64,
    pub unknown_percent: u64,
    /// The database says at what it read and committed.
    pub timestamps: bool,
    pub anomaly: Option<String>,
}

impl Plan {
    pub fn new(model: Model, seed: u64, transactions: usize) -> Plan {
        Plan {
            model,
            seed,
            transactions,
            processes: 20,
            keys: 20,
            writes_per_key: 64,
            micros_max: 4,
            fail_percent: 3,
            unknown_percent: 1,
            timestamps: false,
            anomaly: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("anomaly `{name}`, expected one of: {}", known.join(", "))]
pub struct UnknownAnomaly {
    name: String,
    known: Vec<&'static str>,
}

/// The events of a plan, one by one.
pub struct Generator {
    plan: Plan,
    luck: Luck,
    time_ns: u64,
    clock: u64,
    invoked: usize,
    keys: Vec<Key>,
    next_key: i64,
    /// What each process has open.
    open: Vec<Option<Vec<Value>>>,
    open_count: usize,
    /// The anomaly, and when it happens.
    script: Option<(usize, &'static str)>,
    ready: VecDeque<Event>,
}

struct Key {
    name: i64,
    written: i64,
    list: Vec<Value>,
    value: Value,
}

impl Generator {
    pub fn new(plan: Plan) -> Result<Generator, UnknownAnomaly> {
        let mut luck = Luck(plan.seed);
        let script = match &plan.anomaly {
            None => None,
            Some(name) => {
                let known = names(plan.model);
                let script = scripts::find(plan.model, name);
                let script = script.ok_or_else(|| UnknownAnomaly { name: name.clone(), known })?;
                Some((luck.below(plan.transactions.max(1) as u64) as usize, script))
            }
        };
        let mut generator = Generator {
            luck,
            time_ns: 0,
            clock: 0,
            invoked: 0,
            keys: Vec::new(),
            next_key: 0,
            open: vec![None; plan.processes.max(1) as usize],
            open_count: 0,
            script,
            ready: VecDeque::new(),
            plan,
        };
        for _ in 0..generator.plan.keys.max(1) {
            let key = generator.new_key();
            generator.keys.push(key);
        }
        Ok(generator)
    }

    fn new_key(&mut self) -> Key {
        self.next_key += 1;
        Key { name: self.next_key, written: 0, list: Vec::new(), value: Value::Nil }
    }

    fn event(&mut self, what: What) -> Event {
        self.time_ns += 1 + self.luck.below(20_000);
        Event::new(self.time_ns, what)
    }

    fn invoke(&mut self, process: usize) -> Event {
        let micros = 1 + self.luck.below(self.plan.micros_max.max(1) as u64);
        let asked: Vec<Value> = (0..micros).map(|_| self.micro()).collect();
        self.open[process] = Some(asked.clone());
        self.open_count += 1;
        self.invoked += 1;
        let call = Call { function: functions::TRANSACTION.into(), key: Value::Nil, value: Value::List(asked) };
        self.event(What::Invoke { process: Process(process as u32), call })
    }

    fn micro(&mut self) -> Value {
        let place = self.luck.below(self.keys.len() as u64) as usize;
        if self.luck.below(2) == 0 {
            let name = self.keys[place].name;
            return Value::List(vec![functions::MICRO_READ.into(), name.into(), Value::Nil]);
        }
        if self.keys[place].written as usize >= self.plan.writes_per_key {
            self.keys[place] = self.new_key();
        }
        let key = &mut self.keys[place];
        key.written += 1;
        let name = match self.plan.model {
            Model::Lists => functions::MICRO_APPEND,
            Model::Registers => functions::MICRO_WRITE,
        };
        Value::List(vec![name.into(), key.name.into(), key.written.into()])
    }

    fn complete(&mut self, process: usize) -> Event {
        let asked = self.open[process].take().expect("only busy processes complete");
        self.open_count -= 1;
        let roll = self.luck.below(100);
        let is_fail = roll < self.plan.fail_percent;
        let is_unknown = !is_fail && roll < self.plan.fail_percent + self.plan.unknown_percent;
        let mut completion = Completion::new(match (is_fail, is_unknown) {
            (true, _) => Outcome::Fail,
            (_, true) => Outcome::Unknown,
            _ => Outcome::Ok,
        });
        let is_lost = is_unknown && self.luck.below(2) == 0;
        if !is_fail && !is_lost {
            let (answered, writes) = self.apply(asked);
            if self.plan.timestamps {
                completion.read_timestamp = Some(self.clock);
                completion.commit_timestamp = writes.then_some(self.clock + 1);
                self.clock += u64::from(writes);
            }
            if !is_unknown {
                completion.value = Value::List(answered);
            }
        }
        self.event(What::Complete { process: Process(process as u32), completion })
    }

    /// The answers, and whether it wrote anything.
    fn apply(&mut self, asked: Vec<Value>) -> (Vec<Value>, bool) {
        let mut writes = false;
        let mut answered = Vec::with_capacity(asked.len());
        for mut micro in asked {
            let Value::List(parts) = &mut micro else { unreachable!("it was made as a list") };
            // A key that was replaced meanwhile is still read and written, by its name, if nobody saw it go.
            let key = self.keys.iter_mut().find(|key| Value::Int(key.name) == parts[1]);
            let is_read = parts[0].as_text() == Some(functions::MICRO_READ);
            writes |= !is_read;
            match (key, self.plan.model, is_read) {
                (Some(key), Model::Lists, true) => parts[2] = Value::List(key.list.clone()),
                (Some(key), Model::Registers, true) => parts[2] = key.value.clone(),
                (Some(key), Model::Lists, false) => key.list.push(parts[2].clone()),
                (Some(key), Model::Registers, false) => key.value = parts[2].clone(),
                // Nobody reads it any more.
                (None, _, false) => {}
                (None, _, true) => continue,
            }
            answered.push(micro);
        }
        (answered, writes)
    }
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        if let Some((_, script)) = self.script.take_if(|(when, _)| self.invoked >= *when) {
            let base = Base { model: self.plan.model, process: self.plan.processes, key: SCRIPT_KEY };
            for what in script::events(script, base) {
                let event = self.event(what);
                self.ready.push_back(event);
            }
            return self.next();
        }
        let is_over = self.invoked >= self.plan.transactions;
        if is_over && self.open_count == 0 {
            return None;
        }
        // Any process, or, at the end, the next one that is busy.
        let mut process = self.luck.below(self.open.len() as u64) as usize;
        while is_over && self.open[process].is_none() {
            process = (process + 1) % self.open.len();
        }
        Some(if self.open[process].is_some() { self.complete(process) } else { self.invoke(process) })
    }
}

/// Numbers that look random and are the same everywhere (SplitMix64, Steele and others 2014).
pub struct Luck(pub u64);

impl Luck {
    /// Less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}
