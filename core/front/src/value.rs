//! Values on the wire: type oids, text and binary forms of parameters and results.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use tenet_sql::text::{self, Formats as TextFormats};
use tenet_sql::{SqlError, SqlState};
use tenet_types::{SqlType, Value};

use crate::message::{Format, WireError, utf8};

/// Microseconds from 1970 to 2000, where Postgres' binary timestamps begin.
const EPOCH_2000_US: i64 = 946_684_800_000_000;

const OID_BOOL: u32 = 16;
const OID_NAME: u32 = 19;
const OID_INT8: u32 = 20;
const OID_INT2: u32 = 21;
const OID_INT4: u32 = 23;
const OID_TEXT: u32 = 25;
const OID_FLOAT8: u32 = 701;
const OID_UNKNOWN: u32 = 705;
const OID_BPCHAR: u32 = 1042;
const OID_VARCHAR: u32 = 1043;
const OID_TIMESTAMPTZ: u32 = 1184;

/// The oid of a parameter's type.
pub(crate) fn oid(sql_type: SqlType) -> u32 {
    match sql_type {
        SqlType::Bool => OID_BOOL,
        SqlType::Int2 => OID_INT2,
        SqlType::Int4 => OID_INT4,
        SqlType::Int8 => OID_INT8,
        SqlType::Float8 => OID_FLOAT8,
        SqlType::Text => OID_TEXT,
        SqlType::Timestamptz => OID_TIMESTAMPTZ,
    }
}

/// The type that a client declares a parameter to have; `None` leaves it to be inferred.
pub(crate) fn declared(oid: u32) -> Result<Option<SqlType>, WireError> {
    Ok(Some(match oid {
        0 | OID_UNKNOWN => return Ok(None),
        OID_BOOL => SqlType::Bool,
        OID_INT2 => SqlType::Int2,
        OID_INT4 => SqlType::Int4,
        OID_INT8 => SqlType::Int8,
        OID_FLOAT8 => SqlType::Float8,
        OID_TEXT | OID_VARCHAR | OID_BPCHAR | OID_NAME => SqlType::Text,
        OID_TIMESTAMPTZ => SqlType::Timestamptz,
        _ => return Err(WireError::new("0A000", format!("parameters of the type with OID {oid} are not supported"))),
    }))
}

/// A parameter's value. `number` is its place, from 1.
pub(crate) fn decode(
    sql_type: SqlType,
    format: Format,
    bytes: Option<&[u8]>,
    number: usize,
    text: &TextFormats,
) -> Result<Value, SqlError> {
    match (format, bytes) {
        (_, None) => Ok(Value::Null),
        (Format::Text, Some(bytes)) => text::input(sql_type, utf8(bytes)?, text),
        (Format::Binary, Some(bytes)) => decode_binary(sql_type, bytes, number, text),
    }
}

fn decode_binary(sql_type: SqlType, bytes: &[u8], number: usize, text: &TextFormats) -> Result<Value, SqlError> {
    let bad = || {
        let message = format!("incorrect binary data format in bind parameter {number}");
        SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, message)
    };
    Ok(match sql_type {
        SqlType::Bool => Value::Bool(fixed::<1>(bytes).ok_or_else(bad)?[0] != 0),
        SqlType::Int2 => Value::Int2(i16::from_be_bytes(fixed(bytes).ok_or_else(bad)?)),
        SqlType::Int4 => Value::Int4(i32::from_be_bytes(fixed(bytes).ok_or_else(bad)?)),
        SqlType::Int8 => Value::Int8(i64::from_be_bytes(fixed(bytes).ok_or_else(bad)?)),
        SqlType::Float8 => Value::Float8(f64::from_be_bytes(fixed(bytes).ok_or_else(bad)?)),
        SqlType::Text => return text::input(sql_type, utf8(bytes)?, text),
        SqlType::Timestamptz => {
            let since_2000 = i64::from_be_bytes(fixed(bytes).ok_or_else(bad)?);
            let out_of_range = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
            match since_2000 {
                i64::MIN | i64::MAX => Value::Timestamptz(since_2000),
                finite => match finite.checked_add(EPOCH_2000_US) {
                    None | Some(i64::MAX) => return Err(out_of_range()),
                    Some(us) => Value::Timestamptz(us),
                },
            }
        }
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Appends length and value, as in a DataRow. NULL is the length -1.
pub(crate) fn encode(out: &mut BytesMut, value: &Value, format: Format, text: &TextFormats) {
    if value.is_null() {
        return out.put_i32(-1);
    }
    let start = out.len();
    out.put_i32(0);
    match format {
        Format::Text => encode_text(out, value, text),
        Format::Binary => encode_binary(out, value),
    }
    let length = i32::try_from(out.len() - start - 4).expect("a row is bounded far below 2 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// The types that every statement returns go straight into the buffer; those that settings change ask the SQL floor.
fn encode_text(out: &mut BytesMut, value: &Value, text: &TextFormats) {
    match value {
        Value::Null => Ok(()),
        Value::Bool(v) => out.write_char(if *v { 't' } else { 'f' }),
        Value::Int2(v) => write!(out, "{v}"),
        Value::Int4(v) => write!(out, "{v}"),
        Value::Int8(v) => write!(out, "{v}"),
        Value::Text(v) => out.write_str(v),
        Value::Float8(_) | Value::Timestamptz(_) => out.write_str(&text::output(value, text)),
    }
    .expect("a buffer grows");
}

fn encode_binary(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(v) => out.put_u8(u8::from(*v)),
        Value::Int2(v) => out.put_i16(*v),
        Value::Int4(v) => out.put_i32(*v),
        Value::Int8(v) => out.put_i64(*v),
        Value::Float8(v) => out.put_f64(*v),
        Value::Text(v) => out.put_slice(v.as_bytes()),
        // Infinities are the ends of the range on both sides.
        Value::Timestamptz(v @ (i64::MIN | i64::MAX)) => out.put_i64(*v),
        // Saturates before 290,308 BC, far outside of what can be written.
        Value::Timestamptz(v) => out.put_i64(v.saturating_sub(EPOCH_2000_US)),
    }
}
