//! Values as text, exactly as Postgres reads and writes them: casts, literals and the text protocol all come here.
//!
//! Not here: binary formats (see `front`), the names of time zones (only UTC and fixed offsets are known).

use tenet_types::{SqlType, Value};

use crate::error::{SqlError, SqlState};
use crate::timestamp::{self, Zone};

/// What a session's settings say about text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Formats {
    pub zone: Zone,
    /// Above 0: the shortest text that reads back the same. Otherwise 15 digits plus this many.
    pub extra_float_digits: i32,
}

impl Default for Formats {
    fn default() -> Formats {
        Formats { zone: Zone::utc(), extra_float_digits: 1 }
    }
}

/// The type's output function. NULL has no text and gives the empty string: ask first.
pub fn output(value: &Value, formats: &Formats) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(v) => if *v { "t" } else { "f" }.to_owned(),
        Value::Int2(v) => v.to_string(),
        Value::Int4(v) => v.to_string(),
        Value::Int8(v) => v.to_string(),
        Value::Float8(v) => float_output(*v, formats.extra_float_digits),
        Value::Text(v) => v.clone(),
        Value::Timestamptz(v) => timestamp::output(*v, &formats.zone),
    }
}

/// The type's input function.
pub fn input(sql_type: SqlType, text: &str, formats: &Formats) -> Result<Value, SqlError> {
    if text.contains('\0') {
        return Err(SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    match sql_type {
        SqlType::Bool => bool_input(text).map(Value::Bool).ok_or_else(|| invalid(sql_type, text)),
        SqlType::Int2 => {
            int_input(text, sql_type, i64::from(i16::MIN), i64::from(i16::MAX)).map(|v| Value::Int2(v as i16))
        }
        SqlType::Int4 => {
            int_input(text, sql_type, i64::from(i32::MIN), i64::from(i32::MAX)).map(|v| Value::Int4(v as i32))
        }
        SqlType::Int8 => int_input(text, sql_type, i64::MIN, i64::MAX).map(Value::Int8),
        SqlType::Float8 => float_input(text).map(Value::Float8),
        SqlType::Text => Ok(Value::Text(text.to_owned())),
        SqlType::Timestamptz => timestamp::input(text, &formats.zone).map(Value::Timestamptz),
    }
}

fn invalid(sql_type: SqlType, text: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {sql_type}: \"{text}\""),
    )
}

/// A prefix of a word will do, if it is a prefix of one alone.
fn bool_input(text: &str) -> Option<bool> {
    let text = trim(text).to_ascii_lowercase();
    let prefix_of = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match text.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ if prefix_of("true", 1) || prefix_of("yes", 1) || prefix_of("on", 2) => Some(true),
        _ if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) => Some(false),
        _ => None,
    }
}

/// What C's `isspace` takes, as Postgres' input functions do.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

fn int_input(text: &str, sql_type: SqlType, min: i64, max: i64) -> Result<i64, SqlError> {
    let body = trim(text);
    let (negative, digits) = match body.as_bytes().first() {
        Some(b'-') => (true, &body[1..]),
        Some(b'+') => (false, &body[1..]),
        _ => (false, body),
    };
    let (radix, digits, lead) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..], true),
        Some("0o") => (8, &digits[2..], true),
        Some("0b") => (2, &digits[2..], true),
        _ => (10, digits, false),
    };
    // An underscore stands between two digits, or after the radix' prefix.
    let mut magnitude: i128 = 0;
    let mut after_digit = lead;
    let mut any = false;
    for c in digits.chars() {
        match c.to_digit(radix) {
            Some(digit) => {
                // Saturates far beyond every type's range.
                magnitude = (magnitude * i128::from(radix) + i128::from(digit)).min(1 << 100);
                (after_digit, any) = (true, true);
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return Err(invalid(sql_type, text)),
        }
    }
    if !any || !after_digit {
        return Err(invalid(sql_type, text));
    }
    let value = if negative { -magnitude } else { magnitude };
    match i64::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {sql_type}"),
        )),
    }
}

fn float_input(text: &str) -> Result<f64, SqlError> {
    let body = trim(text);
    let value: f64 = body.parse().map_err(|_| invalid(SqlType::Float8, text))?;
    let mantissa = body.split(['e', 'E']).next().unwrap_or_default();
    let written_as_number = body.contains(|c: char| c.is_ascii_digit());
    let lost = value.is_infinite() || (value == 0.0 && mantissa.contains(|c: char| ('1'..='9').contains(&c)));
    if written_as_number && lost {
        return Err(SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("\"{body}\" is out of range for type double precision"),
        ));
    }
    Ok(value)
}

/// Like C's `%g`: digits and a point while the exponent is moderate, scientific beyond.
fn float_output(v: f64, extra_digits: i32) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // Shortest digits are printed plainly up to 15 of them (Postgres: d2s.c); fixed ones up to their own number.
    let digits_max = (15 + extra_digits).clamp(1, 17) as usize;
    let (scientific, plain_below) = match extra_digits {
        1.. => (format!("{v:e}"), 15),
        _ => (format!("{v:.*e}", digits_max - 1), digits_max as i32),
    };
    let (mantissa, exponent) = scientific.split_once('e').expect("LowerExp writes an e");
    let exponent: i32 = exponent.parse().expect("LowerExp writes a decimal exponent");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    if (-4..plain_below).contains(&exponent) {
        let point = exponent + 1;
        return match point {
            ..=0 => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
            _ if point as usize >= digits.len() => {
                format!("{sign}{digits}{}", "0".repeat(point as usize - digits.len()))
            }
            _ => format!("{sign}{}.{}", &digits[..point as usize], &digits[point as usize..]),
        };
    }
    let fraction = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{}{fraction}e{exponent_sign}{:02}", &digits[..1], exponent.unsigned_abs())
}
