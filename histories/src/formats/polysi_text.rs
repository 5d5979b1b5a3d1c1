//! PolySI's text, also of DBCop's histories: a read or write a line, transactions of sessions.
//!
//! ```text
//! w(8,1,0,1)        key 8 becomes 1, in session 0, transaction 1
//! r(9,0,0,1)        key 9 is read to be 0: every key is 0 at first
//! w(8,2,3,2)
//! ```
//! A session is a process, and the lines of a transaction stand together. Sessions have an order each; between them there is
//! none, which the fact `real_time` = false of the header says. The number of a transaction is the extra key `txn`.
//!
//! Cannot say: anything but transactions that were committed, of reads and writes of integers from 0; times, the order of
//! operations of different processes, faults, another initial value than 0.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};

use crate::format::Head;
use crate::input::Input;
use crate::jepsen::{unsigned_of, unsigned_value};
use crate::output::Output;
use crate::text::Trouble;
use crate::{
    Call, Completion, Event, Header, HistoryError, Loss, Outcome, Process, Sink, Source, Value, What, facts, functions,
    workloads,
};

const TXN: &str = "txn";

pub(crate) fn fits(head: &Head<'_>) -> bool {
    head.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| operation(line.as_bytes()).is_ok())
}

fn header() -> Header {
    let facts = [(facts::INITIAL.to_string(), Value::Int(0)), (facts::REAL_TIME.to_string(), Value::Bool(false))];
    Header { workload: workloads::RW_REGISTER.to_string(), facts: facts.into() }
}

struct Operation {
    write: bool,
    key: u64,
    value: u64,
    session: u64,
    txn: u64,
}

/// `w(key,value,session,transaction)`
fn operation(line: &[u8]) -> Result<Operation, Trouble> {
    let write = match line.first() {
        Some(b'w') => true,
        Some(b'r') => false,
        _ => return Err(Trouble::at(0, "no `r` or `w`, expected r(key,value,session,transaction)")),
    };
    let mut at = 1;
    let mut numbers = [0; 4];
    for (position, number) in numbers.iter_mut().enumerate() {
        let opening = if position == 0 { b'(' } else { b',' };
        if line.get(at) != Some(&opening) {
            return Err(Trouble::at(
                at,
                format!("no `{}`, expected r(key,value,session,transaction)", opening as char),
            ));
        }
        at += 1;
        let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = String::from_utf8_lossy(&line[at..at + digits]);
        *number =
            text.parse().map_err(|_| Trouble::at(at, format!("`{text}`, expected an unsigned number of 64 bits")))?;
        at += digits;
    }
    if &line[at..] != b")" {
        return Err(Trouble::at(at, "no `)` at the end, expected r(key,value,session,transaction)"));
    }
    let [key, value, session, txn] = numbers;
    Ok(Operation { write, key, value, session, txn })
}

/// The transaction whose lines are being read.
struct Transaction {
    process: Process,
    session: u64,
    txn: u64,
    asked: Vec<Value>,
    answered: Vec<Value>,
}

impl Transaction {
    fn add(&mut self, operation: &Operation) {
        let name = if operation.write { functions::MICRO_WRITE } else { functions::MICRO_READ };
        let micro = |value| Value::List(vec![Value::from(name), unsigned_value(operation.key), value]);
        self.answered.push(micro(unsigned_value(operation.value)));
        self.asked.push(if operation.write { micro(unsigned_value(operation.value)) } else { micro(Value::Nil) });
    }
}

pub(crate) struct Reader<R> {
    input: Input<R>,
    header: Header,
    open: Option<Transaction>,
    /// The completion of the transaction whose invocation was given last.
    next: Option<Event>,
    /// A transaction that goes on after another one began is damage. Eight bytes each: all that grows with the file.
    seen: BTreeSet<u64>,
    time_ns: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, name: &str) -> Reader<R> {
        let input = Input::new(input, name);
        Reader { input, header: header(), open: None, next: None, seen: BTreeSet::new(), time_ns: 0 }
    }

    fn begin(&mut self, operation: &Operation) -> Result<Transaction, HistoryError> {
        let process =
            u32::try_from(operation.session).ok().map(Process).filter(|process| *process < Process::NAMED_FIRST);
        let Some(process) = process else {
            let problem = format!("session {}, expected a number of 31 bits", operation.session);
            return Err(self.input.line_error(0, problem));
        };
        if !self.seen.insert(operation.txn) {
            let problem = format!("transaction {} again, expected all its lines together", operation.txn);
            return Err(self.input.line_error(0, problem));
        }
        let (asked, answered) = (Vec::new(), Vec::new());
        Ok(Transaction { process, session: operation.session, txn: operation.txn, asked, answered })
    }

    /// Gives the invocation, and keeps the completion for the next call.
    fn give(&mut self, transaction: Transaction) -> Event {
        let Transaction { process, txn, asked, answered, .. } = transaction;
        let call = Call { function: functions::TRANSACTION.into(), key: Value::Nil, value: Value::List(asked) };
        let mut invoke = Event::new(self.time_ns, What::Invoke { process, call });
        invoke.extra.insert(TXN, unsigned_value(txn));
        let completion = Completion::ok(Value::List(answered));
        self.next = Some(Event::new(self.time_ns + 1, What::Complete { process, completion }));
        self.time_ns += 2;
        invoke
    }
}

impl<R: BufRead> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        if let Some(event) = self.next.take() {
            return Ok(Some(event));
        }
        while self.input.next_line()? {
            if self.input.line().trim_ascii().is_empty() {
                continue;
            }
            let operation = operation(self.input.line());
            let operation = operation.map_err(|trouble| self.input.line_error(trouble.at, trouble.problem))?;
            match &mut self.open {
                Some(open) if (open.session, open.txn) == (operation.session, operation.txn) => open.add(&operation),
                _ => {
                    let mut transaction = self.begin(&operation)?;
                    transaction.add(&operation);
                    if let Some(done) = self.open.replace(transaction) {
                        return Ok(Some(self.give(done)));
                    }
                }
            }
        }
        Ok(self.open.take().map(|last| self.give(last)))
    }
}

pub(crate) struct Writer<W> {
    output: Output<W>,
    open: BTreeMap<Process, Option<u64>>,
    used: BTreeSet<u64>,
}

impl<W: Write> Writer<W> {
    pub fn new(output: Output<W>, given: &Header) -> Result<Writer<W>, HistoryError> {
        output.lose_order(given)?;
        let mut rest = given.clone();
        rest.facts.insert(facts::REAL_TIME.to_string(), Value::Bool(false));
        if rest != header() {
            output.lose_header(given)?;
        }
        Ok(Writer { output, open: BTreeMap::new(), used: BTreeSet::new() })
    }

    /// The number that the transaction had, or one above all others.
    fn number_of(&mut self, wanted: Option<u64>) -> u64 {
        let next = || self.used.last().map_or(Some(0), |last| last.checked_add(1));
        let number = wanted.filter(|wanted| !self.used.contains(wanted)).or_else(next).unwrap_or(u64::MAX);
        self.used.insert(number);
        number
    }

    fn lines(&mut self, process: Process, answer: &Value, txn: u64) -> Result<(), HistoryError> {
        let list = answer.as_list().unwrap_or_default();
        if list.is_empty() {
            return Err(self.output.refuse(Loss::Values, format!("answer {answer}, no list of reads and writes")));
        }
        for micro in list {
            let parts = match micro.as_list() {
                Some([name, key, value]) => Some((name.as_name(), unsigned_of(key), unsigned_of(value))),
                _ => None,
            };
            let letter = match parts {
                Some((Some(functions::MICRO_READ), Some(key), Some(value))) => ('r', key, value),
                Some((Some(functions::MICRO_WRITE), Some(key), Some(value))) => ('w', key, value),
                _ => {
                    let what = format!("micro-operation {micro}, neither r nor w of numbers from 0");
                    return Err(self.output.refuse(Loss::Values, what));
                }
            };
            let (letter, key, value) = letter;
            self.output.text.push_str(&format!("{letter}({key},{value},{},{txn})\n", process.0));
        }
        Ok(())
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        self.output.lose_time(event)?;
        match &event.what {
            What::Invoke { process, call } => {
                if call.function != functions::TRANSACTION {
                    let what = format!("function `{}`, not txn", call.function);
                    return Err(self.output.refuse(Loss::Values, what));
                }
                let mut rest = event.clone();
                let txn = rest.extra.remove(TXN).and_then(|txn| u64::try_from(txn.as_int()?).ok());
                self.output.lose_extra(&rest)?;
                self.open.insert(*process, txn);
            }
            What::Complete { process, completion } => {
                self.output.lose_extra(event)?;
                self.output.lose_facts_of(completion)?;
                let txn = self.open.remove(process).flatten();
                if completion.outcome == Outcome::Ok {
                    let txn = self.number_of(txn);
                    self.lines(*process, &completion.value, txn)?;
                } else {
                    self.output.lose(Loss::Failures, || "a transaction that did not surely commit".to_string())?;
                }
            }
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {
                self.output.lose(Loss::Faults, || "a fault, phase or alarm".to_string())?;
            }
        }
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        if let Some((process, _)) = self.open.first_key_value() {
            self.output.lose(Loss::Failures, || format!("the end, where {process} has a transaction open"))?;
        }
        self.output.finish()
    }
}
