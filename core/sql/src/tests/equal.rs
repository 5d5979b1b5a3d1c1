//! One engine, two ways: statements with a point plan also run with it switched off, and give the same.

use futures::executor::block_on;
use tenet_types::{SqlType, Value};

use super::script::{Answer, Script, simple_query};
use crate::SqlState;

const TABLE: &str = "CREATE TABLE t (a int, b text, i2 int2, i4 int4, i8 int8, f float8, s text, p bool, at timestamptz, \
    PRIMARY KEY (a, b))";
const ROWS: &str = "INSERT INTO t VALUES \
    (1, 'x', 32767, 2147483647, 9223372036854775807, 1e308, 'abc', true, '2024-01-01 12:00Z'), \
    (1, 'y', -32768, '-2147483648', '-9223372036854775808', 'NaN', '', false, 'epoch'), \
    (2, 'x', 0, 0, 0, 0, 'a%b', NULL, NULL), \
    (3, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)";

type Told = Result<(Vec<(String, SqlType)>, Vec<Vec<Value>>, String), SqlState>;

fn told(script: &mut Script, sql: &str) -> Told {
    let (mut answers, result) = block_on(simple_query(script.session(), sql));
    result.map_err(|error| error.state)?;
    Ok(match answers.pop().unwrap() {
        Answer::Rows { columns, mut rows, tag } => {
            rows.sort();
            (columns.into_iter().map(|c| (c.name, c.sql_type)).collect(), rows, tag)
        }
        Answer::Done { tag, .. } => (Vec::new(), Vec::new(), tag),
    })
}

fn both(point_plans: bool) -> Script {
    let mut script = Script::default();
    told(&mut script, TABLE).unwrap();
    told(&mut script, ROWS).unwrap();
    script.set_point_plans(point_plans);
    script
}

#[test]
fn chosen_statements_give_the_same_with_and_without_point_plans() {
    let expressions = [
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
    let mut wrong = Vec::new();
    let (mut on, mut off) = (both(true), both(false));
    for expression in expressions {
        for (a, b) in [(1, "x"), (1, "y"), (2, "x"), (3, "")] {
            let sql = format!("SELECT {expression} FROM t WHERE a = {a} AND b = '{b}'");
            let (x, y) = (told(&mut on, &sql), told(&mut off, &sql));
            if x != y {
                wrong.push(format!("{sql}\n  point    {x:?}\n  analytic {y:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
