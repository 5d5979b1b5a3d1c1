//! Which kinds of cycles a graph has, and a short one of each kind.
//!
//! Whether there is one is a question about strongly connected components, which are linear; a walk back through its
//! component then shows one. So a tangle of a million transactions costs a few passes over it, and nothing is missed.
//! One question is harder: whether a *single* anti-dependency closes a cycle of dependencies (G-single) is a search per
//! anti-dependency. These are bounded by the budget's steps, and what was not searched is said ([`Cycles::is_unsearched`]).
//! So are two more that need to know more than kinds of edges, and are asked only where it matters: whether a cycle has at
//! most one transaction that only reads ([`Search::of_updates`]), and whether a transaction missed something after it had
//! seen what depends on it ([`step_back`]).
//!
//! First the whole graph is looked at once. Only what lies in its components is searched again, which is nothing in a
//! history that is in order.

use super::components::Components;
use super::graph::Kind::{PredicateReadWrite, Process, ReadWrite, RealTime, WriteRead, WriteWrite};
use super::graph::{Graph, Id, Kind, Rule, View};
use super::index::NONE;
use super::shape::{Family, Order, Shape};
use super::{STEPS_MAX, Sight};
use crate::budget::Budget;

/// How many starting points are tried for a short cycle; and of one component.
const TRIES_MAX: usize = 64;
const TRIES_PER_COMPONENT_MAX: usize = 8;

/// Each transaction of a cycle with the kind of the edge that leads to the next one; the last one's leads to the first.
pub(super) type Steps = Vec<(u32, Kind)>;

#[derive(Default)]
pub(super) struct Cycles {
    /// At most one of each name, gravest first.
    pub found: Vec<(Shape, Steps)>,
    /// A search for single anti-dependencies gave up. (With the order of clients, only names depend on these.)
    pub is_unsearched: bool,
    /// A search for cycles with one transaction that only reads gave up.
    pub is_update_unsearched: bool,
    /// Nothing was searched any more, because it was told to stop.
    pub is_stopped: bool,
    /// The transactions that are in some cycle.
    pub tangled: Vec<u32>,
}

/// What is looked for: a cycle of a view that has a certain kind of edge.
struct Hunt {
    view: View,
    /// Bits of kinds, of which a cycle must have one.
    required: u8,
    /// The way back, if it may take fewer kinds than the view has; then there may be none.
    back: Option<View>,
    /// What the cycle is to be, if that is to be had.
    family: Family,
}

const WRITES: u8 = WriteWrite.bit();
const DEPENDENCIES: u8 = WRITES | WriteRead.bit();
const ITEM: u8 = ReadWrite.bit();
const PREDICATE: u8 = PredicateReadWrite.bit();
const DATA: u8 = DEPENDENCIES | ITEM | PREDICATE;

fn hunts(order: Order) -> Vec<Hunt> {
    let more = match order {
        Order::Data => 0,
        Order::Process => Process.bit(),
        Order::RealTime => Process.bit() | RealTime.bit(),
    };
    let view = |kinds: u8, rule| View { kinds: kinds | more, rule };
    let any = |kinds, required, family| Hunt { view: view(kinds, Rule::Any), required, back: None, family };
    let all = DATA;
    let nonadjacent = view(all, Rule::Nonadjacent);
    let single = |required, back| {
        let back = Some(view(back, Rule::Any));
        Hunt { view: nonadjacent, required, back, family: Family::Single }
    };
    let mut hunts = vec![any(WRITES, WRITES, Family::G0), any(DEPENDENCIES, WriteRead.bit(), Family::G1c)];
    if order == Order::Data {
        hunts.push(single(ITEM | PREDICATE, WriteRead.bit()));
        let view = view(all, Rule::AfterRead);
        hunts.push(Hunt { view, required: ITEM | PREDICATE, back: None, family: Family::Nonadjacent });
    }
    hunts.push(single(ITEM, DEPENDENCIES));
    hunts.push(single(PREDICATE, DEPENDENCIES));
    hunts.push(Hunt { view: nonadjacent, required: ITEM | PREDICATE, back: None, family: Family::Nonadjacent });
    hunts.push(any(DEPENDENCIES | ITEM, ITEM, Family::G2));
    hunts.push(any(all, PREDICATE, Family::G2));
    hunts
}

pub(super) fn find(graph: &Graph, only_reads: impl Fn(u32) -> bool, budget: &Budget) -> Cycles {
    let everything = View { kinds: u8::MAX, rule: Rule::Any };
    let tangled = {
        let components = Components::find(graph, &everything);
        let ids = components.by_size().concat();
        let mut nodes: Vec<u32> = ids.iter().filter_map(|id| graph.node(*id)).map(|(node, _)| node).collect();
        nodes.sort_unstable();
        nodes
    };
    if tangled.is_empty() {
        return Cycles::default();
    }
    let graph = graph.induced(&tangled);
    let readers = tangled.iter().map(|number| only_reads(*number)).collect();
    let mut search = Search::new(&graph, readers, budget.steps_max.clamp(1, STEPS_MAX));
    let mut cycles = Cycles { tangled, ..Cycles::default() };
    let mut is_done = vec![false; hunts(Order::Data).len()];
    for order in [Order::Data, Order::Process, Order::RealTime] {
        let offset = is_done.len() - hunts(order).len();
        for (number, hunt) in hunts(order).iter().enumerate() {
            // The last ones are the same in each order; what data alone shows needs no clients.
            let place = if number < 2 { number } else { number + offset };
            cycles.is_stopped |= budget.stop.as_ref().is_some_and(|stop| stop());
            if is_done[place] || cycles.is_stopped {
                continue;
            }
            let (found, gave_up) = search.hunt(hunt);
            is_done[place] = !found.is_empty();
            cycles.is_unsearched |= gave_up && found.is_empty() && order == Order::Data;
            for steps in found {
                cycles.add(search.shape(&steps), steps);
            }
        }
        let is_known = |(shape, _): &(Shape, Steps)| shape.order == Order::Data && shape.updates;
        if order == Order::Data && !cycles.is_stopped && !cycles.found.iter().any(is_known) {
            let (found, gave_up) = search.of_updates();
            cycles.is_update_unsearched = gave_up;
            found.into_iter().for_each(|steps| cycles.add(search.shape(&steps), steps));
        }
    }
    for (_, steps) in &mut cycles.found {
        steps.iter_mut().for_each(|(node, _)| *node = cycles.tangled[*node as usize]);
    }
    cycles.found.sort_by_key(|(shape, _)| *shape);
    cycles
}

impl Cycles {
    fn add(&mut self, shape: Shape, steps: Steps) {
        match self.found.iter_mut().find(|(other, _)| *other == shape) {
            Some((_, known)) if known.len() <= steps.len() => {}
            Some((_, known)) => *known = steps,
            None => self.found.push((shape, steps)),
        }
    }
}

struct Search<'g> {
    graph: &'g Graph,
    /// Of each node, whether its transaction only reads.
    readers: Vec<bool>,
    steps_max: u64,
    /// Per id: the walk in which it was last reached, and from where, by which kind.
    reached: Vec<(u32, Id, Kind)>,
    walk: u32,
}

impl<'g> Search<'g> {
    fn new(graph: &'g Graph, readers: Vec<bool>, steps_max: u64) -> Search<'g> {
        let ids = graph.node_count() as usize * 3;
        Search { graph, readers, steps_max, reached: vec![(0, NONE, WriteWrite); ids], walk: 0 }
    }

    fn shape(&self, steps: &Steps) -> Shape {
        Shape::of(steps.iter().map(|(node, kind)| (*kind, self.readers[*node as usize])))
    }

    /// The shortest cycle found of each shape, and whether some were not searched that may have shown one.
    fn hunt(&mut self, hunt: &Hunt) -> (Vec<Steps>, bool) {
        let components = Components::find(self.graph, &hunt.view);
        if components.is_empty() {
            return (Vec::new(), false);
        }
        let back = hunt.back.unwrap_or(hunt.view);
        let limits = hunt.back.map(|back| Components::find(self.graph, &back));
        let limits = limits.as_ref().unwrap_or(&components);
        let mut cycles = Cycles::default();
        let (mut steps, mut tries, mut gave_up) = (0, 0, false);
        'components: for component in components.by_size() {
            let mut tries_here = 0;
            for id in component {
                for (from, to, kind) in self.required(hunt, &components, *id) {
                    let wanted = cycles.found.iter().filter(|(shape, _)| shape.family == hunt.family);
                    let is_short = wanted.map(|(_, steps)| steps.len()).min() == Some(2);
                    let is_found = !cycles.found.is_empty();
                    // The first walk of a hunt that cannot fail is walked to its end.
                    gave_up = steps >= self.steps_max;
                    if gave_up || is_short || is_found && tries >= TRIES_MAX {
                        break 'components;
                    }
                    if is_found && tries_here >= TRIES_PER_COMPONENT_MAX {
                        continue 'components;
                    }
                    // In the smaller view a node has one state.
                    let ids = if hunt.back.is_some() { (self.plain(to), self.plain(from)) } else { (to, from) };
                    if let Some(way) = self.walk(&back, limits, ids.0, ids.1, |_| true, &mut steps) {
                        let mut cycle = vec![(self.plain(from), kind)];
                        cycle.extend(way);
                        let cycle = simple(cycle, &hunt.view);
                        cycles.add(self.shape(&cycle), cycle);
                        (tries, tries_here) = (tries + 1, tries_here + 1);
                    }
                }
            }
        }
        (cycles.found.into_iter().map(|(_, steps)| steps).collect(), gave_up)
    }

    fn plain(&self, id: Id) -> u32 {
        self.graph.node(id).expect("a required edge joins transactions").0
    }

    /// The required edges that lead from an id to another of its component.
    fn required(&self, hunt: &Hunt, components: &Components, id: Id) -> Vec<(Id, Id, Kind)> {
        let Some((node, state)) = self.graph.node(id) else { return Vec::new() };
        let wanted = self.graph.edges_of(node).filter(|(_, kind)| hunt.required & kind.bit() != 0);
        let targets = wanted.filter_map(|(to, kind)| Some((self.graph.id(to, hunt.view.step(state, kind)?), kind)));
        let inside = targets.filter(|(to, _)| components.of(*to) == components.of(id));
        inside.map(|(to, kind)| (id, to, kind)).collect()
    }

    /// A cycle of data with at most one transaction that only reads, and whether the search gave up. Those that write are a
    /// question about components; if these have no cycle, each other one is tried with them.
    fn of_updates(&mut self) -> (Option<Steps>, bool) {
        let view = View { kinds: DATA, rule: Rule::Any };
        let updates: Vec<u32> = (0..self.graph.node_count()).filter(|node| !self.readers[*node as usize]).collect();
        let graph = self.graph.induced(&updates);
        let components = Components::find(&graph, &view);
        if let Some(component) = components.by_size().first() {
            let mut search = Search::new(&graph, vec![false; updates.len()], self.steps_max);
            let way = search.walk(&view, &components, component[0], component[0], |_| true, &mut 0);
            let way = way.expect("a component has a way from each of its transactions to itself");
            return (Some(way.into_iter().map(|(node, kind)| (updates[node as usize], kind)).collect()), false);
        }
        let components = Components::find(self.graph, &view);
        let readers = self.readers.clone();
        let mut steps = 0;
        for reader in components.by_size().concat().into_iter().filter(|node| readers[*node as usize]) {
            if steps >= self.steps_max {
                return (None, true);
            }
            let passes = |node: u32| node == reader || !readers[node as usize];
            let way = self.walk(&view, &components, reader, reader, passes, &mut steps);
            if way.is_some() {
                return (way, false);
            }
        }
        (None, false)
    }

    /// The shortest way from one id to another, or back to it, in a view, breadth first, over the transactions that it may
    /// pass. Edges lead to components of higher numbers, so that what lies beyond the target's is no way back.
    fn walk(
        &mut self,
        view: &View,
        limits: &Components,
        from: Id,
        to: Id,
        passes: impl Fn(u32) -> bool,
        steps: &mut u64,
    ) -> Option<Steps> {
        let limit = limits.of(to);
        if limits.of(from) > limit {
            return None;
        }
        self.walk += 1;
        let mut queue = vec![from];
        let mut next = 0;
        while let Some(id) = queue.get(next).copied() {
            next += 1;
            let (node, state) = self.graph.node(id).expect("walks go through transactions");
            for (target, kind) in self.graph.edges_of(node) {
                *steps += 1;
                let Some(state) = view.step(state, kind) else { continue };
                let is_open = passes(target);
                let target = self.graph.id(target, state);
                if is_open && limits.of(target) <= limit && self.reach(target, id, kind) {
                    queue.push(target);
                }
            }
            if view.has(RealTime)
                && let Some(suffix) = self.graph.suffix_after(node)
            {
                for node in suffix..self.graph.node_count() {
                    *steps += 1;
                    let suffix = self.graph.suffix_id(node);
                    if limits.of(suffix) > limit || !self.reach(suffix, id, RealTime) {
                        break;
                    }
                    if passes(node) && limits.of(node) <= limit && self.reach(node, id, RealTime) {
                        queue.push(node);
                    }
                }
            }
            if self.reached[to as usize].0 == self.walk {
                return Some(self.way_back(from, to));
            }
        }
        None
    }

    fn reach(&mut self, id: Id, from: Id, kind: Kind) -> bool {
        let place = &mut self.reached[id as usize];
        let is_new = place.0 != self.walk;
        if is_new {
            *place = (self.walk, from, kind);
        }
        is_new
    }

    fn way_back(&self, from: Id, to: Id) -> Steps {
        let (mut steps, mut id) = (Vec::new(), to);
        while steps.is_empty() || id != from {
            let (_, before, kind) = self.reached[id as usize];
            steps.push((self.plain(before), kind));
            id = before;
        }
        steps.reverse();
        steps
    }
}

/// A transaction that saw another, and at that step or later missed one that this other depends on.
pub(super) struct StepBack {
    /// The transaction, what it saw, and what it missed.
    pub number: u32,
    pub saw: Sight,
    pub missed: Sight,
    /// From what it missed to what it saw; the last one's kind leads to the transaction that was seen. Empty: they are one.
    pub way: Steps,
}

/// Finds one, in a graph without cycles of dependencies alone, and says whether the search gave up.
pub(super) fn step_back(
    graph: &Graph,
    tangled: &[u32],
    sights: impl Fn(u32) -> Vec<Sight>,
    budget: &Budget,
) -> (Option<StepBack>, bool) {
    let graph = graph.induced(tangled);
    let view = View { kinds: DEPENDENCIES, rule: Rule::Any };
    let limits = Components::find(&graph, &view);
    let in_data = Components::find(&graph, &View { kinds: DATA, rule: Rule::Any });
    let inside: Vec<u32> = in_data.by_size().concat();
    let mut search = Search::new(&graph, Vec::new(), budget.steps_max.clamp(1, STEPS_MAX));
    let mut steps = 0;
    for node in inside {
        let sights = sights(tangled[node as usize]);
        let place = |sight: &Sight| tangled.binary_search(&sight.other).ok().map(|place| place as u32);
        let (missed, saw): (Vec<&Sight>, Vec<&Sight>) =
            sights.iter().partition(|sight| sight.kind.is_anti_dependency());
        for missed in missed {
            for saw in saw.iter().filter(|saw| saw.place <= missed.place) {
                let (Some(from), Some(to)) = (place(missed), place(saw)) else { continue };
                if from == node || to == node {
                    continue;
                }
                if steps >= search.steps_max {
                    return (None, true);
                }
                steps += 1;
                let way = match from == to {
                    true => Some(Steps::new()),
                    false => search.walk(&view, &limits, from, to, |_| true, &mut steps),
                };
                if let Some(mut way) = way {
                    way.iter_mut().for_each(|(node, _)| *node = tangled[*node as usize]);
                    let (saw, missed) = (**saw, *missed);
                    return (Some(StepBack { number: tangled[node as usize], saw, missed, way }), false);
                }
            }
        }
    }
    (None, false)
}

/// A closed walk may pass a transaction twice, in two states. Cut there it falls into two, of which one keeps the rule:
/// if the first does not, the walk left this transaction by an edge that the second does not take.
fn simple(mut walk: Steps, view: &View) -> Steps {
    let twice = |walk: &Steps| {
        (0..walk.len()).find_map(|one| Some((one, (one + 1..walk.len()).find(|two| walk[one].0 == walk[*two].0)?)))
    };
    while let Some((one, two)) = twice(&walk) {
        let inner: Steps = walk[one..two].to_vec();
        let outer: Steps = walk[two..].iter().chain(&walk[..one]).copied().collect();
        let keeps = |part: &Steps| {
            let is_right = |state: bool| part.iter().try_fold(state, |state, (_, kind)| view.step(state, *kind));
            is_right(false) == Some(false) || is_right(true) == Some(true)
        };
        walk = if keeps(&inner) { inner } else { outer };
    }
    walk
}
