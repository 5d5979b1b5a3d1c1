//! The notation by itself: tables of what is read as what, and where it breaks.

use proptest::prelude::*;

use super::arbitrary::any_value;
use crate::Value;
use crate::edn::{parse as parse_bytes, to_text};

fn parse(text: &str) -> Value {
    parse_bytes(text.as_bytes()).unwrap_or_else(|trouble| panic!("{text}: {trouble:?}"))
}

fn keyword(name: &str) -> Value {
    Value::keyword(name)
}

fn symbol(text: &str) -> Value {
    Value::Symbol(text.to_string())
}

fn number(text: &str) -> Value {
    Value::Number(text.to_string())
}

#[test]
fn forms_and_their_values() {
    let cases = [
        ("nil", Value::Nil),
        ("true", Value::Bool(true)),
        ("-17", Value::Int(-17)),
        ("+17N", Value::Int(17)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("9223372036854775808", number("9223372036854775808")),
        ("-123456789012345678901N", number("-123456789012345678901")),
        ("1.50M", number("1.50M")),
        ("-1e9", number("-1e9")),
        ("22/7", number("22/7")),
        ("##NaN", number("##NaN")),
        ("\"a\\n\\\"\\u00e9\\ud83d\\ude00\"", Value::from("a\n\"é😀")),
        (":jepsen.history/op", keyword("jepsen.history/op")),
        ("foo/bar", symbol("foo/bar")),
        ("\\newline", symbol("\\newline")),
        ("[\\( \\] \\a]", vec![symbol("\\("), symbol("\\]"), symbol("\\a")].into()),
        ("(1, 2 [])", Value::List(vec![1.into(), 2.into(), Value::List(Vec::new())])),
        ("#{2 1}", Value::Set([1.into(), 2.into()].into())),
        ("{:a 1, \"b\" #{}}", Value::Map([(keyword("a"), 1.into()), ("b".into(), Value::Set([].into()))].into())),
        (
            "#:x{:a 1 :_/b 2 :y/c 3}",
            Value::Map(["x/a", "b", "y/c"].map(keyword).into_iter().zip([1, 2, 3].map(Value::Int)).collect()),
        ),
        ("#inst \"2026\"", Value::Tagged("inst".into(), Box::new("2026".into()))),
        ("#a.B{:c nil}", Value::Tagged("a.B".into(), Box::new(Value::Map([(keyword("c"), Value::Nil)].into())))),
        ("; a comment\n #_ #_ 1 {2 [3]} 4 ; and one more", Value::Int(4)),
        ("[1 #_ 2]", vec![1].into()),
    ];
    for (text, value) in cases {
        assert_eq!(parse(text), value, "{text}");
    }
}

#[test]
fn troubles_and_their_places() {
    let cases = [
        ("", 0, "the end, expected a value", true),
        ("[1 2", 4, "the end, expected `]`", true),
        ("[1 2)", 4, "')', expected `]`", false),
        ("{1 2 3}", 6, "'}', expected the value of 3", false),
        ("{1 2 1 3}", 5, "key 1 twice in a map, expected it once", false),
        ("#{:a :a}", 5, ":a twice in a set, expected it once", false),
        ("\"ab", 3, "the end, expected the closing `\"` of a string", true),
        ("\"a\\q\"", 2, "escape 'q', expected \\n, \\u0041 or the like", false),
        ("\"\\ud83d\"", 1, "half of a surrogate pair, expected a character", false),
        ("\"\\ud83d\\u0041\"", 1, "half of a surrogate pair, expected a character", false),
        ("\"\\ude00\"", 1, "half of a surrogate pair, expected a character", false),
        ("1x", 0, "`1x`, expected a number", false),
        ("007", 0, "`007`, expected a number", false),
        ("1/", 0, "`1/`, expected a number", true),
        ("[1/]", 1, "`1/`, expected a number", false),
        ("##N", 0, "`##N`, expected ##NaN, ##Inf or ##-Inf", true),
        ("1 2", 2, "'2', expected the end", false),
        ("{:a : 1}", 4, "`:` alone, expected a keyword", false),
        ("##Foo", 0, "`##Foo`, expected ##NaN, ##Inf or ##-Inf", false),
        ("#\"a\"", 0, "# before '\"', expected a set, a tag or `#_`", false),
        ("#inst", 5, "the end, expected the value of a tag", true),
        ("#inst]", 5, "']', expected a value", false),
        ("@x", 0, "'@', expected a value", false),
        ("[1 #_]", 5, "']', expected a value", false),
    ];
    for (text, at, problem, ended) in cases {
        let trouble = parse_bytes(text.as_bytes()).expect_err(text);
        assert_eq!((trouble.at, trouble.problem.as_str(), trouble.ended), (at, problem, ended), "{text}");
    }
    let trouble = parse_bytes(b"[\"\xff\"]").unwrap_err();
    assert_eq!((trouble.at, trouble.problem.as_str()), (2, "byte 0xff, expected UTF-8"));
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", "{", "#{", "#a ", "#_ "] {
        let trouble = parse_bytes(open.repeat(100_000).as_bytes()).unwrap_err();
        assert!(trouble.problem.starts_with("nested deeper than 128"), "{open}: {trouble:?}");
    }
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert!(parse_bytes(deep.as_bytes()).is_ok());
}

#[test]
fn what_has_no_form_is_refused() {
    for value in [keyword("a b"), keyword(""), symbol("nil"), symbol("1"), number("5"), number("x"), symbol("\\ ")] {
        assert!(to_text(&value).is_err(), "{value:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_equal(value in any_value()) {
        let text = to_text(&value).unwrap();
        prop_assert_eq!(parse_bytes(text.as_bytes()).unwrap(), value, "{}", text);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Err(trouble) = parse_bytes(&bytes) {
            prop_assert!(trouble.at <= bytes.len());
        }
    }

    #[test]
    fn any_text_of_edns_own_bytes_is_a_value_or_an_error(text in r#"[\[\](){}#_:;"\\a1 ,u'/N.+-]{0,24}"#) {
        if let Ok(value) = parse_bytes(text.as_bytes()) {
            let written = to_text(&value).unwrap();
            prop_assert_eq!(parse_bytes(written.as_bytes()).unwrap(), value);
        }
    }
}
