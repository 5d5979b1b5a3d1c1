//! What a client says: bodies of frontend messages and of the startup packet, from bytes.
//!
//! Written by hand: a body is checked against its own length at each step, must be UTF-8, and must be used up, so that any
//! bytes at all give a message or a [`WireError`], never a panic (F2). Strings are borrowed by nobody: a message owns what it
//! says, except for parameters, which are slices of the body.

use bytes::Bytes;

/// The three requests that look like a startup packet, by their version number.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Bytes that are no message. The connection goes on: its framing is whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct WireError {
    pub state: &'static str,
    pub message: String,
}

impl WireError {
    pub fn new(state: &'static str, message: impl Into<String>) -> WireError {
        WireError { state, message: message.into() }
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Binary,
}

/// What Describe and Close speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement,
    Portal,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    Ssl,
    Gss,
    Cancel { process: i32, secret: Vec<u8> },
    Session { version: Version, parameters: Vec<(String, String)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub major: u16,
    pub minor: u16,
}

impl Version {
    /// As Postgres writes it: major in the upper half.
    pub fn number(self) -> u32 {
        u32::from(self.major) << 16 | u32::from(self.minor)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Query {
        sql: String,
    },
    Parse {
        name: String,
        sql: String,
        oids: Vec<u32>,
    },
    Bind(Bind),
    Describe {
        target: Target,
        name: String,
    },
    /// `rows_max` 0 is no limit.
    Execute {
        portal: String,
        rows_max: u64,
    },
    Close {
        target: Target,
        name: String,
    },
    Flush,
    Sync,
    Terminate,
    FunctionCall,
    /// CopyData, CopyDone, CopyFail outside of a copy: a client that has not yet read that its COPY failed.
    Copy,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub portal: String,
    pub statement: String,
    /// None: all text. One: for all. Otherwise one each.
    pub parameter_formats: Vec<Format>,
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<Format>,
}

/// Kinds that may be long (they carry SQL or data), as in Postgres; all others are small.
pub(crate) fn may_be_long(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'F' | b'd')
}

pub(crate) fn is_known(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'F' | b'd' | b'c' | b'f')
}

/// An error in one of these makes the rest be skipped up to Sync.
pub(crate) fn is_extended(kind: u8) -> bool {
    matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
}

impl Startup {
    /// `body` is what follows the length.
    pub fn decode(body: Bytes) -> Result<Startup, WireError> {
        let mut body = Body(body);
        let number = body.u32()?;
        let mut startup = match number {
            SSL_REQUEST => Startup::Ssl,
            GSS_REQUEST => Startup::Gss,
            CANCEL_REQUEST => {
                let process = body.u32()? as i32;
                let secret = body.0.split_off(0).to_vec();
                Startup::Cancel { process, secret }
            }
            _ => Startup::Session {
                version: Version { major: (number >> 16) as u16, minor: number as u16 },
                parameters: Vec::new(),
            },
        };
        if let Startup::Session { version, parameters } = &mut startup {
            // Another major version may write its packet otherwise; the caller refuses it by its number.
            if version.major != 3 {
                return Ok(startup);
            }
            if body.0.last() != Some(&0) {
                return Err(layout());
            }
            loop {
                let name = body.string()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, body.string()?));
            }
            if !body.0.is_empty() {
                return Err(layout());
            }
        }
        Ok(startup)
    }
}

fn layout() -> WireError {
    WireError::new("08P01", "invalid startup packet layout: expected terminator as last byte")
}

impl Message {
    /// `kind` is one for which [`is_known`] holds.
    pub fn decode(kind: u8, body: Bytes) -> Result<Message, WireError> {
        let mut body = Body(body);
        let message = match kind {
            b'Q' => Message::Query { sql: body.string()? },
            b'P' => Message::Parse { name: body.string()?, sql: body.string()?, oids: body.list(Body::u32)? },
            b'B' => Message::Bind(Bind {
                portal: body.string()?,
                statement: body.string()?,
                parameter_formats: body.list(Body::format)?,
                parameters: body.list(Body::parameter)?,
                result_formats: body.list(Body::format)?,
            }),
            b'D' => Message::Describe { target: body.target("DESCRIBE")?, name: body.string()? },
            b'C' => Message::Close { target: body.target("CLOSE")?, name: body.string()? },
            b'E' => Message::Execute {
                portal: body.string()?,
                // Postgres takes a limit below one as none.
                rows_max: u64::try_from(body.u32()? as i32).unwrap_or(0),
            },
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => return Ok(Message::Terminate),
            b'F' => return Ok(Message::FunctionCall),
            b'd' | b'c' | b'f' => return Ok(Message::Copy),
            _ => return Err(WireError::new("08P01", format!("invalid frontend message type {kind}"))),
        };
        if body.0.is_empty() { Ok(message) } else { Err(WireError::new("08P01", "invalid message format")) }
    }
}

/// What is left of a message.
struct Body(Bytes);

impl Body {
    fn take(&mut self, count: usize) -> Result<Bytes, WireError> {
        if count > self.0.len() {
            return Err(WireError::new("08P01", "insufficient data left in message"));
        }
        Ok(self.0.split_to(count))
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn string(&mut self) -> Result<String, WireError> {
        let end = self.0.iter().position(|b| *b == 0);
        let bytes = self.take(end.ok_or_else(|| WireError::new("08P01", "invalid string in message"))?)?;
        self.take(1)?;
        utf8(&bytes).map(str::to_owned)
    }

    /// A count of two bytes, then that many. Nothing is reserved for a count that is only claimed.
    fn list<T>(&mut self, item: impl Fn(&mut Body) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        (0..self.u16()?).map(|_| item(self)).collect()
    }

    fn format(&mut self) -> Result<Format, WireError> {
        match self.u16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            code => Err(WireError::new("22023", format!("unsupported format code: {}", code as i16))),
        }
    }

    fn parameter(&mut self) -> Result<Option<Bytes>, WireError> {
        match self.u32()? as i32 {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length).map(Some),
                Err(_) => Err(WireError::new("08P01", "insufficient data left in message")),
            },
        }
    }

    fn target(&mut self, what: &str) -> Result<Target, WireError> {
        match self.u8()? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(WireError::new("08P01", format!("invalid {what} message subtype {other}"))),
        }
    }
}

/// The text, or Postgres' error with the first bytes that are none.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let bad = &bytes[e.valid_up_to()..];
        // As many as the first of them announces.
        let announced = match bad[0] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        let shown: Vec<String> = bad.iter().take(announced).map(|b| format!("0x{b:02x}")).collect();
        WireError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")))
    })
}
