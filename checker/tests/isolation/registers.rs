//! Rw-register.

use proptest::prelude::*;
use tenet_checker::isolation::{Level, Options, Report, check_registers};
use tenet_checker::models;
use tenet_histories::{History, Operation, Value, What};

use crate::brute_force::{LEVELS, State, each_key, has_execution, micros};
use crate::small::{KEYS, plans, register_history, with_other_values};
use crate::verify::verify;

type Registers = [Value; KEYS as usize];

impl State for Registers {
    fn apply(&self, operation: &Operation<'_>, last: &Registers) -> Option<Registers> {
        let (mut own, mut next) = (self.clone(), last.clone());
        for [name, key, value] in micros(operation).flat_map(each_key) {
            let key = key.as_int().unwrap() as usize;
            if name.as_text() == Some("w") {
                (own[key], next[key]) = (value.clone(), value);
            } else if operation.is_ok() && value != own[key] {
                return None;
            }
        }
        Some(next)
    }

    fn conflict(one: &Operation<'_>, two: &Operation<'_>) -> bool {
        let writes = |operation: &Operation<'_>, key: &Value| {
            micros(operation).any(|[name, of, _]| name.as_text() == Some("w") && of == key)
        };
        micros(one).any(|[name, key, _]| name.as_text() == Some("w") && writes(two, key))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn a_level_that_is_ruled_out_has_no_execution((shuffle, plans) in plans(), final_read in any::<bool>()) {
        let history = register_history(&shuffle, &plans, final_read);
        let report = check_registers(&history, &Options::default()).unwrap();
        verify(&history, &report);
        let out = report.ruled_out();
        for level in LEVELS.into_iter().filter(|level| out.contains(level)) {
            // A snapshot whose own write is overwritten by one that it did not see is a prefix still: a lost update.
            prop_assert!(!has_execution(&history, Registers::default(), level), "{level}\n{report}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_values_are_does_not_matter((shuffle, plans) in plans(), zero in any::<bool>()) {
        let history = register_history(&shuffle, &plans, true);
        let report = check_registers(&history, &Options::default()).unwrap();
        let mut others = with_other_values(&history);
        if zero {
            start_at(&mut others, &"0".into());
        }
        let other = check_registers(&others, &Options::default()).unwrap();
        verify(&others, &other);
        let names = |report: &Report| report.anomalies.iter().map(|anomaly| anomaly.name()).collect::<Vec<_>>();
        prop_assert_eq!((names(&report), report.ruled_out()), (names(&other), other.ruled_out()));
    }
}

/// What was unset had that value at first.
fn start_at(history: &mut History, initial: &Value) {
    history.header.facts.insert("initial".to_string(), initial.clone());
    for event in &mut history.events {
        let What::Complete { completion, .. } = &mut event.what else { continue };
        let Value::List(micros) = &mut completion.value else { continue };
        for micro in micros {
            let Value::List(parts) = micro else { unreachable!() };
            if parts[2].is_nil() {
                parts[2] = initial.clone();
            }
        }
    }
}

#[test]
fn the_initial_value_is_nobodys() {
    let history = |value: i64| {
        let plan = (vec![(true, 0), (false, 0)], tenet_histories::Outcome::Ok, vec![0; 5]);
        let mut history = register_history(&[0, 0], &[plan], true);
        history.header.facts.insert("initial".to_string(), value.into());
        history
    };
    let error = check_registers(&history(1), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("another value than the initial one"), "{error}");
    // The other key is read as unset, which it never was.
    let report = check_registers(&history(7), &Options::default()).unwrap();
    assert!(report.to_string().contains("read null from 1, but nobody wrote null"), "{report}");
    // What a person says is said against the fact.
    let said = models::Options { initial: Some(Value::Nil), ..models::Options::default() };
    let model = models::named("rw-register").unwrap();
    assert!(model.check(&history(1), &said).unwrap().verdict().is_valid());
}

/// One writes 1, then the same or another client writes 2, and then the same or another one reads 1.
#[test]
fn what_clients_meet_of_a_key_one_after_the_other_is_its_order() {
    let found = |processes: [u32; 3], real_time| {
        let plan = |value: u8| (vec![(true, 0)], tenet_histories::Outcome::Ok, vec![0, 1, 0, value, 0]);
        let read_old = (vec![(false, 0)], tenet_histories::Outcome::Ok, vec![202, 1, 0, 0, 0]);
        let mut history = register_history(&[0, 0, 1, 1, 2, 2], &[plan(1), plan(2), read_old], false);
        for (at, event) in history.events.iter_mut().enumerate() {
            if let What::Invoke { process, .. } | What::Complete { process, .. } = &mut event.what {
                process.0 = processes[at / 2];
            }
        }
        let report = check_registers(&history, &Options { real_time, ..Options::default() }).unwrap();
        verify(&history, &report);
        let names: Vec<String> = report.anomalies.iter().map(|anomaly| anomaly.name()).collect();
        (names.join(" "), Level::weakest(&report.ruled_out()))
    };
    let session = vec![Level::StrongSessionSnapshotIsolation];
    let strong = vec![Level::StrongSnapshotIsolation];
    assert_eq!(found([0, 1, 2], false), (String::new(), vec![]));
    assert_eq!(found([0, 1, 2], true), ("cyclic-versions".to_string(), strong));
    assert_eq!(found([0, 0, 0], false), ("cyclic-versions".to_string(), session.clone()));
    assert_eq!(found([0, 0, 0], true), ("cyclic-versions cyclic-versions".to_string(), session));
}
