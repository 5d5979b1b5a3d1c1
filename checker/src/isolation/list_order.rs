//! What a history of lists implies: the order of appends of each key, what depends on what, and what contradicts itself.
//!
//! A transaction has *happened* if it is ok, or if it is unknown and some read shows one of its appends. Appends of failed
//! transactions, and elements that nobody appended, are passed over: the dependency is on the last one that counts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tenet_histories::{Outcome, Value};

use super::anomaly::Anomaly;
use super::columns::{Range, ranges_of};
use super::graph::{EdgeSink, Kind};
use super::index::NONE;
use super::lists::{Lists, Read, SEEN};
use super::proof::Because;
use super::{Dependencies, Said, Sight};

/// The orders of all keys, flat, and who has happened.
pub(super) struct ListOrder<'a> {
    lists: &'a Lists,
    pub happened: Vec<bool>,
    /// Where each key's places begin in `placed`; one more than keys.
    first: Vec<u32>,
    /// The append at each place, `NONE` where nobody appended.
    placed: Vec<u32>,
    /// Of keys that have any: runs of places that are passed over, from the first up to the end.
    passed_over: BTreeMap<u32, Vec<(u32, u32)>>,
    /// Of each key that is not in dispute: appends that happened and that no read shows.
    unread: BTreeMap<u32, Vec<u32>>,
    keys: Vec<u32>,
}

impl<'a> ListOrder<'a> {
    pub(super) fn new(lists: &'a Lists) -> ListOrder<'a> {
        let mut first = vec![0u32];
        for order in &lists.orders {
            first.push(first[first.len() - 1] + order.elements.len() as u32);
        }
        let mut placed = vec![NONE; first[first.len() - 1] as usize];
        let transactions = &lists.transactions;
        let mut happened: Vec<bool> = transactions.numbers().map(|number| transactions.is_ok(number)).collect();
        for (append, place) in lists.append_place.iter().enumerate().filter(|(_, place)| **place != NONE) {
            let by = lists.appends.by[append];
            happened[by as usize] |= transactions.outcome(by) == Outcome::Unknown;
            if *place != SEEN {
                placed[(first[lists.appends.key[append] as usize] + place) as usize] = append as u32;
            }
        }
        let mut order = ListOrder {
            lists,
            happened,
            first,
            placed,
            passed_over: BTreeMap::new(),
            unread: BTreeMap::new(),
            keys: if lists.ranges.is_empty() { Vec::new() } else { lists.keys.sorted() },
        };
        order.find_passed_over();
        order.find_unread();
        order
    }

    fn find_passed_over(&mut self) {
        for key in 0..self.lists.keys.count() as u32 {
            let mut runs: Vec<(u32, u32)> = Vec::new();
            for (place, append) in self.places(key).iter().enumerate() {
                let place = place as u32;
                if *append != NONE && self.happened[self.by(*append) as usize] {
                    continue;
                }
                match runs.last_mut() {
                    Some((_, end)) if *end == place => *end += 1,
                    _ => runs.push((place, place + 1)),
                }
            }
            if !runs.is_empty() {
                self.passed_over.insert(key, runs);
            }
        }
    }

    fn find_unread(&mut self) {
        for (append, _) in self.lists.append_place.iter().enumerate().filter(|(_, place)| **place == NONE) {
            let key = self.lists.appends.key[append];
            if self.happened[self.by(append as u32) as usize] && !self.is_disputed(key) {
                self.unread.entry(key).or_default().push(append as u32);
            }
        }
    }

    fn by(&self, append: u32) -> u32 {
        self.lists.appends.by[append as usize]
    }

    fn element(&self, append: u32) -> Value {
        self.lists.appends.value(append)
    }

    /// The last element that a read shows; nil if it shows none.
    fn last(&self, read: Read) -> Value {
        let last = read.length().checked_sub(1);
        let code = last.map(|last| self.lists.orders[read.key as usize].elements[last as usize]);
        code.map_or(Value::Nil, |code| self.lists.appends.values.value(code))
    }

    fn is_disputed(&self, key: u32) -> bool {
        self.lists.orders[key as usize].is_disputed
    }

    fn places(&self, key: u32) -> &[u32] {
        &self.placed[self.first[key as usize] as usize..self.first[key as usize + 1] as usize]
    }

    /// The run that is passed over at that place.
    fn run(&self, key: u32, place: u32) -> Option<(u32, u32)> {
        let runs = self.passed_over.get(&key)?;
        let (begin, end) = *runs[..runs.partition_point(|(begin, _)| *begin <= place)].last()?;
        (place < end).then_some((begin, end))
    }

    /// The last append that counts below a place of a key's order.
    fn before(&self, key: u32, place: u32) -> Option<(u32, u32)> {
        let place = place.checked_sub(1)?;
        let place = self.run(key, place).map_or(Some(place), |(begin, _)| begin.checked_sub(1))?;
        Some((place, self.places(key)[place as usize]))
    }

    /// The first append that counts from a place of a key's order on, as far as that is trusted.
    fn from(&self, key: u32, place: u32) -> Option<u32> {
        let place = self.run(key, place).map_or(place, |(_, end)| end);
        (place < self.lists.orders[key as usize].trusted).then(|| self.places(key)[place as usize])
    }

    fn unread(&self, key: u32) -> &[u32] {
        self.unread.get(&key).map_or(&[], Vec::as_slice)
    }

    /// What the appender of an element wrote it after.
    fn overwritten_by(&self, append: u32) -> Option<u32> {
        let key = self.lists.appends.key[append as usize];
        let trusted = self.lists.orders[key as usize].trusted;
        let place = match self.lists.append_place[append as usize] {
            NONE if self.is_disputed(key) => return None,
            NONE => trusted,
            place if place < trusted => place,
            _ => return None,
        };
        self.before(key, place).map(|(_, append)| append)
    }

    /// The last append of another transaction that a read shows, as far as the order is trusted.
    fn read_from(&self, number: u32, read: Read) -> Option<u32> {
        let mut place = read.length().min(self.lists.orders[read.key as usize].trusted);
        loop {
            let (at, append) = self.before(read.key, place)?;
            if self.by(append) != number {
                return Some(append);
            }
            place = at;
        }
    }

    /// The appends, of which one comes next after what was read.
    fn missed(&self, read: Read) -> (Option<u32>, &[u32]) {
        if read.disagrees() {
            return (None, &[]);
        }
        match self.from(read.key, read.length()) {
            Some(next) => (Some(next), &[]),
            None => (None, self.unread(read.key)),
        }
    }

    /// The first appends to the keys of a range that were not there.
    fn missed_in_range<B>(&self, range: &Range, mut append: impl FnMut(u32, u32) -> ControlFlow<B>) -> ControlFlow<B> {
        let found = &self.lists.reads_of(range.by)[range.reads.start as usize..range.reads.end as usize];
        let mut found: Vec<u32> = found.iter().map(|read| read.key).collect();
        found.sort_unstable();
        let name = |key: &u32| self.lists.keys.name(*key);
        let begin = self.keys.partition_point(|key| name(key) < &range.low);
        for key in self.keys[begin..].iter().take_while(|key| name(key) <= &range.high) {
            if found.binary_search(key).is_ok() {
                continue;
            }
            match self.from(*key, 0) {
                Some(next) => append(*key, next)?,
                None => self.unread(*key).iter().try_for_each(|next| append(*key, *next))?,
            }
        }
        ControlFlow::Continue(())
    }

    /// What needs no cycle, over the whole history.
    pub(super) fn anomalies(&self) -> Vec<Anomaly> {
        let mut found = Vec::new();
        found.extend(self.incompatible_order());
        for key in self.passed_over.keys() {
            self.aborted(*key, &mut found);
        }
        found.extend(self.intermediate());
        found
    }

    fn incompatible_order(&self) -> Option<Anomaly> {
        let lists = self.lists;
        for disagreeing in &lists.disagreeing {
            let order = &lists.orders[disagreeing.key as usize].elements;
            let agreed = order.iter().zip(&disagreeing.list).take_while(|(one, two)| one == two).count();
            if agreed == order.len() || agreed == disagreeing.list.len() {
                // It has an element twice, which is said by another name.
                continue;
            }
            // One that disagrees itself read something else than so much of the order.
            let shows =
                |read: &&Read| read.key == disagreeing.key && !read.disagrees() && read.length() as usize > agreed;
            let length = |number: u32| lists.reads_of(number).iter().find(shows).map(|read| (number, read.length()));
            let Some((reader, length)) = lists.transactions.numbers().find_map(length) else { continue };
            return Some(Anomaly::IncompatibleOrder {
                readers: [reader, disagreeing.by].map(|number| lists.transactions.who(number)),
                key: lists.keys.name(disagreeing.key).clone(),
                lists: [lists.values(&order[..length as usize]), lists.values(&disagreeing.list)],
            });
        }
        None
    }

    /// G1a, and what was written on top of it.
    fn aborted(&self, key: u32, found: &mut Vec<Anomaly>) {
        let lists = self.lists;
        let places = self.places(key);
        for (begin, end) in &self.passed_over[&key] {
            let failed = (*begin..*end).find_map(|place| Some(places[place as usize]).filter(|append| *append != NONE));
            let Some(append) = failed else { continue };
            let place = lists.append_place[append as usize];
            let who = |number: u32| lists.transactions.who(number);
            let writer = who(self.by(append));
            let name = || lists.keys.name(key).clone();
            if !found.iter().any(|anomaly| matches!(anomaly, Anomaly::G1a { .. }))
                && let Some(reader) = lists.reader_of(key, place)
            {
                found.push(Anomaly::G1a { reader: who(reader), writer, key: name(), value: self.element(append) });
            }
            if !found.iter().any(|anomaly| matches!(anomaly, Anomaly::DirtyUpdate { .. }))
                && let Some(next) = places.get(*end as usize).filter(|next| **next != NONE)
                && lists.transactions.is_ok(self.by(*next))
            {
                let (value, next, by) = (self.element(append), self.element(*next), who(self.by(*next)));
                found.push(Anomaly::DirtyUpdate { failed: writer, writer: by, key: name(), value, next });
            }
        }
    }

    fn intermediate(&self) -> Option<Anomaly> {
        let lists = self.lists;
        lists.transactions.numbers().find_map(|number| {
            lists.reads_of(number).iter().find_map(|read| {
                let append = self.places(read.key)[read.length().checked_sub(1)? as usize];
                if read.disagrees() || append == NONE || self.by(append) == number || !lists.is_followed(append) {
                    return None;
                }
                let [reader, writer] = [number, self.by(append)].map(|number| lists.transactions.who(number));
                let (key, value) = (lists.keys.name(read.key).clone(), self.element(append));
                Some(Anomaly::G1b { reader, writer, key, value })
            })
        })
    }

    /// That append comes after what was read.
    fn is_after(&self, append: u32, read: Read) -> bool {
        let is_known = match self.lists.append_place[append as usize] {
            NONE => !self.is_disputed(read.key),
            place => (read.length()..self.lists.orders[read.key as usize].trusted).contains(&place),
        };
        is_known && !read.disagrees()
    }

    /// The range has this key, which was not there.
    fn is_missing(&self, range: &Range, key: u32) -> bool {
        let name = self.lists.keys.name(key);
        let found = &self.lists.reads_of(range.by)[range.reads.start as usize..range.reads.end as usize];
        range.low <= *name && *name <= range.high && found.iter().all(|read| read.key != key)
    }
}

/// A step of a transaction that another comes before or after.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Appended { before: u32, append: u32 },
    Read { read: Read, source: u32 },
    Missed { read: Read, next: u32 },
    MissedInRange { range: &'a Range, key: u32, next: u32 },
}

impl Cause<'_> {
    fn kind(self) -> Kind {
        match self {
            Cause::Appended { .. } => Kind::WriteWrite,
            Cause::Read { .. } => Kind::WriteRead,
            Cause::Missed { .. } => Kind::ReadWrite,
            Cause::MissedInRange { .. } => Kind::PredicateReadWrite,
        }
    }
}

impl<'a> ListOrder<'a> {
    /// What the steps of a transaction say of others: where (see `Sight`), of whom, and why.
    fn each_cause<B>(
        &self,
        number: u32,
        mut cause: impl FnMut(u32, u32, Cause<'a>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let lists = self.lists;
        let before = lists.appends_before(number);
        for (place, append) in lists.appends.of(number).enumerate() {
            if let Some(before_it) = self.overwritten_by(append) {
                let reads = before.partition_point(|before| usize::from(*before) <= place);
                let place = 2 * (place + reads) as u32 + 1;
                cause(place, self.by(before_it), Cause::Appended { before: before_it, append })?;
            }
        }
        for (place, read) in lists.reads_of(number).iter().enumerate() {
            let (place, read) = (2 * (place as u32 + u32::from(before[place])) + 1, *read);
            if let Some(source) = self.read_from(number, read) {
                cause(place, self.by(source), Cause::Read { read, source })?;
            }
            let (next, unread) = self.missed(read);
            let mut missed = next.iter().chain(unread);
            missed.try_for_each(|next| cause(place, self.by(*next), Cause::Missed { read, next: *next }))?;
        }
        for range in ranges_of(&lists.ranges, number) {
            let place = 2 * (range.reads.start + range.writes_before);
            self.missed_in_range(range, |key, next| {
                cause(place, self.by(next), Cause::MissedInRange { range, key, next })
            })?;
        }
        ControlFlow::Continue(())
    }

    fn say(&self, cause: Cause<'_>) -> Because {
        let name = |key: u32| self.lists.keys.name(key).clone();
        let is_unread = |append: u32| self.lists.append_place[append as usize] == NONE;
        match cause {
            Cause::Appended { before, append } => {
                let (first, second) = (self.element(before), self.element(append));
                let key = name(self.lists.appends.key[append as usize]);
                let place = Some(self.lists.append_place[append as usize]).filter(|_| !is_unread(append));
                let reader =
                    place.and_then(|place| self.lists.reader_of(self.lists.appends.key[append as usize], place));
                let shown_by = reader.map(|reader| self.lists.transactions.who(reader).operation);
                Because::Appended { key, first, second, shown_by }
            }
            Cause::Read { read, source } => Because::ReadList { key: name(read.key), element: self.element(source) },
            Cause::Missed { read, next } => Because::MissedInList {
                key: name(read.key),
                last: self.last(read),
                next: self.element(next),
                unread: is_unread(next),
            },
            Cause::MissedInRange { range, key, next } => Because::MissedInRange {
                key: name(key),
                low: range.low.clone(),
                high: range.high.clone(),
                next: self.element(next),
            },
        }
    }
}

impl Dependencies for ListOrder<'_> {
    /// All dependencies. Edges of a transaction to itself are among them.
    fn each_edge(&self, edge: &mut EdgeSink<'_>) -> ControlFlow<()> {
        let transactions = &self.lists.transactions;
        for number in transactions.numbers().filter(|number| self.happened[*number as usize]) {
            self.each_cause(number, |_, other, cause| match cause.kind() {
                kind if kind.is_anti_dependency() => edge(number, other, kind),
                kind => edge(other, number, kind),
            })?;
        }
        transactions.each_process_edge(&self.happened, |from, to| edge(from, to, Kind::Process))
    }

    fn only_reads(&self, number: u32) -> bool {
        self.lists.appends.of(number).is_empty()
    }

    fn each_said(&self, number: u32, said: &mut Said<'_>) -> ControlFlow<()> {
        self.each_cause(number, |place, other, cause| {
            said(Sight { place, other, kind: cause.kind() }, &|| self.say(cause))
        })
    }

    /// Two transactions that read one version and both wrote the next one. Each such pair is in a cycle.
    fn lost_update(&self, tangled: &[u32]) -> Option<Anomaly> {
        let lists = self.lists;
        let mut updates: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for number in tangled.iter().copied().filter(|number| lists.transactions.is_ok(*number)) {
            let writes = |key: u32| lists.appends.of(number).any(|append| lists.appends.key[append as usize] == key);
            for read in lists.reads_of(number) {
                if read.disagrees() || read.is_after_append() || !writes(read.key) {
                    continue;
                }
                let earlier = *updates.entry((read.key, read.length())).or_insert(number);
                if earlier != number {
                    return Some(Anomaly::LostUpdate {
                        writers: [earlier, number].map(|number| lists.transactions.who(number)),
                        key: lists.keys.name(read.key).clone(),
                        read: self.last(*read),
                    });
                }
            }
        }
        None
    }

    fn written_by_both(&self, one: u32, two: u32) -> Option<Value> {
        let [mut one, two] = [one, two].map(|number| self.lists.appends.of(number));
        let key = |append: u32| self.lists.appends.key[append as usize];
        let both = one.find(|append| two.clone().any(|other| key(other) == key(*append)))?;
        Some(self.lists.keys.name(key(both)).clone())
    }

    fn missed(&self, number: u32, writer: u32) -> Option<(u32, Kind, Because)> {
        let lists = self.lists;
        let before = lists.appends_before(number);
        let mut last: Option<(u32, Cause<'_>)> = None;
        let mut keep = |place: u32, cause| {
            if last.is_none_or(|(other, _)| place >= other) {
                last = Some((place, cause));
            }
        };
        for append in lists.appends.of(writer) {
            let key = lists.appends.key[append as usize];
            for (place, read) in lists.reads_of(number).iter().enumerate() {
                if read.key == key && self.is_after(append, *read) {
                    let place = 2 * (place as u32 + u32::from(before[place])) + 1;
                    keep(place, Cause::Missed { read: *read, next: append });
                }
            }
            for range in ranges_of(&lists.ranges, number).iter().filter(|range| self.is_missing(range, key)) {
                let place = 2 * (range.reads.start + range.writes_before);
                keep(place, Cause::MissedInRange { range, key, next: append });
            }
        }
        last.map(|(place, cause)| (place, cause.kind(), self.say(cause)))
    }
}
