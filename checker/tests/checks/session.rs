use std::collections::BTreeMap;

use proptest::prelude::*;
use tenet_checker::checks::causal::{self, Causal, Level};
use tenet_checker::checks::run;
use tenet_checker::checks::session::{Because, Guarantee, Options, Session, Wrong};
use tenet_histories::{History, Operation, Value};

use crate::causal::random;
use crate::random::{bytes, kinds};

/// What a guarantee says of the versions of a key: the first is not after the second.
fn says(operations: &[Operation<'_>], guarantee: Guarantee) -> Vec<(Value, Value, Value)> {
    let (first, second) = match guarantee {
        Guarantee::ReadYourWrites => ("write", "read"),
        Guarantee::MonotonicReads => ("read", "read"),
        Guarantee::MonotonicWrites => ("write", "write"),
        Guarantee::WritesFollowReads => ("read", "write"),
    };
    let version = |o: &Operation<'_>| if o.call.function == "read" { o.answer().clone() } else { o.call.value.clone() };
    let mut pairs = Vec::new();
    for one in operations.iter().filter(|o| o.is_ok() && o.call.function == first) {
        for two in operations.iter().skip(one.index + 1).filter(|o| o.call.function == second) {
            let counts = if second == "read" { two.is_ok() } else { two.outcome() != tenet_histories::Outcome::Fail };
            if counts && one.process == two.process && one.call.key == two.call.key {
                pairs.push((one.call.key.clone(), version(one), version(two)));
            }
        }
    }
    pairs
}

/// Whether some order of each key's versions, nil first, agrees with all of it.
fn has_order(pairs: &[(Value, Value, Value)]) -> bool {
    let mut keys: BTreeMap<&Value, Vec<&Value>> = BTreeMap::new();
    for (key, one, two) in pairs {
        keys.entry(key).or_default().extend([one, two]);
    }
    keys.into_iter().all(|(key, mut versions)| {
        versions.sort();
        versions.dedup();
        let pairs: Vec<_> =
            pairs.iter().filter(|(of, one, two)| of == key && one != two).map(|(_, one, two)| (one, two)).collect();
        let is_bad = |order: &[&Value], next: &Value| {
            let is_early = pairs.iter().any(|(one, two)| *two == next && !order.contains(one));
            is_early || next.is_nil() && !order.is_empty()
        };
        extend(&versions, &mut Vec::new(), &is_bad)
    })
}

fn extend<'v>(versions: &[&'v Value], order: &mut Vec<&'v Value>, is_bad: &dyn Fn(&[&Value], &Value) -> bool) -> bool {
    if order.len() == versions.len() {
        return true;
    }
    for version in versions {
        if order.contains(version) || is_bad(order, version) {
            continue;
        }
        order.push(version);
        if extend(versions, order, is_bad) {
            return true;
        }
        order.pop();
    }
    false
}

fn verify(history: &History, wrong: &Wrong) {
    let Wrong::Cycle { key, steps } = wrong else { return };
    let operations = history.operations().unwrap();
    for (place, step) in steps.iter().enumerate() {
        assert_eq!(step.later, steps[(place + 1) % steps.len()].earlier);
        match step.because {
            Because::Initial => assert!(step.earlier.is_nil()),
            Because::Session(guarantee, first, second) => {
                assert!(first.number < second.number && first.process == second.process);
                let all = says(&operations, guarantee);
                assert!(all.contains(&(key.clone(), step.earlier.clone(), step.later.clone())));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn agrees_with_all_orders_and_with_causality(bytes in bytes(150), clients in 2..4u32, accesses_max in 4..10usize) {
        let history = random(&bytes, clients, accesses_max);
        let report = run(Session::new(Options::default()), &history).unwrap();
        if report.violations.iter().any(|wrong| matches!(wrong, Wrong::ThinAir(_))) {
            return Ok(());
        }
        let operations = history.operations().unwrap();
        let found = kinds(&report);
        let mut all = Vec::new();
        for guarantee in Guarantee::ALL {
            let pairs = says(&operations, guarantee);
            prop_assert_eq!(found.contains(&guarantee.name()), !has_order(&pairs), "{}: {}", guarantee.name(), report);
            all.extend(pairs);
        }
        prop_assert_eq!(report.violations.iter().any(|wrong| matches!(wrong, Wrong::Cycle { .. })), !has_order(&all));
        report.violations.iter().for_each(|wrong| verify(&history, wrong));
        // The four together are convergent causal consistency.
        let options = causal::Options { level: Level::Convergent, ..causal::Options::default() };
        prop_assert_eq!(report.violations.is_empty(), run(Causal::new(options), &history).unwrap().violations.is_empty());
    }
}
