//! Jepsen's `history.edn`: operation maps, one after another or in one vector.
//!
//! ```text
//! ;; tenet-history {:workload "list-append", :facts {"initial" nil}}
//! {:type :invoke, :f :txn, :value [[:append 8 1]], :process 0, :time 5, :index 0}
//! #jepsen.history.Op{:type :ok, :f :txn, :value [[:append 8 1]], :process 0, :time 9, :index 1}
//! ```
//! The comment at the beginning is ours: other readers overlook it, and a history without a header has none. Maps may have
//! the tag of a record, and stand on as many lines as they like. What the keys mean: see [`crate::jepsen`].
//!
//! Can say everything, but for a process that goes on after an unknown outcome: it goes on as process + concurrency.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use super::porcupine_kv;
use crate::format::Head;
use crate::input::{Input, Notation};
use crate::jepsen::{ANSWER, OpReader, ToOps, with_keywords};
use crate::output::Output;
use crate::text::Trouble;
use crate::{Event, Header, HistoryError, Loss, Sink, Source, Value, edn};

const HEADER_COMMENT: &str = ";; tenet-history ";

pub(crate) fn fits(head: &Head<'_>) -> bool {
    let ops = head.edn_names().iter().any(|name| name == "type") && !porcupine_kv::fits(head);
    ops || head.is_empty_list() || head.bytes.starts_with(HEADER_COMMENT.as_bytes())
}

pub(crate) struct Reader<R> {
    header: Header,
    ops: OpReader<R>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(mut input: R, name: &str) -> Result<Reader<R>, HistoryError> {
        let first = input.fill_buf().map(|bytes| bytes.starts_with(HEADER_COMMENT.as_bytes()));
        let mut input = Input::new(input, name);
        let has_header = first.map_err(|source| input.unreadable(source))?;
        let header = if has_header && input.next_line()? { read_header(&input)? } else { Header::default() };
        Ok(Reader { header, ops: OpReader::new(input, Notation::Edn) })
    }
}

fn read_header<R: BufRead>(input: &Input<R>) -> Result<Header, HistoryError> {
    let offset = HEADER_COMMENT.len();
    let value = edn::parse(&input.line()[offset..]);
    let value = value.map_err(|trouble| input.error(Trouble { at: trouble.at + offset, ..trouble }))?;
    let header_of = |value: &Value| {
        let workload = value.field("workload")?.as_text()?.to_string();
        let facts = value.field("facts")?.as_map()?.iter();
        let facts =
            facts.map(|(name, fact)| Some((name.as_name()?.to_string(), fact.clone()))).collect::<Option<_>>()?;
        Some(Header { workload, facts })
    };
    let expected = "expected a header `{:workload \"..\", :facts {..}}`";
    header_of(&value).ok_or_else(|| input.error(Trouble::at(offset, format!("another map, {expected}"))))
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
        if *header != Header::default() {
            let facts = header.facts.iter().map(|(name, fact)| (Value::from(name.as_str()), fact.clone()));
            let facts = Value::Map(facts.collect::<BTreeMap<_, _>>());
            let workload = Value::from(header.workload.as_str());
            let header = Value::Map([(Value::keyword("workload"), workload), (Value::keyword("facts"), facts)].into());
            output.text.push_str(HEADER_COMMENT);
            if let Err(unsayable) = edn::write(&header, &mut output.text) {
                return Err(output.inexpressible(None, Loss::Values, unsayable.to_string()));
            }
            output.text.push('\n');
        }
        let ops = ToOps::new(header, output.concurrency);
        Ok(Writer { output, ops })
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        let op = self.ops.op(event, &self.output)?;
        let name = |name: &str| if edn::is_name(name) { Value::keyword(name) } else { Value::from(name) };
        let mut fields = vec![("type", Cow::Owned(Value::keyword(op.kind)))];
        if !op.function.is_empty() {
            fields.push(("f", Cow::Owned(name(&op.function))));
        }
        if !op.key.is_nil() {
            fields.push(("key", Cow::Borrowed(op.key.as_ref())));
        }
        fields.push(("value", with_keywords(&op.value, &op.function)));
        if let Some((_, answer)) = &op.answer {
            fields.push((ANSWER, Cow::Borrowed(answer.as_ref())));
        }
        fields.push(("process", Cow::Borrowed(&op.process)));
        fields.push(("time", Cow::Borrowed(op.time.as_ref())));
        for (name, value) in &op.fields {
            if edn::is_name(name) {
                fields.push((name, Cow::Borrowed(value.as_ref())));
            } else {
                self.output.lose(Loss::Extra, || format!("extra key `{name}`, no name of a keyword"))?;
            }
        }
        let text = &mut self.output.text;
        text.push('{');
        for (position, (name, value)) in fields.iter().enumerate() {
            text.push_str(if position == 0 { ":" } else { ", :" });
            text.push_str(name);
            text.push(' ');
            if let Err(unsayable) = edn::write(value, text) {
                return Err(self.output.refuse(Loss::Values, unsayable.to_string()));
            }
        }
        text.push_str("}\n");
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        self.output.finish()
    }
}
