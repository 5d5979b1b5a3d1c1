//! elle-cli's JSON: Jepsen's operations as objects, in one array or one after another.
//!
//! ```text
//! [{"type":"invoke","f":"txn","value":[["append",8,1],["r",9,null]],"process":0,"time":5,"index":0},
//!  {"type":"ok","f":"txn","value":[["append",8,1],["r",9,[3]]],"process":0,"time":9,"index":1}]
//! ```
//! `f` may be left out where the value is a list of micro-operations. What the keys mean: see [`crate::jepsen`].
//!
//! Cannot say: the header; keywords, sets, ratios and other values of EDN; maps whose keys are no text; and, as Jepsen's EDN,
//! that a process goes on after an unknown outcome.

use std::borrow::Cow;
use std::io::{BufRead, Write};

use crate::format::Head;
use crate::input::{Input, Notation};
use crate::jepsen::{ANSWER, NEMESIS, OpReader, ToOps};
use crate::output::Output;
use crate::{Event, Header, HistoryError, Loss, Sink, Source, Value, json};

pub(crate) fn fits(head: &Head<'_>) -> bool {
    let names = head.json_names();
    let first_is = |byte| head.first() == Some(byte);
    let op = names.iter().any(|name| name == "type") && names.iter().all(|name| name != "tenet-history");
    head.is_empty_list() && first_is(b'[') || op && names.iter().all(|name| name != "time_ns")
}

pub(crate) struct Reader<R> {
    header: Header,
    ops: OpReader<R>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, name: &str) -> Reader<R> {
        Reader { header: Header::default(), ops: OpReader::new(Input::new(input, name), Notation::Json) }
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
    pub fn new(mut output: Output<W>, header: &Header) -> Result<Writer<W>, HistoryError> {
        output.lose_header(header)?;
        let ops = ToOps::new(header, output.concurrency);
        output.text.push('[');
        Ok(Writer { output, ops })
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        let op = self.ops.op(event, &self.output)?;
        let mut fields = vec![("type", Cow::Owned(Value::from(op.kind)))];
        if !op.function.is_empty() {
            fields.push(("f", Cow::Owned(Value::from(op.function.as_ref()))));
        }
        if !op.key.is_nil() {
            fields.push(("key", Cow::Borrowed(op.key.as_ref())));
        }
        fields.push(("value", Cow::Borrowed(op.value.as_ref())));
        if let Some((_, answer)) = &op.answer {
            fields.push((ANSWER, Cow::Borrowed(answer.as_ref())));
        }
        // The nemesis is a keyword elsewhere.
        let nemesis = op.process == Value::keyword(NEMESIS);
        let process = if nemesis { Cow::Owned(Value::from(NEMESIS)) } else { Cow::Borrowed(&op.process) };
        fields.push(("process", process));
        fields.push(("time", Cow::Borrowed(op.time.as_ref())));
        fields.extend(op.fields.iter().map(|(name, value)| (name.as_ref(), Cow::Borrowed(value.as_ref()))));
        for (name, value) in &fields {
            if let Some(part) = json::first_unsayable(value) {
                self.output.lose(Loss::Values, || format!("`{name}` with {part}, no value of JSON"))?;
            }
        }
        let text = &mut self.output.text;
        text.push_str(if self.output.position == 0 { "{" } else { ",\n{" });
        for (position, (name, value)) in fields.iter().enumerate() {
            text.push_str(if position == 0 { "" } else { "," });
            json::write_string(name, text);
            text.push(':');
            json::write(value, text);
        }
        text.push('}');
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        self.output.text.push_str("]\n");
        self.output.finish()
    }
}
