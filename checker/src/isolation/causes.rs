//! What a transaction missed of others that it had seen: by itself, or through what it read.
//!
//! A dependency graph has an anti-dependency only to the *next* version that a transaction missed. Whether it missed something
//! of a transaction that is among its causes is a question about all later versions: if the next one is by somebody whom it did
//! not see, the cycle has a write dependency, and looks like one that causal consistency allows. So causes are walked back
//! from each transaction, along read dependencies, and each is asked whether the transaction missed something that it
//! wrote. One step back that is a *fractured read*, which is asked of all; further back it takes the budget's steps.

use tenet_histories::Value;

use super::graph::Kind;
use super::proof::Because;
use super::{Dependencies, Sight};

/// How many causes are asked at most.
const CAUSES_MAX: u64 = 4_000_000;

/// From the writer of what was missed, along read dependencies, to who missed it, and back.
type Steps = Vec<(u32, Kind, Because)>;

/// A fractured read, and whether what was missed was asked for after the writer was seen; that, if there is one.
pub(super) fn fractured_read(data: &impl Dependencies, tangled: &[u32]) -> Option<(bool, Steps)> {
    let mut worst = None;
    for number in tangled {
        for saw in seen(data, *number) {
            let Some((place, kind, because)) = data.missed(*number, saw.other) else { continue };
            let is_in_order = place > saw.place;
            if worst.is_some() && !is_in_order {
                continue;
            }
            let read = data.because_at(saw.other, *number, Kind::WriteRead, Some(saw.place));
            let steps = vec![(saw.other, Kind::WriteRead, read), (*number, kind, because)];
            if is_in_order {
                return Some((true, steps));
            }
            worst = Some((false, steps));
        }
    }
    worst
}

/// Two transactions that each missed something of the other, and a key that both wrote: whoever wrote it first, the second one
/// missed something of the first, on whose write its own depends.
pub(super) fn write_conflict(data: &impl Dependencies, tangled: &[u32]) -> Option<(Value, Steps)> {
    let missed = |number: u32| {
        let mut missed = Vec::new();
        data.each_sight(number, &mut |sight| {
            if sight.kind.is_anti_dependency() {
                missed.push(sight);
            }
        });
        missed
    };
    tangled.iter().find_map(|one| {
        missed(*one).iter().filter(|saw| saw.other > *one).find_map(|two| {
            let back = missed(two.other).into_iter().find(|back| back.other == *one)?;
            let key = data.written_by_both(*one, two.other)?;
            let step = |from: u32, sight: &Sight| {
                (from, sight.kind, data.because_at(from, sight.other, sight.kind, Some(sight.place)))
            };
            Some((key, vec![step(*one, two), step(two.other, &back)]))
        })
    })
}

/// The transactions that one read from.
fn seen(data: &impl Dependencies, number: u32) -> Vec<Sight> {
    let mut seen = Vec::new();
    data.each_sight(number, &mut |sight| {
        if sight.kind == Kind::WriteRead && sight.other != number {
            seen.push(sight);
        }
    });
    seen
}

/// A transaction that missed something of one of its causes, and whether the search gave up.
pub(super) fn missed_cause(data: &impl Dependencies, tangled: &[u32], steps_max: u64) -> (Option<Steps>, bool) {
    let place = |number: u32| tangled.binary_search(&number).ok();
    let seen: Vec<Vec<u32>> = tangled
        .iter()
        .map(|number| seen(data, *number).iter().filter_map(|saw| place(saw.other)).map(|at| at as u32).collect())
        .collect();
    // By place: for whom it was last reached, and what it is a cause of.
    let mut reached: Vec<(u32, u32)> = vec![(u32::MAX, 0); tangled.len()];
    let mut asked = 0;
    for start in 0..tangled.len() as u32 {
        let mut queue = vec![start];
        reached[start as usize] = (start, start);
        let mut next = 0;
        while let Some(at) = queue.get(next).copied() {
            next += 1;
            for cause in &seen[at as usize] {
                if reached[*cause as usize].0 == start {
                    continue;
                }
                reached[*cause as usize] = (start, at);
                queue.push(*cause);
                if asked >= steps_max.min(CAUSES_MAX) {
                    return (None, true);
                }
                asked += 1;
                let (number, writer) = (tangled[start as usize], tangled[*cause as usize]);
                let Some((_, kind, because)) = data.missed(number, writer) else { continue };
                let mut steps = Vec::new();
                let mut at = *cause;
                while at != start {
                    let [from, to] = [at, reached[at as usize].1].map(|at| tangled[at as usize]);
                    steps.push((from, Kind::WriteRead, data.because(from, to, Kind::WriteRead)));
                    at = reached[at as usize].1;
                }
                steps.push((number, kind, because));
                return (Some(steps), false);
            }
        }
    }
    (None, false)
}
