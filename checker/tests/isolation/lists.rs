//! List-append.

use proptest::prelude::*;
use tenet_checker::isolation::{Anomaly, Level, Options, Report, check_lists};
use tenet_histories::{Event, History, Operation, Value, What};

use crate::brute_force::{LEVELS, State, each_key, has_execution, micros};
use crate::small::{KEYS, list_history, plans, with_other_values};
use crate::verify::verify;

fn check(history: &History) -> Report {
    check_lists(history, &Options::default()).unwrap()
}

type Lists = [Vec<Value>; KEYS as usize];

impl State for Lists {
    fn apply(&self, operation: &Operation<'_>, last: &Lists) -> Option<Lists> {
        let (mut own, mut next) = (self.clone(), last.clone());
        let mut has_written = [false; KEYS as usize];
        for [name, key, value] in micros(operation).flat_map(each_key) {
            let key = key.as_int().unwrap() as usize;
            if name.as_text() == Some("append") {
                own[key].push(value.clone());
                next[key].push(value.clone());
                has_written[key] = true;
            } else if operation.is_ok() {
                // What it wrote and reads again is a version, which its append makes of the one before.
                let is_version = !has_written[key] || own[key] == next[key];
                if value.as_list().unwrap_or_default() != &own[key][..] || !is_version {
                    return None;
                }
            }
        }
        Some(next)
    }

    fn conflict(one: &Operation<'_>, two: &Operation<'_>) -> bool {
        let writes = |operation: &Operation<'_>, key: &Value| {
            micros(operation).any(|[name, of, _]| name.as_text() == Some("append") && of == key)
        };
        micros(one).any(|[name, key, _]| name.as_text() == Some("append") && writes(two, key))
    }
}

/// Each acknowledged append is in the last transaction's reads.
fn all_is_read(history: &History) -> bool {
    let operations = history.operations().unwrap();
    let last = operations.last().unwrap();
    let is_read = |key: &Value, element: &Value| {
        micros(last).any(|[_, of, list]| of == key && list.as_list().unwrap().contains(element))
    };
    operations.iter().filter(|operation| operation.is_ok()).all(|operation| {
        micros(operation).all(|[name, key, value]| name.as_text() != Some("append") || is_read(key, value))
    })
}

/// Whether a transaction missed something of one that it read from, or that is among its causes.
fn misses_causes(history: &History) -> [bool; 2] {
    let operations = history.operations().unwrap();
    let appends = |at: usize| {
        let of = micros(&operations[at]).filter(|[name, ..]| name.as_text() == Some("append"));
        of.map(|[_, key, element]| (key.clone(), element.clone())).collect::<Vec<_>>()
    };
    let reads = |at: usize| {
        let of = micros(&operations[at]).flat_map(each_key).filter(|[name, ..]| name.as_text() == Some("r"));
        of.map(|[_, key, list]| (key, list.as_list().unwrap_or_default().to_vec())).collect::<Vec<_>>()
    };
    let is_read = |at: &usize| operations[*at].is_ok();
    let sources = |at: usize| {
        let last = |(key, list): (Value, Vec<Value>)| {
            let others =
                list.into_iter().rev().find(|element| !appends(at).contains(&(key.clone(), element.clone())))?;
            (0..operations.len()).find(|by| appends(*by).contains(&(key.clone(), others.clone())))
        };
        reads(at).into_iter().filter_map(last).collect::<Vec<_>>()
    };
    let misses = |at: usize, cause: usize| {
        let missed =
            |(key, element): &(Value, Value)| reads(at).iter().any(|(of, list)| of == key && !list.contains(element));
        appends(cause).iter().any(missed)
    };
    let (mut direct, mut any) = (false, false);
    for at in (0..operations.len()).filter(is_read) {
        let mut causes = sources(at);
        direct |= causes.iter().any(|cause| *cause != at && misses(at, *cause));
        let mut next = 0;
        while let Some(cause) = causes.get(next).copied() {
            next += 1;
            if operations[cause].is_ok() {
                let more: Vec<usize> = sources(cause).into_iter().filter(|more| !causes.contains(more)).collect();
                causes.extend(more);
            }
        }
        any |= causes.iter().any(|cause| *cause != at && misses(at, *cause));
    }
    [direct, any]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn a_level_that_is_ruled_out_has_no_execution((shuffle, plans) in plans(), final_read in any::<bool>()) {
        let history = list_history(&shuffle, &plans, final_read);
        let report = check(&history);
        verify(&history, &report);
        let out = report.ruled_out();
        for level in LEVELS.into_iter().filter(|level| out.contains(level)) {
            prop_assert!(!has_execution(&history, Lists::default(), level), "{level}\n{report}");
        }
    }

    #[test]
    fn with_all_orders_known_levels_are_those_of_brute_force((shuffle, plans) in plans()) {
        let history = list_history(&shuffle, &plans, true);
        let report = check(&history);
        let out = report.ruled_out();
        prop_assert_eq!(!out.contains(&Level::StrictSerializable), has_execution(&history, Lists::default(), Level::StrictSerializable), "{}", report);
        if all_is_read(&history) {
            for level in LEVELS {
                prop_assert_eq!(!out.contains(&level), has_execution(&history, Lists::default(), level), "{}\n{}", level, report);
            }
        }
    }

    /// As `causal` and `read-atomic` are defined, for what is read committed and does not contradict itself.
    #[test]
    fn with_all_orders_known_causes_are_those_of_the_definition((shuffle, plans) in plans()) {
        let history = list_history(&shuffle, &plans, true);
        let report = check(&history);
        verify(&history, &report);
        let out = report.ruled_out();
        let is_internal = report.anomalies.iter().any(|anomaly| matches!(anomaly, Anomaly::Internal { .. }));
        if all_is_read(&history) && !out.contains(&Level::ReadCommitted) && !is_internal {
            let [direct, any] = misses_causes(&history);
            prop_assert_eq!(out.contains(&Level::ReadAtomic), direct, "{}", report);
            prop_assert_eq!(out.contains(&Level::Causal), any, "{}", report);
        }
    }

    #[test]
    fn names_do_not_matter((shuffle, plans) in plans()) {
        let history = list_history(&shuffle, &plans, true);
        let mut renamed = history.clone();
        let count = 100;
        for event in &mut renamed.events {
            match &mut event.what {
                What::Invoke { process, call } => {
                    process.0 = count - process.0;
                    rename(&mut call.value);
                }
                What::Complete { process, completion } => {
                    process.0 = count - process.0;
                    rename(&mut completion.value);
                }
                _ => {}
            }
        }
        prop_assert_eq!(names(&check(&history)), names(&check(&renamed)));
        let others = with_other_values(&history);
        verify(&others, &check(&others));
        prop_assert_eq!(names(&check(&history)), names(&check(&others)));
    }

    #[test]
    fn what_happens_at_once_may_be_written_in_any_order((shuffle, plans) in plans(), at in any::<prop::sample::Index>()) {
        let history = list_history(&shuffle, &plans, true);
        let at = at.index(history.events.len() - 1);
        let is_invoke = |event: &Event| matches!(event.what, What::Invoke { .. });
        let mut swapped = history.clone();
        if is_invoke(&history.events[at]) == is_invoke(&history.events[at + 1]) {
            swapped.events.swap(at, at + 1);
        }
        prop_assert_eq!(check(&history).ruled_out(), check(&swapped).ruled_out());
    }

    #[test]
    fn without_its_reads_a_valid_history_stays_valid((shuffle, plans) in plans(), keep in any::<u16>()) {
        let history = list_history(&shuffle, &plans, true);
        // Of a key whose reads disagree not everything is inferred that is true.
        let is_dispute = |anomaly: &Anomaly| {
            matches!(anomaly, Anomaly::IncompatibleOrder { .. } | Anomaly::DuplicateElements { .. })
        };
        prop_assume!(!check(&history).anomalies.iter().any(is_dispute));
        let before = check(&history).ruled_out();
        let mut fewer = history.clone();
        let mut number = 0;
        for event in &mut fewer.events {
            if let What::Complete { completion, .. } = &mut event.what
                && let Value::List(micros) = &mut completion.value
            {
                micros.retain(|micro| {
                    number += 1;
                    micro.as_list().unwrap()[0].as_text() == Some("append") || keep >> (number % 16) & 1 == 1
                });
            }
        }
        for level in check(&fewer).ruled_out() {
            prop_assert!(before.contains(&level), "{level}: {}", check(&fewer));
        }
    }
}

fn rename(value: &mut Value) {
    let Value::List(micros) = value else { return };
    for micro in micros {
        let Value::List(parts) = micro else { unreachable!() };
        if parts[0].as_text() == Some("rr") {
            parts[1] = Value::List(parts[1].as_list().unwrap().iter().map(renamed).collect());
            let Value::List(pairs) = &mut parts[2] else { continue };
            for pair in pairs {
                let Value::List(pair) = pair else { unreachable!() };
                pair[0] = renamed(&pair[0]);
            }
        } else {
            parts[1] = renamed(&parts[1]);
        }
    }
}

/// In the same order, so that a range stays what it is.
fn renamed(key: &Value) -> Value {
    Value::Text(format!("list {}", 3 + key.as_int().unwrap()))
}

fn names(report: &Report) -> (Vec<String>, Vec<Level>) {
    (report.anomalies.iter().map(|anomaly| anomaly.name()).collect(), report.ruled_out())
}
