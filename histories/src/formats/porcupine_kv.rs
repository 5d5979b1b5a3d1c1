//! Porcupine's key-value text: a map of five keys a line, as in its test data.
//!
//! ```text
//! {:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}
//! {:process 0, :type :ok, :f :append, :key "0", :value "x 0 0 y"}
//! {:process 1, :type :invoke, :f :get, :key "0", :value nil}
//! {:process 1, :type :ok, :f :get, :key "0", :value "x 0 0 y"}
//! ```
//! The order of the keys is fixed and texts have no escapes: Porcupine reads the lines with regular expressions.
//!
//! Every key holds the empty text at first, as in Porcupine's model.
//!
//! Cannot say: anything but get, put and append of texts that succeed or are never answered; times, the header, faults.

use std::io::{BufRead, Write};

use crate::format::Head;
use crate::input::{Input, Notation};
use crate::jepsen::{OpReader, ToOps};
use crate::output::Output;
use crate::{Event, Header, HistoryError, Loss, Sink, Source, Value, What, facts, functions};

const KEYS: [&str; 5] = ["process", "type", "f", "key", "value"];

pub(crate) fn fits(head: &Head<'_>) -> bool {
    head.edn_names() == KEYS
}

fn header() -> Header {
    Header { workload: String::new(), facts: [(facts::INITIAL.to_string(), "".into())].into() }
}

pub(crate) struct Reader<R> {
    header: Header,
    ops: OpReader<R>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, name: &str) -> Reader<R> {
        Reader { header: header(), ops: OpReader::new(Input::new(input, name), Notation::Edn) }
    }
}

impl<R: BufRead> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        self.ops.next_event()
    }

    fn line(&self) -> Option<usize> {
        Some(self.ops.line())
    }
}

pub(crate) struct Writer<W> {
    output: Output<W>,
    ops: ToOps,
}

impl<W: Write> Writer<W> {
    pub fn new(output: Output<W>, given: &Header) -> Result<Writer<W>, HistoryError> {
        if *given != header() {
            output.lose_header(given)?;
        }
        let ops = ToOps::new(given, output.concurrency);
        Ok(Writer { output, ops })
    }

    /// A text that stands between quotes as it is.
    fn plain<'v>(&self, name: &str, value: &'v Value) -> Result<&'v str, HistoryError> {
        let text =
            value.as_text().filter(|text| !text.chars().any(|char| matches!(char, '"' | '\\') || char.is_control()));
        text.ok_or_else(|| {
            self.output.refuse(Loss::Values, format!("{name} {value}, no text without quotes and escapes"))
        })
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        if matches!(event.what, What::Fault(_) | What::Phase { .. } | What::Alarm(_)) {
            self.output.lose(Loss::Faults, || "a fault, phase or alarm".to_string())?;
            return self.output.event_done();
        }
        self.output.lose_time(event)?;
        let op = self.ops.op(event, &self.output)?;
        match op.kind {
            // Whoever is never answered may have had an effect, or not.
            "info" => {
                self.output.lose(Loss::Failures, || "an unknown outcome".to_string())?;
                return self.output.event_done();
            }
            "fail" => return Err(self.output.refuse(Loss::Failures, "an operation that failed".to_string())),
            _ => {}
        }
        let Value::Int(process) = op.process else {
            return Err(self.output.refuse(Loss::Values, format!("process {}, no number", op.process)));
        };
        let get = op.function == functions::GET;
        if !get && op.function != functions::PUT && op.function != functions::APPEND {
            return Err(self
                .output
                .refuse(Loss::Values, format!("function `{}`, neither get, put nor append", op.function)));
        }
        if let Some((name, _)) = op.fields.first() {
            let loss = if name.ends_with("timestamp") || name == "shard" { Loss::Timestamps } else { Loss::Extra };
            self.output.lose(loss, || format!("`{name}`"))?;
        }
        let key = self.plain("key", &op.key)?;
        let value = match (op.kind, get) {
            ("invoke", true) if op.value.is_nil() => "nil".to_string(),
            ("ok", true) | (_, false) => format!("\"{}\"", self.plain("value", &op.value)?),
            _ => return Err(self.output.refuse(Loss::Values, format!("value {} of a get", op.value))),
        };
        let (kind, function) = (op.kind, &op.function);
        let line = format!("{{:process {process}, :type :{kind}, :f :{function}, :key \"{key}\", :value {value}}}\n");
        self.output.text.push_str(&line);
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        self.output.finish()
    }
}
