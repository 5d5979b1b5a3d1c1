//! Keys: where a row lives, as bytes that sort as the columns do.
//!
//! ```text
//! key     = table id (8, big-endian) · index id (4, big-endian) · column …
//! column  = tag (1) · payload, self-terminating:
//!   0x10 bool    1 byte
//!   0x20 int     8 bytes, big-endian, sign bit flipped (int2, int4 and int8 alike: a column may widen in place)
//!   0x30 float8  8 bytes, big-endian, order-preserving; -0 as 0, one NaN above everything
//!   0x40 text    bytes with 00 written as 00 FF, then 00 01
//!   0x50 timestamptz  8 bytes as int
//!   0xF0 null    nothing (after everything, as in Postgres)
//! stored  = key · inverted timestamp (8, big-endian): newest version first
//! ```

use std::fmt;

use crate::{IndexId, TableId, Timestamp, Value};

/// Longest key accepted, in bytes, without its timestamp (Postgres: 2704 for a B-tree entry).
pub const KEY_BYTES_MAX: usize = 4096;

/// An encoded key without its timestamp.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Vec<u8>);

impl Key {
    /// The one key that every DDL transaction of a tenant writes and every other transaction reads: table 1, index 1, no
    /// columns. Its value is the catalog version.
    pub fn catalog_version() -> Key {
        KeyBuilder::new(TableId(1), IndexId(1)).build()
    }

    /// The key as stored: with the inverted timestamp, so that newer versions come first.
    pub fn at(&self, ts: Timestamp) -> Vec<u8> {
        let mut stored = Vec::with_capacity(self.0.len() + 8);
        stored.extend_from_slice(&self.0);
        stored.extend_from_slice(&(!ts.0).to_be_bytes());
        stored
    }

    /// Takes a stored key apart; `None` when it is too short to be one.
    pub fn split_stored(stored: &[u8]) -> Option<(&[u8], Timestamp)> {
        let (key, ts) = stored.split_at_checked(stored.len().checked_sub(8)?)?;
        Some((key, Timestamp(!u64::from_be_bytes(ts.try_into().ok()?))))
    }

    /// The least key greater than this one (not greater than its extensions).
    pub fn successor(&self) -> Key {
        let mut next = self.0.clone();
        next.push(0);
        Key(next)
    }

    /// The least key greater than everything that begins with this one. `None` only if all bytes are 0xFF.
    pub fn prefix_end(&self) -> Option<Key> {
        let mut end = self.0.clone();
        while let Some(last) = end.last_mut() {
            if *last < 0xff {
                *last += 1;
                return Some(Key(end));
            }
            end.pop();
        }
        None
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Keys from `start` (in) to `end` (out).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: Key,
    pub end: Key,
}

impl Span {
    pub fn contains(&self, key: &Key) -> bool {
        self.start <= *key && *key < self.end
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Everything that begins with `prefix`.
    pub fn prefix(prefix: &Key) -> Span {
        let end = prefix.prefix_end().expect("a key begins with a table id, which is never all ones");
        Span { start: prefix.clone(), end }
    }
}

/// What a transaction has read: single keys and whole spans, absent and empty ones too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSet {
    pub keys: Vec<Key>,
    pub spans: Vec<Span>,
}

impl ReadSet {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.spans.is_empty()
    }
}

/// Builds a key column by column.
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    pub fn new(table: TableId, index: IndexId) -> KeyBuilder {
        let mut buf = Vec::with_capacity(32);
        buf.extend_from_slice(&table.0.to_be_bytes());
        buf.extend_from_slice(&index.0.to_be_bytes());
        KeyBuilder(buf)
    }

    pub fn push(mut self, value: &Value) -> KeyBuilder {
        let buf = &mut self.0;
        match value {
            Value::Null => buf.push(0xf0),
            Value::Bool(v) => buf.extend_from_slice(&[0x10, u8::from(*v)]),
            Value::Int2(_) | Value::Int4(_) | Value::Int8(_) => {
                buf.push(0x20);
                push_i64(buf, value.as_int().expect("one of the three integers"));
            }
            Value::Float8(v) => {
                buf.push(0x30);
                buf.extend_from_slice(&ordered_bits(*v).to_be_bytes());
            }
            Value::Text(v) => {
                buf.push(0x40);
                for &byte in v.as_bytes() {
                    buf.push(byte);
                    if byte == 0 {
                        buf.push(0xff);
                    }
                }
                buf.extend_from_slice(&[0x00, 0x01]);
            }
            Value::Timestamptz(v) => {
                buf.push(0x50);
                push_i64(buf, *v);
            }
        }
        self
    }

    pub fn build(self) -> Key {
        Key(self.0)
    }
}

fn push_i64(buf: &mut Vec<u8>, v: i64) {
    buf.extend_from_slice(&((v as u64) ^ (1 << 63)).to_be_bytes());
}

/// Bits of a float that sort as Postgres sorts floats.
fn ordered_bits(v: f64) -> u64 {
    if v.is_nan() {
        return u64::MAX;
    }
    let bits = if v == 0.0 { 0 } else { v.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i16>().prop_map(Value::Int2),
            any::<i32>().prop_map(Value::Int4),
            any::<i64>().prop_map(Value::Int8),
            any::<f64>().prop_map(Value::Float8),
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(-f64::NAN), Just(f64::INFINITY)]
                .prop_map(Value::Float8),
            "[\\x00ab\u{ff}]{0,4}".prop_map(Value::Text),
            any::<i64>().prop_map(Value::Timestamptz),
        ]
    }

    fn key(values: &[Value]) -> Key {
        values.iter().fold(KeyBuilder::new(TableId(3), IndexId(1)), KeyBuilder::push).build()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn keys_sort_as_their_columns_and_none_is_a_prefix(a in prop::collection::vec(any_value(), 2), b in prop::collection::vec(any_value(), 2)) {
            let (ka, kb) = (key(&a), key(&b));
            let same_types = a.iter().zip(&b).all(|(x, y)| {
                x.sql_type() == y.sql_type() || (x.as_int().is_some() && y.as_int().is_some()) || x.is_null() || y.is_null()
            });
            if same_types {
                prop_assert_eq!(ka.cmp(&kb), a.cmp(&b));
            }
            if a != b {
                prop_assert!(!ka.0.starts_with(&kb.0) && !kb.0.starts_with(&ka.0));
            }
        }

        #[test]
        fn newer_versions_come_first(a: u64, b: u64) {
            let k = key(&[Value::Int4(1)]);
            prop_assert_eq!(k.at(Timestamp(a)).cmp(&k.at(Timestamp(b))), b.cmp(&a));
            let stored = k.at(Timestamp(a));
            prop_assert_eq!(Key::split_stored(&stored), Some((&k.0[..], Timestamp(a))));
        }
    }

    #[test]
    fn a_prefix_span_holds_its_extensions_and_nothing_else() {
        let table = KeyBuilder::new(TableId(3), IndexId(1)).build();
        let span = Span::prefix(&table);
        assert!(span.contains(&key(&[Value::Null])));
        assert!(!span.contains(&KeyBuilder::new(TableId(3), IndexId(2)).push(&Value::Int4(0)).build()));
    }
}
