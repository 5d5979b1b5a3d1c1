//! Events to recorded operations, with every field that Go writes.

use std::collections::BTreeMap;
use std::io::Write;

use super::{DELETE, HASH_TAG, MOD_REVISION, RAW, VERSION};
use crate::output::Output;
use crate::{
    Call, Completion, Event, Header, HistoryError, Loss, Outcome, Process, Sink, Value, What, functions, json,
};

pub(crate) struct Writer<W> {
    output: Output<W>,
    open: BTreeMap<Process, (Call, u64)>,
    /// When an operation returned last: a call at the same time would be taken to come before it.
    last_return_ns: Option<u64>,
}

impl<W: Write> Writer<W> {
    pub fn new(output: Output<W>, header: &Header) -> Result<Writer<W>, HistoryError> {
        if *header != super::header() {
            output.lose_header(header)?;
        }
        Ok(Writer { output, open: BTreeMap::new(), last_return_ns: None })
    }

    fn complete(
        &mut self,
        event: &Event,
        process: Process,
        completion: &Completion,
        (call, call_ns): (Call, u64),
    ) -> Result<(), HistoryError> {
        let unknown = completion.outcome == Outcome::Unknown;
        if unknown && event.time_ns != call_ns {
            self.output.lose(Loss::Time, || "the time of an unknown outcome".to_string())?;
        }
        if completion.sqlstate.is_some() {
            self.output.lose(Loss::Errors, || "a sqlstate".to_string())?;
        }
        if completion.shard.is_some() {
            self.output.lose(Loss::Timestamps, || "a shard".to_string())?;
        }
        let input = input_of(&call).ok_or_else(|| {
            let what = format!(
                "function `{}` with key {} and value {}, no request of etcd",
                call.function, call.key, call.value
            );
            self.output.refuse(Loss::Values, what)
        })?;
        let output = self.output_of(event, &call, completion)?;
        if let Some(part) = json::first_unsayable(&input).or_else(|| json::first_unsayable(&output)) {
            return Err(self.output.refuse(Loss::Values, format!("{part}, no value of JSON")));
        }
        self.output.text.push_str(&format!("{{\"ClientId\":{},\"Input\":", process.0));
        json::write(&input, &mut self.output.text);
        self.output.text.push_str(&format!(",\"Call\":{call_ns},\"Output\":"));
        json::write(&output, &mut self.output.text);
        let return_ns = if unknown { 0 } else { event.time_ns };
        self.output.text.push_str(&format!(",\"Return\":{return_ns}}}\n"));
        if !unknown {
            self.last_return_ns = Some(event.time_ns);
        }
        Ok(())
    }

    fn output_of(&self, event: &Event, call: &Call, completion: &Completion) -> Result<Value, HistoryError> {
        let mut rest = event.extra.clone();
        let output = if completion.outcome == Outcome::Ok {
            let mod_revision = rest.remove(MOD_REVISION);
            let version = rest.remove(VERSION);
            ok_output(call, completion, mod_revision, version).ok_or_else(|| {
                let what =
                    format!("answer {} of `{}`, or its timestamps or revisions", completion.value, call.function);
                self.output.refuse(Loss::Values, what)
            })?
        } else {
            if completion.read_timestamp.or(completion.commit_timestamp).is_some() {
                self.output.lose(Loss::Timestamps, || "a timestamp without an ok".to_string())?;
            }
            if !completion.value.is_nil() {
                self.output.lose(Loss::Values, || format!("value {} without an ok", completion.value))?;
            }
            let mut output = rest.remove("Output").and_then(|output| output.as_map().cloned()).unwrap_or_default();
            let mut persisted = false;
            for name in ["Persisted", "PersistedRevision", "PartialResponse"] {
                if let Some(value) = rest.remove(name) {
                    persisted = true;
                    output.insert(Value::from(name), value);
                }
            }
            let name = if completion.outcome == Outcome::Fail { "ClientError" } else { "Error" };
            let text = match completion.error.as_deref() {
                Some(text) if !text.is_empty() => text,
                None if persisted => "",
                _ => {
                    self.output.lose(Loss::Errors, || "an error without a text".to_string())?;
                    "unknown"
                }
            };
            output.insert(Value::from(name), Value::from(text));
            Value::Map(output)
        };
        self.output.lose_extra(&Event { extra: rest, ..Event::new(0, event.what.clone()) })?;
        Ok(output)
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::map(fields)
}

/// `{"Value":"4"}`, or the hash of a long value.
fn stored(value: &Value) -> Option<Value> {
    match value {
        Value::Text(text) => Some(object([("Value", text.as_str().into()), ("Hash", 0.into())])),
        Value::Tagged(tag, hash) if tag == HASH_TAG && hash.as_int().is_some_and(|hash| hash != 0) => {
            Some(object([("Value", "".into()), ("Hash", hash.as_ref().clone())]))
        }
        _ => None,
    }
}

fn input_of(call: &Call) -> Option<Value> {
    let request = |kind: &str, name: &'static str, value| {
        let fields = [name, "LeaseGrant", "LeaseRevoke", "Range", "Txn", "Defragment", "Compact"];
        let mut input: BTreeMap<Value, Value> = fields.map(|name| (Value::from(name), Value::Nil)).into();
        input.insert("Type".into(), kind.into());
        input.insert(name.into(), value);
        Value::Map(input)
    };
    if let Some(kind) = call.function.strip_prefix(RAW) {
        let mut input = call.value.as_map().filter(|_| call.key.is_nil())?.clone();
        input.insert("Type".into(), kind.into());
        return Some(Value::Map(input));
    }
    let key = call.key.as_text()?;
    let range = |start: &str| object([("Start", start.into()), ("End", "".into()), ("Limit", 0.into())]);
    let txn = |kind: &str, put: Value, delete: &str| {
        let delete = object([("Key", delete.into())]);
        let operation = object([("Type", kind.into()), ("Range", range("")), ("Put", put), ("Delete", delete)]);
        let operations = ("OperationsOnSuccess", Value::List(vec![operation]));
        object([("Conditions", Value::Nil), operations, ("OperationsOnFailure", Value::Nil)])
    };
    let put = |key: &str, value| object([("Key", key.into()), ("Value", value), ("LeaseID", 0.into())]);
    match call.function.as_ref() {
        functions::GET if call.value.is_nil() => {
            let range =
                object([("Start", key.into()), ("End", "".into()), ("Limit", 0.into()), ("Revision", 0.into())]);
            Some(request("range", "Range", range))
        }
        functions::PUT => Some(request("txn", "Txn", txn("put-operation", put(key, stored(&call.value)?), ""))),
        DELETE if call.value.is_nil() => {
            let nothing = put("", stored(&Value::from(""))?);
            Some(request("txn", "Txn", txn("delete-operation", nothing, key)))
        }
        _ => None,
    }
}

/// None: the answer, or something beside it, has no place.
fn ok_output(
    call: &Call,
    completion: &Completion,
    mod_revision: Option<Value>,
    version: Option<Value>,
) -> Option<Value> {
    let revision = |timestamp: Option<u64>| i64::try_from(timestamp.unwrap_or(0)).ok();
    let response = |name: &str, value: Value, revision: i64| {
        let fields = ["Txn", "Range", "LeaseGrant", "LeaseRevoke", "Defragment", "Compact"];
        let mut output: BTreeMap<Value, Value> = fields.map(|name| (Value::from(name), Value::Nil)).into();
        output.insert(name.into(), value);
        output.insert("Revision".into(), revision.into());
        output.insert("Error".into(), "".into());
        Value::Map(output)
    };
    let (read, commit) = (completion.read_timestamp, completion.commit_timestamp);
    // A revision of 0 is none.
    if read == Some(0)
        || commit == Some(0)
        || (mod_revision.is_some() || version.is_some()) && completion.value.is_nil()
    {
        return None;
    }
    let result = |deleted: i64| object([("KVs", Value::Nil), ("Count", 0.into()), ("Deleted", deleted.into())]);
    let txn = |deleted| object([("Failure", false.into()), ("Results", Value::List(vec![result(deleted)]))]);
    match call.function.as_ref() {
        functions::GET if commit.is_none() => {
            let kvs = match &completion.value {
                Value::Nil => Vec::new(),
                value => {
                    let mut kv = BTreeMap::from([("Key".into(), call.key.clone()), ("Value".into(), stored(value)?)]);
                    kv.extend(mod_revision.map(|revision| ("ModRevision".into(), revision)));
                    kv.extend(version.map(|version| ("Version".into(), version)));
                    vec![Value::Map(kv)]
                }
            };
            let count = kvs.len() as i64;
            let range = object([("KVs", Value::List(kvs)), ("Count", count.into())]);
            Some(response("Range", range, revision(read)?))
        }
        functions::PUT if completion.value.is_nil() && read.is_none() => {
            Some(response("Txn", txn(0), revision(commit)?))
        }
        DELETE => {
            let deleted = completion.value.as_int().filter(|deleted| *deleted >= 0)?;
            let (ours, other) = if deleted > 0 { (commit, read) } else { (read, commit) };
            if other.is_some() {
                return None;
            }
            Some(response("Txn", txn(deleted), revision(ours)?))
        }
        function if function.starts_with(RAW) && read.or(commit).is_none() => {
            completion.value.as_map().map(|_| completion.value.clone())
        }
        _ => None,
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        match &event.what {
            What::Invoke { process, call } => {
                if self.last_return_ns == Some(event.time_ns) {
                    self.output.lose(Loss::Order, || "a call at the time of a return before it".to_string())?;
                }
                self.output.lose_extra(event)?;
                self.open.insert(*process, (call.clone(), event.time_ns));
            }
            What::Complete { process, completion } => match self.open.remove(process) {
                Some(call) => self.complete(event, *process, completion, call)?,
                None => {
                    let what = format!("a completion of {process} without an invocation");
                    return Err(self.output.refuse(Loss::Values, what));
                }
            },
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {
                self.output.lose(Loss::Faults, || "a fault, phase or alarm".to_string())?;
            }
        }
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        if let Some((process, _)) = self.open.first_key_value() {
            self.output.lose(Loss::Failures, || format!("the end, where {process} has an operation open"))?;
        }
        self.output.finish()
    }
}
