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

use serde::Serialize;

use crate::format::Head;
use crate::input::{CHUNK_BYTES_MAX, Input};
use crate::output::Output;
use crate::text::{Field, Trouble};
use crate::value::EDN_FIELD;
use crate::{Event, Header, HistoryError, Loss, Sink, Source, Value, edn, json};
use line::Line;

/// Grows when a reader of the older version could misread the newer one.
pub const FORMAT_VERSION: u64 = 2;

const FORMAT_VERSION_FIRST: u64 = 1;

/// The field of the header that has the version.
const VERSION: &str = "tenet-history";

/// No line is longer.
pub const LINE_BYTES_MAX: usize = CHUNK_BYTES_MAX;

pub(crate) fn fits(head: &Head<'_>) -> bool {
    head.json_names().iter().any(|name| name == "tenet-history")
}

#[derive(Serialize)]
struct HeaderLine<'a> {
    #[serde(rename = "tenet-history")]
    version: u64,
    workload: Cow<'a, str>,
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
        let (start, fields) = reader.fields("the header")?;
        // The version is looked at first: another version's header may have other fields.
        let is_version = |field: &&Field<'_>| field.name == VERSION;
        let version = match fields.iter().find(is_version) {
            Some(field) => line::unsigned(field).map_err(|trouble| reader.trouble(trouble))?,
            None => return Err(reader.problem(start, "no field `tenet-history`, expected it in the header")),
        };
        if !(FORMAT_VERSION_FIRST..=FORMAT_VERSION).contains(&version) {
            let (file, found) = (format!("{}:1", reader.input.name()), version);
            return Err(HistoryError::Version { file, found, known: FORMAT_VERSION });
        }
        let (header, start) = reader.read_header(fields, start, version).map_err(|trouble| reader.trouble(trouble))?;
        let Some(header) = header else {
            return Err(reader.problem(start, "no field `workload`, expected it in the header"));
        };
        (reader.header, reader.version) = (header, version);
        Ok(reader)
    }

    fn read_header(
        &self,
        fields: Vec<Field<'_>>,
        start: usize,
        version: u64,
    ) -> Result<(Option<Header>, usize), Trouble> {
        let (mut workload, mut facts) = (None, BTreeMap::new());
        for mut field in fields {
            match field.name.as_ref() {
                VERSION => {}
                "workload" => workload = Some(line::text(field)?.into_owned()),
                "facts" => {
                    settle(&mut field, version, self.input.line())?;
                    let Value::Map(map) = field.value else { return Err(line::expected(&field, "an object")) };
                    let fact = |(name, value)| if let Value::Text(name) = name { Some((name, value)) } else { None };
                    facts = map.into_iter().filter_map(fact).collect();
                }
                name => {
                    let known = "`tenet-history`, `workload`, `facts`";
                    return Err(Trouble::at(field.at, format!("field `{name}`, expected one of {known}")));
                }
            }
        }
        Ok((workload.map(|workload| Header { workload, facts }), start))
    }

    /// Of this line, and where it begins.
    fn fields(&self, what: &str) -> Result<(usize, Vec<Field<'_>>), HistoryError> {
        let fields = json::parse_fields(self.input.line()).map_err(|trouble| self.trouble(trouble))?;
        fields.ok_or_else(|| self.problem(0, &format!("an empty line, expected {what}")))
    }

    fn trouble(&self, trouble: Trouble) -> HistoryError {
        self.problem(trouble.at, &trouble.problem)
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
}

/// Numbers that are no integers of 64 bits are refused, and values that JSON has no form for, which come as text within an
/// object, are made what they are.
fn settle(field: &mut Field<'_>, version: u64, line: &[u8]) -> Result<(), Trouble> {
    fn settled(value: &mut Value, version: u64) -> Result<(), String> {
        match value {
            Value::Number(number) => Err(format!("number {number}, expected an integer of 64 bits")),
            Value::List(list) => list.iter_mut().try_for_each(|value| settled(value, version)),
            Value::Map(fields) => {
                let edn = if version == FORMAT_VERSION_FIRST { None } else { fields.get(&Value::from(EDN_FIELD)) };
                let Some(text) = edn else {
                    return fields.values_mut().try_for_each(|value| settled(value, version));
                };
                let (Some(text), 1) = (text.as_text(), fields.len()) else {
                    return Err(format!("more than a text in an object with `{EDN_FIELD}`, expected EDN text alone"));
                };
                let problem =
                    |trouble: Trouble| format!("in the EDN {text:?}, byte {}: {}", trouble.at + 1, trouble.problem);
                *value = edn::parse(text.as_bytes()).map_err(problem)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
    // What has names of its own is no value.
    let result = match &mut field.value {
        Value::Map(map) if matches!(field.name.as_ref(), "extra" | "facts") => {
            map.values_mut().try_for_each(|value| settled(value, version))
        }
        value => settled(value, version),
    };
    result.map_err(|problem| {
        // The place of the object, if there is one.
        let quoted = format!("\"{EDN_FIELD}\"");
        let edn = line[field.at..].windows(quoted.len()).position(|window| window == quoted.as_bytes());
        Trouble::at(field.at + edn.filter(|_| problem.contains("EDN")).unwrap_or(0), problem)
    })
}

impl<R: BufRead> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        if !self.input.next_line()? {
            return Ok(None);
        }
        let (start, mut fields) = self.fields("an event")?;
        let line = self.input.line();
        let mut time_at = start;
        for field in &mut fields {
            match field.name.as_ref() {
                "key" | "value" | "extra" => {
                    settle(field, self.version, line).map_err(|trouble| self.trouble(trouble))?
                }
                "time_ns" => time_at = field.at,
                _ => {}
            }
        }
        let event = line::event(fields, start).map_err(|trouble| self.trouble(trouble))?;
        if event.time_ns < self.last_ns {
            let problem = format!("time_ns {} after {}, expected time not to go back", event.time_ns, self.last_ns);
            return Err(self.problem(time_at, &problem));
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
