//! Whether any execution of a level explains a history: all orders of commits, and for each transaction all snapshots.

use tenet_checker::isolation::Level;
use tenet_histories::{History, Operation, Outcome, Value};

/// What all keys hold, as a model understands it.
pub trait State: Clone {
    /// What the transaction reads must be in `self`; returns what it wrote, on top of `last`.
    fn apply(&self, operation: &Operation<'_>, last: &Self) -> Option<Self>;
    /// Both write the same key.
    fn conflict(one: &Operation<'_>, two: &Operation<'_>) -> bool;
}

/// Those levels whose executions are a matter of snapshots of one order of commits.
pub const LEVELS: [Level; 7] = [
    Level::Prefix,
    Level::SnapshotIsolation,
    Level::StrongSessionSnapshotIsolation,
    Level::StrongSnapshotIsolation,
    Level::Serializable,
    Level::StrongSessionSerializable,
    Level::StrictSerializable,
];

pub fn has_execution<S: State>(history: &History, initial: S, level: Level) -> bool {
    let operations = history.operations().unwrap();
    let mut search = Search { operations: &operations, level, placed: Vec::new(), states: vec![initial] };
    search.any()
}

struct Search<'a, S> {
    operations: &'a [Operation<'a>],
    level: Level,
    placed: Vec<usize>,
    states: Vec<S>,
}

impl<S: State> Search<'_, S> {
    /// Unknown transactions are left out at will, failed ones always.
    fn any(&mut self) -> bool {
        let must = |operation: &Operation<'_>| operation.is_ok();
        if self.operations.iter().enumerate().all(|(at, operation)| !must(operation) || self.placed.contains(&at)) {
            return true;
        }
        for (at, operation) in self.operations.iter().enumerate() {
            if self.placed.contains(&at) || operation.outcome() == Outcome::Fail {
                continue;
            }
            let before = |other: &Operation<'_>| match self.level {
                Level::StrongSessionSerializable | Level::StrongSessionSnapshotIsolation => {
                    other.process == operation.process && precedes(other, operation)
                }
                Level::StrictSerializable | Level::StrongSnapshotIsolation => precedes(other, operation),
                _ => false,
            };
            let mut floor = 0;
            let mut is_early = false;
            for (other, predecessor) in self.operations.iter().enumerate().filter(|(_, other)| before(other)) {
                debug_assert!(predecessor.is_ok());
                match self.placed.iter().position(|placed| *placed == other) {
                    Some(place) => floor = floor.max(place + 1),
                    None => is_early = true,
                }
            }
            if is_early {
                continue;
            }
            let last = self.placed.len();
            let is_serial = self.level.is_at_least(Level::Serializable);
            let snapshots = if is_serial { last..=last } else { floor..=last };
            let refused = |snapshot: usize| {
                let concurrent = &self.placed[snapshot..];
                self.level.is_at_least(Level::SnapshotIsolation)
                    && concurrent.iter().any(|other| S::conflict(&self.operations[*other], operation))
            };
            let applied = snapshots
                .filter(|snapshot| !refused(*snapshot))
                .find_map(|snapshot| self.states[snapshot].apply(operation, &self.states[last]));
            if let Some(state) = applied {
                self.placed.push(at);
                self.states.push(state);
                if self.any() {
                    return true;
                }
                self.placed.pop();
                self.states.pop();
            }
        }
        false
    }
}

/// The first was acknowledged before the second was invoked.
fn precedes(one: &Operation<'_>, two: &Operation<'_>) -> bool {
    one.is_ok() && one.return_event().unwrap() < two.invoke_event
}

/// The micro-operations that count: the answers, if there are any.
pub fn micros<'a>(operation: &'a Operation<'_>) -> impl Iterator<Item = [&'a Value; 3]> {
    let said = if operation.is_ok() { operation.answer() } else { &operation.call.value };
    said.as_list().unwrap().iter().map(|micro| {
        let [name, key, value] = micro.as_list().unwrap() else { panic!("a micro-operation has three parts") };
        [name, key, value]
    })
}

/// A read of a range, of keys that are numbers, as one of each key: nil where it was not there.
pub fn each_key([name, key, value]: [&Value; 3]) -> Vec<[Value; 3]> {
    let Some([Value::Int(low), Value::Int(high)]) = key.as_list() else {
        return vec![[name, key, value].map(Value::clone)];
    };
    let there = |key: i64| {
        let mut pairs = value.as_list().unwrap_or_default().iter().map(|pair| pair.as_list().unwrap());
        pairs.find(|pair| pair[0] == key.into()).map_or(Value::Nil, |pair| pair[1].clone())
    };
    (*low..=*high).map(|key| ["r".into(), key.into(), there(key)]).collect()
}
