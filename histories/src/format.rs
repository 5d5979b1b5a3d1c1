//! The formats by name, and how a file says which one it is in: by its first bytes, never by its name.

use std::io::{BufRead, Write};
use std::str::FromStr;

use crate::formats::{
    binary, dbcop_text, elle_json, etcd_json, jepsen_edn, jepsen_log, json_lines, polysi_text, porcupine_kv,
};
use crate::output::Output;
use crate::{Header, HistoryError, Sink, Source, WriteOptions, edn, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    JsonLines,
    Binary,
    JepsenEdn,
    JepsenLog,
    PorcupineKv,
    ElleJson,
    EtcdJson,
    PolysiText,
    DbcopText,
}

impl Format {
    pub const ALL: [Format; 9] = [
        Format::JsonLines,
        Format::Binary,
        Format::JepsenEdn,
        Format::JepsenLog,
        Format::PorcupineKv,
        Format::ElleJson,
        Format::EtcdJson,
        Format::PolysiText,
        Format::DbcopText,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Format::JsonLines => "json-lines",
            Format::Binary => "binary",
            Format::JepsenEdn => "jepsen-edn",
            Format::JepsenLog => "jepsen-log",
            Format::PorcupineKv => "porcupine-kv",
            Format::ElleJson => "elle-json",
            Format::EtcdJson => "etcd-json",
            Format::PolysiText => "polysi-text",
            Format::DbcopText => "dbcop-text",
        }
    }

    fn fits(self, head: &Head<'_>) -> bool {
        match self {
            Format::JsonLines => json_lines::fits(head),
            Format::Binary => binary::fits(head),
            Format::JepsenEdn => jepsen_edn::fits(head),
            Format::JepsenLog => jepsen_log::fits(head),
            Format::PorcupineKv => porcupine_kv::fits(head),
            Format::ElleJson => elle_json::fits(head),
            Format::EtcdJson => etcd_json::fits(head),
            Format::PolysiText => polysi_text::fits(head),
            Format::DbcopText => dbcop_text::fits(head),
        }
    }

    /// Reads a history in this format. `name` is for errors: the path, or `standard input`.
    pub fn source<'a>(self, mut input: impl BufRead + 'a, name: &str) -> Result<Box<dyn Source + 'a>, HistoryError> {
        let first = input.fill_buf().map(|bytes| bytes.starts_with(BYTE_ORDER_MARK));
        if first.map_err(|source| HistoryError::Io { file: name.to_string(), action: "read the history", source })? {
            input.consume(BYTE_ORDER_MARK.len());
        }
        Ok(match self {
            Format::JsonLines => Box::new(json_lines::Reader::new(input, name)?),
            Format::Binary => Box::new(binary::Reader::new(input, name)?),
            Format::JepsenEdn => Box::new(jepsen_edn::Reader::new(input, name)?),
            Format::JepsenLog => Box::new(jepsen_log::Reader::new(input, name)),
            Format::PorcupineKv => Box::new(porcupine_kv::Reader::new(input, name)),
            Format::ElleJson => Box::new(elle_json::Reader::new(input, name)),
            Format::EtcdJson => Box::new(etcd_json::Reader::new(input, name)?),
            Format::PolysiText => Box::new(polysi_text::Reader::new(input, name)),
            Format::DbcopText => Box::new(dbcop_text::Reader::new(input, name)),
        })
    }

    /// Writes a history in this format. `name` is for errors.
    pub fn sink<'a>(
        self,
        output: impl Write + 'a,
        name: &str,
        header: &Header,
        options: &WriteOptions,
    ) -> Result<Box<dyn Sink + 'a>, HistoryError> {
        let output = Output::new(self, output, name, options);
        Ok(match self {
            Format::JsonLines => Box::new(json_lines::Writer::new(output, header)?),
            Format::Binary => Box::new(binary::Writer::new(output, header)?),
            Format::JepsenEdn => Box::new(jepsen_edn::Writer::new(output, header)?),
            Format::JepsenLog => Box::new(jepsen_log::Writer::new(output, header)?),
            Format::PorcupineKv => Box::new(porcupine_kv::Writer::new(output, header)?),
            Format::ElleJson => Box::new(elle_json::Writer::new(output, header)?),
            Format::EtcdJson => Box::new(etcd_json::Writer::new(output, header)?),
            Format::PolysiText => Box::new(polysi_text::Writer::new(output, header)?),
            Format::DbcopText => Box::new(dbcop_text::Writer::new(output, header)?),
        })
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no format of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no history format `{0}`, expected one of {known}", known = Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        let known = Format::ALL.into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| UnknownFormat(name.to_string()))
    }
}

/// The first bytes of a file.
pub(crate) struct Head<'a> {
    pub bytes: &'a [u8],
}

/// Enough for the first operation of any history but the strangest.
pub(crate) const HEAD_BYTES: u64 = 64 << 10;

/// U+FEFF in UTF-8: what editors of some systems put before a text, and no part of it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a file begins with that was packed by gzip.
const GZIP: &[u8] = b"\x1f\x8b";

impl Head<'_> {
    /// The first byte that is no blank.
    pub fn first(&self) -> Option<u8> {
        self.bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
    }

    /// `[]` or `()`: a list of operations, without any.
    pub fn is_empty_list(&self) -> bool {
        let bare: Vec<u8> = self.bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(3).collect();
        bare == b"[]" || bare == b"()"
    }

    /// The names of the fields of the first JSON object, whether or not all of it is there.
    pub fn json_names(&self) -> Vec<String> {
        let start = self.bytes.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'[');
        json::names(&self.bytes[start.unwrap_or(0)..])
    }

    /// The keys of the first EDN map, whether or not all of it is there.
    pub fn edn_names(&self) -> Vec<String> {
        edn::names(self.bytes)
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.bytes.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok())
    }
}

/// Says which format this is, by its first bytes.
pub fn recognise(head: &[u8], name: &str) -> Result<Format, HistoryError> {
    let head = Head { bytes: head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head) };
    let candidates: Vec<Format> = Format::ALL.into_iter().filter(|format| format.fits(&head)).collect();
    match candidates.as_slice() {
        [format] => Ok(*format),
        [] => {
            let found = match head.bytes {
                [] => "an empty file".to_string(),
                bytes if bytes.starts_with(GZIP) => "a file packed by gzip (unpack it first)".to_string(),
                bytes => {
                    format!("a file that begins with {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(24)]))
                }
            };
            Err(HistoryError::Unrecognised { file: name.to_string(), found })
        }
        _ => Err(HistoryError::Ambiguous { file: name.to_string(), candidates }),
    }
}
