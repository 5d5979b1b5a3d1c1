//! Check `counter`: what a read shows is a sum of additions that may have happened by then.
//!
//! | function | value | ok | unknown |
//! |---|---|---|---|
//! | add | an integer, also negative | it counts from some moment between invocation and completion | it may count from its invocation on |
//! | inc, dec | an integer, or nil for 1 | as add | as add |
//! | read | - | answers the value | says nothing |
//!
//! Failed additions never count. Every addition that had ended before a read began is in it; each that was open meanwhile,
//! or whose outcome is unknown, may be. So a read lies between two bounds (as Jepsen's `counter` has them, here up and down);
//! where few additions are open, it must also be one of their sums. Reads are judged one by one: that two of them fit
//! together is for the linearizable counter to say.

use std::collections::BTreeSet;
use std::fmt;

use tenet_histories::{Value, functions};

use super::{Check, Done, NEVER, Of, Op, PerKey, Report};
use crate::{CheckError, Oracle};

/// So many open additions have their sums listed.
const OPEN_MAX: usize = 64;
/// If their sums are not further apart.
const SPREAD_MAX: i128 = 1 << 14;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    pub key: Value,
    pub read: Op,
    pub value: i64,
    /// The sum of all that had ended before the read began.
    pub certain: i128,
    pub low: i128,
    pub high: i128,
}

impl super::Violation for Impossible {
    fn name(&self) -> &'static str {
        match self.value {
            value if i128::from(value) < self.low => "below-bound",
            value if i128::from(value) > self.high => "above-bound",
            _ => "no-such-sum",
        }
    }

    fn operations(&self) -> Vec<usize> {
        vec![self.read.number]
    }
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Impossible { key, read, value, certain, low, high } = self;
        write!(
            f,
            "{read} read {value}{}; what had been added before is {certain}, and with what may have been",
            Of(key)
        )?;
        match self.low..=self.high {
            range if range.contains(&i128::from(*value)) => {
                write!(f, " it lies between {low} and {high}, but no choice of open additions gives {value}")
            }
            _ => write!(f, " it lies between {low} and {high}"),
        }
    }
}

#[derive(Default)]
struct Key {
    adds: Vec<Add>,
    reads: Vec<(Op, i64)>,
}

#[derive(Clone, Copy)]
struct Add {
    delta: i64,
    invoked: usize,
    returned: usize,
}

pub struct Counter {
    initial: i64,
    keys: PerKey<Key>,
}

impl Counter {
    pub fn new(initial: i64) -> Counter {
        Counter { initial, keys: PerKey::default() }
    }
}

impl Check for Counter {
    type Violation = Impossible;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        const EXPECTED: &str = "an integer";
        let by = |unit: i64| match &done.call.value {
            Value::Nil => Ok(unit),
            Value::Int(int) => int.checked_mul(unit).ok_or_else(|| done.misshapen(&done.call.value, EXPECTED)),
            other => Err(done.misshapen(other, EXPECTED)),
        };
        let delta = match done.function() {
            functions::READ => {
                if done.is_ok() {
                    let value = done.int(done.answer, EXPECTED)?;
                    self.keys.of(&done.call.key).reads.push((done.op, value));
                }
                return Ok(());
            }
            "add" => done.int(&done.call.value, EXPECTED)?,
            "inc" => by(1)?,
            "dec" => by(-1)?,
            _ => return Err(done.stranger("add, inc, dec or read")),
        };
        if done.outcome != tenet_histories::Outcome::Fail {
            let (invoked, returned) = (done.op.invoked, done.op.returned);
            self.keys.of(&done.call.key).adds.push(Add { delta, invoked, returned });
        }
        Ok(())
    }

    fn finish(self) -> Report<Impossible> {
        let mut report = Report::new(Oracle::Counter);
        for (key, state) in self.keys.into_iter() {
            report.count("additions", state.adds.len() as u64);
            report.count("reads", state.reads.len() as u64);
            judge(i128::from(self.initial), &key, state, &mut report);
        }
        report
    }
}

/// What was certain and what was open when a read began.
struct Began {
    certain: i128,
    low: i128,
    high: i128,
    /// The first addition invoked after.
    next: usize,
    /// The deltas that were open then; none if they are too many, or all sums between their bounds are possible anyway.
    open: Option<Vec<i64>>,
}

fn judge(initial: i128, key: &Value, mut state: Key, report: &mut Report<Impossible>) {
    let adds = &mut state.adds;
    adds.sort_unstable_by_key(|add| add.invoked);
    state.reads.sort_unstable_by_key(|(read, _)| read.invoked);
    let mut ended: Vec<usize> = (0..adds.len()).filter(|at| adds[*at].returned != NEVER).collect();
    ended.sort_unstable_by_key(|at| adds[*at].returned);
    // Sums of all negative and of all positive deltas up to each, so that a stretch of them is a difference.
    let mut sums: Vec<(i128, i128)> = vec![(0, 0)];
    for add in adds.iter() {
        let (low, high) = sums[sums.len() - 1];
        let delta = i128::from(add.delta);
        sums.push((low + delta.min(0), high + delta.max(0)));
    }
    let is_unit = adds.iter().all(|add| add.delta.unsigned_abs() <= 1);
    let mut ended = ended.into_iter().peekable();
    let mut open: BTreeSet<usize> = BTreeSet::new();
    let (mut certain, mut low, mut high, mut next) = (initial, 0i128, 0i128, 0);
    for (read, value) in state.reads {
        while next < adds.len() && adds[next].invoked < read.invoked {
            let delta = i128::from(adds[next].delta);
            (low, high) = (low + delta.min(0), high + delta.max(0));
            open.insert(next);
            next += 1;
        }
        while let Some(at) = ended.next_if(|at| adds[*at].returned < read.invoked) {
            let delta = i128::from(adds[at].delta);
            (low, high) = (low - delta.min(0), high - delta.max(0));
            certain += delta;
            open.remove(&at);
        }
        let wants_sums = !is_unit && open.len() <= OPEN_MAX;
        let open = wants_sums.then(|| open.iter().map(|at| adds[*at].delta).collect());
        let began = Began { certain, low, high, next, open };
        let meanwhile = next + adds[next..].partition_point(|add| add.invoked < read.returned);
        let (low, high) = (
            began.certain + began.low + sums[meanwhile].0 - sums[next].0,
            began.certain + began.high + sums[meanwhile].1 - sums[next].1,
        );
        let is_possible = (low..=high).contains(&i128::from(value))
            && is_sum(&began, &adds[began.next..meanwhile], i128::from(value), (low, high));
        if !is_possible {
            let key = key.clone();
            report.violation(Impossible { key, read, value, certain: began.certain, low, high });
        }
    }
}

/// Whether some of the open additions sum to what the value has beyond what is certain. True where that was not tried.
fn is_sum(began: &Began, meanwhile: &[Add], value: i128, (low, high): (i128, i128)) -> bool {
    let Some(open) = &began.open else { return true };
    if open.len() + meanwhile.len() > OPEN_MAX || high - low > SPREAD_MAX {
        return true;
    }
    // One place per sum, from the lowest on: each delta moves all sums that there are.
    let mut sums = vec![false; (high - low) as usize + 1];
    sums[(began.certain - low) as usize] = true;
    for delta in open.iter().copied().chain(meanwhile.iter().map(|add| add.delta)) {
        let distance = delta.unsigned_abs() as usize;
        if delta >= 0 {
            (distance..sums.len()).rev().for_each(|at| sums[at] |= sums[at - distance]);
        } else {
            (0..sums.len() - distance).for_each(|at| sums[at] |= sums[at + distance]);
        }
    }
    sums[(value - low) as usize]
}
