//! Two of Adya's levels by their own definitions: every cycle of a small history's serialization graph is tried.
//!
//! Of histories of lists in which a last transaction reads all, so that the order of versions is known.

use proptest::prelude::*;
use tenet_checker::isolation::{Anomaly, Kind, Level, Options, check_lists};
use tenet_histories::{Completion, History, Operation, Value};

use crate::brute_force::micros;
use crate::small::{append, call, history_of, list_history, plans, read};
use crate::verify::verify;

/// A dependency, and where it touches the transaction that reads or overwrites: its step, and in a range what it found.
struct Dependency {
    from: usize,
    to: usize,
    kind: Kind,
    place: (usize, usize),
}

struct Serialization<'a> {
    operations: &'a [Operation<'a>],
    /// Of each key.
    orders: Vec<Vec<Value>>,
    edges: Vec<Dependency>,
}

fn is_append(micro: &[&Value; 3]) -> bool {
    micro[0].as_text() == Some("append")
}

impl<'a> Serialization<'a> {
    fn new(operations: &'a [Operation<'a>]) -> Serialization<'a> {
        let last: Vec<_> = micros(&operations[operations.len() - 1]).collect();
        let orders = last.iter().map(|[.., list]| list.as_list().unwrap().to_vec()).collect();
        let mut graph = Serialization { operations, orders, edges: Vec::new() };
        for (at, operation) in operations.iter().enumerate() {
            if !operation.is_ok() {
                // Seen or not, it wrote if its elements are there, and read nothing that anybody knows.
                for (step, [_, key, element]) in micros(operation).enumerate().filter(|(_, micro)| is_append(micro)) {
                    graph.appended(at, (step, 0), key, element);
                }
                continue;
            }
            for (step, micro) in micros(operation).enumerate() {
                let [name, key, value] = micro;
                match name.as_text().unwrap() {
                    "append" => graph.appended(at, (step, 0), key, value),
                    "r" => graph.read(at, (step, 0), key, value.as_list().unwrap()),
                    _ => {
                        let pairs: Vec<&[Value]> =
                            value.as_list().unwrap().iter().map(|pair| pair.as_list().unwrap()).collect();
                        for (part, pair) in pairs.iter().enumerate() {
                            graph.read(at, (step, part + 1), &pair[0], pair[1].as_list().unwrap());
                        }
                        let keys = (0..graph.orders.len() as i64).map(Value::from);
                        for key in keys.filter(|key| !pairs.iter().any(|pair| pair[0] == *key)) {
                            graph.missed(at, (step, 0), &key, 0, Kind::PredicateReadWrite);
                        }
                    }
                }
            }
        }
        graph
    }

    fn order(&self, key: &Value) -> &[Value] {
        &self.orders[key.as_int().unwrap() as usize]
    }

    fn writer(&self, key: &Value, element: &Value) -> usize {
        let wrote = |operation: &Operation<'_>| {
            micros(operation).any(|micro| is_append(&micro) && micro[1] == key && micro[2] == element)
        };
        self.operations.iter().position(wrote).unwrap()
    }

    fn add(&mut self, from: usize, to: usize, kind: Kind, place: (usize, usize)) {
        if from != to {
            self.edges.push(Dependency { from, to, kind, place });
        }
    }

    fn appended(&mut self, at: usize, place: (usize, usize), key: &Value, element: &Value) {
        let Some(position) = self.order(key).iter().position(|other| other == element) else { return };
        if position > 0 {
            let before = self.writer(key, &self.order(key)[position - 1].clone());
            self.add(before, at, Kind::WriteWrite, place);
        }
    }

    fn read(&mut self, at: usize, place: (usize, usize), key: &Value, list: &[Value]) {
        // What it appended itself stands on what it saw of others.
        let of_others = list.iter().rev().map(|element| self.writer(key, element)).find(|writer| *writer != at);
        if let Some(writer) = of_others {
            self.add(writer, at, Kind::WriteRead, place);
        }
        self.missed(at, place, key, list.len(), Kind::ReadWrite);
    }

    fn missed(&mut self, at: usize, place: (usize, usize), key: &Value, length: usize, kind: Kind) {
        if let Some(next) = self.order(key).get(length).cloned() {
            self.add(at, self.writer(key, &next), kind, place);
        }
    }

    /// Which transactions each one reaches over some dependencies, itself only by a cycle.
    fn reach(&self, is_one: impl Fn(&Dependency) -> bool) -> Vec<Vec<bool>> {
        let count = self.operations.len();
        let mut reach = vec![vec![false; count]; count];
        self.edges.iter().filter(|edge| is_one(edge)).for_each(|edge| reach[edge.from][edge.to] = true);
        for middle in 0..count {
            for from in 0..count {
                for to in 0..count {
                    reach[from][to] |= reach[from][middle] && reach[middle][to];
                }
            }
        }
        reach
    }

    /// G-update.
    fn has_update_cycle(&self) -> bool {
        let only_reads = |at: usize| !micros(&self.operations[at]).any(|micro| is_append(&micro));
        (0..self.operations.len()).any(|reader| {
            let is_in = |at: usize| at == reader || !only_reads(at);
            let reach = self.reach(|edge| is_in(edge.from) && is_in(edge.to));
            (0..self.operations.len()).any(|at| reach[at][at])
        })
    }

    /// G-monotonic.
    fn has_step_back(&self) -> bool {
        let reach = self.reach(|edge| !edge.kind.is_anti_dependency());
        self.edges.iter().filter(|missed| missed.kind.is_anti_dependency()).any(|missed| {
            let saw = self.edges.iter().filter(|saw| !saw.kind.is_anti_dependency() && saw.to == missed.from);
            saw.filter(|saw| saw.place <= missed.place).any(|saw| saw.from == missed.to || reach[missed.to][saw.from])
        })
    }

    fn has_dependency_cycle(&self) -> bool {
        let reach = self.reach(|edge| !edge.kind.is_anti_dependency());
        (0..self.operations.len()).any(|at| reach[at][at])
    }
}

/// All that is wrong with it are its cycles.
fn is_about_cycles(history: &History, anomalies: &[Anomaly]) -> bool {
    let is_cycle = |anomaly: &Anomaly| {
        matches!(
            anomaly,
            Anomaly::Cycle(_)
                | Anomaly::LostUpdate { .. }
                | Anomaly::FracturedRead { .. }
                | Anomaly::Monotonic { .. }
                | Anomaly::Internal { .. }
        )
    };
    let operations = history.operations().unwrap();
    let last: Vec<[&Value; 3]> = micros(&operations[operations.len() - 1]).collect();
    let is_read = |micro: &[&Value; 3]| {
        last.iter().any(|[_, key, list]| *key == micro[1] && list.as_list().unwrap().contains(micro[2]))
    };
    let all_is_read = operations
        .iter()
        .filter(|operation| operation.is_ok())
        .all(|operation| micros(operation).filter(is_append).all(|micro| is_read(&micro)));
    all_is_read && anomalies.iter().all(is_cycle)
}

/// Transactions that read any beginning of lists that are in any order: most have cycles. Of each key the order in which its
/// elements are put, and of each transaction its steps: whether it appends, to which key, and how much it reads.
fn chaos() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Vec<(bool, i64, usize)>>)> {
    let orders = prop::collection::vec(prop::collection::vec(any::<u8>(), 5), CHAOS_KEYS as usize);
    let steps = prop::collection::vec((any::<bool>(), 0..=CHAOS_KEYS, 0usize..6), 1..4);
    (orders, prop::collection::vec(steps, 2..6))
}

const CHAOS_KEYS: i64 = 3;

fn chaotic(orders: &[Vec<u8>], transactions: &[Vec<(bool, i64, usize)>]) -> History {
    let mut lists = vec![Vec::<i64>::new(); CHAOS_KEYS as usize];
    for (number, steps) in transactions.iter().enumerate() {
        // Once per key: the elements of a key are the numbers of transactions.
        for (_, key, _) in steps.iter().filter(|(appends, key, _)| *appends && *key < CHAOS_KEYS) {
            let list = &mut lists[*key as usize];
            if !list.contains(&(number as i64)) {
                list.push(number as i64);
            }
        }
    }
    for (list, order) in lists.iter_mut().zip(orders) {
        list.sort_by_key(|element| order[*element as usize % order.len()]);
    }
    let begin = |key: i64, count: usize| -> Vec<i64> {
        let list = &lists[key as usize];
        list[..count.min(list.len())].to_vec()
    };
    let mut calls = Vec::new();
    for (number, steps) in transactions.iter().enumerate() {
        let (mut asked, mut answered, mut wrote) = (Vec::new(), Vec::new(), Vec::new());
        for (appends, key, count) in steps {
            if *key == CHAOS_KEYS {
                let range = Value::from(vec![0, CHAOS_KEYS - 1]);
                let lists = (0..CHAOS_KEYS).map(|key| (key, begin(key, *count))).filter(|(_, list)| !list.is_empty());
                let pairs: Vec<Value> = lists.map(|(key, list)| Value::List(vec![key.into(), list.into()])).collect();
                asked.push(Value::List(vec!["rr".into(), range.clone(), Value::Nil]));
                answered.push(Value::List(vec!["rr".into(), range, Value::List(pairs)]));
            } else if !*appends {
                asked.push(read(*key, Value::Nil));
                answered.push(read(*key, begin(*key, *count).into()));
            } else if !wrote.contains(key) {
                wrote.push(*key);
                asked.push(append(*key, number as i64));
                answered.push(append(*key, number as i64));
            }
        }
        calls.push((call(asked), Completion::ok(Value::List(answered))));
    }
    let asked = (0..CHAOS_KEYS).map(|key| read(key, Value::Nil)).collect();
    let answered = (0..CHAOS_KEYS).map(|key| read(key, begin(key, usize::MAX).into())).collect();
    let count = calls.len();
    calls.push((call(asked), Completion::ok(Value::List(answered))));
    let shuffle: Vec<usize> = (0..count).chain(0..count).chain([count, count]).collect();
    history_of(&shuffle, &calls)
}

fn check(history: &History) -> Result<(), TestCaseError> {
    let report = check_lists(history, &Options::default()).unwrap();
    verify(history, &report);
    if !is_about_cycles(history, &report.anomalies) {
        return Ok(());
    }
    let operations = history.operations().unwrap();
    let graph = Serialization::new(&operations);
    let out = report.ruled_out();
    let steps_back = graph.has_dependency_cycle() || graph.has_step_back();
    prop_assert_eq!(out.contains(&Level::UpdateSerializable), graph.has_update_cycle(), "{}", report);
    prop_assert_eq!(out.contains(&Level::MonotonicView), steps_back, "{}", report);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn two_levels_are_what_adya_says((shuffle, plans) in plans()) {
        check(&list_history(&shuffle, &plans, true))?;
    }

    #[test]
    fn two_levels_are_what_adya_says_of_chaos((orders, transactions) in chaos()) {
        check(&chaotic(&orders, &transactions))?;
    }
}

/// Cycles that update serializability allows are many and short; the one that it forbids is the longest.
#[test]
fn the_one_cycle_of_updates_is_found_behind_many_others() {
    let cycle = |reader: bool| {
        let mut transactions = Vec::new();
        for fork in 0..200i64 {
            let [x, y] = [1000 + 2 * fork, 1001 + 2 * fork];
            transactions.push(vec![append(x, 1)]);
            transactions.push(vec![append(y, 1)]);
            transactions.push(vec![read(x, vec![1].into()), read(y, Value::Nil)]);
            transactions.push(vec![read(y, vec![1].into()), read(x, Value::Nil)]);
        }
        // Each read from the one before, but for two that missed something: the next one, and the first one.
        transactions.push(vec![append(0, 1)]);
        for number in 1..6 {
            transactions.push(vec![read(number - 1, vec![1].into()), append(number, 1)]);
        }
        transactions.push(vec![read(5, vec![1].into()), read(6, Value::Nil)]);
        if !reader {
            transactions.last_mut().unwrap().push(append(8, 1));
        }
        transactions.push(vec![append(6, 1), append(7, 1)]);
        transactions.push(vec![read(7, vec![1].into()), read(0, Value::Nil), append(9, 1)]);
        let calls: Vec<_> = transactions
            .into_iter()
            .map(|micros| (call(micros.clone()), Completion::ok(Value::List(micros))))
            .collect();
        let count = calls.len();
        let history = history_of(&(0..count).chain(0..count).collect::<Vec<_>>(), &calls);
        let report = check_lists(&history, &Options::default()).unwrap();
        verify(&history, &report);
        report
    };
    for reader in [true, false] {
        let report = cycle(reader);
        assert!(report.ruled_out().contains(&Level::UpdateSerializable), "{report}");
        let is_it = |anomaly: &&Anomaly| anomaly.rules_out(Level::UpdateSerializable);
        let found: Vec<&Anomaly> = report.anomalies.iter().filter(is_it).collect();
        assert_eq!(found[0].cycle().unwrap().edges.len(), 9, "{report}");
    }
}
