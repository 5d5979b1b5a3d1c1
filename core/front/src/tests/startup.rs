//! From the first byte to the first ReadyForQuery, or to the refusal.

use std::time::Duration;

use pgwire::messages::{PgWireBackendMessage, ProtocolVersion};

use super::wire::{Wire, cancel_request, packet, startup};
use super::{PIPE_BYTES, Server, transcript};

const SSL_REQUEST: [u8; 4] = 80_877_103u32.to_be_bytes();
const GSS_REQUEST: [u8; 4] = 80_877_104u32.to_be_bytes();

/// What comes back for one packet on a new connection.
async fn first(server: &Server, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
    wire.ask(bytes).await
}

#[test]
fn a_session_begins() {
    let server = Server::start();
    let lines = server
        .run(first(&server, startup(3, 0, &[("user", "ada"), ("database", "acme"), ("application_name", "test")])));
    insta::assert_snapshot!(transcript(&[("startup 3.0", lines)]));
}

#[test]
fn a_client_that_comes_too_early_is_told() {
    let server = Server::start();
    server.run(async {
        let engine = server.engine.send_replace(None);
        let lines = first(&server, startup(3, 0, &[("user", "ada"), ("database", "acme")])).await;
        assert!(lines[0].starts_with("Error S=FATAL C=57P03 M=the node is starting"), "{lines:?}");
        assert_eq!(lines[1..], ["closed"]);
        server.engine.send_replace(engine);
        assert_eq!(server.client().await.query("SELECT 1").await[1], "DataRow 1");
    });
}

#[test]
fn encryption_is_declined_and_the_client_goes_on() {
    let server = Server::start();
    server.run(async {
        let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
        for request in [GSS_REQUEST, SSL_REQUEST] {
            wire.send(packet(&request)).await;
            assert_eq!(wire.byte().await, b'N');
        }
        let lines = wire.ask(startup(3, 0, &[("user", "postgres")])).await;
        assert_eq!(lines.last().unwrap(), "ReadyForQuery I");
        assert_eq!(wire.query("SELECT current_database()").await[1], "DataRow postgres");
    });
}

#[test]
fn versions_are_negotiated() {
    let server = Server::start();
    server.run(async {
        let mut steps = Vec::new();
        for (name, minor, options) in [
            ("3.2", 2, &[("user", "postgres")][..]),
            ("3.9999", 9999, &[("user", "postgres")][..]),
            ("3.0 with options", 0, &[("user", "postgres"), ("_pq_.later", "1"), ("_pq_.more", "x")][..]),
        ] {
            let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
            if minor >= 2 {
                wire.speak(ProtocolVersion::PROTOCOL3_2);
            }
            let mut lines = wire.ask(startup(3, minor, options)).await;
            lines.retain(|line| !line.starts_with("ParameterStatus"));
            steps.push((name, lines));
        }
        insta::assert_snapshot!(transcript(&steps));
    });
}

#[test]
fn what_is_no_startup_is_refused() {
    let server = Server::start();
    server.run(async {
        let unterminated = packet(b"\0\x03\0\0user\0ada");
        let trailing = packet(b"\0\x03\0\0user\0ada\0\0more");
        let mut steps = Vec::new();
        for (name, bytes) in [
            ("protocol 2.0", startup(2, 0, &[])),
            ("protocol 4.0", startup(4, 0, &[("user", "ada")])),
            ("no user", startup(3, 0, &[("database", "acme")])),
            ("absent database", startup(3, 0, &[("user", "postgres"), ("database", "nosuch")])),
            ("absent database by default", startup(3, 0, &[("user", "ada")])),
            ("replication", startup(3, 0, &[("user", "postgres"), ("replication", "true")])),
            ("bad options", startup(3, 0, &[("user", "postgres"), ("options", "-d x")])),
            ("unknown setting", startup(3, 0, &[("user", "postgres"), ("options", "-c nosuch=1")])),
            ("other encoding", startup(3, 0, &[("user", "postgres"), ("client_encoding", "LATIN1")])),
            ("no terminator", unterminated),
            ("more than one terminator", trailing),
            ("not UTF-8", packet(b"\0\x03\0\0user\0\xff\xfe\0\0")),
            ("short", packet(b"\0\x03")),
            ("HTTP", "GET / HTTP/1.1\r\n\r\n".as_bytes().into()),
            ("TLS at once", b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec().into()),
            ("huge", b"\x7f\xff\xff\xff\0\x03\0\0".to_vec().into()),
        ] {
            steps.push((name, first(&server, bytes).await));
        }
        insta::assert_snapshot!(transcript(&steps));
        server.client().await;
    });
}

#[test]
fn options_are_settings() {
    let server = Server::start();
    server.run(async {
        let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
        let options = "-c statement_timeout=7s --application-name=a\\ b -cextra_float_digits=0";
        wire.ask(startup(3, 0, &[("user", "postgres"), ("options", options)])).await;
        assert_eq!(wire.query("SHOW statement_timeout").await[1], "DataRow 7s");
        assert_eq!(wire.query("SHOW application_name").await[1], "DataRow a b");
        assert_eq!(wire.query("SHOW extra_float_digits").await[1], "DataRow 0");
    });
}

#[test]
fn encryption_cannot_be_asked_for_ever() {
    let server = Server::start();
    server.run(async {
        let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
        for _ in 0..3 {
            wire.send(packet(&SSL_REQUEST)).await;
            assert_eq!(wire.byte().await, b'N');
        }
        assert_eq!(wire.until_ready().await, ["Error S=FATAL C=08P01 M=too many requests for encryption", "closed"]);
    });
}

#[test]
fn a_silent_client_is_dropped_in_time() {
    let server = Server::with(|options| options.startup_timeout = Duration::from_secs(9));
    server.run(async {
        let mut silent = Wire::new(server.door.connect(PIPE_BYTES));
        let mut slow = Wire::new(server.door.connect(PIPE_BYTES));
        slow.send(&startup(3, 0, &[("user", "postgres")])[..10]).await;
        assert_eq!(silent.until_ready().await, ["closed"]);
        assert_eq!(slow.until_ready().await, ["closed"]);
        assert_eq!(server.world.elapsed(), Duration::from_secs(9));
        server.client().await;
    });
}

#[test]
fn connections_are_limited_and_places_are_given_back() {
    let server = Server::with(|options| options.connections_max = 2);
    server.run(async {
        let (one, mut two) = (server.client().await, server.client().await);
        let refused = first(&server, startup(3, 0, &[("user", "postgres")])).await;
        assert_eq!(refused, ["Error S=FATAL C=53300 M=sorry, too many clients already", "closed"]);
        // Whoever is there is not disturbed, and can still be cancelled.
        assert_eq!(two.query("SELECT 1").await[1], "DataRow 1");
        assert_eq!(first(&server, cancel_request(1, b"none")).await, ["closed"]);
        drop(one);
        two.query("SELECT 2").await;
        server.client().await;
    });
}

#[test]
fn keys_differ() {
    let server = Server::start();
    server.run(async {
        let mut keys = Vec::new();
        for _ in 0..20 {
            let mut wire = Wire::new(server.door.connect(PIPE_BYTES));
            wire.send(startup(3, 0, &[("user", "postgres")])).await;
            loop {
                if let Some(PgWireBackendMessage::BackendKeyData(data)) = wire.next().await {
                    keys.push((data.pid, format!("{:?}", data.secret_key)));
                    break;
                }
            }
        }
        keys.sort();
        keys.dedup_by_key(|(process, _)| *process);
        assert_eq!(keys.len(), 20);
        assert!(keys.iter().all(|(process, _)| *process > 0));
        keys.dedup_by(|a, b| a.1 == b.1);
        assert_eq!(keys.len(), 20);
    });
}
