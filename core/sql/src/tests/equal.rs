//! One engine, two ways: statements with a plan of our own also run without, and give the same, and depend on the same.

use futures::executor::block_on;
use tenet_types::{ReadSet, Value};

use super::script::{Answer, SHARD, Script, simple_query};
use crate::{Column, SqlState};

const TABLE: &str = "CREATE TABLE t (a int, b text, i2 int2, i4 int4, i8 int8, f float8, s varchar(9), p bool, at timestamptz, \
    PRIMARY KEY (a, b))";
const ROWS: &str = "INSERT INTO t VALUES \
    (1, 'x', 32767, 2147483647, 9223372036854775807, 1e308, 'abc', true, '2024-01-01 12:00Z'), \
    (1, 'y', -32768, '-2147483648', '-9223372036854775808', 'NaN', '', false, 'epoch'), \
    (2, 'x', 0, 0, 0, 0, 'a%b', NULL, NULL), \
    (3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)";

type Told = Result<(Vec<Column>, Vec<Vec<Value>>, String), SqlState>;

fn told(script: &mut Script, sql: &str) -> Told {
    let (mut answers, result) = block_on(simple_query(script.session(), sql));
    result.map_err(|error| error.state)?;
    Ok(match answers.pop().unwrap() {
        Answer::Rows { columns, mut rows, tag } => {
            rows.sort();
            (columns, rows, tag)
        }
        Answer::Done { tag, .. } => (Vec::new(), Vec::new(), tag),
    })
}

fn both(own_plans: bool) -> Script {
    let mut script = Script::default();
    told(&mut script, TABLE).unwrap();
    told(&mut script, ROWS).unwrap();
    script.set_own_plans(own_plans);
    script
}

/// Of every kind that our evaluator knows.
const EXPRESSIONS: [&str; 69] = [
    "a",
    "b",
    "i2 + 1",
    "i4 + 1",
    "i8 + 1",
    "i2 - i4",
    "i2 * 2",
    "i4 / 0",
    "i4 % 0",
    "i8 / -1",
    "i8 % -1",
    "- i8",
    "- i4",
    "f * 10",
    "f / 0",
    "f + 1",
    "i4 + f",
    "s || b",
    "s || a",
    "a || s",
    "i4 = 0",
    "i4 < i8",
    "f > i4",
    "f = f",
    "s LIKE 'a%'",
    "s LIKE 'a\\%b'",
    "s NOT LIKE '%'",
    "p AND i4 = 0",
    "p OR i4 = 0",
    "NOT p",
    "p IS NULL",
    "p IS NOT TRUE",
    "s IS DISTINCT FROM b",
    "i4 IN (0, NULL)",
    "i4 NOT IN (0, 1)",
    "i4 BETWEEN -1 AND 1",
    "CASE WHEN p THEN i4 ELSE i2 END",
    "CASE i4 WHEN 0 THEN 'z' END",
    "coalesce(i8, i4, 5)",
    "coalesce(s, 'none')",
    "nullif(i4, 0)",
    "i8::text",
    "f::text",
    "p::text",
    "at::text",
    "i4::float8",
    "f::int",
    "i8::int4",
    "s::int",
    "'7'::int + i4",
    "abs(i2)",
    "abs(i4)",
    "abs(i8)",
    "abs(f)",
    "length(s)",
    "lower(s)",
    "upper(s)",
    "at",
    "at = 'epoch'",
    "at < '2024-01-01'",
    "1",
    "NULL",
    "'x'",
    "1.5",
    "true",
    "3000000000",
    "now() = now()",
    "a + 2147483647",
    "i2 + 32767::int2",
];

/// Statements on the whole table or a part of it.
const SCANS: [&str; 29] = [
    "SELECT * FROM t",
    "SELECT a, b, i8 FROM t WHERE i4 > 0",
    "SELECT * FROM t WHERE p",
    "SELECT a FROM t WHERE p OR i2 IS NULL",
    "SELECT a FROM t WHERE a = 1",
    "SELECT b FROM t WHERE a IN (1, 3) AND b >= 'x'",
    "SELECT b FROM t WHERE a > 1",
    "SELECT b FROM t WHERE a BETWEEN 2 AND 3 AND b < 'y'",
    "SELECT b FROM t WHERE 2 > a AND 0 < a",
    "SELECT b FROM t WHERE a > 5000000000",
    "SELECT b FROM t WHERE a < NULL",
    "SELECT b FROM t WHERE false",
    "SELECT i4 / i8 FROM t",
    "SELECT i8 + 1 FROM t",
    "SELECT a FROM t LIMIT 0",
    "SELECT a FROM t OFFSET 4",
    "SELECT a, b FROM t ORDER BY a, b LIMIT 2 OFFSET 1",
    "SELECT a, b, i8 FROM t ORDER BY i8 LIMIT 1",
    "SELECT a, b FROM t ORDER BY s DESC, a LIMIT 2",
    "SELECT f FROM t ORDER BY f DESC LIMIT 1 OFFSET 1",
    "SELECT count(*), count(i4), count(p), sum(i2), sum(i4), min(i8), max(i8), min(s), max(at) FROM t",
    "SELECT sum(f), min(f), max(f) FROM t WHERE a <> 1",
    "SELECT max(f) FROM t",
    "SELECT sum(i8) FROM t",
    "SELECT sum(i8), sum(f) FROM t WHERE i4 > 0",
    "SELECT sum(f * 1.5) FROM t WHERE f > 0",
    "SELECT count(*) FROM t WHERE i4 = 7",
    "SELECT sum(i4), min(b) FROM t WHERE false",
    "SELECT sum(i4) + count(*) AS x, 7 FROM t WHERE a < 3 LIMIT 1",
];

#[test]
fn chosen_statements_give_the_same_with_and_without_own_plans() {
    let by_key = EXPRESSIONS.iter().flat_map(|expression| {
        let keys = [(1, "x"), (1, "y"), (2, "x"), (3, "")];
        keys.map(|(a, b)| format!("SELECT {expression} FROM t WHERE a = {a} AND b = '{b}'"))
    });
    let by_scan = EXPRESSIONS.iter().map(|expression| format!("SELECT a, {expression} FROM t"));
    let mut wrong = Vec::new();
    let (mut on, mut off) = (both(true), both(false));
    for sql in by_key.chain(by_scan).chain(SCANS.map(str::to_owned)) {
        let (x, y) = (told(&mut on, &sql), told(&mut off, &sql));
        if x != y {
            wrong.push(format!("{sql}\n  own      {x:?}\n  analytic {y:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a transaction that ran the statement depends on when it commits.
fn read_set(script: &mut Script, sql: &str) -> ReadSet {
    for sql in ["BEGIN", sql, "INSERT INTO u VALUES (2, 2)", "COMMIT"] {
        told(script, sql).unwrap();
    }
    script.memory.with(SHARD, |shard| shard.commits.last().unwrap().1.reads.clone())
}

#[test]
fn a_scan_plan_depends_on_what_the_analytic_way_depends_on() {
    for statement in [
        "SELECT * FROM t",
        "SELECT a FROM t WHERE i4 = 7",
        "SELECT a FROM t WHERE a = 1",
        "SELECT a FROM t WHERE a = 99",
        "SELECT count(*) FROM t WHERE i4 = 7 AND a = 99",
        "SELECT count(*) FROM empty",
        "SELECT k FROM empty",
        "SELECT a FROM t LIMIT 2",
        "SELECT a FROM t WHERE i4 IS NOT NULL LIMIT 1",
        "SELECT a FROM t ORDER BY i4 LIMIT 1",
    ] {
        let sets = [true, false].map(|own_plans| {
            let mut script = both(own_plans);
            for sql in [
                "CREATE TABLE u (k int PRIMARY KEY, n int)",
                "CREATE TABLE empty (k int PRIMARY KEY)",
                "INSERT INTO u VALUES (1, 1)",
            ] {
                told(&mut script, sql).unwrap();
            }
            // Several pages, and so a limit that ends before the table.
            script.memory.with(SHARD, |shard| shard.page_rows_max = Some(3));
            read_set(&mut script, statement)
        });
        let [own, analytic] = &sets;
        assert!(!own.spans.is_empty(), "{statement}");
        assert_eq!(own, analytic, "{statement}");
    }
}

#[test]
fn a_scan_plan_depends_on_no_more_than_its_part_of_the_key() {
    for (statement, rows) in [
        ("SELECT s FROM t WHERE a > 1 AND a <= 3", [(1, false), (2, true), (3, true), (4, false)]),
        ("SELECT s FROM t WHERE a >= 2", [(1, false), (2, true), (3, true), (4, true)]),
        ("SELECT s FROM t WHERE a IN (1, 4)", [(1, true), (2, false), (3, false), (4, true)]),
        ("SELECT s FROM t WHERE a = 4 AND b > 'x'", [(1, false), (2, false), (3, false), (4, true)]),
        ("SELECT s FROM t WHERE a = 4 AND b > 'z'", [(1, false), (2, false), (3, false), (4, false)]),
        ("SELECT s FROM t ORDER BY a LIMIT 2", [(1, true), (2, false), (3, false), (4, false)]),
    ] {
        let mut script = both(true);
        told(&mut script, "CREATE TABLE u (k int PRIMARY KEY, n int)").unwrap();
        let reads = read_set(&mut script, statement);
        let database = block_on(script.engine.databases.open("postgres")).unwrap();
        let (catalog, _) = block_on(script.engine.catalog(&database)).unwrap();
        let table = catalog.table("t").unwrap();
        for (a, depends) in rows {
            let key = table.key_builder().push(&Value::Int4(a)).push(&Value::Text("y".to_owned())).build();
            assert_eq!(reads.spans.iter().any(|span| span.contains(&key)), depends, "{statement}: a = {a}");
        }
    }
}
