//! A log, by key, that only grows.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | append | an element | it stands at the end; answers its place from 0, or nothing, or the element again | open to the end |
//! | read | - | answers all elements, a list | dropped |
//! | read | a place | answers the element there; nil if there is none yet | dropped |
//!
//! Failed: never happened.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use tenet_histories::{Value, functions};

use super::list_text;
use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Part, Stay};

pub struct Log;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// With its place, where one was answered.
    Append(Value, Option<usize>),
    Read(Rc<[Value]>),
    ReadAt(usize, Value),
}

/// A list that shares its beginning with those that it grew from.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    last: Option<Rc<Link>>,
}

#[derive(Debug)]
struct Link {
    before: Elements,
    element: Value,
    len: usize,
    /// Of all elements up to here.
    hash: u64,
}

impl Elements {
    fn len(&self) -> usize {
        self.last.as_ref().map_or(0, |link| link.len)
    }

    fn with(&self, element: &Value) -> Elements {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.last.as_ref().map(|link| link.hash), element).hash(&mut hasher);
        let (before, element, len, hash) = (self.clone(), element.clone(), self.len() + 1, hasher.finish());
        Elements { last: Some(Rc::new(Link { before, element, len, hash })) }
    }

    /// From the last to the first.
    fn backwards(&self) -> impl Iterator<Item = &Value> {
        let links = std::iter::successors(self.last.as_deref(), |link| link.before.last.as_deref());
        links.map(|link| &link.element)
    }

    /// Whether `list` begins so.
    fn begins(&self, list: &[Value]) -> bool {
        self.len() <= list.len() && self.backwards().eq(list[..self.len()].iter().rev())
    }

    fn get(&self, place: usize) -> Option<&Value> {
        (place < self.len()).then(|| self.backwards().nth(self.len() - 1 - place)).flatten()
    }
}

/// A long list is dropped link by link, not by recursion.
impl Drop for Link {
    fn drop(&mut self) {
        let mut next = self.before.last.take();
        while let Some(link) = next {
            next = Rc::into_inner(link).and_then(|mut link| link.before.last.take());
        }
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Elements) -> bool {
        let (mut one, mut two) = (&self.last, &other.last);
        loop {
            match (one, two) {
                (None, None) => return true,
                (Some(link), Some(other)) if Rc::ptr_eq(link, other) => return true,
                (Some(link), Some(other))
                    if link.hash == other.hash && link.len == other.len && link.element == other.element =>
                {
                    (one, two) = (&link.before.last, &other.before.last);
                }
                _ => return false,
            }
        }
    }
}

impl Eq for Elements {}

impl Hash for Elements {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.last.as_ref().map_or(0, |link| link.hash).hash(hasher);
    }
}

impl Model for Log {
    type State = Elements;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        const PLACE: &str = "a place, an integer from 0";
        let place = |value: &Value| {
            let place = value.as_int().and_then(|int| usize::try_from(int).ok());
            place.ok_or_else(|| asked.misshapen(value, PLACE))
        };
        calls.push(match asked.function {
            functions::MICRO_APPEND => {
                // Jepsen repeats the element; so an element that is its own place tells no place.
                let is_placed = asked.is_ok() && !asked.answer.is_nil() && asked.answer != asked.value;
                Call::Append(asked.value.clone(), is_placed.then(|| place(asked.answer)).transpose()?)
            }
            functions::READ if !asked.is_ok() => return Ok(()),
            functions::READ if asked.value.is_nil() => {
                Call::Read(asked.list(asked.answer, "a list of elements")?.into())
            }
            functions::READ => Call::ReadAt(place(asked.value)?, asked.answer.clone()),
            _ => return Err(asked.stranger("append or read")),
        });
        Ok(())
    }

    fn initial(&self) -> Elements {
        Elements::default()
    }

    fn step(&self, state: &Elements, call: &Call, next: &mut Vec<Elements>) {
        match call {
            Call::Append(element, place) if place.is_none_or(|place| place == state.len()) => {
                next.push(state.with(element));
            }
            Call::Read(list) if list.len() == state.len() && state.begins(list) => next.push(state.clone()),
            Call::ReadAt(place, element) if state.get(*place).unwrap_or(&Value::Nil) == element => {
                next.push(state.clone());
            }
            Call::Append(..) | Call::Read(_) | Call::ReadAt(..) => {}
        }
    }

    fn looks(&self, call: &Call) -> bool {
        !matches!(call, Call::Append(..))
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Log> + 'p> {
        let mut reads: BTreeMap<usize, (&[Value], u32)> = BTreeMap::new();
        for taken in &part.operations {
            if let Call::Read(list) = &taken.call {
                let first = reads.entry(list.len()).or_insert((list, taken.returned));
                if taken.returned < first.1 {
                    *first = (list, taken.returned);
                }
            }
        }
        Box::new(Growing { reads })
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Append(element, None) => format!("appended {element}"),
            Call::Append(element, Some(place)) => format!("appended {element} at place {place}"),
            Call::Read(list) => format!("read {}", list_text(list.iter())),
            Call::ReadAt(place, element) => format!("read {element} at place {place}"),
        }
    }

    fn was(&self, state: &Elements) -> String {
        let mut elements: Vec<&Value> = state.backwards().collect();
        elements.reverse();
        format!("the log was {}", list_text(elements.into_iter()))
    }

    fn heap_bytes(&self, _: &Elements) -> usize {
        std::mem::size_of::<Link>() + 16
    }
}

/// A log must begin whatever is read that is as long or longer.
struct Growing<'p> {
    /// By length, the first to return, and when it does.
    reads: BTreeMap<usize, (&'p [Value], u32)>,
}

impl Ahead<Log> for Growing<'_> {
    fn stay(&self, state: &Elements) -> Stay {
        let (Some((_, (list, returned))), Some(link)) = (self.reads.range(state.len()..).next(), &state.last) else {
            return Stay::FREE;
        };
        // What it grew from was asked about before: of that, mostly, the last element alone is new.
        let begins = list[link.len - 1] == link.element;
        if begins { Stay::FREE } else { Stay::from(NEVER, *returned) }
    }
}
