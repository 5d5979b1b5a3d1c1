//! Which type becomes which, and how. The matrix is Postgres' for the types that exist here.

use tenet_types::{SqlType, Value};

use crate::error::{SqlError, SqlState};
use crate::text::{self, Formats};

/// Who asks for the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Context {
    /// Nobody: an operator or function needs it.
    Implicit,
    /// A column that is assigned to.
    Assignment,
    /// CAST, `::`.
    Explicit,
}

/// Whether a value of type `from` may become one of `to`.
pub(crate) fn castable(from: SqlType, to: SqlType, context: Context) -> bool {
    use SqlType::{Bool, Float8, Int2, Int4, Int8, Text, Timestamptz};
    let least = match (from, to) {
        (a, b) if a == b => Context::Implicit,
        (Int2, Int4 | Int8 | Float8) | (Int4, Int8 | Float8) | (Int8, Float8) => Context::Implicit,
        (Int4, Int2) | (Int8, Int2 | Int4) | (Float8, Int2 | Int4 | Int8) => Context::Assignment,
        (_, Text) => Context::Assignment,
        (Text, _) | (Bool, Int4) | (Int4, Bool) => Context::Explicit,
        (Bool | Timestamptz, _) | (_, Bool | Timestamptz) => return false,
        (Int2 | Int4 | Int8 | Float8, Int2 | Int4 | Int8 | Float8) => unreachable!("all pairs of numbers are above"),
    };
    context >= least
}

pub(crate) fn is_integer(sql_type: SqlType) -> bool {
    matches!(sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8)
}

pub(crate) fn is_number(sql_type: SqlType) -> bool {
    is_integer(sql_type) || sql_type == SqlType::Float8
}

/// Casts a value for which [`castable`] said yes.
pub(crate) fn cast(value: Value, to: SqlType, formats: &Formats) -> Result<Value, SqlError> {
    match (value, to) {
        (Value::Null, _) => Ok(Value::Null),
        (value, to) if value.sql_type() == Some(to) => Ok(value),
        (Value::Bool(v), SqlType::Text) => Ok(Value::Text(if v { "true" } else { "false" }.to_owned())),
        (value, SqlType::Text) => Ok(Value::Text(text::output(&value, formats))),
        (Value::Text(v), to) => text::input(to, &v, formats),
        (Value::Bool(v), SqlType::Int4) => Ok(Value::Int4(i32::from(v))),
        (Value::Int4(v), SqlType::Bool) => Ok(Value::Bool(v != 0)),
        (Value::Float8(v), to) => float_to_int(v, to),
        (value, SqlType::Float8) => match value.as_int() {
            Some(v) => Ok(Value::Float8(v as f64)),
            None => Err(impossible(&value, to)),
        },
        (value, to) => match value.as_int() {
            Some(v) => int(v, to),
            None => Err(impossible(&value, to)),
        },
    }
}

/// An integer of the type, or 22003.
pub(crate) fn int(v: i64, to: SqlType) -> Result<Value, SqlError> {
    match to {
        SqlType::Int2 => i16::try_from(v).map(Value::Int2).map_err(|_| out_of_range(to)),
        SqlType::Int4 => i32::try_from(v).map(Value::Int4).map_err(|_| out_of_range(to)),
        SqlType::Int8 => Ok(Value::Int8(v)),
        SqlType::Bool | SqlType::Float8 | SqlType::Text | SqlType::Timestamptz => Err(impossible(&Value::Int8(v), to)),
    }
}

/// Rounds half to even, as C's `rint` does.
fn float_to_int(v: f64, to: SqlType) -> Result<Value, SqlError> {
    let rounded = v.round_ties_even();
    // -2^63 is a float, 2^63 - 1 is not.
    let fits = rounded >= i64::MIN as f64 && rounded < -(i64::MIN as f64);
    if !fits {
        return Err(out_of_range(to));
    }
    int(rounded as i64, to)
}

pub(crate) fn out_of_range(sql_type: SqlType) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{sql_type} out of range"))
}

/// The binder lets no such cast through; a client's parameter of another type than declared might.
fn impossible(value: &Value, to: SqlType) -> SqlError {
    let from = value.sql_type().map_or("unknown", SqlType::name);
    SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}"))
}

/// What `varchar(n)` does to a text: cuts it when asked explicitly; otherwise only spaces may be lost (22001).
pub(crate) fn limit_length(value: Value, length_max: usize, explicit: bool) -> Result<Value, SqlError> {
    let Value::Text(v) = &value else { return Ok(value) };
    let Some((cut, _)) = v.char_indices().nth(length_max) else { return Ok(value) };
    if explicit || v[cut..].bytes().all(|b| b == b' ') {
        return Ok(Value::Text(v[..cut].to_owned()));
    }
    Err(SqlError::new(
        SqlState::STRING_DATA_RIGHT_TRUNCATION,
        format!("value too long for type character varying({length_max})"),
    ))
}
