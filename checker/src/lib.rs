//! Says whether a history can have happened to an honest database, and if not, why, in words that a person can follow.
//!
//! Each oracle is one file and one function; [`judge`] calls those that a history's workload asks for. Oracles that need
//! more than a history (phases, and what replicas say of themselves) are called by whoever has it.
//!
//! Invariants
//!  C1  `Invalid` is a proof: no history that a correct database can produce is called so, whatever is unknown in it.
//!  C2  An unknown operation counts as whatever suits the database best; a failed one as never having been.
//!  C3  Real time is the order of events, never the numbers of clocks (H1).
//!  C4  The same history gives the same words.
//!  C5  No history makes an oracle run without bound: it gives up with `Unknown`, and says at what.
//!
//! Absent: clocks, and files.

pub mod budget;
pub mod checks;
pub mod generate;
pub mod html;
pub mod isolation;
pub mod leaders;
pub mod linearizable;
pub mod liveness;
pub mod minimize;
pub mod models;
pub mod predicate_skew;
pub mod promises;
pub mod replica_rows;
mod shape;
pub mod state_hash;
pub mod timestamps;
pub mod vacuity;
mod verdict;
pub mod write_skew;

use tenet_histories::{History, What};

pub use verdict::{CheckError, Finding, Judgement, Oracle, Verdict};

/// What the oracles say that a history's workload asks for, which may be the name of a model; alarms, and timestamps where
/// there are any, included.
pub fn judge(history: &History) -> Result<Judgement, CheckError> {
    let workload = &history.header.workload;
    let Some(model) = models::named(workload) else {
        return Err(CheckError::Workload { workload: workload.clone() });
    };
    let verdict = model.check(history, &models::Options::default())?.verdict();
    let is_stamped = |what: &What| match what {
        What::Complete { completion, .. } => {
            completion.read_timestamp.is_some() || completion.commit_timestamp.is_some()
        }
        What::Invoke { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => false,
    };
    // Without any, there may be transactions of a kind that it does not know.
    let is_stamped = history.events.iter().any(|event| is_stamped(&event.what));
    let timestamps = match is_stamped && model.name != models::STAMPED {
        true => timestamps::check(history)?,
        false => Verdict::valid(Oracle::Timestamps),
    };
    Ok(Judgement { verdicts: vec![verdict, timestamps, alarms(history)] })
}

/// Nothing happened that must not happen, whatever the faults.
pub fn alarms(history: &History) -> Verdict {
    let mut alarms = history.events.iter().filter_map(|event| match &event.what {
        What::Alarm(alarm) => Some((event.time_ns, alarm)),
        What::Invoke { .. } | What::Complete { .. } | What::Fault(_) | What::Phase { .. } => None,
    });
    let Some((time_ns, first)) = alarms.next() else { return Verdict::valid(Oracle::Alarm) };
    let who = first.process.map(|process| format!(" to {process}")).unwrap_or_default();
    let state = first.sqlstate.as_ref().map(|state| format!("SQLSTATE {state}: ")).unwrap_or_default();
    let more = match alarms.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let explanation = format!("at {} this happened{who}: {state}{}{more}", verdict::time(time_ns), first.message);
    Verdict::invalid(Oracle::Alarm, explanation, Vec::new())
}
