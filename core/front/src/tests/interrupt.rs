//! Cancel requests, and the end of the server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::SecretKey;

use super::wire::{Wire, bind, cancel_request, execute, parse, query, startup, sync, together};
use super::{PIPE_BYTES, Server};

const CANCELLED: &str = "Error S=ERROR C=57014 M=canceling statement due to user request";
const STOPPED: &str = "Error S=FATAL C=57P01 M=terminating connection due to administrator command";

struct Key {
    process: i32,
    secret: Vec<u8>,
}

/// A client with a table, and what is needed to cancel it.
async fn client(server: &Server) -> (Wire, Key) {
    drop(server.client_with_table(1).await);
    let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
    wire.send(startup(3, 0, &[("user", "postgres")])).await;
    let key = loop {
        if let PgWireBackendMessage::BackendKeyData(data) = wire.next().await.unwrap() {
            let SecretKey::I32(secret) = data.secret_key else { panic!("{data:?}") };
            break Key { process: data.pid, secret: secret.to_be_bytes().to_vec() };
        }
    };
    assert_eq!(wire.until_ready().await, ["ReadyForQuery I"]);
    (wire, key)
}

async fn cancel(server: &Server, key: &Key) {
    let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
    assert_eq!(wire.ask(cancel_request(key.process, &key.secret)).await, ["closed"], "no answer but the end");
}

#[test]
fn a_running_statement_is_cancelled() {
    let server = Server::start();
    server.run(async {
        let (mut client, key) = client(&server).await;
        client.send(query("SELECT pg_sleep(60)")).await;
        cancel(&server, &key).await;
        assert_eq!(client.until_ready().await[..], [CANCELLED, "ReadyForQuery I"]);
        // Once, and not what comes next.
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
        client.query("BEGIN").await;
        client
            .send(together(&[
                parse("", "SELECT pg_sleep(60)", &[]),
                bind("", "", &[], &[], &[]),
                execute("", 0),
                sync(),
            ]))
            .await;
        assert_eq!(server.shards.memory.with(tenet_types::ShardId(2), |shard| shard.commits.len()), 2);
        cancel(&server, &key).await;
        let lines = client.until_ready().await;
        assert_eq!(lines[lines.len() - 2..], [CANCELLED, "ReadyForQuery E"]);
        assert!(server.world.elapsed() < Duration::from_secs(60));
    });
}

#[test]
fn a_read_that_waits_is_cancelled() {
    let server = Server::start();
    server.run(async {
        let (mut client, key) = client(&server).await;
        for sql in ["SELECT v FROM t WHERE id = 1", "SELECT count(*) FROM t"] {
            server.shards.reads.close();
            client.send(query(sql)).await;
            server.shards.reads.someone_waits().await;
            cancel(&server, &key).await;
            assert_eq!(client.until_ready().await.last().unwrap(), "ReadyForQuery I");
            server.shards.reads.open();
            assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
        }
    });
}

#[test]
fn an_idle_connection_is_not_cancelled() {
    let server = Server::start();
    server.run(async {
        let (mut client, key) = client(&server).await;
        cancel(&server, &key).await;
        assert_eq!(client.query("SELECT pg_sleep(1)").await[1], "DataRow ");
    });
}

#[test]
fn only_the_holder_of_the_key_may_cancel() {
    let server = Server::start();
    server.run(async {
        let (mut client, key) = client(&server).await;
        client.send(query("SELECT pg_sleep(1)")).await;
        let mut longer = key.secret.clone();
        longer.push(0);
        for (process, secret) in [
            (key.process, &b"nope"[..]),
            (key.process, &b""[..]),
            (key.process ^ 1, &key.secret),
            (key.process, &longer),
        ] {
            cancel(&server, &Key { process, secret: secret.to_vec() }).await;
        }
        assert_eq!(client.until_ready().await[1], "DataRow ");
    });
}

/// F4: the commit is on its way; the client hears its result.
#[test]
fn a_commit_under_way_is_not_cancelled() {
    let server = Server::start();
    server.run(async {
        let (mut client, key) = client(&server).await;
        server.shards.commits.close();
        client.send(query("INSERT INTO t VALUES (10, 'autocommit')")).await;
        server.shards.commits.someone_waits().await;
        cancel(&server, &key).await;
        server.shards.commits.open();
        assert_eq!(client.until_ready().await, ["CommandComplete INSERT 0 1", "ReadyForQuery I"]);

        client.query("BEGIN").await;
        client.query("INSERT INTO t VALUES (11, 'block')").await;
        server.shards.commits.close();
        client.send(query("COMMIT")).await;
        server.shards.commits.someone_waits().await;
        cancel(&server, &key).await;
        server.shards.commits.open();
        assert_eq!(client.until_ready().await, ["CommandComplete COMMIT", "ReadyForQuery I"]);

        server.shards.commits.close();
        client.send(query("INSERT INTO t VALUES (12, 'a'); INSERT INTO t VALUES (13, 'b')")).await;
        server.shards.commits.someone_waits().await;
        cancel(&server, &key).await;
        server.shards.commits.open();
        assert_eq!(client.until_ready().await.last().unwrap(), "ReadyForQuery I");
        assert_eq!(server.ids().await, ["1", "10", "11", "12", "13"]);
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn rows_on_their_way_are_cancelled() {
    let server = Server::start();
    server.run(async {
        let (mut client, key) = client(&server).await;
        let values: Vec<String> = (2..2000).map(|id| format!("({id}, 'row')")).collect();
        client.query(&format!("INSERT INTO t VALUES {}", values.join(", "))).await;
        client.send(query("SELECT a.id FROM t a, t b, t c")).await;
        assert!(client.line().await.unwrap().starts_with("RowDescription"));
        assert!(client.line().await.unwrap().starts_with("DataRow"));
        cancel(&server, &key).await;
        let lines = client.until_ready().await;
        assert_eq!(lines[lines.len() - 2..], [CANCELLED, "ReadyForQuery I"]);
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn a_stop_is_told_to_everyone() {
    let server = Server::start();
    server.run(async {
        let (mut idle, (mut busy, _)) = (server.client().await, client(&server).await);
        let mut unborn = Wire::new(server.door.connect(PIPE_BYTES));
        busy.send(query("SELECT pg_sleep(60)")).await;
        let mut writer = server.client().await;
        server.shards.commits.close();
        writer.send(query("INSERT INTO t VALUES (2, 'late')")).await;
        server.shards.commits.someone_waits().await;
        server.stop.send(true).unwrap();
        assert_eq!(idle.until_ready().await, [STOPPED, "closed"]);
        assert_eq!(busy.until_ready().await, [STOPPED, "closed"]);
        assert_eq!(unborn.until_ready().await, [STOPPED, "closed"]);
        server.shards.commits.open();
        assert_eq!(
            writer.until_ready().await,
            ["CommandComplete INSERT 0 1", "ReadyForQuery I"],
            "what was committed is told"
        );
        assert_eq!(writer.until_ready().await, [STOPPED, "closed"]);
        drop((idle, busy, unborn, writer));
        while !server.ended.load(Ordering::SeqCst) {
            server.world.seam().sleep(Duration::from_millis(1)).await;
        }
        assert!(server.world.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let server = Server::with(|options| options.stop_grace = Duration::from_secs(3));
    server.run(async {
        let mut stuck = server.client_with_table(1).await;
        server.shards.commits.close();
        stuck.send(query("INSERT INTO t VALUES (2, 'never')")).await;
        server.shards.commits.someone_waits().await;
        server.stop.send(true).unwrap();
        assert_eq!(stuck.until_ready().await, ["closed"]);
        assert_eq!(server.world.elapsed(), Duration::from_secs(3));
        assert!(server.ended.load(Ordering::SeqCst));
    });
}
