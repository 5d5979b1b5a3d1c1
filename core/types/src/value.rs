//! SQL values and their types, with the tags that name them on disk and on the wire.
//!
//! Tags are for ever. Those of types to come are reserved here, so that no other meaning takes them.

use std::cmp::Ordering;
use std::fmt;

use crate::{CodecError, Reader, Writer};

/// A column's type. Tags 8 to 40 are reserved: 8 date, 9 time, 10 timestamp, 11 interval, 12 numeric, 13 float4,
/// 14 bytea, 15 uuid, 16 json, 17 jsonb, 18 array, 19 enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SqlType {
    Bool = 1,
    Int2 = 2,
    Int4 = 3,
    Int8 = 4,
    Float8 = 5,
    /// UTF-8, without NUL bytes (as in Postgres).
    Text = 6,
    /// Microseconds since the Unix epoch, UTC.
    Timestamptz = 7,
}

impl SqlType {
    pub const ALL: [SqlType; 7] = [
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Float8,
        SqlType::Text,
        SqlType::Timestamptz,
    ];

    pub fn from_tag(tag: u8) -> Option<SqlType> {
        SqlType::ALL.into_iter().find(|t| t.tag() == tag)
    }

    pub fn tag(self) -> u8 {
        self as u8
    }

    /// Postgres' name of the type, as `format_type` gives it.
    pub fn name(self) -> &'static str {
        match self {
            SqlType::Bool => "boolean",
            SqlType::Int2 => "smallint",
            SqlType::Int4 => "integer",
            SqlType::Int8 => "bigint",
            SqlType::Float8 => "double precision",
            SqlType::Text => "text",
            SqlType::Timestamptz => "timestamp with time zone",
        }
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value. `Null` has no type of its own.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float8(f64),
    Text(String),
    Timestamptz(i64),
}

const NULL_TAG: u8 = 0;

impl Value {
    /// `None` for NULL.
    pub fn sql_type(&self) -> Option<SqlType> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(_) => SqlType::Bool,
            Value::Int2(_) => SqlType::Int2,
            Value::Int4(_) => SqlType::Int4,
            Value::Int8(_) => SqlType::Int8,
            Value::Float8(_) => SqlType::Float8,
            Value::Text(_) => SqlType::Text,
            Value::Timestamptz(_) => SqlType::Timestamptz,
        })
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The integer in any of the three widths.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int2(v) => Some(i64::from(*v)),
            Value::Int4(v) => Some(i64::from(*v)),
            Value::Int8(v) => Some(*v),
            _ => None,
        }
    }

    /// A tag byte, then the value. NULL is its tag alone.
    pub fn encode(&self, w: &mut Writer) {
        w.u8(self.sql_type().map_or(NULL_TAG, SqlType::tag));
        match self {
            Value::Null => {}
            Value::Bool(v) => w.u8(u8::from(*v)),
            Value::Int2(v) => w.raw(&v.to_le_bytes()),
            Value::Int4(v) => w.raw(&v.to_le_bytes()),
            Value::Int8(v) | Value::Timestamptz(v) => w.raw(&v.to_le_bytes()),
            Value::Float8(v) => w.u64(v.to_bits()),
            Value::Text(v) => w.str(v),
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Value, CodecError> {
        let unknown = r.error("value tag");
        let tag = r.u8("value tag")?;
        if tag == NULL_TAG {
            return Ok(Value::Null);
        }
        Ok(match SqlType::from_tag(tag).ok_or(unknown)? {
            SqlType::Bool => match r.u8("bool")? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(r.error("bool")),
            },
            SqlType::Int2 => {
                Value::Int2(i16::from_le_bytes(r.raw(2, "int2")?.try_into().expect("2 bytes were asked for")))
            }
            SqlType::Int4 => Value::Int4(r.u32("int4")? as i32),
            SqlType::Int8 => Value::Int8(r.u64("int8")? as i64),
            SqlType::Float8 => Value::Float8(f64::from_bits(r.u64("float8")?)),
            SqlType::Text => Value::Text(r.str("text")?.to_owned()),
            SqlType::Timestamptz => Value::Timestamptz(r.u64("timestamptz")? as i64),
        })
    }
}

/// Postgres' order of float8: NaN equals itself and is above everything, -0 equals 0.
pub(crate) fn float_order(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).expect("neither is NaN"),
    }
}

/// The order of a B-tree index in Postgres: integers of any width by value, NULL after everything, values of different
/// types by tag (a column never holds two). Equality follows it, so NULL equals NULL here, unlike in a WHERE clause.
impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return a.cmp(&b);
        }
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Float8(a), Value::Float8(b)) => float_order(*a, *b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Timestamptz(a), Value::Timestamptz(b)) => a.cmp(b),
            (a, b) => a.sql_type().cmp(&b.sql_type()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}
