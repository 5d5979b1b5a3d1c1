use std::collections::BTreeMap;

use proptest::prelude::*;
use tenet_checker::checks::bank::{Bank, Options};
use tenet_checker::checks::run;
use tenet_histories::{History, Value};

use crate::random::{NIL, bytes, call, history, kinds};

/// A balance is sometimes a map's, sometimes a pair's, sometimes none.
fn random(bytes: &[u8]) -> History {
    let transfer = || Value::map([("from", 0.into()), ("to", 1.into()), ("amount", 3.into())]);
    history::<()>(
        bytes,
        3,
        8,
        |_, choices, _| if choices.below(4) == 0 { call("transfer", NIL, transfer()) } else { call("read", NIL, NIL) },
        |_, choices, _| {
            let first = choices.int(-1, 7);
            let second =
                if choices.below(16) == 0 { NIL } else { Value::from(6 - first + i64::from(choices.below(6) == 0)) };
            let pairs = [(Value::from(0), Value::from(first)), (Value::from(1 + choices.below(8) as i64 / 7), second)];
            match choices.below(2) {
                0 => Value::Map(pairs.into_iter().collect()),
                _ => Value::List(
                    pairs.into_iter().map(|(account, balance)| Value::List(vec![account, balance])).collect(),
                ),
            }
        },
    )
}

fn balances(answer: &Value) -> BTreeMap<Value, Value> {
    match answer {
        Value::Map(map) => map.clone(),
        Value::List(list) => {
            list.iter().map(|pair| (pair.as_list().unwrap()[0].clone(), pair.as_list().unwrap()[1].clone())).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn slow(history: &History, options: &Options) -> Vec<&'static str> {
    let operations = history.operations().unwrap();
    let reads: Vec<_> =
        operations.iter().filter(|o| o.is_ok() && o.call.function == "read").map(|o| balances(o.answer())).collect();
    let whole = |read: &&BTreeMap<Value, Value>| read.values().all(|balance| !balance.is_nil());
    let sum = |read: &BTreeMap<Value, Value>| read.values().filter_map(Value::as_int).map(i128::from).sum::<i128>();
    // Reads come in the order of completion there; that some pair disagrees does not depend on it.
    let sums: Vec<i128> = reads.iter().filter(whole).map(sum).collect();
    let is_wrong = match options.total {
        Some(total) => sums.iter().any(|sum| *sum != total),
        None => sums.iter().any(|sum| *sum != sums[0]),
    };
    let any = |wrong: &dyn Fn(&BTreeMap<Value, Value>) -> bool| reads.iter().any(wrong);
    let accounts = options.accounts.clone().unwrap_or_default();
    let is_told = options.accounts.is_some();
    let found = [
        ("missing-account", is_told && any(&|read| accounts.iter().any(|account| !read.contains_key(account)))),
        (
            "negative-balance",
            !options.negative_allowed
                && any(&|read| read.values().any(|balance| balance.as_int() < Some(0) && !balance.is_nil())),
        ),
        ("no-balance", any(&|read| read.values().any(Value::is_nil))),
        ("unexpected-account", is_told && any(&|read| read.keys().any(|account| !accounts.contains(account)))),
        ("wrong-total", is_wrong),
    ];
    found.iter().filter(|(_, is_found)| *is_found).map(|(name, _)| *name).collect()
}

proptest! {
    #[test]
    fn agrees_with_all_reads(bytes in bytes(80), total in any::<bool>(), negative in any::<bool>(), accounts in any::<bool>()) {
        let history = random(&bytes);
        let options = Options {
            total: total.then_some(6),
            negative_allowed: negative,
            accounts: accounts.then(|| vec![0.into(), 1.into()]),
        };
        prop_assert_eq!(kinds(&run(Bank::new(options.clone()), &history).unwrap()), slow(&history, &options));
    }
}
