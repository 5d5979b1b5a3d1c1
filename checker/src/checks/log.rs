//! Check `partition-log`: records keep their offsets, and consumers get them all, in order.
//!
//! | function | key, value | ok | unknown |
//! |---|---|---|---|
//! | send | the partition, a record | it is in the log; answers its offset, or `[offset, record]`, or nil | it may be in the log, or come |
//! | poll | - | answers `{partition: [[offset, record], ..]}`, or `[[partition, [[offset, record], ..]], ..]` | the consumer may be anywhere |
//! | assign | nil, or partitions | the consumer may begin anywhere | as ok |
//! | subscribe | nil, or topics | from now on the consumer's partitions change unseen | as ok |
//! | txn | Jepsen's steps `["send", partition, record]`, `["poll"]`, answered `["send", partition, [offset, record]]`, `["poll", answer as above]` | each step in its turn | as of the steps |
//!
//! `send` and `poll` may carry such steps too. Failed: never happened. A consumer is a process. Checked per partition:
//!  - an offset has one record, and a record no more offsets than somebody sent it (no duplicates, no invention);
//!  - a send that begins when another has returned gets a greater offset;
//!  - a poll goes up, and goes on behind what its consumer polled last (unless subscribed), and passes over nothing that is
//!    known to be there: such a record is *lost* if nobody ever polled it, or else was *skipped*;
//!  - if offsets are dense, it passes over nothing at all: a hole is a *gap* (transactions of Kafka leave some, so that this
//!    must be asked for), and so are more offsets of which nobody knows than there are sends that may have got them. If
//!    consumers begin at the start, their first poll is held to the same.
//!
//! Keys of JSON's maps are texts: a partition `"3"` is partition 3.
//!
//! After Jepsen's `kafka`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use tenet_histories::{Header, Outcome, Process, Value};

use super::{Check, Done, Names, Of, Op, PerKey, Report, fact_bool};
use crate::{CheckError, Oracle};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Offsets follow one another without a hole.
    pub dense: bool,
    /// A consumer's first poll begins at the first record.
    pub from_start: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    TwoRecords {
        partition: Value,
        offset: i64,
        first: (Op, Value),
        second: (Op, Value),
    },
    Duplicated {
        partition: Value,
        record: Value,
        first: (Op, i64),
        second: (Op, i64),
    },
    /// Nobody sent it, or all who did failed (`failed`: one of them).
    Invented {
        partition: Value,
        record: Value,
        poll: Op,
        failed: Option<Op>,
    },
    /// The poll had ended before the first send of it began.
    Early {
        partition: Value,
        record: Value,
        poll: Op,
        send: Op,
    },
    SentOutOfOrder {
        partition: Value,
        earlier: (Op, i64),
        later: (Op, i64),
    },
    /// The consumer polled `last`, then `next`, which is not behind it. `before`: in an earlier poll.
    WentBack {
        partition: Value,
        poll: Op,
        last: i64,
        next: i64,
        before: Option<Op>,
    },
    /// The consumer went from `last` to `next` (none: from the start), past that offset.
    Passed {
        partition: Value,
        poll: Op,
        last: Option<i64>,
        next: i64,
        offset: i64,
        over: Over,
    },
    /// Between these two there are `unknown` offsets of which nobody told, and only `sends` may have got one.
    Holes {
        partition: Value,
        low: (Op, i64),
        high: (Op, i64),
        unknown: u64,
        sends: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Somebody else polled it.
    Polled(Op, Value),
    /// It was acknowledged, and nobody ever polled it.
    Acknowledged(Op, Value),
    /// Nobody knows of anything there.
    Nothing,
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::TwoRecords { .. } => "two-records-at-one-offset",
            Wrong::Duplicated { .. } => "duplicated",
            Wrong::Invented { .. } => "invented",
            Wrong::Early { .. } => "polled-before-sent",
            Wrong::SentOutOfOrder { .. } => "sent-out-of-order",
            Wrong::WentBack { .. } => "polled-out-of-order",
            Wrong::Passed { over: Over::Polled(..), .. } => "skipped",
            Wrong::Passed { over: Over::Acknowledged(..), .. } => "lost",
            Wrong::Passed { over: Over::Nothing, .. } | Wrong::Holes { .. } => "gap",
        }
    }

    fn operations(&self) -> Vec<usize> {
        let ops = match self {
            Wrong::TwoRecords { first, second, .. } => [Some(first.0), Some(second.0)],
            Wrong::Duplicated { first, second, .. } => [Some(first.0), Some(second.0)],
            Wrong::Invented { poll, failed, .. } => [Some(*poll), *failed],
            Wrong::Early { poll, send, .. } => [Some(*poll), Some(*send)],
            Wrong::SentOutOfOrder { earlier, later, .. } => [Some(earlier.0), Some(later.0)],
            Wrong::WentBack { poll, before, .. } => [*before, Some(*poll)],
            Wrong::Holes { low, high, .. } => [Some(low.0), Some(high.0)],
            Wrong::Passed { poll, over, .. } => match over {
                Over::Polled(op, _) | Over::Acknowledged(op, _) => [Some(*op), Some(*poll)],
                Over::Nothing => [None, Some(*poll)],
            },
        };
        ops.iter().flatten().map(|op| op.number).collect()
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::TwoRecords { partition, offset, first, second } => {
                let ((one, record), (two, other), of) = (first, second, Of(partition));
                write!(f, "offset {offset}{of} has {record} by {one}, and {other} by {two}")
            }
            Wrong::Duplicated { partition, record, first, second } => {
                let ((one, offset), (two, other), of) = (first, second, Of(partition));
                write!(
                    f,
                    "{record}{of} is at offset {offset} by {one} and at {other} by {two}, oftener than it was sent"
                )
            }
            Wrong::Invented { partition, record, poll, failed: None } => {
                write!(f, "{poll} polled {record}{}, which nobody sent", Of(partition))
            }
            Wrong::Invented { partition, record, poll, failed: Some(send) } => {
                write!(
                    f,
                    "{poll} polled {record}{}, but {send} failed to send it, and nobody else tried",
                    Of(partition)
                )
            }
            Wrong::Early { partition, record, poll, send } => {
                write!(
                    f,
                    "{poll} polled {record}{} and ended before the first to send it, {send}, began",
                    Of(partition)
                )
            }
            Wrong::SentOutOfOrder { partition, earlier: (one, offset), later: (two, other) } => {
                let of = Of(partition);
                write!(f, "{one} sent to offset {offset}{of}, and {two}, which began after it had returned, to {other}")
            }
            Wrong::WentBack { partition, poll, last, next, before } => {
                write!(f, "{poll} polled offset {next}{} after {last}", Of(partition))?;
                before.map_or(Ok(()), |before| write!(f, ", which it had polled in {before}"))
            }
            Wrong::Holes { partition, low: (one, low), high: (two, high), unknown, sends } => {
                let of = Of(partition);
                let there = if *unknown == 1 { "1 is" } else { &format!("{unknown} are") };
                write!(f, "between offset {low}{of} (by {one}) and {high} (by {two}) {there} told by nobody, ")?;
                match sends {
                    0 => f.write_str("and no send may have got one"),
                    _ => write!(f, "and only {sends} of the sends without an offset may have got one"),
                }
            }
            Wrong::Passed { partition, poll, last, next, offset, over } => {
                let of = Of(partition);
                match last {
                    Some(last) => write!(f, "{poll} went from offset {last}{of} to {next}")?,
                    None => write!(f, "{poll} began at offset {next}{of}")?,
                }
                match over {
                    Over::Polled(op, record) => write!(f, ", past {record} at {offset}, which {op} polled"),
                    Over::Acknowledged(op, record) => {
                        write!(f, ", past {record} at {offset}, which {op} had sent and nobody ever polled")
                    }
                    Over::Nothing => write!(f, ", and nothing is at {offset}"),
                }
            }
        }
    }
}

#[derive(Default)]
struct Partition {
    names: Names,
    /// By number of the record.
    records: Vec<Record>,
    /// What is known to be at each offset: the record, by whom, and who polled it first.
    offsets: BTreeMap<i64, (usize, Op, Option<Op>)>,
    /// Acknowledged sends with their offsets.
    sent: Vec<(Op, i64)>,
    /// Consumers that went up by more than one: from where to where.
    jumps: Vec<(Op, Option<i64>, i64)>,
    last: HashMap<Process, (i64, Op)>,
}

#[derive(Default)]
struct Record {
    /// The first to begin of the sends that did not fail.
    send: Option<Op>,
    failed: Option<Op>,
    attempts: usize,
    /// The first poll of it to end.
    poll: Option<Op>,
    offsets: Vec<(Op, i64)>,
}

pub struct Log {
    options: Options,
    partitions: PerKey<Partition>,
    is_subscribed: HashMap<Process, bool>,
    report: Report<Wrong>,
}

impl Log {
    pub fn new(options: Options) -> Log {
        let report = Report::new(Oracle::Log);
        Log { options, partitions: PerKey::default(), is_subscribed: HashMap::new(), report }
    }
}

impl Options {
    /// Facts `dense` and `from-start`.
    pub fn of(header: &Header) -> Options {
        Options { dense: fact_bool(header, "dense"), from_start: fact_bool(header, "from-start") }
    }
}

const STEPS: &str = "steps [\"send\", partition, record] and [\"poll\"]";
const POLLED: &str = "{partition: [[offset, record], ..]}";

impl Check for Log {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let (key, value) = (&done.call.key, &done.call.value);
        match done.function() {
            "send" if key.is_nil() => self.on_steps(done),
            "txn" => self.on_steps(done),
            "poll" if is_steps(value) => self.on_steps(done),
            "send" => self.on_send(done, key, value, done.answer),
            "poll" => self.on_poll(done, done.answer),
            "assign" | "subscribe" => {
                self.forget(done.op.process);
                self.is_subscribed.insert(done.op.process, done.function() == "subscribe");
                Ok(())
            }
            _ => Err(done.stranger("send, poll, assign, subscribe or txn")),
        }
    }

    fn finish(mut self) -> Report<Wrong> {
        for (name, partition) in self.partitions.into_iter() {
            judge(&self.options, &name, partition, &mut self.report);
        }
        let order = ["lost", "two-records-at-one-offset", "duplicated", "invented", "polled-before-sent"];
        self.report.sorted(&order)
    }
}

fn is_steps(value: &Value) -> bool {
    let is_step = |step: &Value| step.as_list().and_then(|step| step.first()?.as_name()).is_some();
    value.as_list().is_some_and(|steps| steps.iter().all(is_step))
}

/// A partition, which as the key of a map in JSON is a text.
fn numbered(name: &Value) -> Cow<'_, Value> {
    let number = name.as_text().and_then(|text| text.parse::<i64>().ok().filter(|number| number.to_string() == text));
    number.map_or(Cow::Borrowed(name), |number| Cow::Owned(Value::Int(number)))
}

impl Partition {
    fn record(&mut self, record: &Value) -> usize {
        let number = self.names.number(record);
        if number == self.records.len() {
            self.records.push(Record::default());
        }
        number
    }
}

impl Log {
    fn on_steps(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let value = &done.call.value;
        let asked = value.as_list().ok_or_else(|| done.misshapen(value, STEPS))?;
        let answered = done.answer.as_list().filter(|answers| answers.len() == asked.len());
        if done.is_ok() && answered.is_none() {
            return Err(done.misshapen(done.answer, "an answer for each step"));
        }
        for (place, step) in asked.iter().enumerate() {
            let parts = step.as_list().unwrap_or(&[]);
            let answer = answered.and_then(|answers| answers[place].as_list()).and_then(|parts| parts.last());
            let answer = answer.unwrap_or(&Value::Nil);
            match (parts.first().and_then(Value::as_name), parts) {
                (Some("send"), [_, partition, record]) => self.on_send(done, partition, record, answer)?,
                (Some("poll"), _) => self.on_poll(done, answer)?,
                _ => return Err(done.misshapen(step, STEPS)),
            }
        }
        Ok(())
    }

    fn on_send(&mut self, done: &Done<'_>, name: &Value, value: &Value, answer: &Value) -> Result<(), CheckError> {
        let name = &*numbered(name);
        let partition = self.partitions.of(name);
        let number = partition.record(value);
        let record = &mut partition.records[number];
        if done.outcome == Outcome::Fail {
            record.failed = record.failed.or(Some(done.op));
            return Ok(());
        }
        record.attempts += 1;
        record.send = record.send.filter(|send| send.invoked < done.op.invoked).or(Some(done.op));
        let offset = match answer {
            Value::Int(offset) => Some(*offset),
            Value::List(pair) => pair.first().and_then(Value::as_int),
            _ => None,
        };
        if let Some(offset) = offset.filter(|_| done.is_ok()) {
            self.report.count("acknowledged", 1);
            partition.sent.push((done.op, offset));
            self.on_offset(name, number, offset, done.op, false);
        }
        Ok(())
    }

    fn on_offset(&mut self, name: &Value, number: usize, offset: i64, by: Op, is_poll: bool) {
        let partition = self.partitions.of(name);
        match partition.offsets.get_mut(&offset) {
            None => {
                partition.offsets.insert(offset, (number, by, is_poll.then_some(by)));
                partition.records[number].offsets.push((by, offset));
            }
            Some((known, first, _)) if *known != number => {
                let values = |number: usize| partition.names.value(number).clone();
                let (first, second) = ((*first, values(*known)), (by, values(number)));
                self.report.violation(Wrong::TwoRecords { partition: name.clone(), offset, first, second });
            }
            Some((_, _, polled)) => *polled = polled.or(is_poll.then_some(by)),
        }
    }

    fn on_poll(&mut self, done: &Done<'_>, answer: &Value) -> Result<(), CheckError> {
        if !done.is_ok() {
            self.forget(done.op.process);
            return Ok(());
        }
        match answer {
            Value::Nil => {}
            Value::Map(map) => {
                for (partition, records) in map {
                    self.on_polled(done, partition, records)?;
                }
            }
            Value::List(pairs) => {
                for pair in pairs {
                    let Some([partition, records]) = pair.as_list() else { return Err(done.misshapen(answer, POLLED)) };
                    self.on_polled(done, partition, records)?;
                }
            }
            _ => return Err(done.misshapen(answer, POLLED)),
        }
        Ok(())
    }

    fn on_polled(&mut self, done: &Done<'_>, name: &Value, records: &Value) -> Result<(), CheckError> {
        let (op, name) = (done.op, &*numbered(name));
        let is_subscribed = self.is_subscribed.get(&op.process).copied().unwrap_or(false);
        let mut last = self.partitions.of(name).last.get(&op.process).copied().filter(|_| !is_subscribed);
        let mut is_first = !is_subscribed && last.is_none();
        for pair in records.as_list().ok_or_else(|| done.misshapen(records, POLLED))? {
            let Some([Value::Int(offset), value]) = pair.as_list() else { return Err(done.misshapen(pair, POLLED)) };
            self.report.count("polled", 1);
            let partition = self.partitions.of(name);
            let number = partition.record(value);
            let record = &mut partition.records[number];
            record.poll = record.poll.or(Some(op));
            match last {
                Some((last, before)) if *offset <= last => {
                    let before = Some(before).filter(|before| before.number != op.number);
                    let wrong = Wrong::WentBack { partition: name.clone(), poll: op, last, next: *offset, before };
                    self.report.violation(wrong);
                }
                Some((last, _)) if *offset > last + 1 => partition.jumps.push((op, Some(last), *offset)),
                None if is_first && self.options.from_start => partition.jumps.push((op, None, *offset)),
                _ => {}
            }
            is_first = false;
            last = Some((*offset, op));
            self.on_offset(name, number, *offset, op, true);
        }
        if let Some(last) = last {
            self.partitions.of(name).last.insert(op.process, last);
        }
        Ok(())
    }

    /// Where that consumer is, nobody knows.
    fn forget(&mut self, process: Process) {
        self.partitions.states.iter_mut().for_each(|partition| {
            partition.last.remove(&process);
        });
    }
}

fn judge(options: &Options, name: &Value, mut partition: Partition, report: &mut Report<Wrong>) {
    for (record, value) in partition.records.iter().zip(&partition.names.values) {
        let (name, value) = (name.clone(), value.clone());
        match (record.poll, record.send) {
            (Some(poll), None) => {
                let failed = record.failed;
                report.violation(Wrong::Invented { partition: name, record: value, poll, failed });
                continue;
            }
            (Some(poll), Some(send)) if poll.precedes(&send) => {
                report.violation(Wrong::Early { partition: name, record: value, poll, send });
                continue;
            }
            _ => {}
        }
        if record.offsets.len() > record.attempts {
            let (first, second) = (record.offsets[0], record.offsets[record.attempts]);
            report.violation(Wrong::Duplicated { partition: name, record: value, first, second });
        }
    }
    partition.sent.sort_unstable_by_key(|(op, _)| op.invoked);
    let mut returned = partition.sent.clone();
    returned.sort_unstable_by_key(|(op, _)| op.returned);
    let (mut returned, mut greatest) = (returned.into_iter().peekable(), None::<(Op, i64)>);
    for later in &partition.sent {
        while let Some(earlier) = returned.next_if(|(op, _)| op.precedes(&later.0)) {
            greatest = greatest.filter(|(_, offset)| *offset >= earlier.1).or(Some(earlier));
        }
        if let Some(earlier) = greatest.filter(|(_, offset)| *offset >= later.1) {
            report.violation(Wrong::SentOutOfOrder { partition: name.clone(), earlier, later: *later });
        }
    }
    let unseen = partition.offsets.iter().filter(|(_, (_, _, polled))| polled.is_none());
    let never_polled: BTreeSet<i64> = unseen.map(|(offset, _)| *offset).collect();
    for (poll, last, next) in std::mem::take(&mut partition.jumps) {
        let from = last.map_or(0, |last| last + 1);
        let passed = |offset, over| Wrong::Passed { partition: name.clone(), poll, last, next, offset, over };
        if from >= next {
            continue;
        }
        // What nobody ever polled is the graver; else the first that is known there.
        let lost = never_polled.range(from..next).next();
        let known = partition.offsets.range(from..next).next();
        if let Some((offset, (number, by, polled))) = lost.and_then(|at| partition.offsets.get_key_value(at)).or(known)
        {
            let value = partition.names.value(*number).clone();
            report.violation(match polled {
                Some(other) => passed(*offset, Over::Polled(*other, value)),
                None => passed(*offset, Over::Acknowledged(*by, value)),
            });
        } else if options.dense {
            report.violation(passed(from, Over::Nothing));
        }
    }
    if options.dense
        && let Some(holes) = holes(name, &partition)
    {
        report.violation(holes);
    }
}

/// More offsets that nobody told than sends that may have got them: between two neighbours, or else in all.
fn holes(name: &Value, partition: &Partition) -> Option<Wrong> {
    let homeless = |record: &Record| record.attempts.saturating_sub(record.offsets.len()) as u64;
    let sends = partition.records.iter().map(homeless).sum();
    let known: Vec<(Op, i64)> = partition.offsets.iter().map(|(offset, (_, by, _))| (*by, *offset)).collect();
    let between = |low: (Op, i64), high: (Op, i64), known: usize| {
        let unknown = high.1.abs_diff(low.1) - (known as u64 - 1);
        let partition = name.clone();
        (unknown > sends).then_some(Wrong::Holes { partition, low, high, unknown, sends })
    };
    let neighbours = known.windows(2).find_map(|pair| between(pair[0], pair[1], 2));
    neighbours.or_else(|| between(*known.first()?, *known.last()?, known.len()))
}
