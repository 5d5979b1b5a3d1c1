//! What the oracle says: the proof as data, and the words for it.

use std::fmt;

use super::Blocked;
use super::model::{Model, Part, Who};
use crate::{Oracle, Verdict};

/// So many different states are told; the rest is "or another".
const STATES_TOLD: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many operations the history has.
    pub operations: usize,
    pub proof: Proof,
}

/// Operations are numbers in the order of invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Valid(Vec<Order>),
    Invalid(Box<Violation>),
    Unknown { reason: String },
}

/// How the operations of one part took effect. Unknown ones that are absent did not, or nobody could tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// `key 1`; empty if there is only one object.
    pub part: String,
    pub operations: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub part: String,
    /// Where what the blocked operation saw comes from.
    pub saw: Saw,
    /// An order of the longest prefix that has one, as far as all ways to the window agree.
    pub prefix: Vec<usize>,
    pub window: Window,
    pub explanation: String,
    /// Those that the explanation names.
    pub involved: Vec<usize>,
}

/// Who made the state that an operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw {
    /// The first operation that leads to it.
    Written {
        by: usize,
        is_unknown: bool,
    },
    Initial,
    Nobody,
    /// More than one state allows the operation.
    Unsaid,
}

/// Between two returns: the shortest stretch of time in which no order exists, given what went before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions of events: of the last return before, if any, and of the return that is not possible.
    pub from: Option<usize>,
    pub until: usize,
    /// It cannot return.
    pub blocked: usize,
    /// They are open as well, and may take effect in the window or have done so before.
    pub open: Vec<usize>,
    /// Every way to come to the window: others end where one of these does, or where less is possible.
    pub before: Vec<Before>,
    /// There were so many more.
    pub before_more: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// After the common prefix.
    pub then: Vec<usize>,
    /// `the value was 3`.
    pub state: String,
}

impl Report {
    pub fn verdict(&self) -> Verdict {
        match &self.proof {
            Proof::Valid(_) => Verdict::valid(Oracle::Linearizable),
            Proof::Invalid(violation) => {
                let Violation { explanation, involved, .. } = &**violation;
                Verdict::invalid(Oracle::Linearizable, explanation.clone(), involved.clone())
            }
            Proof::Unknown { reason } => Verdict::unknown(Oracle::Linearizable, reason.clone()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proof {
            Proof::Valid(orders) => {
                write!(f, "valid: {} operations, an order for each of {} parts", self.operations, orders.len())
            }
            Proof::Invalid(violation) => write!(f, "INVALID: {}", violation.explanation),
            Proof::Unknown { reason } => write!(f, "unknown: {reason}"),
        }
    }
}

pub(super) fn violation<M: Model>(
    model: &M,
    part: &Part<M::Call>,
    blocked: Blocked<M::State>,
    who: &[Who],
) -> Violation {
    let operations = &part.operations;
    let stuck = &operations[blocked.operation as usize];
    let number = |place: &u32| operations[*place as usize].number as usize;
    let mut involved = vec![stuck.number as usize];

    let saw = saw(model, part, blocked.operation);
    let saw_text = match saw {
        Saw::Written { by, is_unknown } => {
            involved.push(by);
            let did = if is_unknown { "may have written" } else { "wrote" };
            format!(" ({} {did} it)", who[by].text(by as u32))
        }
        Saw::Initial => " (the initial value)".to_string(),
        Saw::Nobody => " (nobody wrote it)".to_string(),
        Saw::Unsaid => String::new(),
    };
    let mut told: Vec<&M::State> = Vec::new();
    let mut texts = Vec::new();
    for (order, state) in &blocked.ways {
        if told.contains(&state) {
            continue;
        }
        told.push(state);
        if told.len() > STATES_TOLD {
            continue;
        }
        let changed = order.iter().rev().find(|place| !model.looks(&operations[**place as usize].call));
        let origin = changed.map_or("as at first".to_string(), |place| {
            let taken = &operations[*place as usize];
            involved.push(taken.number as usize);
            let may = if taken.is_unknown() { "perhaps " } else { "" };
            format!("{} {may}{}", who[taken.number as usize].text(taken.number), model.did(&taken.call))
        });
        texts.push(format!("{} ({origin})", model.was(state)));
    }
    let more = if told.len() > STATES_TOLD || blocked.ways_more > 0 { " or something else" } else { "" };
    let possible = if texts.is_empty() { "no state was possible".to_string() } else { texts.join(" or ") };
    let part_text = if part.name.is_empty() { String::new() } else { format!("{}: ", part.name) };
    let explanation = format!(
        "{part_text}{} {}{saw_text}; but just before its answer {possible}{more}, and no order of the \
         operations that were open then leads to what it saw",
        who[stuck.number as usize].text(stuck.number),
        model.did(&stuck.call),
    );
    involved.dedup();

    let from = operations.iter().map(|taken| taken.returned).filter(|returned| *returned < stuck.returned).max();
    let is_open = |place: &u32| {
        let taken = &operations[*place as usize];
        taken.invoked < stuck.returned && taken.returned > stuck.returned
    };
    let open: Vec<usize> = (0..operations.len() as u32).filter(is_open).map(|place| number(&place)).collect();
    let first = blocked.ways.first().map_or(&[][..], |(order, _)| order);
    let mut common = first.len();
    for (order, _) in &blocked.ways {
        common = first[..common].iter().zip(order).take_while(|(one, other)| one == other).count();
    }
    let before = blocked
        .ways
        .iter()
        .map(|(order, state)| Before { then: order[common..].iter().map(number).collect(), state: model.was(state) });
    Violation {
        part: part.name.clone(),
        saw,
        prefix: first[..common].iter().map(number).collect(),
        window: Window {
            from: from.map(|position| position as usize),
            until: stuck.returned as usize,
            blocked: stuck.number as usize,
            open,
            before: before.collect(),
            before_more: blocked.ways_more,
        },
        explanation,
        involved,
    }
}

fn saw<M: Model>(model: &M, part: &Part<M::Call>, blocked: u32) -> Saw {
    let Some(wanted) = model.wanted(&part.operations[blocked as usize].call) else { return Saw::Unsaid };
    let leads_there = |call: &M::Call| {
        let mut next = Vec::new();
        if !model.looks(call) {
            let from = model.wanted(call).unwrap_or_else(|| model.initial());
            model.step(&from, call, &mut next);
        }
        next.contains(&wanted)
    };
    match part.operations.iter().find(|taken| leads_there(&taken.call)) {
        Some(taken) => Saw::Written { by: taken.number as usize, is_unknown: taken.is_unknown() },
        None if wanted == model.initial() => Saw::Initial,
        None => Saw::Nobody,
    }
}
