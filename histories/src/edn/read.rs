//! Bytes to values. Works on a slice that is wholly there; who reads a file cuts it into forms first.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::Value;
use crate::text::{Cursor, Field, Trouble};

/// Exactly one form.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Trouble> {
    let mut cursor = Cursor::new(bytes);
    let value = expect_form(&mut cursor, "a value")?;
    skip(&mut cursor)?;
    if cursor.is_at_end() { Ok(value) } else { Err(cursor.unexpected("the end")) }
}

/// The next form and where it begins; None when only blanks, comments and discarded forms are left.
pub(crate) fn next_form(cursor: &mut Cursor<'_>) -> Result<Option<(usize, Value)>, Trouble> {
    skip(cursor)?;
    let at = cursor.at;
    if cursor.is_at_end() { Ok(None) } else { form(cursor).map(|value| Some((at, value))) }
}

/// A map of keywords, with or without a tag, without building it, and where it begins; None when only comments and discarded
/// forms are there.
pub(crate) fn parse_fields(bytes: &[u8]) -> Result<Option<(usize, Vec<Field<'_>>)>, Trouble> {
    let mut cursor = Cursor::new(bytes);
    skip(&mut cursor)?;
    if cursor.is_at_end() {
        return Ok(None);
    }
    let start = cursor.at;
    // A record prints as its class and its fields: `#jepsen.history.Op{:index 0}`.
    if cursor.peek() == Some(b'#') && cursor.second().is_some_and(is_tag_start) {
        cursor.at += 1;
        token(&mut cursor)?;
        skip(&mut cursor)?;
    }
    if cursor.peek() == Some(b'#') && cursor.second().is_none() {
        return Err(cursor.ended("a tag"));
    }
    if cursor.peek() != Some(b'{') {
        return Err(cursor.unexpected("an operation, a map `{:type ..}`"));
    }
    let mut fields: Vec<Field<'_>> = Vec::with_capacity(8);
    items(&mut cursor, b'}', |cursor| {
        let key_at = cursor.at;
        if cursor.peek() != Some(b':') {
            return Err(cursor.unexpected("a keyword as key of an operation"));
        }
        let name = keyword(cursor)?;
        if fields.iter().any(|field| field.name == name) {
            return Err(Trouble::at(key_at, format!("key :{name} twice in a map, expected it once")));
        }
        let (at, value) = value_of_key(cursor, || format!(":{name}"))?;
        fields.push(Field { name: Cow::Borrowed(name), at, value });
        Ok(())
    })?;
    skip(&mut cursor)?;
    if cursor.is_at_end() { Ok(Some((start, fields))) } else { Err(cursor.unexpected("the end of the operation")) }
}

/// The keys of the first map, as far as it is there: how a format is recognised.
pub(crate) fn names(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let whole = add_names(&mut Cursor::new(bytes), &mut names);
    // What breaks off, or is damaged, says so when it is read.
    match whole {
        Ok(()) | Err(_) => names,
    }
}

fn add_names(cursor: &mut Cursor<'_>, names: &mut Vec<String>) -> Result<(), Trouble> {
    skip(cursor)?;
    if matches!(cursor.peek(), Some(b'[' | b'(')) {
        cursor.at += 1;
        skip(cursor)?;
    }
    if cursor.peek() == Some(b'#') && cursor.second().is_some_and(is_tag_start) {
        cursor.at += 1;
        token(cursor)?;
        skip(cursor)?;
    }
    if cursor.peek() != Some(b'{') {
        return Ok(());
    }
    items(cursor, b'}', |cursor| {
        if cursor.peek() == Some(b':') {
            names.push(keyword(cursor)?.to_string());
        } else {
            form(cursor)?;
        }
        value_of_key(cursor, || "a key".to_string())?;
        Ok(())
    })
}

/// Over blanks, comments and discarded forms.
fn skip(cursor: &mut Cursor<'_>) -> Result<(), Trouble> {
    loop {
        match cursor.peek() {
            Some(b' ' | b',' | b'\n' | b'\t' | b'\r' | 0x0c) => cursor.at += 1,
            Some(b';') => skip_line(cursor),
            Some(b'#') if cursor.second() == Some(b'_') => {
                cursor.at += 2;
                cursor.nested(|cursor| expect_form(cursor, "the form that `#_` discards"))?;
            }
            // A script's first line.
            Some(b'#') if cursor.second() == Some(b'!') => skip_line(cursor),
            _ => return Ok(()),
        }
    }
}

fn skip_line(cursor: &mut Cursor<'_>) {
    let rest = &cursor.bytes[cursor.at..];
    cursor.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
}

fn expect_form(cursor: &mut Cursor<'_>, expected: &str) -> Result<Value, Trouble> {
    skip(cursor)?;
    if cursor.is_at_end() { Err(cursor.ended(expected)) } else { form(cursor) }
}

/// Stands on the first byte of a form.
fn form(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    match cursor.bytes[cursor.at] {
        b'[' => list(cursor, b']'),
        b'(' => list(cursor, b')'),
        b'{' => map(cursor, None),
        b'"' => cursor.string().map(|text| Value::Text(text.into_owned())),
        b':' => keyword(cursor).map(Value::keyword),
        b'\\' => character(cursor),
        b'#' => dispatch(cursor),
        b'0'..=b'9' => number(cursor),
        b'+' | b'-' if cursor.second().is_some_and(|byte| byte.is_ascii_digit()) => number(cursor),
        byte if is_symbol_byte(byte) && byte != b'\'' => Ok(match token(cursor)? {
            "nil" => Value::Nil,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            symbol => Value::Symbol(symbol.to_string()),
        }),
        _ => Err(cursor.unexpected("a value")),
    }
}

/// Items up to the closing byte; stands on the opening one.
fn items<'a>(
    cursor: &mut Cursor<'a>,
    close: u8,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    cursor.at += 1;
    cursor.nested(|cursor| {
        loop {
            skip(cursor)?;
            match cursor.peek() {
                Some(byte) if byte == close => {
                    cursor.at += 1;
                    return Ok(());
                }
                None | Some(b')' | b']' | b'}') => return Err(cursor.unexpected(&format!("`{}`", close as char))),
                Some(_) => item(cursor)?,
            }
        }
    })
}

fn list(cursor: &mut Cursor<'_>, close: u8) -> Result<Value, Trouble> {
    let mut list = Vec::new();
    items(cursor, close, |cursor| {
        list.push(form(cursor)?);
        Ok(())
    })?;
    Ok(Value::List(list))
}

fn set(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    let mut set = BTreeSet::new();
    items(cursor, b'}', |cursor| {
        let at = cursor.at;
        let value = form(cursor)?;
        if set.contains(&value) {
            return Err(Trouble::at(at, format!("{value} twice in a set, expected it once")));
        }
        set.insert(value);
        Ok(())
    })?;
    Ok(Value::Set(set))
}

fn map(cursor: &mut Cursor<'_>, namespace: Option<&str>) -> Result<Value, Trouble> {
    let mut map = BTreeMap::new();
    items(cursor, b'}', |cursor| {
        let at = cursor.at;
        let key = qualified(form(cursor)?, namespace);
        let (_, value) = value_of_key(cursor, || key.to_string())?;
        if map.contains_key(&key) {
            return Err(Trouble::at(at, format!("key {key} twice in a map, expected it once")));
        }
        map.insert(key, value);
        Ok(())
    })?;
    Ok(Value::Map(map))
}

fn value_of_key(cursor: &mut Cursor<'_>, key: impl Fn() -> String) -> Result<(usize, Value), Trouble> {
    skip(cursor)?;
    match cursor.peek() {
        None | Some(b'}') => Err(cursor.unexpected(&format!("the value of {}", key()))),
        Some(_) => Ok((cursor.at, form(cursor)?)),
    }
}

/// The bytes of a symbol, keyword or number from here on.
fn token<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Trouble> {
    let start = cursor.at;
    while cursor.peek().is_some_and(is_symbol_byte) {
        cursor.at += 1;
    }
    cursor.utf8(start, cursor.at)
}

/// Its name; stands on the colon.
fn keyword<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Trouble> {
    let at = cursor.at;
    cursor.at += 1;
    let name = token(cursor)?;
    if name.is_empty() {
        let alone = Trouble::at(at, "`:` alone, expected a keyword");
        return Err(if cursor.is_at_end() { cursor.ended("the name of a keyword") } else { alone });
    }
    if name.starts_with(':') {
        return Err(Trouble::at(at, "`::`, expected a keyword with one colon"));
    }
    Ok(name)
}

/// `\a`, `\newline`, `\u0041`: kept as it is written.
fn character(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    let start = cursor.at;
    cursor.at += 1;
    match cursor.peek() {
        None => return Err(cursor.ended("a character")),
        Some(blank) if blank.is_ascii_whitespace() => {
            return Err(Trouble::at(start, "`\\` before a blank, expected a character"));
        }
        Some(_) => {}
    }
    // Any one character, be it a bracket; then the rest of its name.
    cursor.at += 1;
    while cursor.peek().is_some_and(|byte| byte & 0xc0 == 0x80) {
        cursor.at += 1;
    }
    token(cursor)?;
    Ok(Value::Symbol(cursor.utf8(start, cursor.at)?.to_string()))
}

/// Stands on `#`.
fn dispatch(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    let start = cursor.at;
    match cursor.second() {
        None => Err(cursor.ended("a set, a tag or `#_`")),
        Some(b'{') => {
            cursor.at += 1;
            set(cursor)
        }
        Some(b'#') => {
            cursor.at += 2;
            token(cursor)?;
            match cursor.utf8(start, cursor.at)? {
                number @ ("##NaN" | "##Inf" | "##-Inf") => Ok(Value::Number(number.to_string())),
                other => {
                    let could_go_on = ["##NaN", "##Inf", "##-Inf"].iter().any(|known| known.starts_with(other));
                    Err(cursor.broken(start, format!("`{other}`, expected ##NaN, ##Inf or ##-Inf"), could_go_on))
                }
            }
        }
        Some(b':') => {
            cursor.at += 2;
            let namespace = token(cursor)?;
            skip(cursor)?;
            if cursor.peek() == Some(b'{') { map(cursor, Some(namespace)) } else { Err(cursor.unexpected("a map")) }
        }
        Some(byte) if is_tag_start(byte) => {
            cursor.at += 1;
            let tag = token(cursor)?;
            let value = cursor.nested(|cursor| expect_form(cursor, "the value of a tag"))?;
            Ok(Value::Tagged(tag.to_string(), Box::new(value)))
        }
        Some(_) => {
            let problem = format!("# before {}, expected a set, a tag or `#_`", cursor.found(start + 1));
            Err(Trouble::at(start, problem))
        }
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    let start = cursor.at;
    if let Some(int) = cursor.plain_integer(is_symbol_byte) {
        return Ok(Value::Int(int));
    }
    let text = token(cursor)?;
    number_of(text).ok_or_else(|| {
        let could_go_on = number_of(&format!("{text}1")).is_some();
        cursor.broken(start, format!("`{text}`, expected a number"), could_go_on)
    })
}

/// An integer, a decimal with or without exponent, or a ratio.
pub(super) fn number_of(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = |text: &str| digits(text) && (text == "0" || !text.starts_with('0'));
    let integer = unsigned.strip_suffix('N').unwrap_or(unsigned);
    if whole(integer) {
        let text = text.strip_suffix('N').unwrap_or(text);
        let text = text.strip_prefix('+').unwrap_or(text);
        return Some(text.parse().map_or_else(|_| Value::Number(text.to_string()), Value::Int));
    }
    if let Some((numerator, denominator)) = unsigned.split_once('/') {
        return (whole(numerator) && whole(denominator)).then(|| Value::Number(text.to_string()));
    }
    let decimal = unsigned.strip_suffix('M').unwrap_or(unsigned);
    let (mantissa, exponent) = match decimal.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (decimal, None),
    };
    let (before, after) = match mantissa.split_once('.') {
        Some((before, after)) => (before, Some(after)),
        None => (mantissa, None),
    };
    let fits = whole(before)
        && after.is_none_or(|after| after.is_empty() || digits(after))
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    fits.then(|| Value::Number(text.to_string()))
}

/// `#:jepsen{:a 1 :_/b 2 "c" 3}` is `{:jepsen/a 1 :b 2 "c" 3}`.
fn qualified(key: Value, namespace: Option<&str>) -> Value {
    let Some(namespace) = namespace else { return key };
    let with = |name: String| match name.strip_prefix("_/") {
        Some(bare) => bare.to_string(),
        None if name.contains('/') => name,
        None => format!("{namespace}/{name}"),
    };
    match key {
        Value::Keyword(name) => Value::Keyword(with(name)),
        Value::Symbol(name) if !name.starts_with('\\') => Value::Symbol(with(name)),
        other => other,
    }
}

pub(super) fn is_symbol_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".*+!-_?$%&=<>/:#'|".contains(&byte)
}

pub(super) fn is_tag_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}
