//! Oracle `lists`: transactions that append to lists and read them are strictly serializable. After Elle (Kingsbury and
//! Alvaro, VLDB 2020): elements are unique and lists only grow, so the longest list read of a key is its order of appends.
//!
//! First what needs no graph, in words of its own:
//!  - *internal*: a transaction sees its own appends, and the same list twice.
//!  - *from nowhere*, *aborted (G1a)*, *intermediate (G1b)*, *twice*: a list has only whole, committed appends, once each.
//!  - *incompatible orders*: of two lists of a key, one is a prefix of the other.
//!  - *lost*, *stale*: a read has what was acknowledged before it began.
//!
//! Then the graph: ww from each append to the next, wr from an append to a read that ends with it, rw from a read to the
//! append that follows what it read, real time between what returned and what was invoked after. A cycle is an anomaly.
//!
//! An unknown transaction takes part once a read shows one of its appends: then it has happened, all of it.

use std::collections::{BTreeMap, BTreeSet};

use tenet_histories::{History, Operation, Outcome, Value, functions};

use crate::graph::{Cycle, Graph, Kind};
use crate::shape::{Micro, micros, misshapen, stranger, who};
use crate::verdict::time;
use crate::{CheckError, Oracle, Verdict};

/// A transaction: what it did, as far as was answered.
struct Transaction<'h> {
    operation: Operation<'h>,
    micros: Vec<Micro<'h>>,
}

/// One append, by the numbers of its transaction and of its key's appends within that transaction.
#[derive(Clone, Copy)]
struct Append {
    transaction: usize,
    /// The transaction appends more to this key afterwards.
    followed: bool,
}

/// All that is known of one key.
#[derive(Default)]
struct Key<'h> {
    appends: BTreeMap<i64, Append>,
    /// Reads by transactions that are ok, in order of invocation.
    reads: Vec<(usize, &'h [Value])>,
    /// The longest list read.
    order: &'h [Value],
}

/// What two transactions have to do with each other.
#[derive(Clone, Debug)]
enum Why<'h> {
    /// The key, the first's element, the second's element.
    Next(&'h Value, i64, i64),
    /// The key and the element.
    Saw(&'h Value, i64),
    /// The key and the element.
    Missed(&'h Value, i64),
    Before,
}

type Keys<'h> = BTreeMap<&'h Value, Key<'h>>;

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let transactions = transactions(history)?;
    if let Some(verdict) = internal(&transactions) {
        return Ok(verdict);
    }
    let keys = collect(&transactions)?;
    for (name, key) in &keys {
        let check = KeyCheck { name, key, transactions: &transactions };
        if let Some(verdict) = check.elements().or_else(|| check.prefixes()).or_else(|| check.lost_or_stale()) {
            return Ok(verdict);
        }
    }
    let graph = graph(&transactions, &keys);
    Ok(match graph.find_cycle() {
        None => Verdict::valid(Oracle::Lists),
        Some(cycle) => explain(&transactions, &cycle),
    })
}

fn transactions(history: &History) -> Result<Vec<Transaction<'_>>, CheckError> {
    let operations = history.operations()?;
    operations.into_iter().map(transaction).collect()
}

fn transaction(operation: Operation<'_>) -> Result<Transaction<'_>, CheckError> {
    if operation.call.function != functions::TRANSACTION {
        return Err(stranger(&operation, "txn"));
    }
    // What was asked for is what it appended, if nothing was answered.
    let said = if operation.is_ok() { operation.answer() } else { &operation.call.value };
    Ok(Transaction { operation, micros: micros(&operation, said)? })
}

fn invalid(explanation: String, transactions: &[&Transaction<'_>]) -> Option<Verdict> {
    let operations = transactions.iter().map(|transaction| transaction.operation.index).collect();
    Some(Verdict::invalid(Oracle::Lists, explanation, operations))
}

fn internal(transactions: &[Transaction<'_>]) -> Option<Verdict> {
    for transaction in transactions.iter().filter(|transaction| transaction.operation.is_ok()) {
        // Of each key: the list it must read now, or, before the first read, its end.
        let mut known: BTreeMap<&Value, (bool, Vec<Value>)> = BTreeMap::new();
        for micro in &transaction.micros {
            let (is_whole, expected) = known.entry(micro.key()).or_default();
            match micro {
                Micro::Append { element, .. } => expected.push(Value::Int(*element)),
                Micro::Read { key, list } => {
                    let list = list.unwrap_or_default();
                    let agrees = if *is_whole { list == &expected[..] } else { list.ends_with(expected) };
                    if !agrees {
                        let must = if *is_whole { "expected" } else { "expected at its end" };
                        let explanation = format!(
                            "internal: {} read {} of list {key}, {must} {}, by what it had itself read and appended",
                            who(&transaction.operation),
                            Value::List(list.to_vec()),
                            Value::List(expected.clone())
                        );
                        return invalid(explanation, &[transaction]);
                    }
                    (*is_whole, *expected) = (true, list.to_vec());
                }
            }
        }
    }
    None
}

fn collect<'h>(transactions: &[Transaction<'h>]) -> Result<Keys<'h>, CheckError> {
    let mut keys = Keys::new();
    for (number, Transaction { operation, micros }) in transactions.iter().enumerate() {
        let mut last: BTreeMap<&Value, i64> = BTreeMap::new();
        for micro in micros {
            let key = keys.entry(micro.key()).or_default();
            match *micro {
                Micro::Append { key: name, element } => {
                    if let Some(earlier) = last.insert(name, element)
                        && let Some(append) = key.appends.get_mut(&earlier)
                    {
                        append.followed = true;
                    }
                    let append = Append { transaction: number, followed: false };
                    if key.appends.insert(element, append).is_some() {
                        return Err(misshapen(operation, &operation.call.value, "each element appended once to a key"));
                    }
                }
                Micro::Read { list: Some(list), .. } if operation.is_ok() => {
                    if let Some(element) = list.iter().find(|element| element.as_int().is_none()) {
                        return Err(misshapen(operation, element, "integers in a list"));
                    }
                    key.reads.push((number, list));
                    if list.len() > key.order.len() {
                        key.order = list;
                    }
                }
                Micro::Read { .. } => {}
            }
        }
    }
    Ok(keys)
}

struct KeyCheck<'a, 'h> {
    name: &'h Value,
    key: &'a Key<'h>,
    transactions: &'a [Transaction<'h>],
}

impl KeyCheck<'_, '_> {
    /// Each element read was appended by a transaction that may have committed, once, and is not left half-way.
    fn elements(&self) -> Option<Verdict> {
        for &(reader, list) in &self.key.reads {
            let mut seen = BTreeMap::new();
            let reader = &self.transactions[reader];
            let read =
                || format!("{} read {} of list {}", who(&reader.operation), Value::List(list.to_vec()), self.name);
            for (place, element) in list.iter().filter_map(Value::as_int).enumerate() {
                let Some(append) = self.key.appends.get(&element) else {
                    return invalid(format!("from nowhere: {}, but nobody appended {element}", read()), &[reader]);
                };
                let appender = &self.transactions[append.transaction];
                if seen.insert(element, place).is_some() {
                    let who = who(&appender.operation);
                    return invalid(
                        format!("twice: {}, but {who} appended {element} once", read()),
                        &[reader, appender],
                    );
                }
                if appender.operation.outcome() == Outcome::Fail {
                    let who = who(&appender.operation);
                    let explanation = format!("aborted (G1a): {}, but {who}, which appended {element}, failed", read());
                    return invalid(explanation, &[reader, appender]);
                }
            }
            let last = list.last().and_then(Value::as_int).and_then(|last| self.key.appends.get(&last));
            if let Some(append) = last
                && append.followed
                && self.transactions[append.transaction].operation.index != reader.operation.index
            {
                let appender = &self.transactions[append.transaction];
                let explanation =
                    format!("intermediate (G1b): {}, but {} appended more to it", read(), who(&appender.operation));
                return invalid(explanation, &[reader, appender]);
            }
        }
        None
    }

    fn prefixes(&self) -> Option<Verdict> {
        let (number, list) = self.key.reads.iter().find(|(_, list)| !self.key.order.starts_with(list))?;
        let (longest, _) = self.key.reads.iter().find(|(_, list)| list.len() == self.key.order.len())?;
        let (reader, longest) = (&self.transactions[*number], &self.transactions[*longest]);
        let explanation = format!(
            "incompatible orders: {} read {} of list {}, which does not begin {}, as {} read it",
            who(&reader.operation),
            Value::List(list.to_vec()),
            self.name,
            Value::List(self.key.order.to_vec()),
            who(&longest.operation)
        );
        invalid(explanation, &[reader, longest])
    }

    /// In real order: what has been acknowledged, and whether each read begun after has it.
    fn lost_or_stale(&self) -> Option<Verdict> {
        let places: BTreeMap<i64, usize> = self
            .key
            .order
            .iter()
            .filter_map(Value::as_int)
            .enumerate()
            .map(|(place, element)| (element, place))
            .collect();
        // Returned appends, by position, and how long a list must at least be to have each; None: no list has it.
        let mut returned: Vec<(usize, Option<usize>, usize, i64)> = Vec::new();
        for (element, append) in &self.key.appends {
            let operation = &self.transactions[append.transaction].operation;
            if let (Outcome::Ok, Some(position)) = (operation.outcome(), operation.return_event()) {
                returned.push((position, places.get(element).map(|place| place + 1), append.transaction, *element));
            }
        }
        returned.sort_unstable();
        let mut due: Option<(usize, usize, i64)> = None;
        let mut next = 0;
        for &(reader, list) in &self.key.reads {
            let invoked = self.transactions[reader].operation.invoke_event;
            while let Some((position, length, appender, element)) = returned.get(next).copied()
                && position < invoked
            {
                next += 1;
                let length = length.unwrap_or(usize::MAX);
                if due.is_none_or(|(most, ..)| length > most) {
                    due = Some((length, appender, element));
                }
            }
            let Some((length, appender, element)) = due.filter(|(length, ..)| *length > list.len()) else { continue };
            let (reader, appender) = (&self.transactions[reader], &self.transactions[appender]);
            let (name, fate) =
                if length == usize::MAX { ("lost", "no read ever shows it") } else { ("stale", "other reads show it") };
            let explanation = format!(
                "{name}: {} appended {element} to list {} and was acknowledged; later {} read {}; {fate}",
                who(&appender.operation),
                self.name,
                who(&reader.operation),
                Value::List(list.to_vec())
            );
            return invalid(explanation, &[appender, reader]);
        }
        None
    }
}

fn graph<'h>(transactions: &[Transaction<'h>], keys: &Keys<'h>) -> Graph<Why<'h>> {
    let mut graph = Graph::new(transactions.len());
    // A transaction happened if it is ok or one of its appends was read.
    let mut happened: Vec<bool> = transactions.iter().map(|transaction| transaction.operation.is_ok()).collect();
    for key in keys.values() {
        for element in key.order.iter().filter_map(Value::as_int) {
            happened[key.appends[&element].transaction] = true;
        }
    }
    for (name, key) in keys {
        let order: Vec<i64> = key.order.iter().filter_map(Value::as_int).collect();
        let read: BTreeSet<i64> = order.iter().copied().collect();
        let appender = |element: i64| key.appends[&element].transaction;
        for pair in order.windows(2) {
            graph.add(appender(pair[0]), appender(pair[1]), Kind::WriteWrite, Why::Next(name, pair[0], pair[1]));
        }
        // Appends that happened and that no read shows come after all that was read.
        let unread: Vec<(i64, usize)> = key
            .appends
            .iter()
            .filter(|(element, append)| happened[append.transaction] && !read.contains(element))
            .map(|(element, append)| (*element, append.transaction))
            .collect();
        if let Some(last) = order.last() {
            for (element, transaction) in &unread {
                graph.add(appender(*last), *transaction, Kind::WriteWrite, Why::Next(name, *last, *element));
            }
        }
        for &(reader, list) in &key.reads {
            // What it read of others: its own appends are at the end, if it read after appending.
            let mut others = list.iter().filter_map(Value::as_int).filter(|element| appender(*element) != reader);
            if let Some(last) = others.next_back() {
                graph.add(appender(last), reader, Kind::WriteRead, Why::Saw(name, last));
            }
            match order.get(list.len()) {
                Some(next) => graph.add(reader, appender(*next), Kind::ReadWrite, Why::Missed(name, *next)),
                None => {
                    for (element, transaction) in &unread {
                        graph.add(reader, *transaction, Kind::ReadWrite, Why::Missed(name, *element));
                    }
                }
            }
        }
    }
    add_real_time(transactions, &happened, &mut graph);
    graph
}

/// Edges from each transaction that has returned to each invoked later, except where others imply them.
fn add_real_time<'h>(transactions: &[Transaction<'h>], happened: &[bool], graph: &mut Graph<Why<'h>>) {
    let mut events: Vec<(usize, bool, usize)> = Vec::new();
    for (number, transaction) in transactions.iter().enumerate().filter(|(number, _)| happened[*number]) {
        events.push((transaction.operation.invoke_event, false, number));
        if let Some(returned) = transaction.operation.return_event() {
            events.push((returned, true, number));
        }
    }
    events.sort_unstable();
    // Those that have returned and that no other that has returned was invoked after.
    let mut latest: Vec<usize> = Vec::new();
    for (_, is_return, number) in events {
        if is_return {
            let invoked = transactions[number].operation.invoke_event;
            latest.retain(|other| transactions[*other].operation.return_event().is_some_and(|end| end > invoked));
            latest.push(number);
        } else {
            latest.iter().for_each(|earlier| graph.add(*earlier, number, Kind::RealTime, Why::Before));
        }
    }
}

fn explain(transactions: &[Transaction<'_>], cycle: &Cycle<'_, Why<'_>>) -> Verdict {
    let mut explanation = format!("{}: these transactions cannot be put in any order", cycle.name);
    for (from, edge) in &cycle.steps {
        let (first, second) = (&transactions[*from].operation, &transactions[edge.to].operation);
        let (a, b) = (who(first), second.index);
        let reason = match &edge.why {
            Why::Next(key, one, two) => {
                format!("{a} appended {one} to list {key} and operation {b} appended {two} after it")
            }
            Why::Saw(key, element) => format!("{a} appended {element} to list {key} and operation {b} read it"),
            Why::Missed(key, element) => {
                format!("{a} read list {key} without {element}, which operation {b} appended")
            }
            Why::Before => {
                let end = first.completed.map_or(first.invoke_ns, |completed| completed.time_ns);
                format!("{a} returned at {}, before operation {b} was invoked at {}", time(end), time(second.invoke_ns))
            }
        };
        explanation += &format!("\n  {reason}, so {} comes before {b}", first.index);
    }
    let operations = cycle.steps.iter().map(|(node, _)| transactions[*node].operation.index).collect();
    Verdict::invalid(Oracle::Lists, explanation, operations)
}
