//! Our text form: one JSON object a line, a header first. Drawn in docs/formats-history.md.
//!
//! ```text
//! {"tenet-history":2,"workload":"register","facts":{"initial":0}}
//! {"time_ns":10,"type":"invoke","process":0,"f":"write","key":1,"value":7}
//! {"time_ns":20,"type":"ok","process":0,"commit_timestamp":44}
//! ```
//! Version 2 says more than version 1: values that JSON has no form for (`{"$edn":":x"}`), `extra`, `shard`, details of
//! faults that are no text. A reader of version 1 would take `{"$edn":..}` for a map: hence the new number. Both are read.
//!
//! Reading is strict (an unknown field is an error, not a loss), streams, and forgives one thing: a last line that was cut
//! short, because the writer may have died (H4). Can say everything that the model can.

mod line;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::format::Head;
use crate::input::{CHUNK_BYTES_MAX, Input};
use crate::output::Output;
use crate::value::EDN_FIELD;
use crate::{Event, Header, HistoryError, Loss, Sink, Source, Value, edn};
use line::{Line, Misfit};

/// Grows when a reader of the older version could misread the newer one.
pub const FORMAT_VERSION: u64 = 2;

const FORMAT_VERSION_FIRST: u64 = 1;

/// No line is longer.
pub const LINE_BYTES_MAX: usize = CHUNK_BYTES_MAX;

pub(crate) fn fits(head: &Head<'_>) -> bool {
    head.json_names().iter().any(|name| name == "tenet-history")
}

#[derive(Deserialize)]
struct VersionLine {
    #[serde(rename = "tenet-history")]
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine<'a> {
    #[serde(rename = "tenet-history")]
    version: u64,
    workload: Cow<'a, str>,
    #[serde(default)]
    facts: Cow<'a, BTreeMap<String, Value>>,
}

pub(crate) struct Reader<R> {
    input: Input<R>,
    header: Header,
    version: u64,
    last_ns: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(input: R, name: &str) -> Result<Reader<R>, HistoryError> {
        let mut reader = Reader { input: Input::new(input, name), header: Header::default(), version: 0, last_ns: 0 };
        if !reader.input.next_line()? {
            return Err(reader.problem(0, "empty input, expected a header line `{\"tenet-history\":2,..}`"));
        }
        // The version is looked at first: another version's header may have other fields.
        let version: VersionLine = reader.parse()?;
        if !(FORMAT_VERSION_FIRST..=FORMAT_VERSION).contains(&version.version) {
            let (file, found) = (format!("{}:1", reader.input.name()), version.version);
            return Err(HistoryError::Version { file, found, known: FORMAT_VERSION });
        }
        reader.version = version.version;
        let header: HeaderLine<'static> = reader.parse()?;
        let mut facts = header.facts.into_owned();
        for fact in facts.values_mut() {
            reader.read_edn(fact)?;
        }
        reader.header = Header { workload: header.workload.into_owned(), facts };
        Ok(reader)
    }

    /// Values that JSON has no form for come as text within an object.
    fn read_edn(&self, value: &mut Value) -> Result<(), HistoryError> {
        if self.version == FORMAT_VERSION_FIRST {
            return Ok(());
        }
        match value {
            Value::List(list) => list.iter_mut().try_for_each(|value| self.read_edn(value)),
            Value::Map(fields) => {
                let Some(text) = fields.get(&Value::from(EDN_FIELD)) else {
                    return fields.values_mut().try_for_each(|value| self.read_edn(value));
                };
                let (Some(text), 1) = (text.as_text(), fields.len()) else {
                    let problem = format!("more than a text in an object with `{EDN_FIELD}`, expected EDN text alone");
                    return Err(self.problem(self.place_of(EDN_FIELD), &problem));
                };
                *value = edn::parse(text.as_bytes()).map_err(|trouble| {
                    let problem = format!("in the EDN {text:?}, byte {}: {}", trouble.at + 1, trouble.problem);
                    self.problem(self.place_of(EDN_FIELD), &problem)
                })?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T, HistoryError> {
        serde_json::from_slice(self.input.line()).map_err(|error| {
            let problem = error.to_string();
            let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
            self.problem(error.column().max(1) - 1, problem)
        })
    }

    /// `at` in bytes, from 0. The header is never thought to be cut short: without it there is no history.
    fn problem(&self, at: usize, problem: &str) -> HistoryError {
        match self.input.line_error(at.min(self.input.chunk().len()), problem) {
            HistoryError::Syntax { file, line, column, problem, cut_short } => {
                HistoryError::Syntax { file, line, column, problem, cut_short: cut_short && line > 1 }
            }
            error => error,
        }
    }

    fn place_of(&self, field: &str) -> usize {
        let quoted = format!("\"{field}\"");
        self.input.line().windows(quoted.len()).position(|window| window == quoted.as_bytes()).unwrap_or(0)
    }
}

impl<R: BufRead> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        if !self.input.next_line()? {
            return Ok(None);
        }
        let mut line: Line<'static> = self.parse()?;
        // `$edn` may be spelt with an escape.
        let bytes = self.input.line();
        if bytes.contains(&b'$') || bytes.contains(&b'\\') {
            self.read_edn(line.key.to_mut())?;
            self.read_edn(line.value.to_mut())?;
            line.extra.to_mut().values_mut().try_for_each(|value| self.read_edn(value))?;
        }
        let event = line.into_event().map_err(|misfit| match misfit {
            Misfit::Missing(field, kind) => {
                self.problem(0, &format!("no field `{field}`, expected it in a line of type `{kind}`"))
            }
            Misfit::Surplus(field, kind) => self
                .problem(self.place_of(field), &format!("field `{field}`, expected none in a line of type `{kind}`")),
        })?;
        if event.time_ns < self.last_ns {
            let problem = format!("time_ns {} after {}, expected time not to go back", event.time_ns, self.last_ns);
            return Err(self.problem(self.place_of("time_ns"), &problem));
        }
        self.last_ns = event.time_ns;
        Ok(Some(event))
    }

    fn line(&self) -> Option<usize> {
        Some(self.input.line_number())
    }
}

pub(crate) struct Writer<W> {
    output: Output<W>,
}

impl<W: Write> Writer<W> {
    pub fn new(output: Output<W>, header: &Header) -> Result<Writer<W>, HistoryError> {
        let line = HeaderLine {
            version: FORMAT_VERSION,
            workload: Cow::Borrowed(&header.workload),
            facts: Cow::Borrowed(&header.facts),
        };
        let mut writer = Writer { output };
        writer.line(&line, None)?;
        Ok(writer)
    }

    fn line(&mut self, line: &impl Serialize, event: Option<usize>) -> Result<(), HistoryError> {
        let unsayable = |what: String| self.output.inexpressible(event, Loss::Values, what);
        let text = serde_json::to_string(line).map_err(|error| unsayable(error.to_string()))?;
        if text.len() >= LINE_BYTES_MAX {
            return Err(unsayable(format!("a line of {} bytes, more than {LINE_BYTES_MAX}", text.len())));
        }
        self.output.text.push_str(&text);
        self.output.text.push('\n');
        Ok(())
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        self.line(&Line::of(event), Some(self.output.position))?;
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        self.output.finish()
    }
}
