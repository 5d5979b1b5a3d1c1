//! What the server says: backend messages into a buffer, by hand, without a struct in between.
//!
//! Each is its type byte, a length that counts itself, and a body.

use bytes::{BufMut, BytesMut};
use tenet_sql::text::Formats as TextFormats;
use tenet_sql::{Column, TransactionStatus};
use tenet_types::Value;

use crate::message::{Format, Version};
use crate::value;

/// What an ErrorResponse or NoticeResponse says.
#[derive(Default)]
pub(crate) struct Report<'a> {
    /// `ERROR`, `FATAL`, `NOTICE`, `WARNING` …
    pub severity: &'a str,
    pub state: &'a str,
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
    /// In characters from 1.
    pub position: Option<usize>,
    pub table: Option<&'a str>,
    pub column: Option<&'a str>,
    pub constraint: Option<&'a str>,
}

pub(crate) fn authentication_ok(out: &mut BytesMut) {
    message(out, b'R', |out| out.put_i32(0));
}

pub(crate) fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        string(out, name);
        string(out, value);
    });
}

pub(crate) fn backend_key_data(out: &mut BytesMut, process: i32, secret: &[u8]) {
    message(out, b'K', |out| {
        out.put_i32(process);
        out.put_slice(secret);
    });
}

/// Says which version will be spoken, and which options were not understood.
pub(crate) fn negotiate_protocol_version(out: &mut BytesMut, version: Version, unknown_options: &[&str]) {
    message(out, b'v', |out| {
        out.put_u32(version.number());
        out.put_u32(u32::try_from(unknown_options.len()).expect("a startup packet holds a few thousand at most"));
        for name in unknown_options {
            string(out, name);
        }
    });
}

pub(crate) fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    message(out, b'Z', |out| {
        out.put_u8(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        });
    });
}

pub(crate) fn row_description(out: &mut BytesMut, columns: &[Column], formats: &Formats) {
    message(out, b'T', |out| {
        out.put_u16(count(columns.len()));
        for (index, column) in columns.iter().enumerate() {
            let (table, attribute) = column.table.unwrap_or((0, 0));
            let (oid, size, type_modifier) = column.wire_type();
            string(out, &column.name);
            out.put_u32(table);
            out.put_i16(attribute);
            out.put_u32(oid);
            out.put_i16(size);
            out.put_i32(type_modifier);
            out.put_u16(formats.of(index) as u16);
        }
    });
}

pub(crate) fn data_row(out: &mut BytesMut, row: &[Value], formats: &Formats, text: &TextFormats) {
    message(out, b'D', |out| {
        out.put_u16(count(row.len()));
        for (index, cell) in row.iter().enumerate() {
            value::encode(out, cell, formats.of(index), text);
        }
    });
}

pub(crate) fn command_complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |out| string(out, tag));
}

pub(crate) fn parameter_description(out: &mut BytesMut, oids: &[u32]) {
    message(out, b't', |out| {
        out.put_u16(count(oids.len()));
        oids.iter().for_each(|oid| out.put_u32(*oid));
    });
}

pub(crate) fn empty_query_response(out: &mut BytesMut) {
    message(out, b'I', |_| {});
}

pub(crate) fn no_data(out: &mut BytesMut) {
    message(out, b'n', |_| {});
}

pub(crate) fn parse_complete(out: &mut BytesMut) {
    message(out, b'1', |_| {});
}

pub(crate) fn bind_complete(out: &mut BytesMut) {
    message(out, b'2', |_| {});
}

pub(crate) fn close_complete(out: &mut BytesMut) {
    message(out, b'3', |_| {});
}

pub(crate) fn portal_suspended(out: &mut BytesMut) {
    message(out, b's', |_| {});
}

pub(crate) fn error(out: &mut BytesMut, report: &Report<'_>) {
    message(out, b'E', |out| fields(out, report));
}

pub(crate) fn notice(out: &mut BytesMut, report: &Report<'_>) {
    message(out, b'N', |out| fields(out, report));
}

/// The formats that a Bind asked its result columns to have.
#[derive(Clone, Debug, Default)]
pub(crate) enum Formats {
    #[default]
    Text,
    Binary,
    /// One per column.
    Each(Vec<Format>),
}

impl Formats {
    /// `None` if there are several, but not one for each of `columns`.
    pub fn new(mut asked: Vec<Format>, columns: usize) -> Option<Formats> {
        let uniform = |format| if format == Format::Text { Formats::Text } else { Formats::Binary };
        match asked.len() {
            0 => Some(Formats::Text),
            1 => Some(uniform(asked.remove(0))),
            several => (several == columns).then_some(Formats::Each(asked)),
        }
    }

    fn of(&self, column: usize) -> Format {
        match self {
            Formats::Text => Format::Text,
            Formats::Binary => Format::Binary,
            Formats::Each(formats) => formats.get(column).copied().unwrap_or_default(),
        }
    }
}

fn fields(out: &mut BytesMut, report: &Report<'_>) {
    let position = report.position.map(|p| p.to_string());
    let all = [
        (b'S', Some(report.severity)),
        (b'V', Some(report.severity)),
        (b'C', Some(report.state)),
        (b'M', Some(report.message)),
        (b'D', report.detail),
        (b'H', report.hint),
        (b'P', position.as_deref()),
        (b't', report.table),
        (b'c', report.column),
        (b'n', report.constraint),
    ];
    for (field, text) in all {
        if let Some(text) = text {
            out.put_u8(field);
            string(out, text);
        }
    }
    out.put_u8(0);
}

fn message(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length = i32::try_from(out.len() - start).expect("a message is bounded far below 2 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// NUL ends a string on the wire; within one it is shown as a question mark.
fn string(out: &mut BytesMut, text: &str) {
    if text.contains('\0') {
        out.put_slice(text.replace('\0', "?").as_bytes());
    } else {
        out.put_slice(text.as_bytes());
    }
    out.put_u8(0);
}

/// Columns and parameters are bounded by the SQL floor (1,600, and 65,535).
fn count(count: usize) -> u16 {
    u16::try_from(count).expect("bounded far below by what can be parsed")
}
