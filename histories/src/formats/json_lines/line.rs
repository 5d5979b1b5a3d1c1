//! One line: an event, with every field that any kind of event may have.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::history::well_known;
use crate::{Alarm, Call, Completion, Event, Extra, Fault, FaultEdge, Outcome, Process, Value, What};

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
pub(super) struct Line<'a> {
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
    pub key: Cow<'a, Value>,
    #[serde(default, skip_serializing_if = "Value::is_nil")]
    pub value: Cow<'a, Value>,
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
    pub extra: Cow<'a, Extra>,
}

fn extra_is_empty(extra: &Extra) -> bool {
    extra.is_empty()
}

/// A field, and the type of the line that lacks it or has it in vain.
pub(super) enum Misfit {
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

    pub fn into_event(self) -> Result<Event, Misfit> {
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
