//! The models by the names under which they are asked for: what each judges, and what it understands.
//!
//! A history may be judged by a model if the model reads it without complaint. Where several do, a person must say which is
//! meant; some judge another promise over the same operations and are therefore never guessed.
//!
//! What a model must know besides the operations are its facts: of the header, or said by a person. Each model names its own
//! with their kinds, so that nothing that a person says is passed over.

use std::fmt;

use tenet_histories::{Event, Header, History, Process, Value, What, facts, workloads};

use crate::budget::Budget;
use crate::checks::causal::Level;
use crate::checks::{self, Check, bank, convergence, counter, leases, log, queue, session, set, staleness, unique_ids};
use crate::html::Shown;
use crate::isolation::stamped::{Stamped, StampedReport};
use crate::linearizable::{self, Kind, Saw};
use crate::{CheckError, Oracle, Verdict, isolation, predicate_skew, write_skew};

/// Events that are looked at to tell which models read a history, and steps that each may take with them.
const GLANCE_EVENTS: usize = 2000;
const GLANCE_STEPS: u64 = 10_000;

/// What a person may say besides the model; each model heeds what concerns it. The rest it takes from the header's facts.
#[derive(Clone, Default)]
pub struct Options {
    /// The value of every object at first.
    pub initial: Option<Value>,
    /// The isolation that transactions were promised.
    pub level: Option<isolation::Level>,
    pub budget: Budget,
    pub progress: Option<linearizable::OnProgress>,
}

pub struct Model {
    pub name: &'static str,
    /// The promise, as the end of "judges whether ..".
    pub promise: &'static str,
    /// What clients ask for.
    pub functions: &'static [&'static str],
    /// Another model judges another promise over the same operations, so that this one must be named.
    pub by_name_only: bool,
    /// It goes by the order of operations of different clients.
    pub needs_real_time: bool,
    /// What it heeds besides the operations.
    pub facts: &'static [Fact],
    judge: Judge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub kind: FactKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    Bool,
    Int,
    /// An integer from 0.
    Count,
    List,
    Any,
}

impl FactKind {
    /// Nil is as if it had not been said.
    fn admits(self, value: &Value) -> bool {
        value.is_nil()
            || match self {
                FactKind::Bool => value.as_bool().is_some(),
                FactKind::Int => value.as_int().is_some(),
                FactKind::Count => value.as_int().is_some_and(|int| int >= 0),
                FactKind::List => value.as_list().is_some(),
                FactKind::Any => true,
            }
    }

    fn expected(self) -> &'static str {
        match self {
            FactKind::Bool => "true or false",
            FactKind::Int => "a whole number",
            FactKind::Count => "a whole number from 0",
            FactKind::List => "a list",
            FactKind::Any => "a value",
        }
    }
}

/// How a model is judged.
enum Judge {
    Linear(Kind),
    By(fn(&Header, &Options) -> Box<dyn Stream>),
}

/// What a model says of a history: `Display` is for people.
pub trait Told: fmt::Display {
    fn verdict(&self) -> Verdict;
    /// What kind of anomaly proves it invalid, if it is: the same for histories that go wrong in the same way.
    fn class(&self) -> Option<String>;

    /// What a page shows of it.
    fn shown(&self) -> Shown {
        Shown::of_finding(&self.verdict().finding)
    }

    /// Of the levels of isolation, if it is about them: the strongest that hold, and the weakest that do not.
    fn levels(&self) -> Option<Levels> {
        None
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    pub strongest: Vec<isolation::Level>,
    pub ruled_out: Vec<isolation::Level>,
}

impl<V: checks::Violation> Told for checks::Report<V> {
    fn verdict(&self) -> Verdict {
        checks::Report::verdict(self)
    }

    fn class(&self) -> Option<String> {
        self.violations.first().map(|violation| violation.name().to_string())
    }
}

impl Told for isolation::Report {
    fn verdict(&self) -> Verdict {
        isolation::Report::verdict(self)
    }

    fn class(&self) -> Option<String> {
        self.proof().map(isolation::Anomaly::name)
    }

    fn shown(&self) -> Shown {
        Shown::of_isolation(self)
    }

    fn levels(&self) -> Option<Levels> {
        Some(Levels { strongest: self.strongest(), ruled_out: self.weakest_ruled_out() })
    }
}

impl Told for linearizable::Report {
    fn verdict(&self) -> Verdict {
        linearizable::Report::verdict(self)
    }

    fn class(&self) -> Option<String> {
        let linearizable::Proof::Invalid(violation) = &self.proof else { return None };
        // Without the write that a read saw, a history is just as invalid, but goes wrong in another way.
        Some(match violation.saw {
            Saw::Nobody => "not-linearizable-from-nowhere".to_string(),
            Saw::Written { .. } | Saw::Initial | Saw::Unsaid => "not-linearizable".to_string(),
        })
    }

    fn shown(&self) -> Shown {
        Shown::of_linearizable(self)
    }
}

impl Told for Verdict {
    fn verdict(&self) -> Verdict {
        self.clone()
    }

    fn class(&self) -> Option<String> {
        matches!(self.finding, crate::Finding::Invalid { .. }).then(|| self.oracle.to_string())
    }
}

/// Judges events while they are read, and keeps less of them than they are.
pub trait Stream {
    /// The next event in real order.
    fn push(&mut self, event: &Event) -> Result<(), CheckError>;

    /// After the last event.
    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError>;
}

struct Linear {
    stream: Box<dyn linearizable::Stream>,
    options: linearizable::Options,
}

impl Stream for Linear {
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        self.stream.push(event)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError> {
        self.stream.finish(&self.options).map(told)
    }
}

struct Transactions<B> {
    builder: B,
    options: isolation::Options,
}

impl Stream for Transactions<isolation::Lists> {
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        self.builder.push(event)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError> {
        Ok(told(self.builder.finish(&self.options)))
    }
}

impl Stream for Transactions<isolation::Registers> {
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        self.builder.push(event)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError> {
        Ok(told(self.builder.finish(&self.options)))
    }
}

impl<C: Check> Stream for checks::Stream<C>
where
    C::Violation: 'static,
{
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        checks::Stream::push(self, event)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError> {
        checks::Stream::finish(*self).map(told)
    }
}

/// By timestamps alone.
struct WhiteBox {
    stamped: Stamped,
    level: isolation::Level,
}

struct ByTimestamps {
    report: StampedReport,
    level: isolation::Level,
}

impl Stream for WhiteBox {
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        self.stamped.push(event)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError> {
        Ok(told(ByTimestamps { report: self.stamped.finish(), level: self.level }))
    }
}

impl Told for ByTimestamps {
    fn verdict(&self) -> Verdict {
        match self.report.operations {
            0 => {
                Verdict::unknown(Oracle::Timestamps, "no operation has a timestamp, so that there is nothing to judge")
            }
            _ => self.report.verdict(self.level),
        }
    }

    fn class(&self) -> Option<String> {
        let is_invalid = matches!(self.verdict().finding, crate::Finding::Invalid { .. });
        let broken = self.report.violations.iter().map(|violation| violation.rule());
        broken.filter(|rule| is_invalid && rule.is_of(self.level)).map(|rule| rule.to_string()).next()
    }
}

impl fmt::Display for ByTimestamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}

/// For what wants to see the whole history.
struct Whole {
    history: History,
    check: fn(&History) -> Result<Verdict, CheckError>,
}

impl Stream for Whole {
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        self.history.events.push(event.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Told>, CheckError> {
        (self.check)(&self.history).map(told)
    }
}

impl Model {
    /// For a history that begins with this header.
    pub fn stream(&self, header: &Header, options: &Options) -> Box<dyn Stream> {
        match self.judge {
            Judge::Linear(kind) => {
                let options = linear_options(kind, header, options);
                Box::new(Linear { stream: linearizable::stream(header, &options), options })
            }
            Judge::By(stream) => stream(header, options),
        }
    }

    /// Whether the level means anything to it.
    pub fn has_levels(&self) -> bool {
        matches!(self.name, workloads::LIST_APPEND | workloads::RW_REGISTER | STAMPED)
    }

    /// The level that is judged, if it is about levels: the strongest that the history can be of, unless one was promised.
    pub fn level(&self, header: &Header, options: &Options) -> Option<isolation::Level> {
        self.has_levels().then(|| options.level.unwrap_or(strongest(header)))
    }

    /// Whether facts are of their kinds, and there is real time where it is needed.
    pub fn accepts(&self, header: &Header, options: &Options) -> Result<(), CheckError> {
        for Fact { name, kind } in self.facts {
            if let Some(found) = header.facts.get(*name).filter(|value| !kind.admits(value)) {
                let (name, found, expected) = (name.to_string(), found.to_string(), kind.expected());
                return Err(CheckError::Fact { name, found, expected });
            }
        }
        if has_real_time(header) {
            return Ok(());
        }
        if self.needs_real_time {
            let others = MODELS.iter().filter(|model| !model.needs_real_time && !self.is_disjoint(model));
            let others: Vec<&str> = others.map(|model| model.name).collect();
            let instead = if others.is_empty() { "another model".to_string() } else { others.join(", ") };
            return Err(CheckError::NoRealTime { what: format!("model {}", self.name), instead });
        }
        match options.level {
            Some(level) if level.is_at_least(isolation::Level::StrongReadUncommitted) => {
                let instead = format!("{} or a weaker level", strongest(header));
                Err(CheckError::NoRealTime { what: format!("level {level}"), instead })
            }
            _ => Ok(()),
        }
    }

    fn is_disjoint(&self, other: &Model) -> bool {
        self.functions.iter().all(|function| !other.functions.contains(function))
    }

    pub fn check(&self, history: &History, options: &Options) -> Result<Box<dyn Told>, CheckError> {
        self.accepts(&history.header, options)?;
        self.judge(history, options)
    }

    fn judge(&self, history: &History, options: &Options) -> Result<Box<dyn Told>, CheckError> {
        let mut stream = self.stream(&history.header, options);
        history.events.iter().try_for_each(|event| stream.push(event))?;
        stream.finish()
    }

    /// Whether the model knows the functions of this history and reads its beginning without complaint.
    pub fn reads(&self, history: &History) -> bool {
        let is_known = |what: &What| match what {
            What::Invoke { call, .. } => self.functions.contains(&call.function.as_ref()),
            What::Complete { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => true,
        };
        let events = &history.events[..history.events.len().min(GLANCE_EVENTS)];
        if !events.iter().all(|event| is_known(&event.what)) {
            return false;
        }
        let options = Options { budget: Budget { steps_max: GLANCE_STEPS, ..Budget::default() }, ..Options::default() };
        self.judge(&History { header: history.header.clone(), events: events.to_vec() }, &options).is_ok()
    }

    /// Whether it could be meant where nobody says so.
    fn may_be_guessed(&self, history: &History) -> bool {
        let is_meant = match self.judge {
            Judge::Linear(Kind::FencedMutex) => has_tokens(history),
            Judge::Linear(_) | Judge::By(_) => !self.by_name_only,
        };
        is_meant && (has_real_time(&history.header) || !self.needs_real_time)
    }
}

/// A history of sessions may have no time that they share.
fn has_real_time(header: &Header) -> bool {
    header.facts.get(facts::REAL_TIME) != Some(&Value::Bool(false))
}

/// The strongest level that such a history can be of.
fn strongest(header: &Header) -> isolation::Level {
    match has_real_time(header) {
        true => isolation::Level::StrictSerializable,
        false => isolation::Level::StrongSessionSerializable,
    }
}

/// Whether somebody who acquired a lock was answered a number, which is a fencing token.
fn has_tokens(history: &History) -> bool {
    let mut acquiring: Vec<Process> = Vec::new();
    history.events.iter().take(GLANCE_EVENTS).any(|event| match &event.what {
        What::Invoke { process, call } if call.function == "acquire" => {
            acquiring.push(*process);
            false
        }
        What::Complete { process, completion } => {
            let before = acquiring.len();
            acquiring.retain(|other| other != process);
            let token = completion.value.as_list().and_then(<[Value]>::last).unwrap_or(&completion.value);
            acquiring.len() < before && token.as_int().is_some()
        }
        What::Invoke { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => false,
    })
}

pub fn named(name: &str) -> Option<&'static Model> {
    // As Jepsen's people call it; and registers of many tenants are registers.
    let name = if matches!(name, "cas-register" | workloads::TENANTS) { workloads::REGISTER } else { name };
    MODELS.iter().find(|model| model.name == name)
}

/// The model that the header names; or else those that read the history and may be guessed. Only one: it is meant.
pub fn candidates(history: &History) -> Vec<&'static Model> {
    match named(&history.header.workload) {
        Some(model) => vec![model],
        None => MODELS.iter().filter(|model| model.may_be_guessed(history) && model.reads(history)).collect(),
    }
}

/// Those that read the history too, and judge another promise of it than the one that was guessed. (Timestamps make no
/// other promise.)
pub fn others(guessed: &Model, history: &History) -> Vec<&'static Model> {
    let is_other = |model: &&Model| {
        let has_time = has_real_time(&history.header) || !model.needs_real_time;
        model.by_name_only && ![guessed.name, STAMPED].contains(&model.name) && has_time && model.reads(history)
    };
    MODELS.iter().filter(is_other).collect()
}

fn told<T: Told + 'static>(report: T) -> Box<dyn Told> {
    Box::new(report)
}

fn linear_options(kind: Kind, header: &Header, options: &Options) -> linearizable::Options {
    let Options { initial, budget, progress, level: _ } = options.clone();
    let pairs = header.facts.get("pairs") == Some(&Value::Bool(true));
    linearizable::Options { kind, initial, pairs, budget, progress }
}

const fn linear(kind: Kind, promise: &'static str, functions: &'static [&'static str], by_name_only: bool) -> Model {
    let facts = match kind {
        Kind::Register | Kind::MultiRegister | Kind::Kv => VALUES,
        Kind::Counter => COUNTS,
        _ => PLAIN,
    };
    Model {
        name: kind.name(),
        promise,
        functions,
        by_name_only,
        needs_real_time: true,
        facts,
        judge: Judge::Linear(kind),
    }
}

const fn fact(name: &'static str, kind: FactKind) -> Fact {
    Fact { name, kind }
}

const REAL_TIME: Fact = fact(facts::REAL_TIME, FactKind::Bool);
const PAIRS: Fact = fact("pairs", FactKind::Bool);
const INITIAL: Fact = fact(facts::INITIAL, FactKind::Any);
const PLAIN: &[Fact] = &[PAIRS, REAL_TIME];
const VALUES: &[Fact] = &[INITIAL, PAIRS, REAL_TIME];
const COUNTS: &[Fact] = &[fact(facts::INITIAL, FactKind::Int), PAIRS, REAL_TIME];

/// By timestamps alone, whatever its functions.
pub const STAMPED: &str = "stamped";

const REGISTERS: &[&str] = &["read", "write", "cas", "txn"];

fn initial(header: &Header, options: &Options) -> Value {
    options.initial.clone().or_else(|| header.facts.get("initial").cloned()).unwrap_or_default()
}

fn isolated<B>(builder: B, header: &Header, options: &Options) -> Transactions<B> {
    let default = isolation::Options::default();
    let level = options.level.unwrap_or(strongest(header));
    let options = isolation::Options { level, budget: options.budget.clone(), ..default }.of(header);
    Transactions { builder, options }
}

fn checked<C: Check + 'static>(header: &Header, check: C) -> Box<dyn Stream> {
    Box::new(checks::Stream::new(check, header))
}

fn causal(level: Level, header: &Header, options: &Options) -> Box<dyn Stream> {
    let (initial, budget) = (initial(header, options), options.budget.clone());
    checked(header, checks::causal::Causal::new(checks::causal::Options { level, initial, budget }))
}

pub const MODELS: &[Model] = &[
    linear(Kind::Register, "registers are linearizable", &["read", "write", "cas"], false),
    linear(Kind::MultiRegister, "transactions over registers are linearizable", &["txn"], false),
    linear(Kind::Kv, "texts under keys are linearizable", &["get", "put", "append"], false),
    linear(Kind::Set, "a set is linearizable", &["add", "read"], false),
    linear(Kind::Counter, "a counter is linearizable", &["add", "inc", "dec", "read"], false),
    linear(Kind::Queue, "a queue is linearizable, first in first out", &["enqueue", "dequeue", "drain"], false),
    linear(Kind::UnorderedQueue, "a queue is linearizable, in any order", &["enqueue", "dequeue", "drain"], false),
    linear(Kind::Log, "a log is linearizable", &["append", "read"], false),
    linear(Kind::Mutex, "a lock is held by one at a time", &["acquire", "release"], false),
    linear(Kind::OwnerMutex, "a lock is held by one at a time, who releases it", &["acquire", "release"], true),
    linear(
        Kind::ReentrantMutex,
        "a lock is held by one at a time, who may take it again",
        &["acquire", "release"],
        true,
    ),
    linear(
        Kind::FencedMutex,
        "a lock is held by one at a time, with a token that grows",
        &["acquire", "release"],
        true,
    ),
    Model {
        name: workloads::ETCD,
        promise: "a store whose revision grows with every write is linearizable",
        functions: &[
            "get",
            "put",
            "delete",
            "etcd-range",
            "etcd-txn",
            "etcd-leaseGrant",
            "etcd-leaseRevoke",
            "etcd-defragment",
            "etcd-compact",
        ],
        by_name_only: true,
        needs_real_time: true,
        facts: &[REAL_TIME],
        judge: Judge::By(|header, options| {
            let stream = Box::new(linearizable::Collector::new(Box::new(linearizable::models::Etcd), false));
            Box::new(Linear { stream, options: linear_options(Kind::default(), header, options) })
        }),
    },
    Model {
        name: workloads::LIST_APPEND,
        promise: "transactions over lists are isolated",
        functions: &["txn"],
        by_name_only: false,
        needs_real_time: false,
        facts: &[REAL_TIME],
        judge: Judge::By(|header, options| Box::new(isolated(isolation::Lists::default(), header, options))),
    },
    Model {
        name: workloads::RW_REGISTER,
        promise: "transactions over registers are isolated",
        functions: &["txn"],
        by_name_only: false,
        needs_real_time: false,
        facts: &[INITIAL, REAL_TIME],
        judge: Judge::By(|header, options| {
            Box::new(isolated(isolation::Registers::new(initial(header, options)), header, options))
        }),
    },
    Model {
        name: workloads::BANK,
        promise: "every read of all accounts has the same total",
        functions: &["read", "transfer"],
        by_name_only: false,
        needs_real_time: false,
        facts: &[
            fact("total", FactKind::Int),
            fact("total-amount", FactKind::Int),
            fact("accounts", FactKind::List),
            fact("negative-balances", FactKind::Bool),
            PAIRS,
            REAL_TIME,
        ],
        judge: Judge::By(|header, _| checked(header, bank::Bank::new(bank::Options::of(header)))),
    },
    Model {
        name: "set-full",
        promise: "what was added is read from then on",
        functions: &["add", "read"],
        by_name_only: true,
        needs_real_time: true,
        facts: &[fact("linearizable", FactKind::Bool), PAIRS, REAL_TIME],
        judge: Judge::By(|header, _| checked(header, set::Set::new(set::Options::of(header)))),
    },
    Model {
        name: "counter-bounds",
        promise: "each read of a counter is a possible sum",
        functions: &["add", "inc", "dec", "read"],
        by_name_only: true,
        needs_real_time: true,
        facts: COUNTS,
        judge: Judge::By(|header, options| {
            let initial = initial(header, options).as_int().unwrap_or(0);
            checked(header, counter::Counter::new(initial))
        }),
    },
    Model {
        name: "total-queue",
        promise: "what is enqueued is dequeued once, in any order",
        functions: &["enqueue", "dequeue", "drain"],
        by_name_only: false,
        needs_real_time: true,
        facts: &[fact("duplicates-allowed", FactKind::Bool), PAIRS, REAL_TIME],
        judge: Judge::By(|header, _| checked(header, queue::Queue::new(queue::Options::of(header)))),
    },
    Model {
        name: workloads::WRITE_SKEW,
        promise: "one side of each pair stays on",
        functions: &["read", "turn-on", "turn-off"],
        by_name_only: false,
        needs_real_time: false,
        facts: &[REAL_TIME],
        judge: Judge::By(|_, _| Box::new(Whole { history: History::default(), check: write_skew::check })),
    },
    Model {
        name: workloads::PREDICATE_SKEW,
        promise: "a group never has two rows",
        functions: &["read", "claim", "release"],
        by_name_only: false,
        needs_real_time: false,
        facts: &[REAL_TIME],
        judge: Judge::By(|_, _| Box::new(Whole { history: History::default(), check: predicate_skew::check })),
    },
    Model {
        name: "unique-ids",
        promise: "no identifier is given twice",
        functions: &["generate"],
        by_name_only: false,
        needs_real_time: false,
        facts: PLAIN,
        judge: Judge::By(|header, _| checked(header, unique_ids::UniqueIds::default())),
    },
    Model {
        name: "session",
        promise: "each client reads its writes and sees the database move forward",
        functions: REGISTERS,
        by_name_only: true,
        needs_real_time: false,
        facts: VALUES,
        judge: Judge::By(|header, options| {
            let (initial, budget) = (initial(header, options), options.budget.clone());
            checked(header, session::Session::new(session::Options { initial, budget }))
        }),
    },
    Model {
        name: "causal",
        promise: "whoever sees an effect sees its causes",
        functions: REGISTERS,
        by_name_only: true,
        needs_real_time: false,
        facts: VALUES,
        judge: Judge::By(|header, options| causal(Level::Causal, header, options)),
    },
    Model {
        name: "causal-convergence",
        promise: "whoever sees an effect sees its causes, and conflicts are settled alike for all",
        functions: REGISTERS,
        by_name_only: true,
        needs_real_time: false,
        facts: VALUES,
        judge: Judge::By(|header, options| causal(Level::Convergent, header, options)),
    },
    Model {
        name: "causal-memory",
        promise: "each client sees all it does in one order of causes",
        functions: REGISTERS,
        by_name_only: true,
        needs_real_time: false,
        facts: VALUES,
        judge: Judge::By(|header, options| causal(Level::Memory, header, options)),
    },
    Model {
        name: "leases",
        promise: "a lock has one holder at a time, and its tokens fence off earlier ones",
        functions: &["acquire", "renew", "release", "use"],
        by_name_only: true,
        needs_real_time: true,
        facts: &[fact("lease_ns", FactKind::Count), fact("clock_uncertainty_ns", FactKind::Count), PAIRS, REAL_TIME],
        judge: Judge::By(|header, _| checked(header, leases::Leases::new(leases::Options::of(header)))),
    },
    Model {
        name: "partition-log",
        promise: "records keep their offsets, and consumers get them all in order",
        functions: &["send", "poll", "assign", "subscribe", "txn"],
        by_name_only: false,
        needs_real_time: true,
        facts: &[fact("dense", FactKind::Bool), fact("from-start", FactKind::Bool), PAIRS, REAL_TIME],
        judge: Judge::By(|header, _| checked(header, log::Log::new(log::Options::of(header)))),
    },
    Model {
        name: "convergence",
        promise: "replicas that have seen the same updates show the same state",
        functions: &["update", "read"],
        by_name_only: false,
        needs_real_time: true,
        facts: &[fact("quiet_ns", FactKind::Count), PAIRS, REAL_TIME],
        judge: Judge::By(|header, _| checked(header, convergence::Convergence::new(convergence::Options::of(header)))),
    },
    Model {
        name: "staleness",
        promise: "reads are no older than was promised",
        functions: REGISTERS,
        by_name_only: true,
        needs_real_time: true,
        facts: &[fact("age_ns_max", FactKind::Count), fact("versions_max", FactKind::Count), INITIAL, PAIRS, REAL_TIME],
        judge: Judge::By(|header, options| {
            let options = staleness::Options::of(header, initial(header, options));
            checked(header, staleness::Staleness::new(options))
        }),
    },
    Model {
        name: STAMPED,
        promise: "timestamps of reads and commits agree with what clients saw",
        functions: &["txn"],
        by_name_only: true,
        needs_real_time: false,
        facts: &[fact("lag", FactKind::Count), fact("waiting_max", FactKind::Count), INITIAL, REAL_TIME],
        judge: Judge::By(|header, options| {
            let count = |name: &str| header.facts.get(name).and_then(Value::as_int).and_then(|int| int.try_into().ok());
            let level = options.level.unwrap_or(strongest(header));
            let default = isolation::stamped::Options::at(level);
            let waiting_max = count("waiting_max").map_or(default.waiting_max, |max: u64| max as usize);
            let lag = count("lag").unwrap_or(default.lag);
            let stamped = isolation::stamped::Options { lag, waiting_max, initial: initial(header, options) };
            Box::new(WhiteBox { stamped: Stamped::new(&stamped), level })
        }),
    },
];
