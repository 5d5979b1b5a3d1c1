//! Bytes that no client of good faith sends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const PROTOCOL_3: i32 = 196_608;

fn startup(body: &[u8]) -> Vec<u8> {
    let mut packet = (8 + body.len() as i32).to_be_bytes().to_vec();
    packet.extend(PROTOCOL_3.to_be_bytes());
    packet.extend(body);
    packet
}

fn message(kind: u8, length: i32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

/// Sends, says that this was all, and reads what comes until the server closes.
async fn answer(cluster: &Cluster, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&cluster.member(1).sql).await.unwrap();
    // The server may close before it has read everything.
    stream.write_all(sent).await.ok();
    stream.shutdown().await.ok();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await;
    read.expect("the server closes").ok();
    answer
}

fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_protocol_bytes_are_refused_and_harm_nobody() {
    let (cluster, _folder) = cluster(1).await;
    let mut honest = connect(&cluster, "postgres").await;
    run(&mut honest, "BEGIN").await.unwrap();

    let hello = startup(b"user\0u\0database\0postgres\0\0");
    let after_hello = |more: &[u8]| [hello.as_slice(), more].concat();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("a startup packet of no length", vec![0, 0, 0, 0, 1, 2, 3, 4], ""),
        ("a startup packet of a gigabyte", [0x40, 0, 0, 0, 0, 3, 0, 0].to_vec(), ""),
        ("another protocol", [0, 0, 0, 8, 0, 9, 0, 0].to_vec(), "0A000"),
        ("no terminator in the parameters", startup(b"user\0u"), "08P01"),
        ("an unknown message", after_hello(&message(b'~', 4, b"")), "08P01"),
        ("a length below its own size", after_hello(&message(b'Q', 3, b"")), "08P01"),
        ("a query that is not text", after_hello(&message(b'Q', 8, b"\xff\xfe\xfd\0")), "22021"),
    ];
    for (what, sent, sqlstate) in cases {
        let answer = answer(&cluster, &sent).await;
        assert!(contains(&answer, sqlstate), "{what}: expected {sqlstate}, got {}", String::from_utf8_lossy(&answer));
    }
    // Random bytes, from a fixed seed, before and after a good start.
    let mut luck = tenet_workloads::Luck::from_seed(7);
    for round in 0..60 {
        let noise: Vec<u8> = (0..luck.between(1, 400)).map(|_| luck.next_u64() as u8).collect();
        let sent = if round % 2 == 0 { noise } else { after_hello(&noise) };
        let mut stream = TcpStream::connect(&cluster.member(1).sql).await.unwrap();
        stream.write_all(&sent).await.ok();
        stream.shutdown().await.ok();
        tokio::time::timeout(WITHIN, stream.read_to_end(&mut Vec::new())).await.expect("the server closes").ok();
    }
    run(&mut honest, "COMMIT").await.expect("an open transaction of another client is untouched");
    assert_eq!(only_int(&mut honest, "SELECT 41 + 1 AS answer").await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_over_long_message_is_refused_before_it_is_kept() {
    let (cluster, _folder) = cluster(1).await;
    let mut honest = connect(&cluster, "postgres").await;
    let hello = startup(b"user\0u\0database\0postgres\0\0");
    // Announced as a gigabyte, and never sent: nothing is kept for it.
    let announced = message(b'Q', 0x3fff_fff0, b"SELECT 1");
    let mut stream = TcpStream::connect(&cluster.member(1).sql).await.unwrap();
    stream.write_all(&[hello, announced].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await.expect("the server closes").ok();
    assert_eq!(only_int(&mut honest, "SELECT 41 + 1 AS answer").await, 42);

    // Sent whole: refused with the limit's own code, and the connection goes on.
    let long = format!("SELECT '{}'", "x".repeat(80 << 20));
    let error = run(&mut honest, &long).await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("54000"), "{}", error.message.chars().take(200).collect::<String>());
    assert_eq!(only_int(&mut honest, "SELECT 41 + 1 AS answer").await, 42);
}
