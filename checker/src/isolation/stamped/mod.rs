//! White box: when the database says at what it read and at what it committed, one sweep over time decides.
//!
//! After Chronos and Emme (timestamp-based checking of snapshot isolation and serializability). If everything is done in the
//! order of its timestamps, the newest version of a key is exactly what a snapshot of that moment has: so one version per key
//! is all that must be kept, and a read, a write and a commit cost a look at it.
//!
//! What must hold, and from which level on:
//!  - a commit is above its own snapshot, and alone at its timestamp (each level);
//!  - a read finds what was committed at or below its snapshot, and its own writes (each level);
//!  - of what a transaction wrote, nobody else committed a version between its snapshot and its commit (snapshot isolation);
//!  - nor of what it read, a range's missing keys included (serializability, in the order of commits);
//!  - what is invoked after an operation has returned reads at or above what that one read or committed, and commits above
//!    both (strict serializability, and the only thing that is asked of operations that are no transactions); if the same
//!    client invoked both, from strong session snapshot isolation on.
//!
//! Events come in the order of clients, timestamps do not. An operation waits until nothing below it can come any more: by
//! real time that is when all that is still open was invoked after the timestamp had been seen. So the window is as long as
//! the longest open operation, and memory is the window, the newest version of each key, and what unknown transactions
//! wrote. What comes too late although real time is not wanted makes the verdict *unknown*; `Options::lag` makes the window
//! longer.
//!
//! Writes whose commit is not known (their outcome is not, or the database did not say) may appear at any time, and count
//! from the first read that shows them: then their transaction has committed, above the last snapshot that did not have it, and
//! all that it wrote is there, too. Three things are not said of them, because memory would not be bounded: what register they
//! wrote where another commit may have come later; in which order two of them came, which is a matter of a graph; and that
//! somebody who has committed since had written over them unseen, for which all snapshots would have to be kept.
//!
//! Shards have clocks of their own: timestamps are compared within one.
//!
//! Invariants
//!  T1  A transaction's read is checked when all commits at or below its snapshot, and none above it, are in the keys.
//!  T2  What is said to be wrong is wrong whatever the unknown writes did.

mod sweep;
mod unknown;
mod violation;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use tenet_histories::{
    Call, Completion, Event, History, Outcome, PairingError, Process, Value, What, facts, functions,
};

use super::index::{Keys, Values};
use super::level::Level;
use super::micro::{self, Micro, items, misshapen};
use super::proof::Who;
use crate::{CheckError, Finding, Oracle, Verdict};

use sweep::{Entry, Range, Read, Shared, Sweep};
use unknown::Unknown;

pub use violation::{Did, Part, Rule, Seen, Violation};

/// How many values that are no integers are kept before it is asked whether anything holds them.
const KEPT_MIN: usize = 1 << 12;

#[derive(Clone, Debug)]
pub struct Options {
    /// How far below what was seen before it was invoked an operation may read or commit, without being too late.
    pub lag: u64,
    /// How many operations may wait for older ones.
    pub waiting_max: usize,
    /// The value of every register at first.
    pub initial: Value,
}

impl Default for Options {
    fn default() -> Options {
        Options { lag: 0, waiting_max: 1 << 20, initial: Value::Nil }
    }
}

impl Options {
    /// Enough for a level: where real time is not promised, a read may be as old as it likes, and so all waits to the end.
    pub fn at(level: Level) -> Options {
        match Rule::RealTime.is_of(level) {
            true => Options::default(),
            false => Options { lag: u64::MAX, waiting_max: usize::MAX, ..Options::default() },
        }
    }
}

/// Judges a history by its timestamps. Operations without any are passed over. Its fact `initial` counts, if there is one.
pub fn check_stamped(history: &History, options: &Options) -> Result<StampedReport, CheckError> {
    let initial = history.header.facts.get(facts::INITIAL).unwrap_or(&options.initial).clone();
    let mut stamped = Stamped::new(&Options { initial, ..options.clone() });
    history.events.iter().try_for_each(|event| stamped.push(event))?;
    Ok(stamped.finish())
}

pub struct Stamped {
    options: Options,
    events: u64,
    operations: usize,
    open: BTreeMap<Process, Open>,
    /// Positions at which operations were invoked, from the oldest that is still open, and whether each is over.
    invoked: VecDeque<(u64, bool)>,
    /// How many operations are no longer in `invoked`.
    forgotten: usize,
    shards: BTreeMap<Option<u64>, Sweep>,
    names: Names,
    unknown: Unknown,
    /// Room of operations that are over.
    spare: Vec<Vec<(u32, i64)>>,
    own: Vec<(u32, i64)>,
    report: StampedReport,
}

/// What keys and values are called.
struct Names {
    keys: Keys,
    values: Values,
    kept_max: usize,
    /// Somebody writes values, so that there are no lists.
    has_registers: bool,
}

impl Default for Names {
    fn default() -> Names {
        Names { keys: Keys::default(), values: Values::default(), kept_max: KEPT_MIN, has_registers: false }
    }
}

struct Open {
    operation: usize,
    position: u64,
    invoke_ns: u64,
    is_transaction: bool,
    /// What it asked to write: it may have been done, whatever is answered.
    writes: Vec<(u32, i64)>,
}

/// What was found, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StampedReport {
    /// Operations with a timestamp.
    pub operations: usize,
    /// The first of each rule.
    pub violations: Vec<Violation>,
    /// Why not everything was checked.
    pub gave_up: Option<String>,
    /// Why nothing is known of levels without real time.
    pub too_late: Option<String>,
}

impl Stamped {
    pub fn new(options: &Options) -> Stamped {
        Stamped {
            options: options.clone(),
            events: 0,
            operations: 0,
            open: BTreeMap::new(),
            invoked: VecDeque::new(),
            forgotten: 0,
            shards: BTreeMap::new(),
            names: Names::default(),
            unknown: Unknown::default(),
            spare: Vec::new(),
            own: Vec::new(),
            report: StampedReport::default(),
        }
    }

    pub fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        if self.report.gave_up.is_some() {
            // Nothing more will be said: nothing more is kept.
            return Ok(());
        }
        let position = self.events;
        self.events += 1;
        match &event.what {
            What::Invoke { process, call } => self.on_invoke(position, event.time_ns, *process, call),
            What::Complete { process, completion } => {
                let Some(open) = self.open.remove(process) else {
                    let event = position as usize;
                    return Err(PairingError::NothingOpen { event, process: *process }.into());
                };
                self.invoked[open.operation - self.forgotten].1 = true;
                while self.invoked.pop_front_if(|(_, is_over)| *is_over).is_some() {
                    self.forgotten += 1;
                }
                self.on_complete(position, event.time_ns, *process, open, completion)
            }
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => Ok(()),
        }
    }

    pub fn finish(mut self) -> StampedReport {
        for open in std::mem::take(&mut self.open).into_values() {
            self.unknown.add(None, &open.writes);
        }
        if self.report.gave_up.is_none() {
            let shards: Vec<Option<u64>> = self.shards.keys().copied().collect();
            shards.into_iter().for_each(|shard| self.sweep(shard, u64::MAX));
        }
        self.report
    }

    fn sweep(&mut self, shard: Option<u64>, until: u64) {
        let open = &self.open;
        let is_open = |write| open.values().any(|open| open.writes.contains(&write));
        let (names, unknown, report) = (&self.names, &mut self.unknown, &mut self.report);
        let mut shared = Shared { names, shard, unknown, is_open: &is_open, report };
        if let Some(sweep) = self.shards.get_mut(&shard) {
            sweep.advance(until, &mut shared);
        }
    }

    fn on_invoke(&mut self, position: u64, invoke_ns: u64, process: Process, call: &Call) -> Result<(), CheckError> {
        let operation = self.operations;
        self.operations += 1;
        let is_transaction = call.function == functions::TRANSACTION;
        let mut writes = self.spare.pop().unwrap_or_default();
        writes.clear();
        if is_transaction {
            for item in items(operation as u32, &call.value)? {
                let Micro::Write(name, key, value) = Micro::of(operation as u32, item)? else { continue };
                self.names.has_registers |= name == micro::WRITE;
                if self.names.has_registers && *value == self.options.initial {
                    return Err(misshapen(operation as u32, item, micro::NOT_INITIAL));
                }
                writes.push(self.names.write(key, value));
            }
        }
        self.invoked.push_back((position, false));
        match self.open.insert(process, Open { operation, position, invoke_ns, is_transaction, writes }) {
            None => Ok(()),
            Some(earlier) => Err(PairingError::StillOpen {
                event: position as usize,
                process,
                function: call.function.to_string(),
                open: earlier.position as usize,
            }
            .into()),
        }
    }

    fn on_complete(
        &mut self,
        position: u64,
        return_ns: u64,
        process: Process,
        open: Open,
        completion: &Completion,
    ) -> Result<(), CheckError> {
        let is_ok = completion.outcome == Outcome::Ok;
        let (read, commit) =
            (completion.read_timestamp.filter(|_| is_ok), completion.commit_timestamp.filter(|_| is_ok));
        let sweep = self.shards.entry(completion.shard).or_default();
        if commit.is_none() && completion.outcome != Outcome::Fail {
            self.unknown.add(completion.shard, &open.writes);
        }
        if read.is_some() || commit.is_some() {
            self.report.operations += 1;
            let Open { operation, invoke_ns, .. } = open;
            let who = Who { operation, process, invoke_ns, return_ns: Some(return_ns) };
            sweep.in_real_time(who, open.position, position, [read, commit], &mut self.report);
            let mut entry = sweep.entry(who, [read, commit]);
            if open.is_transaction {
                self.own.clear();
                let initial = &self.options.initial;
                take_steps(operation as u32, &completion.value, &mut self.names, initial, &mut self.own, &mut entry)?;
                if let Some(violation) = entry.internal.take() {
                    self.report.add(*violation);
                }
            }
            self.shards.entry(completion.shard).or_default().wait(entry);
        }
        self.spare.push(open.writes);
        self.advance(completion.shard);
        self.forget_values();
        Ok(())
    }

    /// Values that nothing holds any more are forgotten, once they may be most of those that are kept.
    fn forget_values(&mut self) {
        if self.names.values.kept_count() < self.names.kept_max {
            return;
        }
        let old = std::mem::take(&mut self.names.values);
        let mut renew = |code: &mut i64| *code = self.names.values.code(&old.value(*code));
        self.open.values_mut().flat_map(|open| &mut open.writes).for_each(|write| renew(&mut write.1));
        self.shards.values_mut().flat_map(Sweep::codes).for_each(&mut renew);
        self.unknown.renew(|code| self.names.values.code(&old.value(code)));
        self.names.kept_max = self.names.values.kept_count() * 2 + KEPT_MIN;
    }

    /// Does all that nothing open can come before any more.
    fn advance(&mut self, shard: Option<u64>) {
        let oldest = self.invoked.front().map_or(self.events, |(position, _)| *position);
        let Some(sweep) = self.shards.get_mut(&shard) else { return };
        let until = sweep.seen_before(oldest).saturating_sub(self.options.lag);
        let waiting = sweep.waiting();
        self.sweep(shard, until);
        if waiting > self.options.waiting_max {
            let max = self.options.waiting_max;
            let reason = format!("more than {max} operations waited for the one that was invoked as event {oldest}");
            self.report.gave_up.get_or_insert(reason);
            self.invoked.clear();
            self.shards.clear();
        }
    }
}

/// Takes the steps of a transaction apart: what it read of others, and what it wrote.
fn take_steps(
    number: u32,
    answers: &Value,
    names: &mut Names,
    initial: &Value,
    own: &mut Vec<(u32, i64)>,
    entry: &mut Entry,
) -> Result<(), CheckError> {
    for item in items(number, answers)? {
        match Micro::of(number, item)? {
            Micro::Write(name, key, value) => {
                let write = names.write(key, value);
                own.push(write);
                entry.is_lists |= name == functions::MICRO_APPEND;
                entry.writes.push(write);
            }
            Micro::Read(key, there) => {
                let read = names.read(key, there, initial, own, entry);
                if read.is_wrong {
                    entry.internal.get_or_insert_with(|| internal(entry.who, key, there));
                }
                entry.reads.extend(read.of_others);
            }
            Micro::Range([low, high], Some(pairs)) => {
                let first = entry.reads.len();
                for pair in pairs {
                    let (key, there) = micro::pair(number, pair)?;
                    let read = names.read(key, there, initial, own, entry);
                    if read.is_wrong {
                        entry.internal.get_or_insert_with(|| internal(entry.who, key, there));
                    }
                    entry.reads.extend(read.of_others);
                }
                let mut own_keys: Vec<u32> = own.iter().map(|(key, _)| *key).collect();
                own_keys.sort_unstable();
                own_keys.dedup();
                let (low, high, reads) = (low.clone(), high.clone(), first..entry.reads.len());
                entry.ranges.push(Range { low, high, reads, own_keys });
            }
            Micro::Range(_, None) => return Err(misshapen(number, item, "an answer to each read of a range")),
        }
    }
    Ok(())
}

struct Taken {
    /// It contradicts what the transaction wrote before.
    is_wrong: bool,
    /// None: it only shows the transaction's own write.
    of_others: Option<Read>,
}

impl Names {
    fn write(&mut self, key: &Value, value: &Value) -> (u32, i64) {
        (self.keys.number(key), self.values.code(value))
    }

    fn read(&mut self, key: &Value, there: &Value, initial: &Value, own: &[(u32, i64)], entry: &mut Entry) -> Taken {
        let key = self.keys.number(key);
        let mut mine = own.iter().filter(|(of, _)| *of == key).map(|(_, code)| *code);
        let first = entry.values.len();
        let read = |entry: &Entry| Some(Read { key, first, count: entry.values.len() - first });
        match there {
            // Before anybody writes, nobody knows what these are.
            there if there == initial || there.is_nil() && !self.has_registers => {
                let is_wrong = mine.count() > 0;
                Taken { is_wrong, of_others: read(entry).filter(|_| !is_wrong) }
            }
            Value::List(list) if !self.has_registers => {
                entry.is_lists = true;
                entry.values.extend(list.iter().map(|element| self.values.code(element)));
                let mine: Vec<i64> = mine.collect();
                let is_right = entry.values[first..].ends_with(&mine);
                entry.values.truncate(entry.values.len() - if is_right { mine.len() } else { 0 });
                Taken { is_wrong: !is_right, of_others: read(entry).filter(|_| is_right) }
            }
            value => {
                let code = self.values.code(value);
                if let Some(last) = mine.next_back() {
                    return Taken { is_wrong: last != code, of_others: None };
                }
                entry.values.push(code);
                Taken { is_wrong: false, of_others: read(entry) }
            }
        }
    }
}

fn internal(who: Who, key: &Value, there: &Value) -> Box<Violation> {
    Box::new(Violation::Internal { who, key: key.clone(), found: there.clone() })
}

impl StampedReport {
    /// The first of each rule is kept.
    fn add(&mut self, violation: Violation) {
        if self.violations.iter().all(|other| other.rule() != violation.rule()) {
            self.violations.push(violation);
        }
    }

    /// At snapshot isolation, serializability, or a form of these that keeps the order of each client or of all (strong
    /// session, strong, strict).
    pub fn finding(&self, level: Level) -> Finding {
        // What is late in spite of real time breaks that rule, too.
        let too_late = self.too_late.as_ref().filter(|_| !Rule::RealTime.is_of(level));
        let counts = |rule: Rule| rule.is_of(level) && (too_late.is_none() || !rule.is_of_keys());
        if let Some(violation) = self.violations.iter().find(|violation| counts(violation.rule())) {
            return Finding::Invalid { explanation: violation.to_string(), operations: violation.operations() };
        }
        if let Some(reason) = too_late {
            return Finding::Unknown { reason: format!("{reason}; a longer window (lag) may tell") };
        }
        match &self.gave_up {
            Some(reason) => Finding::Unknown { reason: reason.clone() },
            None => Finding::Valid,
        }
    }

    pub fn verdict(&self, level: Level) -> Verdict {
        Verdict { oracle: Oracle::Timestamps, finding: self.finding(level) }
    }
}

/// A line for each rule that is broken, with the levels that it belongs to.
impl fmt::Display for StampedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations with timestamps", self.operations)?;
        for violation in &self.violations {
            write!(f, "\n{}: {violation}", violation.rule())?;
        }
        self.gave_up.iter().try_for_each(|reason| write!(f, "\ngave up: {reason}"))
    }
}
