//! Queues, by key: first in first out, or in any order.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | enqueue | an element | it is in the queue | open to the end |
//! | dequeue | - | answers the element taken; nil: the queue was empty | may have taken one |
//! | drain | - | answers a list of elements, each taken at a moment of its own | may have taken any number |
//!
//! Failed: never happened. (Also a dequeue that Jepsen calls failed for finding nothing.) Unknown enqueues of elements that
//! nobody took are left out: they would only stand in the way. In an unordered queue, where nobody found nothing, unknown
//! dequeues are left out likewise, and each element is then a part by itself.

use std::collections::{BTreeMap, BTreeSet};

use tenet_histories::Value;

use super::list_text;
use crate::CheckError;
use crate::linearizable::model::{Ahead, Asked, Model, NEVER, Part, Stay};
use crate::linearizable::search::Map;

pub struct FifoQueue;

pub struct UnorderedQueue;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Enqueue(Value),
    Dequeue(Value),
    FindEmpty,
    /// Takes one, nobody knows which.
    Lose,
    /// Takes any number.
    LoseMany,
}

fn read(asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
    match asked.function {
        "enqueue" => calls.push(Call::Enqueue(asked.value.clone())),
        "dequeue" if !asked.is_ok() => calls.push(Call::Lose),
        "dequeue" if asked.answer.is_nil() => calls.push(Call::FindEmpty),
        "dequeue" => calls.push(Call::Dequeue(asked.answer.clone())),
        "drain" if !asked.is_ok() => calls.push(Call::LoseMany),
        "drain" => {
            let list = asked.list(asked.answer, "a list of elements")?;
            calls.extend(list.iter().cloned().map(Call::Dequeue));
        }
        _ => return Err(asked.stranger("enqueue, dequeue or drain")),
    }
    Ok(())
}

fn did(call: &Call) -> String {
    match call {
        Call::Enqueue(element) => format!("enqueued {element}"),
        Call::Dequeue(element) => format!("dequeued {element}"),
        Call::FindEmpty => "found nothing to dequeue".to_string(),
        Call::Lose => "dequeued something".to_string(),
        Call::LoseMany => "dequeued things".to_string(),
    }
}

/// Without enqueues that only stand in the way.
fn without_unseen(part: &mut Part<Call>) {
    let mut taken_out = BTreeSet::new();
    for taken in &part.operations {
        if let Call::Dequeue(element) = &taken.call {
            taken_out.insert(element.clone());
        }
    }
    part.operations.retain(|taken| match &taken.call {
        Call::Enqueue(element) => !taken.is_unknown() || taken_out.contains(element),
        Call::Dequeue(_) | Call::FindEmpty | Call::Lose | Call::LoseMany => true,
    });
}

impl Model for FifoQueue {
    type State = Vec<Value>;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        read(asked, calls)
    }

    fn initial(&self) -> Vec<Value> {
        Vec::new()
    }

    fn step(&self, state: &Vec<Value>, call: &Call, next: &mut Vec<Vec<Value>>) {
        match call {
            Call::Enqueue(element) => {
                let mut state = state.clone();
                state.push(element.clone());
                next.push(state);
            }
            Call::Dequeue(element) if state.first() == Some(element) => next.push(state[1..].to_vec()),
            Call::FindEmpty if state.is_empty() => next.push(Vec::new()),
            Call::Lose if !state.is_empty() => next.push(state[1..].to_vec()),
            Call::LoseMany => next.extend((0..=state.len()).map(|count| state[count..].to_vec())),
            Call::Dequeue(_) | Call::FindEmpty | Call::Lose => {}
        }
    }

    fn looks(&self, call: &Call) -> bool {
        *call == Call::FindEmpty
    }

    fn parts(&self, mut part: Part<Call>) -> Vec<Part<Call>> {
        without_unseen(&mut part);
        vec![part]
    }

    fn ahead<'p>(&'p self, part: &'p Part<Call>) -> Box<dyn Ahead<FifoQueue> + 'p> {
        let mut fates: Map<&Value, Fate> = Map::default();
        let mut is_lossy = false;
        for taken in &part.operations {
            match &taken.call {
                Call::Enqueue(element) => fates.entry(element).or_default().enqueued += 1,
                Call::Dequeue(element) => {
                    let fate = fates.entry(element).or_default();
                    fate.dequeued += 1;
                    fate.dequeue = Some((taken.invoked, taken.returned));
                }
                Call::Lose | Call::LoseMany => is_lossy = true,
                Call::FindEmpty => {}
            }
        }
        let mut asked = Vec::new();
        for taken in &part.operations {
            if let Call::Dequeue(element) = &taken.call
                && fates.get(element).is_some_and(Fate::is_once)
            {
                asked.push((taken.invoked, taken.returned, element));
            }
        }
        Box::new(Foresight { fates, asked, is_lossy })
    }

    fn did(&self, call: &Call) -> String {
        did(call)
    }

    fn was(&self, state: &Vec<Value>) -> String {
        format!("the queue was {}", list_text(state.iter()))
    }

    fn heap_bytes(&self, state: &Vec<Value>) -> usize {
        std::mem::size_of_val(&state[..])
    }
}

#[derive(Clone, Copy, Default)]
struct Fate {
    enqueued: u32,
    dequeued: u32,
    /// When its dequeue was invoked and returned.
    dequeue: Option<(u32, u32)>,
}

impl Fate {
    fn is_once(&self) -> bool {
        self.enqueued == 1 && self.dequeued <= 1
    }
}

/// Elements that are enqueued once leave in the order in which they came.
struct Foresight<'p> {
    fates: Map<&'p Value, Fate>,
    /// Dequeues of such, by invocation.
    asked: Vec<(u32, u32, &'p Value)>,
    is_lossy: bool,
}

impl Ahead<FifoQueue> for Foresight<'_> {
    fn is_impossible(&self, call: &Call) -> bool {
        matches!(call, Call::Dequeue(element) if self.fates.get(element).is_none_or(|fate| fate.enqueued == 0))
    }

    fn stay(&self, state: &Vec<Value>) -> Stay {
        // The last moment at which somebody asks for one of those in front.
        let (mut asked_for, mut asked_last) = (0, 0);
        for element in state {
            let fate = self.fates.get(element).copied().unwrap_or_default();
            if !fate.is_once() {
                continue;
            }
            match fate.dequeue {
                // It cannot stand behind one that was asked for only after it had been taken, or that nobody takes.
                Some((_, returned)) if returned < asked_for => return Stay::from(NEVER, returned),
                Some((invoked, _)) => (asked_for, asked_last) = (asked_for.max(invoked), asked_last.max(invoked)),
                None if !self.is_lossy => asked_for = NEVER,
                None => {}
            }
        }
        // Whatever was taken before somebody asked for it came before it: it is in the queue, or asked for already.
        let earlier = self.asked.partition_point(|(invoked, ..)| *invoked < asked_last);
        let mut missing = self.asked[..earlier].iter().rev().filter(|(_, returned, _)| *returned < asked_last);
        let held: Map<&Value, ()> = state.iter().map(|element| (element, ())).collect();
        match missing.find(|(_, _, element)| !held.contains_key(element)) {
            Some((invoked, returned, _)) => Stay::from(*invoked, *returned),
            None => Stay::FREE,
        }
    }
}

impl Model for UnorderedQueue {
    /// How often each is in it.
    type State = BTreeMap<Value, u32>;
    type Call = Call;

    fn call(&self, asked: &Asked<'_>, calls: &mut Vec<Call>) -> Result<(), CheckError> {
        read(asked, calls)
    }

    fn initial(&self) -> BTreeMap<Value, u32> {
        BTreeMap::new()
    }

    fn step(&self, state: &BTreeMap<Value, u32>, call: &Call, next: &mut Vec<BTreeMap<Value, u32>>) {
        let without = |element: &Value| {
            let mut state = state.clone();
            match state.get_mut(element)? {
                1 => drop(state.remove(element)),
                count => *count -= 1,
            }
            Some(state)
        };
        match call {
            Call::Enqueue(element) => {
                let mut state = state.clone();
                *state.entry(element.clone()).or_default() += 1;
                next.push(state);
            }
            Call::Dequeue(element) => next.extend(without(element)),
            Call::FindEmpty if state.is_empty() => next.push(BTreeMap::new()),
            Call::FindEmpty => {}
            Call::Lose => next.extend(state.keys().filter_map(without)),
            Call::LoseMany => unreachable!("it is told as many that take one"),
        }
    }

    fn looks(&self, call: &Call) -> bool {
        *call == Call::FindEmpty
    }

    fn parts(&self, mut part: Part<Call>) -> Vec<Part<Call>> {
        without_unseen(&mut part);
        let takes_many = |call: &Call| *call == Call::LoseMany;
        if part.operations.iter().any(|taken| taken.call == Call::FindEmpty) {
            // One that takes any number is as many that take one.
            let enqueues = part.operations.iter().filter(|taken| matches!(taken.call, Call::Enqueue(_))).count();
            let mut operations = Vec::new();
            for mut taken in part.operations {
                let count = if takes_many(&taken.call) { enqueues } else { 1 };
                if takes_many(&taken.call) {
                    taken.call = Call::Lose;
                }
                operations.extend(std::iter::repeat_n(taken, count));
            }
            return vec![Part { name: part.name, operations }];
        }
        let mut parts: BTreeMap<Value, Part<Call>> = BTreeMap::new();
        for taken in part.operations {
            let (Call::Enqueue(element) | Call::Dequeue(element)) = &taken.call else { continue };
            let comma = if part.name.is_empty() { "" } else { ", " };
            let name = format!("{}{comma}element {element}", part.name);
            let part = parts.entry(element.clone()).or_insert_with(|| Part { name, operations: Vec::new() });
            part.operations.push(taken);
        }
        parts.into_values().collect()
    }

    fn did(&self, call: &Call) -> String {
        did(call)
    }

    fn was(&self, state: &BTreeMap<Value, u32>) -> String {
        let elements: Vec<&Value> =
            state.iter().flat_map(|(element, count)| std::iter::repeat_n(element, *count as usize)).collect();
        format!("the queue held {}", list_text(elements.into_iter()))
    }

    fn heap_bytes(&self, state: &BTreeMap<Value, u32>) -> usize {
        state.len() * 2 * std::mem::size_of::<Value>()
    }
}
