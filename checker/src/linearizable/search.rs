//! Is there an order? The search of Wing and Gong for one object, in Lowe's just-in-time form, with his cache.
//!
//! Returns are taken one by one; the part up to the next return is a *level*. A *configuration* is a level, a state that the
//! object may be in, which of the open operations have taken effect already, and how many of those that never return.
//! Nothing takes effect before it has to: at each level, sequences of open operations are tried that end with the one that
//! returns next. (Any order can be delayed into this form: an operation that takes effect later than the next return may
//! as well do so at that return.) The last level left behind: an order. No configuration left to go on from: none.
//!
//! The search goes deep first, and within a level takes what helps the next return first, and short sequences before long
//! ones, so that what is valid is seldom searched twice. When it gets no deeper it goes broadly for a while, level by
//! level, where domination is strongest; then deep again. Either order of search visits the same configurations at most.
//!
//! What keeps it small, and why it loses nothing:
//!  S1  *Cache*: a configuration is gone on from once.
//!  S2  An open operation that only looks takes effect at once wherever it may: waiting gains nothing.
//!  S3  *Symmetry*: of open operations with equal calls the one that must return first goes first; one that never returns
//!      last. (In any order, two such can change places.)
//!  S4  *Domination*: a configuration that is equal to another but has used fewer of the operations that never return can
//!      do all that the other can; the other is dropped. Those that can serve nobody any more do not count.
//!  S5  What overwrites the state (a blind write) makes room, just before it, for all open overwriting operations whose
//!      value nobody looks for who is invoked later: whoever looks for it now sees it then, and later it serves nobody.
//!  S6  An operation that never returns takes effect only if what comes next is not overwriting: else it could as well
//!      have been left out.
//!  S7  *Foresight*: a state that is needed later and cannot come back is not left; a state that leads nowhere, or came
//!      too early, is not entered. What is refused for that reason may belong to a longer prefix than any that is tried; so, when no order
//!      is found, the longest prefix is found by searches that foresee less (`longest_prefix`).
//!
//! Sets of open operations are bits: each operation has a slot from its invocation to its return, and slots are few
//! however long the history, as they are as many as clients at one time. States and calls are numbers (`World`), and a
//! step of the model is computed once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use super::model::{Ahead, Horizon, Model, NEVER, Part, Stay};
use crate::budget::{Exhausted, Meter};

const NONE: u32 = u32::MAX;

/// How long the search goes deep without getting deeper before it goes broadly for as long: so many steps a level, and
/// these besides; twice as many each time.
const STEPS_PER_LEVEL: u64 = 4;
const STEPS_PER_TURN: u64 = 20_000;

/// Of the configurations before the operation that blocks, so many are shown.
const ENTRIES_MAX: usize = 64;

/// A word-wise mixing hash: keys are small numbers of our own, nobody chooses them against us.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Gives equal things one number.
struct Numbers<T> {
    numbers: Map<Rc<T>, u32>,
    things: Vec<Rc<T>>,
}

impl<T: Eq + Hash> Numbers<T> {
    fn new() -> Numbers<T> {
        Numbers { numbers: Map::default(), things: Vec::new() }
    }

    /// The number, and whether it is new.
    fn number(&mut self, thing: T) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&thing) {
            return (*number, false);
        }
        let number = self.things.len() as u32;
        let thing = Rc::new(thing);
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        (number, true)
    }
}

/// The states after a step.
#[derive(Clone, Copy)]
enum Next {
    None,
    One(u32),
    /// A place in `World::many`.
    Many(u32),
}

/// A part with its states and calls as numbers. Serves several searches.
pub(super) struct World<'p, M: Model> {
    model: &'p M,
    part: &'p Part<M::Call>,
    calls: Vec<&'p M::Call>,
    /// By operation.
    call_of: Vec<u32>,
    looks: Vec<bool>,
    /// The only state in which the call is possible, where there is one such.
    wanted: Vec<u32>,
    states: Numbers<M::State>,
    steps: Map<(u32, u32), Next>,
    many: Vec<Vec<u32>>,
    scratch: Vec<M::State>,
    heap_bytes: usize,
    initial: u32,
    /// Operations that return, in the order of their returns: one a level.
    returns: Vec<u32>,
    /// How many operations are invoked before the return of each level.
    entered: Vec<u32>,
    /// By operation that returns: its level, and its slot.
    levels: Vec<u32>,
    slots: Vec<u32>,
    slot_count: usize,
    /// Operations that never return, by equal calls, in the order of the first of each.
    classes: Vec<Class>,
    class_of: Vec<u32>,
}

struct Class {
    call: u32,
    members: Vec<u32>,
}

impl<'p, M: Model> World<'p, M> {
    pub(super) fn new(model: &'p M, part: &'p Part<M::Call>) -> World<'p, M> {
        let mut numbers: Map<&'p M::Call, u32> = Map::default();
        let mut calls: Vec<&'p M::Call> = Vec::new();
        let number = |call: &'p M::Call| {
            *numbers.entry(call).or_insert_with(|| {
                calls.push(call);
                calls.len() as u32 - 1
            })
        };
        let operations = &part.operations;
        let call_of: Vec<u32> = operations.iter().map(|taken| &taken.call).map(number).collect();
        let mut returns: Vec<u32> = (0..operations.len() as u32).collect();
        returns.retain(|operation| !operations[*operation as usize].is_unknown());
        returns.sort_by_key(|operation| operations[*operation as usize].returned);

        let mut levels = vec![NONE; operations.len()];
        returns.iter().enumerate().for_each(|(level, operation)| levels[*operation as usize] = level as u32);

        let mut entered = Vec::with_capacity(returns.len());
        let mut slots = vec![NONE; operations.len()];
        let (mut free, mut slot_count, mut invoked) = (Vec::new(), 0, 0);
        for returning in &returns {
            let end = operations[*returning as usize].returned;
            while operations.get(invoked).is_some_and(|taken| taken.invoked < end) {
                if !operations[invoked].is_unknown() {
                    slots[invoked] = free.pop().unwrap_or_else(|| {
                        slot_count += 1;
                        slot_count - 1
                    });
                }
                invoked += 1;
            }
            entered.push(invoked as u32);
            assert!(slots[*returning as usize] != NONE, "an operation returns before it is invoked");
            free.push(slots[*returning as usize]);
        }

        let mut classes: Vec<Class> = Vec::new();
        let mut class_of = vec![NONE; calls.len()];
        for (operation, taken) in operations.iter().enumerate().filter(|(_, taken)| taken.is_unknown()) {
            assert!(taken.returned == NEVER, "an unknown operation returns");
            let call = call_of[operation];
            let class = &mut class_of[call as usize];
            if *class == NONE {
                *class = classes.len() as u32;
                classes.push(Class { call, members: Vec::new() });
            }
            classes[*class as usize].members.push(operation as u32);
        }

        let looks = calls.iter().map(|call| model.looks(call)).collect();
        let mut states = Numbers::new();
        let (initial, _) = states.number(model.initial());
        let wanted = calls.iter().map(|call| model.wanted(call).map_or(NONE, |state| states.number(state).0)).collect();
        World {
            model,
            part,
            calls,
            call_of,
            looks,
            wanted,
            states,
            steps: Map::default(),
            many: Vec::new(),
            scratch: Vec::new(),
            heap_bytes: 0,
            initial,
            returns,
            entered,
            levels,
            slots,
            slot_count: slot_count as usize,
            classes,
            class_of,
        }
    }

    pub(super) fn level_count(&self) -> u32 {
        self.returns.len() as u32
    }

    pub(super) fn operation_at(&self, level: u32) -> u32 {
        self.returns[level as usize]
    }

    fn position(&self, level: u32) -> u32 {
        self.part.operations[self.returns[level as usize] as usize].returned
    }

    fn step(&mut self, state: u32, call: u32) -> Next {
        let wanted = self.wanted[call as usize];
        if wanted != NONE && wanted != state {
            return Next::None;
        }
        if let Some(next) = self.steps.get(&(state, call)) {
            return *next;
        }
        let mut found = std::mem::take(&mut self.scratch);
        self.model.step(&self.states.things[state as usize], self.calls[call as usize], &mut found);
        let mut numbers: Vec<u32> = Vec::new();
        for state in found.drain(..) {
            let heap_bytes = self.model.heap_bytes(&state);
            let (number, is_new) = self.states.number(state);
            if is_new {
                self.heap_bytes += heap_bytes;
            }
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        self.scratch = found;
        let next = match numbers[..] {
            [] => Next::None,
            [one] => Next::One(one),
            _ => {
                self.many.push(numbers);
                Next::Many(self.many.len() as u32 - 1)
            }
        };
        self.steps.insert((state, call), next);
        next
    }

    fn choice(&self, next: Next, choice: usize) -> Option<u32> {
        match next {
            Next::None => None,
            Next::One(state) => (choice == 0).then_some(state),
            Next::Many(place) => self.many[place as usize].get(choice).copied(),
        }
    }

    /// After `call` in the state, `other` may be possible.
    fn helps(&mut self, state: u32, call: u32, other: u32) -> bool {
        let next = self.step(state, call);
        let mut choice = 0;
        while let Some(state) = self.choice(next, choice) {
            if self.allows(state, other) {
                return true;
            }
            choice += 1;
        }
        false
    }

    /// The call is possible in the state. For calls that only look.
    fn allows(&mut self, state: u32, call: u32) -> bool {
        !matches!(self.step(state, call), Next::None)
    }

    fn bytes(&self) -> usize {
        let state = std::mem::size_of::<M::State>() + 48;
        self.states.things.len() * state + self.heap_bytes + self.steps.len() * 32 + self.part.operations.len() * 64
    }
}

/// A set of slots.
trait Slots: Clone + Eq + Hash {
    fn empty(count: usize) -> Self;
    fn has(&self, slot: u32) -> bool;
    fn set(&mut self, slot: u32);
    fn clear(&mut self, slot: u32);
}

impl Slots for u64 {
    fn empty(_: usize) -> u64 {
        0
    }

    fn has(&self, slot: u32) -> bool {
        self & (1 << slot) != 0
    }

    fn set(&mut self, slot: u32) {
        *self |= 1 << slot;
    }

    fn clear(&mut self, slot: u32) {
        *self &= !(1 << slot);
    }
}

impl Slots for Box<[u64]> {
    fn empty(count: usize) -> Box<[u64]> {
        vec![0; count.div_ceil(64)].into()
    }

    fn has(&self, slot: u32) -> bool {
        self[slot as usize / 64] & (1 << (slot % 64)) != 0
    }

    fn set(&mut self, slot: u32) {
        self[slot as usize / 64] |= 1 << (slot % 64);
    }

    fn clear(&mut self, slot: u32) {
        self[slot as usize / 64] &= !(1 << (slot % 64));
    }
}

#[derive(Clone)]
struct Configuration<D> {
    level: u32,
    state: u32,
    done: D,
    /// A number of `uses`; 0: none.
    used: u32,
}

/// A configuration with the way to it.
struct Node<D> {
    at: Configuration<D>,
    parent: u32,
    step: Step,
    /// The next one equal but for `used`.
    alike: u32,
    /// The next one to go on from at this level.
    queued: u32,
    flags: u8,
}

const SETTLED: u8 = 1;
/// Taking the operation that returns next has been tried.
const BEGUN: u8 = 2;
/// Taking what makes that possible has been tried.
const HELPED: u8 = 32;
const DEAD: u8 = 4;
/// Reached by an operation that never returns, which nobody has looked for yet (S6).
const OWES: u8 = 8;
/// As the level was entered: nothing was taken at this level yet.
const ENTRY: u8 = 16;

#[derive(Clone, Copy)]
struct Step {
    what: What,
    /// Which of several states after it.
    choice: u32,
}

#[derive(Clone, Copy)]
enum What {
    Begin,
    Operation(u32),
    Class(u32),
}

/// What is open at a level. It is moved level by level; the search is mostly at one or two.
struct Cursor {
    level: u32,
    /// Operations that return, the next one last.
    pending: Vec<u32>,
    /// How many of each class are invoked.
    available: Vec<u32>,
    /// Classes that may still serve somebody.
    active: Vec<u32>,
    /// (level, class, whether it becomes active there), by level.
    turns: Vec<(u32, u32, bool)>,
    turn: usize,
}

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of how many levels the search has left all (broad) or the furthest (deep).
    pub levels_done: u64,
    pub levels: u64,
    pub steps: u64,
}

pub(super) enum Found {
    Order(Entry),
    /// No configuration gets past this level.
    Blocked {
        level: u32,
        /// Something was refused by foresight (S7): there may be ways to a later level.
        foresaw: bool,
        entries: Vec<Entry>,
        /// There were more.
        entries_more: usize,
    },
}

/// A configuration at the end, or before the operation that blocks.
pub(super) struct Entry {
    /// Operations of the part in an order that leads there.
    pub order: Vec<u32>,
    pub state: u32,
}

impl<M: Model> World<'_, M> {
    pub(super) fn state(&self, state: u32) -> &M::State {
        &self.states.things[state as usize]
    }
}

/// Whether the part has an order up to and including level `last`, as far as the horizon asks.
pub(super) fn search<M: Model>(
    world: &mut World<'_, M>,
    horizon: Horizon,
    levels: u32,
    meter: &mut Meter,
    progress: &dyn Fn(Progress),
) -> Result<Found, Exhausted> {
    if levels == 0 {
        return Ok(Found::Order(Entry { order: Vec::new(), state: world.initial }));
    }
    if world.slot_count <= 64 {
        Search::<M, u64>::new(world, horizon, levels).run(meter, progress)
    } else {
        Search::<M, Box<[u64]>>::new(world, horizon, levels).run(meter, progress)
    }
}

/// Whether the whole part has an order.
pub(super) fn search_all<M: Model>(
    world: &mut World<'_, M>,
    meter: &mut Meter,
    progress: &dyn Fn(Progress),
) -> Result<Found, Exhausted> {
    let ahead = world.model.ahead(world.part, Horizon::ALL);
    let is_impossible = |returning: &u32| ahead.is_impossible(&world.part.operations[*returning as usize].call);
    let Some(level) = world.returns.iter().position(is_impossible) else {
        return search(world, Horizon::ALL, world.level_count(), meter, progress);
    };
    // Nobody gets beyond it, whatever the state: one way up to it is enough to know.
    let (level, position) = (level as u32, world.position(level as u32));
    let horizon = Horizon { known: position, required: position };
    Ok(match search(world, horizon, level, meter, progress)? {
        Found::Order(entry) => Found::Blocked { level, foresaw: false, entries: vec![entry], entries_more: 1 },
        blocked @ Found::Blocked { .. } => blocked,
    })
}

/// The longest prefix that has an order: what blocks the level behind it. To be asked if the whole has none; `blocked` is
/// what the search for the whole has found.
pub(super) fn longest_prefix<M: Model>(
    world: &mut World<'_, M>,
    blocked: Found,
    meter: &mut Meter,
    progress: &dyn Fn(Progress),
) -> Result<Found, Exhausted> {
    let Found::Blocked { level: deepest, foresaw: true, .. } = blocked else { return Ok(blocked) };
    let last = world.level_count() - 1;
    let mut up_to = |level: u32| {
        let position = world.position(level);
        let horizon = Horizon { known: position, required: position };
        search(world, horizon, level + 1, meter, progress)
    };
    // Levels before `low` can be left; `high` cannot. A lie is mostly seen soon after what foresight refused for it.
    let (mut low, mut stride) = (deepest, 1);
    let (mut high, mut found) = loop {
        let level = (low + stride - 1).min(last);
        match up_to(level)? {
            Found::Order(_) => (low, stride) = (level + 1, stride * 2),
            blocked @ Found::Blocked { .. } => break (level, blocked),
        }
    };
    while low < high {
        let middle = low + (high - low) / 2;
        match up_to(middle)? {
            Found::Order(_) => low = middle + 1,
            blocked @ Found::Blocked { .. } => (high, found) = (middle, blocked),
        }
    }
    Ok(found)
}

struct Search<'w, 'p, M: Model, D> {
    world: &'w mut World<'p, M>,
    ahead: Box<dyn Ahead<M> + 'p>,
    levels: u32,
    /// By call: for overwriting ones, until when somebody is invoked who looks for what it leads to.
    overwrites: Vec<Option<u32>>,
    /// By class: the first level at which it serves nobody any more.
    useless_at: Vec<u32>,
    /// By state, asked once.
    stay: Vec<Option<Stay>>,
    /// Sorted (class, count) of the classes used.
    uses: Numbers<Vec<(u32, u32)>>,
    cursor: Cursor,
    nodes: Vec<Node<D>>,
    /// The first node of those that differ in `used` only. By level, state and slots.
    seen: Map<(u32, u32, D), u32>,
    /// First and last node to go on from, by level.
    queues: Vec<(u32, u32)>,
    /// No level beyond it has anything queued; none before `lowest`.
    highest: u32,
    lowest: u32,
    deepest: u32,
    foresaw: bool,
    node_bytes: usize,
    scratch: Vec<u32>,
}

impl<'w, 'p, M: Model, D: Slots> Search<'w, 'p, M, D> {
    fn new(world: &'w mut World<'p, M>, horizon: Horizon, levels: u32) -> Search<'w, 'p, M, D> {
        let ahead = world.model.ahead(world.part, horizon);
        let overwrites = world.calls.iter().map(|call| ahead.overwrites_for(call)).collect();
        let useless_at: Vec<u32> = world
            .classes
            .iter()
            .map(|class| {
                let until = ahead.useful_until(world.calls[class.call as usize]);
                let is_before = |operation: &u32| world.part.operations[*operation as usize].returned <= until;
                world.returns.partition_point(is_before) as u32
            })
            .collect();
        let mut turns = Vec::new();
        for (class, useless) in useless_at.iter().enumerate() {
            let first = world.classes[class].members[0];
            let begin = world.entered.partition_point(|entered| *entered <= first) as u32;
            if begin < *useless {
                turns.push((begin, class as u32, true));
                turns.push((*useless, class as u32, false));
            }
        }
        turns.sort_unstable();
        let cursor = Cursor {
            level: 0,
            pending: Vec::new(),
            available: vec![0; world.classes.len()],
            active: Vec::new(),
            turns,
            turn: 0,
        };
        let mut uses = Numbers::new();
        uses.number(Vec::new());
        let slots_bytes = if world.slot_count <= 64 { 0 } else { 2 * world.slot_count.div_ceil(64) * 8 };
        let mut search = Search {
            world,
            ahead,
            levels,
            overwrites,
            useless_at,
            stay: Vec::new(),
            uses,
            cursor,
            nodes: Vec::new(),
            seen: Map::default(),
            queues: vec![(NONE, NONE); levels as usize + 1],
            highest: 0,
            lowest: 0,
            deepest: 0,
            foresaw: false,
            node_bytes: std::mem::size_of::<Node<D>>() + std::mem::size_of::<(u32, u32, D)>() * 2 + slots_bytes,
            scratch: Vec::new(),
        };
        search.enter(0);
        search
    }

    fn run(mut self, meter: &mut Meter, progress: &dyn Fn(Progress)) -> Result<Found, Exhausted> {
        let first = self.begin();
        if self.stay(first.state).from < self.world.position(0) {
            self.file(first, NONE, Step { what: What::Begin, choice: 0 }, ENTRY, false);
        } else {
            self.foresaw = true;
        }
        let mut turn = STEPS_PER_TURN + STEPS_PER_LEVEL * u64::from(self.levels);
        let (mut deep, mut deepest, mut until) = (true, 0, meter.steps() + turn);
        loop {
            if deep && self.deepest > deepest {
                (deepest, until) = (self.deepest, meter.steps() + turn);
            } else if meter.steps() >= until {
                deep = !deep;
                turn *= 2;
                until = meter.steps() + turn;
            }
            let Some(node) = self.next(deep) else { break };
            let level = self.nodes[node as usize].at.level;
            if level == self.levels {
                let state = self.nodes[node as usize].at.state;
                return Ok(Found::Order(Entry { order: self.order(node), state }));
            }
            meter.step(self.bytes())?;
            if meter.steps().is_multiple_of(4096) {
                let (levels_done, levels) = (u64::from(level), u64::from(self.levels));
                progress(Progress { levels_done, levels, steps: meter.steps() });
            }
            self.move_to(level);
            if self.settle(node) {
                self.go_on(node);
            }
        }
        Ok(self.blocked())
    }

    fn begin(&self) -> Configuration<D> {
        Configuration { level: 0, state: self.world.initial, done: D::empty(self.world.slot_count), used: 0 }
    }

    fn bytes(&self) -> usize {
        self.world.bytes() + self.nodes.len() * self.node_bytes + self.uses.things.len() * 96
    }

    /// The node to go on from: of the deepest level, or of the first.
    fn next(&mut self, deep: bool) -> Option<u32> {
        let level = if deep {
            while self.queues[self.highest as usize].0 == NONE && self.highest > self.lowest {
                self.highest -= 1;
            }
            self.highest
        } else {
            let before = self.lowest;
            while self.queues[self.lowest as usize].0 == NONE && self.lowest < self.highest {
                self.lowest += 1;
            }
            // Whoever is left behind is not met again.
            if self.lowest > before && self.seen.len() > 1 << 20 && self.seen.len() * 2 > self.nodes.len() {
                let lowest = self.lowest;
                self.seen.retain(|(level, ..), _| *level >= lowest);
            }
            if self.queues[self.levels as usize].0 == NONE { self.lowest } else { self.levels }
        };
        let (first, _) = &mut self.queues[level as usize];
        let node = *first;
        if node == NONE {
            return None;
        }
        *first = self.nodes[node as usize].queued;
        Some(node)
    }

    fn queue(&mut self, node: u32, in_front: bool) {
        let level = self.nodes[node as usize].at.level;
        let (first, last) = self.queues[level as usize];
        let is_empty = first == NONE;
        self.nodes[node as usize].queued = if in_front { first } else { NONE };
        let queue = &mut self.queues[level as usize];
        if is_empty {
            *queue = (node, node);
        } else if in_front {
            queue.0 = node;
        } else {
            queue.1 = node;
            self.nodes[last as usize].queued = node;
        }
        self.highest = self.highest.max(level);
        self.lowest = self.lowest.min(level);
        self.deepest = self.deepest.max(level);
    }

    /// S1, S4: false if a configuration that can do as much was seen before.
    fn is_new(&mut self, at: &Configuration<D>, node: u32) -> bool {
        let head = self.seen.entry((at.level, at.state, at.done.clone())).or_insert(node);
        if *head == node {
            return true;
        }
        let mut other = *head;
        loop {
            if self.nodes[other as usize].flags & DEAD == 0 && other != node {
                let theirs = self.nodes[other as usize].at.used;
                if is_within(&self.uses.things[theirs as usize], &self.uses.things[at.used as usize]) {
                    return false;
                }
                if is_within(&self.uses.things[at.used as usize], &self.uses.things[theirs as usize]) {
                    self.nodes[other as usize].flags |= DEAD;
                }
            }
            let alike = self.nodes[other as usize].alike;
            if alike == NONE {
                break;
            }
            other = alike;
        }
        self.nodes[other as usize].alike = node;
        true
    }

    fn file(&mut self, at: Configuration<D>, parent: u32, step: Step, flags: u8, in_front: bool) {
        let node = self.nodes.len() as u32;
        if self.is_new(&at, node) {
            self.nodes.push(Node { at, parent, step, alike: NONE, queued: NONE, flags });
            self.queue(node, in_front);
        }
    }

    /// Lets everybody look who may (S2), and takes the levels along whose operation has taken effect already. False if
    /// there is nothing to go on from: it is the end, or was seen. The cursor stands at the node's level.
    fn settle(&mut self, node: u32) -> bool {
        let flags = self.nodes[node as usize].flags;
        if flags & DEAD != 0 {
            return false;
        }
        if flags & SETTLED != 0 {
            return true;
        }
        let before = self.nodes[node as usize].at.clone();
        let mut at = before.clone();
        self.settle_at(&mut at, &mut None);
        self.nodes[node as usize].flags |= SETTLED;
        if at.level == before.level && at.used == before.used && at.done == before.done {
            return true;
        }
        let Node { parent, step, .. } = self.nodes[node as usize];
        let entry = if at.level > before.level { ENTRY } else { flags & (ENTRY | OWES) };
        // It goes on as another node, as this one is known under what it was.
        self.nodes[node as usize].flags &= !ENTRY;
        let settled = if at.level == self.levels { 0 } else { SETTLED };
        self.file(at, parent, step, entry | settled, false);
        false
    }

    fn settle_at(&mut self, at: &mut Configuration<D>, trail: &mut Option<Vec<u32>>) {
        while at.level < self.levels {
            self.move_to(at.level);
            at.used = self.still_useful(at.used, at.level);
            self.look(at.state, &mut at.done, trail);
            let slot = self.world.slots[self.world.returns[at.level as usize] as usize];
            if !at.done.has(slot) {
                break;
            }
            at.done.clear(slot);
            at.level += 1;
        }
    }

    /// S2. True if somebody did.
    fn look(&mut self, state: u32, done: &mut D, trail: &mut Option<Vec<u32>>) -> bool {
        let mut any = false;
        for place in (0..self.cursor.pending.len()).rev() {
            let operation = self.cursor.pending[place];
            let (call, slot) = (self.world.call_of[operation as usize], self.world.slots[operation as usize]);
            if self.world.looks[call as usize] && !done.has(slot) && self.world.allows(state, call) {
                done.set(slot);
                any = true;
                if let Some(trail) = trail {
                    trail.push(operation);
                }
            }
        }
        any
    }

    fn still_useful(&mut self, used: u32, level: u32) -> u32 {
        let useless_at = &self.useless_at;
        let is_useless = |(class, _): &(u32, u32)| useless_at[*class as usize] <= level;
        if used == 0 || !self.uses.things[used as usize].iter().any(is_useless) {
            return used;
        }
        let left = self.uses.things[used as usize].iter().copied().filter(|use_| !is_useless(use_)).collect();
        self.uses.number(left).0
    }

    /// All configurations that follow. The cursor stands at the node's level.
    fn go_on(&mut self, node: u32) {
        let at = self.nodes[node as usize].at.clone();
        let flags = self.nodes[node as usize].flags;
        let returning = self.world.returns[at.level as usize];
        if flags & BEGUN == 0 {
            self.nodes[node as usize].flags |= BEGUN;
            if self.take(node, &at, What::Operation(returning), false) {
                // The rest only if that leads nowhere.
                self.queue(node, true);
                return;
            }
        }
        if flags & HELPED == 0 {
            self.nodes[node as usize].flags |= HELPED;
            // Where it is possible already nothing helps it.
            let is_possible = self.world.allows(at.state, self.world.call_of[returning as usize]);
            if !is_possible && self.take_any(node, &at, returning, true) {
                self.queue(node, false);
                return;
            }
        }
        self.take_any(node, &at, returning, false);
    }

    /// Takes each open operation that may be next, but the one that returns next; or only those that help it.
    fn take_any(&mut self, node: u32, at: &Configuration<D>, returning: u32, only_help: bool) -> bool {
        let returning_call = self.world.call_of[returning as usize];
        let mut any = false;
        // S3: calls that somebody who goes first has.
        let mut tried = std::mem::take(&mut self.scratch);
        tried.clear();
        tried.push(returning_call);
        for place in (0..self.cursor.pending.len()).rev() {
            let operation = self.cursor.pending[place];
            let call = self.world.call_of[operation as usize];
            let is_done = at.done.has(self.world.slots[operation as usize]);
            if is_done || self.world.looks[call as usize] || tried.contains(&call) {
                continue;
            }
            tried.push(call);
            if !only_help || self.world.helps(at.state, call, returning_call) {
                any |= self.take(node, at, What::Operation(operation), only_help);
            }
        }
        for place in 0..self.cursor.active.len() {
            let class = self.cursor.active[place];
            let call = self.world.classes[class as usize].call;
            if self.used(at.used, class) >= self.cursor.available[class as usize] || tried.contains(&call) {
                continue;
            }
            if !only_help || self.world.helps(at.state, call, returning_call) {
                any |= self.take(node, at, What::Class(class), only_help);
            }
        }
        self.scratch = tried;
        any
    }

    fn used(&self, used: u32, class: u32) -> u32 {
        let uses = &self.uses.things[used as usize];
        uses.iter().find(|(other, _)| *other == class).map_or(0, |(_, count)| *count)
    }

    fn stay(&mut self, state: u32) -> Stay {
        let place = state as usize;
        if self.stay.len() <= place {
            self.stay.resize(self.world.states.things.len(), None);
        }
        *self.stay[place].get_or_insert_with(|| self.ahead.stay(&self.world.states.things[place]))
    }

    /// Files what follows if `what` takes effect next; false if nothing.
    fn take(&mut self, node: u32, at: &Configuration<D>, what: What, in_front: bool) -> bool {
        let call = match what {
            What::Begin => unreachable!("the search has begun"),
            What::Operation(operation) => self.world.call_of[operation as usize],
            What::Class(class) => self.world.classes[class as usize].call,
        };
        let overwrites = self.overwrites[call as usize].is_some();
        let owes = self.nodes[node as usize].flags & OWES != 0;
        if owes && overwrites {
            return false;
        }
        let mut any = false;
        for choice in 0.. {
            let next = self.world.step(at.state, call);
            let Some(state) = self.world.choice(next, choice) else { break };
            if state == at.state && matches!(what, What::Class(_)) {
                continue;
            }
            if state != at.state {
                // S7.
                let position = self.world.position(at.level);
                if self.stay(at.state).until > position || self.stay(state).from > position {
                    self.foresaw = true;
                    continue;
                }
            }
            let step = Step { what, choice: choice as u32 };
            let mut to = at.clone();
            let looked = self.apply(&mut to, step, &mut None);
            let mut flags = SETTLED;
            if matches!(what, What::Class(_)) && !looked {
                flags |= OWES;
            }
            let slot = self.world.slots[self.world.returns[to.level as usize] as usize];
            if to.done.has(slot) {
                to.done.clear(slot);
                to.level += 1;
                flags = ENTRY;
            }
            self.file(to, node, step, flags, in_front);
            any = true;
        }
        any
    }

    /// Lets `step` take effect, with what goes before it (S5) and who looks after it. True if somebody looked.
    fn apply(&mut self, at: &mut Configuration<D>, step: Step, trail: &mut Option<Vec<u32>>) -> bool {
        let (call, own) = match step.what {
            What::Begin => return false,
            What::Operation(operation) => (self.world.call_of[operation as usize], operation),
            What::Class(class) => {
                (self.world.classes[class as usize].call, self.member(class, self.used(at.used, class)))
            }
        };
        if self.overwrites[call as usize].is_some() {
            let position = self.world.position(at.level);
            for place in (0..self.cursor.pending.len()).rev() {
                let other = self.cursor.pending[place];
                let (other_call, slot) = (self.world.call_of[other as usize], self.world.slots[other as usize]);
                let is_unlooked_for = self.overwrites[other_call as usize].is_some_and(|until| until < position);
                if other == own || at.done.has(slot) || !is_unlooked_for {
                    continue;
                }
                let next = self.world.step(at.state, other_call);
                at.state = self.world.choice(next, 0).expect("what overwrites is possible in every state");
                at.done.set(slot);
                if let Some(trail) = trail {
                    trail.push(other);
                }
                self.look(at.state, &mut at.done, trail);
            }
        }
        let next = self.world.step(at.state, call);
        at.state = self.world.choice(next, step.choice as usize).expect("the step was possible");
        match step.what {
            What::Begin => {}
            What::Operation(operation) => at.done.set(self.world.slots[operation as usize]),
            What::Class(class) => {
                let mut uses = (*self.uses.things[at.used as usize]).clone();
                match uses.binary_search_by_key(&class, |(class, _)| *class) {
                    Ok(place) => uses[place].1 += 1,
                    Err(place) => uses.insert(place, (class, 1)),
                }
                at.used = self.uses.number(uses).0;
            }
        }
        if let Some(trail) = trail {
            trail.push(own);
        }
        self.look(at.state, &mut at.done, trail)
    }

    fn member(&self, class: u32, number: u32) -> u32 {
        self.world.classes[class as usize].members[number as usize]
    }

    /// The operations on the way to the node, by going it again.
    fn order(&mut self, node: u32) -> Vec<u32> {
        let mut way = Vec::new();
        let mut next = node;
        while next != NONE {
            way.push(self.nodes[next as usize].step);
            next = self.nodes[next as usize].parent;
        }
        let mut at = self.begin();
        let mut trail = Some(Vec::new());
        self.move_to(0);
        for step in way.into_iter().rev() {
            self.settle_at(&mut at, &mut trail);
            self.apply(&mut at, step, &mut trail);
        }
        self.settle_at(&mut at, &mut trail);
        let end = &self.nodes[node as usize].at;
        assert!(at.level == end.level && at.state == end.state, "the way leads elsewhere when gone again");
        trail.unwrap_or_default()
    }

    fn blocked(mut self) -> Found {
        let level = self.deepest;
        let is_entry = |node: &Node<D>| {
            node.at.level == level && node.flags & ENTRY != 0 && node.flags & SETTLED != 0 && node.flags & DEAD == 0
        };
        let nodes = 0..self.nodes.len() as u32;
        let found: Vec<u32> = nodes.filter(|node| is_entry(&self.nodes[*node as usize])).collect();
        let entries: Vec<Entry> = found
            .iter()
            .take(ENTRIES_MAX)
            .map(|node| Entry { order: self.order(*node), state: self.nodes[*node as usize].at.state })
            .collect();
        Found::Blocked { level, foresaw: self.foresaw, entries_more: found.len() - entries.len(), entries }
    }

    fn move_to(&mut self, level: u32) {
        while self.cursor.level < level {
            let left = self.cursor.pending.pop();
            assert!(left == Some(self.world.returns[self.cursor.level as usize]), "what returns next stands last");
            self.cursor.level += 1;
            if self.cursor.level < self.levels {
                self.enter(self.cursor.level);
            }
        }
        while self.cursor.level > level {
            if self.cursor.level < self.levels {
                self.leave(self.cursor.level);
            }
            self.cursor.level -= 1;
            self.cursor.pending.push(self.world.returns[self.cursor.level as usize]);
        }
    }

    fn invoked_at(&self, level: u32) -> std::ops::Range<usize> {
        let first = if level == 0 { 0 } else { self.world.entered[level as usize - 1] };
        first as usize..self.world.entered[level as usize] as usize
    }

    /// What is invoked before the return of this level, and not before the one before, is open from here on.
    fn enter(&mut self, level: u32) {
        let operations = &self.world.part.operations;
        for operation in self.invoked_at(level) {
            if operations[operation].is_unknown() {
                let class = self.world.class_of[self.world.call_of[operation] as usize];
                self.cursor.available[class as usize] += 1;
            } else {
                let own = self.world.levels[operation];
                let is_later = |other: &u32| self.world.levels[*other as usize] > own;
                let place = self.cursor.pending.partition_point(is_later);
                self.cursor.pending.insert(place, operation as u32);
            }
        }
        while let Some(&(at, class, begins)) = self.cursor.turns.get(self.cursor.turn)
            && at == level
        {
            self.cursor.turn_class(class, begins);
            self.cursor.turn += 1;
        }
    }

    fn leave(&mut self, level: u32) {
        let operations = &self.world.part.operations;
        for operation in self.invoked_at(level) {
            if operations[operation].is_unknown() {
                let class = self.world.class_of[self.world.call_of[operation] as usize];
                self.cursor.available[class as usize] -= 1;
            } else {
                let own = self.world.levels[operation];
                let is_later = |other: &u32| self.world.levels[*other as usize] > own;
                let place = self.cursor.pending.partition_point(is_later);
                let left = self.cursor.pending.remove(place);
                assert!(left == operation as u32, "who was invoked at a level is open there");
            }
        }
        while self.cursor.turn > 0 && self.cursor.turns[self.cursor.turn - 1].0 == level {
            self.cursor.turn -= 1;
            let (_, class, begins) = self.cursor.turns[self.cursor.turn];
            self.cursor.turn_class(class, !begins);
        }
    }
}

impl Cursor {
    fn turn_class(&mut self, class: u32, active: bool) {
        match self.active.binary_search(&class) {
            Err(place) if active => self.active.insert(place, class),
            Ok(place) if !active => drop(self.active.remove(place)),
            _ => unreachable!("a class becomes active once, and inactive once"),
        }
    }
}

/// Whether each class of `few` is used as often in `many` at least.
fn is_within(few: &[(u32, u32)], many: &[(u32, u32)]) -> bool {
    few.len() <= many.len()
        && few.iter().all(|(class, count)| {
            many.binary_search_by_key(class, |(class, _)| *class).is_ok_and(|place| many[place].1 >= *count)
        })
}
