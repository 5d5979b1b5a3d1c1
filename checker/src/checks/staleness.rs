//! Check `staleness`: a read may be old, but not older than was promised.
//!
//! Registers where each value is written once (see [`accesses`](super::accesses)), by time and by versions:
//!  - *time*: every read shows a value that was the current one at most `age_ns_max` before the read began. That holds if and
//!    only if the history is linearizable once each read may begin that much sooner (Golab, Li and Shah, "Analyzing consistency
//!    properties for fun and profit", PODC 2011), which the zones of Gibbons and Korach ("Testing shared memories", 1997)
//!    decide exactly: the zone of a value lies between the first end and the last beginning among its write and reads.
//!  - *versions*: at most `versions_max` newer values had been written before the read began. Counted are those that surely
//!    were: begun after the value was there for sure, and there for sure before the read began. Exact where writes of a key
//!    do not overlap; else a read may be older than is proven.
//!
//! n log n. An unknown write that nobody read does not count.

use std::fmt;

use tenet_histories::{Header, Value};

use super::accesses::{Accesses, Kind, NONE, ThinAir};
use super::{Check, Done, Of, Op, Report, fact_count};
use crate::verdict::time;
use crate::{CheckError, Oracle};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The value of every key at first.
    pub initial: Value,
    pub age_ns_max: Option<u64>,
    pub versions_max: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    ThinAir(Box<ThinAir>),
    /// The value was current from the end of `first.0` at the latest to at least the beginning of `first.1` less the age; so
    /// was the other one, and both stretches overlap, or one holds the other.
    TooOld {
        key: Value,
        age_ns_max: u64,
        first: Box<Zone>,
        second: Box<Zone>,
    },
    TooManyNewer {
        key: Value,
        read: Op,
        value: Value,
        newer: u64,
        versions_max: u64,
    },
}

/// Where a value must have been current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub value: Value,
    /// The first to end of its write and reads; none for the initial value.
    pub there: Option<Op>,
    /// The last of them to begin; none for the initial value, if nobody read it.
    pub still: Option<Op>,
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::ThinAir(_) => "thin-air-read",
            Wrong::TooOld { .. } => "too-old",
            Wrong::TooManyNewer { .. } => "too-many-newer",
        }
    }

    fn operations(&self) -> Vec<usize> {
        match self {
            Wrong::ThinAir(thin_air) => thin_air.operations(),
            Wrong::TooOld { first, second, .. } => {
                [first.there, first.still, second.there, second.still].iter().flatten().map(|op| op.number).collect()
            }
            Wrong::TooManyNewer { read, .. } => vec![read.number],
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was there", self.value)?;
        match &self.there {
            Some(there) => write!(f, " when {there} ended at {}", time(there.return_ns))?,
            None => write!(f, " at first")?,
        }
        self.still.map_or(Ok(()), |still| write!(f, " and when {still} began"))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::ThinAir(thin_air) => write!(f, "{thin_air}"),
            Wrong::TooOld { key, age_ns_max, first, second } => {
                let (of, age) = (Of(key), time(*age_ns_max));
                write!(f, "{first}; {second}: no order of both{of} makes every read at most {age} old")
            }
            Wrong::TooManyNewer { key, read, value, newer, versions_max } => {
                let of = Of(key);
                write!(
                    f,
                    "{read} read {value}{of} after {newer} newer values were there, expected at most {versions_max}"
                )
            }
        }
    }
}

pub struct Staleness {
    options: Options,
    accesses: Accesses,
}

impl Staleness {
    pub fn new(options: Options) -> Staleness {
        Staleness { accesses: Accesses::new(options.initial.clone()), options }
    }
}

impl Options {
    /// Facts `age_ns_max`, `versions_max`.
    pub fn of(header: &Header, initial: Value) -> Options {
        let age_ns_max = fact_count(header, "age_ns_max");
        Options { initial, age_ns_max, versions_max: fact_count(header, "versions_max") }
    }
}

/// A moment: nanoseconds, and among those alike the position of the event. Before all: the initial write.
type Moment = (i128, usize);

const BEFORE_ALL: Moment = (i128::MIN, 0);

/// The zone of one value.
#[derive(Clone, Copy)]
struct Span {
    /// The write, or `NONE`.
    write: u32,
    begun: Moment,
    there: (Moment, u32),
    still: (Moment, u32),
}

impl Check for Staleness {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        self.accesses.push(done)
    }

    fn finish(mut self) -> Report<Wrong> {
        let thin_air = self.accesses.finish();
        let mut report = Report::new(Oracle::Staleness);
        report.undecided.extend(self.accesses.undecided());
        let Options { age_ns_max, versions_max, .. } = self.options;
        if age_ns_max.is_none() && versions_max.is_none() {
            report.undecided.push("no bound was told: facts age_ns_max, versions_max".to_string());
        }
        if !report.undecided.is_empty() {
            return report;
        }
        thin_air.into_iter().for_each(|thin_air| report.violation(Wrong::ThinAir(Box::new(thin_air))));
        if !report.violations.is_empty() {
            return report;
        }
        let accesses = &self.accesses;
        let mut by_key: Vec<Vec<u32>> = vec![Vec::new(); accesses.keys.values.len()];
        (0..accesses.all.len() as u32).for_each(|at| by_key[accesses.all[at as usize].key as usize].push(at));
        for of_key in &by_key {
            if let Some(age) = age_ns_max {
                by_time(accesses, age, of_key, &mut report);
            }
            if let Some(versions_max) = versions_max {
                by_versions(accesses, versions_max, of_key, &mut report);
            }
        }
        report
    }
}

fn begun(op: &Op, sooner_ns: u64) -> Moment {
    // Exactly as old as is allowed is allowed: then it comes first of what is alike.
    let position = if sooner_ns == 0 { op.invoked } else { 0 };
    (i128::from(op.invoke_ns) - i128::from(sooner_ns), position)
}

fn ended(op: &Op) -> Moment {
    (i128::from(op.return_ns), op.returned)
}

/// The zone of each value of a key that counts, the initial one first.
fn spans(accesses: &Accesses, age_ns: u64, of_key: &[u32]) -> Vec<Span> {
    let initial = Span { write: NONE, begun: BEFORE_ALL, there: (BEFORE_ALL, NONE), still: (BEFORE_ALL, NONE) };
    let mut spans = vec![initial];
    let mut place = std::collections::HashMap::from([(NONE, 0)]);
    for at in of_key.iter().filter(|at| accesses.all[**at as usize].is_write()) {
        let op = accesses.op(*at);
        place.insert(*at, spans.len());
        let begun = begun(&op, 0);
        spans.push(Span { write: *at, begun, there: (ended(&op), *at), still: (begun, *at) });
    }
    for at in of_key {
        let Kind::Read(write) = accesses.all[*at as usize].kind else { continue };
        let (op, span) = (accesses.op(*at), &mut spans[place[&write]]);
        span.there = span.there.min((ended(&op), *at));
        span.still = span.still.max((begun(&op, age_ns), *at));
    }
    // An unknown write that nobody read is not there for sure at any time.
    spans.retain(|span| span.there.0.1 != super::NEVER);
    spans
}

fn by_time(accesses: &Accesses, age_ns_max: u64, of_key: &[u32], report: &mut Report<Wrong>) {
    let spans = spans(accesses, age_ns_max, of_key);
    let is_forward = |span: &&Span| span.there.0 < span.still.0;
    let mut forward: Vec<&Span> = spans.iter().filter(is_forward).collect();
    forward.sort_unstable_by_key(|span| span.there);
    let zone = |span: &Span| {
        let op = |at: u32| (at != NONE).then(|| accesses.op(at));
        let value = if span.write == NONE { accesses.initial.clone() } else { accesses.value(span.write).clone() };
        Box::new(Zone { value, there: op(span.there.1), still: op(span.still.1) })
    };
    let wrong = |first: &Span, second: &Span| {
        let key = accesses.key(of_key[0]).clone();
        Wrong::TooOld { key, age_ns_max, first: zone(first), second: zone(second) }
    };
    let overlap = forward.windows(2).find(|pair| pair[1].there.0 < pair[0].still.0);
    if let Some(pair) = overlap {
        report.violation(wrong(pair[0], pair[1]));
        return;
    }
    for span in spans.iter().filter(|span| !is_forward(span)) {
        let until = forward.partition_point(|other| other.there.0 < span.still.0);
        if let Some(around) = forward[..until].last().filter(|around| span.there.0 < around.still.0) {
            report.violation(wrong(around, span));
        }
    }
}

fn by_versions(accesses: &Accesses, versions_max: u64, of_key: &[u32], report: &mut Report<Wrong>) {
    let mut spans = spans(accesses, 0, of_key);
    let there: std::collections::HashMap<u32, Moment> = spans.iter().map(|span| (span.write, span.there.0)).collect();
    let mut begins: Vec<Moment> = spans.iter().map(|span| span.begun).collect();
    begins.sort_unstable();
    spans.sort_unstable_by_key(|span| span.there);
    let mut reads: Vec<(Moment, u32)> = Vec::new();
    for at in of_key {
        if let Kind::Read(_) = accesses.all[*at as usize].kind {
            reads.push((begun(&accesses.op(*at), 0), *at));
        }
    }
    reads.sort_unstable();
    // By place of their beginning, how many of the values that were there are counted in each stretch (Fenwick 1994).
    let mut counts = vec![0u64; begins.len() + 1];
    let (mut next, mut all) = (0, 0);
    for (moment, at) in reads {
        while next < spans.len() && spans[next].there.0 < moment {
            let mut place = begins.partition_point(|begin| *begin < spans[next].begun) + 1;
            while place < counts.len() {
                counts[place] += 1;
                place += place & place.wrapping_neg();
            }
            (next, all) = (next + 1, all + 1);
        }
        let Kind::Read(write) = accesses.all[at as usize].kind else { continue };
        let mut place = begins.partition_point(|begin| *begin <= there[&write]);
        let mut older = 0;
        while place > 0 {
            older += counts[place];
            place -= place & place.wrapping_neg();
        }
        let newer = all - older;
        if newer > versions_max {
            let (key, value) = (accesses.key(at).clone(), accesses.value(at).clone());
            report.violation(Wrong::TooManyNewer { key, read: accesses.op(at), value, newer, versions_max });
        }
    }
}
