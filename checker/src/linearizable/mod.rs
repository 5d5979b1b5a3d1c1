//! Oracle `linearizable`: every object behaves as one thing that each operation touches at one moment between its
//! invocation and its completion (Herlihy & Wing 1990).
//!
//! A [`Model`] says what the object does. Linearizability is local: a history is linearizable if each object's part is, so
//! operations are split by key, and further where the model can (Horn & Kroening 2015, *P-compositionality*); each part is
//! searched by itself (`search`: Wing & Gong 1993, Lowe 2017).
//!
//! Operations that failed never happened and are dropped. Unknown ones stay open to the end, unless the model knows that
//! they can serve nobody.
//!
//! Every finding comes with its proof. Valid: an order of each part, which [`confirm`] re-checks knowing nothing of the
//! search. Invalid: the longest prefix that has an order, the operation that cannot return after it, and every state (with
//! the operations that have taken effect) that the object may be in just before; from none of them the operations that are
//! open then lead to what the blocked one saw.
//!
//! Invariants
//!  L1  What is called valid is confirmed; what is called invalid has no order. Else it is unknown, with the reason (C5).
//!  L2  The first part, in the order of keys, that is invalid decides; a part that gave up does not hide one that is invalid.

mod collect;
mod explain;
pub mod model;
pub mod models;
mod search;

use std::sync::Arc;

use tenet_histories::{Event, Header, History, Value};

pub use collect::Collector;
pub use explain::{Before, Order, Proof, Report, Saw, Violation, Window};
pub use model::Model;
pub use models::Kind;
pub use search::Progress;

use crate::CheckError;
use crate::budget::{Budget, Exhausted, Meter};
use model::{NEVER, Part};
use search::{Found, World};

pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

#[derive(Clone, Default)]
pub struct Options {
    pub kind: Kind,
    /// The value of every key at first. None: the fact `initial` of the header, or what the model says.
    pub initial: Option<Value>,
    /// Values and answers are pairs `[key, value]`, as of Jepsen's `independent`.
    pub pairs: bool,
    pub budget: Budget,
    /// Told now and then how far the search is.
    pub progress: Option<OnProgress>,
}

/// Judges a history by one of the models that come along.
pub fn check(history: &History, options: &Options) -> Result<Report, CheckError> {
    let mut stream = stream(&history.header, options);
    history.events.iter().try_for_each(|event| stream.push(event))?;
    stream.finish(options)
}

/// The same, event by event: of each operation only what its model makes of it is kept.
pub trait Stream {
    /// The next event in real order.
    fn push(&mut self, event: &Event) -> Result<(), CheckError>;

    /// After the last one.
    fn finish(self: Box<Self>, options: &Options) -> Result<Report, CheckError>;
}

impl<M: Model> Stream for Collector<M, Box<M>> {
    fn push(&mut self, event: &Event) -> Result<(), CheckError> {
        Collector::push(self, event)
    }

    fn finish(self: Box<Self>, options: &Options) -> Result<Report, CheckError> {
        Collector::finish(*self, options)
    }
}

/// For a history that begins with this header.
pub fn stream(header: &Header, options: &Options) -> Box<dyn Stream> {
    let initial = options.initial.clone().or_else(|| header.facts.get("initial").cloned());
    models::stream(options, initial.unwrap_or_default())
}

/// Judges a history by any model; `options.kind` and `options.initial` are not looked at.
pub fn check_by<M: Model>(model: &M, history: &History, options: &Options) -> Result<Report, CheckError> {
    let mut collector = Collector::new(model, options.pairs);
    for event in &history.events {
        collector.push(event)?;
    }
    collector.finish(options)
}

/// What is true of one part. Operations are places in `Part::operations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<S> {
    /// Each takes effect in this order.
    Order(Vec<u32>),
    Blocked(Blocked<S>),
}

/// There is an order up to the return of `operation`, but none beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked<S> {
    pub operation: u32,
    /// Ways to come to it: orders of all that returned before, and some that were open, with the state they lead to. Every
    /// other way leads to a state and open operations from which no more is possible than from one of these.
    pub ways: Vec<(Vec<u32>, S)>,
    /// There are so many more at least.
    pub ways_more: usize,
}

/// Looks for an order of one part.
pub fn check_part<M: Model>(
    model: &M,
    part: &Part<M::Call>,
    meter: &mut Meter,
    progress: &dyn Fn(Progress),
) -> Result<Outcome<M::State>, Exhausted> {
    let mut world = World::new(model, part);
    Ok(match search::search(&mut world, meter, progress)? {
        Found::Order(entry) => Outcome::Order(entry.order),
        Found::Blocked { level, entries, entries_more, .. } => Outcome::Blocked(Blocked {
            operation: world.operation_at(level),
            ways: entries.into_iter().map(|entry| (entry.order, world.state(entry.state).clone())).collect(),
            ways_more: entries_more,
        }),
    })
}

/// Whether `order` proves that the part is linearizable: everything that returned is in it, nothing twice; nothing stands
/// behind what was invoked only after its return; and the model allows each step. Says what is wrong.
pub fn confirm<M: Model>(model: &M, part: &Part<M::Call>, order: &[u32]) -> Result<(), String> {
    let mut placed = vec![false; part.operations.len()];
    let (mut states, mut invoked_last) = (vec![model.initial()], 0);
    for place in order {
        let taken = &part.operations[*place as usize];
        if std::mem::replace(&mut placed[*place as usize], true) {
            return Err(format!("operation {} stands twice", taken.number));
        }
        if taken.returned < invoked_last {
            return Err(format!("operation {} stands behind one invoked after its return", taken.number));
        }
        invoked_last = invoked_last.max(taken.invoked);
        let mut next = Vec::new();
        states.iter().for_each(|state| model.step(state, &taken.call, &mut next));
        if next.is_empty() {
            return Err(format!("operation {} is not possible where it stands", taken.number));
        }
        states = next;
    }
    match part.operations.iter().zip(placed).find(|(taken, placed)| taken.returned != NEVER && !placed) {
        Some((taken, _)) => Err(format!("operation {} is missing", taken.number)),
        None => Ok(()),
    }
}
