//! Values to text, in the manner of Clojure's `pr`.

use super::read::{is_symbol_byte, is_tag_start, number_of};
use crate::Value;

/// An atom that has no form in EDN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{text}` has no form in EDN")]
pub(crate) struct Unsayable {
    kind: &'static str,
    text: String,
}

pub(crate) fn to_text(value: &Value) -> Result<String, Unsayable> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

pub(crate) fn write(value: &Value, out: &mut String) -> Result<(), Unsayable> {
    match value {
        Value::Nil => out.push_str("nil"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Number(text) => write_number(text, out)?,
        Value::Text(text) => write_string(text, out),
        Value::Keyword(name) if is_name(name) => {
            out.push(':');
            out.push_str(name);
        }
        Value::Keyword(name) => return Err(Unsayable { kind: "keyword", text: name.clone() }),
        Value::Symbol(text) if is_symbol(text) || is_character(text) => out.push_str(text),
        Value::Symbol(text) => return Err(Unsayable { kind: "symbol", text: text.clone() }),
        Value::List(list) => write_all("[", list, "]", out)?,
        Value::Set(set) => write_all("#{", set, "}", out)?,
        Value::Map(map) => {
            out.push('{');
            for (position, (key, value)) in map.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { ", " });
                write(key, out)?;
                out.push(' ');
                write(value, out)?;
            }
            out.push('}');
        }
        Value::Tagged(tag, value) if is_tag(tag) => {
            out.push('#');
            out.push_str(tag);
            out.push(' ');
            write(value, out)?;
        }
        Value::Tagged(tag, _) => return Err(Unsayable { kind: "tag", text: tag.clone() }),
    }
    Ok(())
}

fn write_all<'a>(
    open: &str,
    values: impl IntoIterator<Item = &'a Value>,
    close: &str,
    out: &mut String,
) -> Result<(), Unsayable> {
    out.push_str(open);
    for (position, value) in values.into_iter().enumerate() {
        out.push_str(if position == 0 { "" } else { " " });
        write(value, out)?;
    }
    out.push_str(close);
    Ok(())
}

fn write_number(text: &str, out: &mut String) -> Result<(), Unsayable> {
    let integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let known = matches!(text, "##NaN" | "##Inf" | "##-Inf");
    if !known && number_of(text) != Some(Value::Number(text.to_string())) {
        return Err(Unsayable { kind: "number", text: text.to_string() });
    }
    out.push_str(text);
    if integer {
        out.push('N');
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if (control as u32) < 0x20 || control == '\u{7f}' => {
                out.push_str(&format!("\\u{:04x}", control as u32));
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// Whether `:name` is a keyword.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(':') && name.bytes().all(is_symbol_byte)
}

fn is_symbol(text: &str) -> bool {
    let digit = |text: &str| text.starts_with(|char: char| char.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let other = matches!(text, "" | "nil" | "true" | "false") || text.starts_with([':', '#', '\'']) || digit(unsigned);
    !other && text.bytes().all(is_symbol_byte)
}

fn is_character(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('\\')
        && chars.next().is_some_and(|char| !char.is_ascii_whitespace())
        && chars.as_str().bytes().all(is_symbol_byte)
}

fn is_tag(tag: &str) -> bool {
    tag.bytes().next().is_some_and(is_tag_start) && tag.bytes().all(is_symbol_byte)
}
