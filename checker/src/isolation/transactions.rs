//! What every model needs of its transactions, in columns: who, when, how it ended, and what was invoked after it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tenet_histories::{Call, Completion, Event, Outcome, PairingError, Process, Value, What, functions};

use super::index::NONE;
use super::proof::Who;
use crate::CheckError;

/// Numbers of transactions share 32 bits with an edge's kind (see `graph`).
pub const TRANSACTIONS_MAX: usize = 1 << 28;

#[derive(Default)]
pub(super) struct Transactions {
    process: Vec<u32>,
    outcome: Vec<Outcome>,
    invoke_ns: Vec<u64>,
    return_ns: Vec<u64>,
    /// Of each that is ok, the number of the first one invoked after it had returned. Real time is no more than that,
    /// because transactions are numbered in the order of invocation. `NONE` of those that are not ok.
    after: Vec<u32>,
    open: BTreeMap<Process, (u32, usize)>,
    events: usize,
}

/// What an event means to transactions.
pub(super) enum Step<'e> {
    Invoked(u32, &'e Call),
    Completed(u32, &'e Completion),
    Other,
}

impl Transactions {
    pub(super) fn push<'e>(&mut self, event: &'e Event) -> Result<Step<'e>, CheckError> {
        let position = self.events;
        self.events += 1;
        match &event.what {
            What::Invoke { process, call } => {
                let number = self.process.len();
                if let Some((_, open)) = self.open.insert(*process, (number as u32, position)) {
                    let function = call.function.to_string();
                    return Err(PairingError::StillOpen { event: position, process: *process, function, open }.into());
                }
                if call.function != functions::TRANSACTION {
                    return Err(CheckError::Shape {
                        operation: number,
                        function: call.function.to_string(),
                        found: Value::Text(call.function.to_string()).to_string(),
                        expected: "txn",
                    });
                }
                if number == TRANSACTIONS_MAX {
                    return Err(CheckError::TooMany { what: "transactions", max: TRANSACTIONS_MAX });
                }
                self.process.push(process.0);
                self.outcome.push(Outcome::Unknown);
                self.invoke_ns.push(event.time_ns);
                self.return_ns.push(event.time_ns);
                self.after.push(NONE);
                Ok(Step::Invoked(number as u32, call))
            }
            What::Complete { process, completion } => {
                let Some((number, _)) = self.open.remove(process) else {
                    return Err(PairingError::NothingOpen { event: position, process: *process }.into());
                };
                self.outcome[number as usize] = completion.outcome;
                self.return_ns[number as usize] = event.time_ns;
                if completion.outcome == Outcome::Ok {
                    self.after[number as usize] = self.process.len() as u32;
                }
                Ok(Step::Completed(number, completion))
            }
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => Ok(Step::Other),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.process.len()
    }

    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        0..self.process.len() as u32
    }

    pub(super) fn outcome(&self, number: u32) -> Outcome {
        self.outcome[number as usize]
    }

    pub(super) fn is_ok(&self, number: u32) -> bool {
        self.outcome(number) == Outcome::Ok
    }

    pub(super) fn process(&self, number: u32) -> u32 {
        self.process[number as usize]
    }

    pub(super) fn after(&self) -> &[u32] {
        &self.after
    }

    pub(super) fn who(&self, number: u32) -> Who {
        let at = number as usize;
        Who {
            operation: at,
            process: Process(self.process[at]),
            invoke_ns: self.invoke_ns[at],
            return_ns: self.is_ok(number).then_some(self.return_ns[at]),
        }
    }

    /// From each transaction that is ok to each of its process that came after it, except where others imply it.
    /// An unknown one may take effect after its client has gone on: nothing of its process comes after it for sure.
    pub(super) fn each_process_edge(
        &self,
        happened: &[bool],
        mut edge: impl FnMut(u32, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut last_ok: BTreeMap<u32, u32> = BTreeMap::new();
        for number in self.numbers().filter(|number| happened[*number as usize]) {
            let process = self.process(number);
            if let Some(earlier) = last_ok.get(&process) {
                edge(*earlier, number)?;
            }
            if self.is_ok(number) {
                last_ok.insert(process, number);
            }
        }
        ControlFlow::Continue(())
    }
}
