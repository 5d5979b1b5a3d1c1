//! Reading payloads: what a value must look like, and how an operation is called in an explanation.

use tenet_histories::{Operation, Value};

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

/// The keys of the micro-operations of a transaction. (A range is named by its bounds.)
pub(crate) fn micro_keys<'h>(operation: &Operation<'_>, value: &'h Value) -> Result<Vec<&'h Value>, CheckError> {
    let wrong = || misshapen(operation, value, "a list of micro-operations, [name, key, value] each");
    let key = |item: &'h Value| match item.as_list() {
        Some([_, key, _]) => Ok(key),
        _ => Err(wrong()),
    };
    value.as_list().ok_or_else(wrong)?.iter().map(key).collect()
}

/// `operation 12 (process 3, 1.500000 s)`.
pub(crate) fn who(operation: &Operation<'_>) -> String {
    format!("operation {} ({}, {})", operation.index, operation.process, time(operation.invoke_ns))
}
