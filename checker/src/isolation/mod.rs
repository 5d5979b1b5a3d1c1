//! Whether transactions were as isolated as they were promised to be, from what clients saw.
//!
//! After Elle (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020). Reads
//! show which writes they depend on and which they miss; where the order of versions is known too, these dependencies are a
//! graph of transactions, whose cycles are Adya's anomalies. Each level of isolation is the absence of some of them, so that
//! one pass answers for all levels: which are ruled out, by which proof, and which are the strongest that are not.
//!
//! - [`check_lists`]: transactions that append to lists and read them. Reads tell the whole order of versions.
//! - [`check_registers`]: transactions that write registers and read them. Reads tell part of the order of versions.
//!
//! Invariants
//!  E1  Each edge of a proof can be derived again from the history alone. Nothing is called invalid without one.
//!  E2  A level is called ruled out only if no history of that level could have been seen so, whatever is unknown.
//!  E3  A bound that is hit makes levels *undecided*, never satisfied.
//!  E4  Everything is linear in the history but the searches that `Options` bounds.

mod anomaly;
mod causes;
mod columns;
mod components;
mod cycles;
mod graph;
mod index;
mod level;
mod list_order;
mod lists;
mod micro;
mod proof;
mod register_order;
mod registers;
mod report;
mod shape;
pub mod stamped;
mod transactions;

use std::ops::ControlFlow;

use tenet_histories::{Header, History, Value, facts};

use crate::budget::{Budget, Meter};
use crate::{CheckError, Oracle};

pub use anomaly::{Anomaly, Version};
pub use graph::Kind;
pub use level::{Level, UnknownLevel};
pub use lists::Lists;
pub use proof::{Because, Cycle, Edge, Later, Source, Who};
pub use registers::Registers;
pub use report::Report;
pub use shape::{Family, Order, Shape};
pub use transactions::TRANSACTIONS_MAX;

use cycles::{StepBack, Steps};
use graph::{EdgeSink, Graph, TooManyEdges};
use index::NONE;
use list_order::ListOrder;
use register_order::RegisterOrder;
use transactions::Transactions;

#[derive(Clone, Debug)]
pub struct Options {
    /// The level that the history was promised.
    pub level: Level,
    /// Of its steps, each search for cycles takes no more than `STEPS_MAX`.
    pub budget: Budget,
    /// How many dependencies a history may have, per transaction.
    pub edges_per_transaction_max: usize,
    /// Whether the order of events of different clients means anything. A history's fact `real_time` may deny it.
    pub real_time: bool,
}

/// What graph and search take per transaction, in an ordinary history.
const SEARCH_BYTES: usize = 100;

/// How many edges one search for cycles follows at most: a second's work.
const STEPS_MAX: u64 = 20_000_000;

/// Of small histories, each may have as many edges.
const EDGES_MIN: usize = 1 << 20;

impl Default for Options {
    fn default() -> Options {
        Options {
            level: Level::StrictSerializable,
            budget: Budget::default(),
            edges_per_transaction_max: 64,
            real_time: true,
        }
    }
}

impl Options {
    fn edges_max(&self, transactions: usize) -> usize {
        transactions.saturating_mul(self.edges_per_transaction_max).max(EDGES_MIN)
    }

    pub(crate) fn of(&self, header: &Header) -> Options {
        let denied = header.facts.get("real_time") == Some(&Value::Bool(false));
        Options { real_time: self.real_time && !denied, ..self.clone() }
    }
}

/// Judges a history of transactions over lists (list-append).
pub fn check_lists(history: &History, options: &Options) -> Result<Report, CheckError> {
    let mut lists = Lists::default();
    history.events.iter().try_for_each(|event| lists.push(event))?;
    Ok(lists.finish(&options.of(&history.header)))
}

/// Judges a history of transactions over registers (rw-register), of which each begins as the fact `initial` says, or unset.
pub fn check_registers(history: &History, options: &Options) -> Result<Report, CheckError> {
    let initial = history.header.facts.get(facts::INITIAL).cloned().unwrap_or_default();
    let mut registers = Registers::new(initial);
    history.events.iter().try_for_each(|event| registers.push(event))?;
    Ok(registers.finish(&options.of(&history.header)))
}

impl Lists {
    /// After the last event.
    pub fn finish(mut self, options: &Options) -> Report {
        self.claim();
        let mut anomalies = std::mem::take(&mut self.found);
        let order = ListOrder::new(&self);
        anomalies.extend(order.anomalies());
        judge(Oracle::Lists, &self.transactions, &order, anomalies, options)
    }
}

impl Registers {
    /// After the last event. What real time says of each key is the most that is known; where that shows nothing wrong,
    /// nothing is.
    pub fn finish(mut self, options: &Options) -> Report {
        self.claim();
        let by_time = options.real_time.then(|| self.judge(Order::RealTime, options));
        if let Some(report) = by_time.as_ref().filter(|report| report.is_clean()) {
            return report.clone();
        }
        let by_process = self.judge(Order::Process, options);
        if by_time.is_none() && by_process.is_clean() {
            return by_process;
        }
        let mut report = self.judge(Order::Data, options);
        let sessions = [Level::StrongSessionSnapshotIsolation, Level::StrongSessionSerializable];
        report.add_by_keys(by_process, &sessions);
        if let Some(by_time) = by_time {
            report.add_by_keys(by_time, &[Level::StrongSnapshotIsolation, Level::StrictSerializable]);
        }
        report
    }

    /// `keys`: whose order each key's versions are taken to keep.
    fn judge(&self, keys: Order, options: &Options) -> Report {
        let mut anomalies = self.found.clone();
        match RegisterOrder::new(self, keys, options) {
            Ok(mut order) => {
                anomalies.extend(order.cyclic_versions());
                anomalies.extend(order.anomalies());
                judge(Oracle::Registers, &self.transactions, &order, anomalies, options)
            }
            Err(TooManyEdges) => too_many(Oracle::Registers, &self.transactions, anomalies, options),
        }
    }
}

/// Told of what a step shows, and how to say why.
type Said<'s> = dyn FnMut(Sight, &dyn Fn() -> Because) -> ControlFlow<()> + 's;

/// What a model of data knows of its transactions.
trait Dependencies {
    fn each_edge(&self, edge: &mut EdgeSink<'_>) -> ControlFlow<()>;
    /// It asked for no writes.
    fn only_reads(&self, number: u32) -> bool;
    /// What the steps of a transaction show of others, and why, for whoever asks.
    fn each_said(&self, number: u32, said: &mut Said<'_>) -> ControlFlow<()>;

    /// Why the one wrote before the other, as far as no step of the other says it.
    fn overwrote(&self, _from: u32, _to: u32) -> Option<Because> {
        None
    }

    /// All of a transaction.
    fn each_sight(&self, number: u32, sight: &mut dyn FnMut(Sight)) {
        let told = self.each_said(number, &mut |found, _| {
            sight(found);
            ControlFlow::Continue(())
        });
        assert!(told.is_continue(), "nobody broke off");
    }

    /// Why there is that edge, as the step at a place shows it, or any.
    fn because_at(&self, from: u32, to: u32, kind: Kind, place: Option<u32>) -> Because {
        match kind {
            Kind::Process => return Because::SameProcess,
            Kind::RealTime => return Because::RealTime,
            Kind::WriteWrite | Kind::WriteRead | Kind::ReadWrite | Kind::PredicateReadWrite => {}
        }
        let (number, other) = if kind.is_anti_dependency() { (from, to) } else { (to, from) };
        let mut because = None;
        let is_it =
            |sight: Sight| sight.other == other && sight.kind == kind && place.is_none_or(|place| place == sight.place);
        let _ = self.each_said(number, &mut |sight, say| match is_it(sight) {
            true => {
                because = Some(say());
                ControlFlow::Break(())
            }
            false => ControlFlow::Continue(()),
        });
        let overwrote = || self.overwrote(from, to).filter(|_| kind == Kind::WriteWrite);
        because.or_else(overwrote).expect("an edge was made from what explains it")
    }

    fn because(&self, from: u32, to: u32, kind: Kind) -> Because {
        self.because_at(from, to, kind, None)
    }

    /// Anomalies that are part of some cycle, among the transactions that are.
    fn lost_update(&self, tangled: &[u32]) -> Option<Anomaly>;
    /// A key that both wrote.
    fn written_by_both(&self, one: u32, two: u32) -> Option<Value>;
    /// Where a transaction last missed something that another wrote, and how that is known.
    fn missed(&self, number: u32, writer: u32) -> Option<(u32, Kind, Because)>;
}

/// What a step of a transaction shows of another: that this one came before it, or, by an anti-dependency, after it. What came
/// at a lower place came earlier; of a range, what is not there comes before what is.
#[derive(Clone, Copy, Debug)]
struct Sight {
    place: u32,
    other: u32,
    kind: Kind,
}

/// Searches for cycles, and says what all anomalies together mean.
fn judge(
    oracle: Oracle,
    transactions: &Transactions,
    data: &impl Dependencies,
    mut anomalies: Vec<Anomaly>,
    options: &Options,
) -> Report {
    let count = transactions.count();
    if let Err(exhausted) = Meter::new(&options.budget).step(count * SEARCH_BYTES) {
        let mut report = Report::new(oracle, options.level, count, anomalies);
        report.give_up(&Level::ALL, exhausted.to_string());
        return report;
    }
    let after = if options.real_time { transactions.after().to_vec() } else { vec![NONE; count] };
    let graph = match Graph::build(after, options.edges_max(count), |edge| data.each_edge(edge)) {
        Ok(graph) => graph,
        Err(TooManyEdges) => return too_many(oracle, transactions, anomalies, options),
    };
    let only_reads = |number: u32| data.only_reads(number);
    let cycles = cycles::find(&graph, only_reads, &options.budget);
    let cycle = |steps| Cycle::of(steps, |number| transactions.who(number), only_reads);
    let justify = |steps: &Steps, end: u32| -> Vec<(u32, Kind, Because)> {
        let to = |place: usize| steps.get(place + 1).map_or(end, |(to, _)| *to);
        let justify =
            |(place, (from, kind)): (usize, &(u32, Kind))| (*from, *kind, data.because(*from, to(place), *kind));
        steps.iter().enumerate().map(justify).collect()
    };
    anomalies.extend(cycles.found.iter().map(|(_, steps)| Anomaly::Cycle(cycle(justify(steps, steps[0].0)))));
    anomalies.extend(data.lost_update(&cycles.tangled));
    if let Some((in_order, steps)) = causes::fractured_read(data, &cycles.tangled) {
        anomalies.push(Anomaly::FracturedRead { in_order, cycle: cycle(steps) });
    }
    if !anomalies.iter().any(|anomaly| anomaly.rules_out(Level::ConsistentView))
        && let Some((key, steps)) = causes::write_conflict(data, &cycles.tangled)
    {
        anomalies.push(Anomaly::WriteConflict { key, cycle: cycle(steps) });
    }
    let mut is_cause_unsearched = false;
    let is_out = |level| anomalies.iter().any(|anomaly| anomaly.rules_out(level));
    if !cycles.is_stopped && !is_out(Level::Causal) && (is_out(Level::ConsistentView) || cycles.is_unsearched) {
        let (missed, gave_up) = causes::missed_cause(data, &cycles.tangled, options.budget.steps_max);
        is_cause_unsearched = gave_up;
        anomalies.extend(missed.map(|steps| Anomaly::Cycle(cycle(steps))));
    }
    let is_out = |level| anomalies.iter().any(|anomaly| anomaly.rules_out(level));
    let mut is_back_unsearched = false;
    if !cycles.is_stopped && !is_out(Level::MonotonicView) && (is_out(Level::ConsistentView) || cycles.is_unsearched) {
        let sights = |number| {
            let mut sights = Vec::new();
            data.each_sight(number, &mut |sight| sights.push(sight));
            sights
        };
        let (found, gave_up) = cycles::step_back(&graph, &cycles.tangled, sights, &options.budget);
        is_back_unsearched = gave_up;
        if let Some(StepBack { number, saw, missed, way }) = found {
            let because = |from, to, sight: Sight| data.because_at(from, to, sight.kind, Some(sight.place));
            let mut steps = vec![
                (saw.other, saw.kind, because(saw.other, number, saw)),
                (number, missed.kind, because(number, missed.other, missed)),
            ];
            steps.extend(justify(&way, saw.other));
            anomalies.push(Anomaly::Monotonic { cycle: cycle(steps) });
        }
    }
    let mut report = Report::new(oracle, options.level, transactions.count(), anomalies);
    if cycles.is_stopped {
        report.give_up(&Level::ALL, "stopped before all cycles were searched for".to_string());
    } else if cycles.is_unsearched {
        let levels = [Level::Causal, Level::ConsistentView, Level::ParallelSnapshotIsolation];
        report.give_up(&levels, "gave up a search for cycles with one anti-dependency (G-single)".to_string());
    }
    if cycles.is_update_unsearched {
        let reason = "gave up a search for cycles with one transaction that only reads (G-update)".to_string();
        report.give_up(&[Level::UpdateSerializable], reason);
    }
    if is_cause_unsearched {
        let reason = "gave up a search for causes of which something was missed".to_string();
        report.give_up(&[Level::Causal], reason);
    }
    if is_back_unsearched {
        let reason = "gave up a search for reads that miss what was seen (G-monotonic)".to_string();
        report.give_up(&[Level::MonotonicView], reason);
    }
    report
}

fn too_many(oracle: Oracle, transactions: &Transactions, anomalies: Vec<Anomaly>, options: &Options) -> Report {
    let mut report = Report::new(oracle, options.level, transactions.count(), anomalies);
    let edges_max = options.edges_max(transactions.count());
    report.give_up(&Level::ALL, format!("more than {edges_max} dependencies"));
    report
}
