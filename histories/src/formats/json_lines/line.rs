//! One line: an event, with every field that any kind of event may have.

use std::borrow::Cow;

use serde::Serialize;

use crate::history::well_known;
use crate::jepsen::unsigned_of;
use crate::text::{Field, Trouble};
use crate::{Alarm, Call, Completion, Event, Extra, Fault, FaultEdge, Outcome, Process, Value, What};

#[derive(Clone, Copy, Serialize)]
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

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Edge {
    Begin,
    End,
    Strike,
}

/// Every field that any line may have, in the order in which they are written.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    time_ns: u64,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<Edge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    f: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Value::is_nil")]
    key: Cow<'a, Value>,
    #[serde(skip_serializing_if = "Value::is_nil")]
    value: Cow<'a, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "extra_is_empty")]
    extra: Cow<'a, Extra>,
}

fn extra_is_empty(extra: &Extra) -> bool {
    extra.is_empty()
}

/// Fields to an event; `start` is where the line begins, for errors.
pub(super) fn event(fields: Vec<Field<'_>>, start: usize) -> Result<Event, Trouble> {
    let kind = fields.iter().find(|field| field.name == "type");
    let kind = kind.ok_or_else(|| Trouble::at(start, "no field `type`, expected it in every line"))?;
    let kind = named(kind, &Kind::ALL.map(|kind| (kind.name(), kind)))?;
    let mut line = Line::blank(0, kind);
    let mut time_ns = None;
    for field in fields {
        // What is null is not there.
        if field.value.is_nil() {
            match FIELDS.contains(&field.name.as_ref()) {
                true => continue,
                false => return Err(stranger(&field)),
            }
        }
        match field.name.as_ref() {
            "time_ns" => time_ns = Some(unsigned(&field)?),
            "type" => {}
            "extra" => line.extra = Cow::Owned(extra(field)?),
            name if !kind.fields().contains(&name) => {
                let problem = format!("field `{name}`, expected none in a line of type `{}`", kind.name());
                let is_known = FIELDS.contains(&name);
                return Err(if is_known { Trouble::at(field.at, problem) } else { stranger(&field) });
            }
            "process" => {
                let process = unsigned(&field)?.try_into();
                line.process = Some(process.map_err(|_| expected(&field, "an unsigned number of 32 bits"))?);
            }
            "name" => line.name = Some(text(field)?),
            "edge" => {
                let edges = [("begin", Edge::Begin), ("end", Edge::End), ("strike", Edge::Strike)];
                line.edge = Some(named(&field, &edges)?);
            }
            "calm" => line.calm = Some(field.value.as_bool().ok_or_else(|| expected(&field, "a bool"))?),
            "f" => line.f = Some(text(field)?),
            "key" => line.key = Cow::Owned(field.value),
            "value" => line.value = Cow::Owned(field.value),
            "read_timestamp" => line.read_timestamp = Some(unsigned(&field)?),
            "commit_timestamp" => line.commit_timestamp = Some(unsigned(&field)?),
            "shard" => line.shard = Some(unsigned(&field)?),
            "sqlstate" => line.sqlstate = Some(text(field)?),
            _ => line.error = Some(text(field)?),
        }
    }
    let missing = |field: &str| {
        Trouble::at(start, format!("no field `{field}`, expected it in a line of type `{}`", kind.name()))
    };
    line.time_ns = time_ns.ok_or_else(|| missing("time_ns"))?;
    line.into_event().map_err(missing)
}

/// Of any line.
const FIELDS: [&str; 15] = [
    "time_ns",
    "type",
    "process",
    "name",
    "edge",
    "calm",
    "f",
    "key",
    "value",
    "read_timestamp",
    "commit_timestamp",
    "shard",
    "sqlstate",
    "error",
    "extra",
];

fn stranger(field: &Field<'_>) -> Trouble {
    Trouble::at(field.at, format!("field `{}`, expected one of `{}`", field.name, FIELDS.join("`, `")))
}

pub(super) fn expected(field: &Field<'_>, expected: &str) -> Trouble {
    Trouble::at(field.at, format!("{} as `{}`, expected {expected}", field.value, field.name))
}

pub(super) fn unsigned(field: &Field<'_>) -> Result<u64, Trouble> {
    unsigned_of(&field.value).ok_or_else(|| expected(field, "an unsigned number of 64 bits"))
}

pub(super) fn text(field: Field<'_>) -> Result<Cow<'static, str>, Trouble> {
    match field.value {
        Value::Text(text) => Ok(Cow::Owned(text)),
        _ => Err(expected(&field, "a text")),
    }
}

fn extra(field: Field<'_>) -> Result<Extra, Trouble> {
    let Value::Map(map) = field.value else { return Err(expected(&field, "an object")) };
    let mut extra = Extra::default();
    for (name, value) in map {
        if let Value::Text(name) = name {
            extra.insert(name, value);
        }
    }
    Ok(extra)
}

fn named<T: Copy>(field: &Field<'_>, known: &[(&str, T)]) -> Result<T, Trouble> {
    let found = field.value.as_text().and_then(|text| known.iter().find(|(name, _)| *name == text));
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("`, `");
    found.map(|(_, value)| *value).ok_or_else(|| expected(field, &format!("one of `{}`", names())))
}

impl Kind {
    const ALL: [Kind; 7] = [Kind::Invoke, Kind::Ok, Kind::Fail, Kind::Unknown, Kind::Fault, Kind::Phase, Kind::Alarm];

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

    pub fn of(event: &'a Event) -> Line<'a> {
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

    /// An error: the field that is missing.
    fn into_event(self) -> Result<Event, &'static str> {
        let process = self.process.map(Process);
        let what = match self.kind {
            Kind::Invoke => What::Invoke {
                process: process.ok_or("process")?,
                call: Call {
                    function: well_known(self.f.ok_or("f")?.into_owned()),
                    key: self.key.into_owned(),
                    value: self.value.into_owned(),
                },
            },
            Kind::Ok | Kind::Fail | Kind::Unknown => What::Complete {
                process: process.ok_or("process")?,
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
                name: self.name.ok_or("name")?.into_owned(),
                edge: match self.edge.ok_or("edge")? {
                    Edge::Begin => FaultEdge::Begin,
                    Edge::End => FaultEdge::End,
                    Edge::Strike => FaultEdge::Strike,
                },
                detail: self.value.into_owned(),
            }),
            Kind::Phase => What::Phase { name: self.name.ok_or("name")?.into_owned(), calm: self.calm.ok_or("calm")? },
            Kind::Alarm => What::Alarm(Alarm {
                process,
                sqlstate: self.sqlstate.map(Cow::into_owned),
                message: self.error.ok_or("error")?.into_owned(),
            }),
        };
        Ok(Event { time_ns: self.time_ns, what, extra: self.extra.into_owned() })
    }
}
