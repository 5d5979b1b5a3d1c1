//! Check `set-full`: what was added is read from then on, and nothing else.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | add | an element | it is in the set from some moment before the completion on | it may come in at any time after the invocation |
//! | read | - | answers all elements, a list or a set | says nothing |
//!
//! A failed add never happened. An element is *known* once its add has returned, or a read that shows it: a read that begins
//! later should show it. If one does not, but a later one does, the element was *stale*, which is wrong only where reads are
//! promised to be linearizable. If none does after all reads that did had ended, it is *lost*: the last reads have the last
//! word. One that no read could show is *never read*, and says nothing. After Jepsen's `set-full`; elements are added once
//! or often, and never removed.
//!
//! Linear in the answers; a read that misses something costs a look at all elements, which is bounded by [`LOOKS_MAX`]: then
//! more may be missing than is told.

use std::fmt;

use tenet_histories::{Header, Outcome, Value, functions};

use super::{Check, Done, NEVER, Names, Of, Op, PerKey, Report, elements, fact_bool};
use crate::verdict::time;
use crate::{CheckError, Oracle};

/// How many elements are looked at, over all reads that miss something.
pub const LOOKS_MAX: u64 = 1 << 32;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Reads were promised to be linearizable: a stale element is a violation.
    pub linearizable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub key: Value,
    pub element: Value,
    /// It was known once this one had returned: its add, or a read that showed it.
    pub known: Op,
    /// The last to end of the reads that showed it.
    pub shown: Option<Op>,
    /// Began after `known`; of a lost element also after `shown`.
    pub missed: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Lost(Missing),
    Stale(Missing),
    /// Nobody added it, or all adds of it failed (`failed`: one of them).
    Invented {
        key: Value,
        element: Value,
        read: Op,
        failed: Option<Op>,
    },
    /// The read ended before the first add began.
    Early {
        key: Value,
        element: Value,
        read: Op,
        add: Op,
    },
    Duplicated {
        key: Value,
        element: Value,
        read: Op,
    },
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::Lost(_) => "lost",
            Wrong::Stale(_) => "stale",
            Wrong::Invented { .. } => "invented",
            Wrong::Early { .. } => "read-before-added",
            Wrong::Duplicated { .. } => "duplicated",
        }
    }

    fn operations(&self) -> Vec<usize> {
        match self {
            Wrong::Lost(missing) | Wrong::Stale(missing) => [Some(missing.known), missing.shown, Some(missing.missed)]
                .iter()
                .flatten()
                .map(|op| op.number)
                .collect(),
            Wrong::Invented { read, failed, .. } => failed.iter().chain([read]).map(|op| op.number).collect(),
            Wrong::Early { read, add, .. } => vec![read.number, add.number],
            Wrong::Duplicated { read, .. } => vec![read.number],
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Lost(missing) => {
                missing.fmt(f)?;
                match &missing.shown {
                    Some(shown) => write!(f, ", nor any that began after {shown}, which showed it"),
                    None => write!(f, ", nor did any other"),
                }
            }
            Wrong::Stale(missing) => {
                missing.fmt(f)?;
                match &missing.shown {
                    Some(shown) => write!(f, "; {shown} shows that it was not lost"),
                    None => Ok(()),
                }
            }
            Wrong::Invented { key, element, read, failed: None } => {
                write!(f, "{read} read {element}{}, which nobody added", Of(key))
            }
            Wrong::Invented { key, element, read, failed: Some(add) } => {
                write!(f, "{read} read {element}{}, but {add} failed to add it, and nobody else tried", Of(key))
            }
            Wrong::Early { key, element, read, add } => {
                write!(f, "{read} read {element}{} and ended before the first to add it, {add}, began", Of(key))
            }
            Wrong::Duplicated { key, element, read } => write!(f, "{read} read {element}{} more than once", Of(key)),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { key, element, known, missed, .. } = self;
        let since = time(known.return_ns);
        write!(f, "{element}{} was known from {since} on, by {known}, but {missed} did not read it", Of(key))
    }
}

#[derive(Default)]
struct Key {
    names: Names,
    /// By number of the element.
    elements: Vec<Element>,
    /// When elements became known, in order.
    known: Vec<usize>,
    reads: u64,
    /// The last read to begin.
    last: Option<Op>,
}

#[derive(Default)]
struct Element {
    /// The first to begin of those that did not fail.
    add: Option<Op>,
    failed: Option<Op>,
    known: Option<Op>,
    /// The first read to end that shows it.
    shown_first: Option<Op>,
    shown_last: Option<Op>,
    /// The last to begin of the reads that began after it was known and miss it, and the first such.
    missed_last: Option<Op>,
    missed_first: Option<Op>,
    /// The last read that shows it, by count.
    read: u64,
}

pub struct Set {
    options: Options,
    keys: PerKey<Key>,
    looks: u64,
    report: Report<Wrong>,
}

impl Set {
    pub fn new(options: Options) -> Set {
        Set { options, keys: PerKey::default(), looks: 0, report: Report::new(Oracle::Set) }
    }
}

impl Options {
    /// Fact `linearizable`: whether stale elements are violations.
    pub fn of(header: &Header) -> Options {
        Options { linearizable: fact_bool(header, "linearizable") }
    }
}

impl Key {
    fn element(&mut self, value: &Value) -> usize {
        let number = self.names.number(value);
        if number == self.elements.len() {
            self.elements.push(Element::default());
        }
        number
    }

    fn on_known(&mut self, element: usize, by: Op) {
        let known = &mut self.elements[element].known;
        if known.is_none() {
            *known = Some(by);
            self.known.push(by.returned);
        }
    }
}

impl Check for Set {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let key = self.keys.of(&done.call.key);
        match done.function() {
            "add" => {
                let number = key.element(&done.call.value);
                let element = &mut key.elements[number];
                match done.outcome {
                    Outcome::Fail => element.failed = element.failed.or(Some(done.op)),
                    Outcome::Ok | Outcome::Unknown => {
                        let first = element.add.is_none_or(|add| done.op.invoked < add.invoked);
                        element.add = if first { Some(done.op) } else { element.add };
                    }
                }
                if done.is_ok() {
                    self.report.count("added", 1);
                    key.on_known(number, done.op);
                }
                Ok(())
            }
            functions::READ if done.is_ok() => self.on_read(done),
            functions::READ => Ok(()),
            _ => Err(done.stranger("add or read")),
        }
    }

    fn finish(mut self) -> Report<Wrong> {
        for (key, state) in self.keys.into_iter() {
            for (element, value) in state.elements.iter().zip(&state.names.values) {
                judge(&self.options, &key, value, element, &mut self.report);
                // Known, but no read began after that.
                let last = state.last.map_or(0, |read| read.invoked);
                let is_never_read = element.known.is_some_and(|known| last < known.returned);
                self.report.count("never-read", u64::from(is_never_read && element.shown_first.is_none()));
            }
        }
        if self.looks >= LOOKS_MAX {
            self.report.undecided.push(format!("so much is missing that only {LOOKS_MAX} looks for it were taken"));
        }
        self.report.sorted(&["lost", "invented", "duplicated", "read-before-added", "stale"])
    }
}

impl Set {
    fn on_read(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let Some(answer) = elements(done.answer) else {
            return Err(done.misshapen(done.answer, "a list or a set of elements"));
        };
        self.report.count("reads", 1);
        let read = done.op;
        let key = self.keys.of(&done.call.key);
        key.reads += 1;
        key.last = key.last.filter(|last| last.invoked > read.invoked).or(Some(read));
        let is_known = |element: &Element| element.known.is_some_and(|known| known.precedes(&read));
        let mut found = 0;
        for value in answer {
            let number = key.element(value);
            let element = &mut key.elements[number];
            if element.read == key.reads {
                let (key, element) = (done.call.key.clone(), value.clone());
                self.report.violation(Wrong::Duplicated { key, element, read });
                continue;
            }
            element.read = key.reads;
            element.shown_first = element.shown_first.or(Some(read));
            element.shown_last = Some(read);
            found += usize::from(is_known(element));
            key.on_known(number, read);
        }
        let expected = key.known.partition_point(|known| *known < read.invoked);
        if found < expected && self.looks < LOOKS_MAX {
            self.looks += key.elements.len() as u64;
            let count = key.reads;
            for element in key.elements.iter_mut().filter(|element| element.read != count && is_known(element)) {
                element.missed_first = element.missed_first.or(Some(read));
                let is_last = element.missed_last.is_none_or(|last| last.invoked < read.invoked);
                element.missed_last = if is_last { Some(read) } else { element.missed_last };
            }
        }
        Ok(())
    }
}

fn judge(options: &Options, key: &Value, value: &Value, element: &Element, report: &mut Report<Wrong>) {
    let (key, value) = (key.clone(), value.clone());
    if let Some(read) = element.shown_first {
        match element.add {
            None => {
                let failed = element.failed;
                return report.violation(Wrong::Invented { key, element: value, read, failed });
            }
            Some(add) if read.precedes(&add) => {
                return report.violation(Wrong::Early { key, element: value, read, add });
            }
            Some(_) => {}
        }
    }
    let (Some(known), Some(last), Some(first)) = (element.known, element.missed_last, element.missed_first) else {
        return;
    };
    debug_assert!(known.returned != NEVER, "what is known was told by somebody");
    let shown = element.shown_last;
    if shown.is_none_or(|shown| shown.precedes(&last)) {
        report.violation(Wrong::Lost(Missing { key, element: value, known, shown, missed: last }));
    } else {
        report.count("stale", 1);
        if options.linearizable {
            report.violation(Wrong::Stale(Missing { key, element: value, known, shown, missed: first }));
        }
    }
}
