//! JSON, for formats that are one JSON value after another: numbers exact, a key that occurs twice is an error.
//!
//! ```text
//! {"type":"invoke","f":"txn","value":[["append",8,1],["r",9,null]],"rate":1.5}
//! ```
//! An integer of 64 bits is [`Value::Int`], any other number [`Value::Number`] as it was written. serde_json, which writes our
//! own lines, would turn decimals into floats, and say nothing of the place of a field.
//!
//! Invariants
//!  J1  What is written is read back equal. What JSON has no form for is refused, never written.
//!  J2  Nesting is bounded: no input overflows the stack.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Value;
use crate::text::{Cursor, Field, Trouble};

/// An object, without building it, and where it begins; None when nothing but blanks is there.
pub(crate) fn parse_fields(bytes: &[u8]) -> Result<Option<(usize, Vec<Field<'_>>)>, Trouble> {
    let mut cursor = Cursor::new(bytes);
    // Between the elements of an array that was taken apart.
    while matches!(cursor.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | b',')) {
        cursor.at += 1;
    }
    if cursor.is_at_end() {
        return Ok(None);
    }
    if cursor.peek() != Some(b'{') {
        return Err(cursor.unexpected("an object `{\"type\":..}`"));
    }
    let start = cursor.at;
    let mut fields: Vec<Field<'_>> = Vec::with_capacity(8);
    items(&mut cursor, b'}', |cursor| {
        let key_at = cursor.at;
        let name = key(cursor)?;
        if fields.iter().any(|field| field.name == name) {
            return Err(twice(key_at, &name));
        }
        skip(cursor);
        let at = cursor.at;
        fields.push(Field { name, at, value: value(cursor)? });
        Ok(())
    })?;
    skip(&mut cursor);
    if cursor.is_at_end() { Ok(Some((start, fields))) } else { Err(cursor.unexpected("the end of the object")) }
}

/// The names of the fields of the first object, as far as it is there: how a format is recognised.
pub(crate) fn names(bytes: &[u8]) -> Vec<String> {
    let mut cursor = Cursor::new(bytes);
    let mut names = Vec::new();
    skip(&mut cursor);
    if cursor.peek() != Some(b'{') {
        return names;
    }
    let whole = items(&mut cursor, b'}', |cursor| {
        names.push(key(cursor)?.into_owned());
        value(cursor)?;
        Ok(())
    });
    // What breaks off, or is damaged, says so when it is read.
    match whole {
        Ok(()) | Err(_) => names,
    }
}

fn twice(at: usize, name: &str) -> Trouble {
    Trouble::at(at, format!("field `{name}` twice, expected it once"))
}

fn skip(cursor: &mut Cursor<'_>) {
    while matches!(cursor.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        cursor.at += 1;
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    skip(cursor);
    match cursor.peek() {
        Some(b'{') => {
            let mut map = BTreeMap::new();
            items(cursor, b'}', |cursor| {
                let start = cursor.at;
                let name = key(cursor)?;
                let value = value(cursor)?;
                let key = Value::Text(name.into_owned());
                if map.contains_key(&key) {
                    return Err(twice(start, key.as_text().unwrap_or_default()));
                }
                map.insert(key, value);
                Ok(())
            })?;
            Ok(Value::Map(map))
        }
        Some(b'[') => {
            let mut list = Vec::new();
            items(cursor, b']', |cursor| {
                list.push(value(cursor)?);
                Ok(())
            })?;
            Ok(Value::List(list))
        }
        Some(b'"') => cursor.string().map(|text| Value::Text(text.into_owned())),
        Some(b'-' | b'0'..=b'9') => number(cursor),
        Some(b'n') => word(cursor, "null", Value::Nil),
        Some(b't') => word(cursor, "true", Value::Bool(true)),
        Some(b'f') => word(cursor, "false", Value::Bool(false)),
        _ => Err(cursor.unexpected("a value")),
    }
}

/// The items of an object or array; stands on its opening byte.
fn items<'a>(
    cursor: &mut Cursor<'a>,
    close: u8,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    cursor.at += 1;
    cursor.nested(|cursor| {
        skip(cursor);
        if cursor.peek() == Some(close) {
            cursor.at += 1;
            return Ok(());
        }
        loop {
            skip(cursor);
            item(cursor)?;
            skip(cursor);
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(byte) if byte == close => {
                    cursor.at += 1;
                    return Ok(());
                }
                _ => return Err(cursor.unexpected(&format!("`,` or `{}`", close as char))),
            }
        }
    })
}

fn key<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Trouble> {
    if cursor.peek() != Some(b'"') {
        return Err(cursor.unexpected("the name of a field in quotes"));
    }
    let name = cursor.string()?;
    skip(cursor);
    if cursor.peek() != Some(b':') {
        return Err(cursor.unexpected("`:`"));
    }
    cursor.at += 1;
    Ok(name)
}

fn word(cursor: &mut Cursor<'_>, word: &str, value: Value) -> Result<Value, Trouble> {
    let rest = &cursor.bytes[cursor.at..];
    if rest.starts_with(word.as_bytes()) {
        cursor.at += word.len();
        return Ok(value);
    }
    let cut = word.as_bytes().starts_with(rest);
    Err(if cut { cursor.ended(&format!("`{word}`")) } else { cursor.unexpected(&format!("`{word}`")) })
}

fn number(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    let start = cursor.at;
    if let Some(int) = cursor.plain_integer(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return Ok(Value::Int(int));
    }
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        cursor.at += 1;
    }
    let text = cursor.utf8(start, cursor.at)?;
    number_of(text).ok_or_else(|| {
        let could_go_on = number_of(&format!("{text}1")).is_some();
        cursor.broken(start, format!("`{text}`, expected a number"), could_go_on)
    })
}

fn number_of(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let fits = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    if !fits {
        return None;
    }
    let integer = fraction.is_none() && exponent.is_none();
    let int = if integer { text.parse().ok() } else { None };
    Some(int.map_or_else(|| Value::Number(text.to_string()), Value::Int))
}

/// The innermost part of a value that JSON has no form for.
pub(crate) fn first_unsayable(value: &Value) -> Option<&Value> {
    match value {
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Text(_) => None,
        Value::Number(text) => (number_of(text).as_ref() != Some(value)).then_some(value),
        Value::Keyword(_) | Value::Symbol(_) | Value::Set(_) | Value::Tagged(..) => Some(value),
        Value::List(list) => list.iter().find_map(first_unsayable),
        Value::Map(map) => {
            map.iter().find_map(|(key, value)| if key.as_text().is_some() { first_unsayable(value) } else { Some(key) })
        }
    }
}

/// What JSON has no form for is written as the nearest thing that it has: names and numbers as text, a set as a list.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Number(text) if number_of(text).is_some() => out.push_str(text),
        Value::Text(text) | Value::Keyword(text) | Value::Symbol(text) | Value::Number(text) => write_string(text, out),
        Value::List(list) => write_all(list, out),
        Value::Set(set) => write_all(set, out),
        Value::Map(map) => {
            out.push('{');
            for (position, (key, value)) in map.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { "," });
                match key.as_name() {
                    Some(name) => write_string(name, out),
                    None => write_string(&key.to_string(), out),
                }
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Tagged(_, value) => write(value, out),
    }
}

fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>, out: &mut String) {
    out.push('[');
    for (position, value) in values.into_iter().enumerate() {
        out.push_str(if position == 0 { "" } else { "," });
        write(value, out);
    }
    out.push(']');
}

pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            control if (control as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", control as u32)),
            char => out.push(char),
        }
    }
    out.push('"');
}
