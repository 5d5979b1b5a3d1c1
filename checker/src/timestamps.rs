//! Oracle `timestamps`: what the database says of its own order agrees with what its clients saw.
//!
//! Only where a history carries timestamps; an operation without any is passed over. Checked:
//!  - a commit comes after its own snapshot, and no two commits have one timestamp;
//!  - real time: what is invoked after an operation has returned reads at or above what that one read or committed, and
//!    commits above both;
//!  - lists: a read has exactly the elements whose commits are at or below its snapshot, of those whose commits are known.

use std::collections::BTreeMap;

use tenet_histories::{History, Operation, Value, functions, workloads};

use crate::shape::{Micro, micros, who};
use crate::{CheckError, Oracle, Verdict};

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let operations = history.operations()?;
    let stamped: Vec<Stamped<'_, '_>> = operations.iter().filter_map(Stamped::of).collect();
    let mut problem = own_order(&stamped).or_else(|| real_time(&stamped));
    if problem.is_none() && history.header.workload == workloads::LIST_APPEND {
        problem = lists(&stamped)?;
    }
    Ok(match problem {
        None => Verdict::valid(Oracle::Timestamps),
        Some((explanation, operations)) => Verdict::invalid(Oracle::Timestamps, explanation, operations),
    })
}

type Problem = (String, Vec<usize>);

/// An operation that was ok, with what the database says of it.
#[derive(Clone, Copy)]
struct Stamped<'a, 'h> {
    operation: &'a Operation<'h>,
    returned: usize,
    read: Option<u64>,
    commit: Option<u64>,
}

impl<'a, 'h> Stamped<'a, 'h> {
    fn of(operation: &'a Operation<'h>) -> Option<Stamped<'a, 'h>> {
        let completed = operation.completed.filter(|_| operation.is_ok())?;
        let (read, commit) = (completed.completion.read_timestamp, completed.completion.commit_timestamp);
        (read.is_some() || commit.is_some()).then_some(Stamped { operation, returned: completed.event, read, commit })
    }
}

fn own_order(stamped: &[Stamped<'_, '_>]) -> Option<Problem> {
    let mut commits: BTreeMap<u64, &Operation<'_>> = BTreeMap::new();
    for Stamped { operation, read, commit, .. } in stamped {
        let Some(commit) = commit else { continue };
        if let Some(read) = read
            && read >= commit
        {
            let problem = format!("{} committed at {commit}, not above its own snapshot {read}", who(operation));
            return Some((problem, vec![operation.index]));
        }
        if let Some(other) = commits.insert(*commit, operation) {
            let problem = format!("{} and {} both committed at {commit}", who(other), who(operation));
            return Some((problem, vec![other.index, operation.index]));
        }
    }
    None
}

/// A sweep in real order, with the highest snapshot and the highest commit of all that has returned.
fn real_time(stamped: &[Stamped<'_, '_>]) -> Option<Problem> {
    let mut events: Vec<(usize, bool, usize)> = Vec::new();
    for (number, stamped) in stamped.iter().enumerate() {
        events.push((stamped.operation.invoke_event, false, number));
        events.push((stamped.returned, true, number));
    }
    events.sort_unstable();
    let mut top_read: Option<(u64, usize)> = None;
    let mut top_commit: Option<(u64, usize)> = None;
    // What had returned when each operation was invoked.
    let mut before = vec![(None, None); stamped.len()];
    for (_, is_return, number) in events {
        let Stamped { operation, read, commit, .. } = stamped[number];
        if !is_return {
            before[number] = (top_read, top_commit);
            continue;
        }
        let (read_before, commit_before) = before[number];
        let late = |what: &str, mine: u64, does: &str, (theirs, other): (u64, usize)| {
            let other = stamped[other].operation;
            let problem = format!(
                "{} {what} at {mine}, though {} had returned before and {does} at {theirs}",
                who(operation),
                who(other)
            );
            Some((problem, vec![other.index, operation.index]))
        };
        let clashes = [
            (commit, "committed", read_before, "read", true),
            (commit, "committed", commit_before, "committed", true),
            (read, "read", read_before, "read", false),
            (read, "read", commit_before, "committed", false),
        ];
        for (mine, what, theirs, does, strictly) in clashes {
            if let (Some(mine), Some(theirs)) = (mine, theirs)
                && (mine < theirs.0 || strictly && mine == theirs.0)
            {
                return late(what, mine, does, theirs);
            }
        }
        top_read = top_read.max(read.map(|read| (read, number)));
        top_commit = top_commit.max(commit.map(|commit| (commit, number)));
    }
    None
}

fn lists(stamped: &[Stamped<'_, '_>]) -> Result<Option<Problem>, CheckError> {
    let mut commits: BTreeMap<(&Value, i64), (u64, &Operation<'_>)> = BTreeMap::new();
    let mut keys: BTreeMap<&Value, Vec<(u64, i64, &Operation<'_>)>> = BTreeMap::new();
    for Stamped { operation, commit, .. } in stamped {
        let (Some(commit), functions::TRANSACTION) = (commit, operation.call.function.as_ref()) else { continue };
        for micro in micros(operation, &operation.call.value)? {
            if let Micro::Append { key, element } = micro {
                commits.insert((key, element), (*commit, operation));
                keys.entry(key).or_default().push((*commit, element, operation));
            }
        }
    }
    // Stable: appends of one transaction keep their order.
    keys.values_mut().for_each(|appends| appends.sort_by_key(|(commit, ..)| *commit));

    for Stamped { operation, read, .. } in stamped {
        let (Some(read), functions::TRANSACTION) = (*read, operation.call.function.as_ref()) else { continue };
        for micro in micros(operation, operation.answer())? {
            let Micro::Read { key, list: Some(list) } = micro else { continue };
            let known: Vec<(u64, i64)> = list
                .iter()
                .filter_map(Value::as_int)
                .filter_map(|element| Some((commits.get(&(key, element))?, element)))
                .filter(|((_, appender), _)| appender.index != operation.index)
                .map(|((commit, _), element)| (*commit, element))
                .collect();
            let expected = keys.get(key).map_or(&[][..], Vec::as_slice).iter();
            let expected: Vec<(u64, i64)> = expected
                .take_while(|(commit, ..)| *commit <= read)
                .filter(|(.., appender)| appender.index != operation.index)
                .map(|(commit, element, _)| (*commit, *element))
                .collect();
            if known == expected {
                continue;
            }
            let place =
                known.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(known.len().min(expected.len()));
            let found = known.get(place).map_or("nothing more".to_string(), |(c, e)| format!("{e}, committed at {c}"));
            let due = expected.get(place).map_or("nothing more".to_string(), |(c, e)| format!("{e}, committed at {c}"));
            let problem = format!("{} read list {key} at {read} and found {found}, expected {due}", who(operation));
            return Ok(Some((problem, vec![operation.index])));
        }
    }
    Ok(None)
}
