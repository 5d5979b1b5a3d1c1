//! Oracle `vacuity`: the history could have shown a fault. One in which little succeeded, or nobody met anybody, is valid
//! by idleness.
//!
//! An operation belongs to a calm phase if it was invoked in it, and completed in it or never; or later, with an unknown
//! outcome, having hung for [`HANG_NS`] of the calm already: what comes after calm is not to blame for that. Who runs a world
//! leaves some time between the end of the last fault and the calm phase after it (a connection that a fault broke may still
//! cost its client one unknown write when it is next used), and ends the last one only when no operation is open.

use std::collections::BTreeMap;

use tenet_histories::{Counts, History, Operation, Outcome, Phase, Value, functions};

use crate::shape::{micro_keys, who};
use crate::{CheckError, Oracle, Verdict};

/// So many operations must have been open on one key at one time.
pub const OVERLAP_MIN: usize = 3;

/// An operation takes milliseconds, and nothing is in its way: one that is open for so long hangs.
pub const HANG_NS: u64 = 1_000_000_000;

/// What is asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// So many of a hundred operations in calm phases were ok. Clients who want the same rows all the time lose more often.
    pub ok_percent_min: u64,
    /// So many of a hundred operations there may be answered with an unknown outcome: none, unless clients themselves cut others
    /// off, as those do who drop databases.
    pub unknown_percent_max: u64,
    /// State hashes of replicas that were held together, where there are several replicas: one at least.
    pub hashes_compared: Option<u64>,
}

impl Default for Demands {
    fn default() -> Demands {
        Demands { ok_percent_min: 50, unknown_percent_max: 0, hashes_compared: None }
    }
}

/// What a report says of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub all: Counts,
    /// In calm phases.
    pub calm: Counts,
    /// The most operations that were open on one key at one time, as their clients saw it.
    pub overlap_max: usize,
}

pub fn check(history: &History, phases: &[Phase], demands: &Demands) -> Result<Verdict, CheckError> {
    let tally = tally(history, phases)?;
    let Counts { ok, fail, unknown, open } = tally.calm;
    let unknown_max = (ok + fail + unknown) * demands.unknown_percent_max / 100;
    if open > 0 || unknown > unknown_max {
        let operations = history.operations()?;
        let first = operations.iter().find(|operation| {
            operation.outcome() == Outcome::Unknown && phases.iter().any(|phase| belongs(operation, phase))
        });
        let what = first.map(who).unwrap_or_default();
        let why = first.and_then(|operation| operation.completed?.completion.error.as_deref()).unwrap_or("no answer");
        let explanation =
            format!("{} operations with unknown outcome in calm phases, first {what}: {why}", unknown + open);
        return Ok(Verdict::invalid(Oracle::Vacuity, explanation, first.map(|o| o.index).into_iter().collect()));
    }
    if ok == 0 || ok * 100 < (ok + fail) * demands.ok_percent_min {
        let percent = demands.ok_percent_min;
        let explanation =
            format!("{ok} of {} operations in calm phases were ok, expected {percent}% at least", ok + fail);
        return Ok(Verdict::invalid(Oracle::Vacuity, explanation, Vec::new()));
    }
    if tally.overlap_max < OVERLAP_MIN {
        let explanation = format!(
            "at most {} operations were open on one key at one time, expected {OVERLAP_MIN} at least once",
            tally.overlap_max
        );
        return Ok(Verdict::invalid(Oracle::Vacuity, explanation, Vec::new()));
    }
    if demands.hashes_compared == Some(0) {
        let explanation = "no state of a replica was compared with another's, expected one at least";
        return Ok(Verdict::invalid(Oracle::Vacuity, explanation, Vec::new()));
    }
    Ok(Verdict::valid(Oracle::Vacuity))
}

pub fn tally(history: &History, phases: &[Phase]) -> Result<Tally, CheckError> {
    let operations = history.operations()?;
    let mut tally = Tally { overlap_max: overlap_max(history, &operations)?, ..Tally::default() };
    for operation in &operations {
        count(&mut tally.all, operation);
        if phases.iter().any(|phase| belongs(operation, phase)) {
            count(&mut tally.calm, operation);
        }
    }
    Ok(tally)
}

fn belongs(operation: &Operation<'_>, phase: &Phase) -> bool {
    let hung = || phase.end_ns - operation.invoke_ns >= HANG_NS && operation.outcome() == Outcome::Unknown;
    phase.calm
        && phase.contains(operation.invoke_ns)
        && operation.completed.is_none_or(|completed| phase.contains(completed.time_ns) || hung())
}

fn count(counts: &mut Counts, operation: &Operation<'_>) {
    match operation.completed.map(|completed| completed.completion.outcome) {
        Some(Outcome::Ok) => counts.ok += 1,
        Some(Outcome::Fail) => counts.fail += 1,
        Some(Outcome::Unknown) => counts.unknown += 1,
        None => counts.open += 1,
    }
}

/// What an operation touches.
enum Keys<'h> {
    These(Vec<&'h Value>),
    All,
}

fn keys<'h>(operation: &Operation<'h>) -> Result<Keys<'h>, CheckError> {
    let call = operation.call;
    Ok(match call.function.as_ref() {
        functions::TRANSACTION => {
            let mut keys = micro_keys(operation, &call.value)?;
            keys.sort_unstable();
            keys.dedup();
            Keys::These(keys)
        }
        functions::TRANSFER => Keys::These(["from", "to"].iter().filter_map(|name| call.value.field(name)).collect()),
        _ if call.key.is_nil() => Keys::All,
        _ => Keys::These(vec![&call.key]),
    })
}

fn overlap_max(history: &History, operations: &[Operation<'_>]) -> Result<usize, CheckError> {
    // Ends before beginnings cannot tie: positions differ.
    let mut ends: Vec<(usize, bool, usize)> = Vec::new();
    for operation in operations {
        let end = operation.completed.map_or(history.events.len(), |completed| completed.event);
        ends.push((operation.invoke_event, true, operation.index));
        ends.push((end, false, operation.index));
    }
    ends.sort_unstable();
    let (mut open, mut open_all, mut most) = (BTreeMap::<&Value, usize>::new(), 0, 0);
    for (_, begins, index) in ends {
        match (keys(&operations[index])?, begins) {
            (Keys::All, true) => open_all += 1,
            (Keys::All, false) => open_all -= 1,
            (Keys::These(keys), true) => keys.into_iter().for_each(|key| *open.entry(key).or_default() += 1),
            (Keys::These(keys), false) => keys.into_iter().for_each(|key| {
                let count = open.get_mut(key).expect("counted when it began");
                *count -= 1;
                if *count == 0 {
                    open.remove(key);
                }
            }),
        }
        most = most.max(open_all + open.values().max().unwrap_or(&0));
    }
    Ok(most)
}
