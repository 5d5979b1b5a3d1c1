//! From events to parts: pairs invocations with completions, asks the model what each operation did, and sorts by key.
//! Takes events one by one and keeps of each operation only what the model made of it.

use std::collections::BTreeMap;
use std::ops::Deref;

use tenet_histories::{Call, Completion, Event, Extra, Outcome as Ended, PairingError, Process, Value, What};

use super::explain::{self, Order, Proof, Report};
use super::model::{Asked, Model, NEVER, Part, Taken, Who};
use super::{Options, Outcome, Progress, check_part};
use crate::CheckError;
use crate::budget::Meter;

/// `R` holds the model: a reference, or a box.
pub struct Collector<M: Model, R: Deref<Target = M>> {
    model: R,
    pairs: bool,
    position: u32,
    open: BTreeMap<Process, Open>,
    who: Vec<Who>,
    by_key: BTreeMap<Value, Vec<Taken<M::Call>>>,
    scratch: Vec<M::Call>,
}

struct Open {
    number: u32,
    invoked: u32,
    call: Call,
}

impl<M: Model, R: Deref<Target = M>> Collector<M, R> {
    /// `pairs`: as in `Options`.
    pub fn new(model: R, pairs: bool) -> Collector<M, R> {
        let (open, by_key) = (BTreeMap::new(), BTreeMap::new());
        Collector { model, pairs, position: 0, open, who: Vec::new(), by_key, scratch: Vec::new() }
    }

    /// The next event in real order.
    pub fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        let position = self.position;
        self.position += 1;
        assert!(self.position < NEVER, "a history has fewer than 2^32 events");
        match &event.what {
            What::Invoke { process, call } => {
                let number = self.who.len() as u32;
                let open = Open { number, invoked: position, call: call.clone() };
                if let Some(earlier) = self.open.insert(*process, open) {
                    return Err(CheckError::Pairing(PairingError::StillOpen {
                        event: position as usize,
                        process: *process,
                        function: call.function.to_string(),
                        open: earlier.invoked as usize,
                    }));
                }
                self.who.push(Who { process: *process, invoke_ns: event.time_ns, is_unknown: true });
            }
            What::Complete { process, completion } => {
                let Some(open) = self.open.remove(process) else {
                    let event = position as usize;
                    return Err(CheckError::Pairing(PairingError::NothingOpen { event, process: *process }));
                };
                self.who[open.number as usize].is_unknown = completion.outcome == Ended::Unknown;
                match completion.outcome {
                    Ended::Ok => self.take(*process, &open, completion, &event.extra, position)?,
                    Ended::Unknown => self.take(*process, &open, completion, &event.extra, NEVER)?,
                    Ended::Fail => {}
                }
            }
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {}
        }
        Ok(())
    }

    fn take(
        &mut self,
        process: Process,
        open: &Open,
        completion: &Completion,
        extra: &Extra,
        returned: u32,
    ) -> Result<(), CheckError> {
        let Open { number, invoked, call } = open;
        let mut asked = Asked {
            number: *number as usize,
            process,
            function: &call.function,
            key: &call.key,
            value: &call.value,
            answer: &completion.value,
            outcome: completion.outcome,
            completion,
            extra,
        };
        let mut key = &call.key;
        if self.pairs {
            const EXPECTED: &str = "a pair [key, value]";
            let (whole, answer) = (asked, asked.answer);
            let pair = |value| match whole.list(value, EXPECTED)? {
                [key, value] => Ok((key, value)),
                _ => Err(whole.misshapen(value, EXPECTED)),
            };
            (key, asked.value) = pair(asked.value)?;
            // Those that are not ok may answer anything; nil may stand for what was asked, pair and all.
            if asked.is_ok() && !answer.is_nil() {
                let (of, answered) = pair(answer)?;
                if of != key {
                    return Err(whole.misshapen(answer, "a pair with the key that was asked for"));
                }
                asked.answer = answered;
            }
        }
        if !self.model.is_keyed() {
            key = &Value::Nil;
        }
        self.model.call(&asked, &mut self.scratch)?;
        if !self.scratch.is_empty() && !self.by_key.contains_key(key) {
            self.by_key.insert(key.clone(), Vec::new());
        }
        if let Some(operations) = self.by_key.get_mut(key) {
            let taken = |call| Taken { number: *number, invoked: *invoked, returned, call };
            operations.extend(self.scratch.drain(..).map(taken));
        }
        Ok(())
    }

    /// The parts, in the order of keys. What is open now is unknown.
    pub fn parts(mut self) -> Result<Vec<Part<M::Call>>, CheckError> {
        self.close()?;
        Ok(self.split())
    }

    fn close(&mut self) -> Result<(), CheckError> {
        for (process, open) in std::mem::take(&mut self.open) {
            self.take(process, &open, &Completion::new(Ended::Unknown), &Extra::default(), NEVER)?;
        }
        Ok(())
    }

    fn split(&mut self) -> Vec<Part<M::Call>> {
        let mut parts = Vec::new();
        for (key, mut operations) in std::mem::take(&mut self.by_key) {
            operations.sort_by_key(|taken| taken.invoked);
            let name = if key.is_nil() { String::new() } else { format!("key {key}") };
            parts.extend(self.model.parts(Part { name, operations }));
        }
        parts
    }

    /// Judges what was pushed.
    pub fn finish(mut self, options: &Options) -> Result<Report, CheckError> {
        self.close()?;
        let parts = self.split();
        let operations = self.who.len();
        let mut meter = Meter::new(&options.budget);
        let levels = parts.iter().map(|part| part.operations.iter().filter(|taken| !taken.is_unknown()).count() as u64);
        let levels: Vec<u64> = levels.collect();
        let (mut done, all) = (0, levels.iter().sum());
        let (mut orders, mut gave_up) = (Vec::new(), None);
        for (part, levels) in parts.iter().zip(levels) {
            let tell = |part: Progress| {
                if let Some(progress) = &options.progress {
                    progress(Progress { levels_done: done + part.levels_done, levels: all, steps: part.steps });
                }
            };
            match check_part(&*self.model, part, &mut meter, &tell) {
                Ok(Outcome::Order(order)) => {
                    let operations = order.iter().map(|place| part.operations[*place as usize].number as usize);
                    orders.push(Order { part: part.name.clone(), operations: operations.collect() });
                }
                Ok(Outcome::Blocked(blocked)) => {
                    let violation = explain::violation(&*self.model, part, blocked, &self.who);
                    return Ok(Report { operations, proof: Proof::Invalid(Box::new(violation)) });
                }
                Err(exhausted) => {
                    let colon = if part.name.is_empty() { "" } else { ": " };
                    gave_up = gave_up.or(Some(format!("{}{colon}{exhausted}", part.name)));
                }
            }
            done += levels;
        }
        let proof = match gave_up {
            Some(reason) => Proof::Unknown { reason },
            None => Proof::Valid(orders),
        };
        Ok(Report { operations, proof })
    }
}
