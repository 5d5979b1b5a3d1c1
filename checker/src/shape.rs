//! Reading payloads: what a value must look like, and how an operation is called in an explanation.

use tenet_histories::{Operation, Value, functions};

use crate::CheckError;
use crate::verdict::time;

pub(crate) fn misshapen(operation: &Operation<'_>, found: &Value, expected: &'static str) -> CheckError {
    CheckError::Shape {
        operation: operation.index,
        function: operation.call.function.to_string(),
        found: found.to_string(),
        expected,
    }
}

/// No oracle of this workload knows that function.
pub(crate) fn stranger(operation: &Operation<'_>, expected: &'static str) -> CheckError {
    misshapen(operation, &Value::Text(operation.call.function.to_string()), expected)
}

pub(crate) fn int(operation: &Operation<'_>, value: &Value, expected: &'static str) -> Result<i64, CheckError> {
    value.as_int().ok_or_else(|| misshapen(operation, value, expected))
}

pub(crate) fn int_field(operation: &Operation<'_>, value: &Value, name: &'static str) -> Result<i64, CheckError> {
    value.field(name).and_then(Value::as_int).ok_or_else(|| misshapen(operation, value, "a map with integers"))
}

pub(crate) fn bools(operation: &Operation<'_>, value: &Value) -> Result<[bool; 2], CheckError> {
    match value.as_list() {
        Some([Value::Bool(first), Value::Bool(second)]) => Ok([*first, *second]),
        _ => Err(misshapen(operation, value, "[bool, bool]")),
    }
}

/// One step of a list-append transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Micro<'h> {
    Append {
        key: &'h Value,
        element: i64,
    },
    /// `list` is none where nothing was answered.
    Read {
        key: &'h Value,
        list: Option<&'h [Value]>,
    },
}

impl<'h> Micro<'h> {
    pub(crate) fn key(&self) -> &'h Value {
        match self {
            Micro::Append { key, .. } | Micro::Read { key, .. } => key,
        }
    }
}

/// The micro-operations in `value`, which is the operation's call or answer.
pub(crate) fn micros<'h>(operation: &Operation<'_>, value: &'h Value) -> Result<Vec<Micro<'h>>, CheckError> {
    const EXPECTED: &str = "a list of [\"append\", key, integer] and [\"r\", key, list or null]";
    let wrong = || misshapen(operation, value, EXPECTED);
    let micro = |item: &'h Value| match item.as_list() {
        Some([Value::Text(name), key, Value::Int(element)]) if name == functions::MICRO_APPEND => {
            Ok(Micro::Append { key, element: *element })
        }
        Some([Value::Text(name), key, Value::Nil]) if name == functions::MICRO_READ => {
            Ok(Micro::Read { key, list: None })
        }
        Some([Value::Text(name), key, Value::List(list)]) if name == functions::MICRO_READ => {
            Ok(Micro::Read { key, list: Some(list) })
        }
        _ => Err(wrong()),
    };
    value.as_list().ok_or_else(wrong)?.iter().map(micro).collect()
}

/// `operation 12 (process 3, 1.500000 s)`.
pub(crate) fn who(operation: &Operation<'_>) -> String {
    format!("operation {} ({}, {})", operation.index, operation.process, time(operation.invoke_ns))
}
