//! A few transactions in a form that people read:
//!
//! ```text
//! 0 ok append x 1, r y 2/3
//! 1 fail append y 2
//! --
//! 2 ok r x 1, r z -
//! ```
//!
//! A line is a transaction: its process, its outcome, what it did. Those above a `--` return before those below it are
//! invoked; those between two are concurrent. What ends with `ok..` returns after all others. Names of keys are replaced by numbers that nobody else uses.

use tenet_histories::{Call, Completion, Outcome, Process, Value, What, functions};

use super::Model;

/// Where a script's processes and keys begin.
#[derive(Clone, Copy)]
pub(super) struct Base {
    pub model: Model,
    pub process: u32,
    pub key: i64,
}

/// The events of a script. Scripts are ours: one that cannot be read is a bug.
pub(super) fn events(text: &str, base: Base) -> Vec<What> {
    let (mut events, mut late) = (Vec::new(), Vec::new());
    for group in text.split("--") {
        let lines = group.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut ended = Vec::new();
        for line in lines {
            let (begin, end) = base.transaction(line);
            events.push(begin);
            if line.contains("..") { late.push(end) } else { ended.push(end) }
        }
        events.extend(ended);
    }
    events.extend(late);
    events
}

impl Base {
    /// Its invocation and its completion.
    fn transaction(self, line: &str) -> (What, What) {
        let mut words = line.splitn(3, ' ');
        let mut word =
            || words.next().unwrap_or_else(|| panic!("`{line}`: expected a process, an outcome, a transaction"));
        let process = Process(self.process + word().parse::<u32>().expect("a process"));
        let outcome = match word() {
            "ok" | "ok.." => Outcome::Ok,
            "fail" => Outcome::Fail,
            "unknown" => Outcome::Unknown,
            other => panic!("`{line}`: outcome `{other}`"),
        };
        let (asked, answered) = word().split(',').map(|micro| self.micro(micro.trim())).unzip();
        let call = Call { function: functions::TRANSACTION.into(), key: Value::Nil, value: Value::List(asked) };
        let value = if outcome == Outcome::Ok { Value::List(answered) } else { Value::Nil };
        let completion = Completion { value, ..Completion::new(outcome) };
        (What::Invoke { process, call }, What::Complete { process, completion })
    }

    /// As it is asked, and as it is answered.
    fn micro(self, text: &str) -> (Value, Value) {
        let words: Vec<&str> = text.split(' ').collect();
        let micro = |key: Value, value: Value| Value::List(vec![words[0].into(), key, value]);
        match words[..] {
            [functions::MICRO_APPEND | functions::MICRO_WRITE, key, value] => {
                let write = micro(self.key(key), int(value));
                (write.clone(), write)
            }
            [functions::MICRO_READ, key, value] => {
                (micro(self.key(key), Value::Nil), micro(self.key(key), self.version(value)))
            }
            // From key to key, and what is there: `rr a z x=1/2 y=3`.
            ["rr", low, high, ref found @ ..] => {
                let range = || Value::List(vec![self.key(low), self.key(high)]);
                let pair = |pair: &&str| {
                    let (key, value) = pair.split_once('=').expect("key=value");
                    Value::List(vec![self.key(key), self.version(value)])
                };
                (micro(range(), Value::Nil), micro(range(), Value::List(found.iter().map(pair).collect())))
            }
            _ => panic!("micro-operation `{text}`"),
        }
    }

    fn key(self, name: &str) -> Value {
        Value::Int(self.key + i64::from(name.as_bytes()[0] - b'a'))
    }

    /// `1/2/3` is a list, `-` an empty one or no value.
    fn version(self, text: &str) -> Value {
        match (self.model, text) {
            (Model::Lists, "-") => Value::List(Vec::new()),
            (Model::Lists, list) => Value::List(list.split('/').map(int).collect()),
            (Model::Registers, "-") => Value::Nil,
            (Model::Registers, value) => int(value),
        }
    }
}

fn int(text: &str) -> Value {
    Value::Int(text.parse().expect("an integer"))
}
