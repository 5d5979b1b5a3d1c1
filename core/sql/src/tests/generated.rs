//! Generated statements, two ways: by a plan of our own and the analytic way. Same rows, names and types of columns, SQLSTATE.
//!
//! Expressions are of two kinds. *Total* ones never fail, and may be nested as they like. *Partial* ones may overflow, divide by
//! zero or meet text that is no number; a statement has one, outermost but for a comparison with something total: what is
//! computed first, or at all, beside AND, OR and LIMIT, is not promised, here or in Postgres.

use std::sync::Mutex;

use futures::executor::block_on;
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::RngSeed;
use tenet_types::Value;

use super::script::{Answer, Script, simple_query};
use crate::SqlState;
use crate::text::{Formats, output};

const TABLE: &str = "CREATE TABLE t (a int, b text, i2 int2, i4 int4, i8 int8, f float8, s text, p bool, at timestamptz, \
    PRIMARY KEY (a, b))";

/// Edges of each type, alone and together.
const ROWS: [&str; 9] = [
    "(1, 'x', 32767, 2147483647, 9223372036854775807, 1e308, 'abc', true, '2024-01-01 12:00Z')",
    "(1, 'y', -32768, '-2147483648', '-9223372036854775808', 'NaN', '', false, 'epoch')",
    "(2, 'x', 0, 0, 0, 0, 'a%b', NULL, NULL)",
    "(2, 'y', -1, -1, -1, -0.0, '-1', true, 'infinity')",
    "(3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "(3, 'é', 1, 1, 1, 'Infinity', 'É_%', false, '-infinity')",
    "(4, 'x', 7, 7, 7, '-Infinity', '7', NULL, '1999-12-31 23:59:59.999999+00')",
    "(4, 'y', 2, 2, 2, 5e-324, 'LONG', true, '294246-12-31 23:59:59.999999Z')",
    "(5, 'z', NULL, 3, 3, 2.5, 'ABC', false, '0001-01-01 00:00:00Z')",
];

fn words(words: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(words).prop_map(str::to_owned).boxed()
}

/// Of a pattern whose `_` are taken from the strategies in order.
fn shape<const N: usize>(pattern: &'static str, parts: [BoxedStrategy<String>; N]) -> BoxedStrategy<String> {
    let parts: Vec<_> = parts.into_iter().collect();
    let fill = move |values: Vec<String>| {
        let mut pieces = pattern.split('_');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (value, piece) in values.into_iter().zip(pieces) {
            text = text + &value + piece;
        }
        text
    };
    parts.prop_map(fill).boxed()
}

/// Strategies of total expressions up to a depth, one per type.
#[derive(Clone)]
struct Total {
    int: BoxedStrategy<String>,
    float: BoxedStrategy<String>,
    text: BoxedStrategy<String>,
    truth: BoxedStrategy<String>,
    time: BoxedStrategy<String>,
}

fn any_of(all: Vec<BoxedStrategy<String>>) -> BoxedStrategy<String> {
    Union::new(all).boxed()
}

fn atoms() -> Total {
    Total {
        int: words(&[
            "a",
            "i2",
            "i4",
            "i8",
            "i2",
            "i4",
            "i8",
            "0",
            "1",
            "-1",
            "7",
            "2147483647",
            "3000000000",
            "-2147483648",
            "9223372036854775807",
            "(-32768)::int2",
            "NULL::int",
            "NULL::int8",
        ]),
        float: words(&[
            "f",
            "f",
            "f",
            "0.0",
            "'-0'::float8",
            "1.5",
            "-2.5",
            "1e308",
            "5e-324",
            "'NaN'::float8",
            "'Infinity'::float8",
            "'-Infinity'::float8",
            "NULL::float8",
        ]),
        text: words(&["s", "s", "b", "''", "'abc'", "'a%b'", "'É'", "'it''s'", "NULL::text"]),
        truth: words(&["p", "p", "true", "false", "NULL::bool"]),
        time: words(&[
            "at",
            "at",
            "'epoch'::timestamptz",
            "'infinity'::timestamptz",
            "'2024-01-01 12:00Z'::timestamptz",
            "'1969-12-31 23:59:59.5Z'::timestamptz",
            "NULL::timestamptz",
        ]),
    }
}

fn total(depth: u32) -> Total {
    if depth == 0 {
        return atoms();
    }
    let (t, atoms) = (total(depth - 1), atoms());
    let (int, float, text, truth, time) =
        (|| t.int.clone(), || t.float.clone(), || t.text.clone(), || t.truth.clone(), || t.time.clone());
    let compare = || words(&["=", "<>", "<", "<=", ">", ">="]);
    Total {
        int: any_of(vec![
            atoms.int.clone(),
            shape("coalesce(_, _)", [int(), int()]),
            shape("CASE WHEN _ THEN _ ELSE _ END", [truth(), int(), int()]),
            shape("nullif(_, _)", [int(), int()]),
            shape("length(_)", [text()]),
            shape("(_)::int8", [int()]),
            shape("(_ % 7)", [int()]),
            shape("(_)::int", [truth()]),
        ]),
        float: any_of(vec![
            atoms.float.clone(),
            shape("coalesce(_, _)", [float(), float()]),
            shape("coalesce(_, _)", [int(), float()]),
            shape("CASE WHEN _ THEN _ END", [truth(), float()]),
            shape("(_)::float8", [int()]),
            shape("abs(_)", [float()]),
            shape("(- _)", [float()]),
        ]),
        text: any_of(vec![
            atoms.text.clone(),
            shape("(_ || _)", [text(), text()]),
            shape("(_ || _)", [text(), int()]),
            shape("coalesce(_, 'none')", [text()]),
            shape("CASE _ WHEN _ THEN _ ELSE _ END", [int(), int(), text(), text()]),
            shape("lower(_)", [text()]),
            shape("upper(_)", [text()]),
            shape("(_)::text", [any_of(vec![int(), float(), truth(), time(), text()])]),
            shape("(_)::varchar(2)", [text()]),
            shape("nullif(_, _)", [text(), text()]),
        ]),
        truth: any_of(vec![
            atoms.truth.clone(),
            shape("(_ _ _)", [int(), compare(), int()]),
            shape("(_ _ _)", [any_of(vec![int(), float()]), compare(), float()]),
            shape("(_ _ _)", [text(), compare(), text()]),
            shape("(_ _ _)", [time(), compare(), time()]),
            shape("(_ _ _)", [truth(), compare(), truth()]),
            shape("(_ _ NULL)", [int(), compare()]),
            shape("(_ AND _)", [truth(), truth()]),
            shape("(_ OR _ OR _)", [truth(), truth(), truth()]),
            shape("(NOT _)", [truth()]),
            shape("(_ IS _ NULL)", [any_of(vec![int(), text(), time()]), words(&["", "NOT"])]),
            shape("(_ IS _ _)", [truth(), words(&["", "NOT"]), words(&["TRUE", "FALSE", "UNKNOWN"])]),
            shape("(_ IS _ DISTINCT FROM _)", [int(), words(&["", "NOT"]), int()]),
            shape("(_ IS _ DISTINCT FROM _)", [float(), words(&["", "NOT"]), float()]),
            shape(
                "(_ _ IN (_, _, _))",
                [int(), words(&["", "NOT"]), int(), int(), words(&["NULL", "7", "5000000000"])],
            ),
            shape("(_ _ IN (_, 'abc'))", [text(), words(&["", "NOT"]), text()]),
            shape("(_ _ IN (_, 'epoch'))", [time(), words(&["", "NOT"]), time()]),
            shape("(_ _ BETWEEN _ AND _)", [int(), words(&["", "NOT"]), int(), int()]),
            shape("(_ BETWEEN _ AND '2024-06-01')", [time(), time()]),
            shape(
                "(_ _ LIKE _)",
                [text(), words(&["", "NOT"]), words(&["'a%'", "'%'", "'_'", "'a\\%b'", "s", "'%B%'"])],
            ),
        ]),
        time: any_of(vec![
            atoms.time.clone(),
            shape("coalesce(_, _)", [time(), time()]),
            shape("CASE WHEN _ THEN _ ELSE _ END", [truth(), time(), time()]),
        ]),
    }
}

/// A number that may fail.
fn partial_number(t: &Total) -> BoxedStrategy<String> {
    let (int, float) = (|| t.int.clone(), || t.float.clone());
    any_of(vec![
        shape("(_ _ _)", [int(), words(&["+", "-", "*", "/", "%"]), int()]),
        shape("(_ _ _)", [float(), words(&["+", "-", "*", "/"]), any_of(vec![int(), float()])]),
        shape("(- _)", [int()]),
        shape("abs(_)", [int()]),
        shape("(_)::int2", [any_of(vec![int(), float()])]),
        shape("(_)::int4", [any_of(vec![int(), float()])]),
        shape("(_)::int8", [float()]),
        // Not of a literal, which is read when the statement is planned.
        shape("(s || _)::int", [t.text.clone()]),
        shape("(s || _)::float8", [t.text.clone()]),
    ])
}

/// The same, or what it is compared with.
fn partial(t: &Total) -> BoxedStrategy<String> {
    let (int, float, number) = (|| t.int.clone(), || t.float.clone(), partial_number(t));
    any_of(vec![
        number.clone(),
        shape("(_ _ _)", [number.clone(), words(&["=", "<", ">="]), any_of(vec![int(), float(), words(&["NULL"])])]),
        shape("(_ _ _)", [any_of(vec![int(), float(), words(&["NULL"])]), words(&["=", "<", ">="]), number.clone()]),
        shape("(_ IS NULL)", [number]),
    ])
}

/// A statement, and whether its order is promised.
fn statement() -> BoxedStrategy<(String, bool)> {
    let t = total(2);
    let item = any_of(vec![t.int.clone(), t.float.clone(), t.text.clone(), t.truth.clone(), t.time.clone()]);
    let items = || prop::collection::vec(item.clone(), 1..4).prop_map(|items| items.join(", ")).boxed();
    let at_key = || {
        let key = (1..=5, prop::sample::select(&["x", "y", "z", "", "é"][..]));
        key.prop_map(|(a, b)| format!("a = {a} AND b = '{b}'")).boxed()
    };
    let in_part = || {
        any_of(vec![
            words(&[
                "a = 2",
                "a IN (4, 1, 9)",
                "a > 2",
                "a >= 2 AND a < 4",
                "a BETWEEN 3 AND 4",
                "a < 9 AND 2 <= a",
                "a > NULL",
                "a = 4 AND b > 'x'",
                "a IN (1, 2) AND b <= 'x'",
                "a > 3000000000",
                "true",
                "a = 2 AND a = 3",
                "a IN (2, NULL)",
            ]),
            t.truth.clone(),
        ])
    };
    let sum = any_of(vec![shape("sum(_)", [t.int.clone()]), shape("sum(_)", [t.float.clone()])]);
    let extreme = |all: &[&BoxedStrategy<String>]| {
        let all = all.iter().map(|one| shape("_(_)", [words(&["min", "max"]), (*one).clone()]));
        any_of(all.collect())
    };
    let aggregate = any_of(vec![
        words(&["count(*)"]),
        shape("count(_)", [item.clone()]),
        sum.clone(),
        extreme(&[&t.int, &t.float, &t.text, &t.time]),
        shape("coalesce(_, -1)", [sum]),
    ]);
    let aggregates = prop::collection::vec(aggregate, 1..4).prop_map(|all| all.join(", ")).boxed();
    let unordered = any_of(vec![
        shape("SELECT _ FROM t WHERE _", [items(), at_key()]),
        shape("SELECT _ FROM t WHERE _ AND _", [items(), at_key(), t.truth.clone()]),
        shape("SELECT _ FROM t WHERE _", [items(), in_part()]),
        shape("SELECT _ FROM t WHERE _ AND _", [items(), in_part(), t.truth.clone()]),
        shape("SELECT *, _ FROM t AS u", [items()]),
        shape("SELECT _ FROM t WHERE _", [aggregates.clone(), in_part()]),
        shape("SELECT _ FROM t", [aggregates]),
        shape("SELECT _ FROM t WHERE _", [partial(&t), at_key()]),
        shape("SELECT _ FROM t", [partial(&t)]),
        shape("SELECT a FROM t WHERE _ = 1", [partial_number(&t)]),
        shape(
            "SELECT _",
            [any_of(vec![words(&["1", "NULL", "'x'"]), words(&["1 / 0", "2147483647 + 1", "count(*)"])])],
        ),
    ]);
    let keys = any_of(vec![t.int.clone(), t.float.clone(), t.text.clone(), t.truth.clone(), t.time.clone()]);
    let direction = || words(&["", "DESC", "NULLS FIRST", "DESC NULLS LAST"]);
    let limit = || words(&["", "LIMIT 3", "LIMIT 2 OFFSET 1", "OFFSET 4", "LIMIT 0", "LIMIT NULL"]);
    let ordered = any_of(vec![
        shape("SELECT a, _ FROM t WHERE _ ORDER BY t.a, t.b _", [items(), in_part(), limit()]),
        shape(
            "SELECT b, _ FROM t ORDER BY CASE WHEN a < 5 THEN _ END _, t.a DESC, t.b _",
            [items(), keys, direction(), limit()],
        ),
        shape("SELECT i4, f AS x FROM t ORDER BY 2 _, i4, t.a, t.b _", [direction(), limit()]),
    ]);
    prop_oneof![3 => unordered.prop_map(|sql| (sql, false)), 1 => ordered.prop_map(|sql| (sql, true))].boxed()
}

type Told = Result<(Vec<String>, Vec<Vec<String>>), SqlState>;

fn told(script: &mut Script, sql: &str, ordered: bool) -> Told {
    let (mut answers, result) = block_on(simple_query(script.session(), sql));
    result.map_err(|error| error.state)?;
    let Some(Answer::Rows { columns, rows, .. }) = answers.pop() else { panic!("no rows: {sql}") };
    let shown = |value: &Value| match value {
        Value::Null => "∅".to_owned(),
        // Of 0 and -0, which are equal, min, max and groups may show either.
        Value::Float8(v) if *v == 0.0 => "0".to_owned(),
        value => output(value, &Formats::default()),
    };
    let mut rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    if !ordered {
        rows.sort();
    }
    Ok((columns.into_iter().map(|c| format!("{}:{}", c.name, c.sql_type)).collect(), rows))
}

fn script(own_plans: bool) -> Script {
    let mut script = Script::default();
    let rows = format!("INSERT INTO t VALUES {}", ROWS.join(", ").replace("LONG", &"Long".repeat(100)));
    for sql in [TABLE, &rows] {
        block_on(simple_query(script.session(), sql)).1.unwrap();
    }
    script.set_own_plans(own_plans);
    script
}

#[test]
fn generated_statements_give_the_same_with_and_without_own_plans() {
    // One script for all cases: statements only read.
    let both = Mutex::new((script(true), script(false)));
    let config = ProptestConfig {
        cases: std::env::var("CASES").map_or(400, |n| n.parse().unwrap()),
        rng_seed: RngSeed::Fixed(std::env::var("SEED").map_or(7, |n| n.parse().unwrap())),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |((sql, ordered) in statement())| {
        let mut both = both.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (own, analytic) = &mut *both;
        let (x, y) = (told(own, &sql, ordered), told(analytic, &sql, ordered));
        prop_assert_eq!(x, y, "\n{}", sql);
    });
}
