//! Blocks to events.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::*;
use crate::history::well_known;
use crate::{
    Alarm, Call, Completion, DEPTH_MAX, Event, Fault, FaultEdge, Header, HistoryError, Outcome, Process, Source, Value,
    What,
};

pub(crate) struct Reader<R> {
    input: R,
    name: String,
    header: Header,
    block: Block,
    /// Of the first byte after the block.
    offset: u64,
    ended: bool,
}

/// The payload that is being read, and what carries over to the next.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    at: usize,
    names: Vec<String>,
    last_ns: u64,
    last_timestamp: u64,
}

/// What is wrong at the place where the block is read.
type Problem = String;

impl<R: Read> Reader<R> {
    pub fn new(input: R, name: &str) -> Result<Reader<R>, HistoryError> {
        let mut reader = Reader {
            input,
            name: name.to_string(),
            header: Header::default(),
            block: Block::default(),
            offset: 0,
            ended: false,
        };
        let mut start = [0; 12];
        reader.read_exact(&mut start, "the start of a file")?;
        if start[..8] != MAGIC {
            return Err(reader.damaged(0, "other bytes, expected those that our binary form begins with", false));
        }
        let version = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        if version != VERSION {
            let (found, known) = (version.into(), VERSION.into());
            return Err(HistoryError::Version { file: reader.name, found, known });
        }
        if !reader.next_block()? {
            return Err(reader.damaged(reader.offset, "the end, expected the block of the header", true));
        }
        reader.header = reader.block.header().map_err(|problem| reader.damaged_here(&problem))?;
        Ok(reader)
    }

    fn damaged(&self, byte: u64, problem: &str, cut_short: bool) -> HistoryError {
        HistoryError::Damaged { file: self.name.clone(), byte, problem: problem.to_string(), cut_short }
    }

    fn damaged_here(&self, problem: &str) -> HistoryError {
        let left = self.block.bytes.len() - self.block.at;
        self.damaged(self.offset - left as u64, problem, false)
    }

    fn read_exact(&mut self, bytes: &mut [u8], what: &str) -> Result<(), HistoryError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(self.offset, &format!("cut short, expected {what}"), true))
            }
            Err(source) => Err(HistoryError::Io { file: self.name.clone(), action: "read the history", source }),
        }
    }

    /// Whether there was another one.
    fn next_block(&mut self) -> Result<bool, HistoryError> {
        let start = self.offset;
        let mut head = [0; 8];
        self.read_exact(&mut head, "a block or the end mark")?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if length == 0 {
            self.ended = true;
            if checksum != 0 {
                return Err(self.damaged(start, "an end mark with a checksum, expected none", false));
            }
            return Ok(false);
        }
        if length > BLOCK_BYTES_MAX {
            let problem = format!("a block of {length} bytes, expected at most {BLOCK_BYTES_MAX}");
            return Err(self.damaged(start, &problem, false));
        }
        let mut bytes = std::mem::take(&mut self.block.bytes);
        bytes.clear();
        // Grows with what is really there: a damaged length allocates nothing.
        let read = (&mut self.input).take(length as u64).read_to_end(&mut bytes);
        read.map_err(|source| HistoryError::Io { file: self.name.clone(), action: "read the history", source })?;
        if bytes.len() < length {
            return Err(self.damaged(start, "cut short, expected the rest of a block", true));
        }
        let found = crc32c::crc32c(&bytes);
        if found != checksum {
            let problem = format!("a block with the checksum {found:08x}, expected {checksum:08x}");
            return Err(self.damaged(start, &problem, false));
        }
        self.block.bytes = bytes;
        self.block.at = 0;
        self.offset += length as u64;
        Ok(true)
    }
}

impl<R: Read> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        while self.block.at == self.block.bytes.len() {
            if self.ended || !self.next_block()? {
                return Ok(None);
            }
        }
        self.block.event().map(Some).map_err(|problem| self.damaged_here(&problem))
    }
}

impl Block {
    fn header(&mut self) -> Result<Header, Problem> {
        let workload = self.text()?;
        let mut facts = BTreeMap::new();
        for _ in 0..self.varint()? {
            facts.insert(self.text()?, self.value(0)?);
        }
        if self.at < self.bytes.len() {
            Err("more in the block of the header, expected its end".into())
        } else {
            Ok(Header { workload, facts })
        }
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        let byte = self.bytes.get(self.at).copied().ok_or("the end of a block, expected the rest of an event")?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a longer number, expected one of 64 bits".into())
    }

    fn signed(&mut self) -> Result<i64, Problem> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    fn text(&mut self) -> Result<String, Problem> {
        let code = self.varint()?;
        if code >= TEXT_NAMES {
            let known = usize::try_from(code - TEXT_NAMES).ok().and_then(|number| self.names.get(number));
            return known
                .cloned()
                .ok_or_else(|| format!("name {}, expected one of {}", code - TEXT_NAMES, self.names.len()));
        }
        let length = self.varint()?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let bytes = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or("a text longer than its block, expected one within it")?;
        let text = str::from_utf8(bytes).map_err(|_| "other bytes, expected text in UTF-8")?.to_string();
        self.at += bytes.len();
        if code == TEXT_NEW_NAME {
            if self.names.len() == NAMES_MAX || text.len() > NAME_BYTES_MAX {
                return Err("a name too many or too long, expected a text without a number".into());
            }
            self.names.push(text.clone());
        }
        Ok(text)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}, expected a history"));
        }
        Ok(match self.byte()? {
            VALUE_NIL => Value::Nil,
            VALUE_FALSE => Value::Bool(false),
            VALUE_TRUE => Value::Bool(true),
            VALUE_INT => Value::Int(self.signed()?),
            VALUE_NUMBER => Value::Number(self.text()?),
            VALUE_TEXT => Value::Text(self.text()?),
            VALUE_KEYWORD => Value::Keyword(self.text()?),
            VALUE_SYMBOL => Value::Symbol(self.text()?),
            VALUE_LIST => {
                let mut list = Vec::new();
                for _ in 0..self.varint()? {
                    list.push(self.value(depth + 1)?);
                }
                Value::List(list)
            }
            VALUE_SET => {
                let mut set = BTreeSet::new();
                for _ in 0..self.varint()? {
                    set.insert(self.value(depth + 1)?);
                }
                Value::Set(set)
            }
            VALUE_MAP => {
                let mut map = BTreeMap::new();
                for _ in 0..self.varint()? {
                    map.insert(self.value(depth + 1)?, self.value(depth + 1)?);
                }
                Value::Map(map)
            }
            VALUE_TAGGED => Value::Tagged(self.text()?, Box::new(self.value(depth + 1)?)),
            kind if kind >= VALUE_SMALL => Value::Int((kind - VALUE_SMALL).into()),
            kind => return Err(format!("a value of kind {kind}, expected one from 0 to 11 or from 16 on")),
        })
    }

    fn process(&mut self) -> Result<Process, Problem> {
        u32::try_from(self.varint()?).map(Process).map_err(|_| "a longer number, expected a process of 32 bits".into())
    }

    fn timestamp(&mut self) -> Result<u64, Problem> {
        self.last_timestamp = self.last_timestamp.wrapping_add_signed(self.signed()?);
        Ok(self.last_timestamp)
    }

    fn event(&mut self) -> Result<Event, Problem> {
        let kind = self.byte()?;
        let difference = self.varint()?;
        self.last_ns = self.last_ns.checked_add(difference).ok_or("a later time, expected one of 64 bits")?;
        let what = match kind & !EVENT_HAS_EXTRA {
            EVENT_INVOKE => What::Invoke {
                process: self.process()?,
                call: Call { function: self.function()?, key: self.value(0)?, value: self.value(0)? },
            },
            EVENT_OK => self.complete(Outcome::Ok)?,
            EVENT_FAIL => self.complete(Outcome::Fail)?,
            EVENT_UNKNOWN => self.complete(Outcome::Unknown)?,
            EVENT_FAULT => {
                let name = self.text()?;
                let edge = match self.byte()? {
                    0 => FaultEdge::Begin,
                    1 => FaultEdge::End,
                    2 => FaultEdge::Strike,
                    edge => return Err(format!("edge {edge} of a fault, expected 0, 1 or 2")),
                };
                What::Fault(Fault { name, edge, detail: self.value(0)? })
            }
            EVENT_PHASE => What::Phase {
                name: self.text()?,
                calm: match self.byte()? {
                    0 => false,
                    1 => true,
                    calm => return Err(format!("calm {calm} of a phase, expected 0 or 1")),
                },
            },
            EVENT_ALARM => {
                let flags = self.byte()?;
                let process = if flags & HAS_PROCESS != 0 { Some(self.process()?) } else { None };
                let sqlstate = if flags & HAS_SQLSTATE != 0 { Some(self.text()?) } else { None };
                What::Alarm(Alarm { process, sqlstate, message: self.text()? })
            }
            kind => return Err(format!("an event of kind {kind}, expected one from 0 to 6")),
        };
        let mut event = Event::new(self.last_ns, what);
        if kind & EVENT_HAS_EXTRA != 0 {
            for _ in 0..self.varint()? {
                let name = self.text()?;
                event.extra.insert(name, self.value(0)?);
            }
        }
        Ok(event)
    }

    fn function(&mut self) -> Result<Cow<'static, str>, Problem> {
        Ok(well_known(self.text()?))
    }

    fn complete(&mut self, outcome: Outcome) -> Result<What, Problem> {
        let process = self.process()?;
        let mut completion = Completion { value: self.value(0)?, ..Completion::new(outcome) };
        let flags = self.byte()?;
        if flags & HAS_READ_TIMESTAMP != 0 {
            completion.read_timestamp = Some(self.timestamp()?);
        }
        if flags & HAS_COMMIT_TIMESTAMP != 0 {
            completion.commit_timestamp = Some(self.timestamp()?);
        }
        if flags & HAS_SHARD != 0 {
            completion.shard = Some(self.varint()?);
        }
        if flags & HAS_SQLSTATE != 0 {
            completion.sqlstate = Some(self.text()?);
        }
        if flags & HAS_ERROR != 0 {
            completion.error = Some(self.text()?);
        }
        Ok(What::Complete { process, completion })
    }
}
