//! Values and frames by themselves.

use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;
use tenet_seam::Stream;
use tenet_sql::text::Formats;
use tenet_types::{SqlType, Value};
use tokio::io::AsyncWriteExt;

use crate::inbox::{Frame, Inbox};
use crate::message::{Format, Message, Startup};
use crate::tests::seam::World;
use crate::tests::wire;
use crate::value;

/// The bytes of a value as in a DataRow, without their length.
fn encode(value: &Value, format: Format) -> Vec<u8> {
    let mut out = BytesMut::new();
    value::encode(&mut out, value, format, &Formats::default());
    let length = usize::try_from(out.get_i32()).unwrap();
    assert_eq!(length, out.len());
    out.to_vec()
}

fn decode(sql_type: SqlType, format: Format, bytes: &[u8]) -> Result<Value, String> {
    value::decode(sql_type, format, Some(bytes), 3, &Formats::default()).map_err(|e| e.to_string())
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::Int2),
        any::<i32>().prop_map(Value::Int4),
        any::<i64>().prop_map(Value::Int8),
        any::<u64>().prop_map(|bits| Value::Float8(f64::from_bits(bits))),
        "[^\0]*".prop_map(Value::Text),
        (-210_866_803_200_000_000..i64::MAX).prop_map(Value::Timestamptz),
        Just(Value::Timestamptz(i64::MIN)),
        Just(Value::Timestamptz(i64::MAX)),
    ]
}

proptest! {
    #[test]
    fn values_come_back(value in any_value()) {
        let sql_type = value.sql_type().unwrap();
        for format in [Format::Text, Format::Binary] {
            let bytes = encode(&value, format);
            let back = decode(sql_type, format, &bytes).unwrap();
            prop_assert_eq!(&back, &value, "{:?}", format);
            if let (Value::Float8(a), Value::Float8(b)) = (&back, &value) {
                prop_assert!(a.is_nan() && b.is_nan() || a.to_bits() == b.to_bits());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        for sql_type in SqlType::ALL {
            for format in [Format::Text, Format::Binary] {
                if let Ok(value) = decode(sql_type, format, &bytes) {
                    prop_assert_eq!(value.sql_type(), Some(sql_type));
                }
            }
        }
    }

    #[test]
    fn any_body_is_a_message_or_an_error(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..64)) {
        // Either is fine; a panic is not.
        drop(Message::decode(kind, Bytes::from(body.clone())));
        drop(Startup::decode(Bytes::from(body)));
    }

    #[test]
    fn a_cut_message_is_an_error(cut in 1usize..40) {
        let bind = wire::bind("portal", "statement", &[0, 1], &[Some(b"12"), None], &[1]);
        let body = bind.slice(5..bind.len().saturating_sub(cut).max(5));
        prop_assert!(Message::decode(b'B', body).is_err());
    }
}

#[test]
fn null_is_a_length_of_minus_one() {
    for format in [Format::Text, Format::Binary] {
        let mut out = BytesMut::new();
        value::encode(&mut out, &Value::Null, format, &Formats::default());
        assert_eq!(out[..], [0xff; 4]);
    }
    let null = value::decode(SqlType::Int4, Format::Binary, None, 1, &Formats::default()).unwrap();
    assert!(null.is_null());
}

/// As PostgreSQL 15's send functions write them.
#[test]
fn binary_values_are_those_of_postgres() {
    let binary = |value: Value| encode(&value, Format::Binary);
    assert_eq!(binary(Value::Bool(true)), [1]);
    assert_eq!(binary(Value::Int2(-2)), [0xff, 0xfe]);
    assert_eq!(binary(Value::Int4(258)), [0, 0, 1, 2]);
    assert_eq!(binary(Value::Int8(-1)), [0xff; 8]);
    assert_eq!(binary(Value::Float8(1.5)), [0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
    assert_eq!(binary(Value::Text("é".to_owned())), [0xc3, 0xa9]);
    // 2000-01-01 is 0, 1970 is before it.
    assert_eq!(binary(Value::Timestamptz(946_684_800_000_000)), [0; 8]);
    assert_eq!(binary(Value::Timestamptz(0)), (-946_684_800_000_000i64).to_be_bytes());
    assert_eq!(binary(Value::Timestamptz(i64::MAX)), i64::MAX.to_be_bytes());
    assert_eq!(binary(Value::Timestamptz(i64::MIN)), i64::MIN.to_be_bytes());
}

#[test]
fn bad_values_say_what_is_wrong() {
    let cases: [(SqlType, Format, &[u8], &str); 8] = [
        (SqlType::Int4, Format::Binary, b"123", "incorrect binary data format in bind parameter 3 (22P03)"),
        (SqlType::Int8, Format::Binary, b"1234", "incorrect binary data format in bind parameter 3 (22P03)"),
        (SqlType::Bool, Format::Binary, b"", "incorrect binary data format in bind parameter 3 (22P03)"),
        (SqlType::Text, Format::Binary, b"a\xff", "invalid byte sequence for encoding \"UTF8\": 0xff (22021)"),
        (SqlType::Text, Format::Text, b"\xc3", "invalid byte sequence for encoding \"UTF8\": 0xc3 (22021)"),
        (SqlType::Text, Format::Binary, b"a\0", "invalid byte sequence for encoding \"UTF8\": 0x00 (22021)"),
        (SqlType::Int2, Format::Text, b"99999", "value \"99999\" is out of range for type smallint (22003)"),
        (SqlType::Timestamptz, Format::Binary, &(i64::MAX - 1).to_be_bytes(), "timestamp out of range (22008)"),
    ];
    for (sql_type, format, bytes, expected) in cases {
        assert_eq!(decode(sql_type, format, bytes).unwrap_err(), expected);
    }
}

/// Frames out of pieces of every size.
#[test]
fn frames_are_found_whatever_the_pieces() {
    let long = wire::query(&"x".repeat(30_000));
    let sent = wire::together(&[wire::query("SELECT 1"), wire::sync(), long.clone(), wire::execute("p", 7)]);
    for pipe_bytes in [1, 2, 3, 7, 64, 100_000] {
        let world = World::new();
        let (mut client, server) = tokio::io::duplex(pipe_bytes);
        let sent = sent.clone();
        world.seam().spawn("client", async move { client.write_all(&sent).await.unwrap() });
        world.run(async {
            let (mut inbox, mut stream) = (Inbox::default(), Box::new(server) as Stream);
            let mut kinds = Vec::new();
            loop {
                match inbox.next(&mut stream, 1 << 20).await.unwrap() {
                    Frame::Message { kind, body } => kinds.push((char::from(kind), body.len())),
                    Frame::End => break,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(kinds, [('Q', 9), ('S', 0), ('Q', 30_001), ('E', 6)], "pieces of {pipe_bytes}");
        });
    }
}

/// Nothing is kept of what is too long, and what follows it is found.
#[test]
fn a_long_body_is_passed_over() {
    let world = World::new();
    let (mut client, server) = tokio::io::duplex(4096);
    world.seam().spawn("client", async move {
        client.write_all(&wire::query(&"x".repeat(100_000))).await.unwrap();
        client.write_all(&wire::sync()).await.unwrap();
        // Announces a GiB, sends little, leaves.
        client.write_all(b"Q\x3f\xff\xff\xff").await.unwrap();
        client.write_all(&[b'x'; 10]).await.unwrap();
    });
    world.run(async {
        let (mut inbox, mut stream) = (Inbox::default(), Box::new(server) as Stream);
        let too_long = Frame::TooLong { kind: b'Q', bytes: 100_001 };
        assert_eq!(inbox.next(&mut stream, 100_000).await.unwrap(), too_long);
        let sync = Frame::Message { kind: b'S', body: Bytes::new() };
        assert_eq!(inbox.next(&mut stream, 100_000).await.unwrap(), sync);
        assert_eq!(inbox.next(&mut stream, 100_000).await.unwrap(), Frame::End);
    });
}
