//! A client made of bytes: sends messages as a test writes them, and shows what comes back, decoded by pgwire (which shares no
//! code with ours).

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::{DecodeContext, PgWireBackendMessage, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub struct Wire {
    stream: DuplexStream,
    input: BytesMut,
    context: DecodeContext,
}

/// One decoded message, as a line.
pub type Line = String;

impl Wire {
    pub fn new(stream: DuplexStream) -> Wire {
        let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
        context.awaiting_frontend_ssl = false;
        context.awaiting_frontend_startup = false;
        Wire { stream, input: BytesMut::new(), context }
    }

    /// Connected, and past the first ReadyForQuery.
    pub async fn open(stream: DuplexStream, database: &str) -> Wire {
        let mut wire = Wire::new(stream);
        wire.send(startup(3, 0, &[("user", "tester"), ("database", database)])).await;
        let lines = wire.until_ready().await;
        assert_eq!(lines.last().unwrap(), "ReadyForQuery I", "{lines:?}");
        wire
    }

    pub fn speak(&mut self, version: ProtocolVersion) {
        self.context.protocol_version = version;
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    pub async fn byte(&mut self) -> u8 {
        self.stream.read_u8().await.unwrap()
    }

    /// The next message, or `None` when the server closed.
    pub async fn next(&mut self) -> Option<PgWireBackendMessage> {
        loop {
            if let Some(message) = self.decoded() {
                return Some(message);
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                assert!(self.input.is_empty(), "the server broke off within a message: {:?}", self.input);
                return None;
            }
        }
    }

    /// pgwire decodes what it has of a length below its limits for clients; rows may be longer, and are taken here.
    fn decoded(&mut self) -> Option<PgWireBackendMessage> {
        if self.input.len() < 5 {
            return None;
        }
        let length = u32::from_be_bytes(self.input[1..5].try_into().unwrap()) as usize;
        if self.input.len() < length + 1 {
            return None;
        }
        let before = self.input.len();
        let message = PgWireBackendMessage::decode(&mut self.input, &self.context).unwrap().expect("it is whole");
        assert_eq!(before - self.input.len(), length + 1, "the body is as long as it says: {message:?}");
        Some(message)
    }

    pub async fn line(&mut self) -> Option<Line> {
        self.next().await.map(|message| show(&message))
    }

    /// Everything up to and with the next ReadyForQuery, or the end.
    pub async fn until_ready(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                None => {
                    lines.push("closed".to_owned());
                    return lines;
                }
                Some(line) => {
                    let last = line.starts_with("ReadyForQuery");
                    lines.push(line);
                    if last {
                        return lines;
                    }
                }
            }
        }
    }

    /// Says no more, and hears everything there is to hear.
    pub async fn finish(mut self) {
        self.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
    }

    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Line> {
        self.send(bytes).await;
        self.until_ready().await
    }

    pub async fn query(&mut self, sql: &str) -> Vec<Line> {
        self.ask(query(sql)).await
    }
}

fn show(message: &PgWireBackendMessage) -> Line {
    use PgWireBackendMessage as M;
    let fields = |fields: &[(u8, String)]| {
        let all = fields.iter().filter(|(kind, _)| *kind != b'V');
        all.map(|(kind, text)| format!("{}={text}", char::from(*kind))).collect::<Vec<_>>().join(" ")
    };
    match message {
        M::ReadyForQuery(m) => format!("ReadyForQuery {}", char::from(m.status as u8)),
        M::ParameterStatus(m) => format!("ParameterStatus {}={}", m.name, m.value),
        M::CommandComplete(m) => format!("CommandComplete {}", m.tag),
        M::ErrorResponse(m) => format!("Error {}", fields(&m.fields)),
        M::NoticeResponse(m) => format!("Notice {}", fields(&m.fields)),
        M::RowDescription(m) => {
            let field = |f: &pgwire::messages::data::FieldDescription| {
                let (oid, size, modifier, format) = (f.type_id, f.type_size, f.type_modifier, f.format_code);
                let origin =
                    if f.table_id == 0 { String::new() } else { format!(" of {}.{}", f.table_id, f.column_id) };
                format!("{}:{oid}/{size}/{modifier}/{format}{origin}", f.name)
            };
            format!("RowDescription {}", m.fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        M::DataRow(m) => format!("DataRow {}", cells(m.field_count, &m.data)),
        M::ParameterDescription(m) => format!("ParameterDescription {:?}", m.types),
        M::NegotiateProtocolVersion(m) => {
            let (version, options) = (m.newest_minor_protocol, &m.unsupported_options);
            format!("NegotiateProtocolVersion {}.{} {options:?}", version >> 16, version & 0xffff)
        }
        M::BackendKeyData(m) => {
            let bytes = match &m.secret_key {
                pgwire::messages::startup::SecretKey::I32(_) => 4,
                pgwire::messages::startup::SecretKey::Bytes(key) => key.len(),
            };
            format!("BackendKeyData, a secret of {bytes} bytes")
        }
        M::Authentication(m) => format!("Authentication{m:?}"),
        other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
    }
}

/// Text as it is, other bytes in hexadecimal, NULL as ∅.
fn cells(count: i16, data: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = data;
    for index in 0..count {
        if index > 0 {
            out.push_str(" | ");
        }
        let (length, after) = rest.split_at(4);
        rest = after;
        match usize::try_from(i32::from_be_bytes(length.try_into().unwrap())) {
            Err(_) => out.push('∅'),
            Ok(length) => {
                let (cell, after) = rest.split_at(length);
                rest = after;
                match std::str::from_utf8(cell) {
                    Ok(text) if !text.contains(char::is_control) => out.push_str(text),
                    _ => cell.iter().for_each(|byte| write!(out, "{byte:02x}").unwrap()),
                }
            }
        }
    }
    assert!(rest.is_empty());
    out
}

/// A message from its type and body.
pub fn message(kind: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(kind);
    out.put_i32(i32::try_from(body.len()).unwrap() + 4);
    out.put_slice(body);
    out.freeze()
}

/// Several messages in one write.
pub fn together(messages: &[Bytes]) -> Bytes {
    messages.concat().into()
}

pub fn startup(major: u16, minor: u16, parameters: &[(&str, &str)]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(major);
    body.put_u16(minor);
    for (name, value) in parameters {
        string(&mut body, name);
        string(&mut body, value);
    }
    body.put_u8(0);
    packet(&body)
}

/// What has a length, but no type.
pub fn packet(body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i32(i32::try_from(body.len()).unwrap() + 4);
    out.put_slice(body);
    out.freeze()
}

pub fn cancel_request(process: i32, secret: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_i32(80_877_102);
    body.put_i32(process);
    body.put_slice(secret);
    packet(&body)
}

pub fn query(sql: &str) -> Bytes {
    message(b'Q', &[sql.as_bytes(), &[0]].concat())
}

pub fn parse(name: &str, sql: &str, oids: &[u32]) -> Bytes {
    let mut body = BytesMut::new();
    string(&mut body, name);
    string(&mut body, sql);
    body.put_u16(u16::try_from(oids.len()).unwrap());
    oids.iter().for_each(|oid| body.put_u32(*oid));
    message(b'P', &body)
}

/// Formats: 0 text, 1 binary.
pub fn bind(
    portal: &str,
    statement: &str,
    formats: &[u16],
    parameters: &[Option<&[u8]>],
    result_formats: &[u16],
) -> Bytes {
    let mut body = BytesMut::new();
    string(&mut body, portal);
    string(&mut body, statement);
    let shorts = |body: &mut BytesMut, all: &[u16]| {
        body.put_u16(u16::try_from(all.len()).unwrap());
        all.iter().for_each(|format| body.put_u16(*format));
    };
    shorts(&mut body, formats);
    body.put_u16(u16::try_from(parameters.len()).unwrap());
    for parameter in parameters {
        match parameter {
            None => body.put_i32(-1),
            Some(bytes) => {
                body.put_i32(i32::try_from(bytes.len()).unwrap());
                body.put_slice(bytes);
            }
        }
    }
    shorts(&mut body, result_formats);
    message(b'B', &body)
}

pub fn describe(target: u8, name: &str) -> Bytes {
    targeted(b'D', target, name)
}

pub fn close(target: u8, name: &str) -> Bytes {
    targeted(b'C', target, name)
}

fn targeted(kind: u8, target: u8, name: &str) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(target);
    string(&mut body, name);
    message(kind, &body)
}

pub fn execute(portal: &str, rows_max: i32) -> Bytes {
    let mut body = BytesMut::new();
    string(&mut body, portal);
    body.put_i32(rows_max);
    message(b'E', &body)
}

pub fn sync() -> Bytes {
    message(b'S', &[])
}

pub fn terminate() -> Bytes {
    message(b'X', &[])
}

pub fn flush() -> Bytes {
    message(b'H', &[])
}

fn string(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}
