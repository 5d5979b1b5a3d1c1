use std::collections::BTreeSet;

use proptest::prelude::*;
use tenet_checker::checks::run;
use tenet_checker::checks::unique_ids::UniqueIds;

use crate::random::{NIL, bytes, call, history};

proptest! {
    #[test]
    fn agrees_with_all_pairs(bytes in bytes(60)) {
        let history = history::<()>(&bytes, 3, 10, |_, choices, _| call("generate", choices.int(0, 1), NIL), |_, choices, _| choices.int(0, 12).into());
        let operations = history.operations().unwrap();
        let mut ids: Vec<_> = operations.iter().filter(|o| o.is_ok()).map(|o| (&o.call.key, o.answer())).collect();
        let count = ids.len();
        ids = ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let report = run(UniqueIds::default(), &history).unwrap();
        prop_assert_eq!(report.violation_counts.get("given-again").copied().unwrap_or(0), (count - ids.len()) as u64);
        for again in &report.violations {
            let of = |number: usize| (&operations[number].call.key, operations[number].answer());
            prop_assert!(again.first.number != again.second.number);
            prop_assert_eq!(of(again.first.number), of(again.second.number));
        }
    }
}
