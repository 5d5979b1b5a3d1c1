//! One step of a transaction, as it was asked or answered.

use tenet_histories::{Value, functions};

use crate::CheckError;

/// A micro-operation that reads all keys of a range: `["rr", [low, high], [[key, what is there], ..]]`.
pub(super) const RANGE: &str = "rr";
pub(super) const WRITE: &str = functions::MICRO_WRITE;

/// What a register may be set to.
pub(super) const NOT_INITIAL: &str = "another value than the initial one, so that a read tells whose it is";

#[derive(Clone, Copy)]
pub(super) enum Micro<'e> {
    /// `["append", key, element]`, `["w", key, value]`: by its name. Nil is what is there before anything is written.
    Write(&'e str, &'e Value, &'e Value),
    /// `["r", key, what is there]`; nil if it was not answered, or if nothing is there.
    Read(&'e Value, &'e Value),
    /// The bounds, both included, and what is there; none if it was not answered.
    Range([&'e Value; 2], Option<&'e [Value]>),
}

impl<'e> Micro<'e> {
    pub(super) fn of(number: u32, item: &'e Value) -> Result<Micro<'e>, CheckError> {
        const EXPECTED: &str = "[\"append\" or \"w\", key, a value], [\"r\", key, ..] or [\"rr\", [low, high], pairs]";
        let wrong = || misshapen(number, item, EXPECTED);
        let Some([name, key, value]) = item.as_list() else { return Err(wrong()) };
        match (name.as_name(), value) {
            (Some(name @ (functions::MICRO_APPEND | WRITE)), written) if !written.is_nil() => {
                Ok(Micro::Write(name, key, written))
            }
            (Some(functions::MICRO_READ), value) => Ok(Micro::Read(key, value)),
            (Some(RANGE), Value::Nil | Value::List(_)) => match key.as_list() {
                Some([low, high]) => Ok(Micro::Range([low, high], value.as_list())),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

/// The steps of a transaction.
pub(super) fn items(number: u32, value: &Value) -> Result<&[Value], CheckError> {
    value.as_list().ok_or_else(|| misshapen(number, value, "a list of micro-operations"))
}

/// One key that a range read found, and what was there.
pub(super) fn pair(number: u32, pair: &Value) -> Result<(&Value, &Value), CheckError> {
    match pair.as_list() {
        Some([key, there]) => Ok((key, there)),
        _ => Err(misshapen(number, pair, "[key, what is there]")),
    }
}

/// What a range read found of a key; nil if it was not there.
pub(super) fn found<'e>(pairs: &'e [Value], key: &Value) -> &'e Value {
    let found = pairs.iter().filter_map(Value::as_list).find(|pair| pair.first() == Some(key));
    found.and_then(|pair| pair.get(1)).unwrap_or(&Value::Nil)
}

pub(super) fn misshapen(number: u32, found: &Value, expected: &'static str) -> CheckError {
    let function = functions::TRANSACTION.to_string();
    CheckError::Shape { operation: number as usize, function, found: found.to_string(), expected }
}
