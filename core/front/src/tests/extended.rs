//! The extended protocol, message by message.

use super::wire::{Wire, bind, close, describe, execute, flush, message, parse, query, sync, together};
use super::{Server, transcript};

async fn ask(client: &mut Wire, messages: &[bytes::Bytes]) -> Vec<String> {
    client.ask(together(messages)).await
}

#[test]
fn parse_bind_describe_execute() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(3).await;
        let select = "SELECT id, v FROM t WHERE id = $1";
        let mut steps = Vec::new();
        steps.push((
            "named statement, described",
            ask(&mut client, &[parse("s", select, &[]), describe(b'S', "s"), sync()]).await,
        ));
        steps.push((
            "bound in text, result in binary and text",
            ask(&mut client, &[bind("", "s", &[], &[Some(b"2")], &[1, 0]), describe(b'P', ""), execute("", 0), sync()])
                .await,
        ));
        steps.push((
            "bound in binary, result in binary",
            ask(&mut client, &[bind("", "s", &[1], &[Some(&3i32.to_be_bytes())], &[1]), execute("", 0), sync()]).await,
        ));
        steps.push((
            "bound to NULL",
            ask(&mut client, &[bind("", "s", &[], &[None], &[]), execute("", 0), sync()]).await,
        ));
        steps.push((
            "no rows to describe",
            ask(
                &mut client,
                &[
                    parse("", "DELETE FROM t WHERE id = $1", &[20]),
                    describe(b'S', ""),
                    bind("", "", &[], &[Some(b"77")], &[]),
                    describe(b'P', ""),
                    execute("", 0),
                    sync(),
                ],
            )
            .await,
        ));
        steps.push((
            "empty statement",
            ask(
                &mut client,
                &[
                    parse("", " -- nothing", &[]),
                    describe(b'S', ""),
                    bind("", "", &[], &[], &[]),
                    describe(b'P', ""),
                    execute("", 0),
                    sync(),
                ],
            )
            .await,
        ));
        steps.push((
            "RETURNING",
            ask(
                &mut client,
                &[
                    parse("", "INSERT INTO t VALUES ($1, $2) RETURNING id", &[]),
                    describe(b'S', ""),
                    bind("", "", &[0, 1], &[Some(b"50"), Some(b"fifty")], &[]),
                    execute("", 0),
                    sync(),
                ],
            )
            .await,
        ));
        steps.push((
            "closed, and what was never there",
            ask(&mut client, &[close(b'S', "s"), close(b'S', "s"), close(b'P', "never"), sync()]).await,
        ));
        insta::assert_snapshot!(transcript(&steps));
    });
}

#[test]
fn all_types_in_text_and_binary() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client().await;
        client
            .query("CREATE TABLE a (b bool, s int2, i int4 PRIMARY KEY, l int8, f float8, t text, c varchar(9), z timestamptz)")
            .await;
        let insert = "INSERT INTO a VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let text: [Option<&[u8]>; 8] = [
            Some(b"yes"),
            Some(b"-32768"),
            Some(b"1"),
            Some(b"9223372036854775807"),
            Some(b"1e22"),
            Some("gr\u{fc}n".as_bytes()),
            Some(b""),
            Some(b"2024-02-29 13:00:00.5+01"),
        ];
        let mut steps = Vec::new();
        steps.push(("types are inferred", ask(&mut client, &[parse("i", insert, &[]), describe(b'S', "i"), sync()]).await));
        steps.push(("text in", ask(&mut client, &[bind("", "i", &[], &text, &[]), execute("", 0), sync()]).await));
        let z = (762_523_200_000_000i64 - 1).to_be_bytes();
        let binary: [Option<&[u8]>; 8] = [
            Some(&[0]),
            Some(&[0x7f, 0xff]),
            Some(&[0, 0, 0, 2]),
            Some(&[0x80, 0, 0, 0, 0, 0, 0, 0]),
            Some(&[0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
            Some(b"bytes"),
            None,
            Some(&z),
        ];
        steps.push(("binary in", ask(&mut client, &[bind("", "i", &[1], &binary, &[]), execute("", 0), sync()]).await));
        let select = parse("o", "SELECT * FROM a ORDER BY i", &[]);
        steps.push(("text out", ask(&mut client, &[select, bind("", "o", &[], &[], &[0]), describe(b'P', ""), execute("", 0), sync()]).await));
        steps.push(("binary out", ask(&mut client, &[bind("", "o", &[], &[], &[1]), execute("", 0), sync()]).await));
        steps.push(("declared types are kept", ask(&mut client, &[
            parse("", "INSERT INTO a (i, c, t) VALUES ($1, $2, $3)", &[23, 1043, 705]),
            describe(b'S', ""),
            sync(),
        ]).await));
        insta::assert_snapshot!(transcript(&steps));
    });
}

#[test]
fn rows_come_in_portions() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(5).await;
        let mut steps = Vec::new();
        steps.push((
            "in one pipeline",
            ask(
                &mut client,
                &[
                    parse("s", "SELECT id FROM t ORDER BY id", &[]),
                    bind("p", "s", &[], &[], &[]),
                    execute("p", 2),
                    execute("p", 2),
                    execute("p", 2),
                    execute("p", 2),
                    sync(),
                ],
            )
            .await,
        ));
        steps.push((
            "the portal ends with Sync outside of a transaction",
            ask(&mut client, &[bind("p", "s", &[], &[], &[]), execute("p", 2), sync(), execute("p", 2), sync()]).await,
        ));
        steps.push(("and is not found after it", client.until_ready().await));
        steps.push(("BEGIN", client.query("BEGIN").await));
        steps.push((
            "it lasts in a transaction",
            ask(&mut client, &[bind("p", "s", &[], &[], &[]), execute("p", 5), sync()]).await,
        ));
        steps
            .push(("exactly all rows are not yet known to be all", ask(&mut client, &[execute("p", 5), sync()]).await));
        steps.push(("COMMIT", client.query("COMMIT").await));
        steps.push(("and ends with it", ask(&mut client, &[execute("p", 0), sync()]).await));
        insta::assert_snapshot!(transcript(&steps));
    });
}

#[test]
fn a_write_is_not_run_twice() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(0).await;
        let lines = ask(
            &mut client,
            &[
                parse("", "INSERT INTO t VALUES (1, 'one')", &[]),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                execute("", 0),
                sync(),
            ],
        )
        .await;
        assert_eq!(lines[2], "CommandComplete INSERT 0 1");
        assert_eq!(lines[3], "Error S=ERROR C=55000 M=portal \"\" cannot be run");
        assert!(server.ids().await.is_empty(), "the pipeline was one transaction");
    });
}

#[test]
fn a_pipeline_is_one_transaction() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(0).await;
        let insert = |id: &'static str| {
            [parse("", &format!("INSERT INTO t VALUES ({id}, 'x')"), &[]), bind("", "", &[], &[], &[]), execute("", 0)]
        };
        let mut steps = Vec::new();
        let all = [&insert("1")[..], &insert("2"), &[sync()]].concat();
        steps.push(("two inserts", ask(&mut client, &all).await));
        assert_eq!(server.ids().await, ["1", "2"]);
        let all = [&insert("3")[..], &insert("1"), &insert("4"), &[query("SELECT 1"), sync()]].concat();
        steps.push(("the second fails: nothing is kept, nothing runs before Sync", ask(&mut client, &all).await));
        assert_eq!(server.ids().await, ["1", "2"]);
        let all = [&insert("3")[..], &[sync()], &insert("1"), &[sync()], &insert("4"), &[sync()]].concat();
        client.send(together(&all)).await;
        for name in ["three pipelines: the first", "the second fails", "the third"] {
            steps.push((name, client.until_ready().await));
        }
        assert_eq!(server.ids().await, ["1", "2", "3", "4"]);
        let begin = |sql| [parse("", sql, &[]), bind("", "", &[], &[], &[]), execute("", 0)];
        let all = [&insert("5")[..], &begin("BEGIN"), &insert("6"), &[sync()]].concat();
        steps.push(("BEGIN within", ask(&mut client, &all).await));
        assert_eq!(server.ids().await, ["1", "2", "3", "4"]);
        let all = [&begin("COMMIT")[..], &insert("7"), &insert("1"), &[sync()]].concat();
        steps.push(("COMMIT within", ask(&mut client, &all).await));
        assert_eq!(server.ids().await, ["1", "2", "3", "4", "5", "6"]);
        insta::assert_snapshot!(transcript(&steps));
    });
}

/// Commits are counted at the shard: a statement that Sync follows, however its bytes arrive, is not wrapped in anything.
#[test]
fn one_statement_alone_commits_by_itself() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(0).await;
        for (id, piece_bytes) in [(1, 1), (2, 3), (3, 1000)] {
            let sql = format!("CREATE DATABASE made_{id}");
            let all =
                together(&[parse("", &sql, &[]), bind("", "", &[], &[], &[]), execute("", 0), close(b'P', ""), sync()]);
            for piece in all.chunks(piece_bytes) {
                client.send(piece).await;
            }
            let lines = client.until_ready().await;
            assert_eq!(lines[2], "CommandComplete CREATE DATABASE", "{lines:?}");
        }
    });
}

#[test]
fn flush_brings_what_there_is() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(2).await;
        client.send(together(&[parse("", "SELECT id FROM t ORDER BY id", &[]), describe(b'S', ""), flush()])).await;
        assert_eq!(client.line().await.unwrap(), "ParseComplete");
        assert_eq!(client.line().await.unwrap(), "ParameterDescription []");
        assert!(client.line().await.unwrap().starts_with("RowDescription id"));
        client.send(together(&[bind("", "", &[], &[], &[]), execute("", 0), flush()])).await;
        assert_eq!(client.line().await.unwrap(), "BindComplete");
        assert_eq!(client.line().await.unwrap(), "DataRow 1");
        assert_eq!(client.line().await.unwrap(), "DataRow 2");
        assert_eq!(client.line().await.unwrap(), "CommandComplete SELECT 2");
        assert_eq!(client.ask(sync()).await, ["ReadyForQuery I"]);
    });
}

#[test]
fn mistakes_are_told_and_skipped_to_sync() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(1).await;
        let one = || parse("one", "SELECT id FROM t WHERE id = $1", &[]);
        assert_eq!(ask(&mut client, &[one(), sync()]).await, ["ParseComplete", "ReadyForQuery I"]);
        let mut steps = Vec::new();
        for (name, messages) in [
            ("statement exists", vec![one()]),
            ("two commands", vec![parse("", "SELECT 1; SELECT 2", &[])]),
            ("syntax", vec![parse("", "SELEC 1", &[]), bind("", "", &[], &[], &[])]),
            ("unsupported parameter type", vec![parse("", "SELECT $1", &[1700])]),
            ("no such statement", vec![bind("", "nosuch", &[], &[], &[])]),
            ("no unnamed statement", vec![describe(b'S', "")]),
            ("no such portal", vec![execute("nosuch", 0)]),
            ("no portal to describe", vec![describe(b'P', "nosuch")]),
            ("portal exists", vec![bind("p", "one", &[], &[None], &[]), bind("p", "one", &[], &[None], &[])]),
            ("too few parameters", vec![bind("", "one", &[], &[], &[])]),
            ("parameter formats", vec![bind("", "one", &[0, 1], &[None], &[])]),
            ("result formats", vec![bind("", "one", &[], &[None], &[0, 1, 0])]),
            ("bad format", vec![bind("", "one", &[2], &[None], &[])]),
            ("bad text", vec![bind("", "one", &[], &[Some(b"x")], &[])]),
            ("bad binary", vec![bind("", "one", &[1], &[Some(b"x")], &[])]),
            ("bad target", vec![message(b'D', b"X\0")]),
            ("bad body", vec![message(b'E', b"p")]),
            ("bytes left over", vec![message(b'H', b"x")]),
            ("long execute", vec![message(b'E', &[b"p".repeat(50), b"\0\0\0\0\0".to_vec()].concat())]),
        ] {
            steps.push((name, ask(&mut client, &[&messages[..], &[query("SELECT 1"), sync()]].concat()).await));
        }
        insta::assert_snapshot!(transcript(&steps));
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn a_failed_block_stays_failed_until_it_ends() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client_with_table(0).await;
        client.query("BEGIN").await;
        let mut steps = Vec::new();
        steps.push(("error", ask(&mut client, &[parse("", "SELECT nosuch", &[]), sync()]).await));
        steps.push(("statement", ask(&mut client, &[parse("", "SELECT 1", &[]), sync()]).await));
        steps.push((
            "rollback",
            ask(&mut client, &[parse("", "ROLLBACK", &[]), bind("", "", &[], &[], &[]), execute("", 0), sync()]).await,
        ));
        insta::assert_snapshot!(transcript(&steps));
    });
}
