//! A recorded operation to its two events.

use std::collections::BTreeMap;

use super::{DELETE, HASH_TAG, MOD_REVISION, RAW, Record, VERSION};
use crate::text::{Field, Trouble};
use crate::{Call, Completion, Event, Extra, Outcome, Process, Value, What, functions};

pub(super) fn record(fields: Vec<Field<'_>>, start: usize) -> Result<Record, Trouble> {
    let mut process = None;
    let (mut call_ns, mut return_ns) = (None, None);
    let (mut input, mut output) = (None, None);
    for field in fields {
        let unsigned = || {
            let number = field.value.as_int().and_then(|int| u64::try_from(int).ok());
            number.ok_or_else(|| Trouble::at(field.at, format!("{}, expected an unsigned number", field.value)))
        };
        match field.name.as_ref() {
            "ClientId" => process = Some((field.at, unsigned()?)),
            "Call" => call_ns = Some(unsigned()?),
            "Return" => return_ns = Some((field.at, unsigned()?)),
            "Input" => input = Some((field.at, pruned(field.value))),
            "Output" => output = Some((field.at, pruned(field.value))),
            name => return Err(Trouble::at(field.at, format!("field `{name}`, expected none of that name"))),
        }
    }
    let missing = |name| Trouble::at(start, format!("no `{name}`, expected it in an operation of etcd"));
    let (process_at, process) = process.ok_or_else(|| missing("ClientId"))?;
    let process = u32::try_from(process).ok().map(Process).filter(|process| *process < Process::NAMED_FIRST);
    let process = process.ok_or_else(|| Trouble::at(process_at, "a longer number, expected a client of 31 bits"))?;
    let call_ns = call_ns.ok_or_else(|| missing("Call"))?;
    let (return_at, return_ns) = return_ns.ok_or_else(|| missing("Return"))?;
    let (input_at, input) = input.ok_or_else(|| missing("Input"))?;
    let (output_at, output) = output.ok_or_else(|| missing("Output"))?;
    let call =
        call_of(&input).ok_or_else(|| Trouble::at(input_at, "no `Type` that is a text, expected it in a request"))?;
    let (completion, extra) = answer_of(&call, output).map_err(|problem| Trouble::at(output_at, problem))?;
    let time_ns = if completion.outcome == Outcome::Unknown { call_ns } else { return_ns };
    if time_ns < call_ns {
        return Err(Trouble::at(return_at, format!("return {return_ns}, expected none before the call {call_ns}")));
    }
    let answer = Event { time_ns, what: What::Complete { process, completion }, extra };
    Ok(Record { call: Event::new(call_ns, What::Invoke { process, call }), answer })
}

/// Go writes every field; those that are null, false, 0, "", [] and {} say nothing.
fn pruned(value: Value) -> Value {
    let Value::Map(map) = value else { return value };
    let empty = |value: &Value| match value {
        Value::Nil | Value::Bool(false) | Value::Int(0) => true,
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    };
    let field = |(name, value)| {
        let value = match value {
            Value::List(list) => Value::List(list.into_iter().map(pruned).collect()),
            value => pruned(value),
        };
        (name, value)
    };
    Value::Map(map.into_iter().map(field).filter(|(_, value)| !empty(value)).collect())
}

/// The fields of a map, if it has no others than these.
fn only<'v, const N: usize>(value: &'v Value, names: [&str; N]) -> Option<[Option<&'v Value>; N]> {
    let map = value.as_map()?;
    let known = |key: &Value| key.as_text().is_some_and(|key| names.contains(&key));
    map.keys().all(known).then(|| names.map(|name| value.field(name)))
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value.map_or(Some(""), Value::as_text)
}

/// `{"Value":"4"}`, or the hash of a long value.
fn stored(value: Option<&Value>) -> Option<Value> {
    let Some(value) = value else { return Some(Value::from("")) };
    match only(value, ["Value", "Hash"])? {
        [text, None] => Some(Value::from(text_of(text)?)),
        [None, Some(hash)] => Some(Value::Tagged(HASH_TAG.to_string(), Box::new(Value::Int(hash.as_int()?)))),
        _ => None,
    }
}

fn call_of(input: &Value) -> Option<Call> {
    let kind = input.field("Type")?.as_text()?;
    if let Some(call) = simple_call(input) {
        return Some(call);
    }
    let request = input.as_map()?.iter().filter(|(name, _)| name.as_text() != Some("Type"));
    let request = request.map(|(name, value)| (name.clone(), value.clone())).collect();
    Some(Call { function: format!("{RAW}{kind}").into(), key: Value::Nil, value: Value::Map(request) })
}

/// A get, put or delete of one key.
fn simple_call(input: &Value) -> Option<Call> {
    // What says nothing is not there: a request for the key "" has no field left.
    let nothing = Value::map([]);
    let or_nothing = |value: Option<&'_ Value>| value.cloned().unwrap_or(nothing.clone());
    if let Some([Some(kind), range]) = only(input, ["Type", "Range"])
        && kind.as_text() == Some("range")
    {
        let range = or_nothing(range);
        let [key] = only(&range, ["Start"])?;
        let key = Value::from(text_of(key)?);
        return Some(Call { function: functions::GET.into(), key, value: Value::Nil });
    }
    let [kind, txn] = only(input, ["Type", "Txn"])?;
    let [operations] = only(txn?, ["OperationsOnSuccess"])?;
    let [operation] = operations?.as_list()? else { return None };
    let [operation_kind, put, delete, range] = only(operation, ["Type", "Put", "Delete", "Range"])?;
    if kind?.as_text() != Some("txn") || range.is_some() {
        return None;
    }
    match operation_kind?.as_text()? {
        "put-operation" if delete.is_none() => {
            let put = or_nothing(put);
            let [key, value] = only(&put, ["Key", "Value"])?;
            let key = Value::from(text_of(key)?);
            Some(Call { function: functions::PUT.into(), key, value: stored(value)? })
        }
        "delete-operation" if put.is_none() => {
            let delete = or_nothing(delete);
            let [key] = only(&delete, ["Key"])?;
            let key = Value::from(text_of(key)?);
            Some(Call { function: DELETE.into(), key, value: Value::Nil })
        }
        _ => None,
    }
}

type Answer = (Completion, Extra);

fn answer_of(call: &Call, output: Value) -> Result<Answer, String> {
    let Value::Map(mut fields) = output else { return Err("no object, expected a response".to_string()) };
    let mut take = |name: &str| fields.remove(&Value::from(name));
    let error = |text: Option<Value>| text.and_then(|text| text.as_text().map(str::to_string));
    let (unknown, failed) = (error(take("Error")), error(take("ClientError")));
    // That it had its effect is known to the test, not to the client.
    let persisted = ["Persisted", "PersistedRevision", "PartialResponse"].map(|name| (name, take(name)));
    let outcome = match (&unknown, &failed, persisted.iter().any(|(_, value)| value.is_some())) {
        (None, None, false) => Outcome::Ok,
        (None, Some(_), false) => Outcome::Fail,
        (_, None, _) => Outcome::Unknown,
        _ => {
            return Err(
                "a response with more than one of `Error`, `ClientError` and `Persisted`, expected one at most"
                    .to_string(),
            );
        }
    };
    if outcome == Outcome::Ok {
        return ok_answer(call, Value::Map(fields));
    }
    let mut extra = Extra::default();
    for (name, value) in persisted {
        value.into_iter().for_each(|value| drop(extra.insert(name, value)));
    }
    if !fields.is_empty() {
        extra.insert("Output", Value::Map(fields));
    }
    Ok((Completion { error: unknown.or(failed), ..Completion::new(outcome) }, extra))
}

fn ok_answer(call: &Call, output: Value) -> Result<Answer, String> {
    if call.function.starts_with(RAW) {
        return Ok((Completion::ok(output), Extra::default()));
    }
    let misfit = || format!("response {output}, expected one to a {} of one key", call.function);
    let answer = match call.function.as_ref() {
        functions::GET => get_answer(call, &output),
        functions::PUT => put_answer(&output),
        _ => delete_answer(&output),
    };
    answer.ok_or_else(misfit)
}

fn get_answer(call: &Call, output: &Value) -> Option<Answer> {
    let [revision, range] = only(output, ["Revision", "Range"])?;
    let read_timestamp = revision_of(revision)?;
    let found = match range {
        Some(range) => {
            let [kvs, count] = only(range, ["KVs", "Count"])?;
            let kvs = kvs.map_or(Some(&[] as &[Value]), Value::as_list)?;
            if count.map_or(Some(0), Value::as_int)? != kvs.len() as i64 {
                return None;
            }
            kvs
        }
        None => &[],
    };
    let mut extra = Extra::default();
    let value = match found {
        [] => Value::Nil,
        [found] => {
            let [key, value, mod_revision, version] = only(found, ["Key", "Value", "ModRevision", "Version"])?;
            if Some(text_of(key)?) != call.key.as_text() {
                return None;
            }
            for (name, number) in [(MOD_REVISION, mod_revision), (VERSION, version)] {
                number.into_iter().for_each(|number| drop(extra.insert(name, number.clone())));
            }
            stored(value)?
        }
        _ => return None,
    };
    Some((Completion { read_timestamp, ..Completion::ok(value) }, extra))
}

fn revision_of(revision: Option<&Value>) -> Option<Option<u64>> {
    match revision {
        None => Some(None),
        Some(revision) => u64::try_from(revision.as_int()?).ok().map(Some),
    }
}

fn put_answer(output: &Value) -> Option<Answer> {
    let [revision, txn] = only(output, ["Revision", "Txn"])?;
    let commit_timestamp = revision_of(revision)?;
    let results = results(txn)?;
    let nothing = results.iter().all(|result| result.as_map().is_some_and(BTreeMap::is_empty));
    nothing.then(|| (Completion { commit_timestamp, ..Completion::ok(Value::Nil) }, Extra::default()))
}

/// A delete that found nothing wrote nothing.
fn delete_answer(output: &Value) -> Option<Answer> {
    let [revision, txn] = only(output, ["Revision", "Txn"])?;
    let revision = revision_of(revision)?;
    let [result] = results(txn)? else { return None };
    let [deleted] = only(result, ["Deleted"])?;
    let count = deleted.map_or(Some(0), Value::as_int)?;
    let completion = Completion::ok(Value::Int(count));
    let completion = if count > 0 {
        Completion { commit_timestamp: revision, ..completion }
    } else {
        Completion { read_timestamp: revision, ..completion }
    };
    Some((completion, Extra::default()))
}

fn results(txn: Option<&Value>) -> Option<&[Value]> {
    let [results] = only(txn?, ["Results"])?;
    results.map_or(Some(&[]), Value::as_list)
}
