//! Derives each step of a proof again from the raw history. Knows what was asked and answered, nothing of graphs.

use tenet_checker::isolation::{Anomaly, Because, Cycle, Kind, Report, Shape};
use tenet_histories::{History, Operation, Outcome, Value};

use crate::brute_force::micros;

pub fn verify(history: &History, report: &Report) {
    let operations = history.operations().unwrap();
    let facts = Facts { operations: &operations };
    for anomaly in &report.anomalies {
        assert!(facts.holds(anomaly), "{anomaly}");
        let text = anomaly.to_string();
        assert!(text.is_ascii() && !text.contains("  \n"), "{text}");
    }
}

struct Facts<'a> {
    operations: &'a [Operation<'a>],
}

impl Facts<'_> {
    fn holds(&self, anomaly: &Anomaly) -> bool {
        match anomaly {
            Anomaly::GarbageRead { reader, key, value } => {
                self.reads(reader.operation, key).any(|list| list.contains(value)) && self.writer(key, *value).is_none()
            }
            Anomaly::DuplicateElements { reader, key, element } => {
                let twice = |list: &Vec<i64>| list.iter().filter(|other| *other == element).count() > 1;
                self.reads(reader.operation, key).any(|list| twice(&list))
            }
            Anomaly::IncompatibleOrder { readers, key, lists } => {
                let shown = |at: usize| self.reads(readers[at].operation, key).any(|list| list == lists[at]);
                shown(0) && shown(1) && !lists[0].starts_with(&lists[1]) && !lists[1].starts_with(&lists[0])
            }
            Anomaly::Internal { who, .. } => self.contradicts_itself(&self.operations[who.operation]),
            Anomaly::FutureRead { who, key, value } => {
                let operation = &self.operations[who.operation];
                let written = micros(operation)
                    .position(|[name, of, v]| is("append", name) && of == key && *v == (*value).into());
                let read = micros(operation)
                    .position(|[name, of, list]| is("r", name) && of == key && ints(list).contains(value));
                read.unwrap() < written.unwrap()
            }
            Anomaly::G1a { reader, writer, key, value } => {
                self.operations[writer.operation].outcome() == Outcome::Fail
                    && self.writer(key, *value) == Some(writer.operation)
                    && self.reads(reader.operation, key).any(|list| list.contains(value))
            }
            Anomaly::G1b { reader, writer, key, value } => {
                let later = self.appends(writer.operation, key).skip_while(|element| element != value).nth(1);
                let seen = self.reads(reader.operation, key).any(|list| list.last() == Some(value));
                seen && later.is_some() && reader.operation != writer.operation
            }
            Anomaly::DirtyUpdate { failed, writer, key, value, next } => {
                self.operations[failed.operation].outcome() == Outcome::Fail
                    && self.operations[writer.operation].is_ok()
                    && self.writer(key, *value) == Some(failed.operation)
                    && self.writer(key, *next) == Some(writer.operation)
                    && self.is_before(key, *value, *next)
            }
            Anomaly::LostUpdate { writers, key, read } => writers.iter().all(|who| {
                let both = self.reads(who.operation, key).any(|list| list.last() == read.as_ref());
                both && self.appends(who.operation, key).next().is_some() && self.operations[who.operation].is_ok()
            }),
            Anomaly::FracturedRead { cycle, .. } => {
                let kinds: Vec<Kind> = cycle.edges.iter().map(|edge| edge.kind).collect();
                kinds[..2] == [Kind::WriteRead, Kind::ReadWrite]
                    && kinds[2..].iter().all(|kind| *kind == Kind::WriteWrite)
                    && self.is_cycle(cycle)
            }
            Anomaly::Cycle(cycle) => self.is_cycle(cycle),
            Anomaly::CyclicVersions { .. } => unreachable!("lists have no such anomaly"),
        }
    }

    fn is_cycle(&self, cycle: &Cycle) -> bool {
        let edges = &cycle.edges;
        let closed = (0..edges.len()).all(|at| edges[at].to == edges[(at + 1) % edges.len()].from);
        let sound = edges.iter().all(|edge| {
            let (from, to) = (edge.from.operation, edge.to.operation);
            self.happened(from) && self.happened(to) && self.follows(from, to, edge.kind, &edge.because)
        });
        closed && sound && edges.len() > 1 && cycle.shape == Shape::of(edges.iter().map(|edge| edge.kind))
    }

    fn follows(&self, from: usize, to: usize, kind: Kind, because: &Because) -> bool {
        let [one, two] = [from, to].map(|at| &self.operations[at]);
        match (kind, because) {
            (Kind::WriteWrite, Because::Appended { key, first, second, unread }) => {
                self.writer(key, *first) == Some(from)
                    && self.writer(key, *second) == Some(to)
                    && if *unread { self.is_unread(key, *second) } else { self.is_before(key, *first, *second) }
            }
            (Kind::WriteRead, Because::ReadList { key, element }) => {
                self.writer(key, *element) == Some(from) && self.reads(to, key).any(|list| list.contains(element))
            }
            (Kind::ReadWrite, Because::MissedInList { key, last, next, unread }) => {
                let missed = |list: &Vec<i64>| list.last() == last.as_ref() && !list.contains(next);
                let seen = last.is_none_or(|last| self.is_before(key, last, *next));
                self.reads(from, key).any(|list| missed(&list))
                    && self.writer(key, *next) == Some(to)
                    && if *unread { self.is_unread(key, *next) } else { seen && !self.is_unread(key, *next) }
            }
            (Kind::PredicateReadWrite, Because::MissedInRange { key, low, high, next }) => {
                let looked = micros(one).any(|[name, range, pairs]| {
                    let is_there = || pairs.as_list().unwrap().iter().any(|pair| pair.as_list().unwrap()[0] == *key);
                    is("rr", name) && range.as_list() == Some(&[low.clone(), high.clone()]) && !is_there()
                });
                looked && low <= key && key <= high && self.writer(key, *next) == Some(to)
            }
            (Kind::Process, Because::SameProcess) => {
                one.process == two.process && one.is_ok() && one.return_event().unwrap() < two.invoke_event
            }
            (Kind::RealTime, Because::RealTime) => one.is_ok() && one.return_event().unwrap() < two.invoke_event,
            _ => false,
        }
    }

    /// It is ok, or somebody saw what it wrote.
    fn happened(&self, at: usize) -> bool {
        let operation = &self.operations[at];
        let seen = || {
            micros(operation)
                .any(|[name, key, value]| is("append", name) && !self.is_unread(key, value.as_int().unwrap()))
        };
        operation.is_ok() || operation.outcome() == Outcome::Unknown && seen()
    }

    /// All lists that a transaction which is ok read of a key.
    fn reads(&self, at: usize, key: &Value) -> impl Iterator<Item = Vec<i64>> {
        let operation = &self.operations[at];
        let found = micros(operation).filter(|_| operation.is_ok()).filter_map(|[name, of, value]| match () {
            () if is("r", name) && of == key => Some(ints(value)),
            () if is("rr", name) => {
                let mut pairs = value.as_list().unwrap().iter().map(|pair| pair.as_list().unwrap());
                pairs.find(|pair| pair[0] == *key).map(|pair| ints(&pair[1]))
            }
            () => None,
        });
        found.collect::<Vec<_>>().into_iter()
    }

    fn appends(&self, at: usize, key: &Value) -> impl Iterator<Item = i64> {
        let micros = micros(&self.operations[at]).filter(move |[name, of, _]| is("append", name) && *of == key);
        micros.map(|[.., value]| value.as_int().unwrap())
    }

    fn writer(&self, key: &Value, element: i64) -> Option<usize> {
        (0..self.operations.len()).find(|at| self.appends(*at, key).any(|other| other == element))
    }

    fn lists(&self, key: &Value) -> impl Iterator<Item = Vec<i64>> {
        (0..self.operations.len()).flat_map(move |at| self.reads(at, key))
    }

    fn is_unread(&self, key: &Value, element: i64) -> bool {
        self.lists(key).all(|list| !list.contains(&element))
    }

    /// Some read shows the one before the other.
    fn is_before(&self, key: &Value, one: i64, two: i64) -> bool {
        self.lists(key).any(|list| {
            let place = |element: i64| list.iter().position(|other| *other == element);
            place(one).zip(place(two)).is_some_and(|(one, two)| one < two)
        })
    }

    /// Some read is not what the transaction had read and appended before.
    fn contradicts_itself(&self, operation: &Operation<'_>) -> bool {
        let all: Vec<_> = micros(operation).collect();
        (0..all.len()).any(|at| {
            let [name, key, value] = all[at];
            let earlier = all[..at].iter().filter(|[_, of, _]| *of == key);
            let (mut known, mut own) = (None, Vec::new());
            for [name, _, value] in earlier {
                if is("append", name) {
                    own.push(value.as_int().unwrap());
                } else {
                    (known, own) = (Some(ints(value)), Vec::new());
                }
            }
            let found = ints(value);
            is("r", name)
                && match known {
                    Some(known) => found != [known, own].concat(),
                    None => !found.ends_with(&own),
                }
        })
    }
}

fn is(wanted: &str, name: &Value) -> bool {
    name.as_text() == Some(wanted)
}

fn ints(list: &Value) -> Vec<i64> {
    list.as_list().unwrap_or_default().iter().map(|element| element.as_int().unwrap()).collect()
}
