//! The evaluator beside plain models of what it should say.

use futures::executor::block_on;
use proptest::prelude::*;
use tenet_types::Value;

use super::script::{Answer, Script, simple_query};
use crate::SqlState;

/// The one value of a constant select.
fn value(script: &mut Script, expression: &str) -> Result<Value, SqlState> {
    let (mut answers, result) = block_on(simple_query(script.session(), &format!("SELECT {expression}")));
    result.map_err(|error| error.state)?;
    match answers.pop() {
        Some(Answer::Rows { mut rows, .. }) => Ok(rows.remove(0).remove(0)),
        other => panic!("{other:?}"),
    }
}

fn any_int(bits: u32) -> impl Strategy<Value = i64> {
    let (min, max) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    prop_oneof![Just(min), Just(min + 1), Just(-1), Just(0), Just(1), Just(2), Just(max), min..=max]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn integer_arithmetic_is_exact_or_out_of_range(
        (left, left_bits) in prop_oneof![any_int(16).prop_map(|v| (v, 16)), any_int(32).prop_map(|v| (v, 32)), any_int(64).prop_map(|v| (v, 64))],
        (right, right_bits) in prop_oneof![any_int(16).prop_map(|v| (v, 16)), any_int(32).prop_map(|v| (v, 32)), any_int(64).prop_map(|v| (v, 64))],
        op in prop_oneof![Just('+'), Just('-'), Just('*'), Just('/'), Just('%')],
    ) {
        let bits: u32 = std::cmp::max(left_bits, right_bits);
        let (a, b) = (i128::from(left), i128::from(right));
        let expected = match op {
            '+' => Ok(a + b),
            '-' => Ok(a - b),
            '*' => Ok(a * b),
            _ if b == 0 => Err(SqlState::DIVISION_BY_ZERO),
            '/' => Ok(a / b),
            _ => Ok(a % b),
        };
        let expected = expected.and_then(|v| match bits {
            16 => i16::try_from(v).map(Value::Int2).map_err(|_| SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
            32 => i32::try_from(v).map(Value::Int4).map_err(|_| SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
            _ => i64::try_from(v).map(Value::Int8).map_err(|_| SqlState::NUMERIC_VALUE_OUT_OF_RANGE),
        });
        let name = |bits| match bits { 16 => "int2", 32 => "int4", _ => "int8" };
        let text = format!("'{left}'::{} {op} '{right}'::{}", name(left_bits), name(right_bits));
        let got = value(&mut Script::default(), &text);
        prop_assert_eq!(got.as_ref().map(Value::sql_type), expected.as_ref().map(Value::sql_type), "{}", text);
        prop_assert_eq!(got, expected, "{}", text);
    }

    #[test]
    fn like_agrees_with_the_obvious_matcher(text in "[ab%]{0,6}", pattern in "[ab%_]{0,6}") {
        fn matches(text: &[char], pattern: &[char]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some(('%', rest)) => (0..=text.len()).any(|skip| matches(&text[skip..], rest)),
                Some((p, rest)) => !text.is_empty() && (*p == '_' || *p == text[0]) && matches(&text[1..], rest),
            }
        }
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        let got = value(&mut Script::default(), &format!("'{text}' LIKE '{pattern}'")).unwrap();
        prop_assert_eq!(got, Value::Bool(matches(&chars(&text), &chars(&pattern))));
    }

    #[test]
    fn three_valued_logic_follows_its_tables(a in 0usize..3, b in 0usize..3) {
        let (words, values) = (["true", "false", "NULL::bool"], [Some(true), Some(false), None]);
        let (x, y) = (values[a], values[b]);
        let and = match (x, y) { (Some(false), _) | (_, Some(false)) => Some(false), (Some(true), Some(true)) => Some(true), _ => None };
        let or = match (x, y) { (Some(true), _) | (_, Some(true)) => Some(true), (Some(false), Some(false)) => Some(false), _ => None };
        let shown = |v: Option<bool>| v.map_or(Value::Null, Value::Bool);
        let script = &mut Script::default();
        prop_assert_eq!(value(script, &format!("{} AND {}", words[a], words[b])).unwrap(), shown(and));
        prop_assert_eq!(value(script, &format!("{} OR {}", words[a], words[b])).unwrap(), shown(or));
    }
}

#[test]
fn a_long_chain_is_answered_and_a_longer_one_refused() {
    let script = &mut Script::default();
    let chain = |n: usize| vec!["1"; n].join(" + ");
    assert_eq!(value(script, &chain(250)), Ok(Value::Int4(250)));
    assert_eq!(value(script, &chain(300)), Err(SqlState::STATEMENT_TOO_COMPLEX));
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(value(script, &nested(20)), Ok(Value::Int4(1)));
    assert_eq!(value(script, &nested(2000)), Err(SqlState::STATEMENT_TOO_COMPLEX));
    // DataFusion is given less deep trees: chains of AND are made shallow, others refused.
    assert_eq!(value(script, &format!("{} + count(DISTINCT 1)", chain(40))), Ok(Value::Int8(41)));
    assert_eq!(value(script, &format!("{} + count(DISTINCT 1)", chain(60))), Err(SqlState::STATEMENT_TOO_COMPLEX));
    let conditions = vec!["1 = 1"; 120].join(" AND ");
    assert_eq!(value(script, &format!("count(DISTINCT 1) WHERE {conditions}")), Ok(Value::Int8(1)));
    let unions = vec!["SELECT 1"; 40].join(" UNION ALL ");
    assert_eq!(value(script, &format!("count(*) FROM ({unions}) AS u")), Ok(Value::Int8(40)));
    let unions = vec!["SELECT 1"; 60].join(" UNION ALL ");
    assert_eq!(value(script, &format!("count(*) FROM ({unions}) AS u")), Err(SqlState::STATEMENT_TOO_COMPLEX));
    let mut list = String::from("5 IN (1");
    (0..20_000).for_each(|n| list += &format!(", {n} + 1"));
    assert_eq!(value(script, &(list + ")")), Ok(Value::Bool(true)));
}
