//! DBCop's text (`.hist`): sessions of transactions, written by hand.
//!
//! ```text
//! // a comment
//! [x:=1 y:=2] [y==2 x:=3]       x becomes 1, y becomes 2; then y is read to be 2
//! ---                           the next session
//! [x==? y:=4]!                  x was read before anybody wrote it; not committed
//! ```
//! A session is a process, numbered from 0. Sessions have an order each; between them there is none, which the fact
//! `real_time` = false of the header says.
//!
//! Cannot say: anything but transactions of reads and writes, of keys that are names and values that are integers from 0; of
//! unknown outcome; times, the order of operations of different processes, faults. Sessions stand one after another, so what
//! is written is held until the end.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::io::{BufRead, Write};

use crate::format::Head;
use crate::input::Input;
use crate::jepsen::{unsigned_of, unsigned_value};
use crate::output::Output;
use crate::text::{Cursor, Trouble};
use crate::{
    Call, Completion, Event, Header, HistoryError, Loss, Outcome, Process, Sink, Source, Value, What, facts, functions,
    workloads,
};

/// More sessions than anybody writes by hand: a bound for the empty ones between two numbers.
const SESSIONS_MAX: u32 = 1 << 16;

pub(crate) fn fits(head: &Head<'_>) -> bool {
    let content = |line: &&str| !is_beside(line.as_bytes()) && !is_separator(line.as_bytes());
    head.lines().map(str::trim).find(content).is_some_and(|line| {
        let name = line.strip_prefix('[').map(|rest| rest.trim_start().trim_start_matches(is_name_char));
        name.is_some_and(|rest| rest.starts_with(":=") || rest.starts_with("=="))
    })
}

fn header() -> Header {
    let facts = [(facts::REAL_TIME.to_string(), Value::Bool(false))];
    Header { workload: workloads::RW_REGISTER.to_string(), facts: facts.into() }
}

fn is_beside(line: &[u8]) -> bool {
    line.is_empty() || line.starts_with(b"//")
}

fn is_separator(line: &[u8]) -> bool {
    !line.is_empty() && line.iter().all(|byte| *byte == b'-')
}

fn is_name_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| is_name_char(first) && !first.is_ascii_digit()) && name.chars().all(is_name_char)
}

struct Transaction {
    asked: Vec<Value>,
    answered: Vec<Value>,
    committed: bool,
}

pub(crate) struct Reader<R> {
    input: Input<R>,
    header: Header,
    session: u32,
    /// The events of the line that was read last.
    events: VecDeque<Event>,
    time_ns: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, name: &str) -> Reader<R> {
        let input = Input::new(input, name);
        Reader { input, header: header(), session: 0, events: VecDeque::new(), time_ns: 0 }
    }

    fn give(&mut self, transaction: Transaction) {
        let Transaction { asked, answered, committed } = transaction;
        let process = Process(self.session);
        let completion = if committed {
            Completion::ok(Value::List(answered))
        } else {
            // What it read is known, although it was not committed.
            let value = if answered == asked { Value::Nil } else { Value::List(answered) };
            Completion { value, ..Completion::new(Outcome::Fail) }
        };
        let call = Call { function: functions::TRANSACTION.into(), key: Value::Nil, value: Value::List(asked) };
        for what in [What::Invoke { process, call }, What::Complete { process, completion }] {
            self.events.push_back(Event::new(self.time_ns, what));
            self.time_ns += 1;
        }
    }
}

/// `[x:=1 y==?]!`; stands on the bracket.
fn transaction(cursor: &mut Cursor<'_>) -> Result<Transaction, Trouble> {
    let mut transaction = Transaction { asked: Vec::new(), answered: Vec::new(), committed: true };
    cursor.at += 1;
    loop {
        skip_blanks(cursor);
        if cursor.peek() == Some(b']') && !transaction.asked.is_empty() {
            cursor.at += 1;
            break;
        }
        let name = take(cursor, |byte| is_name_char(byte as char))?;
        if !is_name(name) {
            return Err(cursor.unexpected("a variable, as in `[x:=1 y==?]`"));
        }
        let operator = take(cursor, |byte| matches!(byte, b':' | b'='))?;
        let version_at = cursor.at;
        let version = take(cursor, |byte| byte.is_ascii_digit() || byte == b'?')?;
        let number = version.parse().ok().map(unsigned_value);
        let micro = |letter: &str, value: Value| Value::List(vec![letter.into(), name.into(), value]);
        let (asked, answered) = match (operator, version, number) {
            (":=", _, Some(number)) => (micro("w", number.clone()), micro("w", number)),
            ("==", "?", _) => (micro("r", Value::Nil), micro("r", Value::Nil)),
            ("==", _, Some(number)) => (micro("r", Value::Nil), micro("r", number)),
            _ => {
                let problem = format!("`{name}{operator}{version}`, expected `x:=1`, `x==1` or `x==?`");
                return Err(Trouble::at(version_at, problem));
            }
        };
        transaction.asked.push(asked);
        transaction.answered.push(answered);
    }
    if cursor.peek() == Some(b'!') {
        cursor.at += 1;
        transaction.committed = false;
    }
    Ok(transaction)
}

fn skip_blanks(cursor: &mut Cursor<'_>) {
    while matches!(cursor.peek(), Some(b' ' | b'\t' | b'\r')) {
        cursor.at += 1;
    }
}

fn take<'a>(cursor: &mut Cursor<'a>, belongs: impl Fn(u8) -> bool) -> Result<&'a str, Trouble> {
    let start = cursor.at;
    while cursor.peek().is_some_and(&belongs) {
        cursor.at += 1;
    }
    cursor.utf8(start, cursor.at)
}

fn transactions(line: &[u8]) -> Result<Vec<Transaction>, Trouble> {
    let mut cursor = Cursor::new(line);
    let mut transactions = Vec::new();
    loop {
        skip_blanks(&mut cursor);
        match cursor.peek() {
            None => return Ok(transactions),
            Some(b'[') => transactions.push(transaction(&mut cursor)?),
            Some(_) => return Err(cursor.unexpected("a transaction `[x:=1]`, `---` or `//`")),
        }
    }
}

impl<R: BufRead> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        while self.events.is_empty() {
            if !self.input.next_line()? {
                return Ok(None);
            }
            let line = self.input.line();
            let content = line.trim_ascii();
            if is_separator(content) {
                self.session += 1;
                if self.session == SESSIONS_MAX {
                    return Err(self.input.line_error(0, format!("session {SESSIONS_MAX}, expected fewer")));
                }
            } else if !is_beside(content) {
                let transactions = transactions(line);
                let transactions =
                    transactions.map_err(|trouble| self.input.line_error(trouble.at, trouble.problem))?;
                transactions.into_iter().for_each(|transaction| self.give(transaction));
            }
        }
        Ok(self.events.pop_front())
    }
}

pub(crate) struct Writer<W> {
    output: Output<W>,
    open: BTreeMap<Process, Value>,
    sessions: BTreeMap<Process, String>,
}

impl<W: Write> Writer<W> {
    pub fn new(output: Output<W>, given: &Header) -> Result<Writer<W>, HistoryError> {
        output.lose_order(given)?;
        let mut rest = given.clone();
        rest.facts.insert(facts::REAL_TIME.to_string(), Value::Bool(false));
        if rest != header() {
            output.lose_header(given)?;
        }
        Ok(Writer { output, open: BTreeMap::new(), sessions: BTreeMap::new() })
    }

    fn line(&self, list: &Value, committed: bool) -> Result<String, HistoryError> {
        let mut words = Vec::new();
        for micro in list.as_list().unwrap_or_default() {
            let word = match micro.as_list() {
                Some([letter, Value::Text(name), value]) if is_name(name) => {
                    match (letter.as_name(), unsigned_of(value)) {
                        (Some(functions::MICRO_WRITE), Some(number)) => Some(format!("{name}:={number}")),
                        (Some(functions::MICRO_READ), Some(number)) => Some(format!("{name}=={number}")),
                        (Some(functions::MICRO_READ), None) if value.is_nil() => Some(format!("{name}==?")),
                        _ => None,
                    }
                }
                _ => None,
            };
            words.push(word.ok_or_else(|| {
                let what = format!("micro-operation {micro}, neither r nor w of a name and a number from 0");
                self.output.refuse(Loss::Values, what)
            })?);
        }
        if words.is_empty() {
            return Err(self.output.refuse(Loss::Values, format!("{list}, no list of reads and writes")));
        }
        Ok(format!("[{}]{}\n", words.join(" "), if committed { "" } else { "!" }))
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        self.output.lose_time(event)?;
        self.output.lose_extra(event)?;
        match &event.what {
            What::Invoke { process, call } => {
                if call.function != functions::TRANSACTION || process.0 >= SESSIONS_MAX {
                    let what = format!(
                        "function `{}` of {process}, not txn or not of the first {SESSIONS_MAX}",
                        call.function
                    );
                    return Err(self.output.refuse(Loss::Values, what));
                }
                self.open.insert(*process, call.value.clone());
            }
            What::Complete { process, completion } => {
                self.output.lose_facts_of(completion)?;
                // Whose number was not looked at may be any, and each below it gets a session.
                let Some(asked) = self.open.remove(process) else {
                    let what = format!("a completion of {process} without an invocation");
                    return Err(self.output.refuse(Loss::Values, what));
                };
                let list = if completion.value.is_nil() { &asked } else { &completion.value };
                let line = match completion.outcome {
                    Outcome::Ok => self.line(list, true)?,
                    Outcome::Fail => self.line(list, false)?,
                    Outcome::Unknown => {
                        self.output.lose(Loss::Failures, || "a transaction of unknown outcome".to_string())?;
                        String::new()
                    }
                };
                self.sessions.entry(*process).or_default().push_str(&line);
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
        let last = self.sessions.last_key_value().map_or(0, |(process, _)| process.0);
        for session in 0..=last {
            if session > 0 {
                self.output.text.push_str("---\n");
            }
            if let Some(lines) = self.sessions.get(&Process(session)) {
                self.output.text.push_str(lines);
            }
        }
        self.output.finish()
    }
}
