//! Values as text under a session's settings: casts, literals and the text protocol all come here. What text is like is Postgres'
//! and is said in `tenet_types`.
//!
//! Not here: binary formats (see `front`), the names of time zones (only UTC and fixed offsets are known).

use tenet_types::{SqlType, TextError, TextOptions, Value};

use crate::error::{SqlError, SqlState};
use crate::zone::Zone;

/// Digits of a float that its 15 always have, before `extra_float_digits`; the most of both.
const FLOAT_DIGITS: i32 = 15;
const FLOAT_DIGITS_MAX: i32 = 17;

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

impl Formats {
    fn options(&self) -> TextOptions {
        let digits = (FLOAT_DIGITS + self.extra_float_digits).clamp(1, FLOAT_DIGITS_MAX);
        let float_digits = (self.extra_float_digits <= 0).then_some(digits as usize);
        TextOptions { offset_seconds: self.zone.offset_seconds, float_digits }
    }
}

/// The type's output function. NULL has no text and gives the empty string: ask first.
pub fn output(value: &Value, formats: &Formats) -> String {
    let mut text = String::new();
    value.write_text(formats.options(), &mut text).expect("a string takes all text");
    text
}

/// The type's input function.
pub fn input(sql_type: SqlType, text: &str, formats: &Formats) -> Result<Value, SqlError> {
    Value::parse_text(sql_type, text, formats.options()).map_err(SqlError::from)
}

impl From<TextError> for SqlError {
    fn from(error: TextError) -> SqlError {
        let state = match &error {
            TextError::Syntax { .. } => SqlState::INVALID_TEXT_REPRESENTATION,
            TextError::Integer { .. } | TextError::Float { .. } => SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            TextError::Timestamp { .. } => SqlState::INVALID_DATETIME_FORMAT,
            TextError::Field { .. } | TextError::TimestampRange { .. } => SqlState::DATETIME_FIELD_OVERFLOW,
            TextError::Displacement { .. } => SqlState::INVALID_TIME_ZONE_DISPLACEMENT,
            TextError::Nul => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        };
        SqlError::new(state, error.to_string())
    }
}
