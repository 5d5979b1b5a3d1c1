//! Derives each step of a proof again from the raw history. Knows what was asked and answered, nothing of graphs.

use tenet_checker::isolation::{Anomaly, Because, Cycle, Edge, Kind, Later, Order, Report, Shape, Source};
use tenet_histories::{History, Operation, Outcome, Value};

use crate::brute_force::{each_key, micros};

pub fn verify(history: &History, report: &Report) {
    let operations = history.operations().unwrap();
    let is_registers = operations.iter().flat_map(micros).any(|[name, ..]| is("w", name));
    let initial = history.header.facts.get("initial").cloned().unwrap_or_default();
    let facts = Facts { operations: &operations, is_registers, initial };
    for anomaly in &report.anomalies {
        assert!(facts.holds(anomaly), "{anomaly}");
        let text = anomaly.to_string();
        assert!(text.is_ascii() && !text.contains("  \n"), "{text}");
    }
}

struct Facts<'a> {
    operations: &'a [Operation<'a>],
    is_registers: bool,
    /// Of every register.
    initial: Value,
}

impl Facts<'_> {
    fn shape(&self, edges: &[Edge]) -> Shape {
        let shape = Shape::of(edges.iter().map(|edge| (edge.kind, self.only_reads(edge.from.operation))));
        let orders = edges.iter().flat_map(|edge| match &edge.because {
            Because::Overwrote { order, .. } | Because::MissedInRegister { order, .. } => order.as_slice(),
            _ => &[],
        });
        orders.fold(shape, |shape, later| match later.source {
            Source::Initial | Source::WroteAfterRead { .. } => shape,
            Source::SequentialKey { .. } => Shape { order: shape.order.max(Order::Process), by_keys: true, ..shape },
            Source::LinearizableKey { .. } => Shape { order: Order::RealTime, by_keys: true, ..shape },
        })
    }

    fn holds(&self, anomaly: &Anomaly) -> bool {
        match anomaly {
            Anomaly::GarbageRead { reader, key, value } => {
                self.reads(reader.operation, key).any(|list| list.contains(value)) && self.writer(key, value).is_none()
            }
            Anomaly::DuplicateElements { reader, key, element } => {
                let twice = |list: &Vec<Value>| list.iter().filter(|other| *other == element).count() > 1;
                self.reads(reader.operation, key).any(|list| twice(&list))
            }
            Anomaly::IncompatibleOrder { readers, key, lists } => {
                let shown = |at: usize| self.reads(readers[at].operation, key).any(|list| list == lists[at]);
                shown(0) && shown(1) && !lists[0].starts_with(&lists[1]) && !lists[1].starts_with(&lists[0])
            }
            Anomaly::Internal { who, .. } => self.contradicts_itself(&self.operations[who.operation]),
            Anomaly::FutureRead { who, key, value } => {
                let steps = steps(&self.operations[who.operation]);
                let of_key = |name: &str| {
                    let at = |[of, other, there]: &[Value; 3]| {
                        is(name, of) && other == key && self.elements(of, there).contains(value)
                    };
                    steps.iter().position(at)
                };
                let (read, written) = (of_key("r"), of_key("append").or(of_key("w")));
                read.unwrap() < written.unwrap()
            }
            Anomaly::G1a { reader, writer, key, value } => {
                self.operations[writer.operation].outcome() == Outcome::Fail
                    && self.writer(key, value) == Some(writer.operation)
                    && self.reads(reader.operation, key).any(|list| list.contains(value))
            }
            Anomaly::G1b { reader, writer, key, value } => {
                let later = self.appends(writer.operation, key).skip_while(|element| *element != value).nth(1);
                let seen = self.reads(reader.operation, key).any(|list| list.last() == Some(value));
                seen && later.is_some() && reader.operation != writer.operation
            }
            Anomaly::DirtyUpdate { failed, writer, key, value, next } => {
                self.operations[failed.operation].outcome() == Outcome::Fail
                    && self.operations[writer.operation].is_ok()
                    && self.writer(key, value) == Some(failed.operation)
                    && self.writer(key, next) == Some(writer.operation)
                    && self.is_before(key, value, next)
            }
            Anomaly::LostUpdate { writers, key, read } => writers.iter().all(|who| {
                let both = self.reads(who.operation, key).any(|list| list.last().unwrap_or(&self.nothing()) == read);
                both && self.appends(who.operation, key).next().is_some() && self.operations[who.operation].is_ok()
            }),
            Anomaly::FracturedRead { cycle, .. } => {
                let [saw, missed] = &cycle.edges[..] else { return false };
                saw.kind == Kind::WriteRead && missed.kind.is_anti_dependency() && self.is_cycle(cycle)
            }
            Anomaly::WriteConflict { key, cycle } => {
                let [one, two] = &cycle.edges[..] else { return false };
                let writes = |at: usize| micros(&self.operations[at]).any(|[name, of, _]| is_write(name) && of == key);
                self.is_cycle(cycle)
                    && [one, two].iter().all(|edge| edge.kind.is_anti_dependency() && writes(edge.from.operation))
            }
            Anomaly::Monotonic { cycle } => {
                let (saw, missed) = (&cycle.edges[0], &cycle.edges[1]);
                let kinds: Vec<Kind> = cycle.edges.iter().map(|edge| edge.kind).collect();
                let depends = |kind: &Kind| matches!(kind, Kind::WriteWrite | Kind::WriteRead);
                let places = self.places(saw.to.operation, &saw.because);
                let later = self.places(saw.to.operation, &missed.because);
                depends(&kinds[0])
                    && kinds[1].is_anti_dependency()
                    && kinds[2..].iter().all(depends)
                    && places.iter().any(|place| later.iter().any(|later| place <= later))
                    && self.is_cycle(cycle)
            }
            Anomaly::Cycle(cycle) => self.is_cycle(cycle),
            Anomaly::CyclicVersions { key, order } => {
                let next = |at: usize| &order[(at + 1) % order.len()].earlier;
                order.len() > 1
                    && (0..order.len()).all(|at| order[at].later == *next(at) && self.is_later(key, &order[at]))
            }
        }
    }

    fn is_cycle(&self, cycle: &Cycle) -> bool {
        let edges = &cycle.edges;
        let closed = (0..edges.len()).all(|at| edges[at].to == edges[(at + 1) % edges.len()].from);
        let sound = edges.iter().all(|edge| {
            let (from, to) = (edge.from.operation, edge.to.operation);
            self.happened(from) && self.happened(to) && self.follows(from, to, edge.kind, &edge.because)
        });
        closed && sound && edges.len() > 1 && cycle.shape == self.shape(edges)
    }

    fn only_reads(&self, at: usize) -> bool {
        micros(&self.operations[at]).all(|[name, ..]| !is_write(name))
    }

    /// The steps of a transaction that show this, and of a range, what it found, from 1, or that something is not there: 0.
    fn places(&self, at: usize, because: &Because) -> Vec<(usize, usize)> {
        let operation = &self.operations[at];
        let mut places = Vec::new();
        for (step, [name, of, value]) in micros(operation).enumerate() {
            let mut shows = |part: usize, key: &Value, found: &[Value]| {
                let is_there = match because {
                    Because::Appended { key: of, second, .. } => {
                        is_write(name) && key == of && found == [second.clone()]
                    }
                    Because::ReadList { key: of, element } => {
                        is("r", name) | (part > 0) && key == of && found.contains(element)
                    }
                    Because::ReadRegister { key: of, value } => !is_write(name) && key == of && found.contains(value),
                    Because::MissedInList { key: of, last, .. } => {
                        !is_write(name) && key == of && found.last().unwrap_or(&Value::Nil) == last
                    }
                    Because::MissedInRegister { key: of, read, .. } => {
                        !is_write(name) && key == of && found.last().unwrap_or(&self.initial) == read
                    }
                    _ => false,
                };
                if is_there {
                    places.push((step, part));
                }
            };
            if is("rr", name) {
                let pairs = value.as_list().unwrap();
                for (part, pair) in pairs.iter().enumerate() {
                    let pair = pair.as_list().unwrap();
                    shows(part + 1, &pair[0], &self.elements(name, &pair[1]));
                }
                if let Because::MissedInRange { low, high, .. } = because
                    && of.as_list() == Some(&[low.clone(), high.clone()])
                {
                    places.push((step, 0));
                }
            } else {
                shows(0, of, &self.elements(name, value));
            }
        }
        places
    }

    fn follows(&self, from: usize, to: usize, kind: Kind, because: &Because) -> bool {
        let [one, two] = [from, to].map(|at| &self.operations[at]);
        match (kind, because) {
            (Kind::WriteWrite, Because::Appended { key, first, second, shown_by }) => {
                self.writer(key, first) == Some(from)
                    && self.writer(key, second) == Some(to)
                    && match shown_by {
                        None => self.is_unread(key, second),
                        Some(reader) => {
                            let shows = |list: Vec<Value>| list.contains(first) && list.contains(second);
                            self.is_before(key, first, second) && self.reads(*reader, key).any(shows)
                        }
                    }
            }
            (Kind::WriteRead, Because::ReadList { key, element }) => {
                self.writer(key, element) == Some(from) && self.reads(to, key).any(|list| list.contains(element))
            }
            (Kind::ReadWrite, Because::MissedInList { key, last, next, unread }) => {
                let missed = |list: &Vec<Value>| list.last().unwrap_or(&Value::Nil) == last && !list.contains(next);
                let seen = last.is_nil() || self.is_before(key, last, next);
                self.reads(from, key).any(|list| missed(&list))
                    && self.writer(key, next) == Some(to)
                    && if *unread { self.is_unread(key, next) } else { seen && !self.is_unread(key, next) }
            }
            (Kind::PredicateReadWrite, Because::MissedInRange { key, low, high, next }) => {
                let looked = micros(one).any(|[name, range, pairs]| {
                    let is_there = || pairs.as_list().unwrap().iter().any(|pair| pair.as_list().unwrap()[0] == *key);
                    is("rr", name) && range.as_list() == Some(&[low.clone(), high.clone()]) && !is_there()
                });
                looked && low <= key && key <= high && self.writer(key, next) == Some(to)
            }
            (Kind::WriteRead, Because::ReadRegister { key, value }) => {
                self.writer(key, value) == Some(from) && self.values(to, key).any(|read| read == *value)
            }
            (Kind::WriteWrite, Because::Overwrote { key, first, second, order }) => {
                let ends = [&order[0].earlier, &order[order.len() - 1].later] == [first, second];
                let steps = order.iter().all(|later| self.is_later(key, later));
                ends && steps && self.writer(key, first) == Some(from) && self.writer(key, second) == Some(to)
            }
            (Kind::ReadWrite, Because::MissedInRegister { key, read, next, order }) => {
                let ends = [&order[0].earlier, &order[order.len() - 1].later] == [read, next];
                let steps = order.iter().all(|later| self.is_later(key, later));
                ends && steps
                    && self.values(from, key).any(|value| value == *read)
                    && self.writer(key, next) == Some(to)
            }
            (Kind::Process, Because::SameProcess) => {
                one.process == two.process && one.is_ok() && one.return_event().unwrap() < two.invoke_event
            }
            (Kind::RealTime, Because::RealTime) => one.is_ok() && one.return_event().unwrap() < two.invoke_event,
            _ => false,
        }
    }

    /// One version of a register comes after another.
    fn is_later(&self, key: &Value, later: &Later) -> bool {
        let meets = |at: usize, value: &Value| {
            self.appends(at, key).any(|written| written == value) || self.values(at, key).any(|read| read == *value)
        };
        match &later.source {
            Source::Initial => later.earlier == self.initial && later.later != self.initial,
            Source::WroteAfterRead { operation } => {
                let names: Vec<_> =
                    steps(&self.operations[*operation]).into_iter().filter(|[_, of, _]| of == key).collect();
                let read = names.iter().position(|[name, _, value]| is("r", name) && *value == later.earlier);
                let wrote = names.iter().position(|[name, _, value]| is("w", name) && *value == later.later);
                read.zip(wrote).is_some_and(|(read, wrote)| read < wrote)
            }
            Source::SequentialKey { operations: [one, two] } | Source::LinearizableKey { operations: [one, two] } => {
                let [first, second] = [*one, *two].map(|at| &self.operations[at]);
                let is_process = matches!(later.source, Source::SequentialKey { .. });
                let ordered = first.is_ok() && first.return_event().unwrap() < second.invoke_event;
                ordered
                    && (!is_process || first.process == second.process)
                    && meets(*one, &later.earlier)
                    && meets(*two, &later.later)
            }
        }
    }

    /// What a transaction that is ok read of a register.
    fn values(&self, at: usize, key: &Value) -> impl Iterator<Item = Value> {
        let operation = &self.operations[at];
        let found = micros(operation).filter(|_| operation.is_ok()).filter_map(|[name, of, value]| match () {
            () if is("r", name) && of == key => Some(value.clone()),
            () if is("rr", name) => {
                let mut pairs = value.as_list().unwrap().iter().map(|pair| pair.as_list().unwrap());
                pairs.find(|pair| pair[0] == *key).map(|pair| pair[1].clone())
            }
            () => None,
        });
        found.collect::<Vec<_>>().into_iter()
    }

    /// It is ok, or somebody saw what it wrote.
    fn happened(&self, at: usize) -> bool {
        let operation = &self.operations[at];
        let seen = || micros(operation).any(|[name, key, value]| is_write(name) && !self.is_unread(key, value));
        operation.is_ok() || operation.outcome() == Outcome::Unknown && seen()
    }

    /// All lists that a transaction which is ok read of a key.
    fn reads(&self, at: usize, key: &Value) -> impl Iterator<Item = Vec<Value>> {
        let operation = &self.operations[at];
        let found = micros(operation).filter(|_| operation.is_ok()).filter_map(|[name, of, value]| match () {
            () if is("r", name) && of == key => Some(self.elements(name, value)),
            () if is("rr", name) => {
                let mut pairs = value.as_list().unwrap().iter().map(|pair| pair.as_list().unwrap());
                pairs.find(|pair| pair[0] == *key).map(|pair| self.elements(name, &pair[1]))
            }
            () => None,
        });
        found.collect::<Vec<_>>().into_iter()
    }

    /// What a list has, or a register; what is appended or written.
    fn elements(&self, name: &Value, there: &Value) -> Vec<Value> {
        match there {
            there if *there == self.nothing() || there.is_nil() => Vec::new(),
            Value::List(list) if !self.is_registers && !is_write(name) => list.clone(),
            alone => vec![alone.clone()],
        }
    }

    /// What is there at first.
    fn nothing(&self) -> Value {
        if self.is_registers { self.initial.clone() } else { Value::Nil }
    }

    fn appends(&self, at: usize, key: &Value) -> impl Iterator<Item = &Value> {
        let micros = micros(&self.operations[at]).filter(move |[name, of, _]| is_write(name) && *of == key);
        micros.map(|[.., value]| value)
    }

    fn writer(&self, key: &Value, element: &Value) -> Option<usize> {
        (0..self.operations.len()).find(|at| self.appends(*at, key).any(|other| other == element))
    }

    fn lists(&self, key: &Value) -> impl Iterator<Item = Vec<Value>> {
        (0..self.operations.len()).flat_map(move |at| self.reads(at, key))
    }

    fn is_unread(&self, key: &Value, element: &Value) -> bool {
        let is_value = |at: usize| self.values(at, key).any(|value| value == *element);
        self.lists(key).all(|list| !list.contains(element)) && !(0..self.operations.len()).any(is_value)
    }

    /// Some read shows the one before the other.
    fn is_before(&self, key: &Value, one: &Value, two: &Value) -> bool {
        self.lists(key).any(|list| {
            let place = |element: &Value| list.iter().position(|other| other == element);
            place(one).zip(place(two)).is_some_and(|(one, two)| one < two)
        })
    }

    /// Some read is not what the transaction had read and appended before.
    fn contradicts_itself(&self, operation: &Operation<'_>) -> bool {
        let all = steps(operation);
        (0..all.len()).any(|at| {
            let [name, key, value] = &all[at];
            let (mut known, mut own) = (None, Vec::new());
            for [name, _, value] in all[..at].iter().filter(|[_, of, _]| of == key) {
                if is("append", name) {
                    own.push(value.clone());
                } else {
                    (known, own) = (Some(self.elements(name, value)), Vec::new());
                }
            }
            let found = self.elements(name, value);
            is("r", name)
                && match known {
                    Some(known) => found != [known, own].concat(),
                    None => !found.ends_with(&own),
                }
        })
    }
}

/// What a transaction did, key by key.
fn steps(operation: &Operation<'_>) -> Vec<[Value; 3]> {
    micros(operation).flat_map(each_key).collect()
}

fn is(wanted: &str, name: &Value) -> bool {
    name.as_text() == Some(wanted)
}

fn is_write(name: &Value) -> bool {
    is("append", name) || is("w", name)
}
