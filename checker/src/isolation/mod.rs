//! Whether transactions were as isolated as they were promised to be, from what clients saw.
//!
//! After Elle (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020). Reads
//! show which writes they depend on and which they miss; where the order of versions is known too, these dependencies are a
//! graph of transactions, whose cycles are Adya's anomalies. Each level of isolation is the absence of some of them, so that
//! one pass answers for all levels: which are ruled out, by which proof, and which are the strongest that still hold.
//!
//! - [`lists`](check_lists): transactions that append to lists and read them. Reads tell the whole order of versions.
//!
//! Invariants
//!  E1  Each edge of a proof can be derived again from the history alone. Nothing is called invalid without one.
//!  E2  A level is called ruled out only if no history of that level could have been seen so, whatever is unknown.
//!  E3  A bound that is hit makes levels *undecided*, never satisfied.
//!  E4  Everything is linear in the history but the searches that `Options` bounds.

mod anomaly;
mod components;
mod cycles;
mod graph;
mod index;
mod level;
mod list_order;
mod lists;
mod proof;
mod report;
mod shape;
mod transactions;

use tenet_histories::History;

use crate::{CheckError, Oracle};

pub use anomaly::{Anomaly, Version};
pub use graph::Kind;
pub use level::{Level, UnknownLevel};
pub use lists::Lists;
pub use proof::{Because, Cycle, Edge, Later, Source, Who};
pub use report::Report;
pub use shape::{Family, Order, Shape};
pub use transactions::TRANSACTIONS_MAX;

use cycles::Steps;
use graph::Graph;
use list_order::ListOrder;

#[derive(Clone, Debug)]
pub struct Options {
    /// The level that the history was promised.
    pub level: Level,
    /// How many edges one search for cycles follows before it gives up.
    pub steps_max: u64,
    /// How many dependencies a history may have, per transaction.
    pub edges_per_transaction_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { level: Level::StrictSerializable, steps_max: 20_000_000, edges_per_transaction_max: 64 }
    }
}

/// Of small histories, each may have as many edges.
const EDGES_MIN: usize = 1 << 20;

/// Judges a history of transactions over lists (list-append).
pub fn check_lists(history: &History, options: &Options) -> Result<Report, CheckError> {
    let mut lists = Lists::default();
    history.events.iter().try_for_each(|event| lists.push(event))?;
    Ok(lists.finish(options))
}

impl Lists {
    /// After the last event.
    pub fn finish(mut self, options: &Options) -> Report {
        self.claim();
        let mut anomalies = std::mem::take(&mut self.found);
        let order = ListOrder::new(&self);
        anomalies.extend(order.anomalies());
        let transactions = self.transactions.count();
        let after = self.transactions.after().to_vec();
        let edges_max = (transactions * options.edges_per_transaction_max).max(EDGES_MIN);
        let graph = Graph::build(after, edges_max, |edge| order.each_edge(edge));
        let who = |number: u32| self.transactions.who(number);
        let cycle = |steps: &Steps| {
            let because = |from, to, kind| order.because(from, to, kind);
            Cycle::justified(steps, who, because)
        };
        let graph = match graph {
            Ok(graph) => graph,
            Err(_) => {
                let mut report = Report::new(Oracle::Lists, options.level, transactions, anomalies);
                report.give_up(&Level::ALL, format!("more than {edges_max} dependencies"));
                return report;
            }
        };
        let cycles = cycles::find(&graph, options.steps_max);
        anomalies.extend(cycles.found.iter().map(|(_, steps)| Anomaly::Cycle(cycle(steps))));
        anomalies.extend(order.lost_update(&cycles.tangled));
        if let Some((in_order, steps)) = order.fractured_read(&cycles.tangled) {
            anomalies.push(Anomaly::FracturedRead { in_order, cycle: Cycle::of(steps, who) });
        }
        let mut report = Report::new(Oracle::Lists, options.level, transactions, anomalies);
        if !cycles.unsearched.is_empty() {
            let levels = [Level::Causal, Level::ConsistentView, Level::ParallelSnapshotIsolation];
            report.give_up(&levels, format!("a search for G-single followed more than {} edges", options.steps_max));
        }
        report
    }
}
