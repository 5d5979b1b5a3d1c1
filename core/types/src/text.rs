//! Values as text: what Postgres prints for them and what it accepts.
//!
//! One code for literals in SQL, text parameters and text results, so that a value reads the same on every way in and out.
//!
//! Invariants
//!  T1  `parse_text` of what `write_text` wrote gives the value back, bit for bit (NaN as NaN), unless float digits were cut.
//!  T2  Output is Postgres' own, character for character: shortest floats, trimmed fractions of a second, the zone's offset.
//!
//! Absent: zones other than UTC and numeric offsets; words that need a clock (`now`, `today`).

mod timestamp;

pub use timestamp::{civil_from_days, days_from_civil, parse_offset, write_offset};

use std::fmt;

use crate::{SqlType, Value};

/// Text that is no value of the type. Displays as Postgres' message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("invalid input syntax for type {sql_type}: \"{text}\"")]
    Syntax { sql_type: SqlType, text: String },
    /// An integer that its type cannot hold.
    #[error("value \"{text}\" is out of range for type {sql_type}")]
    Integer { sql_type: SqlType, text: String },
    /// A float above or below what float8 can hold.
    #[error("\"{text}\" is out of range for type double precision")]
    Float { text: String },
    #[error("invalid input syntax for type timestamp with time zone: \"{text}\"")]
    Timestamp { text: String },
    /// A thirteenth month, a thirtieth of February.
    #[error("date/time field value out of range: \"{text}\"")]
    Field { text: String },
    #[error("timestamp out of range: \"{text}\"")]
    TimestampRange { text: String },
    #[error("time zone displacement out of range: \"{text}\"")]
    Displacement { text: String },
    #[error("invalid byte sequence for encoding \"UTF8\": 0x00")]
    Nul,
}

impl TextError {
    pub fn sqlstate(&self) -> &'static str {
        match self {
            TextError::Syntax { .. } => "22P02",
            TextError::Integer { .. } | TextError::Float { .. } => "22003",
            TextError::Timestamp { .. } => "22007",
            TextError::Field { .. } | TextError::TimestampRange { .. } => "22008",
            TextError::Displacement { .. } => "22009",
            TextError::Nul => "22021",
        }
    }
}

/// What a session may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// Of the zone in which timestamps are shown, and read when they name none: seconds east of Greenwich.
    pub offset_seconds: i32,
    /// Significant digits of a float, 1 to 17; `None` for the shortest that read back as the same.
    pub float_digits: Option<usize>,
}

impl Value {
    /// Appends the value as Postgres prints it. NULL appends nothing.
    pub fn write_text(&self, options: TextOptions, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Bool(v) => out.write_str(if *v { "t" } else { "f" }),
            Value::Int2(v) => write!(out, "{v}"),
            Value::Int4(v) => write!(out, "{v}"),
            Value::Int8(v) => write!(out, "{v}"),
            Value::Float8(v) => write_float(out, *v, options.float_digits),
            Value::Text(v) => out.write_str(v),
            Value::Timestamptz(v) => timestamp::write(out, *v, options.offset_seconds),
        }
    }

    /// Reads what Postgres' input function of the type would accept.
    pub fn parse_text(sql_type: SqlType, text: &str, options: TextOptions) -> Result<Value, TextError> {
        if text.contains('\0') {
            return Err(TextError::Nul);
        }
        let trimmed = text.trim_matches(is_space);
        Ok(match sql_type {
            SqlType::Bool => Value::Bool(parse_bool(trimmed).ok_or_else(|| syntax(sql_type, text))?),
            SqlType::Int2 => Value::Int2(parse_int(sql_type, text)?),
            SqlType::Int4 => Value::Int4(parse_int(sql_type, text)?),
            SqlType::Int8 => Value::Int8(parse_int(sql_type, text)?),
            SqlType::Float8 => Value::Float8(parse_float(trimmed, text)?),
            SqlType::Text => Value::Text(text.to_owned()),
            SqlType::Timestamptz => Value::Timestamptz(timestamp::parse(trimmed, text, options.offset_seconds)?),
        })
    }
}

/// C's `isspace`, by which Postgres trims.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

fn syntax(sql_type: SqlType, text: &str) -> TextError {
    TextError::Syntax { sql_type, text: text.to_owned() }
}

/// Any prefix of the words that is not also one of another's.
fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let is = |word: &str, letters_min: usize| lower.len() >= letters_min && word.starts_with(&lower);
    if is("true", 1) || is("yes", 1) || is("on", 2) || lower == "1" {
        Some(true)
    } else if is("false", 1) || is("no", 1) || is("off", 2) || lower == "0" {
        Some(false)
    } else {
        None
    }
}

/// As Postgres 16: decimal, or after `0x`, `0o`, `0b`; an underscore stands between two digits, or after such a prefix.
fn parse_int<T: TryFrom<i128>>(sql_type: SqlType, text: &str) -> Result<T, TextError> {
    let body = text.trim_matches(is_space);
    let (negative, digits) = match body.as_bytes().first() {
        Some(b'-') => (true, &body[1..]),
        Some(b'+') => (false, &body[1..]),
        _ => (false, body),
    };
    let (radix, digits, prefixed) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..], true),
        Some("0o") => (8, &digits[2..], true),
        Some("0b") => (2, &digits[2..], true),
        _ => (10, digits, false),
    };
    let mut magnitude: i128 = 0;
    let (mut after_digit, mut any) = (prefixed, false);
    for c in digits.chars() {
        match c.to_digit(radix) {
            Some(digit) => {
                // Saturates far beyond every type's range.
                magnitude = (magnitude * i128::from(radix) + i128::from(digit)).min(1 << 100);
                (after_digit, any) = (true, true);
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return Err(syntax(sql_type, text)),
        }
    }
    if !any || !after_digit {
        return Err(syntax(sql_type, text));
    }
    let value = if negative { -magnitude } else { magnitude };
    T::try_from(value).map_err(|_| TextError::Integer { sql_type, text: text.to_owned() })
}

fn parse_float(trimmed: &str, text: &str) -> Result<f64, TextError> {
    let value: f64 = trimmed.parse().map_err(|_| syntax(SqlType::Float8, text))?;
    let has_digits = trimmed.bytes().any(|b| b.is_ascii_digit());
    let mantissa = trimmed.split(['e', 'E']).next().unwrap_or(trimmed);
    let vanished = value == 0.0 && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if has_digits && (value.is_infinite() || vanished) {
        return Err(TextError::Float { text: trimmed.to_owned() });
    }
    Ok(value)
}

/// Postgres' float8out, in `%g`'s shape with an exponent of at least two digits.
fn write_float(out: &mut impl fmt::Write, v: f64, digits: Option<usize>) -> fmt::Result {
    if v.is_nan() {
        return out.write_str("NaN");
    }
    if v.is_infinite() {
        return out.write_str(if v > 0.0 { "Infinity" } else { "-Infinity" });
    }
    if v == 0.0 {
        return out.write_str(if v.is_sign_negative() { "-0" } else { "0" });
    }
    // The shortest are printed plainly up to 15 of them (Postgres' d2s.c), so many as were asked for up to their own number.
    let (scientific, plain_below) = match digits {
        None => (shortest(v.abs()), 15),
        Some(digits) => (format!("{:.*e}", digits.saturating_sub(1), v.abs()), digits as i32),
    };
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust's {:e} always has an exponent");
    let exponent: i32 = exponent.parse().expect("Rust's {:e} writes a decimal exponent");
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    // Only digits that were asked for can end with zeros, and they begin with another.
    let digits = if digits.len() > 1 { digits.trim_end_matches('0') } else { &digits };
    if v.is_sign_negative() {
        out.write_char('-')?;
    }
    if !(-4..plain_below).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        out.write_str(first)?;
        if !rest.is_empty() {
            write!(out, ".{rest}")?;
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(out, "e{sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        write!(out, "0.{:0<1$}{digits}", "", (-exponent - 1) as usize)
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            write!(out, "{digits:0<whole$}")
        } else {
            write!(out, "{}.{}", &digits[..whole], &digits[whole..])
        }
    }
}

/// Shortest digits of a positive finite float, as `d.ddde±x`, by Postgres' choice: unlike Rust it does not accept a
/// decimal exactly halfway between two floats, though reading rounds it to the right one (1e23 prints as
/// 9.999999999999999e+22).
fn shortest(v: f64) -> String {
    let text = format!("{v:e}");
    if !is_halfway(&text) {
        return text;
    }
    let digits = text.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    for precision in digits - 1..17 {
        let longer = format!("{v:.precision$e}");
        if !is_halfway(&longer) && longer.parse() == Ok(v) {
            return longer;
        }
    }
    text
}

/// Is this decimal exactly between two adjacent floats? Then it is an odd number of 54 bits times a power of two.
fn is_halfway(scientific: &str) -> bool {
    let (mantissa, exponent) = scientific.split_once('e').expect("made by {:e}");
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().expect("made by {:e}");
    let power = exponent - (digits.len() as i32 - 1);
    let mut odd: u128 = digits.parse().expect("at most 18 digits");
    // A 54-bit odd number of at most 17 digits has no room for more factors of five than this, on either side.
    if !(-1..=23).contains(&power) {
        return false;
    }
    if power < 0 {
        if !odd.is_multiple_of(5) {
            return false;
        }
        odd /= 5;
    } else {
        odd *= 5u128.pow(power as u32);
    }
    odd >>= odd.trailing_zeros();
    128 - odd.leading_zeros() == 54
}

#[cfg(test)]
mod tests;
