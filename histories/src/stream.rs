//! Histories as streams: from a file, into a file, from one format into another.
//!
//! A [`Source`] gives events, a [`Sink`] takes them; both hold one event at a time, and what is needed to tell the next one
//! (which operations are open). A conversion loses nothing that it was not told to lose.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read, Write};
use std::path::Path;

use crate::format::{HEAD_BYTES, recognise};
use crate::formats::etcd_json;
use crate::{Event, Format, Header, History, HistoryError, Loss};

/// Events of a history, in their order.
pub trait Source {
    /// What the history is about, as far as the format can say it.
    fn header(&self) -> &Header;

    /// The next event; None at the end. After an error there is nothing more to ask for.
    fn next_event(&mut self) -> Result<Option<Event>, HistoryError>;

    /// The line, from 1, on which the last event begins; None where a format has no lines, or an event more than one.
    fn line(&self) -> Option<usize> {
        None
    }
}

/// Takes events, in their order.
pub trait Sink {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError>;

    /// To be called once, after the last event: what is not finished is not whole.
    fn finish(&mut self) -> Result<(), HistoryError>;
}

/// What a writer may do beside writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// What may be left out where the format has no place for it. Everything else is refused with its place.
    pub losses: Vec<Loss>,
    /// How many threads there are: by Jepsen's rule a process that goes on after an operation of unknown outcome does so as
    /// process + concurrency. Not needed where none goes on, or where the header has the fact `concurrency`.
    pub concurrency: Option<u32>,
}

/// Recognises the format and reads. `name` is for errors: the path, or `standard input`.
pub fn source<'a>(mut input: impl BufRead + 'a, name: &str) -> Result<Box<dyn Source + 'a>, HistoryError> {
    let mut head = Vec::new();
    let read = (&mut input).take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|source| HistoryError::Io { file: name.to_string(), action: "read the history", source })?;
    let format = recognise(&head, name)?;
    format.source(Cursor::new(head).chain(input), name)
}

/// Opens a file of any format, or a folder of etcd's robustness tests.
pub fn open(path: &Path) -> Result<Box<dyn Source>, HistoryError> {
    if path.is_dir() {
        return Ok(Box::new(etcd_json::Reader::of_folder(path)?));
    }
    let name = path.display().to_string();
    let file = File::open(path);
    let file = file.map_err(|source| HistoryError::Io { file: name.clone(), action: "open the history", source })?;
    source(BufReader::with_capacity(1 << 16, file), &name)
}

/// A history and what was amiss with its end.
#[derive(Debug)]
pub struct Reading {
    pub history: History,
    /// The end was cut short, and is left out.
    pub truncated: Option<HistoryError>,
}

/// All events, held in memory.
pub fn collect(source: &mut dyn Source) -> Result<Reading, HistoryError> {
    let mut history = History { header: source.header().clone(), events: Vec::new() };
    loop {
        match source.next_event() {
            Ok(Some(event)) => history.events.push(event),
            Ok(None) => return Ok(Reading { history, truncated: None }),
            Err(error) if error.is_cut_short() => return Ok(Reading { history, truncated: Some(error) }),
            Err(error) => return Err(error),
        }
    }
}

/// Reads a whole history of any format. `name` is for errors: the path, or `standard input`.
pub fn read(input: impl BufRead, name: &str) -> Result<Reading, HistoryError> {
    collect(source(input, name)?.as_mut())
}

/// Reads a whole history of any format.
pub fn read_file(path: &Path) -> Result<Reading, HistoryError> {
    collect(open(path)?.as_mut())
}

/// Writes a whole history as JSON lines.
pub fn write(history: &History, output: &mut impl Write) -> Result<(), HistoryError> {
    write_as(history, Format::JsonLines, output, "the history", &WriteOptions::default())
}

/// Writes a whole history as JSON lines; an existing file is replaced.
pub fn write_file(history: &History, path: &Path) -> Result<(), HistoryError> {
    let name = path.display().to_string();
    let file = File::create(path);
    let file = file.map_err(|source| HistoryError::Io { file: name.clone(), action: "write the history", source })?;
    write_as(history, Format::JsonLines, &mut BufWriter::new(file), &name, &WriteOptions::default())
}

/// Writes a whole history. `name` is for errors.
pub fn write_as(
    history: &History,
    format: Format,
    output: &mut impl Write,
    name: &str,
    options: &WriteOptions,
) -> Result<(), HistoryError> {
    let mut sink = format.sink(output, name, &history.header, options)?;
    history.events.iter().try_for_each(|event| sink.write_event(event))?;
    sink.finish()
}

/// What a conversion did.
#[derive(Debug)]
pub struct Converted {
    pub events: usize,
    /// The end of the source was cut short, and is left out.
    pub truncated: Option<HistoryError>,
}

/// Copies a history into another format. Fails at the first thing that the target cannot say, unless `options` allows to
/// lose it; what was written until then is not whole.
pub fn convert<'a>(
    source: &mut dyn Source,
    format: Format,
    output: impl Write + 'a,
    name: &str,
    options: &WriteOptions,
) -> Result<Converted, HistoryError> {
    let mut sink = format.sink(output, name, source.header(), options)?;
    let mut events = 0;
    let truncated = loop {
        match source.next_event() {
            Ok(Some(event)) => sink.write_event(&event)?,
            Ok(None) => break None,
            Err(error) if error.is_cut_short() => break Some(error),
            Err(error) => return Err(error),
        }
        events += 1;
    };
    sink.finish()?;
    Ok(Converted { events, truncated })
}
