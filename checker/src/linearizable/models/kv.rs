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

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use tenet_histories::{Value, functions};

use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Nothing, Part, Stay};

/// Longer texts that are put tell nothing in advance.
const ROOT_BYTES_MAX: usize = 100;

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
        let Some(roots) = roots(&self.initial, part) else { return Box::new(Nothing) };
        let mut growing = Growing { roots, gets: BTreeMap::new() };
        for taken in &part.operations {
            if let Call::Get(Some(text)) = &taken.call {
                let first = growing.gets.entry((growing.root(text), text.len(), text)).or_insert(taken.returned);
                *first = taken.returned.min(*first);
            }
        }
        Box::new(growing)
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

/// A text is put once and only grows from there: it must begin whatever is got of it that is as long or longer.
struct Growing<'p> {
    /// What is put; none of it can be told from how another text begins.
    roots: BTreeSet<&'p str>,
    /// By what was put, empty if nothing: length and text, with the first return of a get of it.
    gets: BTreeMap<(&'p str, usize, &'p str), u32>,
}

impl<'p> Growing<'p> {
    /// What was put last, if that is the text now.
    fn root(&self, text: &str) -> &'p str {
        let before = self.roots.range::<str, _>((Bound::Unbounded, Bound::Included(text))).next_back();
        before.copied().filter(|root| text.starts_with(root)).unwrap_or_default()
    }
}

/// The texts that are put, if whatever text there may be tells which of them, if any, was put last: each is put once, and
/// no other text that is put, or appended to nothing, begins so or is how it begins.
fn roots<'p>(initial: &Content, part: &'p Part<Call>) -> Option<BTreeSet<&'p str>> {
    let (mut roots, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for taken in &part.operations {
        match &taken.call {
            Call::Put(text) => {
                let text = text.as_deref().filter(|text| (1..=ROOT_BYTES_MAX).contains(&text.len()))?;
                roots.insert(text).then_some(())?;
            }
            Call::Append(text) => drop(ends.insert(&**text)),
            Call::Get(_) => {}
        }
    }
    let first = initial.as_deref().unwrap_or_default();
    let is_alone = |root: &&str| {
        let begins = |texts: &BTreeSet<&str>| {
            let next = texts.range::<str, _>((Bound::Excluded(*root), Bound::Unbounded)).next();
            next.is_some_and(|text| text.starts_with(root))
        };
        let is_taken = |begin: &str| ends.contains(begin) || begin != *root && roots.contains(begin);
        let begins_so = (1..=root.len()).filter_map(|len| root.get(..len)).any(is_taken);
        !begins(&roots) && !begins(&ends) && !begins_so && !first.starts_with(root)
    };
    // What is appended to a first text, or to nothing, must not look like what is put.
    let is_first_apart = |root: &&str| first.is_empty() || !root.starts_with(first);
    roots.iter().all(|root| is_alone(root) && is_first_apart(root)).then_some(roots)
}

impl Ahead<Kv> for Growing<'_> {
    fn stay(&self, state: &Content) -> Stay {
        let Some(text) = state.as_deref() else { return Stay::FREE };
        let root = self.root(text);
        match self.gets.range((root, text.len(), "")..).next() {
            Some(((of, _, got), returned)) if *of == root && !got.starts_with(text) => Stay::from(NEVER, *returned),
            _ => Stay::FREE,
        }
    }
}
