//! A set that grows, by key, and is read as a whole.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | add | an element | it is in the set | open to the end |
//! | read | - | answers all elements, a list in any order | dropped |
//!
//! Failed: never happened. Unknown additions of elements that no read has are left out: they can serve nobody. An element
//! twice in one answer counts once: that is for the set check, not for this.

use std::collections::{BTreeMap, BTreeSet};

use tenet_histories::{Value, functions};

use super::list_text;
use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, Part};

pub struct Set;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Add(Value),
    Read(BTreeSet<Value>),
}

impl Model for Set {
    type State = BTreeSet<Value>;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        calls.push(match asked.function {
            "add" => Call::Add(asked.value.clone()),
            functions::READ if asked.is_ok() => Call::Read(match asked.answer.as_set() {
                Some(set) => set.clone(),
                None => asked.list(asked.answer, "a list or set of elements")?.iter().cloned().collect(),
            }),
            functions::READ => return Ok(()),
            _ => return Err(asked.stranger("add or read")),
        });
        Ok(())
    }

    fn initial(&self) -> BTreeSet<Value> {
        BTreeSet::new()
    }

    fn step(&self, state: &BTreeSet<Value>, call: &Call, next: &mut Vec<BTreeSet<Value>>) {
        match call {
            Call::Add(element) => {
                let mut state = state.clone();
                state.insert(element.clone());
                next.push(state);
            }
            Call::Read(elements) if elements == state => next.push(state.clone()),
            Call::Read(_) => {}
        }
    }

    fn looks(&self, call: &Call) -> bool {
        matches!(call, Call::Read(_))
    }

    fn parts(&self, mut part: Part<Call>) -> Vec<Part<Call>> {
        let mut read = BTreeSet::new();
        for taken in &part.operations {
            if let Call::Read(elements) = &taken.call {
                read.extend(elements.iter().cloned());
            }
        }
        part.operations.retain(|taken| match &taken.call {
            Call::Add(element) => !taken.is_unknown() || read.contains(element),
            Call::Read(_) => true,
        });
        vec![part]
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Set> + 'p> {
        let mut last_read = BTreeMap::new();
        for taken in &part.operations {
            if let Call::Read(elements) = &taken.call {
                for element in elements {
                    let last = last_read.entry(element).or_insert(0);
                    *last = taken.returned.max(*last);
                }
            }
        }
        Box::new(Foresight { last_read })
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Add(element) => format!("added {element}"),
            Call::Read(elements) => format!("read {}", list_text(elements.iter())),
        }
    }

    fn was(&self, state: &BTreeSet<Value>) -> String {
        format!("the set was {}", list_text(state.iter()))
    }

    fn heap_bytes(&self, state: &BTreeSet<Value>) -> usize {
        state.len() * 2 * std::mem::size_of::<Value>()
    }
}

struct Foresight<'p> {
    /// By element: the last return of a read that has it.
    last_read: BTreeMap<&'p Value, u32>,
}

impl Ahead<Set> for Foresight<'_> {
    fn useful_until(&self, call: &Call) -> u32 {
        match call {
            Call::Add(element) => self.last_read.get(element).copied().unwrap_or(0),
            Call::Read(_) => 0,
        }
    }
}
