//! A counter, by key.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | add | an integer | it has grown by that | open to the end |
//! | inc, dec | nothing (1), or an integer | it has grown, or shrunk, by that | open to the end |
//! | read | - | answers the count | dropped |
//!
//! Failed: never happened. Additions of 0 are dropped.

use tenet_histories::{Value, functions};

use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Part};

pub struct Counter {
    initial: i64,
}

impl Counter {
    pub fn new(initial: i64) -> Counter {
        Counter { initial }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Add(i128),
    Read(i128),
}

impl Model for Counter {
    type State = i128;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        let amount = |value: &Value| match value {
            Value::Nil => Ok(1),
            value => asked.int(value, "an integer or nothing").map(i128::from),
        };
        calls.push(match asked.function {
            "add" => Call::Add(asked.int(asked.value, "an integer")?.into()),
            "inc" => Call::Add(amount(asked.value)?),
            "dec" => Call::Add(-amount(asked.value)?),
            functions::READ if asked.is_ok() => Call::Read(asked.int(asked.answer, "an integer")?.into()),
            functions::READ => return Ok(()),
            _ => return Err(asked.stranger("add, inc, dec or read")),
        });
        Ok(())
    }

    fn initial(&self) -> i128 {
        self.initial.into()
    }

    fn step(&self, state: &i128, call: &Call, next: &mut Vec<i128>) {
        match call {
            Call::Add(amount) => next.push(state + amount),
            Call::Read(count) if count == state => next.push(*state),
            Call::Read(_) => {}
        }
    }

    fn looks(&self, call: &Call) -> bool {
        matches!(call, Call::Read(_))
    }

    fn parts(&self, mut part: Part<Call>) -> Vec<Part<Call>> {
        part.operations.retain(|taken| taken.call != Call::Add(0));
        vec![part]
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Counter> + 'p> {
        let reads = part.operations.iter().filter(|taken| matches!(taken.call, Call::Read(_)));
        Box::new(LastRead(reads.map(|taken| taken.returned).max().unwrap_or(0)))
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Add(amount) => format!("added {amount}"),
            Call::Read(count) => format!("read {count}"),
        }
    }

    fn was(&self, state: &i128) -> String {
        format!("the count was {state}")
    }
}

/// Behind the last read nobody notices an addition that is not required.
struct LastRead(u32);

impl Ahead<Counter> for LastRead {
    fn useful_until(&self, call: &Call) -> u32 {
        match call {
            Call::Add(_) => self.0,
            Call::Read(_) => NEVER,
        }
    }
}
