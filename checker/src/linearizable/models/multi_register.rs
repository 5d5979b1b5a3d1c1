//! Registers that transactions read and write together, as Knossos' multi-register.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | txn | `[["r", key, null], ["w", key, value], ..]` | answers the same with its reads filled in | its writes are open to the end, its reads saw anything |
//!
//! `read` and `write` stand for `r` and `w` as well. A read sees the writes before it in its own transaction. A read that is
//! not filled in (null) saw anything, unless a register may be nil: the first value says so. Failed: never happened.
//!
//! Keys that no transaction connects are independent.

use std::collections::BTreeMap;

use tenet_histories::{Value, functions};

use super::list_text;
use crate::CheckError;
use crate::linearizable::model::{Asked, Model, Part};

pub struct MultiRegister {
    initial: Value,
}

impl MultiRegister {
    /// `initial` is the value of every key at first.
    pub fn new(initial: Value) -> MultiRegister {
        MultiRegister { initial }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Micro {
    /// None: it is not known what was seen.
    Read(Value, Option<Value>),
    Write(Value, Value),
}

impl Micro {
    fn key(&self) -> &Value {
        match self {
            Micro::Read(key, _) | Micro::Write(key, _) => key,
        }
    }
}

const EXPECTED: &str = "a list of [\"r\", key, value or null] and [\"w\", key, value]";

impl Model for MultiRegister {
    type State = BTreeMap<Value, Value>;
    type Call = Vec<Micro>;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Vec<Micro>>) -> Result<(), CheckError> {
        if asked.function != functions::TRANSACTION {
            return Err(asked.stranger("txn"));
        }
        let list = if asked.is_ok() { asked.answer } else { asked.value };
        let mut micros = Vec::new();
        for micro in asked.list(list, EXPECTED)? {
            let Some([name, key, value]) = micro.as_list() else { return Err(asked.misshapen(micro, EXPECTED)) };
            micros.push(match name.as_name() {
                Some("r" | "read") => {
                    let is_seen = asked.is_ok() && (!value.is_nil() || self.initial.is_nil());
                    Micro::Read(key.clone(), is_seen.then(|| value.clone()))
                }
                Some("w" | "write") => Micro::Write(key.clone(), value.clone()),
                _ => return Err(asked.misshapen(micro, EXPECTED)),
            });
        }
        let is_open = !asked.is_ok();
        micros.retain(|micro| !is_open || matches!(micro, Micro::Write(..)));
        if !micros.is_empty() {
            calls.push(micros);
        }
        Ok(())
    }

    fn initial(&self) -> BTreeMap<Value, Value> {
        BTreeMap::new()
    }

    fn step(&self, state: &BTreeMap<Value, Value>, call: &Vec<Micro>, next: &mut Vec<BTreeMap<Value, Value>>) {
        let mut state = state.clone();
        for micro in call {
            match micro {
                Micro::Read(key, Some(value)) if state.get(key).unwrap_or(&self.initial) != value => return,
                Micro::Read(..) => {}
                // What is as at first is not kept, so that equal states are equal.
                Micro::Write(key, value) if *value == self.initial => drop(state.remove(key)),
                Micro::Write(key, value) => drop(state.insert(key.clone(), value.clone())),
            }
        }
        next.push(state);
    }

    fn looks(&self, call: &Vec<Micro>) -> bool {
        call.iter().all(|micro| matches!(micro, Micro::Read(..)))
    }

    fn is_keyed(&self) -> bool {
        false
    }

    fn parts(&self, part: Part<Vec<Micro>>) -> Vec<Part<Vec<Micro>>> {
        let mut numbers: BTreeMap<Value, usize> = BTreeMap::new();
        // Each key points to one of its group, the first of them to itself.
        let mut groups: Vec<usize> = Vec::new();
        fn first(groups: &[usize], mut key: usize) -> usize {
            while groups[key] != key {
                key = groups[key];
            }
            key
        }
        let mut key_of = Vec::new();
        for taken in &part.operations {
            let mut one = None;
            for micro in &taken.call {
                let number = *numbers.entry(micro.key().clone()).or_insert_with(|| {
                    groups.push(groups.len());
                    groups.len() - 1
                });
                let (group, other) = (first(&groups, number), first(&groups, one.unwrap_or(number)));
                groups[group.max(other)] = group.min(other);
                one = Some(number);
            }
            key_of.push(one.expect("a transaction without micro-operations is dropped"));
        }
        let mut parts: BTreeMap<usize, Part<Vec<Micro>>> = BTreeMap::new();
        for (taken, key) in part.operations.into_iter().zip(key_of) {
            let group = first(&groups, key);
            let part = parts.entry(group).or_insert_with(|| Part { name: String::new(), operations: Vec::new() });
            part.operations.push(taken);
        }
        for (group, part) in &mut parts {
            let keys: Vec<&Value> =
                numbers.iter().filter(|(_, number)| first(&groups, **number) == *group).map(|(key, _)| key).collect();
            part.name = format!("keys {}", list_text(keys.into_iter()));
        }
        parts.into_values().collect()
    }

    fn did(&self, call: &Vec<Micro>) -> String {
        let texts: Vec<String> = call
            .iter()
            .map(|micro| match micro {
                Micro::Read(key, Some(value)) => format!("read {value} from {key}"),
                Micro::Read(key, None) => format!("read {key}"),
                Micro::Write(key, value) => format!("wrote {value} to {key}"),
            })
            .collect();
        texts.join(" and ")
    }

    fn was(&self, state: &BTreeMap<Value, Value>) -> String {
        let texts: Vec<String> = state.iter().take(8).map(|(key, value)| format!("{key} was {value}")).collect();
        let others = if state.is_empty() { "every key" } else { ", every other key" };
        format!("{}{others} was {}", texts.join(", "), self.initial)
    }

    fn heap_bytes(&self, state: &BTreeMap<Value, Value>) -> usize {
        state.len() * 2 * std::mem::size_of::<Value>()
    }
}
