//! Query strings.

use super::wire::message;
use super::{Server, transcript};

#[test]
fn statements_and_their_answers() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(3).await;
        let mut steps = Vec::new();
        for sql in [
            "SELECT id, v FROM t WHERE id = 2",
            "SELECT id FROM t WHERE id = 9",
            "INSERT INTO t VALUES (4, NULL) RETURNING v, id",
            "UPDATE t SET v = 'x' WHERE id > 2",
            "DELETE FROM t WHERE id = 4",
            "",
            " ; -- nothing\n;",
            "SELECT nosuch FROM t",
            "SELECT * FROM nosuch",
            "SELEC 1",
            "INSERT INTO t VALUES (1, 'again')",
            "SELECT $1",
            "SET application_name = 'renamed'",
            "SHOW application_name",
            "COPY t FROM STDIN",
            "COMMIT",
            "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)",
            "EXPLAIN SELECT v FROM t WHERE id = 1",
        ] {
            steps.push((sql, client.query(sql).await));
        }
        insta::assert_snapshot!(transcript(&steps));
    });
}

#[test]
fn the_transaction_is_told_with_each_answer() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(1).await;
        let mut steps = Vec::new();
        for sql in [
            "BEGIN",
            "INSERT INTO t VALUES (2, 'two')",
            "BEGIN",
            "SELECT nosuch",
            "SELECT 1",
            "SELECT 1; SELECT 2",
            "COMMIT",
            "SELECT count(*) FROM t",
            "BEGIN",
            "INSERT INTO t VALUES (2, 'two')",
            "COMMIT",
            "SELECT count(*) FROM t",
        ] {
            steps.push((sql, client.query(sql).await));
        }
        insta::assert_snapshot!(transcript(&steps));
    });
}

#[test]
fn a_string_of_statements_is_all_or_nothing() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(0).await;
        let mut steps = Vec::new();
        for sql in [
            "INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); SELECT count(*) FROM t",
            "INSERT INTO t VALUES (3, 'c'); SELECT nosuch; INSERT INTO t VALUES (4, 'd')",
            "INSERT INTO t VALUES (3, 'c'); SELEC 1",
            "BEGIN; INSERT INTO t VALUES (5, 'e')",
            "COMMIT; INSERT INTO t VALUES (6, 'f')",
            "INSERT INTO t VALUES (7, 'g'); COMMIT; SELECT nosuch",
        ] {
            steps.push((sql, client.query(sql).await));
        }
        insta::assert_snapshot!(transcript(&steps));
        assert_eq!(server.ids().await, ["1", "2", "5", "6", "7"]);
    });
}

#[test]
fn function_calls_and_stray_copy_data() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client().await;
        assert_eq!(
            client.ask(message(b'F', b"\0\0\x07\xd0\0\0\0\0\0\0")).await,
            ["Error S=ERROR C=0A000 M=the function call message is not supported", "ReadyForQuery I"]
        );
        for kind in [b'd', b'c', b'f'] {
            client.send(message(kind, b"x\0")).await;
        }
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

/// Far more than the stream holds: the server waits for its reader.
#[test]
fn a_long_result_waits_for_its_reader() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(3000).await;
        let lines = client.query("SELECT a.id FROM t a, t b WHERE b.id <= 10 ORDER BY a.id").await;
        assert_eq!(lines.len(), 30_000 + 3);
        assert_eq!(lines[30_000], "DataRow 3000");
        assert_eq!(lines[30_001], "CommandComplete SELECT 30000");
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn databases_are_apart() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(1).await;
        assert_eq!(client.query("CREATE DATABASE other").await[0], "CommandComplete CREATE DATABASE");
        let mut other = super::Wire::open(server.door.connect(100), "other").await;
        let error = &other.query("SELECT * FROM t").await[0];
        assert!(error.contains("C=42P01"), "{error}");
    });
}

/// `\d t` as psql sends it, each query with the oid that the first one's answer gave.
#[test]
fn psql_describes_a_table() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(0).await;
        let recorded = include_str!("../../../sql/psql/15-17/describe.sql").replace("'^(accounts)$'", "'^(t)$'");
        let queries: Vec<&str> = recorded.split("-- query\n").skip(1).collect();
        let mut steps = vec![("find", client.query(queries[0]).await)];
        let oid = steps[0].1[1].split([' ', '|']).nth(1).unwrap().to_owned();
        for sql in &queries[1..] {
            let sql = sql.replace("'16388'", &format!("'{oid}'"));
            steps.push(("next", client.query(&sql).await));
        }
        insta::assert_snapshot!(transcript(&steps));
        let error = &client.query("SELECT * FROM pg_catalog.pg_roles").await[0];
        assert!(error.contains("C=0A000") && error.contains("pg_roles"), "{error}");
    });
}
