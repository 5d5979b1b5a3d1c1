//! Fields of an operation to an event.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{ALARM, ANSWER, NEMESIS, PHASE, answer_of_cas, are_micro_operations, fault_of, unsigned_of};
use crate::history::well_known;
use crate::text::{Field, Trouble};
use crate::{Alarm, Call, Completion, Event, Extra, Fault, Outcome, Process, Value, What, functions};

/// Remembers what the next operation is read with: what is open, how processes are called, how late it is.
#[derive(Default)]
pub(crate) struct FromOps {
    open: BTreeMap<Process, Call>,
    names: BTreeMap<Value, Process>,
    last_ns: Option<u64>,
}

struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str) -> Option<Field<'a>> {
        let position = self.0.iter().position(|field| field.name == name)?;
        Some(self.0.swap_remove(position))
    }

    /// Takes the field if it has a value of the right kind; otherwise it stays, and becomes an extra key.
    fn take_if<T>(&mut self, name: &str, of: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let position = self.0.iter().position(|field| field.name == name)?;
        let value = of(&self.0[position].value)?;
        self.0.swap_remove(position);
        Some(value)
    }

    fn into_extra(self, extra: &mut Extra) {
        for field in self.0 {
            let name = if field.name == "index" { Cow::Borrowed("index") } else { Cow::Owned(field.name.into_owned()) };
            extra.insert(name, field.value);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invoke,
    Complete(Outcome),
}

impl FromOps {
    /// `start` is where the operation begins, for errors.
    pub fn event(&mut self, fields: Vec<Field<'_>>, start: usize) -> Result<Event, Trouble> {
        let mut fields = Fields(fields);
        let kind = kind(&mut fields, start)?;
        let mut extra = Extra::default();
        let time_ns = self.time(&mut fields, &mut extra);
        let process = fields.take("process");
        let what = if process.as_ref().is_some_and(|field| field.value.as_name() == Some(NEMESIS)) {
            nemesis(kind, &mut fields, &mut extra, start)?
        } else {
            let process = self.process(process.map_or(Value::Nil, |field| field.value), &mut extra);
            match kind {
                Kind::Invoke => self.invoke(process, &mut fields, start)?,
                Kind::Complete(outcome) => self.complete(process, outcome, &mut fields, &mut extra)?,
            }
        };
        fields.into_extra(&mut extra);
        self.last_ns = Some(time_ns);
        Ok(Event { time_ns, what, extra })
    }

    fn time(&self, fields: &mut Fields<'_>, extra: &mut Extra) -> u64 {
        let next = self.last_ns.map_or(0, |last| last.saturating_add(1));
        let Some(field) = fields.take("time") else { return next };
        match unsigned_of(&field.value) {
            Some(time) if self.last_ns.is_none_or(|last| time >= last) => time,
            _ => {
                extra.insert("time", field.value);
                next
            }
        }
    }

    fn process(&mut self, value: Value, extra: &mut Extra) -> Process {
        let number = value.as_int().and_then(|int| u32::try_from(int).ok()).map(Process);
        if let Some(number) = number.filter(|number| *number < Process::NAMED_FIRST) {
            return number;
        }
        let next = Process(Process::NAMED_FIRST.0 + self.names.len() as u32);
        extra.insert("process", value.clone());
        *self.names.entry(value).or_insert(next)
    }

    fn invoke(&mut self, process: Process, fields: &mut Fields<'_>, start: usize) -> Result<What, Trouble> {
        let value = fields.take("value").map_or(Value::Nil, |field| field.value);
        let function = match fields.take("f") {
            Some(field) => function(field)?,
            None if are_micro_operations(&value) => Cow::Borrowed(functions::TRANSACTION),
            None => return Err(Trouble::at(start, "no `f` and no micro-operations, expected one of them")),
        };
        let key = fields.take("key").map_or(Value::Nil, |field| field.value);
        let call = Call { value: with_plain_names(value, &function), function, key };
        self.open.insert(process, call.clone());
        Ok(What::Invoke { process, call })
    }

    fn complete(
        &mut self,
        process: Process,
        outcome: Outcome,
        fields: &mut Fields<'_>,
        extra: &mut Extra,
    ) -> Result<What, Trouble> {
        // Without an invocation there is nothing to repeat; who pairs the operations says so.
        let call = self.open.remove(&process);
        if let Some(field) = fields.take("f") {
            let at = field.at;
            let function = function(field)?;
            match &call {
                Some(call) if call.function == function => {}
                Some(call) => {
                    let problem = format!("the completion of a {function}, expected that of the {}", call.function);
                    return Err(Trouble::at(at, format!("{problem} that {process} invoked")));
                }
                None => drop(extra.insert("f", Value::from(function.as_ref()))),
            }
        }
        let asked = call.unwrap_or_default();
        if let Some(field) = fields.take("key")
            && field.value != asked.key
        {
            extra.insert("key", field.value);
        }
        if let Some((outcome, value)) = answered_cas(&asked, outcome, fields) {
            return Ok(completed(process, outcome, value, fields));
        }
        let answer = fields.take("value").map(|field| with_plain_names(field.value, &asked.function));
        let value = match answer {
            Some(Value::Nil) => {
                if repeats(&asked, outcome) {
                    // Or it would be taken for a repetition when it is written again.
                    extra.insert("value", Value::Nil);
                }
                Value::Nil
            }
            Some(value) if value == asked.value && repeats(&asked, outcome) => Value::Nil,
            Some(value) => value,
            None => Value::Nil,
        };
        Ok(completed(process, outcome, value, fields))
    }
}

fn completed(process: Process, outcome: Outcome, value: Value, fields: &mut Fields<'_>) -> What {
    let failed = outcome != Outcome::Ok;
    let text = |value: &Value| value.as_text().map(str::to_string);
    What::Complete {
        process,
        completion: Completion {
            outcome,
            value,
            read_timestamp: fields.take_if("read-timestamp", unsigned_of),
            commit_timestamp: fields.take_if("commit-timestamp", unsigned_of),
            shard: fields.take_if("shard", unsigned_of),
            sqlstate: if failed { fields.take_if("sqlstate", text) } else { None },
            error: if failed { fields.take_if("error", text) } else { None },
        },
    }
}

/// A compare-and-set whose answer stands beside what was asked for: it was answered, and so is ok.
fn answered_cas(asked: &Call, outcome: Outcome, fields: &mut Fields<'_>) -> Option<(Outcome, Value)> {
    let said = |name: &str| fields.0.iter().find(|field| field.name == name).map(|field| &field.value);
    let found = answer_of_cas(asked, said(ANSWER)?)?;
    let fits = outcome == if found { Outcome::Ok } else { Outcome::Fail };
    if !fits || said("value") != Some(&asked.value) {
        return None;
    }
    fields.take("value");
    fields.take(ANSWER).map(|field| (Outcome::Ok, field.value))
}

/// Whether a nil answer stands for what was asked.
pub(super) fn repeats(asked: &Call, outcome: Outcome) -> bool {
    let whole_answer = outcome == Outcome::Ok && asked.function == functions::TRANSACTION;
    !asked.value.is_nil() && !whole_answer
}

fn kind(fields: &mut Fields<'_>, start: usize) -> Result<Kind, Trouble> {
    let Some(field) = fields.take("type") else {
        return Err(Trouble::at(start, "no `type`, expected invoke, ok, fail or info"));
    };
    match field.value.as_name() {
        Some("invoke") => Ok(Kind::Invoke),
        Some("ok") => Ok(Kind::Complete(Outcome::Ok)),
        Some("fail") => Ok(Kind::Complete(Outcome::Fail)),
        Some("info") => Ok(Kind::Complete(Outcome::Unknown)),
        _ => Err(Trouble::at(field.at, format!("type {}, expected invoke, ok, fail or info", field.value))),
    }
}

fn function(field: Field<'_>) -> Result<Cow<'static, str>, Trouble> {
    match field.value {
        Value::Keyword(name) | Value::Text(name) | Value::Symbol(name) => Ok(well_known(name)),
        other => Err(Trouble::at(field.at, format!("{other} as `f`, expected a name"))),
    }
}

/// First elements of micro-operations are text, whatever they were.
fn with_plain_names(mut value: Value, function: &str) -> Value {
    if function == functions::TRANSACTION
        && let Value::List(list) = &mut value
    {
        for item in list {
            if let Value::List(item) = item
                && let Some(first) = item.first_mut()
                && let Value::Keyword(name) = first
            {
                *first = Value::Text(std::mem::take(name));
            }
        }
    }
    value
}

fn nemesis(kind: Kind, fields: &mut Fields<'_>, extra: &mut Extra, start: usize) -> Result<What, Trouble> {
    let kind_name = match kind {
        Kind::Invoke => Some("invoke"),
        Kind::Complete(Outcome::Ok) => Some("ok"),
        Kind::Complete(Outcome::Fail) => Some("fail"),
        Kind::Complete(Outcome::Unknown) => None,
    };
    let Some(field) = fields.take("f") else {
        return Err(Trouble::at(start, "no `f`, expected it in an operation of the nemesis"));
    };
    let function = function(field)?;
    let detail = fields.take("value").map_or(Value::Nil, |field| field.value);
    if kind_name.is_none() {
        match function.as_ref() {
            PHASE => {
                if let Some([Value::Text(name), Value::Bool(calm)]) = detail.as_list() {
                    return Ok(What::Phase { name: name.clone(), calm: *calm });
                }
            }
            ALARM => {
                if let Some(alarm) = alarm_of(&detail) {
                    return Ok(What::Alarm(alarm));
                }
            }
            _ => {}
        }
    }
    if let Some(name) = kind_name {
        extra.insert("type", Value::from(name));
    }
    let (name, edge) = fault_of(&function);
    Ok(What::Fault(Fault { name, edge, detail }))
}

/// `[process sqlstate message]`, the first two may be nil.
fn alarm_of(value: &Value) -> Option<Alarm> {
    let [process, sqlstate, message] = value.as_list()? else { return None };
    let process = match process {
        Value::Nil => None,
        other => Some(Process(u32::try_from(other.as_int()?).ok()?)),
    };
    let sqlstate = match sqlstate {
        Value::Nil => None,
        other => Some(other.as_text()?.to_string()),
    };
    Some(Alarm { process, sqlstate, message: message.as_text()?.to_string() })
}
