//! What is stopped, and what is too large: each says so once, and the session serves afterwards.

use std::pin::pin;
use std::time::Duration;

use futures::executor::block_on;
use futures::{StreamExt, poll};
use tenet_types::Value;

use super::script::{Answer, SHARD, Script, simple_query};
use crate::{EngineOptions, Outcome, SqlState, TransactionStatus};

/// Rows of [`full`], and what each holds.
const ROWS: usize = 300;
const TEXT_BYTES: usize = 1000;

/// A table whose scan has many pages and waits at each.
fn full(options: EngineOptions) -> Script {
    let mut script = Script::new(options);
    answers(&mut script, "CREATE TABLE t (k int PRIMARY KEY, s text)").unwrap();
    for from in (0..ROWS).step_by(100) {
        let rows: Vec<String> = (from..from + 100).map(|k| format!("({k}, '{}')", "x".repeat(TEXT_BYTES))).collect();
        answers(&mut script, &format!("INSERT INTO t VALUES {}", rows.join(", "))).unwrap();
    }
    script.memory.with(SHARD, |shard| {
        shard.page_rows_max = Some(10);
        shard.scans_wait = true;
    });
    script
}

fn answers(script: &mut Script, sql: &str) -> Result<Vec<Answer>, SqlState> {
    let (answers, result) = block_on(simple_query(script.session(), sql));
    result.map(|()| answers).map_err(|error| error.state)
}

fn serves(script: &mut Script) {
    let told = answers(script, "SELECT count(*) FROM t");
    assert!(
        matches!(told.as_deref(), Ok([Answer::Rows { rows, .. }]) if *rows == [[Value::Int8(ROWS as i64)]]),
        "{told:?}"
    );
}

/// Long ones, by our own evaluator in each of its ways, and by DataFusion at its scans and beyond them; and how often each has waited
/// when it is well under way.
const LONG: [(&str, usize); 8] = [
    ("SELECT * FROM t", 5),
    ("SELECT count(*) FROM t WHERE s > 'y'", 5),
    ("SELECT k FROM t ORDER BY s, k", 5),
    ("SELECT s, count(*) FROM t GROUP BY s", 5),
    ("SELECT count(*) FROM t AS x, t AS y, t AS z", 200),
    ("WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i FROM r) SELECT count(*) FROM r", 20),
    ("UPDATE t SET s = 'z' WHERE k + 1 > 0", 5),
    ("INSERT INTO t SELECT k + 1000, s FROM t WHERE k NOT IN (SELECT k + 1 FROM t)", 5),
];

/// Begins the statement, does something while it waits, and gives its SQLSTATE.
fn stopped(script: &mut Script, (sql, waits): (&str, usize), stop: impl FnOnce()) -> Option<SqlState> {
    block_on(async {
        let mut running = pin!(simple_query(script.session(), sql));
        for wait in 0..waits {
            assert!(poll!(&mut running).is_pending(), "{sql} waits {wait} times only");
        }
        stop();
        running.await.1.err().map(|error| error.state)
    })
}

#[test]
fn a_long_statement_is_cancelled() {
    let mut script = full(EngineOptions::default());
    for long in LONG {
        let cancel = script.session().cancel_handle();
        assert_eq!(stopped(&mut script, long, || cancel.cancel()), Some(SqlState::QUERY_CANCELED), "{}", long.0);
        serves(&mut script);
    }
}

#[test]
fn a_long_statement_meets_its_timeout() {
    let mut script = full(EngineOptions::default());
    answers(&mut script, "SET statement_timeout = '1s'").unwrap();
    for long in LONG {
        let clock = script.clock.clone();
        let stop = || clock.advance(Duration::from_secs(2));
        assert_eq!(stopped(&mut script, long, stop), Some(SqlState::QUERY_CANCELED), "{}", long.0);
        serves(&mut script);
    }
}

#[test]
fn a_cancelled_block_has_failed_and_can_be_rolled_back() {
    let mut script = full(EngineOptions::default());
    answers(&mut script, "BEGIN").unwrap();
    answers(&mut script, "DELETE FROM t WHERE k = 1").unwrap();
    let cancel = script.session().cancel_handle();
    assert_eq!(stopped(&mut script, LONG[0], || cancel.cancel()), Some(SqlState::QUERY_CANCELED));
    assert_eq!(script.session().status(), TransactionStatus::Failed);
    answers(&mut script, "ROLLBACK").unwrap();
    serves(&mut script);
}

#[test]
fn a_transaction_over_its_bound_is_refused() {
    let mut script = full(EngineOptions::default());
    let insert = |from: usize| {
        let rows = (from..from + 4).map(|k| format!("({k}, '{}')", "x".repeat(100_000)));
        format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", "))
    };
    answers(&mut script, "BEGIN").unwrap();
    answers(&mut script, &insert(1000)).unwrap();
    answers(&mut script, &insert(2000)).unwrap();
    assert_eq!(answers(&mut script, &insert(3000)).unwrap_err(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    assert_eq!(script.session().status(), TransactionStatus::Failed);
    answers(&mut script, "ROLLBACK").unwrap();
    serves(&mut script);
    let copy = "INSERT INTO t SELECT 1000 + a.k * 300 + b.k, a.s FROM t AS a, t AS b WHERE b.k < 5";
    assert_eq!(answers(&mut script, copy).unwrap_err(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    serves(&mut script);
}

/// Less than the table, more than a page of it.
fn poor() -> EngineOptions {
    EngineOptions { statement_memory_bytes_max: ROWS * TEXT_BYTES / 3, ..EngineOptions::default() }
}

#[test]
fn a_statement_over_its_memory_is_refused() {
    let mut script = full(poor());
    for sql in [
        "SELECT k FROM t ORDER BY s, k DESC",
        "SELECT s FROM t WHERE k >= 0 ORDER BY k + 1 LIMIT 290",
        "SELECT x.k FROM t AS x JOIN t AS y ON x.s = y.s ORDER BY x.s || y.s",
        "SELECT s || k, count(*) FROM t GROUP BY s || k",
    ] {
        assert_eq!(answers(&mut script, sql).unwrap_err(), SqlState::OUT_OF_MEMORY, "{sql}");
        serves(&mut script);
    }
    // Of a sort with a limit only that many rows are held.
    let told = answers(&mut script, "SELECT k FROM t ORDER BY s, k DESC LIMIT 3").unwrap();
    let three = [[Value::Int4(299)], [Value::Int4(298)], [Value::Int4(297)]];
    assert!(matches!(told.as_slice(), [Answer::Rows { rows, .. }] if *rows == three), "{told:?}");
}

#[test]
fn a_result_larger_than_memory_streams() {
    for sql in
        ["SELECT s, k FROM t", "SELECT s, k FROM t ORDER BY k", "SELECT s, k FROM t UNION ALL SELECT s, k FROM t"]
    {
        let mut script = full(poor());
        script.memory.with(SHARD, |shard| shard.requests = Default::default());
        let memory = script.memory.clone();
        let scans = || memory.with(SHARD, |shard| shard.requests.scans);
        let session = script.session();
        block_on(async {
            let parsed = session.parse(sql).unwrap().remove(0);
            let prepared = session.prepare(parsed, &[]).await.unwrap();
            let Outcome::Rows { mut rows, .. } = session.execute(&prepared, Vec::new()).await.unwrap() else {
                panic!("{sql} gives no rows")
            };
            assert!(scans() <= 2, "{sql} read ahead: {} pages", scans());
            let (mut count, mut most) = (0, 0);
            while let Some(batch) = rows.next().await {
                let batch = batch.unwrap();
                (count, most) = (count + batch.len(), most.max(batch.len()));
            }
            assert!(count >= ROWS && most <= ROWS / 10, "{sql}: {count} rows, {most} at once");
        });
        serves(&mut script);
    }
}
