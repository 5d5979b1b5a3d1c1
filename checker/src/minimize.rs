//! The smallest part of a history that still shows what the whole one shows.
//!
//! Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over operations:
//! halves, quarters and so on are left out as long as what is left still shows it, in the end one operation at a time until
//! none can go. What shows it is asked of the caller, who must see to it that it is *the same* anomaly: a history without
//! the write that a read saw is just as invalid, but says something else.
//!
//! Invariants
//!  M1  What is answered shows it; if it is `minimal`, no history that lacks one more operation does.
//!  M2  Operations keep their processes, their times and their order. Faults, phases and alarms are left out.

use tenet_histories::{Event, History};

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
    let mut search = Search { history, events: Vec::new(), shows, asked: 0, is_over: false };
    for operation in history.operations()? {
        search.events.push((operation.invoke_event, operation.completed.map(|completed| completed.event)));
    }
    let mut kept: Vec<usize> = (0..search.events.len()).collect();
    let hint: Vec<usize> = kept.iter().copied().filter(|operation| hint.contains(operation)).collect();
    if !hint.is_empty() && search.still_shows(&hint) {
        kept = hint;
    } else if !search.still_shows(&kept) {
        return Ok(None);
    }
    search.thin(&mut kept);
    search.pick(&mut kept);
    let history = search.part(&kept);
    Ok(Some(Minimal { history, operations: kept, minimal: !search.is_over, asked: search.asked }))
}

struct Search<'a> {
    history: &'a History,
    /// Per operation: where it begins and ends.
    events: Vec<(usize, Option<usize>)>,
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

    /// Leaves out ever smaller stretches.
    fn thin(&mut self, kept: &mut Vec<usize>) {
        let mut stretch = kept.len().div_ceil(2);
        while stretch > 1 && !self.is_over {
            let before = kept.len();
            let mut first = 0;
            while first < kept.len() {
                let end = (first + stretch).min(kept.len());
                let rest: Vec<usize> = kept[..first].iter().chain(&kept[end..]).copied().collect();
                if self.still_shows(&rest) {
                    *kept = rest;
                } else {
                    first = end;
                }
            }
            // As long as much goes, the same stretches are worth another round.
            stretch = if kept.len() < before / 2 { stretch.min(kept.len().div_ceil(2)) } else { stretch.div_ceil(2) };
        }
    }

    /// Leaves out single operations, later ones first, until none can go.
    fn pick(&mut self, kept: &mut Vec<usize>) {
        loop {
            let before = kept.len();
            for place in (0..before).rev() {
                let mut rest = kept.clone();
                rest.remove(place);
                if self.still_shows(&rest) {
                    *kept = rest;
                }
            }
            if kept.len() == before || self.is_over {
                return;
            }
        }
    }
}
