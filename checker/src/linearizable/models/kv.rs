//! A text, by key, that is got, put, and appended to: the store of the MIT 6.824 labs, as in Porcupine's tests.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | get, read | - | answers the text; nil if there is none | dropped |
//! | put, write | a text | it is the text now | open to the end |
//! | delete | - | there is none now | open to the end |
//! | append | a text | it stands at the end of the text now; of nothing it makes the text | open to the end |
//!
//! The first text is nil unless said. Failed: never happened.

use std::collections::BTreeMap;
use std::rc::Rc;

use tenet_histories::{Value, functions};

use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Nothing, Part, Stay};

pub struct Kv {
    initial: Content,
}

/// None: there is no text.
pub type Content = Option<Rc<str>>;

impl Kv {
    /// `initial` is the text of every key at first.
    pub fn new(initial: Value) -> Kv {
        Kv { initial: content(&initial) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Get(Content),
    Put(Content),
    Append(Rc<str>),
}

/// What is no text counts as how it is written.
fn content(value: &Value) -> Content {
    match value {
        Value::Nil => None,
        Value::Text(text) => Some(text.as_str().into()),
        other => Some(other.to_string().into()),
    }
}

fn shown(content: &Content) -> String {
    const TOLD: usize = 60;
    match content {
        None => "nothing".to_string(),
        Some(text) if text.chars().count() > TOLD => {
            let skipped = text.chars().count() - TOLD;
            let end: String = text.chars().skip(skipped).collect();
            format!("({skipped} characters and) {end:?}")
        }
        Some(text) => format!("{text:?}"),
    }
}

impl Model for Kv {
    type State = Content;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        calls.push(match asked.function {
            "get" | functions::READ if asked.is_ok() => Call::Get(content(asked.answer)),
            "get" | functions::READ => return Ok(()),
            "put" | functions::WRITE => Call::Put(content(asked.value)),
            "delete" => Call::Put(None),
            functions::MICRO_APPEND => Call::Append(content(asked.value).unwrap_or_default()),
            _ => return Err(asked.stranger("get, put, delete or append")),
        });
        Ok(())
    }

    fn initial(&self) -> Content {
        self.initial.clone()
    }

    fn step(&self, state: &Content, call: &Call, next: &mut Vec<Content>) {
        match call {
            Call::Get(text) if text == state => next.push(state.clone()),
            Call::Get(_) => {}
            Call::Put(text) => next.push(text.clone()),
            Call::Append(end) => {
                let text = state.as_deref().unwrap_or_default();
                next.push(Some([text, end].concat().into()));
            }
        }
    }

    fn looks(&self, call: &Call) -> bool {
        matches!(call, Call::Get(_))
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Kv> + 'p> {
        if part.operations.iter().any(|taken| matches!(taken.call, Call::Put(_))) {
            return Box::new(Nothing);
        }
        let mut gets = BTreeMap::new();
        for taken in &part.operations {
            if let Call::Get(Some(text)) = &taken.call {
                let first = gets.entry((text.len(), &**text)).or_insert(taken.returned);
                *first = taken.returned.min(*first);
            }
        }
        Box::new(Growing { gets })
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Get(text) => format!("got {}", shown(text)),
            Call::Put(None) => "deleted the text".to_string(),
            Call::Put(text) => format!("put {}", shown(text)),
            Call::Append(text) => format!("appended {text:?}"),
        }
    }

    fn was(&self, state: &Content) -> String {
        format!("the text was {}", shown(state))
    }

    fn wanted(&self, call: &Call) -> Option<Content> {
        match call {
            Call::Get(None) => Some(None),
            Call::Get(Some(_)) | Call::Put(_) | Call::Append(_) => None,
        }
    }

    fn heap_bytes(&self, state: &Content) -> usize {
        state.as_deref().map_or(0, str::len)
    }
}

/// Without puts a text only grows: it must begin whatever is got that is as long or longer.
struct Growing<'p> {
    /// With the first return of a get of this text.
    gets: BTreeMap<(usize, &'p str), u32>,
}

impl Ahead<Kv> for Growing<'_> {
    fn stay(&self, state: &Content) -> Stay {
        let Some(text) = state.as_deref() else { return Stay::FREE };
        match self.gets.range((text.len(), "")..).next() {
            Some(((_, got), returned)) if !got.starts_with(text) => Stay::from(NEVER, *returned),
            _ => Stay::FREE,
        }
    }
}
