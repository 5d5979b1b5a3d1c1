//! Check `convergence`: replicas that have seen the same updates show the same state.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | update | the update, each once | replicas may see it, and must in the end | replicas may see it |
//! | read | - | answers `{"replica", "seen": [update, ..], "state"}`, or only a state | says nothing |
//!
//! `key` is the object. Failed updates are seen nowhere. Strong eventual consistency (Shapiro, Preguiça, Baquero and Zawirski,
//! "Conflict-free replicated data types", 2011), where reads tell what they have seen:
//!  - two reads that have seen the same set of updates show the same state;
//!  - what is seen was asked for before, and did not fail;
//!  - of one replica (if it is named), a read that begins after another has ended has seen all that it had.
//!
//! In the end, if told from when on all is quiet (`quiet_ns` after the last update that was acknowledged has ended): a read has
//! seen every acknowledged update, and all reads show the same state. An unknown update may still come: reads that differ
//! without telling what they have seen are then no proof, which is said.

use std::collections::HashMap;
use std::fmt;

use tenet_histories::{Header, Outcome, Value};

use super::{Check, Done, Names, Of, Op, PerKey, Report, elements, fact_count};
use crate::{CheckError, Oracle};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How long after the last acknowledged update all replicas must have it. None: never.
    pub quiet_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// `in_the_end`: they need not have seen the same, or do not say.
    Diverged {
        key: Value,
        first: (Op, Value),
        second: (Op, Value),
        in_the_end: bool,
    },
    /// Nobody asked for it before the read ended, or all who did failed.
    Invented {
        key: Value,
        update: Value,
        read: Op,
    },
    Forgotten {
        key: Value,
        update: Value,
        replica: Value,
        earlier: Op,
        later: Op,
    },
    NeverSeen {
        key: Value,
        update: Value,
        by: Op,
        read: Op,
    },
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::Diverged { in_the_end: false, .. } => "diverged",
            Wrong::Diverged { in_the_end: true, .. } => "diverged-in-the-end",
            Wrong::Invented { .. } => "invented",
            Wrong::Forgotten { .. } => "forgotten",
            Wrong::NeverSeen { .. } => "never-seen",
        }
    }

    fn operations(&self) -> Vec<usize> {
        match self {
            Wrong::Diverged { first, second, .. } => vec![first.0.number, second.0.number],
            Wrong::Invented { read, .. } => vec![read.number],
            Wrong::Forgotten { earlier, later, .. } => vec![earlier.number, later.number],
            Wrong::NeverSeen { by, read, .. } => vec![by.number, read.number],
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Diverged { key, first: (one, state), second: (two, other), in_the_end } => {
                let (of, when) =
                    (Of(key), if *in_the_end { "after all was quiet" } else { "having seen the same updates" });
                write!(f, "{one} read {state}{of} and {two} read {other}, both {when}")
            }
            Wrong::Invented { key, update, read } => {
                write!(f, "{read} has seen {update}{}, which nobody can have made by then", Of(key))
            }
            Wrong::Forgotten { key, update, replica, earlier, later } => {
                let of = Of(key);
                write!(
                    f,
                    "replica {replica} had seen {update}{of} in {earlier}, and had not in {later}, which began later"
                )
            }
            Wrong::NeverSeen { key, update, by, read } => {
                write!(f, "{read}, after all was quiet, has not seen {update}{}, which {by} made", Of(key))
            }
        }
    }
}

#[derive(Default)]
struct Object {
    names: Names,
    /// By number of the update: the first to begin of those that did not fail; and the first acknowledged one.
    updates: Vec<(Option<Op>, Option<Op>)>,
    has_unknown: bool,
    reads: Vec<Read>,
}

struct Read {
    op: Op,
    replica: Value,
    state: Value,
    /// Updates by number, in order; none if it does not tell.
    seen: Option<Vec<u32>>,
}

pub struct Convergence {
    options: Options,
    objects: PerKey<Object>,
}

impl Convergence {
    pub fn new(options: Options) -> Convergence {
        Convergence { options, objects: PerKey::default() }
    }
}

impl Options {
    /// Fact `quiet_ns`.
    pub fn of(header: &Header) -> Options {
        Options { quiet_ns: fact_count(header, "quiet_ns") }
    }
}

impl Object {
    fn update(&mut self, update: &Value) -> usize {
        let number = self.names.number(update);
        if number == self.updates.len() {
            self.updates.push((None, None));
        }
        number
    }
}

impl Check for Convergence {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        let object = self.objects.of(&done.call.key);
        match done.function() {
            "update" => {
                let number = object.update(&done.call.value);
                if done.outcome == Outcome::Fail {
                    return Ok(());
                }
                object.has_unknown |= done.outcome == Outcome::Unknown;
                let (first, acknowledged) = &mut object.updates[number];
                *first = first.filter(|first| first.invoked < done.op.invoked).or(Some(done.op));
                *acknowledged = acknowledged.or(done.is_ok().then_some(done.op));
            }
            "read" if done.is_ok() => {
                let field = |name: &str| done.answer.field(name);
                let seen = match field("seen") {
                    None => None,
                    Some(seen) => {
                        let list = elements(seen).ok_or_else(|| done.misshapen(seen, "a list of updates"))?;
                        let mut seen: Vec<u32> = list.map(|update| object.update(update) as u32).collect();
                        seen.sort_unstable();
                        seen.dedup();
                        Some(seen)
                    }
                };
                let replica = field("replica").cloned().unwrap_or_default();
                let state = field("state").unwrap_or(done.answer).clone();
                object.reads.push(Read { op: done.op, replica, state, seen });
            }
            "read" => {}
            _ => return Err(done.stranger("update or read")),
        }
        Ok(())
    }

    fn finish(self) -> Report<Wrong> {
        let mut report = Report::new(Oracle::Convergence);
        for (key, object) in self.objects.into_iter() {
            report.count("reads", object.reads.len() as u64);
            report.count("updates", object.updates.len() as u64);
            strong(&key, &object, &mut report);
            monotonic(&key, &object, &mut report);
            if let Some(quiet_ns) = self.options.quiet_ns {
                eventual(&key, &object, quiet_ns, &mut report);
            }
        }
        report
    }
}

fn strong(key: &Value, object: &Object, report: &mut Report<Wrong>) {
    let mut states: HashMap<&[u32], &Read> = HashMap::new();
    for read in &object.reads {
        let Some(seen) = &read.seen else { continue };
        for update in seen {
            let is_possible = object.updates[*update as usize].0.is_some_and(|first| !read.op.precedes(&first));
            if !is_possible {
                let update = object.names.value(*update as usize).clone();
                report.violation(Wrong::Invented { key: key.clone(), update, read: read.op });
            }
        }
        let first = states.entry(seen).or_insert(read);
        if first.state != read.state {
            report.violation(diverged(key, first, read, false));
        }
    }
}

fn diverged(key: &Value, first: &Read, second: &Read, in_the_end: bool) -> Wrong {
    let (first, second) = ((first.op, first.state.clone()), (second.op, second.state.clone()));
    Wrong::Diverged { key: key.clone(), first, second, in_the_end }
}

/// Of each replica, all that reads which had ended have seen: what each later one must have seen.
fn monotonic(key: &Value, object: &Object, report: &mut Report<Wrong>) {
    let mut replicas: PerKey<Vec<&Read>> = PerKey::default();
    let tells = |read: &&Read| read.seen.is_some() && !read.replica.is_nil();
    object.reads.iter().filter(tells).for_each(|read| replicas.of(&read.replica).push(read));
    for (replica, mut reads) in replicas.into_iter() {
        // Reads stand in the order of completion.
        let mut ended = reads.clone().into_iter().peekable();
        reads.sort_by_key(|read| read.op.invoked);
        let mut known: HashMap<u32, Op> = HashMap::new();
        for later in reads {
            while let Some(earlier) = ended.next_if(|earlier| earlier.op.precedes(&later.op)) {
                for update in earlier.seen.iter().flatten() {
                    known.entry(*update).or_insert(earlier.op);
                }
            }
            let seen = later.seen.as_deref().unwrap_or(&[]);
            if seen.iter().filter(|update| known.contains_key(update)).count() < known.len() {
                let mut missing: Vec<_> =
                    known.iter().filter(|(update, _)| seen.binary_search(update).is_err()).collect();
                missing.sort_unstable_by_key(|(update, _)| **update);
                let (update, earlier) = (object.names.value(*missing[0].0 as usize).clone(), *missing[0].1);
                let (key, replica) = (key.clone(), replica.clone());
                report.violation(Wrong::Forgotten { key, update, replica, earlier, later: later.op });
            }
        }
    }
}

fn eventual(key: &Value, object: &Object, quiet_ns: u64, report: &mut Report<Wrong>) {
    let acknowledged: Vec<(u32, Op)> =
        (0..).zip(&object.updates).filter_map(|(number, (_, done))| Some((number, (*done)?))).collect();
    let last = acknowledged.iter().map(|(_, op)| (op.returned, op.return_ns)).max();
    let is_quiet = |read: &&Read| {
        last.is_none_or(|(returned, return_ns)| {
            read.op.invoked > returned && read.op.invoke_ns >= return_ns.saturating_add(quiet_ns)
        })
    };
    let mut first: Option<&Read> = None;
    for read in object.reads.iter().filter(is_quiet) {
        if let Some(seen) = &read.seen {
            if let Some((update, by)) = acknowledged.iter().find(|(update, _)| seen.binary_search(update).is_err()) {
                let update = object.names.value(*update as usize).clone();
                report.violation(Wrong::NeverSeen { key: key.clone(), update, by: *by, read: read.op });
            }
            continue;
        }
        let first = *first.get_or_insert(read);
        if first.state == read.state {
            continue;
        }
        if object.has_unknown {
            let why = "an unknown update may still have come between";
            if report.undecided.is_empty() {
                report.undecided.push(format!("{} and {} differ{}, but {why}", first.op, read.op, Of(key)));
            }
            continue;
        }
        report.violation(diverged(key, first, read, true));
    }
}
