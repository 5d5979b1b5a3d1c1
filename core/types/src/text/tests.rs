//! What Postgres 15 printed and accepted, asked of it and written down; and there-and-back for anything.

use proptest::prelude::*;

use crate::{SqlType, TextOptions, Value};

fn print(value: &Value) -> String {
    let mut text = String::new();
    value.write_text(TextOptions::default(), &mut text).unwrap();
    text
}

/// The value printed again, or the SQLSTATE and message.
fn read(sql_type: SqlType, text: &str) -> String {
    match Value::parse_text(sql_type, text, TextOptions::default()) {
        Ok(value) => print(&value),
        Err(error) => format!("{}: {error}", error.sqlstate()),
    }
}

fn check(sql_type: SqlType, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(read(sql_type, text), *expected, "{sql_type} from {text:?}");
    }
}

#[test]
fn floats_print_as_in_postgres() {
    for line in include_str!("floats.txt").lines().filter(|l| !l.starts_with('#')) {
        let (bits, expected) = line.split_once(' ').unwrap();
        let value = Value::Float8(f64::from_bits(u64::from_str_radix(bits, 16).unwrap()));
        assert_eq!(print(&value), expected, "{line}");
    }
}

#[test]
fn floats_read_as_in_postgres() {
    check(
        SqlType::Float8,
        &[
            ("-0", "-0"),
            ("9007199254740993", "9.007199254740992e+15"),
            ("1e23", "9.999999999999999e+22"),
            ("999999999999999.9", "999999999999999.9"),
            ("inf", "Infinity"),
            ("-INFINITY", "-Infinity"),
            ("nan", "NaN"),
            ("+nan", "NaN"),
            (".5", "0.5"),
            ("5.", "5"),
            (" +1e2 ", "100"),
            ("1e400", "22003: \"1e400\" is out of range for type double precision"),
            ("1e-400", "22003: \"1e-400\" is out of range for type double precision"),
            ("0e-400", "0"),
            ("abc", "22P02: invalid input syntax for type double precision: \"abc\""),
            ("1_0", "22P02: invalid input syntax for type double precision: \"1_0\""),
            ("", "22P02: invalid input syntax for type double precision: \"\""),
        ],
    );
}

#[test]
fn integers_read_as_in_postgres() {
    check(
        SqlType::Int4,
        &[
            (" 12 ", "12"),
            ("+7", "7"),
            ("-0", "0"),
            ("-2147483648", "-2147483648"),
            ("2147483648", "22003: value \"2147483648\" is out of range for type integer"),
            ("12x", "22P02: invalid input syntax for type integer: \"12x\""),
            ("", "22P02: invalid input syntax for type integer: \"\""),
            ("- 1", "22P02: invalid input syntax for type integer: \"- 1\""),
        ],
    );
    check(
        SqlType::Int2,
        &[("-32768", "-32768"), ("99999", "22003: value \"99999\" is out of range for type smallint")],
    );
    check(
        SqlType::Int8,
        &[
            ("9223372036854775807", "9223372036854775807"),
            ("99999999999999999999", "22003: value \"99999999999999999999\" is out of range for type bigint"),
        ],
    );
}

#[test]
fn booleans_read_as_in_postgres() {
    for yes in ["t", "TRUE", " tr ", "y", "yes", "on", "1"] {
        assert_eq!(read(SqlType::Bool, yes), "t", "{yes:?}");
    }
    for no in ["f", "False", "n", "no", "of", "off", "0"] {
        assert_eq!(read(SqlType::Bool, no), "f", "{no:?}");
    }
    for bad in ["o", "maybe", "", "10", "truer"] {
        assert_eq!(read(SqlType::Bool, bad), format!("22P02: invalid input syntax for type boolean: \"{bad}\""));
    }
}

#[test]
fn timestamps_read_and_print_as_in_postgres() {
    check(
        SqlType::Timestamptz,
        &[
            ("2024-02-29 12:34:56.789", "2024-02-29 12:34:56.789+00"),
            ("2000-01-01", "2000-01-01 00:00:00+00"),
            ("1999-12-31 23:59:59.999999+00", "1999-12-31 23:59:59.999999+00"),
            ("2024-06-01T10:00:00Z", "2024-06-01 10:00:00+00"),
            ("2024-06-01 10:00:00+02", "2024-06-01 08:00:00+00"),
            ("2024-06-01 10:00:00 -05:30", "2024-06-01 15:30:00+00"),
            ("0001-01-01 00:00:00", "0001-01-01 00:00:00+00"),
            ("0001-01-01 00:00:00 BC", "0001-01-01 00:00:00+00 BC"),
            ("12345-06-07 00:00:00+00", "12345-06-07 00:00:00+00"),
            ("infinity", "infinity"),
            ("-Infinity", "-infinity"),
            ("epoch", "1970-01-01 00:00:00+00"),
            ("2024-06-01 24:00:00", "2024-06-02 00:00:00+00"),
            ("2024-06-01 10:00", "2024-06-01 10:00:00+00"),
            ("2024-06-01 10:00:60", "2024-06-01 10:01:00+00"),
            ("2024-06-01 10:00:00.1234567", "2024-06-01 10:00:00.123457+00"),
            ("2024-06-01 10:00:00.", "2024-06-01 10:00:00+00"),
            ("20240601", "2024-06-01 00:00:00+00"),
            ("20240601T101112", "2024-06-01 10:11:12+00"),
            ("2024-06-01 10:00:00.5 UTC", "2024-06-01 10:00:00.5+00"),
            ("4713-11-24 00:00:00 BC", "4713-11-24 00:00:00+00 BC"),
            ("2024-06-01 10:00:00+0530", "2024-06-01 04:30:00+00"),
            ("2024-06-01 10:00:00+15:59:59", "2024-05-31 18:00:01+00"),
            ("2024-1-2 3:4:5", "2024-01-02 03:04:05+00"),
            (" 2024-06-01  10:00:00 ", "2024-06-01 10:00:00+00"),
            ("2024-13-01", "22008: date/time field value out of range: \"2024-13-01\""),
            ("2023-02-29", "22008: date/time field value out of range: \"2023-02-29\""),
            ("2024-06-01 25:00:00", "22008: date/time field value out of range: \"2024-06-01 25:00:00\""),
            ("2024-06-01 10:60:00", "22008: date/time field value out of range: \"2024-06-01 10:60:00\""),
            ("2024-06-01 10:00:00+16", "22009: time zone displacement out of range: \"2024-06-01 10:00:00+16\""),
            ("999999-01-01", "22008: timestamp out of range: \"999999-01-01\""),
            ("hello", "22007: invalid input syntax for type timestamp with time zone: \"hello\""),
            ("2024-06-01 :00", "22007: invalid input syntax for type timestamp with time zone: \"2024-06-01 :00\""),
            ("2024-06-01 10", "22007: invalid input syntax for type timestamp with time zone: \"2024-06-01 10\""),
            (
                "2024-06-01 10:00:00 XX",
                "22007: invalid input syntax for type timestamp with time zone: \"2024-06-01 10:00:00 XX\"",
            ),
            ("2024-06-01T", "22007: invalid input syntax for type timestamp with time zone: \"2024-06-01T\""),
            ("", "22007: invalid input syntax for type timestamp with time zone: \"\""),
        ],
    );
}

#[test]
fn text_refuses_nul_and_keeps_spaces() {
    check(
        SqlType::Text,
        &[(" a ", " a "), ("", ""), ("a\0b", "22021: invalid byte sequence for encoding \"UTF8\": 0x00")],
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::Int2),
        any::<i32>().prop_map(Value::Int4),
        any::<i64>().prop_map(Value::Int8),
        any::<u64>().prop_map(|bits| Value::Float8(f64::from_bits(bits))),
        (-1e9..1e9f64).prop_map(Value::Float8),
        "[^\0]*".prop_map(Value::Text),
        (-210_866_803_200_000_000..i64::MAX).prop_map(Value::Timestamptz),
        (0..4_102_444_800_000_000i64).prop_map(Value::Timestamptz),
    ]
}

proptest! {
    #[test]
    fn what_was_written_reads_back(value in any_value()) {
        let text = print(&value);
        let read = Value::parse_text(value.sql_type().unwrap(), &text, TextOptions::default()).unwrap();
        prop_assert_eq!(&read, &value, "{}", text);
        if let (Value::Float8(a), Value::Float8(b)) = (&read, &value) {
            prop_assert!(a.is_nan() || a.to_bits() == b.to_bits());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-+0-9:.TZ eBCinf]{0,30}") {
        for sql_type in SqlType::ALL {
            if let Ok(value) = Value::parse_text(sql_type, &text, TextOptions::default()) {
                prop_assert_eq!(value.sql_type(), Some(sql_type));
            }
        }
    }
}
