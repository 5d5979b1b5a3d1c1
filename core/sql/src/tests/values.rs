//! Text of values, there and back.

use proptest::prelude::*;
use tenet_types::{SqlType, Value};

use crate::text::{Formats, input, output};
use crate::{SqlState, Zone};

fn state(sql_type: SqlType, text: &str) -> SqlState {
    input(sql_type, text, &Formats::default()).unwrap_err().state
}

fn returns(value: Value, formats: &Formats) {
    let text = output(&value, formats);
    let back = input(value.sql_type().unwrap(), &text, formats).unwrap();
    assert_eq!(back, value, "through {text:?}");
}

proptest! {
    #[test]
    fn every_value_returns_through_its_text(int: i64, float: f64, text in "[^\0]*", hours in -15i32..16, us: i64) {
        let zone = Zone::named(&hours.to_string()).unwrap();
        let formats = Formats { zone, ..Formats::default() };
        for value in [
            Value::Bool(int % 2 == 0),
            Value::Int2(int as i16),
            Value::Int4(int as i32),
            Value::Int8(int),
            Value::Float8(float),
            Value::Text(text),
            // Within Postgres' calendar.
            Value::Timestamptz(us.clamp(-210_866_803_200_000_000 + 86_400_000_000, 9_223_371_331_200_000_000 - 86_400_000_000)),
        ] {
            returns(value, &formats);
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text: String) {
        for sql_type in SqlType::ALL {
            if let Ok(value) = input(sql_type, &text, &Formats::default()) {
                output(&value, &Formats::default());
            }
        }
    }

    #[test]
    fn almost_timestamps_are_an_error_and_no_panic(text in "[0-9]{1,7}-[0-9]{1,2}-[0-9]{1,3}[ t][0-9:.]{0,12}[+-]?[0-9:]{0,6}( bc)?") {
        if let Ok(value) = input(SqlType::Timestamptz, &text, &Formats::default()) {
            returns(value, &Formats::default());
        }
    }
}

#[test]
fn floats_print_as_in_postgres() {
    let shortest = Formats::default();
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (-12345.678, "-12345.678"),
        (100000000000000.0, "100000000000000"),
        (1e15, "1e+15"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(output(&Value::Float8(value), &shortest), text);
    }
    let fewer = |digits| Formats { extra_float_digits: digits, ..Formats::default() };
    assert_eq!(output(&Value::Float8(0.1 + 0.2), &fewer(0)), "0.3");
    assert_eq!(output(&Value::Float8(1e15), &fewer(0)), "1e+15");
    assert_eq!(output(&Value::Float8(123456.0), &fewer(-12)), "1.23e+05");
    assert_eq!(output(&Value::Float8(0.0), &fewer(-15)), "0");
}

#[test]
fn what_cannot_be_read_has_the_sqlstate_of_postgres() {
    assert_eq!(state(SqlType::Int4, "x"), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(state(SqlType::Int4, ""), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(state(SqlType::Int4, "1.5"), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(state(SqlType::Int4, "1__0"), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(state(SqlType::Int2, "32768"), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    assert_eq!(state(SqlType::Int8, "-9223372036854775809"), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    assert_eq!(state(SqlType::Float8, "1e400"), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    assert_eq!(state(SqlType::Float8, "1e-400"), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    assert_eq!(state(SqlType::Float8, "1e"), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(state(SqlType::Bool, "o"), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(state(SqlType::Text, "a\0b"), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    assert_eq!(state(SqlType::Timestamptz, "tomorrow"), SqlState::INVALID_DATETIME_FORMAT);
    assert_eq!(state(SqlType::Timestamptz, "2023-02-29"), SqlState::DATETIME_FIELD_OVERFLOW);
    assert_eq!(state(SqlType::Timestamptz, "300000-01-01"), SqlState::DATETIME_FIELD_OVERFLOW);
    assert_eq!(state(SqlType::Timestamptz, "2024-01-01 00:00+17"), SqlState("22009"));
}

#[test]
fn zones_are_utc_or_hours_from_it_and_show_as_in_postgres() {
    let shown = |name| Zone::named(name).map(|zone| (zone.name, zone.offset_seconds));
    assert_eq!(shown("utc"), Some(("UTC".into(), 0)));
    assert_eq!(shown("-7"), Some(("<-07>+07".into(), -25_200)));
    assert_eq!(shown("5.5"), Some(("<+05:30>-05:30".into(), 19_800)));
    assert_eq!(shown("<+05:30>-05:30"), Some(("<+05:30>-05:30".into(), 19_800)));
    assert_eq!(shown("Europe/Berlin"), None);
    assert_eq!(shown("17"), None);
}
