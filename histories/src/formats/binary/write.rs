//! Events to blocks.

use std::collections::BTreeMap;
use std::io::Write;

use super::*;
use crate::output::Output;
use crate::{Event, FaultEdge, Header, HistoryError, Loss, Outcome, Sink, Value, What};

pub(crate) struct Writer<W> {
    output: Output<W>,
    block: Vec<u8>,
    names: BTreeMap<String, u64>,
    last_ns: u64,
    last_timestamp: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(mut output: Output<W>, header: &Header) -> Result<Writer<W>, HistoryError> {
        output.write_bytes(&MAGIC)?;
        output.write_bytes(&VERSION.to_le_bytes())?;
        let mut writer = Writer { output, block: Vec::new(), names: BTreeMap::new(), last_ns: 0, last_timestamp: 0 };
        writer.text(&header.workload);
        writer.varint(header.facts.len() as u64);
        for (name, fact) in &header.facts {
            writer.text(name);
            writer.value(fact);
        }
        writer.end_block()?;
        Ok(writer)
    }

    fn end_block(&mut self) -> Result<(), HistoryError> {
        if self.block.len() > BLOCK_BYTES_MAX {
            let what = format!("an event of about {} bytes, more than {BLOCK_BYTES_MAX}", self.block.len());
            return Err(self.output.refuse(Loss::Values, what));
        }
        self.output.write_bytes(&(self.block.len() as u32).to_le_bytes())?;
        self.output.write_bytes(&crc32c::crc32c(&self.block).to_le_bytes())?;
        self.output.write_bytes(&self.block)?;
        self.block.clear();
        Ok(())
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.block.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.block.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        if let Some(number) = self.names.get(text) {
            return self.varint(TEXT_NAMES + number);
        }
        if text.len() <= NAME_BYTES_MAX && self.names.len() < NAMES_MAX {
            self.names.insert(text.to_string(), self.names.len() as u64);
            self.varint(TEXT_NEW_NAME);
        } else {
            self.varint(TEXT_PLAIN);
        }
        self.varint(text.len() as u64);
        self.block.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Nil => self.block.push(VALUE_NIL),
            Value::Bool(false) => self.block.push(VALUE_FALSE),
            Value::Bool(true) => self.block.push(VALUE_TRUE),
            Value::Int(int) => match u8::try_from(*int).ok().and_then(|small| small.checked_add(VALUE_SMALL)) {
                Some(kind) => self.block.push(kind),
                None => {
                    self.block.push(VALUE_INT);
                    self.varint(((int << 1) ^ (int >> 63)) as u64);
                }
            },
            Value::Number(text) => self.tagged_text(VALUE_NUMBER, text),
            Value::Text(text) => self.tagged_text(VALUE_TEXT, text),
            Value::Keyword(text) => self.tagged_text(VALUE_KEYWORD, text),
            Value::Symbol(text) => self.tagged_text(VALUE_SYMBOL, text),
            Value::List(list) => self.values(VALUE_LIST, list.len(), list),
            Value::Set(set) => self.values(VALUE_SET, set.len(), set),
            Value::Map(map) => {
                let flat = map.iter().flat_map(|(key, value)| [key, value]);
                self.values(VALUE_MAP, map.len(), flat);
            }
            Value::Tagged(tag, value) => {
                self.tagged_text(VALUE_TAGGED, tag);
                self.value(value);
            }
        }
    }

    fn tagged_text(&mut self, kind: u8, text: &str) {
        self.block.push(kind);
        self.text(text);
    }

    fn values<'v>(&mut self, kind: u8, count: usize, values: impl IntoIterator<Item = &'v Value>) {
        self.block.push(kind);
        self.varint(count as u64);
        values.into_iter().for_each(|value| self.value(value));
    }

    fn timestamp(&mut self, timestamp: u64) {
        let difference = timestamp.wrapping_sub(self.last_timestamp) as i64;
        self.varint(((difference << 1) ^ (difference >> 63)) as u64);
        self.last_timestamp = timestamp;
    }

    fn event(&mut self, event: &Event) {
        let kind = match &event.what {
            What::Invoke { .. } => EVENT_INVOKE,
            What::Complete { completion, .. } => match completion.outcome {
                Outcome::Ok => EVENT_OK,
                Outcome::Fail => EVENT_FAIL,
                Outcome::Unknown => EVENT_UNKNOWN,
            },
            What::Fault(_) => EVENT_FAULT,
            What::Phase { .. } => EVENT_PHASE,
            What::Alarm(_) => EVENT_ALARM,
        };
        self.block.push(if event.extra.is_empty() { kind } else { kind | EVENT_HAS_EXTRA });
        self.varint(event.time_ns - self.last_ns);
        self.last_ns = event.time_ns;
        match &event.what {
            What::Invoke { process, call } => {
                self.varint(process.0.into());
                self.text(&call.function);
                self.value(&call.key);
                self.value(&call.value);
            }
            What::Complete { process, completion } => {
                self.varint(process.0.into());
                self.value(&completion.value);
                let flag = |there: bool, flag| if there { flag } else { 0 };
                self.block.push(
                    flag(completion.read_timestamp.is_some(), HAS_READ_TIMESTAMP)
                        | flag(completion.commit_timestamp.is_some(), HAS_COMMIT_TIMESTAMP)
                        | flag(completion.shard.is_some(), HAS_SHARD)
                        | flag(completion.sqlstate.is_some(), HAS_SQLSTATE)
                        | flag(completion.error.is_some(), HAS_ERROR),
                );
                for timestamp in [completion.read_timestamp, completion.commit_timestamp].into_iter().flatten() {
                    self.timestamp(timestamp);
                }
                completion.shard.iter().for_each(|shard| self.varint(*shard));
                completion.sqlstate.iter().chain(&completion.error).for_each(|text| self.text(text));
            }
            What::Fault(fault) => {
                self.text(&fault.name);
                self.block.push(match fault.edge {
                    FaultEdge::Begin => 0,
                    FaultEdge::End => 1,
                    FaultEdge::Strike => 2,
                });
                self.value(&fault.detail);
            }
            What::Phase { name, calm } => {
                self.text(name);
                self.block.push(u8::from(*calm));
            }
            What::Alarm(alarm) => {
                let process = if alarm.process.is_some() { HAS_PROCESS } else { 0 };
                let sqlstate = if alarm.sqlstate.is_some() { HAS_SQLSTATE } else { 0 };
                self.block.push(process | sqlstate);
                alarm.process.iter().for_each(|process| self.varint(process.0.into()));
                alarm.sqlstate.iter().for_each(|sqlstate| self.text(sqlstate));
                self.text(&alarm.message);
            }
        }
        if !event.extra.is_empty() {
            self.varint(event.extra.iter().count() as u64);
            for (name, value) in event.extra.iter() {
                self.text(name);
                self.value(value);
            }
        }
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        if event.time_ns < self.last_ns {
            let what = format!("time {} ns after {}", event.time_ns, self.last_ns);
            return Err(self.output.refuse(Loss::Time, what));
        }
        self.event(event);
        if self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.output.write_bytes(&[0; 8])?;
        self.output.finish()
    }
}
