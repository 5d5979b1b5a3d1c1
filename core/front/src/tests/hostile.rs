//! Bytes that no honest client sends (F2): one clear error at most, and everyone else is served.

use proptest::prelude::*;

use super::wire::{Wire, bind, execute, message, parse, query, startup, sync, together};
use super::{PIPE_BYTES, Server, transcript};

#[test]
fn broken_framing_ends_the_connection_with_one_error() {
    let server = Server::start();
    server.run(async {
        let mut neighbour = server.client().await;
        let mut steps = Vec::new();
        for (name, bytes) in [
            ("unknown type", message(b'!', b"x")),
            ("a server's message", message(b'Z', b"I")),
            ("password without being asked", message(b'p', b"secret\0")),
            ("length below its own", b"Q\0\0\0\x03".to_vec().into()),
            ("negative length", b"Q\xff\xff\xff\xff".to_vec().into()),
            ("more than anything", b"Q\x7f\xff\xff\xff".to_vec().into()),
            ("long Sync", message(b'S', &[0; 10_001])),
            ("long Describe", message(b'D', &[b'x'; 20_000])),
            ("SSL request too late", wire_ssl_request()),
        ] {
            let mut client = server.client().await;
            steps.push((name, client.ask(bytes).await));
            assert_eq!(neighbour.query("SELECT 1").await[1], "DataRow 1");
        }
        insta::assert_snapshot!(transcript(&steps));
    });
}

fn wire_ssl_request() -> bytes::Bytes {
    super::wire::packet(&80_877_103u32.to_be_bytes())
}

#[test]
fn malformed_bodies_are_errors_and_the_connection_goes_on() {
    let server = Server::start();
    server.run(async {
        let mut client = server.client().await;
        let mut steps = Vec::new();
        for (name, bytes) in [
            ("query without end", message(b'Q', b"SELECT 1")),
            ("query with more after its end", message(b'Q', b"SELECT 1\0SELECT 2\0")),
            ("query that is not UTF-8", message(b'Q', b"SELECT '\xf0\x28'\0")),
            ("empty query message", message(b'Q', b"")),
            ("Sync with a body", message(b'S', b"x")),
            ("parse with missing types", together(&[message(b'P', b"\0SELECT 1\0\0\x05"), sync()])),
            ("bind with a huge count", together(&[message(b'B', b"\0\0\xff\xff"), sync()])),
            (
                "bind with a length beyond its end",
                together(&[message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"), sync()]),
            ),
            ("bind with a length of -2", together(&[message(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"), sync()])),
        ] {
            steps.push((name, client.ask(bytes).await));
        }
        insta::assert_snapshot!(transcript(&steps));
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn a_long_message_is_refused_and_the_connection_goes_on() {
    let server = Server::with(|options| options.message_bytes_max = 1000);
    server.run(async {
        let mut client = server.client().await;
        let error = "Error S=ERROR C=54000 M=message of 1001 bytes exceeds the limit of 1000 bytes";
        let sql = format!("SELECT '{}'", "x".repeat(1001 - 10));
        assert_eq!(client.query(&sql).await, [error, "ReadyForQuery I"]);
        let lines = client.query(&sql[1..]).await;
        assert!(lines[0].contains("C=42601"), "one byte less is heard: {lines:?}");
        let long = parse("", &format!("SELECT '{}'", "x".repeat(1001 - 13)), &[]);
        assert_eq!(
            client.ask(together(&[long, bind("", "", &[], &[], &[]), execute("", 0), sync()])).await,
            [error, "ReadyForQuery I"]
        );
        assert_eq!(client.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn clients_that_break_off_leave_nothing_behind() {
    let server = Server::with(|options| options.connections_max = 1);
    server.run(async {
        server.client_with_table(1).await;
        let whole =
            together(&[startup(3, 0, &[("user", "postgres")]), query("BEGIN"), query("INSERT INTO t VALUES (2, 'x')")]);
        for cut in (0..whole.len()).step_by(7) {
            let mut client = Wire::new(server.door.connect(1 << 16));
            client.send(&whole[..cut]).await;
            drop(client);
            // The place is free again, and the transaction is gone.
            let seen = loop {
                let mut next = Wire::new(server.door.connect(PIPE_BYTES));
                let lines = next.ask(startup(3, 0, &[("user", "postgres")])).await;
                if lines.last().unwrap() == "ReadyForQuery I" {
                    break next.query("SELECT count(*) FROM t").await;
                }
                assert!(lines[0].contains("C=53300"), "{lines:?}");
            };
            assert_eq!(seen[1], "DataRow 1");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes after a good start, the server lives and its neighbour is served.
    #[test]
    fn noise_harms_nobody(
        noise in prop::collection::vec(
            prop_oneof![
                4 => prop::collection::vec(any::<u8>(), 0..20).prop_map(bytes::Bytes::from),
                4 => ("[QPBDECHSXFdcf]", prop::collection::vec(any::<u8>(), 0..20))
                    .prop_map(|(kind, body)| message(kind.as_bytes()[0], &body)),
                1 => Just(query("SELECT 1")),
                1 => Just(together(&[parse("", "SELECT $1::int4", &[]), bind("", "", &[], &[Some(b"1")], &[])])),
                1 => Just(together(&[execute("", 1), sync()])),
            ],
            0..8,
        ),
        begun in any::<bool>(),
    ) {
        let server = Server::start();
        server.run(async {
            let mut neighbour = server.client().await;
            let stream = server.door.connect(1 << 20);
            let mut client = if begun { Wire::open(stream, "postgres").await } else { Wire::new(stream) };
            client.send(together(&noise)).await;
            client.finish().await;
            prop_assert_eq!(&neighbour.query("SELECT 1").await[1], "DataRow 1");
            Ok(())
        })?;
    }
}
