//! Against the definitions: is there any order of causes, and are there orders of them, that explain what was read?

use std::sync::LazyLock;

use proptest::prelude::*;
use tenet_checker::checks::causal::{Because, Causal, Level, Options, Wrong};
use tenet_checker::checks::run;
use tenet_histories::{History, Operation, Outcome, Value};

use crate::random::{Choices, NIL, bytes, call, history};

const ACCESSES_MAX: usize = 6;

/// Every strict partial order of so many things: for each thing, the set of those before it.
static ORDERS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let mut all = vec![vec![Vec::new()]];
    for count in 0..ACCESSES_MAX {
        let mut larger = Vec::new();
        for order in &all[count] {
            for below in 0..1u8 << count {
                for above in 0..1u8 << count {
                    larger.extend(with(order, below, above));
                }
            }
        }
        all.push(larger);
    }
    all
});

/// The order with one thing more, which stands above and below those; none if that is no order, or not all of it.
fn with(order: &[u8], below: u8, above: u8) -> Option<Vec<u8>> {
    let is_in = |set: u8, at: usize| set >> at & 1 == 1;
    let mut larger = order.to_vec();
    for at in 0..order.len() {
        let closed_below = !is_in(below, at) || order[at] & !below == 0;
        let upper = (0..order.len()).filter(|up| is_in(order[*up], at)).all(|up| is_in(above, up));
        let between = !is_in(above, at) || below & !order[at] == 0;
        if !(closed_below && between && (!is_in(above, at) || upper)) {
            return None;
        }
        larger[at] |= u8::from(is_in(above, at)) << order.len();
    }
    larger.push(below);
    (below & above == 0).then_some(larger)
}

struct Access {
    process: u32,
    is_unknown: bool,
    is_write: bool,
    key: i64,
    value: Value,
}

/// Those that count: no failed one, no unanswered read, no unknown write that nobody read.
fn accesses(history: &History) -> Vec<Access> {
    let operations = history.operations().unwrap();
    let is_read = |o: &Operation<'_>| o.call.function == "read";
    let shown = |o: &Operation<'_>| {
        operations.iter().any(|r| is_read(r) && r.is_ok() && *r.answer() == o.call.value && r.call.key == o.call.key)
    };
    let counts = |o: &&Operation<'_>| o.is_ok() || !is_read(o) && o.outcome() == Outcome::Unknown && shown(o);
    let access = |o: &Operation<'_>| Access {
        process: o.process.0,
        is_unknown: !o.is_ok(),
        is_write: !is_read(o),
        key: o.call.key.as_int().unwrap(),
        value: if is_read(o) { o.answer().clone() } else { o.call.value.clone() },
    };
    operations.iter().filter(counts).map(access).collect()
}

/// Two keys; each write writes its own number.
pub fn random(bytes: &[u8], clients: u32, accesses_max: usize) -> History {
    history::<i64>(
        bytes,
        clients,
        accesses_max,
        |next, choices, _| {
            let key = i64::from(choices.below(4) == 0);
            match choices.below(2) {
                0 => call("read", key, NIL),
                _ => {
                    *next += 1;
                    call("write", key, *next)
                }
            }
        },
        |next, choices: &mut Choices<'_>, asked| match asked.function.as_ref() {
            "read" => match choices.int(0, *next) {
                0 => NIL,
                value => value.into(),
            },
            _ => NIL,
        },
    )
}

/// Whether some order of `past`, whose causes come first, leads to what `reads` show; others may show anything.
fn has_order(all: &[Access], order: &[u8], past: u8, reads: u8, placed: u8, last: &mut Vec<usize>) -> bool {
    if placed == past {
        return true;
    }
    for at in 0..all.len() {
        if past >> at & 1 == 0 || placed >> at & 1 == 1 || order[at] & past & !placed != 0 {
            continue;
        }
        let access = &all[at];
        let shows = || {
            let write = last.iter().rev().find(|write| all[**write].key == access.key);
            access.value == write.map_or(NIL, |write| all[*write].value.clone())
        };
        if !access.is_write && reads >> at & 1 == 1 && !shows() {
            continue;
        }
        if access.is_write {
            last.push(at);
        }
        let found = has_order(all, order, past, reads, placed | 1 << at, last);
        if access.is_write {
            last.pop();
        }
        if found {
            return true;
        }
    }
    false
}

/// Whether each read shows the last write to its key, of those before it in `order`, in some one order of all.
fn is_settled(all: &[Access], order: &[u8], placed: &mut Vec<usize>) -> bool {
    if placed.len() == all.len() {
        return true;
    }
    let set = placed.iter().fold(0u8, |set, at| set | 1 << at);
    for at in (0..all.len()).filter(|at| set >> at & 1 == 0) {
        if order[at] & !set != 0 {
            continue;
        }
        let seen =
            placed.iter().rev().find(|w| order[at] >> **w & 1 == 1 && all[**w].is_write && all[**w].key == all[at].key);
        if !all[at].is_write && all[at].value != seen.map_or(NIL, |write| all[*write].value.clone()) {
            continue;
        }
        placed.push(at);
        let found = is_settled(all, order, placed);
        placed.pop();
        if found {
            return true;
        }
    }
    false
}

fn slow(all: &[Access], level: Level) -> bool {
    let program = |at: usize| -> u8 {
        let before = |other: &usize| all[*other].process == all[at].process && !all[*other].is_unknown;
        (0..at).filter(before).fold(0, |set, other| set | 1 << other)
    };
    let program: Vec<u8> = (0..all.len()).map(program).collect();
    let fits = |order: &&Vec<u8>| (0..all.len()).all(|at| program[at] & !order[at] == 0);
    ORDERS[all.len()].iter().filter(fits).any(|order| match level {
        Level::Convergent => is_settled(all, order, &mut Vec::new()),
        Level::Causal | Level::Memory => (0..all.len()).all(|at| {
            let own = if level == Level::Memory { program[at] } else { 0 };
            has_order(all, order, order[at] | 1 << at, own | 1 << at, 0, &mut Vec::new())
        }),
    })
}

/// Each step of a proof again from the history.
fn verify(history: &History, wrong: &Wrong) {
    let operations = history.operations().unwrap();
    let steps = match wrong {
        Wrong::ThinAir(_) => return,
        Wrong::Cycle { steps, .. } => {
            assert_eq!(steps.first().unwrap().first, steps.last().unwrap().second);
            steps
        }
        Wrong::InitialRead { steps, .. } => {
            let (write, read) = (&steps[0].first, &steps.last().unwrap().second);
            assert!(write.is_write && !read.is_write && write.key == read.key && read.value == NIL);
            steps
        }
        Wrong::Overwritten { over, steps } => {
            let (shown, read) = (&steps[0].first, &steps.last().unwrap().second);
            assert!(shown.is_write && over.is_write && *shown != **over && read.value == shown.value);
            assert!(!read.is_write && shown.key == over.key && over.key == read.key);
            assert!(steps.iter().any(|step| step.second == **over));
            steps
        }
    };
    for (place, step) in steps.iter().enumerate() {
        assert!(place == 0 || steps[place - 1].second == step.first);
        let (first, second) = (&operations[step.first.op.number], &operations[step.second.op.number]);
        match step.because {
            Because::SameProcess => {
                assert!(first.process == second.process && first.index < second.index && first.is_ok());
            }
            Because::ReadsFrom => {
                assert!(step.first.is_write && !step.second.is_write);
                assert_eq!((&first.call.key, &first.call.value), (&second.call.key, second.answer()));
            }
            Because::Shown(read) => {
                assert!(step.first.is_write && step.second.is_write);
                let read = &operations[read.number];
                assert_eq!((&read.call.key, read.answer()), (&second.call.key, &second.call.value));
                assert_eq!(read.call.key, first.call.key);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn agrees_with_the_definitions(bytes in bytes(90), clients in 2..4u32) {
        let history = random(&bytes, clients, ACCESSES_MAX);
        let all = accesses(&history);
        for level in Level::ALL {
            let report = run(Causal::new(Options { level, ..Options::default() }), &history).unwrap();
            // What was read before it began to be written is impossible in time, not by its causes.
            let thin = |wrong: &Wrong| matches!(wrong, Wrong::ThinAir(_));
            if report.violations.iter().any(thin) {
                continue;
            }
            prop_assert_eq!(report.violations.is_empty(), slow(&all, level), "{} {}", level.name(), report);
            prop_assert!(report.undecided.is_empty());
            report.violations.iter().for_each(|wrong| verify(&history, wrong));
        }
    }
}
