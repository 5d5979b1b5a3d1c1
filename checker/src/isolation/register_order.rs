//! What is known of the order in which a register's versions were written, and what follows from it.
//!
//! - *initial state*: every key is unset at first; each write comes later.
//! - *writes follow reads*: what a transaction wrote comes after what it read of that key before. If it did not, the write
//!   that was read would depend on the one that read it, which is a G1c: so the inference holds at each level from read
//!   committed on, and nothing that it shows is used against weaker ones. (The write dependency that it implies is a read
//!   dependency already, and not said again.)
//! - *sequential keys* and *linearizable keys*, if asked for: what a client, or any client, met of a key comes before what it
//!   met later. Else the order of clients would close a cycle with at most one anti-dependency; so this holds from snapshot
//!   isolation on where it keeps that order, and nothing that it shows is used against weaker levels ([`Shape::by_keys`]).
//!
//! More is true than this shows: of versions that nobody met in an order all orders would have to be tried, which no
//! polynomial search does (Papadimitriou 1979). So `valid` says less of registers than of lists.
//!
//! If these contradict each other for a key, its versions are cyclic, and only reads are used of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use tenet_histories::{Outcome, Value};

use super::anomaly::Anomaly;
use super::columns::{Range, ranges_of};
use super::components::Components;
use super::graph::{EdgeSink, Graph, Kind, Rule, TooManyEdges, View};
use super::index::NONE;
use super::proof::{Because, Later, Source};
use super::registers::{Read, Registers, Version};
use super::{Dependencies, Options, Order, Said, Sight};

/// How an edge between versions is known, in the terms of the graph.
const INITIAL: Kind = Kind::ReadWrite;
const AFTER_READ: Kind = Kind::WriteRead;
const BY_PROCESS: Kind = Kind::Process;
const BY_TIME: Kind = Kind::PredicateReadWrite;

/// So many later versions are looked at for one.
const VERSIONS_MAX: usize = 64;

pub(super) struct RegisterOrder<'a> {
    registers: &'a Registers,
    keys: Order,
    pub happened: Vec<bool>,
    /// Writes, then the initial state of each key.
    versions: Graph,
    /// Another version than the initial one is known to come before it.
    has_predecessor: Vec<bool>,
    /// Keys whose versions are cyclic.
    is_cyclic: Vec<bool>,
    sorted: Vec<u32>,
}

impl<'a> RegisterOrder<'a> {
    pub(super) fn new(
        registers: &'a Registers,
        keys: Order,
        options: &Options,
    ) -> Result<RegisterOrder<'a>, TooManyEdges> {
        let transactions = &registers.transactions;
        let mut happened: Vec<bool> = transactions.numbers().map(|number| transactions.is_ok(number)).collect();
        for read in registers.reads() {
            if let Version::Write(write) = read.version {
                let by = registers.writes.by[write as usize];
                happened[by as usize] |= transactions.outcome(by) == Outcome::Unknown;
            }
        }
        let mut order = RegisterOrder {
            registers,
            keys,
            happened,
            versions: Graph::default(),
            has_predecessor: vec![false; registers.writes.by.len()],
            is_cyclic: vec![false; registers.keys.count()],
            sorted: if registers.ranges.is_empty() { Vec::new() } else { registers.keys.sorted() },
        };
        let nodes = registers.writes.by.len() + registers.keys.count();
        let edges_max = options.edges_max(transactions.count());
        let versions = Graph::build(vec![NONE; nodes], edges_max, |edge| order.each_version_edge(edge))?;
        for node in 0..nodes as u32 {
            let targets = versions.edges_of(node).filter(|(_, kind)| *kind != INITIAL);
            targets.for_each(|(to, _)| {
                if let Some(has) = order.has_predecessor.get_mut(to as usize) {
                    *has = true;
                }
            });
        }
        order.versions = versions;
        Ok(order)
    }

    fn by(&self, write: u32) -> u32 {
        self.registers.writes.by[write as usize]
    }

    fn writes(&self) -> usize {
        self.registers.writes.by.len()
    }

    fn node(&self, key: u32, version: Version) -> u32 {
        version.node(key, self.writes())
    }

    /// The key of a version, and its value.
    fn version(&self, node: u32) -> (u32, Value) {
        match node.checked_sub(self.writes() as u32) {
            Some(key) => (key, self.registers.value(Version::Initial)),
            None => (self.registers.writes.key[node as usize], self.registers.writes.value(node)),
        }
    }

    /// Others may see it, and do.
    fn is_installed(&self, version: Version) -> bool {
        match version {
            Version::Initial => true,
            Version::Write(write) => self.happened[self.by(write) as usize] && self.registers.is_final(write),
            Version::Garbage => false,
        }
    }

    fn each_version_edge(&self, edge: &mut EdgeSink<'_>) -> ControlFlow<()> {
        let registers = self.registers;
        for write in 0..self.writes() as u32 {
            if self.is_installed(Version::Write(write)) {
                edge(self.node(registers.writes.key[write as usize], Version::Initial), write, INITIAL)?;
            }
        }
        for number in registers.transactions.numbers() {
            for read in registers.reads_of(number) {
                if let Some(write) = self.write_after(number, *read) {
                    edge(self.node(read.key, read.version), write, AFTER_READ)?;
                }
            }
        }
        if self.keys == Order::Process {
            self.each_process_step(&mut |key, [from, to], _| {
                edge(self.node(key, from), self.node(key, to), BY_PROCESS)
            })?;
        }
        if self.keys == Order::RealTime {
            self.each_time_step(&mut |key, [from, to], _| edge(self.node(key, from), self.node(key, to), BY_TIME))?;
        }
        ControlFlow::Continue(())
    }

    /// What its transaction wrote to the key after having read it.
    fn write_after(&self, number: u32, read: Read) -> Option<u32> {
        let is_version =
            read.is_external && matches!(read.version, Version::Write(_)) && self.is_installed(read.version);
        let write = self.registers.final_write(number, read.key).filter(|_| is_version)?;
        (read.version != Version::Write(write)).then_some(write)
    }

    /// Of each key that a transaction met: the first version and the last one.
    fn met(&self, number: u32) -> Vec<(u32, [Version; 2])> {
        let registers = self.registers;
        let mut met: Vec<(u32, [Version; 2])> = Vec::new();
        for read in registers.reads_of(number).iter().filter(|read| read.is_external) {
            met.push((read.key, [read.version, read.version]));
        }
        for write in registers.writes.of(number).filter(|write| registers.is_final(*write)) {
            let key = registers.writes.key[write as usize];
            let version = Version::Write(write);
            match met.iter_mut().find(|(known, _)| *known == key) {
                Some((_, [_, last])) => *last = version,
                None => met.push((key, [version, version])),
            }
        }
        met.retain(|(_, versions)| versions.iter().all(|version| self.is_installed(*version)));
        met
    }

    /// From what a client last met of a key to what it met next, and in which transactions.
    fn each_process_step(
        &self,
        step: &mut dyn FnMut(u32, [Version; 2], [u32; 2]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let transactions = &self.registers.transactions;
        let mut last_met: BTreeMap<(u32, u32), (Version, u32)> = BTreeMap::new();
        for number in transactions.numbers().filter(|number| self.happened[*number as usize]) {
            let process = transactions.process(number);
            for (key, [first, last]) in self.met(number) {
                if let Some((earlier, by)) = last_met.get(&(process, key)).filter(|(earlier, _)| *earlier != first) {
                    step(key, [*earlier, first], [*by, number])?;
                }
                if transactions.is_ok(number) {
                    last_met.insert((process, key), (last, number));
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The same for all clients and real time, except where other steps imply it.
    fn each_time_step(&self, step: &mut dyn FnMut(u32, [Version; 2], [u32; 2]) -> ControlFlow<()>) -> ControlFlow<()> {
        #[derive(Default)]
        struct Front {
            /// By what they were returned before.
            open: BinaryHeap<Reverse<(u32, u32, Version)>>,
            returned: Vec<(u32, u32, Version)>,
        }
        let transactions = &self.registers.transactions;
        let mut fronts: Vec<Front> = Vec::new();
        fronts.resize_with(self.registers.keys.count(), Front::default);
        for number in transactions.numbers().filter(|number| self.happened[*number as usize]) {
            for (key, [first, last]) in self.met(number) {
                let front = &mut fronts[key as usize];
                while let Some(Reverse((after, by, version))) =
                    front.open.peek().copied().filter(|open| open.0.0 <= number)
                {
                    front.open.pop();
                    front.returned.retain(|(after, ..)| *after > by);
                    if front.returned.iter().all(|(.., known)| *known != version) {
                        front.returned.push((after, by, version));
                    }
                }
                for (_, by, earlier) in front.returned.iter().filter(|(.., earlier)| *earlier != first) {
                    step(key, [*earlier, first], [*by, number])?;
                }
                if transactions.is_ok(number) {
                    front.open.push(Reverse((transactions.after()[number as usize], number, last)));
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Finds the keys whose versions are cyclic. Nothing is inferred from their order afterwards.
    pub(super) fn cyclic_versions(&mut self) -> Option<Anomaly> {
        let view = View { kinds: !Kind::RealTime.bit(), rule: Rule::Any };
        let components = Components::find(&self.versions, &view);
        let mut proof = None;
        for component in components.by_size() {
            let (key, _) = self.version(component[0]);
            if !std::mem::replace(&mut self.is_cyclic[key as usize], true) && proof.is_none() {
                proof = Some(self.cycle_of_versions(component));
            }
        }
        proof
    }

    /// A shortest one through the first version of a component.
    fn cycle_of_versions(&self, component: &[u32]) -> Anomaly {
        let start = component.iter().copied().min().expect("components are not empty");
        let mut before: BTreeMap<u32, (u32, Kind)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        let members: std::collections::BTreeSet<u32> = component.iter().copied().collect();
        while let Some(node) = queue.pop_front() {
            for (to, kind) in self.versions.edges_of(node).filter(|(to, _)| members.contains(to)) {
                before.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    (node, kind)
                });
            }
        }
        let (mut order, mut node) = (Vec::new(), start);
        while order.is_empty() || node != start {
            let (earlier, kind) = before[&node];
            order.push(self.later(earlier, node, kind));
            node = earlier;
        }
        order.reverse();
        let key = self.registers.keys.name(self.version(start).0).clone();
        Anomaly::CyclicVersions { key, order }
    }

    /// An edge between versions, with what shows it.
    fn later(&self, from: u32, to: u32, kind: Kind) -> Later {
        let (key, earlier) = self.version(from);
        let later = self.version(to).1;
        let mut operations = [0, 0];
        let mut find = |of: u32, [one, two]: [Version; 2], by: [u32; 2]| {
            if of == key && [self.node(key, one), self.node(key, two)] == [from, to] {
                operations = by.map(|number| number as usize);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let source = match kind {
            AFTER_READ => Source::WroteAfterRead { operation: self.by(to) as usize },
            BY_PROCESS => {
                assert!(self.each_process_step(&mut find).is_break(), "the edge was made so");
                Source::SequentialKey { operations }
            }
            BY_TIME => {
                assert!(self.each_time_step(&mut find).is_break(), "the edge was made so");
                Source::LinearizableKey { operations }
            }
            _ => Source::Initial,
        };
        Later { earlier, later, source }
    }

    /// Versions that come after one, and how that is known. Of the initial state, only those after no other one.
    fn successors(&self, key: u32, version: Version) -> impl Iterator<Item = (u32, Kind)> {
        let is_known = version != Version::Garbage && !self.is_cyclic[key as usize];
        let node = if is_known { Some(self.node(key, version)) } else { None };
        let targets = node.into_iter().flat_map(|node| self.versions.edges_of(node));
        // Writes only: nothing comes before the initial state unless versions are cyclic.
        targets.filter(|(to, kind)| *kind != INITIAL || !self.has_predecessor[*to as usize])
    }

    /// The first writes to the keys of a range that were not there.
    fn missed_in_range<B>(&self, range: &Range, mut write: impl FnMut(u32, u32) -> ControlFlow<B>) -> ControlFlow<B> {
        let found = &self.registers.reads_of(range.by)[range.reads.start as usize..range.reads.end as usize];
        let mut found: Vec<u32> = found.iter().map(|read| read.key).collect();
        found.sort_unstable();
        let name = |key: &u32| self.registers.keys.name(*key);
        let begin = self.sorted.partition_point(|key| name(key) < &range.low);
        for key in self.sorted[begin..].iter().take_while(|key| name(key) <= &range.high) {
            if found.binary_search(key).is_err() {
                self.successors(*key, Version::Initial).try_for_each(|(next, _)| write(*key, next))?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The write of another transaction, which did not fail, that a read saw.
    fn read_from(&self, number: u32, read: Read) -> Option<u32> {
        let Version::Write(write) = read.version else { return None };
        let by = self.by(write);
        (by != number && self.happened[by as usize]).then_some(write)
    }

    /// What needs no cycle of transactions, over the whole history.
    pub(super) fn anomalies(&self) -> Vec<Anomaly> {
        let registers = self.registers;
        let (mut aborted, mut intermediate, mut lost) = (None, None, None);
        // Who first read each version and wrote the next one.
        let mut updates = vec![NONE; self.writes() + registers.keys.count()];
        let who = |number: u32| registers.transactions.who(number);
        for number in registers.transactions.numbers() {
            for read in registers.reads_of(number) {
                let name = || registers.keys.name(read.key).clone();
                if let Version::Write(write) = read.version {
                    let (by, value) = (self.by(write), registers.writes.value(write));
                    if registers.transactions.outcome(by) == Outcome::Fail {
                        let anomaly = || Anomaly::G1a { reader: who(number), writer: who(by), key: name(), value };
                        aborted.get_or_insert_with(anomaly);
                    } else if by != number && !registers.is_final(write) {
                        let anomaly = || Anomaly::G1b { reader: who(number), writer: who(by), key: name(), value };
                        intermediate.get_or_insert_with(anomaly);
                    }
                }
                if !read.is_external
                    || read.version == Version::Garbage
                    || registers.final_write(number, read.key).is_none()
                {
                    continue;
                }
                let first = &mut updates[self.node(read.key, read.version) as usize];
                if *first == NONE {
                    *first = number;
                } else if *first != number {
                    let writers = [who(*first), who(number)];
                    let read = registers.value(read.version);
                    lost.get_or_insert_with(|| Anomaly::LostUpdate { writers, key: name(), read });
                }
            }
        }
        [aborted, intermediate, lost].into_iter().flatten().collect()
    }

    /// Why that write comes after a version, as far as it takes few steps to see.
    fn order_up_to(&self, key: u32, version: Version, write: u32) -> Option<Vec<Later>> {
        if version == Version::Garbage || self.is_cyclic[key as usize] {
            return None;
        }
        let start = self.node(key, version);
        if version == Version::Initial {
            return self.is_installed(Version::Write(write)).then(|| vec![self.later(start, write, INITIAL)]);
        }
        let mut before: BTreeMap<u32, (u32, Kind)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front().filter(|_| before.len() < VERSIONS_MAX) {
            for (next, how) in self.versions.edges_of(node) {
                before.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    (node, how)
                });
            }
        }
        let (mut order, mut node) = (Vec::new(), write);
        while node != start {
            let (earlier, how) = *before.get(&node)?;
            order.push(self.later(earlier, node, how));
            node = earlier;
        }
        order.reverse();
        Some(order).filter(|order| !order.is_empty())
    }
}

/// A read that another transaction comes before or after.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Read { read: Read, write: u32 },
    Missed { read: Read, next: u32, how: Kind },
    MissedInRange { range: &'a Range, key: u32, next: u32 },
}

impl Cause<'_> {
    fn kind(self) -> Kind {
        match self {
            Cause::Read { .. } => Kind::WriteRead,
            Cause::Missed { .. } => Kind::ReadWrite,
            Cause::MissedInRange { .. } => Kind::PredicateReadWrite,
        }
    }
}

impl<'a> RegisterOrder<'a> {
    /// What the reads of a transaction say of others: where (see `Sight`), of whom, and why.
    fn each_cause<B>(
        &self,
        number: u32,
        mut cause: impl FnMut(u32, u32, Cause<'a>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let registers = self.registers;
        for (place, read) in registers.reads_of(number).iter().enumerate() {
            let (place, read) = (2 * place as u32 + 1, *read);
            if let Some(write) = self.read_from(number, read) {
                cause(place, self.by(write), Cause::Read { read, write })?;
            }
            for (next, how) in self.successors(read.key, read.version) {
                cause(place, self.by(next), Cause::Missed { read, next, how })?;
            }
        }
        for range in ranges_of(&registers.ranges, number) {
            let place = 2 * range.reads.start;
            self.missed_in_range(range, |key, next| {
                cause(place, self.by(next), Cause::MissedInRange { range, key, next })
            })?;
        }
        ControlFlow::Continue(())
    }

    fn say(&self, cause: Cause<'_>) -> Because {
        let registers = self.registers;
        let name = |key: u32| registers.keys.name(key).clone();
        match cause {
            Cause::Read { read, write } => {
                Because::ReadRegister { key: name(read.key), value: registers.writes.value(write) }
            }
            Cause::Missed { read, next, how } => {
                let order = vec![self.later(self.node(read.key, read.version), next, how)];
                let (key, next) = (name(read.key), registers.writes.value(next));
                Because::MissedInRegister { key, read: registers.value(read.version), next, order }
            }
            Cause::MissedInRange { range, key, next } => Because::MissedInRange {
                key: name(key),
                low: range.low.clone(),
                high: range.high.clone(),
                next: registers.writes.value(next),
            },
        }
    }

    /// The writes over what a transaction wrote, and how that is known, as far as its readers do not say it.
    fn overwrites(&self, number: u32) -> impl Iterator<Item = (u32, u32, Kind)> {
        let writes = &self.registers.writes;
        writes.of(number).flat_map(move |write| {
            let next = self.successors(writes.key[write as usize], Version::Write(write));
            next.filter(|(_, how)| *how != AFTER_READ).map(move |(next, how)| (write, next, how))
        })
    }
}

impl Dependencies for RegisterOrder<'_> {
    fn each_edge(&self, edge: &mut EdgeSink<'_>) -> ControlFlow<()> {
        let transactions = &self.registers.transactions;
        for number in transactions.numbers().filter(|number| self.happened[*number as usize]) {
            for (_, next, _) in self.overwrites(number) {
                edge(number, self.by(next), Kind::WriteWrite)?;
            }
            self.each_cause(number, |_, other, cause| match cause.kind() {
                kind if kind.is_anti_dependency() => edge(number, other, kind),
                kind => edge(other, number, kind),
            })?;
        }
        transactions.each_process_edge(&self.happened, |from, to| edge(from, to, Kind::Process))
    }

    fn only_reads(&self, number: u32) -> bool {
        self.registers.writes.of(number).is_empty()
    }

    fn each_said(&self, number: u32, said: &mut Said<'_>) -> ControlFlow<()> {
        self.each_cause(number, |place, other, cause| {
            said(Sight { place, other, kind: cause.kind() }, &|| self.say(cause))
        })
    }

    fn overwrote(&self, from: u32, to: u32) -> Option<Because> {
        let (write, next, how) = self.overwrites(from).find(|(_, next, _)| self.by(*next) == to)?;
        let writes = &self.registers.writes;
        let key = self.registers.keys.name(writes.key[write as usize]).clone();
        let (first, second) = (writes.value(write), writes.value(next));
        Some(Because::Overwrote { key, first, second, order: vec![self.later(write, next, how)] })
    }

    /// Not all of them are in a cycle: they are found without.
    fn lost_update(&self, _: &[u32]) -> Option<Anomaly> {
        None
    }

    fn written_by_both(&self, one: u32, two: u32) -> Option<Value> {
        let [mut one, two] = [one, two].map(|number| self.registers.writes.of(number));
        let key = |write: u32| self.registers.writes.key[write as usize];
        let both = one.find(|write| two.clone().any(|other| key(other) == key(*write)))?;
        Some(self.registers.keys.name(key(both)).clone())
    }

    fn missed(&self, number: u32, writer: u32) -> Option<(u32, Kind, Because)> {
        let registers = self.registers;
        let mut last: Option<(u32, Kind, Because)> = None;
        for write in registers.writes.of(writer).filter(|write| registers.is_final(*write)) {
            let key = registers.writes.key[write as usize];
            let (name, next) = (registers.keys.name(key), registers.writes.value(write));
            for (place, read) in registers.reads_of(number).iter().enumerate().filter(|(_, read)| read.key == key) {
                let place = 2 * place as u32 + 1;
                if last.as_ref().is_none_or(|(other, ..)| place > *other)
                    && let Some(order) = self.order_up_to(key, read.version, write)
                {
                    let (key, read, next) = (name.clone(), registers.value(read.version), next.clone());
                    last = Some((place, Kind::ReadWrite, Because::MissedInRegister { key, read, next, order }));
                }
            }
            for range in ranges_of(&registers.ranges, number) {
                let place = 2 * range.reads.start;
                let mut found = registers.reads_of(number)[range.reads.start as usize..range.reads.end as usize].iter();
                let is_missing = range.low <= *name && *name <= range.high && found.all(|read| read.key != key);
                if is_missing && last.as_ref().is_none_or(|(other, ..)| place > *other) {
                    let because = self.say(Cause::MissedInRange { range, key, next: write });
                    last = Some((place, Kind::PredicateReadWrite, because));
                }
            }
        }
        last
    }
}
