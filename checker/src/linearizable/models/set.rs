//! A set that grows, by key, and is read as a whole.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | add | an element | it is in the set | open to the end |
//! | read | - | answers all elements, a list in any order | dropped |
//!
//! Failed: never happened. Unknown additions of elements that no read has are left out: they can serve nobody. An element
//! twice in one answer counts once: that is for the set check, not for this.
//!
//! Elements are numbered as they are first named, and a state is bits in chunks that states share: to add an element copies
//! one chunk, and not the set.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use tenet_histories::{Value, functions};

use super::list_text;
use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, Part};

#[derive(Default)]
pub struct Set {
    names: RefCell<Names>,
}

#[derive(Default)]
struct Names {
    numbers: HashMap<Value, u32>,
    values: Vec<Value>,
}

/// Words of a chunk.
const CHUNK: usize = 16;
const CHUNK_BITS: u32 = CHUNK as u32 * 64;

/// A set of elements by number. The last chunk is not empty, so that equal sets have as many.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    chunks: Vec<Rc<[u64; CHUNK]>>,
    count: u32,
    /// Of all elements, in whatever order they came.
    hash: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Add(u32),
    Read(Elements),
}

impl Elements {
    fn has(&self, element: u32) -> bool {
        let bit = element % CHUNK_BITS;
        let chunk = self.chunks.get((element / CHUNK_BITS) as usize);
        chunk.is_some_and(|chunk| chunk[bit as usize / 64] & (1 << (bit % 64)) != 0)
    }

    fn add(&mut self, element: u32) {
        if self.has(element) {
            return;
        }
        let place = (element / CHUNK_BITS) as usize;
        while self.chunks.len() <= place {
            self.chunks.push(Rc::new([0; CHUNK]));
        }
        let bit = element % CHUNK_BITS;
        Rc::make_mut(&mut self.chunks[place])[bit as usize / 64] |= 1 << (bit % 64);
        self.count += 1;
        // A word-wise mix (the finalizer of SplitMix64); sums do not depend on the order.
        let mut mixed = u64::from(element).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.hash = self.hash.wrapping_add(mixed ^ (mixed >> 31));
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.chunks.len() as u32 * CHUNK_BITS).filter(|element| self.has(*element))
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Elements) -> bool {
        let same = |(one, two): (&Rc<[u64; CHUNK]>, &Rc<[u64; CHUNK]>)| Rc::ptr_eq(one, two) || one == two;
        self.hash == other.hash
            && self.count == other.count
            && self.chunks.len() == other.chunks.len()
            && self.chunks.iter().zip(&other.chunks).all(same)
    }
}

impl Eq for Elements {}

impl Hash for Elements {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl Set {
    fn number(&self, element: &Value) -> u32 {
        let Names { numbers, values } = &mut *self.names.borrow_mut();
        if let Some(number) = numbers.get(element) {
            return *number;
        }
        let number = values.len() as u32;
        numbers.insert(element.clone(), number);
        values.push(element.clone());
        number
    }

    /// `[1, 2]`, sorted.
    fn text(&self, elements: &Elements) -> String {
        let names = self.names.borrow();
        let mut values: Vec<&Value> = elements.iter().map(|element| &names.values[element as usize]).collect();
        values.sort_unstable();
        list_text(values.into_iter())
    }
}

impl Model for Set {
    type State = Elements;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        calls.push(match asked.function {
            "add" => Call::Add(self.number(asked.value)),
            functions::READ if asked.is_ok() => {
                let mut elements = Elements::default();
                match asked.answer.as_set() {
                    Some(set) => set.iter().for_each(|element| elements.add(self.number(element))),
                    None => {
                        let list = asked.list(asked.answer, "a list or set of elements")?;
                        list.iter().for_each(|element| elements.add(self.number(element)));
                    }
                }
                Call::Read(elements)
            }
            functions::READ => return Ok(()),
            _ => return Err(asked.stranger("add or read")),
        });
        Ok(())
    }

    fn initial(&self) -> Elements {
        Elements::default()
    }

    fn step(&self, state: &Elements, call: &Call, next: &mut Vec<Elements>) {
        match call {
            Call::Add(element) => {
                let mut state = state.clone();
                state.add(*element);
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
        let mut read = Elements::default();
        for taken in &part.operations {
            if let Call::Read(elements) = &taken.call {
                elements.iter().for_each(|element| read.add(element));
            }
        }
        part.operations.retain(|taken| match &taken.call {
            Call::Add(element) => !taken.is_unknown() || read.has(*element),
            Call::Read(_) => true,
        });
        vec![part]
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<Set> + 'p> {
        let mut last_read = BTreeMap::new();
        for taken in &part.operations {
            if let Call::Read(elements) = &taken.call {
                for element in elements.iter() {
                    let last = last_read.entry(element).or_insert(0);
                    *last = taken.returned.max(*last);
                }
            }
        }
        Box::new(Foresight { last_read })
    }

    fn did(&self, call: &Call) -> String {
        match call {
            Call::Add(element) => format!("added {}", self.names.borrow().values[*element as usize]),
            Call::Read(elements) => format!("read {}", self.text(elements)),
        }
    }

    fn was(&self, state: &Elements) -> String {
        format!("the set was {}", self.text(state))
    }

    fn heap_bytes(&self, state: &Elements) -> usize {
        state.chunks.len() * size_of::<Rc<[u64; CHUNK]>>() + size_of::<[u64; CHUNK]>() + 16
    }
}

struct Foresight {
    /// By element: the last return of a read that has it.
    last_read: BTreeMap<u32, u32>,
}

impl Ahead<Set> for Foresight {
    fn useful_until(&self, call: &Call) -> u32 {
        match call {
            Call::Add(element) => self.last_read.get(element).copied().unwrap_or(0),
            Call::Read(_) => 0,
        }
    }
}
