//! Is there an order? The search of Wing and Gong for one object, in Lowe's just-in-time form, with his cache.
//!
//! Returns are taken one by one; the part up to the next return is a *level*. A *configuration* is a level, a state that the
//! object may be in, which of the open operations have taken effect already, and how many of those that never return.
//! Nothing takes effect before it has to: at each level, sequences of open operations are tried that end with the one that
//! returns next. (Any order can be delayed into this form: an operation that takes effect later than the next return may
//! as well do so at that return.) The last level left behind: an order. No configuration left to go on from: none.
//!
//! The search goes deep first, and within a level takes what helps the next return first, and short sequences before long
//! ones, so that what is valid is seldom searched twice. When it gets no deeper, what cannot return is taken where it last
//! could be (`go_around`): between there and here, everything else would be tried first. If that does not help either, the
//! search goes broadly for a while, level by level, where domination is strongest; then deep again. Each order of search
//! visits the same configurations at most.
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
//!      too early, is not entered. Who does so all the same gets no further than the return of whoever then lacks something.
//!
//! If there is no order, the longest prefix is looked for, and there foresight is in the way: what it refuses may get
//! further than what it allows. So the search is done again with a *reach*. Only what cannot get to the reach is refused; of
//! what is refused it is noted how far it could get at most. At first the reach is the end. Whenever nothing is left to go
//! on from, nobody gets to the reach, and it sinks to the furthest that something refused could get; what was refused no
//! longer is gone on from, and the rest of the search stands as it was. Once somebody has got to where the reach sinks, the
//! level that they are at cannot be left, and all configurations that come to it have been seen.
//!
//! Sets of open operations are bits: each operation has a slot from its invocation to its return, and slots are few
//! however long the history, as they are as many as clients at one time. States and calls are numbers (`World`), and a
//! step of the model is computed once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use super::model::{Ahead, Model, NEVER, Part, Stay};
use crate::budget::{Exhausted, Meter};

const NONE: u32 = u32::MAX;

/// How long the search goes deep without getting deeper before it goes broadly for as long: so many steps a level, and
/// these besides; twice as many each time.
const STEPS_PER_LEVEL: u64 = 4;
const STEPS_PER_TURN: u64 = 20_000;

/// After so many steps without getting deeper the search that goes deep looks for a way around.
const STEPS_OF_PATIENCE: u64 = 256;

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
    /// The state that the call leads to whatever the state before, where that is so.
    blind: Vec<u32>,
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
            blind: vec![NONE; calls.len()],
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
        let blind = self.blind[call as usize];
        if blind != NONE {
            return Next::One(blind);
        }
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
        if self.looks[call as usize] {
            // The state stays as it is.
            numbers.extend(found.drain(..).next().map(|_| state));
        }
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
    /// Operations that return and may change the state, the next one last.
    pending: Vec<u32>,
    /// Operations that return and only look, each with the state that it wants; sorted.
    looking: Vec<(u32, u32)>,
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

/// Whether the part has an order; if not, the longest prefix that has one.
pub(super) fn search<M: Model>(
    world: &mut World<'_, M>,
    meter: &mut Meter,
    progress: &dyn Fn(Progress),
) -> Result<Found, Exhausted> {
    let ahead = world.model.ahead(world.part);
    let is_impossible = |returning: &u32| ahead.is_impossible(&world.part.operations[*returning as usize].call);
    let impossible = world.returns.iter().position(is_impossible).map(|level| level as u32);
    let levels = impossible.unwrap_or(world.level_count());
    for call in 0..world.calls.len() as u32 {
        if ahead.overwrites_for(world.calls[call as usize]).is_some() {
            let next = world.step(world.initial, call);
            world.blind[call as usize] = world.choice(next, 0).expect("what overwrites is possible in every state");
        }
    }
    let found = if levels == 0 {
        Found::Order(Entry { order: Vec::new(), state: world.initial })
    } else if world.slot_count <= 64 {
        search_with::<M, u64>(world, &*ahead, levels, meter, progress)?
    } else {
        search_with::<M, Box<[u64]>>(world, &*ahead, levels, meter, progress)?
    };
    Ok(match (found, impossible) {
        // Nobody gets beyond it, whatever the state: one way up to it is enough to know.
        (Found::Order(entry), Some(level)) => Found::Blocked { level, entries: vec![entry], entries_more: 1 },
        (found, _) => found,
    })
}

fn search_with<M: Model, D: Slots>(
    world: &mut World<'_, M>,
    ahead: &dyn Ahead<M>,
    levels: u32,
    meter: &mut Meter,
    progress: &dyn Fn(Progress),
) -> Result<Found, Exhausted> {
    let mut search = Search::<M, D>::new(world, ahead, levels, false);
    match search.run(meter, progress)? {
        Some(entry) => return Ok(Found::Order(entry)),
        None if !search.foresaw => return Ok(search.blocked()),
        None => {}
    }
    drop(search);
    let mut search = Search::<M, D>::new(world, ahead, levels, true);
    Ok(match search.run(meter, progress)? {
        Some(entry) => Found::Order(entry),
        None => search.blocked(),
    })
}

struct Search<'w, 'p, M: Model, D> {
    world: &'w mut World<'p, M>,
    ahead: &'w dyn Ahead<M>,
    levels: u32,
    /// Only what cannot get to this level is refused.
    reach: u32,
    /// It is to sink if there is no order.
    sinks: bool,
    /// The nodes at which something was refused, by how far it could get; NONE: the first configuration.
    refused: BTreeMap<u32, Vec<u32>>,
    refused_count: usize,
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
    /// Where the search goes on that goes deep: mostly at the highest, but it may look elsewhere for a way around.
    focus: u32,
    deepest: u32,
    /// The last node queued at the deepest level since the search last looked for a way around, and that level.
    furthest: (u32, u32),
    foresaw: bool,
    node_bytes: usize,
    scratch: Vec<u32>,
}

impl<'w, 'p, M: Model, D: Slots> Search<'w, 'p, M, D> {
    fn new(world: &'w mut World<'p, M>, ahead: &'w dyn Ahead<M>, levels: u32, sinks: bool) -> Search<'w, 'p, M, D> {
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
            looking: Vec::new(),
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
            reach: levels,
            sinks,
            refused: BTreeMap::new(),
            refused_count: 0,
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
            focus: 0,
            deepest: 0,
            furthest: (0, NONE),
            foresaw: false,
            node_bytes: std::mem::size_of::<Node<D>>() + std::mem::size_of::<(u32, u32, D)>() * 2 + slots_bytes,
            scratch: Vec::new(),
        };
        search.enter(0);
        search
    }

    /// An order; none if there is nothing left to go on from.
    fn run(&mut self, meter: &mut Meter, progress: &dyn Fn(Progress)) -> Result<Option<Entry>, Exhausted> {
        if self.may_enter(NONE, 0, self.world.initial) {
            self.file(self.begin(), NONE, Step { what: What::Begin, choice: 0 }, ENTRY, false);
        }
        let mut turn = STEPS_PER_TURN + STEPS_PER_LEVEL * u64::from(self.levels);
        let (mut deep, mut deepest, mut until) = (true, 0, meter.steps() + turn);
        let mut patience = STEPS_OF_PATIENCE;
        let mut patient_until = meter.steps() + patience;
        loop {
            if deep && self.deepest > deepest {
                (deepest, until) = (self.deepest, meter.steps() + turn);
                patience = STEPS_OF_PATIENCE;
                patient_until = meter.steps() + patience;
            } else if meter.steps() >= until {
                deep = !deep;
                turn *= 2;
                until = meter.steps() + turn;
            } else if deep && meter.steps() >= patient_until {
                self.go_around();
                patience += patience / 8;
                patient_until = meter.steps() + patience;
            }
            let Some(node) = self.next(deep) else {
                if self.sink() {
                    continue;
                }
                return Ok(None);
            };
            let level = self.nodes[node as usize].at.level;
            if level == self.levels {
                return Ok(self.entries(&[node]).pop());
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
    }

    /// Lets the reach sink to the furthest that something refused could get, and has that gone on from. False if that is
    /// not as far as somebody has got.
    fn sink(&mut self) -> bool {
        let Some((reach, nodes)) = self.refused.pop_last().filter(|(reach, _)| *reach >= self.deepest) else {
            return false;
        };
        self.reach = reach;
        self.refused_count -= nodes.len();
        for node in nodes {
            if node == NONE {
                self.file(self.begin(), NONE, Step { what: What::Begin, choice: 0 }, ENTRY, false);
            } else {
                self.nodes[node as usize].flags &= !(BEGUN | HELPED);
                self.queue(node, false);
            }
        }
        true
    }

    /// S7: notes that somebody refused at `node` could get to the return at this position; true if that is the reach.
    fn could_reach(&mut self, node: u32, stuck_at: u32) -> bool {
        self.foresaw = true;
        if !self.sinks {
            return false;
        }
        let returned = |operation: &u32| self.world.part.operations[*operation as usize].returned;
        let level = self.world.returns.partition_point(|operation| returned(operation) < stuck_at) as u32;
        if level >= self.reach {
            return true;
        }
        if level >= self.deepest {
            let nodes = self.refused.entry(level).or_default();
            if nodes.last() != Some(&node) {
                nodes.push(node);
                self.refused_count += 1;
            }
        }
        false
    }

    fn may_leave(&mut self, node: u32, level: u32, state: u32) -> bool {
        let position = self.world.position(level);
        self.stay(state).until <= position || {
            let stuck_at =
                if self.sinks { self.ahead.stuck_at(&self.world.states.things[state as usize], position) } else { 0 };
            self.could_reach(node, stuck_at)
        }
    }

    fn may_enter(&mut self, node: u32, level: u32, state: u32) -> bool {
        let Stay { from, stuck_at, .. } = self.stay(state);
        from <= self.world.position(level) || self.could_reach(node, stuck_at)
    }

    fn begin(&self) -> Configuration<D> {
        Configuration { level: 0, state: self.world.initial, done: D::empty(self.world.slot_count), used: 0 }
    }

    fn bytes(&self) -> usize {
        self.world.bytes() + self.nodes.len() * self.node_bytes + self.uses.things.len() * 96 + self.refused_count * 8
    }

    /// The node to go on from: of the deepest level, or of the first.
    fn next(&mut self, deep: bool) -> Option<u32> {
        let level = if deep {
            self.sink_focus();
            if self.queues[self.focus as usize].0 == NONE {
                self.focus = self.highest;
                self.sink_focus();
                self.highest = self.focus;
            }
            self.focus
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

    fn sink_focus(&mut self) {
        while self.queues[self.focus as usize].0 == NONE && self.focus > self.lowest {
            self.focus -= 1;
        }
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
        self.focus = self.focus.max(level);
        self.deepest = self.deepest.max(level);
        if level >= self.furthest.0 {
            self.furthest = (level, node);
        }
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
        // Those that want this state, and those that want no certain one.
        for wanted in [state, NONE] {
            let first = self.cursor.looking.partition_point(|(other, _)| *other < wanted);
            for place in first..self.cursor.looking.len() {
                let (other, operation) = self.cursor.looking[place];
                if other != wanted {
                    break;
                }
                let (call, slot) = (self.world.call_of[operation as usize], self.world.slots[operation as usize]);
                if !done.has(slot) && self.world.allows(state, call) {
                    done.set(slot);
                    any = true;
                    if let Some(trail) = trail {
                        trail.push(operation);
                    }
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

    /// What returns next where the search got stuck has come too late: on the way there, a state in which it was possible,
    /// or could be made so, was left without it. It is taken at the last such, and the search goes on from there.
    fn go_around(&mut self) {
        let (level, mut node) = std::mem::replace(&mut self.furthest, (0, NONE));
        if node == NONE || level == self.levels {
            return;
        }
        let late = self.world.returns[level as usize];
        if self.nodes[node as usize].at.done.has(self.world.slots[late as usize]) {
            return;
        }
        let call = self.world.call_of[late as usize];
        let open_from = self.world.entered.partition_point(|entered| *entered <= late) as u32;
        loop {
            node = self.nodes[node as usize].parent;
            if node == NONE || self.nodes[node as usize].at.level < open_from {
                return;
            }
            let at = self.nodes[node as usize].at.clone();
            self.move_to(at.level);
            let before = self.nodes.len();
            // S3.
            let is_alike = |other: &u32| {
                self.world.call_of[*other as usize] == call && !at.done.has(self.world.slots[*other as usize])
            };
            let late = self.cursor.pending.iter().copied().rev().find(is_alike).unwrap_or(late);
            if self.world.allows(at.state, call) {
                self.take(node, &at, What::Operation(late), true);
            } else {
                self.take_any(node, &at, late, true);
                for helper in before..self.nodes.len() {
                    let helped = self.nodes[helper].at.clone();
                    if helped.level == at.level && !self.world.looks[call as usize] {
                        self.take(helper as u32, &helped, What::Operation(late), true);
                    }
                }
            }
            if self.nodes.len() > before {
                self.focus = self.nodes[before..].iter().map(|node| node.at.level).max().unwrap_or(0);
                return;
            }
        }
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
            if is_done || tried.contains(&call) {
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
        let blind = self.world.blind[call as usize];
        if blind != NONE && blind != at.state && !self.may_leave(node, at.level, at.state) {
            return false;
        }
        let mut any = false;
        for choice in 0.. {
            let next = self.world.step(at.state, call);
            let Some(state) = self.world.choice(next, choice) else { break };
            if state == at.state && matches!(what, What::Class(_)) {
                continue;
            }
            if state != at.state && !(self.may_leave(node, at.level, at.state) && self.may_enter(node, at.level, state))
            {
                continue;
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

    /// The orders on the way to these nodes, by going it again, where all go together once.
    fn entries(&mut self, nodes: &[u32]) -> Vec<Entry> {
        let parent = |node: u32| self.nodes[node as usize].parent;
        let Some(fork) = nodes.iter().copied().reduce(|mut one, mut other| {
            while one != other {
                // A node is younger than its parent.
                (one, other) = if one > other { (parent(one), other) } else { (one, parent(other)) };
            }
            one
        }) else {
            return Vec::new();
        };
        let (mut at, mut trail) = (self.begin(), Some(Vec::new()));
        self.go_again(NONE, fork, &mut at, &mut trail);
        let mut entries = Vec::new();
        for node in nodes {
            let (mut at, mut trail) = (at.clone(), trail.clone());
            self.go_again(fork, *node, &mut at, &mut trail);
            self.settle_at(&mut at, &mut trail);
            let end = &self.nodes[*node as usize].at;
            assert!(at.level == end.level && at.state == end.state, "the way leads elsewhere when gone again");
            entries.push(Entry { order: trail.unwrap_or_default(), state: at.state });
        }
        entries
    }

    /// From one node, as its step left it, to a later one on the way.
    fn go_again(&mut self, from: u32, to: u32, at: &mut Configuration<D>, trail: &mut Option<Vec<u32>>) {
        let mut way = Vec::new();
        let mut next = to;
        while next != from {
            way.push(self.nodes[next as usize].step);
            next = self.nodes[next as usize].parent;
        }
        for step in way.into_iter().rev() {
            self.settle_at(at, trail);
            self.apply(at, step, trail);
        }
    }

    fn blocked(&mut self) -> Found {
        let level = self.deepest;
        let is_entry = |node: &Node<D>| {
            node.at.level == level && node.flags & ENTRY != 0 && node.flags & SETTLED != 0 && node.flags & DEAD == 0
        };
        let mut entries: Vec<u32> = (0..self.nodes.len() as u32).collect();
        entries.retain(|node| is_entry(&self.nodes[*node as usize]));
        let entries_more = entries.len().saturating_sub(ENTRIES_MAX);
        entries.truncate(ENTRIES_MAX);
        Found::Blocked { level, entries: self.entries(&entries), entries_more }
    }

    fn move_to(&mut self, level: u32) {
        while self.cursor.level < level {
            self.close(self.world.returns[self.cursor.level as usize]);
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
            self.open(self.world.returns[self.cursor.level as usize]);
        }
    }

    fn open(&mut self, operation: u32) {
        let call = self.world.call_of[operation as usize] as usize;
        if self.world.looks[call] {
            let looks = (self.world.wanted[call], operation);
            let place = self.cursor.looking.partition_point(|other| *other < looks);
            self.cursor.looking.insert(place, looks);
        } else {
            let place = self.pending_place(operation);
            self.cursor.pending.insert(place, operation);
        }
    }

    fn close(&mut self, operation: u32) {
        let call = self.world.call_of[operation as usize] as usize;
        let left = if self.world.looks[call] {
            let looks = (self.world.wanted[call], operation);
            let place = self.cursor.looking.partition_point(|other| *other < looks);
            self.cursor.looking.remove(place).1
        } else {
            let place = self.pending_place(operation);
            self.cursor.pending.remove(place)
        };
        assert!(left == operation, "who returns, or was invoked at a level, is open there");
    }

    fn pending_place(&self, operation: u32) -> usize {
        let own = self.world.levels[operation as usize];
        self.cursor.pending.partition_point(|other| self.world.levels[*other as usize] > own)
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
                self.open(operation as u32);
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
                self.close(operation as u32);
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
