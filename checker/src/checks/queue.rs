//! Check `total-queue`: what goes in comes out, once, and nothing else does.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | enqueue | an element | it is in the queue | it may come in at any time after the invocation |
//! | dequeue | - | answers the element taken; nil: there was none | may have taken one |
//! | drain | - | answers all elements that were left | may have taken any number |
//!
//! Failed: never happened (so also a dequeue that Jepsen calls failed for finding nothing). The order does not matter here;
//! for that there are the linearizable queue, and logs. An element may be enqueued often; it may come out as often as
//! somebody tried to put it in, and what comes out counts against acknowledged elements first.
//!
//! An element is *lost* if it was acknowledged before a drain began that was completed, and nobody took it. Each unknown
//! dequeue may have taken one such, and an unknown drain all of them: only what is lost beyond that is a violation. Without
//! a drain nothing can be called lost, and it is said that this was not judged. After Jepsen's `total-queue`.

use std::fmt;

use tenet_histories::{Header, Outcome, Value};

use super::{Check, Done, Names, Of, Op, PerKey, Report, elements, fact_bool};
use crate::{CheckError, Oracle};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The queue was promised to deliver at least once, not exactly once.
    pub duplicates_allowed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// `elements` came in before `drain` began, and nobody took them; together more copies than unknown dequeues can have.
    Lost { key: Value, elements: Vec<(Value, Op)>, copies: u64, drain: Op, unknown_dequeues: u64 },
    /// Taken more often than anybody tried to put it in.
    Duplicated { key: Value, element: Value, attempts: u64, taken: u64, by: Op },
    /// Nobody put it in, or all who tried failed (`failed`: one of them).
    Invented { key: Value, element: Value, by: Op, failed: Option<Op> },
    /// `by` ended before the first enqueue of it began.
    Early { key: Value, element: Value, by: Op, enqueue: Op },
}

/// Elements that one explanation names.
const TOLD: usize = 8;

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::Lost { .. } => "lost",
            Wrong::Duplicated { .. } => "duplicated",
            Wrong::Invented { .. } => "invented",
            Wrong::Early { .. } => "taken-before-enqueued",
        }
    }

    fn operations(&self) -> Vec<usize> {
        match self {
            Wrong::Lost { elements, drain, .. } => {
                elements.iter().map(|(_, op)| op.number).chain([drain.number]).collect()
            }
            Wrong::Duplicated { by, .. } => vec![by.number],
            Wrong::Invented { by, failed, .. } => failed.iter().chain([by]).map(|op| op.number).collect(),
            Wrong::Early { by, enqueue, .. } => vec![by.number, enqueue.number],
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Lost { key, elements, copies, drain, unknown_dequeues } => {
                for (place, (element, op)) in elements.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{element}{} of {op}", Of(key))?;
                }
                let more = copies.saturating_sub(elements.len() as u64);
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
                write!(f, " had been acknowledged when {drain} began to take all that was left, and nobody took it")?;
                match unknown_dequeues {
                    0 => Ok(()),
                    1 => write!(f, "; the one dequeue of unknown outcome cannot have taken all"),
                    count => write!(f, "; the {count} dequeues of unknown outcome cannot have taken all"),
                }
            }
            Wrong::Duplicated { key, element, attempts, taken, by } => {
                write!(
                    f,
                    "{element}{} was enqueued {attempts} times at most and dequeued {taken} times, by {by} too often",
                    Of(key)
                )
            }
            Wrong::Invented { key, element, by, failed: None } => {
                write!(f, "{by} dequeued {element}{}, which nobody enqueued", Of(key))
            }
            Wrong::Invented { key, element, by, failed: Some(op) } => {
                write!(f, "{by} dequeued {element}{}, but {op} failed to enqueue it, and nobody else tried", Of(key))
            }
            Wrong::Early { key, element, by, enqueue } => {
                write!(
                    f,
                    "{by} dequeued {element}{} and ended before the first to enqueue it, {enqueue}, began",
                    Of(key)
                )
            }
        }
    }
}

#[derive(Default)]
struct Key {
    names: Names,
    elements: Vec<Element>,
    /// Acknowledged, in the order of completion.
    enqueued: Vec<(u32, Op)>,
    /// The last to begin that was completed.
    drain: Option<Op>,
    unknown_dequeues: u64,
    is_drain_unknown: bool,
}

#[derive(Default)]
struct Element {
    /// The first to begin of those that did not fail.
    enqueue: Option<Op>,
    failed: Option<Op>,
    attempts: u64,
    taken: u64,
    /// The first to end.
    taken_first: Option<Op>,
    taken_last: Option<Op>,
}

pub struct Queue {
    options: Options,
    keys: PerKey<Key>,
    report: Report<Wrong>,
}

impl Queue {
    pub fn new(options: Options) -> Queue {
        Queue { options, keys: PerKey::default(), report: Report::new(Oracle::Queue) }
    }
}

impl Options {
    /// Fact `duplicates-allowed`: delivery is at least once.
    pub fn of(header: &Header) -> Options {
        Options { duplicates_allowed: fact_bool(header, "duplicates-allowed") }
    }
}

impl Key {
    fn element(&mut self, value: &Value) -> (u32, &mut Element) {
        let number = self.names.number(value);
        if number == self.elements.len() {
            self.elements.push(Element::default());
        }
        (number as u32, &mut self.elements[number])
    }

    fn on_taken(&mut self, value: &Value, by: Op) {
        let (_, element) = self.element(value);
        element.taken += 1;
        element.taken_first = element.taken_first.or(Some(by));
        element.taken_last = Some(by);
    }
}

impl Check for Queue {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let key = self.keys.of(&done.call.key);
        match (done.function(), done.outcome) {
            ("enqueue", Outcome::Fail) => {
                let (_, element) = key.element(&done.call.value);
                element.failed = element.failed.or(Some(done.op));
            }
            ("enqueue", outcome) => {
                let (number, element) = key.element(&done.call.value);
                element.attempts += 1;
                let is_first = element.enqueue.is_none_or(|first| done.op.invoked < first.invoked);
                element.enqueue = if is_first { Some(done.op) } else { element.enqueue };
                if outcome == Outcome::Ok {
                    key.enqueued.push((number, done.op));
                    self.report.count("enqueued", 1);
                }
            }
            ("dequeue" | "drain", Outcome::Fail) => {}
            ("dequeue", Outcome::Unknown) => key.unknown_dequeues += 1,
            ("drain", Outcome::Unknown) => key.is_drain_unknown = true,
            ("dequeue", Outcome::Ok) => {
                if !done.answer.is_nil() {
                    key.on_taken(done.answer, done.op);
                    self.report.count("dequeued", 1);
                }
            }
            ("drain", Outcome::Ok) => {
                let Some(answer) = elements(done.answer) else {
                    return Err(done.misshapen(done.answer, "a list of elements"));
                };
                for value in answer {
                    key.on_taken(value, done.op);
                    self.report.count("dequeued", 1);
                }
                key.drain = key.drain.filter(|drain| drain.invoked > done.op.invoked).or(Some(done.op));
            }
            _ => return Err(done.stranger("enqueue, dequeue or drain")),
        }
        Ok(())
    }

    fn finish(mut self) -> Report<Wrong> {
        for (key, state) in self.keys.into_iter() {
            for (element, value) in state.elements.iter().zip(&state.names.values) {
                came_out(&self.options, &key, value, element, &mut self.report);
            }
            stayed_in(&key, &state, &mut self.report);
        }
        self.report.sorted(&["lost", "duplicated", "invented", "taken-before-enqueued"])
    }
}

fn came_out(options: &Options, key: &Value, value: &Value, element: &Element, report: &mut Report<Wrong>) {
    let (Some(first), Some(last)) = (element.taken_first, element.taken_last) else { return };
    let (key, value) = (key.clone(), value.clone());
    match element.enqueue {
        None => {
            let failed = element.failed;
            report.violation(Wrong::Invented { key, element: value, by: first, failed });
        }
        Some(enqueue) if first.precedes(&enqueue) => {
            report.violation(Wrong::Early { key, element: value, by: first, enqueue });
        }
        Some(_) if element.taken > element.attempts && !options.duplicates_allowed => {
            let Element { attempts, taken, .. } = *element;
            report.violation(Wrong::Duplicated { key, element: value, attempts, taken, by: last });
        }
        Some(_) => {}
    }
}

fn stayed_in(key: &Value, state: &Key, report: &mut Report<Wrong>) {
    // What was taken accounts for acknowledged elements first.
    let mut taken: Vec<u64> = state.elements.iter().map(|element| element.taken).collect();
    let (mut lost, mut copies) = (Vec::new(), 0);
    let before = |enqueue: &Op| state.drain.is_none_or(|drain| enqueue.precedes(&drain));
    for (number, enqueue) in state.enqueued.iter().filter(|(_, enqueue)| before(enqueue)) {
        let left = &mut taken[*number as usize];
        if *left > 0 {
            *left -= 1;
            continue;
        }
        copies += 1;
        if lost.len() < TOLD {
            lost.push((state.names.value(*number as usize).clone(), *enqueue));
        }
    }
    let Some(drain) = state.drain else {
        report.count("left-inside", copies);
        if copies > 0 {
            let why = "no drain was completed";
            report.undecided.push(format!("{copies} acknowledged elements{} were not taken, and {why}", Of(key)));
        }
        return;
    };
    if copies > state.unknown_dequeues && !state.is_drain_unknown {
        let (key, unknown_dequeues) = (key.clone(), state.unknown_dequeues);
        report.violation(Wrong::Lost { key, elements: lost, copies, drain, unknown_dequeues });
    } else {
        report.count("perhaps-lost", copies);
    }
}
