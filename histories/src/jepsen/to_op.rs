//! An event to the fields of an operation.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::from_op::repeats;
use super::{ALARM, ANSWER, NEMESIS, PHASE, answer_of_cas, function_of, unsigned_of, unsigned_value};
use crate::output::Output;
use crate::{Call, Event, Header, HistoryError, Loss, Outcome, Process, Value, What, facts, functions};

/// One operation, as it is to be written.
pub(crate) struct Op<'e> {
    pub kind: &'e str,
    pub function: Cow<'e, str>,
    pub key: Cow<'e, Value>,
    pub value: Cow<'e, Value>,
    /// The value of this completion is what was asked for.
    pub repeats_asked: bool,
    /// What a compare-and-set was answered, if that is known: whether it found what it asked for.
    pub answer: Option<(bool, Cow<'e, Value>)>,
    pub process: Value,
    pub time: Cow<'e, Value>,
    /// Further keys.
    pub fields: Vec<(Cow<'e, str>, Cow<'e, Value>)>,
}

/// Remembers what the next operation is written with.
#[derive(Default)]
pub(crate) struct ToOps {
    open: BTreeMap<Process, Call>,
    /// Whose last operation has an unknown outcome.
    crashed: BTreeSet<Process>,
    /// Who went on after that, under which number.
    numbers: BTreeMap<Process, u32>,
    concurrency: Option<u32>,
    last_ns: Option<u64>,
}

impl ToOps {
    pub fn new(header: &Header, option: Option<u32>) -> ToOps {
        let fact = header.facts.get(facts::CONCURRENCY).and_then(Value::as_int).and_then(|int| u32::try_from(int).ok());
        ToOps { concurrency: option.or(fact).filter(|count| *count > 0), ..ToOps::default() }
    }

    pub fn op<'e, W: Write>(&mut self, event: &'e Event, output: &Output<W>) -> Result<Op<'e>, HistoryError> {
        // An extra key that would be read as the answer.
        let mut is_answer = false;
        let mut op = match &event.what {
            What::Invoke { process, call } => {
                self.open.insert(*process, call.clone());
                Op {
                    kind: "invoke",
                    function: Cow::Borrowed(call.function.as_ref()),
                    key: Cow::Borrowed(&call.key),
                    value: Cow::Borrowed(&call.value),
                    repeats_asked: false,
                    answer: None,
                    process: self.process(*process, event, output)?,
                    time: Cow::Owned(Value::Nil),
                    fields: Vec::new(),
                }
            }
            What::Complete { process, completion } => {
                let asked = self.open.remove(process).unwrap_or_default();
                let number = self.number(*process);
                if completion.outcome == Outcome::Unknown {
                    self.crashed.insert(*process);
                }
                let found = answer_of_cas(&asked, &completion.value).filter(|_| completion.outcome == Outcome::Ok);
                let repeats_asked = completion.value.is_nil()
                    && repeats(&asked, completion.outcome)
                    && event.extra.get("value").is_none();
                let stands_for_asked = found.is_some() || repeats_asked;
                is_answer = stands_for_asked
                    && event.extra.get(ANSWER).is_some_and(|answer| answer_of_cas(&asked, answer).is_some());
                let mut fields = Vec::new();
                let mut number_field = |name, number: Option<u64>| {
                    fields.extend(number.map(|number| (Cow::Borrowed(name), Cow::Owned(unsigned_value(number)))));
                };
                number_field("read-timestamp", completion.read_timestamp);
                number_field("commit-timestamp", completion.commit_timestamp);
                number_field("shard", completion.shard);
                let mut text_field = |name, text: &'e Option<String>| {
                    let text = text.as_deref().map(|text| (Cow::Borrowed(name), Cow::Owned(Value::from(text))));
                    fields.extend(text);
                };
                text_field("sqlstate", &completion.sqlstate);
                text_field("error", &completion.error);
                let function = match event.extra.get("f").and_then(Value::as_text) {
                    Some(name) => Cow::Borrowed(name),
                    None => Cow::Owned(asked.function.into_owned()),
                };
                Op {
                    kind: match completion.outcome {
                        Outcome::Ok if found == Some(false) => "fail",
                        Outcome::Ok => "ok",
                        Outcome::Fail => "fail",
                        Outcome::Unknown => "info",
                    },
                    function,
                    key: Cow::Owned(event.extra.get("key").cloned().unwrap_or(asked.key)),
                    value: if stands_for_asked { Cow::Owned(asked.value) } else { Cow::Borrowed(&completion.value) },
                    repeats_asked: stands_for_asked,
                    answer: found.map(|found| (found, Cow::Borrowed(&completion.value))),
                    process: named(event).unwrap_or(Value::Int(number.into())),
                    time: Cow::Owned(Value::Nil),
                    fields,
                }
            }
            What::Fault(fault) => {
                let function = function_of(&fault.name, fault.edge).filter(|name| name != PHASE && name != ALARM);
                if function.is_none() {
                    output.lose(Loss::Faults, || format!("{:?} of the fault `{}`", fault.edge, fault.name))?;
                }
                let function = function.unwrap_or_else(|| fault.name.clone());
                let kind = kind_of_fault(event).unwrap_or("info");
                nemesis(kind, Cow::Owned(function), Cow::Borrowed(&fault.detail))
            }
            What::Phase { name, calm } => {
                let value = Value::List(vec![Value::from(name.as_str()), Value::Bool(*calm)]);
                nemesis("info", Cow::Borrowed(PHASE), Cow::Owned(value))
            }
            What::Alarm(alarm) => {
                let value = Value::List(vec![
                    alarm.process.map_or(Value::Nil, |process| Value::Int(process.0.into())),
                    alarm.sqlstate.as_deref().map_or(Value::Nil, Value::from),
                    Value::from(alarm.message.as_str()),
                ]);
                nemesis("info", Cow::Borrowed(ALARM), Cow::Owned(value))
            }
        };
        op.time = self.time(event);
        self.last_ns = Some(event.time_ns);
        for (name, value) in event.extra.iter().filter(|(name, _)| !is_said_already(event, name)) {
            let taken = RESERVED.contains(&name)
                || name == ANSWER && is_answer
                || op.fields.iter().any(|(other, _)| other == name);
            if taken {
                output.lose(Loss::Extra, || format!("extra key `{name}`, a name with a meaning of its own"))?;
            } else {
                op.fields.push((Cow::Borrowed(name), Cow::Borrowed(value)));
            }
        }
        Ok(op)
    }

    /// A time that was no time is written again as it was read.
    fn time<'e>(&self, event: &'e Event) -> Cow<'e, Value> {
        let next = self.last_ns.map_or(0, |last| last.saturating_add(1));
        let late = |time: &Value| unsigned_of(time).is_none_or(|time| self.last_ns.is_some_and(|last| time < last));
        match event.extra.get("time").filter(|time| event.time_ns == next && late(time)) {
            Some(time) => Cow::Borrowed(time),
            None => Cow::Owned(unsigned_value(event.time_ns)),
        }
    }

    fn number(&self, process: Process) -> u32 {
        self.numbers.get(&process).copied().unwrap_or(process.0)
    }

    /// The process of an invocation. A process that crashed goes on as process + concurrency.
    fn process<W: Write>(
        &mut self,
        process: Process,
        event: &Event,
        output: &Output<W>,
    ) -> Result<Value, HistoryError> {
        if let Some(name) = named(event) {
            return Ok(name);
        }
        if self.crashed.remove(&process) {
            let thread = self.concurrency.filter(|concurrency| process.0 < *concurrency);
            match thread.and_then(|concurrency| self.number(process).checked_add(concurrency)) {
                Some(number) if number < Process::NAMED_FIRST.0 => {
                    self.numbers.insert(process, number);
                }
                _ => output.lose(Loss::Processes, || {
                    format!("{process} that goes on after an unknown outcome, and no concurrency above its number")
                })?,
            }
        }
        Ok(Value::Int(self.number(process).into()))
    }
}

/// Keys of every operation.
const RESERVED: [&str; 6] = ["type", "f", "process", "time", "value", "key"];

/// Extra keys that the reader made of the other keys.
fn is_said_already(event: &Event, name: &str) -> bool {
    match &event.what {
        What::Complete { process, .. } if *process >= Process::NAMED_FIRST && name == "process" => true,
        What::Complete { .. } => matches!(name, "f" | "key" | "value" | "time"),
        What::Invoke { process, .. } => name == "time" || name == "process" && *process >= Process::NAMED_FIRST,
        What::Fault(_) => name == "time" || name == "type" && kind_of_fault(event).is_some(),
        What::Phase { .. } | What::Alarm(_) => name == "time",
    }
}

/// A nemesis says info, but may say anything.
fn kind_of_fault(event: &Event) -> Option<&'static str> {
    let kind = event.extra.get("type")?.as_text()?;
    ["invoke", "ok", "fail"].into_iter().find(|known| *known == kind)
}

fn nemesis<'e>(kind: &'e str, function: Cow<'e, str>, value: Cow<'e, Value>) -> Op<'e> {
    let nil = || Cow::Owned(Value::Nil);
    let process = Value::keyword(NEMESIS);
    Op {
        kind,
        function,
        key: nil(),
        value,
        repeats_asked: false,
        answer: None,
        process,
        time: nil(),
        fields: Vec::new(),
    }
}

/// The name of a process that has one.
fn named(event: &Event) -> Option<Value> {
    match event.what {
        What::Invoke { process, .. } | What::Complete { process, .. } if process >= Process::NAMED_FIRST => {
            event.extra.get("process").cloned()
        }
        _ => None,
    }
}

/// A transaction whose micro-operations begin with keywords, as in Jepsen's EDN.
pub(crate) fn with_keywords<'v>(value: &'v Value, function: &str) -> Cow<'v, Value> {
    let Some(list) = value.as_list().filter(|_| function == functions::TRANSACTION) else {
        return Cow::Borrowed(value);
    };
    let item = |item: &Value| match item.as_list() {
        Some([Value::Text(name), rest @ ..]) if crate::edn::is_name(name) => {
            Value::List(std::iter::once(Value::keyword(name)).chain(rest.iter().cloned()).collect())
        }
        _ => item.clone(),
    };
    Cow::Owned(Value::List(list.iter().map(item).collect()))
}
