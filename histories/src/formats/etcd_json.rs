//! The operations that etcd's robustness tests record for Porcupine: `client-N/operations.json`, an operation a line.
//!
//! ```text
//! {"ClientId":9,
//!  "Input":{"Type":"range","Range":{"Start":"key3","End":"","Limit":0,"Revision":0},"Txn":null,..},   get key3
//!  "Call":966524,"Output":{"Range":{"KVs":[{"Key":"key3","Value":{"Value":"4","Hash":0},"ModRevision":5}],"Count":1},
//!  "Revision":12,"Error":"",..},"Return":2097104}                                               answered "4"
//! ```
//! | etcd | here |
//! | --- | --- |
//! | a range of one key | `get`; `Revision` is the read timestamp, `ModRevision` and `Version` are extra keys |
//! | a transaction of one put or delete, without conditions | `put`, `delete`; `Revision` is the commit timestamp |
//! | any other request | `etcd-TYPE`; the request is the value, the response the answer |
//! | a long value's `Hash` | `#etcd/hash 123` |
//! | `Error` | the outcome is unknown, at the time of the call: when it was is not recorded |
//! | `ClientError` | it failed |
//!
//! An operation is one line, so a history is held whole and sorted by time; of one moment, calls are before returns, as for
//! Porcupine. A folder `client-1`, `client-2`, .. is one history.
//!
//! Cannot say: another header than that it is about `etcd`, faults, other functions; when an unknown outcome became known; operations never completed.

mod from_record;
mod to_record;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::format::Head;
use crate::input::{Input, Notation};
use crate::{Event, Header, HistoryError, Source, json, workloads};

pub(crate) use to_record::Writer;

/// Functions that are a request of etcd as it is begin so.
const RAW: &str = "etcd-";
const DELETE: &str = "delete";
/// The tag of a value that is known by its hash alone.
const HASH_TAG: &str = "etcd/hash";
const MOD_REVISION: &str = "mod_revision";
const VERSION: &str = "version";

pub(crate) fn fits(head: &Head<'_>) -> bool {
    let names = head.json_names();
    names.iter().any(|name| name == "ClientId" || name == "Input")
}

/// What every file is about.
fn header() -> Header {
    Header { workload: workloads::ETCD.to_string(), ..Header::default() }
}

/// An operation's two events, to be sorted in.
struct Record {
    call: Event,
    answer: Event,
}

pub(crate) struct Reader {
    header: Header,
    events: std::vec::IntoIter<Event>,
    /// What was amiss with the end, after all events.
    error: Option<HistoryError>,
}

impl Reader {
    pub fn new(input: impl BufRead, name: &str) -> Result<Reader, HistoryError> {
        let mut records = Vec::new();
        let error = read_records(input, name, &mut records)?;
        Ok(Reader::of_records(records, error))
    }

    /// Reads `client-*/operations.json`.
    pub fn of_folder(folder: &Path) -> Result<Reader, HistoryError> {
        let mut records = Vec::new();
        let mut error = None;
        let unreadable = |source| HistoryError::Io {
            file: folder.display().to_string(),
            action: "list the folder of client reports",
            source,
        };
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let client = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("client-"));
            files.extend(Some(path.join("operations.json")).filter(|file| client && file.is_file()));
        }
        files.sort();
        if files.is_empty() {
            let found = "a folder without client-*/operations.json".to_string();
            return Err(HistoryError::Unrecognised { file: folder.display().to_string(), found });
        }
        for path in files {
            let name = path.display().to_string();
            let file = File::open(&path).map_err(|source| HistoryError::Io {
                file: name.clone(),
                action: "open the history",
                source,
            })?;
            let amiss = read_records(BufReader::new(file), &name, &mut records)?;
            error = error.or(amiss);
        }
        Ok(Reader::of_records(records, error))
    }

    fn of_records(records: Vec<Record>, error: Option<HistoryError>) -> Reader {
        let mut events: Vec<(bool, Event)> = Vec::with_capacity(records.len() * 2);
        for record in records {
            events.push((false, record.call));
            events.push((true, record.answer));
        }
        // Stable: an operation of unknown outcome is called before it is answered, at one time.
        events.sort_by_key(|(answer, event)| (event.time_ns, *answer));
        let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
        Reader { header: header(), events: events.into_iter(), error }
    }
}

/// Adds what is there; gives back the error of an end that was cut short.
fn read_records(
    input: impl BufRead,
    name: &str,
    records: &mut Vec<Record>,
) -> Result<Option<HistoryError>, HistoryError> {
    let mut input = Input::new(input, name);
    let mut read = || {
        if !input.next_form(Notation::Json)? {
            return Ok(None);
        }
        let Some((start, fields)) = json::parse_fields(input.chunk()).map_err(|trouble| input.error(trouble))? else {
            return Ok(None);
        };
        from_record::record(fields, start).map(Some).map_err(|trouble| input.error(trouble))
    };
    loop {
        match read() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return Ok(None),
            Err(error @ HistoryError::Syntax { cut_short: true, .. }) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
}

impl Source for Reader {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        match self.events.next() {
            Some(event) => Ok(Some(event)),
            None => self.error.take().map_or(Ok(None), Err),
        }
    }
}
