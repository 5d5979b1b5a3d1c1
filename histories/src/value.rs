//! What an operation carries: plain data, comparable, no floats.
//!
//! The values are those of JSON and of EDN together, because Jepsen's histories are EDN. What is equal in Clojure is one
//! value here: a vector and a list, `1` and `1N`. Numbers that are no integers of 64 bits are kept as they were written and
//! compared as text: an oracle that compared floats would be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::{self, SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::edn;

/// A key or a payload. `Nil` is also "there is none".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    /// Any other number, as it was written: `1.5`, `1.5M`, `22/7`, `1e9`, `##NaN`, an integer beyond 64 bits (without `N`).
    Number(String),
    Text(String),
    /// Without its colon: `read`, `jepsen/op`.
    Keyword(String),
    /// Any other atom of EDN: a symbol, or a character with its backslash.
    Symbol(String),
    List(Vec<Value>),
    Set(BTreeSet<Value>),
    Map(BTreeMap<Value, Value>),
    /// `#inst "2026-01-01"`: the tag without its `#`, and what it is of.
    Tagged(String, Box<Value>),
}

impl Value {
    pub fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
        Value::Map(fields.into_iter().map(|(name, value)| (Value::from(name), value)).collect())
    }

    pub fn keyword(name: &str) -> Value {
        Value::Keyword(name.to_string())
    }

    pub fn is_nil(&self) -> bool {
        *self == Value::Nil
    }

    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(int) = self { Some(*int) } else { None }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(bool) = self { Some(*bool) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// A text, or a keyword without its colon: how names are compared.
    pub fn as_name(&self) -> Option<&str> {
        if let Value::Text(name) | Value::Keyword(name) = self { Some(name) } else { None }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(list) = self { Some(list) } else { None }
    }

    pub fn as_set(&self) -> Option<&BTreeSet<Value>> {
        if let Value::Set(set) = self { Some(set) } else { None }
    }

    pub fn as_map(&self) -> Option<&BTreeMap<Value, Value>> {
        if let Value::Map(map) = self { Some(map) } else { None }
    }

    /// A field of a map, by a name that is a text or a keyword there; nothing if this is no map or has no such field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.as_map()?.iter().find(|(key, _)| key.as_name() == Some(name)).map(|(_, value)| value)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Value {
        Value::Int(int)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Value {
        Value::Bool(bool)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Value {
        Value::List(list.into_iter().map(Into::into).collect())
    }
}

/// For people: JSON where JSON can say it (`[1,"x",null]`), EDN's atoms where not (`[:x,#{1,2}]`).
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("null"),
            Value::Bool(bool) => bool.fmt(f),
            Value::Int(int) => int.fmt(f),
            Value::Text(text) => f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?),
            Value::Number(text) | Value::Symbol(text) => f.write_str(text),
            Value::Keyword(name) => write!(f, ":{name}"),
            Value::List(list) => display_all(f, "[", list, "]"),
            Value::Set(set) => display_all(f, "#{", set, "}"),
            Value::Map(map) => {
                f.write_str("{")?;
                for (position, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if position == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
            Value::Tagged(tag, value) => write!(f, "#{tag} {value}"),
        }
    }
}

fn display_all<'a>(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    values: impl IntoIterator<Item = &'a Value>,
    close: &str,
) -> fmt::Result {
    f.write_str(open)?;
    for (position, value) in values.into_iter().enumerate() {
        write!(f, "{}{value}", if position == 0 { "" } else { "," })?;
    }
    f.write_str(close)
}

/// The one field of an object that stands for a value that JSON has no form for: `{"$edn":":x"}`.
pub(crate) const EDN_FIELD: &str = "$edn";

/// As in the text form: JSON, and an object with the field `$edn` for what JSON cannot say.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Nil => serializer.serialize_unit(),
            Value::Bool(bool) => serializer.serialize_bool(*bool),
            Value::Int(int) => serializer.serialize_i64(*int),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Value::Map(fields) if fields.keys().all(|key| key.as_text().is_some_and(|name| name != EDN_FIELD)) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name.as_text().unwrap_or_default(), value)?;
                }
                map.end()
            }
            Value::Map(_)
            | Value::Number(_)
            | Value::Keyword(_)
            | Value::Symbol(_)
            | Value::Set(_)
            | Value::Tagged(..) => {
                let text = edn::to_text(self).map_err(ser::Error::custom)?;
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(EDN_FIELD, &text)?;
                map.end()
            }
        }
    }
}

/// Plain JSON: an object with the field `$edn` is an ordinary map here (version 1 had no other form).
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a bool, an integer of 64 bits, a string, a list or a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E: Error>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E: Error>(self, int: u64) -> Result<Value, E> {
        i64::try_from(int).map(Value::Int).map_err(|_| E::invalid_value(Unexpected::Unsigned(int), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_string()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value()?;
            if fields.insert(Value::Text(name.clone()), value).is_some() {
                return Err(A::Error::custom(format_args!("field `{name}` twice, expected it once")));
            }
        }
        Ok(Value::Map(fields))
    }
}
