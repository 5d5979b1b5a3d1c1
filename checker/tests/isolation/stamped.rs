//! White box: the sweep against a model that keeps every version, and the two kinds of checkers against each other.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tenet_checker::isolation::stamped::{Did, Options, Rule, Violation, check_stamped};
use tenet_checker::isolation::{self, Anomaly, Cycle, Edge, Kind, Level, Who, check_lists, check_registers};
use tenet_checker::{Finding, judge};
use tenet_histories::{Completion, Event, History, Operation, Outcome, Process, Value, What};

use crate::brute_force::{LEVELS, micros};
use crate::small::{append, call, read, with_other_values};

const KEYS: i64 = 3;

/// Lies up to which a transaction's outcome and timestamps are told, and from which its timestamps are not.
const STAMPED_MAX: u8 = 224;
const UNSTAMPED_MIN: u8 = 250;

/// What one transaction does, and how its database lies.
#[derive(Clone, Debug)]
struct Plan {
    micros: Vec<(u8, i64)>,
    lies: Vec<u8>,
}

fn plans() -> impl Strategy<Value = (Vec<usize>, Vec<Plan>)> {
    (1usize..7).prop_flat_map(|count| {
        let micros = prop::collection::vec((0u8..5, 0..KEYS), 1..4);
        let plan = (micros, prop::collection::vec(any::<u8>(), 4)).prop_map(|(micros, lies)| Plan { micros, lies });
        let shuffle = Just((0..count).chain(0..count).collect::<Vec<_>>()).prop_shuffle();
        (shuffle, prop::collection::vec(plan, count))
    })
}

/// Versions of each key, with the commits that wrote them.
type Versions = Vec<Vec<(u64, i64)>>;

/// Runs plans against a database of many versions: what a transaction reads was committed at or below its snapshot, which
/// is taken when it is invoked; it commits when it completes. Unless it lies.
fn stamped_history(shuffle: &[usize], plans: &[Plan], is_lists: bool) -> History {
    let mut versions: Versions = vec![Vec::new(); KEYS as usize];
    let (mut clock, mut element) = (10u64, 0);
    let mut open: Vec<Option<(u64, Vec<Value>, Vec<(i64, i64)>)>> = vec![None; plans.len()];
    // A process is used again as soon as it is free, so that there are sessions.
    let mut busy: Vec<Option<usize>> = Vec::new();
    let mut events = Vec::new();
    for number in shuffle {
        let plan = &plans[*number];
        let free = if open[*number].is_some() { Some(*number) } else { None };
        let process = busy.iter().position(|busy| *busy == free).unwrap_or(busy.len());
        busy.resize(busy.len().max(process + 1), None);
        busy[process] = if free.is_some() { None } else { Some(*number) };
        let process = Process(process as u32);
        let time_ns = events.len() as u64;
        if let Some((snapshot, answers, writes)) = open[*number].take() {
            let changed = |(key, _): &(i64, i64)| versions[*key as usize].last().is_some_and(|last| last.0 > snapshot);
            let is_refused = plan.lies[0] < 128 && writes.iter().any(changed);
            let is_unknown = (STAMPED_MAX + 1..UNSTAMPED_MIN).contains(&plan.lies[3]);
            let mut completion = Completion::new(match (is_unknown, is_refused) {
                (true, _) => Outcome::Unknown,
                (_, true) => Outcome::Fail,
                _ => Outcome::Ok,
            });
            if is_unknown {
                // It may have committed all the same, or half of it, which is a lie.
                let half = if plan.lies[2] < 64 { writes.len().min(1) } else { writes.len() };
                if !is_refused && !plan.lies[0].is_multiple_of(4) {
                    clock += 2;
                    writes[..half].iter().for_each(|(key, value)| versions[*key as usize].push((clock, *value)));
                }
            } else if !is_refused {
                completion.value = Value::List(answers);
                completion.read_timestamp = Some(snapshot);
                if !writes.is_empty() {
                    clock += if plan.lies[1] >= 250 { 0 } else { 2 };
                    completion.commit_timestamp = Some(clock - if plan.lies[1] % 64 == 7 { 1 } else { 0 });
                    for (key, value) in writes {
                        versions[key as usize].push((clock, value));
                    }
                }
                if plan.lies[3] >= UNSTAMPED_MIN {
                    (completion.read_timestamp, completion.commit_timestamp) = (None, None);
                }
            }
            events.push(Event::new(time_ns, What::Complete { process, completion }));
            continue;
        }
        let snapshot = clock - if plan.lies[2] % 16 == 1 { 3 } else { 0 };
        let (mut asked, mut answers, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for ((kind, key), lie) in plan.micros.iter().zip(&plan.lies) {
            let seen = |key: i64| {
                let at = if *lie >= 248 { u64::MAX } else { snapshot };
                let mine = writes.iter().filter(|(of, _)| *of == key).map(|(_, value)| *value);
                let committed = versions[key as usize].iter().filter(|(commit, _)| *commit <= at);
                let all: Vec<i64> = committed.map(|(_, value)| *value).chain(mine).collect();
                if is_lists { Value::from(all) } else { all.last().map_or(Value::Nil, |last| (*last).into()) }
            };
            match kind {
                0 | 1 => {
                    element += 1;
                    let name = if is_lists { "append" } else { "w" };
                    let Value::List(mut parts) = append(*key, element) else { unreachable!() };
                    parts[0] = name.into();
                    asked.push(Value::List(parts.clone()));
                    answers.push(Value::List(parts));
                    writes.push((*key, element));
                }
                2 | 3 => {
                    asked.push(read(*key, Value::Nil));
                    answers.push(read(*key, seen(*key)));
                }
                _ => {
                    let there = (*key..KEYS).map(|key| (key, seen(key)));
                    let there = there.filter(|(_, value)| !value.is_nil() && *value != Value::List(Vec::new()));
                    let pairs: Vec<Value> = there.map(|(key, value)| Value::List(vec![key.into(), value])).collect();
                    let range = Value::from(vec![*key, KEYS - 1]);
                    asked.push(Value::List(vec!["rr".into(), range.clone(), Value::Nil]));
                    answers.push(Value::List(vec!["rr".into(), range, Value::List(pairs)]));
                }
            }
        }
        open[*number] = Some((snapshot, answers, writes));
        events.push(Event::new(time_ns, What::Invoke { process, call: call(asked) }));
    }
    History { events, ..History::default() }
}

struct Model<'a> {
    stamped: Vec<&'a Operation<'a>>,
    is_lists: bool,
}

impl Model<'_> {
    fn stamps(operation: &Operation<'_>) -> (Option<u64>, Option<u64>) {
        let completion = operation.completed.unwrap().completion;
        (completion.read_timestamp, completion.commit_timestamp)
    }

    fn writes(operation: &Operation<'_>) -> Vec<(Value, i64)> {
        let writes = micros(operation).filter(|[name, ..]| ["append", "w"].contains(&name.as_text().unwrap()));
        writes.map(|[_, key, value]| (key.clone(), value.as_int().unwrap())).collect()
    }

    /// All that a snapshot has of a key, oldest first.
    fn at(&self, key: &Value, at: u64) -> Vec<i64> {
        let mut versions: Vec<(u64, i64)> = Vec::new();
        for operation in &self.stamped {
            if let Some(commit) = Model::stamps(operation).1.filter(|commit| *commit <= at) {
                let mine = Model::writes(operation).into_iter().filter(|(of, _)| of == key);
                versions.extend(mine.map(|(_, value)| (commit, value)));
            }
        }
        versions.sort_by_key(|(commit, _)| *commit);
        versions.into_iter().map(|(_, value)| value).collect()
    }

    /// Each key that an operation reads, with what it found, at which of its steps.
    fn reads(operation: &Operation<'_>) -> Vec<(usize, Value, Value)> {
        let mut reads = Vec::new();
        for (at, [name, key, value]) in micros(operation).enumerate() {
            match name.as_text().unwrap() {
                "r" => reads.push((at, key.clone(), value.clone())),
                "rr" => {
                    let [Value::Int(low), Value::Int(high)] = key.as_list().unwrap() else { panic!("a range") };
                    for key in *low..=*high {
                        let pairs = value.as_list().unwrap().iter().map(|pair| pair.as_list().unwrap());
                        let there = pairs.filter(|pair| pair[0] == key.into()).map(|pair| pair[1].clone()).next();
                        reads.push((at, key.into(), there.unwrap_or_default()));
                    }
                }
                _ => {}
            }
        }
        reads
    }

    fn broken(&self) -> BTreeSet<Rule> {
        let mut broken = BTreeSet::new();
        for operation in &self.stamped {
            let (read, commit) = Model::stamps(operation);
            let others = || self.stamped.iter().filter(|other| other.index != operation.index);
            for other in others() {
                let theirs = Model::stamps(other);
                if commit.is_some() && theirs.1 == commit {
                    broken.insert(Rule::CommitAlone);
                }
                if other.return_event().unwrap() < operation.invoke_event {
                    let high = theirs.0.max(theirs.1);
                    if commit.is_some_and(|mine| Some(mine) <= high) || read.is_some_and(|mine| Some(mine) < high) {
                        broken.insert(Rule::RealTime);
                        if other.process == operation.process {
                            broken.insert(Rule::Session);
                        }
                    }
                }
            }
            if read.is_some() && commit.is_some_and(|commit| commit <= read.unwrap()) {
                broken.insert(Rule::CommitAboveSnapshot);
                continue;
            }
            let own = Model::writes(operation);
            let read_keys = Model::reads(operation);
            if let (Some(read), Some(commit)) = (read, commit) {
                let changed = |key: &Value| {
                    others().any(|other| {
                        let inside = Model::stamps(other).1.is_some_and(|theirs| read < theirs && theirs < commit);
                        inside && Model::writes(other).iter().any(|(of, _)| of == key)
                    })
                };
                if own.iter().any(|(key, _)| changed(key)) {
                    broken.insert(Rule::Conflict);
                }
                // What only shows its own write was not read from anybody, unless lists show what was below.
                let all: Vec<[&Value; 3]> = micros(operation).collect();
                for (at, key, _) in &read_keys {
                    let wrote = all[..*at]
                        .iter()
                        .any(|[name, of, _]| *of == key && ["append", "w"].contains(&name.as_text().unwrap()));
                    let is_range = all[*at][0].as_text() == Some("rr");
                    if changed(key) && (self.is_lists || is_range || !wrote) {
                        broken.insert(Rule::Unchanged);
                    }
                }
            }
            let Some(read) = read else { continue };
            let all: Vec<[&Value; 3]> = micros(operation).collect();
            for (at, key, found) in read_keys {
                let mine = all[..at]
                    .iter()
                    .filter(|[name, of, _]| **of == key && ["append", "w"].contains(&name.as_text().unwrap()));
                let mine: Vec<i64> = mine.map(|[.., value]| value.as_int().unwrap()).collect();
                let below = self.at(&key, read);
                if self.is_lists {
                    let found: Vec<i64> =
                        found.as_list().unwrap_or_default().iter().map(|value| value.as_int().unwrap()).collect();
                    if !found.ends_with(&mine) {
                        broken.insert(Rule::Internal);
                    } else if found[..found.len() - mine.len()] != below {
                        broken.insert(Rule::Read);
                    }
                } else if let Some(last) = mine.last() {
                    if found.as_int() != Some(*last) {
                        broken.insert(Rule::Internal);
                    }
                } else if found.as_int() != below.last().copied() {
                    broken.insert(Rule::Read);
                }
            }
        }
        broken
    }
}

impl Model<'_> {
    /// What a violation says is so in the history; of what keys have, if all is known.
    fn holds(&self, violation: &Violation, operations: &[Operation<'_>], is_known: bool) -> bool {
        let stamps = |who: &Who| Model::stamps(&operations[who.operation]);
        let wrote = |who: &Who, key: &Value| Model::writes(&operations[who.operation]).iter().any(|(of, _)| of == key);
        let found = |who: &Who, key: &Value| -> Vec<Value> {
            let reads = Model::reads(&operations[who.operation]).into_iter();
            reads.filter(|(_, of, _)| of == key).map(|(.., found)| found).collect()
        };
        let between = |other: &Option<(Who, u64)>, key: &Value, read: u64, commit: u64| {
            let (other, at) = other.as_ref().expect("all commits are told");
            wrote(other, key) && stamps(other).1 == Some(*at) && read < *at && *at < commit
        };
        match violation {
            Violation::CommitBelowSnapshot { who, read, commit } => {
                stamps(who) == (Some(*read), Some(*commit)) && commit <= read
            }
            Violation::SameCommit { whos: [one, two], commit } => {
                one.operation != two.operation && [one, two].iter().all(|who| stamps(who).1 == Some(*commit))
            }
            Violation::WrongRead { who, key, read, found: seen, due } => {
                let below = self.at(key, *read);
                let due_is_there = due.as_ref().is_none_or(|due| {
                    let commit = |operation: &&&Operation<'_>| {
                        let wrote = Model::writes(operation)
                            .iter()
                            .any(|(of, value)| of == key && due.value == (*value).into());
                        wrote && Model::stamps(operation).1 == due.commit
                    };
                    self.stamped.iter().find(commit).is_some() && below.iter().any(|value| due.value == (*value).into())
                });
                let is_seen = found(who, key).iter().any(|there| match seen {
                    None => true,
                    Some(seen) => {
                        *there == seen.value || there.as_list().is_some_and(|list| list.contains(&seen.value))
                    }
                });
                stamps(who).0 == Some(*read) && is_seen && (due_is_there || !is_known)
            }
            Violation::HalfSeen { .. } => false,
            Violation::Internal { who, key, found: there } => wrote(who, key) && found(who, key).contains(there),
            Violation::Conflict { who, key, read, commit, other } => {
                let mine = stamps(who) == (Some(*read), Some(*commit)) && wrote(who, key);
                mine && (between(other, key, *read, *commit) || !is_known)
            }
            Violation::Changed { who, key, read, commit, other } => {
                let mine = stamps(who) == (Some(*read), Some(*commit)) && !found(who, key).is_empty();
                mine && (between(other, key, *read, *commit) || !is_known)
            }
            Violation::Back { is_session, earlier, did, at, later, does, back } => {
                let [first, second] = [earlier, later].map(|who| &operations[who.operation]);
                let stamp = |who: &Who, did: &Did| match did {
                    Did::Read => stamps(who).0,
                    Did::Committed => stamps(who).1,
                };
                first.return_event().unwrap() < second.invoke_event
                    && (!is_session || first.process == second.process)
                    && stamp(earlier, did) == Some(*at)
                    && stamp(later, does) == Some(*back)
                    && (back < at || back == at && *does == Did::Committed)
            }
        }
    }
}

/// Whether, for all that the unknown transactions may have done, the history breaks a rule of the level.
fn all_are_broken(history: &History, level: Level, is_lists: bool) -> bool {
    let operations = history.operations().unwrap();
    let unknown = operations.iter().find(|operation| operation.outcome() == Outcome::Unknown);
    let Some(unknown) = unknown else {
        let stamped = operations.iter().filter(|operation| operation.is_ok()).collect();
        let broken = Model { stamped, is_lists }.broken();
        return broken.into_iter().any(|rule| rule.is_of(level) && rule != Rule::Session);
    };
    let event = unknown.completed.unwrap().event;
    let writes: Vec<Value> = unknown.call.value.as_list().unwrap().to_vec();
    let is_write = |micro: &&Value| ["append", "w"].contains(&micro.as_list().unwrap()[0].as_text().unwrap());
    let writes: Vec<Value> = writes.iter().filter(is_write).cloned().collect();
    let with = |commit: Option<u64>| {
        let mut history = history.clone();
        let What::Complete { completion, .. } = &mut history.events[event].what else { unreachable!() };
        completion.outcome = if commit.is_some() { Outcome::Ok } else { Outcome::Fail };
        completion.value = Value::List(if commit.is_some() { writes.clone() } else { Vec::new() });
        completion.commit_timestamp = commit;
        all_are_broken(&history, level, is_lists)
    };
    // Commits that are told are even but for lies; these may be between any two, or there were none.
    let last = 12 + 2 * operations.len() as u64;
    (8..=last).map(Some).chain([None]).all(with)
}

fn found(history: &History) -> BTreeSet<Rule> {
    let report = check_stamped(history, &Options::default()).unwrap();
    report.violations.iter().map(|violation| violation.rule()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn the_sweep_finds_what_the_model_finds((shuffle, mut plans) in plans(), is_lists in any::<bool>()) {
        // The model knows nothing of commits that are not told.
        plans.iter_mut().for_each(|plan| plan.lies[3] = plan.lies[3].min(STAMPED_MAX));
        let history = stamped_history(&shuffle, &plans, is_lists);
        let operations = history.operations().unwrap();
        let stamped = operations.iter().filter(|operation| operation.is_ok()).collect();
        let broken = Model { stamped, is_lists }.broken();
        // Of two commits at one timestamp nobody can say which came between what.
        let told = |mut rules: BTreeSet<Rule>| {
            if rules.contains(&Rule::CommitAlone) {
                rules.retain(|rule| ![Rule::Conflict, Rule::Unchanged, Rule::Read].contains(rule));
            }
            rules
        };
        let (broken, found) = (told(broken), told(found(&history)));
        for rule in [Rule::Session, Rule::RealTime] {
            prop_assert_eq!(broken.contains(&rule), found.contains(&rule));
        }
        // What comes too late was passed by.
        if !broken.contains(&Rule::RealTime) && !broken.contains(&Rule::CommitAboveSnapshot) {
            prop_assert_eq!(&found, &broken, "{:?}", check_stamped(&history, &Options::default()).unwrap());
        }
        // With a window that holds all, nothing comes too late.
        let options = Options { lag: u64::MAX, ..Options::default() };
        let report = check_stamped(&history, &options).unwrap();
        prop_assert_eq!(&report.too_late, &None);
        if !broken.contains(&Rule::CommitAboveSnapshot) {
            let all: BTreeSet<Rule> = report.violations.iter().map(|violation| violation.rule()).collect();
            prop_assert_eq!(told(all), broken);
        }
    }

    #[test]
    fn what_the_black_box_refutes_the_white_box_refutes((shuffle, mut plans) in plans(), is_lists in any::<bool>()) {
        // All that is said of unstamped operations is what clients saw.
        plans.iter_mut().for_each(|plan| plan.lies[3] = plan.lies[3].min(STAMPED_MAX));
        let history = stamped_history(&shuffle, &plans, is_lists);
        let check = if is_lists { check_lists } else { check_registers };
        let black = check(&history, &isolation::Options::default()).unwrap();
        let white = check_stamped(&history, &Options { lag: u64::MAX, ..Options::default() }).unwrap();
        // Of prefix consistency, the weakest, the white box says nothing.
        for level in LEVELS[1..].iter().copied().filter(|level| black.ruled_out().contains(level)) {
            prop_assert!(matches!(white.finding(level), Finding::Invalid { .. }), "{level}: {black}\n{white}");
        }
        // With the window that real time allows, nothing is called valid either.
        let white = check_stamped(&history, &Options::default()).unwrap();
        for level in LEVELS[1..].iter().copied().filter(|level| black.ruled_out().contains(level)) {
            prop_assert!(!matches!(white.finding(level), Finding::Valid), "{level}: {black}\n{white}");
        }
    }

    #[test]
    fn what_is_refuted_is_so_whatever_the_unknown_did((shuffle, mut plans) in plans(), is_lists in any::<bool>()) {
        for (number, plan) in plans.iter_mut().enumerate() {
            plan.lies[3] = plan.lies[3].min(if number < 2 { UNSTAMPED_MIN - 1 } else { STAMPED_MAX });
            plan.lies[3] |= if number == 0 { 0xe1 } else { 0 };
            plan.lies[3] = plan.lies[3].min(UNSTAMPED_MIN - 1);
        }
        let history = stamped_history(&shuffle, &plans, is_lists);
        let report = check_stamped(&history, &Options { lag: u64::MAX, ..Options::default() }).unwrap();
        for level in [Level::SnapshotIsolation, Level::Serializable] {
            if matches!(report.finding(level), Finding::Invalid { .. }) {
                prop_assert!(all_are_broken(&history, level, is_lists), "{level}: {report}");
            }
        }
    }

    #[test]
    fn one_unknown_transaction_is_seen_whole((shuffle, mut plans) in plans(), is_lists in any::<bool>(), which in 0usize..6) {
        plans.iter_mut().for_each(|plan| plan.lies[3] = plan.lies[3].min(STAMPED_MAX));
        let which = which % plans.len();
        plans[which].lies[3] = STAMPED_MAX + 1;
        let history = stamped_history(&shuffle, &plans, is_lists);
        let check = if is_lists { check_lists } else { check_registers };
        let black = check(&history, &isolation::Options::default()).unwrap();
        let white = check_stamped(&history, &Options { lag: u64::MAX, ..Options::default() }).unwrap();
        for level in [Level::SnapshotIsolation, Level::Serializable] {
            // Who wrote over it without having seen it is not held to account (see the head of `stamped`).
            let is_unknown = |who: &Who| history.operations().unwrap()[who.operation].outcome() == Outcome::Unknown;
            let is_seen = |cycle: &Cycle| {
                let written_over = |edge: &Edge| edge.kind == Kind::WriteWrite && is_unknown(&edge.from);
                let over = |edge: &Edge| edge.kind == Kind::WriteWrite && is_unknown(&edge.to);
                !cycle.edges.iter().any(|edge| written_over(edge) || over(edge))
            };
            let proves = |anomaly: &&Anomaly| anomaly.rules_out(level) && anomaly.cycle().is_some_and(is_seen);
            if let Some(anomaly) = black.anomalies.iter().find(proves) {
                prop_assert!(matches!(white.finding(level), Finding::Invalid { .. }), "{level}: {anomaly}\n{white}");
            }
        }
    }

    #[test]
    fn each_violation_is_derived_again((shuffle, mut plans) in plans(), is_lists in any::<bool>(), lag in any::<bool>()) {
        plans.iter_mut().for_each(|plan| plan.lies[3] = plan.lies[3].min(STAMPED_MAX));
        let history = stamped_history(&shuffle, &plans, is_lists);
        let operations = history.operations().unwrap();
        let stamped = operations.iter().filter(|operation| operation.is_ok()).collect();
        let model = Model { stamped, is_lists };
        let options = Options { lag: if lag { u64::MAX } else { 0 }, ..Options::default() };
        let report = check_stamped(&history, &options).unwrap();
        // Of two commits at one timestamp nobody can say which came between what; what is late was not there.
        let is_known = report.too_late.is_none() && !model.broken().contains(&Rule::CommitAlone);
        for violation in &report.violations {
            prop_assert!(model.holds(violation, &operations, is_known), "{violation:?}");
        }
    }

    #[test]
    fn what_values_are_does_not_matter((shuffle, plans) in plans(), is_lists in any::<bool>()) {
        let history = stamped_history(&shuffle, &plans, is_lists);
        prop_assert_eq!(found(&history), found(&with_other_values(&history)));
    }

    #[test]
    fn without_real_time_nothing_is_refuted_that_a_longer_window_allows((shuffle, plans) in plans()) {
        let history = stamped_history(&shuffle, &plans, true);
        let long = check_stamped(&history, &Options { lag: u64::MAX, ..Options::default() }).unwrap();
        let short = check_stamped(&history, &Options::default()).unwrap();
        for level in [Level::SnapshotIsolation, Level::Serializable] {
            if let Finding::Invalid { explanation, .. } = short.finding(level) {
                prop_assert!(matches!(long.finding(level), Finding::Invalid { .. }), "{level}: {explanation}");
            }
        }
    }
}

/// More values than are kept at a time, each read after many others were written and overwritten.
#[test]
fn values_that_are_forgotten_were_no_longer_needed() {
    let complete = |completion| What::Complete { process: Process(0), completion };
    let write = |key: i64, value: &str| Value::List(vec!["w".into(), key.into(), value.into()]);
    let mut events = Vec::new();
    let count = 20_000u64;
    for number in 0..count {
        let (key, value) = ((number % 3) as i64, format!("value {number}"));
        let mut micros = vec![write(key, &value)];
        if number >= 3 && number != count - 2 {
            micros.insert(0, read(key, format!("value {}", number - 3).into()));
        }
        if number == count - 1 {
            micros.insert(0, read((key + 1) % 3, "value 0".into()));
        }
        events.push(What::Invoke { process: Process(0), call: call(micros.clone()) });
        let completion = Completion::ok(Value::List(micros));
        let (read_timestamp, commit_timestamp) = (Some(number * 2), Some(number * 2 + 1));
        events.push(complete(Completion { read_timestamp, commit_timestamp, ..completion }));
    }
    let events = events.into_iter().enumerate().map(|(at, what)| Event::new(at as u64, what)).collect();
    let report = check_stamped(&History { events, ..History::default() }, &Options::default()).unwrap();
    let violations: Vec<String> = report.violations.iter().map(|violation| violation.to_string()).collect();
    assert_eq!(violations.len(), 1, "{report}");
    let explanation = "found \"value 0\", of which no commit is known, expected \"value 19997\", committed at 39995";
    assert!(violations[0].contains(explanation), "{report}");
}

#[test]
fn memory_is_bounded_by_the_window() {
    let complete = |process: u32, completion| What::Complete { process: Process(process), completion };
    let mut events = vec![What::Invoke { process: Process(0), call: call(vec![append(0, 1)]) }];
    for number in 1..200u64 {
        events.push(What::Invoke { process: Process(1), call: call(vec![append(1, number as i64)]) });
        let value = Value::List(vec![append(1, number as i64)]);
        let completion = Completion { commit_timestamp: Some(number), ..Completion::ok(value) };
        events.push(complete(1, completion));
    }
    let events = events.into_iter().enumerate().map(|(at, what)| Event::new(at as u64, what)).collect();
    let history = History { events, ..History::default() };
    let report = check_stamped(&history, &Options { waiting_max: 100, ..Options::default() }).unwrap();
    let reason = "more than 100 operations waited for the one that was invoked as event 0";
    assert_eq!(report.finding(Level::StrictSerializable), Finding::Unknown { reason: reason.to_string() });
    assert!(check_stamped(&history, &Options::default()).unwrap().violations.is_empty());
    assert!(
        judge(&History {
            header: tenet_histories::Header { workload: "list-append".into(), ..Default::default() },
            ..history
        })
        .unwrap()
        .is_valid()
    );
}
