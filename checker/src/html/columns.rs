//! A history as columns for the page's script: JSON, whose long members are texts of digits.
//!
//! ```text
//! times     per event, how much later than the one before, in units of `unit_ns`
//! client    per operation: its row
//! invoked   per operation, how many events after the invocation before it
//! lasted    per operation: how many events later it completed, 0 for never
//! outcome   per operation: a letter of o, f, u
//! function  per operation: place in `functions`
//! key       per operation: how many keys it is about, then their places in `keys`
//! texts     per operation: a line
//! orders    per part, from each operation to the next: a number and its sign as 2n, 2n-1
//! ```
//! A number is written in digits of five bits, the lowest first; a digit above 31 says that another one follows. So small
//! numbers, which almost all are, take one character and no comma.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tenet_histories::{FaultEdge, History, Operation, Outcome, Process, Value, What};

use super::{PAGE_BYTES, Shown};
use crate::CheckError;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How many characters of an operation's text are kept: the first of these with which the page is small enough.
const TEXT_LIMITS: [usize; 13] = [2000, 1000, 500, 250, 160, 120, 90, 70, 55, 40, 30, 20, 12];

/// Of what was found.
const FOUND_TEXT_MAX: usize = 20_000;

/// So many keys of an operation can be followed.
const KEYS_MAX: usize = 64;

/// Steps of long cycles that are drawn.
const STEPS_MAX: usize = 200;

/// Ways to come to a window, and how many operations of each: the last ones.
const WAYS_MAX: usize = 30;
const THEN_MAX: usize = 30;

/// Histories of so many nanoseconds are drawn to the microsecond.
const COARSE_NS: u64 = 1_000_000_000;

pub(super) fn data(history: &History, model: &str, shown: &Shown, words: usize) -> Result<String, CheckError> {
    let operations = history.operations()?;
    let span = history.events.last().map_or(0, |event| event.time_ns);
    let unit_ns = if span >= COARSE_NS { 1000 } else { 1 };
    let mut columns = Columns::default();
    for operation in &operations {
        columns.push(history, operation);
    }
    let mut data = json!({
        "model": model,
        "unit_ns": unit_ns,
        "times": times(history, unit_ns),
        "clients": columns.clients,
        "functions": columns.functions.names,
        "keys": columns.keys.names,
        "client": columns.client,
        "invoked": columns.invoked,
        "lasted": columns.lasted,
        "outcome": columns.outcome,
        "function": columns.function,
        "key": columns.key,
        "marked": shown.operations,
        "orders": shown.orders.iter().map(|(part, order)| json!([part, order_digits(order)])).collect::<Vec<_>>(),
        "window": shown.window.as_ref().map(|window| json!({
            "part": window.part,
            "from": window.from,
            "until": window.until,
            "blocked": window.blocked,
            "open": window.open,
            "before": window.before.iter().take(WAYS_MAX).map(|(state, then)| {
                json!([shorten(state, TEXT_LIMITS[0]), then[then.len().saturating_sub(THEN_MAX)..]])
            }).collect::<Vec<_>>(),
            "more": window.before_more + window.before.len().saturating_sub(WAYS_MAX),
        })),
        "steps": shown.steps.iter().take(STEPS_MAX).map(|step| json!([step.from, step.to, step.kind, step.because])).collect::<Vec<_>>(),
    });
    let members = data.as_object_mut().expect("it was made as an object");
    members.extend(faults(history));
    let rest = in_script(&Json::Object(members.clone())).len() + words;
    let room = PAGE_BYTES.max(operations.len() * (PAGE_BYTES / 100_000)).saturating_sub(rest);
    let found = found(shown);
    for limit in TEXT_LIMITS {
        let lines: Vec<String> = operations
            .iter()
            .map(|operation| {
                let max = if found.contains(&operation.index) { FOUND_TEXT_MAX } else { limit };
                shorten(&columns.texts[operation.index], max).into_owned()
            })
            .collect();
        let texts = Json::String(lines.join("\n"));
        if in_script(&texts).len() <= room || limit == TEXT_LIMITS[TEXT_LIMITS.len() - 1] {
            members.insert("texts".to_string(), texts);
            break;
        }
    }
    Ok(in_script(&data))
}

/// JSON with nothing in it that could end the script element that it stands in (W2).
fn in_script(json: &Json) -> String {
    json.to_string().replace('<', "\\u003c")
}

/// In order; the page's steps and window name them.
fn found(shown: &Shown) -> Vec<usize> {
    let mut found = shown.operations.clone();
    found.extend(shown.steps.iter().map(|step| step.from));
    found.extend(shown.window.iter().flat_map(|window| window.open.iter().chain([&window.blocked])));
    // They are few, unless the explanation names a great many: then none of them is special.
    found.truncate(100);
    found
}

#[derive(Default)]
struct Columns {
    rows: BTreeMap<Process, usize>,
    clients: Vec<String>,
    functions: Names,
    keys: Names,
    client: String,
    invoked: String,
    lasted: String,
    outcome: String,
    function: String,
    key: String,
    texts: Vec<String>,
    last_invoked: usize,
}

#[derive(Default)]
struct Names {
    places: BTreeMap<String, usize>,
    names: Vec<String>,
}

impl Names {
    fn place(&mut self, name: String) -> usize {
        if let Some(place) = self.places.get(&name) {
            return *place;
        }
        self.names.push(name.clone());
        self.places.insert(name, self.names.len() - 1);
        self.names.len() - 1
    }
}

impl Columns {
    fn push(&mut self, history: &History, operation: &Operation<'_>) {
        let row = *self.rows.entry(operation.process).or_insert_with(|| {
            let named = history.events[operation.invoke_event].extra.get("process").and_then(Value::as_name);
            self.clients.push(named.map_or(operation.process.to_string(), str::to_string));
            self.clients.len() - 1
        });
        push(row as u64, &mut self.client);
        push((operation.invoke_event - self.last_invoked) as u64, &mut self.invoked);
        self.last_invoked = operation.invoke_event;
        let lasted = operation.completed.map_or(0, |completed| completed.event - operation.invoke_event);
        push(lasted as u64, &mut self.lasted);
        self.outcome.push(match operation.outcome() {
            Outcome::Ok => 'o',
            Outcome::Fail => 'f',
            Outcome::Unknown => 'u',
        });
        push(self.functions.place(operation.call.function.to_string()) as u64, &mut self.function);
        let mut keys: Vec<usize> = keys(operation).into_iter().map(|key| self.keys.place(key.to_string())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(KEYS_MAX);
        push(keys.len() as u64, &mut self.key);
        keys.iter().for_each(|key| push(*key as u64, &mut self.key));
        self.texts.push(text(operation));
    }
}

/// What a transaction says that it did; before it is answered, what it was asked to do.
fn micros<'h>(operation: &Operation<'h>) -> Option<&'h [Value]> {
    let of = |value: &'h Value| value.as_list().filter(|list| list.iter().all(|item| micro(item).is_some()));
    if operation.call.key.is_nil() && !operation.call.value.is_nil() {
        let asked = of(&operation.call.value)?;
        return Some(of(operation.answer()).filter(|answered| !answered.is_empty()).unwrap_or(asked));
    }
    None
}

fn micro(item: &Value) -> Option<(&str, &Value, &Value)> {
    let [name, key, value] = item.as_list()? else { return None };
    Some((name.as_name()?, key, value))
}

fn keys<'h>(operation: &Operation<'h>) -> Vec<&'h Value> {
    match micros(operation) {
        Some(micros) => micros.iter().filter_map(micro).map(|(_, key, _)| key).collect(),
        None if operation.call.key.is_nil() => Vec::new(),
        None => vec![&operation.call.key],
    }
}

fn text(operation: &Operation<'_>) -> String {
    let mut text = String::new();
    let mut add = |word: &str| {
        text.push_str(if text.is_empty() { "" } else { " " });
        text.push_str(word);
    };
    if let Some(micros) = micros(operation) {
        for (number, (name, key, value)) in micros.iter().filter_map(micro).enumerate() {
            add(&format!("{}{name} {key} {value}", if number == 0 { "" } else { "· " }));
        }
    } else {
        let call = operation.call;
        if !call.key.is_nil() {
            add(&call.key.to_string());
        }
        if !call.value.is_nil() {
            add(&call.value.to_string());
        }
        if !operation.answer().is_nil() {
            add(&format!("→ {}", operation.answer()));
        }
    }
    if let Some(completed) = operation.completed {
        let said = [&completed.completion.sqlstate, &completed.completion.error];
        said.into_iter().flatten().for_each(|said| add(&format!("! {said}")));
    }
    // A line each.
    text.replace(|char: char| char.is_control(), " ")
}

/// The beginning and the end: lists grow at their end.
fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max || text.chars().count() <= max {
        return Cow::Borrowed(text);
    }
    let head: String = text.chars().take(max * 3 / 5).collect();
    let count = text.chars().count();
    let tail: String = text.chars().skip(count - (max - max * 3 / 5 - 1)).collect();
    Cow::Owned(format!("{head}…{tail}"))
}

fn times(history: &History, unit_ns: u64) -> String {
    let mut times = String::new();
    let mut last = 0;
    for event in &history.events {
        push((event.time_ns / unit_ns).saturating_sub(last), &mut times);
        last = last.max(event.time_ns / unit_ns);
    }
    times
}

/// `faults`: name, detail, first and last event (null: it never ended); `phases`; `alarms`.
fn faults(history: &History) -> serde_json::Map<String, Json> {
    let mut faults: Vec<(String, String, usize, Option<usize>)> = Vec::new();
    let (mut phases, mut alarms) = (Vec::new(), Vec::new());
    for (position, event) in history.events.iter().enumerate() {
        match &event.what {
            What::Fault(fault) => {
                let detail = match &fault.detail {
                    Value::Nil => String::new(),
                    Value::Text(text) => text.clone(),
                    other => shorten(&other.to_string(), 200).into_owned(),
                };
                let open = |same: bool, faults: &[(String, String, usize, Option<usize>)]| {
                    faults.iter().rposition(|(name, what, _, end)| {
                        *name == fault.name && end.is_none() && (!same || *what == detail)
                    })
                };
                let begun = open(true, &faults).or_else(|| open(false, &faults));
                match (fault.edge, begun) {
                    (FaultEdge::End, Some(begun)) => faults[begun].3 = Some(position),
                    (FaultEdge::Begin, _) => faults.push((fault.name.clone(), detail, position, None)),
                    (FaultEdge::End | FaultEdge::Strike, _) => {
                        faults.push((fault.name.clone(), detail, position, Some(position)));
                    }
                }
            }
            What::Phase { name, calm } => phases.push(json!([name, calm, position])),
            What::Alarm(alarm) => alarms.push(json!([alarm.message, position])),
            What::Invoke { .. } | What::Complete { .. } => {}
        }
    }
    let members = [("faults", json!(faults)), ("phases", json!(phases)), ("alarms", json!(alarms))];
    members.into_iter().map(|(name, json)| (name.to_string(), json)).collect()
}

fn push(mut number: u64, into: &mut String) {
    loop {
        let digit = (number & 31) as usize;
        number >>= 5;
        into.push(char::from(DIGITS[digit + if number > 0 { 32 } else { 0 }]));
        if number == 0 {
            return;
        }
    }
}

fn order_digits(order: &[usize]) -> String {
    let mut digits = String::new();
    let mut last = 0;
    for operation in order {
        let step = *operation as i64 - last;
        push(if step >= 0 { step as u64 * 2 } else { step.unsigned_abs() * 2 - 1 }, &mut digits);
        last = *operation as i64;
    }
    digits
}
