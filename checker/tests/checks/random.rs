//! Small random histories: a few clients that ask and are answered at random, so that most of them are wrong somewhere.

use proptest::prelude::*;
use tenet_checker::checks::{Report, Violation};
use tenet_histories::{Call, Completion, Event, Header, History, Operation, Outcome, Process, Value, What};

/// A stretch of random bytes, spent choice by choice; when it ends, every choice is the first.
pub struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    pub fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % count
    }

    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

pub fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max)
}

pub fn call(function: &'static str, key: impl Into<Value>, value: impl Into<Value>) -> Call {
    Call { function: function.into(), key: key.into(), value: value.into() }
}

pub const NIL: Value = Value::Nil;

/// A history of that many clients: `ask` says what is asked next, `answer` what an operation that is ok answers. At most
/// `calls_max` operations; a process may stop after an unknown outcome, as
/// Jepsen's do, or go on.
pub fn history<S: Default>(
    bytes: &[u8],
    clients: u32,
    calls_max: usize,
    mut ask: impl FnMut(&mut S, &mut Choices<'_>, Process) -> Call,
    mut answer: impl FnMut(&mut S, &mut Choices<'_>, &Call) -> Value,
) -> History {
    let (mut choices, mut state) = (Choices(bytes), S::default());
    let mut open: Vec<Option<Call>> = vec![None; clients as usize];
    let mut ended = vec![false; clients as usize];
    let (mut events, mut calls) = (Vec::new(), 0);
    while !choices.is_done() && calls < calls_max {
        let client = choices.below(clients as usize);
        let process = Process(client as u32);
        if ended[client] {
            continue;
        }
        let what = match open[client].take() {
            None => {
                let call = ask(&mut state, &mut choices, process);
                open[client] = Some(call.clone());
                calls += 1;
                What::Invoke { process, call }
            }
            Some(call) => {
                let completion = match choices.below(12) {
                    0 => Completion::new(Outcome::Fail),
                    1 => Completion::new(Outcome::Unknown),
                    _ => Completion::ok(answer(&mut state, &mut choices, &call)),
                };
                ended[client] = completion.outcome == Outcome::Unknown && choices.below(2) == 0;
                What::Complete { process, completion }
            }
        };
        events.push(Event::new(events.len() as u64 * 1_000_000, what));
    }
    History { header: Header::default(), events }
}

/// The kinds of violations that a report has, each once, in order.
pub fn kinds<V: Violation>(report: &Report<V>) -> Vec<&'static str> {
    report.violation_counts.keys().copied().collect()
}

pub fn precedes(one: &Operation<'_>, two: &Operation<'_>) -> bool {
    one.return_event().is_some_and(|returned| returned < two.invoke_event)
}

/// It began before the other had ended: its effect may have been there.
pub fn may_precede(one: &Operation<'_>, two: &Operation<'_>) -> bool {
    two.completed.is_none_or(|completed| one.invoke_event < completed.event)
}

pub fn sorted(mut kinds: Vec<&'static str>) -> Vec<&'static str> {
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
