//! Is there an order? The search of Wing and Gong for one object, in Lowe's just-in-time form.
//!
//! Events are taken in order. A configuration is a state that the object may be in, with the open operations that have
//! already taken effect. Nothing takes effect before it has to: when an operation returns, every configuration in which it
//! has not yet taken effect tries all sequences of open operations that end with it. (Any order can be delayed into this
//! form: an operation that takes effect later than the next return may as well do so at that return.) No configuration
//! left: no order.
//!
//! What keeps it small:
//!  - Operations that never return stay open for ever. Those that would do the same are interchangeable: the earliest goes
//!    first. A configuration that has used fewer of them, and is otherwise equal, can do all that the other can: the
//!    other is dropped (*domination*). One that every configuration has used is forgotten.
//!  - An open operation that only looks takes effect at once wherever it may: waiting gains nothing.

use std::collections::BTreeMap;

/// An object, told operation by operation.
pub(crate) trait Model {
    type State: Clone + Ord;
    type Call: Ord;

    fn initial(&self) -> Self::State;

    /// The state after the call with the answer it got; None if it cannot have got that answer in this state.
    fn apply(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State>;

    /// The call never changes any state. (A write of the value that is there already is not such a call: later, it may
    /// bring that value back.)
    fn only_looks(&self, call: &Self::Call) -> bool;
}

/// An operation between two positions; without `returned` it may take effect at any time after `invoked`, or never.
pub(crate) struct Interval<C> {
    pub invoked: usize,
    pub returned: Option<usize>,
    pub call: C,
}

pub(crate) enum Outcome<S> {
    Found,
    /// No order lets operation `stuck` return; the object may have been in these states just before.
    NotFound {
        stuck: usize,
        states: Vec<S>,
    },
    /// More than the allowed number of configurations at one return.
    GaveUp {
        at: usize,
    },
}

/// Sorted numbers of operations.
type Set = Vec<u32>;

/// A state, the returning operations that have taken effect, and the never-returning ones.
type Configuration<S> = (S, Set, Set);

/// Configurations by state and by the returning operations that have taken effect; for each, the sets of never-returning
/// ones used, none of which contains another.
struct Frontier<S> {
    sets: BTreeMap<(S, Set), Vec<Set>>,
    count: usize,
}

impl<S: Ord + Clone> Frontier<S> {
    fn new() -> Frontier<S> {
        Frontier { sets: BTreeMap::new(), count: 0 }
    }

    /// False if one that can do as much is here already.
    fn insert(&mut self, state: S, done: Set, used: Set) -> bool {
        let sets = self.sets.entry((state, done)).or_default();
        if sets.iter().any(|other| is_subset(other, &used)) {
            return false;
        }
        let before = sets.len();
        sets.retain(|other| !is_subset(&used, other));
        sets.push(used);
        self.count = self.count + sets.len() - before;
        true
    }

    fn into_configurations(self) -> impl Iterator<Item = Configuration<S>> {
        self.sets
            .into_iter()
            .flat_map(|((state, done), sets)| sets.into_iter().map(move |used| (state.clone(), done.clone(), used)))
    }
}

/// `configurations_max` bounds what is held at one time.
pub(crate) fn search<M: Model>(
    model: &M,
    intervals: &[Interval<M::Call>],
    configurations_max: usize,
) -> Outcome<M::State> {
    let mut events: Vec<(usize, bool, usize)> = Vec::with_capacity(intervals.len() * 2);
    for (number, interval) in intervals.iter().enumerate() {
        events.push((interval.invoked, false, number));
        if let Some(returned) = interval.returned {
            assert!(interval.invoked < returned, "operation {number} returns before it is invoked");
            events.push((returned, true, number));
        }
    }
    events.sort_unstable();

    let mut frontier = Frontier::new();
    frontier.insert(model.initial(), Set::new(), Set::new());
    // Open operations: those that return, and those that never do, in order of invocation.
    let mut pending: Vec<usize> = Vec::new();
    let mut endless: Vec<usize> = Vec::new();

    for (_, is_return, number) in events {
        if !is_return {
            if intervals[number].returned.is_some() {
                pending.push(number);
            } else {
                endless.push(number);
            }
            continue;
        }
        let states_before: Vec<M::State> = frontier.sets.keys().map(|(state, _)| state.clone()).collect();
        let open = Open { model, intervals, pending: &pending, endless: &endless };
        match open.let_return(number, frontier, configurations_max) {
            Some(next) => frontier = next,
            None => return Outcome::GaveUp { at: number },
        }
        if frontier.count == 0 {
            let mut states = states_before;
            states.dedup();
            return Outcome::NotFound { stuck: number, states };
        }
        pending.retain(|other| *other != number);
        forget_used_by_all(&mut frontier, &mut endless);
    }
    Outcome::Found
}

struct Open<'a, M: Model> {
    model: &'a M,
    intervals: &'a [Interval<M::Call>],
    pending: &'a [usize],
    endless: &'a [usize],
}

impl<M: Model> Open<'_, M> {
    /// The configurations after the return of `number`; None if there are too many.
    fn let_return(
        &self,
        number: usize,
        frontier: Frontier<M::State>,
        configurations_max: usize,
    ) -> Option<Frontier<M::State>> {
        let mut after = Frontier::new();
        let mut seen = Frontier::new();
        let mut stack = Vec::new();
        for configuration in frontier.into_configurations() {
            self.reach(configuration, number, &mut after, &mut seen, &mut stack);
        }
        while let Some((state, done, used)) = stack.pop() {
            if after.count + seen.count > configurations_max {
                return None;
            }
            for &other in self.pending {
                if contains(&done, other) {
                    continue;
                }
                if let Some(state) = self.apply(&state, other) {
                    self.reach((state, with(&done, other), used.clone()), number, &mut after, &mut seen, &mut stack);
                }
            }
            let mut tried: Vec<&M::Call> = Vec::new();
            for &other in self.endless {
                let call = &self.intervals[other].call;
                if contains(&used, other) || tried.contains(&call) {
                    continue;
                }
                tried.push(call);
                // One that changes nothing is not worth using up.
                if let Some(next) = self.apply(&state, other)
                    && next != state
                {
                    self.reach((next, done.clone(), with(&used, other)), number, &mut after, &mut seen, &mut stack);
                }
            }
        }
        Some(after)
    }

    /// Files a configuration: after the return if `number` has taken effect, else among those to go on from.
    fn reach(
        &self,
        (state, mut done, used): Configuration<M::State>,
        number: usize,
        after: &mut Frontier<M::State>,
        seen: &mut Frontier<M::State>,
        stack: &mut Vec<Configuration<M::State>>,
    ) {
        for &other in self.pending {
            if self.model.only_looks(&self.intervals[other].call)
                && !contains(&done, other)
                && self.apply(&state, other).is_some()
            {
                done = with(&done, other);
            }
        }
        if contains(&done, number) {
            done.retain(|other| *other != number as u32);
            after.insert(state, done, used);
        } else if seen.insert(state.clone(), done.clone(), used.clone()) {
            stack.push((state, done, used));
        }
    }

    fn apply(&self, state: &M::State, number: usize) -> Option<M::State> {
        self.model.apply(state, &self.intervals[number].call)
    }
}

fn forget_used_by_all<S: Ord + Clone>(frontier: &mut Frontier<S>, endless: &mut Vec<usize>) {
    let mut sets = frontier.sets.values().flatten();
    let Some(first) = sets.next() else { return };
    let mut common = first.clone();
    for set in sets {
        common.retain(|number| set.binary_search(number).is_ok());
    }
    if common.is_empty() {
        return;
    }
    for set in frontier.sets.values_mut().flatten() {
        set.retain(|number| common.binary_search(number).is_err());
    }
    endless.retain(|number| !contains(&common, *number));
}

fn contains(set: &Set, number: usize) -> bool {
    set.binary_search(&(number as u32)).is_ok()
}

fn with(set: &Set, number: usize) -> Set {
    let mut set = set.clone();
    let number = number as u32;
    if let Err(place) = set.binary_search(&number) {
        set.insert(place, number);
    }
    set
}

fn is_subset(small: &Set, large: &Set) -> bool {
    small.len() <= large.len() && small.iter().all(|number| large.binary_search(number).is_ok())
}
