//! The smallest part of a history that still shows what the whole one shows.
//!
//! Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over operations:
//! halves, quarters and so on are left out as long as what is left still shows it, in the end one operation at a time until
//! none can go. What shows it is asked of the caller, who must see to it that it is *the same* anomaly: a history without
//! the write that a read saw is just as invalid, but says something else.
//!
//! For that reason little can go by itself, and the search is guided by who saw what ([`needs`]): it begins with the
//! operations that the explanation names, or these and all whose writes they saw, or the shortest beginning that shows it;
//! and what goes takes along those who saw its writes. That is a guess, and decides nothing: each part is asked about.
//!
//! Invariants
//!  M1  What is answered shows it; if it is `minimal`, no history that lacks one more operation does.
//!  M2  Operations keep their processes, their times and their order. Faults, phases and alarms are left out.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use tenet_histories::{Event, History, Operation, Outcome, Value};

use crate::CheckError;

/// Whether a history shows what is looked for, and whether there is time to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    Yes,
    No,
    /// Do not ask any more.
    Stop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimal {
    pub history: History,
    /// The operations that are left, by their numbers in the whole history.
    pub operations: Vec<usize>,
    /// No operation can go. Otherwise it was told to stop.
    pub minimal: bool,
    pub asked: usize,
}

/// `hint` are operations that may be enough, as the explanation names them. None: the history without its faults does not
/// show it.
pub fn minimize(
    history: &History,
    hint: &[usize],
    shows: &mut dyn FnMut(&History) -> Shows,
) -> Result<Option<Minimal>, CheckError> {
    let operations = history.operations()?;
    let mut events = Vec::new();
    for operation in &operations {
        events.push((operation.invoke_event, operation.completed.map(|completed| completed.event)));
    }
    let mut search = Search {
        history,
        events,
        hint: hint.to_vec(),
        needs: Vec::new(),
        needed_by: Vec::new(),
        is_needed: Vec::new(),
        shows,
        asked: 0,
        is_over: false,
    };
    let mut kept: Vec<usize> = (0..operations.len()).collect();
    let hint: Vec<usize> = kept.iter().copied().filter(|operation| hint.contains(operation)).collect();
    if !hint.is_empty() && search.still_shows(&hint) {
        kept = hint;
    } else {
        search.needs = needs(&operations);
        search.needed_by = vec![Vec::new(); operations.len()];
        for (operation, needs) in search.needs.iter().enumerate() {
            needs.iter().for_each(|needed| search.needed_by[*needed].push(operation));
        }
        let closed = search.closed(&hint);
        search.is_needed = vec![false; operations.len()];
        closed.iter().for_each(|operation| search.is_needed[*operation] = true);
        if closed.len() > hint.len() && closed.len() < kept.len() && search.still_shows(&closed) {
            kept = closed;
        } else if !search.still_shows(&kept) {
            return Ok(None);
        }
        search.cut(&mut kept);
    }
    search.thin(&mut kept);
    search.pick(&mut kept);
    let history = search.part(&kept);
    Ok(Some(Minimal { history, operations: kept, minimal: !search.is_over, asked: search.asked }))
}

/// Per operation: those without which its answer would show what nobody wrote. A key with a value that stands in the answer
/// is taken to be written by the last operation before that asked for it, and if that failed, by the last that did not too.
fn needs(operations: &[Operation<'_>]) -> Vec<Vec<usize>> {
    let mut writers: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut marks = Vec::new();
    for operation in operations {
        marks_of(&operation.call.key, &operation.call.value, &mut marks);
        for mark in marks.drain(..) {
            writers.entry(mark).or_default().push(operation.index);
        }
    }
    let needs_of = |operation: &Operation<'_>| {
        let mut needs = Vec::new();
        let Some(completed) = operation.completed else { return needs };
        let mut marks = Vec::new();
        marks_of(&operation.call.key, operation.answer(), &mut marks);
        for mark in marks {
            let Some(all) = writers.get(&mark) else { continue };
            let before = all.partition_point(|writer| operations[*writer].invoke_event < completed.event);
            let others = || all[..before].iter().rev().copied().filter(|writer| *writer != operation.index);
            needs.extend(others().next());
            needs.extend(others().find(|writer| operations[*writer].outcome() != Outcome::Fail));
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    };
    operations.iter().map(needs_of).collect()
}

/// The values in a payload with the keys that they belong to, as hashes: two that are alike by chance cost a question.
fn marks_of(key: &Value, payload: &Value, marks: &mut Vec<u64>) {
    let is_step = |item: &Value| item.as_list().is_some_and(|item| item.len() > 1 && item[0].as_name().is_some());
    match payload.as_list() {
        // `[["append", key, value], ["r", key, values]]`.
        Some(steps) if !steps.is_empty() && steps.iter().all(is_step) => {
            for step in steps.iter().filter_map(Value::as_list) {
                step[2..].iter().for_each(|value| mark(&step[1], value, marks));
            }
        }
        _ => mark(key, payload, marks),
    }
}

fn mark(key: &Value, value: &Value, marks: &mut Vec<u64>) {
    match value {
        Value::Nil | Value::Bool(_) => {}
        Value::List(items) => {
            // A pair of a key and a value, or values.
            if let [of, value] = items.as_slice() {
                mark(of, value, marks);
            }
            items.iter().for_each(|item| mark(key, item, marks));
        }
        Value::Set(items) => items.iter().for_each(|item| mark(key, item, marks)),
        Value::Map(map) => map.iter().for_each(|(of, value)| mark(of, value, marks)),
        atom => {
            let mut hasher = DefaultHasher::new();
            (key, atom).hash(&mut hasher);
            marks.push(hasher.finish());
        }
    }
}

struct Search<'a> {
    history: &'a History,
    /// Per operation: where it begins and ends.
    events: Vec<(usize, Option<usize>)>,
    /// Who is expected to show it.
    hint: Vec<usize>,
    /// Per operation: others that it should not be without. Empty: nothing is known.
    needs: Vec<Vec<usize>>,
    /// The other way around.
    needed_by: Vec<Vec<usize>>,
    /// Per operation: whether those that are expected to show it need it, or who these need, and so on.
    is_needed: Vec<bool>,
    shows: &'a mut dyn FnMut(&History) -> Shows,
    asked: usize,
    is_over: bool,
}

impl Search<'_> {
    fn part(&self, operations: &[usize]) -> History {
        let of = |operation: &usize| {
            let (invoked, completed) = self.events[*operation];
            [Some(invoked), completed]
        };
        let mut positions: Vec<usize> = operations.iter().flat_map(of).flatten().collect();
        positions.sort_unstable();
        let events: Vec<Event> = positions.into_iter().map(|position| self.history.events[position].clone()).collect();
        History { header: self.history.header.clone(), events }
    }

    fn still_shows(&mut self, operations: &[usize]) -> bool {
        if self.is_over {
            return false;
        }
        self.asked += 1;
        let part = self.part(operations);
        match (self.shows)(&part) {
            Shows::Yes => true,
            Shows::No => false,
            Shows::Stop => {
                self.is_over = true;
                false
            }
        }
    }

    /// These, and all that they need.
    fn closed(&self, operations: &[usize]) -> Vec<usize> {
        let mut is_in = vec![false; self.events.len()];
        let mut next = operations.to_vec();
        while let Some(operation) = next.pop() {
            if !std::mem::replace(&mut is_in[operation], true) {
                next.extend(&self.needs[operation]);
            }
        }
        (0..is_in.len()).filter(|operation| is_in[*operation]).collect()
    }

    /// Those that are left when these places of `kept` go, and with them whoever needs them.
    fn without(&self, kept: &[usize], gone: Range<usize>) -> Vec<usize> {
        // Whoever went before takes nobody along any more.
        let mut is_gone = vec![true; self.events.len()];
        kept.iter().for_each(|operation| is_gone[*operation] = false);
        let mut next = kept[gone].to_vec();
        while let Some(operation) = next.pop() {
            if !std::mem::replace(&mut is_gone[operation], true) {
                next.extend(self.needed_by.get(operation).into_iter().flatten());
            }
        }
        kept.iter().copied().filter(|operation| !is_gone[*operation]).collect()
    }

    /// Leaves out the end, as long as the beginning shows it. (What begins later may hide it again; then less is cut.)
    fn cut(&mut self, kept: &mut Vec<usize>) {
        let (mut too_short, mut enough) = (0, kept.len());
        while too_short + 1 < enough && !self.is_over {
            let middle = too_short.midpoint(enough);
            match self.still_shows(&kept[..middle]) {
                true => enough = middle,
                false => too_short = middle,
            }
        }
        kept.truncate(enough);
    }

    /// Leaves out ever smaller stretches, together with whoever needs them if that leaves those who show it. Without these it
    /// is tried where there are few questions to ask, and as long as it helps.
    fn thin(&mut self, kept: &mut Vec<usize>) {
        const FEW: usize = 32;
        let mut stretch = kept.len().div_ceil(2);
        let mut alone_helps = true;
        while stretch > 1 && !self.is_over {
            let before = kept.len();
            let try_alone = alone_helps || stretch * FEW >= before;
            alone_helps = false;
            let mut first = 0;
            while first < kept.len() && !self.is_over {
                let end = (first + stretch).min(kept.len());
                let rest: Vec<usize> = kept[..first].iter().chain(&kept[end..]).copied().collect();
                let is_hopeless = self.is_hopeless(kept, first..end);
                let closed = if is_hopeless { None } else { Some(self.without(kept, first..end)) };
                let is_other = closed.as_ref().is_none_or(|closed| closed.len() < rest.len());
                if let Some(closed) = closed.filter(|closed| self.still_shows(closed)) {
                    *kept = closed;
                } else if try_alone && is_other && self.still_shows(&rest) {
                    (*kept, alone_helps) = (rest, true);
                } else {
                    first = end;
                }
            }
            // As long as much goes, the same stretches are worth another round.
            stretch = if kept.len() < before / 2 { stretch.min(kept.len().div_ceil(2)) } else { stretch.div_ceil(2) };
        }
    }

    /// Whether those who are expected to show it need any of these places of `kept`.
    fn is_hopeless(&self, kept: &[usize], gone: Range<usize>) -> bool {
        let is_kept = |operation: &usize| kept.binary_search(operation).is_ok();
        self.hint.iter().all(is_kept)
            && kept[gone].iter().any(|operation| self.is_needed.get(*operation) == Some(&true))
    }

    /// Leaves out single operations, later ones first, until none of those that are left can go.
    fn pick(&mut self, kept: &mut Vec<usize>) {
        let (mut place, mut in_vain) = (kept.len(), 0);
        while in_vain < kept.len() && !self.is_over {
            place = if place == 0 { kept.len() } else { place } - 1;
            let mut alone = kept.clone();
            alone.remove(place);
            let is_hopeless = self.is_hopeless(kept, place..place + 1);
            let closed = if is_hopeless { None } else { Some(self.without(kept, place..place + 1)) };
            let closed = closed.filter(|closed| closed.len() < alone.len() && self.still_shows(closed));
            if let Some(closed) = closed {
                (*kept, in_vain) = (closed, 0);
                place = place.min(kept.len());
            } else if self.still_shows(&alone) {
                (*kept, in_vain) = (alone, 0);
            } else {
                in_vain += 1;
            }
        }
    }
}
