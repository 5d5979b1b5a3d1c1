//! The text form: one JSON object a line, a header first. Drawn in docs/formats-history.md.
//!
//! Version 2 says more than version 1: values that JSON has no form for (`{"$edn":":x"}`), `extra`, `shard`, details of
//! faults that are no text. A reader of version 1 would take `{"$edn":..}` for a map: hence the new number. Both are read.
//!
//! Reading is strict (an unknown field is an error, not a loss), streams, and forgives one thing: a last line that was cut
//! short, because the writer may have died (H4).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::edn::Parser;
use crate::value::EDN_FIELD;
use crate::{
    Alarm, Call, Completion, Event, Extra, Fault, FaultEdge, Header, History, Outcome, Process, Value, What, functions,
};

/// Grows when a reader of the older version could misread the newer one.
pub const FORMAT_VERSION: u64 = 2;

const FORMAT_VERSION_FIRST: u64 = 1;

/// No line is longer: a whole-table read of some 500,000 rows. Guards the memory of a reader that was given another file.
pub const LINE_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("{file}: cannot {action}: {source}")]
    Io { file: String, action: &'static str, source: io::Error },
    #[error("{file}:{line}:{column}: {problem}")]
    Syntax {
        file: String,
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What was found and what was expected.
        problem: String,
        /// The line ends the file without a line break: it may have been cut short.
        cut_short: bool,
    },
    #[error(
        "{file}:1: history format version {found}, expected at most {FORMAT_VERSION}: read it with the program that wrote it"
    )]
    Version { file: String, found: u64 },
}

/// A history and what was amiss with its end.
#[derive(Debug)]
pub struct Reading {
    pub history: History,
    /// The last line was cut short and is left out.
    pub truncated: Option<HistoryError>,
}

/// Reads a whole history. `name` is for errors: the path, or `standard input`.
pub fn read(input: impl BufRead, name: &str) -> Result<Reading, HistoryError> {
    let mut reader = Reader::new(input, name)?;
    let mut history = History { header: reader.header().clone(), events: Vec::new() };
    loop {
        match reader.next_event() {
            Ok(Some(event)) => history.events.push(event),
            Ok(None) => return Ok(Reading { history, truncated: None }),
            Err(error @ HistoryError::Syntax { cut_short: true, .. }) => {
                return Ok(Reading { history, truncated: Some(error) });
            }
            Err(error) => return Err(error),
        }
    }
}

pub fn read_file(path: &Path) -> Result<Reading, HistoryError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| HistoryError::Io {
        file: name.clone(),
        action: "open the history",
        source,
    })?;
    read(BufReader::new(file), &name)
}

pub fn write(history: &History, output: &mut impl Write) -> io::Result<()> {
    let header = HeaderLine {
        version: FORMAT_VERSION,
        workload: Cow::Borrowed(&history.header.workload),
        facts: Cow::Borrowed(&history.header.facts),
    };
    write_line(&header, output)?;
    for event in &history.events {
        write_line(&Line::of(event), output)?;
    }
    output.flush()
}

/// Writes a whole history; an existing file is replaced.
pub fn write_file(history: &History, path: &Path) -> Result<(), HistoryError> {
    File::create(path).and_then(|file| write(history, &mut BufWriter::new(file))).map_err(|source| HistoryError::Io {
        file: path.display().to_string(),
        action: "write the history",
        source,
    })
}

fn write_line(line: &impl Serialize, output: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")
}

/// Reads event by event; holds one line in memory.
pub struct Reader<R> {
    input: R,
    name: String,
    header: Header,
    version: u64,
    /// The line in `bytes`, from 1.
    line: usize,
    bytes: Vec<u8>,
    last_ns: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(input: R, name: &str) -> Result<Reader<R>, HistoryError> {
        let mut reader = Reader {
            input,
            name: name.to_string(),
            header: Header::default(),
            version: 0,
            line: 0,
            bytes: Vec::new(),
            last_ns: 0,
        };
        if !reader.next_line()? {
            return Err(reader.problem(1, "empty input, expected a header line `{\"tenet-history\":2,..}`"));
        }
        // The version is looked at first: another version's header may have other fields.
        let version: VersionLine = reader.parse()?;
        if !(FORMAT_VERSION_FIRST..=FORMAT_VERSION).contains(&version.version) {
            return Err(HistoryError::Version { file: reader.name, found: version.version });
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

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next event; None at the end. After an error there is nothing more to ask for.
    pub fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        if !self.next_line()? {
            return Ok(None);
        }
        let mut line: Line<'static> = self.parse()?;
        // `$edn` may be spelt with an escape.
        if self.bytes.contains(&b'$') || self.bytes.contains(&b'\\') {
            self.read_edn(line.key.to_mut())?;
            self.read_edn(line.value.to_mut())?;
            line.extra.to_mut().values_mut().try_for_each(|value| self.read_edn(value))?;
        }
        let event = line.into_event().map_err(|misfit| match misfit {
            Misfit::Missing(field, kind) => {
                self.problem(1, &format!("no field `{field}`, expected it in a line of type `{kind}`"))
            }
            Misfit::Surplus(field, kind) => self
                .problem(self.column_of(field), &format!("field `{field}`, expected none in a line of type `{kind}`")),
        })?;
        if event.time_ns < self.last_ns {
            let problem = format!("time_ns {} after {}, expected time not to go back", event.time_ns, self.last_ns);
            return Err(self.problem(self.column_of("time_ns"), &problem));
        }
        self.last_ns = event.time_ns;
        Ok(Some(event))
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
                    return Err(self.problem(self.column_of(EDN_FIELD), &problem));
                };
                *value = Parser::new(text.as_bytes()).only_form().map_err(|trouble| {
                    let problem = format!("in the EDN {text:?}, byte {}: {}", trouble.at + 1, trouble.problem);
                    self.problem(self.column_of(EDN_FIELD), &problem)
                })?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn next_line(&mut self) -> Result<bool, HistoryError> {
        self.bytes.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        (&mut self.input).take(limit).read_until(b'\n', &mut self.bytes).map_err(|source| HistoryError::Io {
            file: self.name.clone(),
            action: "read the history",
            source,
        })?;
        self.line += 1;
        if self.bytes.len() > LINE_BYTES_MAX {
            let problem = format!("line longer than {LINE_BYTES_MAX} bytes, expected a history");
            // Not a line cut short, whatever it ends with.
            self.bytes = vec![b'\n'];
            return Err(self.problem(1, &problem));
        }
        Ok(!self.bytes.is_empty())
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T, HistoryError> {
        // serde_json counts the line break as the start of line 2.
        let text = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        serde_json::from_slice(text).map_err(|error| {
            let problem = error.to_string();
            let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
            self.problem(error.column().max(1), problem)
        })
    }

    fn problem(&self, column: usize, problem: &str) -> HistoryError {
        HistoryError::Syntax {
            file: self.name.clone(),
            line: self.line,
            column,
            problem: problem.to_string(),
            cut_short: self.line > 1 && !self.bytes.ends_with(b"\n"),
        }
    }

    fn column_of(&self, field: &str) -> usize {
        let quoted = format!("\"{field}\"");
        self.bytes.windows(quoted.len()).position(|window| window == quoted.as_bytes()).unwrap_or(0) + 1
    }
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

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Invoke,
    Ok,
    Fail,
    Unknown,
    Fault,
    Phase,
    Alarm,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Edge {
    Begin,
    End,
    Strike,
}

/// Every field that any line may have; which line has which is checked after, with better words than serde has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    time_ns: u64,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edge: Option<Edge>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calm: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    f: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Value::is_nil")]
    key: Cow<'a, Value>,
    #[serde(default, skip_serializing_if = "Value::is_nil")]
    value: Cow<'a, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_timestamp: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit_timestamp: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sqlstate: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "extra_is_empty")]
    extra: Cow<'a, Extra>,
}

fn extra_is_empty(extra: &Extra) -> bool {
    extra.is_empty()
}

/// A field, and the type of the line that lacks it or has it in vain.
enum Misfit {
    Missing(&'static str, &'static str),
    Surplus(&'static str, &'static str),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Unknown => "unknown",
            Kind::Fault => "fault",
            Kind::Phase => "phase",
            Kind::Alarm => "alarm",
        }
    }

    /// The fields besides `time_ns`, `type` and `extra` that may stand in such a line.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Invoke => &["process", "f", "key", "value"],
            Kind::Ok => &["process", "value", "read_timestamp", "commit_timestamp", "shard"],
            Kind::Fail | Kind::Unknown => {
                &["process", "value", "read_timestamp", "commit_timestamp", "shard", "sqlstate", "error"]
            }
            Kind::Fault => &["name", "edge", "value"],
            Kind::Phase => &["name", "calm"],
            Kind::Alarm => &["process", "sqlstate", "error"],
        }
    }
}

impl<'a> Line<'a> {
    fn blank(time_ns: u64, kind: Kind) -> Line<'a> {
        Line {
            time_ns,
            kind,
            process: None,
            f: None,
            key: Cow::Owned(Value::Nil),
            value: Cow::Owned(Value::Nil),
            read_timestamp: None,
            commit_timestamp: None,
            shard: None,
            sqlstate: None,
            error: None,
            extra: Cow::Owned(Extra::default()),
            name: None,
            edge: None,
            calm: None,
        }
    }

    fn of(event: &'a Event) -> Line<'a> {
        let blank = |kind| Line { extra: Cow::Borrowed(&event.extra), ..Line::blank(event.time_ns, kind) };
        match &event.what {
            What::Invoke { process, call } => Line {
                process: Some(process.0),
                f: Some(Cow::Borrowed(&call.function)),
                key: Cow::Borrowed(&call.key),
                value: Cow::Borrowed(&call.value),
                ..blank(Kind::Invoke)
            },
            What::Complete { process, completion } => Line {
                process: Some(process.0),
                value: Cow::Borrowed(&completion.value),
                read_timestamp: completion.read_timestamp,
                commit_timestamp: completion.commit_timestamp,
                shard: completion.shard,
                sqlstate: completion.sqlstate.as_deref().map(Cow::Borrowed),
                error: completion.error.as_deref().map(Cow::Borrowed),
                ..blank(match completion.outcome {
                    Outcome::Ok => Kind::Ok,
                    Outcome::Fail => Kind::Fail,
                    Outcome::Unknown => Kind::Unknown,
                })
            },
            What::Fault(fault) => Line {
                name: Some(Cow::Borrowed(&fault.name)),
                edge: Some(match fault.edge {
                    FaultEdge::Begin => Edge::Begin,
                    FaultEdge::End => Edge::End,
                    FaultEdge::Strike => Edge::Strike,
                }),
                value: Cow::Borrowed(&fault.detail),
                ..blank(Kind::Fault)
            },
            What::Phase { name, calm } => {
                Line { name: Some(Cow::Borrowed(name)), calm: Some(*calm), ..blank(Kind::Phase) }
            }
            What::Alarm(alarm) => Line {
                process: alarm.process.map(|process| process.0),
                sqlstate: alarm.sqlstate.as_deref().map(Cow::Borrowed),
                error: Some(Cow::Borrowed(&alarm.message)),
                ..blank(Kind::Alarm)
            },
        }
    }

    fn into_event(self) -> Result<Event, Misfit> {
        let kind = self.kind.name();
        let present = [
            ("process", self.process.is_some()),
            ("f", self.f.is_some()),
            ("key", !self.key.is_nil()),
            ("value", !self.value.is_nil()),
            ("read_timestamp", self.read_timestamp.is_some()),
            ("commit_timestamp", self.commit_timestamp.is_some()),
            ("shard", self.shard.is_some()),
            ("sqlstate", self.sqlstate.is_some()),
            ("error", self.error.is_some()),
            ("name", self.name.is_some()),
            ("edge", self.edge.is_some()),
            ("calm", self.calm.is_some()),
        ];
        let allowed = self.kind.fields();
        if let Some((field, _)) = present.iter().find(|(field, there)| *there && !allowed.contains(field)) {
            return Err(Misfit::Surplus(field, kind));
        }
        let missing = |field| move || Misfit::Missing(field, kind);
        let process = self.process.map(Process);
        let what = match self.kind {
            Kind::Invoke => What::Invoke {
                process: process.ok_or_else(missing("process"))?,
                call: Call {
                    function: well_known(self.f.ok_or_else(missing("f"))?.into_owned()),
                    key: self.key.into_owned(),
                    value: self.value.into_owned(),
                },
            },
            Kind::Ok | Kind::Fail | Kind::Unknown => What::Complete {
                process: process.ok_or_else(missing("process"))?,
                completion: Completion {
                    outcome: match self.kind {
                        Kind::Ok => Outcome::Ok,
                        Kind::Fail => Outcome::Fail,
                        _ => Outcome::Unknown,
                    },
                    value: self.value.into_owned(),
                    read_timestamp: self.read_timestamp,
                    commit_timestamp: self.commit_timestamp,
                    shard: self.shard,
                    sqlstate: self.sqlstate.map(Cow::into_owned),
                    error: self.error.map(Cow::into_owned),
                },
            },
            Kind::Fault => What::Fault(Fault {
                name: self.name.ok_or_else(missing("name"))?.into_owned(),
                edge: match self.edge.ok_or_else(missing("edge"))? {
                    Edge::Begin => FaultEdge::Begin,
                    Edge::End => FaultEdge::End,
                    Edge::Strike => FaultEdge::Strike,
                },
                detail: self.value.into_owned(),
            }),
            Kind::Phase => What::Phase {
                name: self.name.ok_or_else(missing("name"))?.into_owned(),
                calm: self.calm.ok_or_else(missing("calm"))?,
            },
            Kind::Alarm => What::Alarm(Alarm {
                process,
                sqlstate: self.sqlstate.map(Cow::into_owned),
                message: self.error.ok_or_else(missing("error"))?.into_owned(),
            }),
        };
        Ok(Event { time_ns: self.time_ns, what, extra: self.extra.into_owned() })
    }
}

/// Spares an allocation for each name that we know.
fn well_known(name: String) -> Cow<'static, str> {
    match functions::ALL.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name),
    }
}
