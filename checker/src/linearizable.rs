//! Oracle `linearizable`: every register behaves as one variable that each operation touches at one moment between its
//! invocation and its completion.
//!
//! Linearizability is local: a history is linearizable if each key's part is, so keys are searched one by one (`search`).
//! Reads that were not answered and operations that failed are dropped. An unknown write stays open to the end, unless
//! nobody could tell whether it happened: a value that no operation of its key mentions matters only to a compare-and-set
//! that was refused, and there all such values are alike.

use std::collections::{BTreeMap, BTreeSet};

use tenet_histories::{History, Operation, Outcome, Value, functions};

use crate::search::{self, Interval, Model, search};
use crate::shape::{misshapen, stranger, who};
use crate::{CheckError, Oracle, Verdict};

#[derive(Clone, Debug)]
pub struct Options {
    /// The value of every key at first. None: the fact `initial` of the header, or nil where there is none.
    pub initial: Option<Value>,
    /// The search gives up above (C5). Honest histories of a few clients stay below a hundred.
    pub configurations_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { initial: None, configurations_max: 200_000 }
    }
}

/// What one operation did to its key, with values as numbers given by `Values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Read(u32),
    Write(u32),
    /// It was the first, and became the second.
    Swap(u32, u32),
    /// It was anything but this.
    Refuse(u32),
}

/// Stands for every value that no operation of the key mentions.
const UNMENTIONED: u32 = u32::MAX;

struct Register {
    initial: u32,
}

impl Model for Register {
    type State = u32;
    type Call = Call;

    fn initial(&self) -> u32 {
        self.initial
    }

    fn apply(&self, state: &u32, call: &Call) -> Option<u32> {
        match *call {
            Call::Read(value) => (value == *state).then_some(*state),
            Call::Write(value) => Some(value),
            Call::Swap(from, to) => (from == *state).then_some(to),
            Call::Refuse(from) => (from != *state).then_some(*state),
        }
    }

    fn only_looks(&self, call: &Call) -> bool {
        match call {
            Call::Read(_) | Call::Refuse(_) => true,
            Call::Write(_) | Call::Swap(..) => false,
        }
    }
}

pub fn check(history: &History, options: &Options) -> Result<Verdict, CheckError> {
    let operations = history.operations()?;
    let initial = options.initial.clone().or_else(|| history.header.facts.get("initial").cloned()).unwrap_or_default();
    let mut keys: BTreeMap<&Value, Vec<&Operation<'_>>> = BTreeMap::new();
    for operation in &operations {
        keys.entry(&operation.call.key).or_default().push(operation);
    }
    let mut gave_up = None;
    for (key, operations) in keys {
        let verdict = check_key(key, &operations, &initial, options.configurations_max)?;
        match verdict.finding {
            crate::Finding::Valid => {}
            crate::Finding::Invalid { .. } => return Ok(verdict),
            // Another key may still be refuted.
            crate::Finding::Unknown { .. } => gave_up = gave_up.or(Some(verdict)),
        }
    }
    Ok(gave_up.unwrap_or_else(|| Verdict::valid(Oracle::Linearizable)))
}

/// Gives values numbers.
#[derive(Default)]
struct Values<'h> {
    numbers: BTreeMap<&'h Value, u32>,
    values: Vec<&'h Value>,
}

impl<'h> Values<'h> {
    fn number(&mut self, value: &'h Value) -> u32 {
        *self.numbers.entry(value).or_insert_with(|| {
            self.values.push(value);
            self.values.len() as u32 - 1
        })
    }

    fn text(&self, number: u32) -> String {
        self.values.get(number as usize).map_or("a value that nobody read".to_string(), |value| value.to_string())
    }
}

fn check_key<'h>(
    key: &Value,
    operations: &[&Operation<'h>],
    initial: &'h Value,
    configurations_max: usize,
) -> Result<Verdict, CheckError> {
    let mut values = Values::default();
    let model = Register { initial: values.number(initial) };
    let mut taken: Vec<(&Operation<'h>, Call)> = Vec::new();
    for operation in operations {
        if let Some(call) = call_of(operation, &mut values)? {
            taken.push((operation, call));
        }
    }

    let mut mentioned = BTreeSet::new();
    let mut refusals = false;
    for (_, call) in &taken {
        match *call {
            Call::Read(value) | Call::Swap(value, _) => drop(mentioned.insert(value)),
            Call::Refuse(value) => {
                mentioned.insert(value);
                refusals = true;
            }
            Call::Write(_) => {}
        }
    }
    let mut intervals: Vec<Interval<Call>> = Vec::new();
    let mut sources: Vec<&Operation<'h>> = Vec::new();
    for (operation, call) in &taken {
        let returned = operation.return_event();
        let call = match *call {
            Call::Write(value) | Call::Swap(_, value) if returned.is_none() && !mentioned.contains(&value) => {
                if !refusals {
                    continue;
                }
                match *call {
                    Call::Swap(from, _) => Call::Swap(from, UNMENTIONED),
                    _ => Call::Write(UNMENTIONED),
                }
            }
            call => call,
        };
        intervals.push(Interval { invoked: operation.invoke_event, returned, call });
        sources.push(operation);
    }

    Ok(match search(&model, &intervals, configurations_max) {
        search::Outcome::Found => Verdict::valid(Oracle::Linearizable),
        search::Outcome::NotFound { stuck, states } => {
            explain(key, &taken, &values, sources[stuck], intervals[stuck].call, &states)
        }
        search::Outcome::GaveUp { at } => Verdict::unknown(
            Oracle::Linearizable,
            format!("key {key}: more than {configurations_max} possibilities at {}", who(sources[at])),
        ),
    })
}

/// None: it tells nothing.
fn call_of<'h>(operation: &Operation<'h>, values: &mut Values<'h>) -> Result<Option<Call>, CheckError> {
    let (call, outcome) = (operation.call, operation.outcome());
    Ok(match call.function.as_ref() {
        functions::READ => (outcome == Outcome::Ok).then(|| Call::Read(values.number(operation.answer()))),
        functions::WRITE => (outcome != Outcome::Fail).then(|| Call::Write(values.number(&call.value))),
        functions::COMPARE_AND_SET => {
            let Some([from, to]) = call.value.as_list() else {
                return Err(misshapen(operation, &call.value, "[from, to]"));
            };
            let (from, to) = (values.number(from), values.number(to));
            match outcome {
                Outcome::Fail => None,
                Outcome::Unknown => Some(Call::Swap(from, to)),
                Outcome::Ok => match operation.answer() {
                    Value::Bool(true) => Some(Call::Swap(from, to)),
                    Value::Bool(false) => Some(Call::Refuse(from)),
                    other => return Err(misshapen(operation, other, "whether it was changed, a bool")),
                },
            }
        }
        _ => return Err(stranger(operation, "read, write or cas")),
    })
}

fn explain(
    key: &Value,
    taken: &[(&Operation<'_>, Call)],
    values: &Values<'_>,
    stuck: &Operation<'_>,
    call: Call,
    states: &[u32],
) -> Verdict {
    let writer = |wanted: u32| {
        taken.iter().find(|(_, call)| match *call {
            Call::Write(value) | Call::Swap(_, value) => value == wanted,
            Call::Read(_) | Call::Refuse(_) => false,
        })
    };
    let mut involved = vec![stuck.index];
    let mut origin = |value: u32| match writer(value) {
        Some((operation, _)) => {
            involved.push(operation.index);
            let may = if operation.outcome() == Outcome::Unknown { "may have written" } else { "wrote" };
            format!("{} {may} it", who(operation))
        }
        None if value == 0 => "the initial value".to_string(),
        None => "nobody wrote it".to_string(),
    };
    let (did, wanted) = match call {
        Call::Read(value) => (format!("read {}", values.text(value)), Some(value)),
        Call::Swap(from, to) => {
            (format!("found {} and changed it to {}", values.text(from), values.text(to)), Some(from))
        }
        Call::Refuse(from) => (format!("found another value than {}", values.text(from)), None),
        Call::Write(value) => (format!("wrote {}", values.text(value)), None),
    };
    let wanted = wanted.map(|value| format!(" ({})", origin(value))).unwrap_or_default();
    let shown = states.iter().take(4).map(|state| format!("{} ({})", values.text(*state), origin(*state)));
    let possible = shown.collect::<Vec<_>>().join(" or ");
    let more = if states.len() > 4 { " or another" } else { "" };
    let explanation = format!(
        "key {key}: {} {did}{wanted}; but just before its answer the value was {possible}{more}, and no order of the \
         operations that were open then leads to what it saw",
        who(stuck)
    );
    Verdict::invalid(Oracle::Linearizable, explanation, involved)
}
