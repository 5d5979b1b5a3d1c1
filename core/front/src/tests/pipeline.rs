//! Messages sent ahead: each cycle's answer leaves when the cycle ends, whatever stands behind it.

use std::time::Duration;

use bytes::Bytes;

use super::Server;
use super::wire::{Wire, bind, execute, parse, query, sync, terminate, together};

/// As much as a test sends or is sent here: nobody waits for the other to read.
const ROOM_BYTES: usize = 1 << 20;

async fn client(server: &Server) -> Wire {
    drop(server.client_with_table(0).await);
    Wire::open(server.door.connect(ROOM_BYTES), "postgres").await
}

fn insert(id: usize) -> [Bytes; 4] {
    let sql = format!("INSERT INTO t VALUES ({id}, 'x')");
    [parse("", &sql, &[]), bind("", "", &[], &[], &[]), execute("", 0), sync()]
}

const INSERTED: [&str; 4] = ["ParseComplete", "BindComplete", "CommandComplete INSERT 0 1", "ReadyForQuery I"];

/// What `printf … | nc` does, and a driver that closes behind its last statement.
#[test]
fn terminate_behind_a_query_does_not_cost_its_answer() {
    let server = Server::start();
    server.run(async {
        let mut client = client(&server).await;
        client.send(together(&[query("INSERT INTO t VALUES (1, 'one')"), terminate()])).await;
        assert_eq!(client.until_ready().await, ["CommandComplete INSERT 0 1", "ReadyForQuery I"]);
        assert_eq!(client.until_ready().await, ["closed"]);
        assert_eq!(server.ids().await, ["1"]);
    });
}

#[test]
fn terminate_behind_a_sync_does_not_cost_the_pipeline() {
    let server = Server::start();
    server.run(async {
        let mut client = client(&server).await;
        client.send(together(&[&insert(1)[..], &insert(2), &[terminate()]].concat())).await;
        assert_eq!(client.until_ready().await, INSERTED);
        assert_eq!(client.until_ready().await, INSERTED);
        assert_eq!(client.until_ready().await, ["closed"]);
        assert_eq!(server.ids().await, ["1", "2"]);
    });
}

/// The error is an answer like another.
#[test]
fn terminate_behind_a_mistake_does_not_cost_the_error() {
    let server = Server::start();
    server.run(async {
        let mut client = client(&server).await;
        client.send(together(&[parse("", "SELEC 1", &[]), bind("", "", &[], &[], &[]), sync(), terminate()])).await;
        let lines = client.until_ready().await;
        assert!(lines[0].contains("C=42601"), "{lines:?}");
        assert_eq!(lines[1..], ["ReadyForQuery I"]);
        assert_eq!(client.until_ready().await, ["closed"]);
    });
}

#[test]
fn many_cycles_in_one_packet_are_answered_one_by_one() {
    let server = Server::start();
    server.run(async {
        let mut client = client(&server).await;
        let count = 200;
        let all: Vec<Bytes> = (1..=count).flat_map(insert).collect();
        client.send(together(&all)).await;
        for id in 1..=count {
            assert_eq!(client.until_ready().await, INSERTED, "insert {id}");
        }
        assert_eq!(server.ids().await.len(), count);
    });
}

/// The first statement is done: its client need not wait for the second to know.
#[test]
fn an_answer_does_not_wait_for_the_next_statement() {
    let server = Server::start();
    server.run(async {
        let mut client = client(&server).await;
        client.send(together(&[query("INSERT INTO t VALUES (1, 'one')"), query("SELECT pg_sleep(60)")])).await;
        assert_eq!(client.until_ready().await, ["CommandComplete INSERT 0 1", "ReadyForQuery I"]);
        assert_eq!(server.world.elapsed(), Duration::ZERO);
        assert_eq!(client.until_ready().await[1], "DataRow ");
        client.send(together(&[&insert(2)[..], &[query("SELECT pg_sleep(60)")]].concat())).await;
        assert_eq!(client.until_ready().await, INSERTED);
        assert_eq!(server.world.elapsed(), Duration::from_secs(60));
        assert_eq!(client.until_ready().await[1], "DataRow ");
    });
}
